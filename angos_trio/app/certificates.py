"""The registry's own certificate, those whom clients come with, and their files as they change.

`pki` is imported only where TLS is configured: it takes a tenth of a second.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio

from angos_trio.app.services import CERTIFICATES, tell
from angos_trio.clock import epoch_seconds
from angos_trio.config.model import Tls
from angos_trio.identity import Certificate
from angos_trio.limits.callers import PKI_LOOK_SECS
from angos_trio.records import replace
from angos_trio.server.serve import ServeOptions
from angos_trio.server.transport import TlsOptions
from angos_trio.storage.metadata.services import Report
from angos_trio.storage.store import Storage
from angos_trio.telemetry.log import logger

if TYPE_CHECKING:
    from angos_trio.pki.server import LiveTls, ServerTls, TlsFiles

_log = logger("tls")


def files_of(section: Tls | None) -> TlsFiles | None:
    """What `[server.tls]` names; None where it is not there."""
    if section is None:
        return None
    from angos_trio.pki.server import TlsFiles

    return TlsFiles(
        certificate=section.server_certificate_bundle,
        private_key=section.server_private_key,
        client_ca=section.client_ca_bundle,
        client_auth=section.client_auth,
        client_crls=section.client_crl,
        crl_stale=section.crl_stale,
    )


def load_tls(files: TlsFiles | None) -> ServerTls | None:
    """Read and check them; blocks. Raises OperatorError."""
    if files is None:
        return None
    from angos_trio.pki.server import load_server_tls

    return load_server_tls(files)


def open_tls(files: TlsFiles | None) -> LiveTls | None:
    """The same, for as long as a process runs. Remarks go to the log."""
    loaded = load_tls(files)
    if loaded is None:
        return None
    from angos_trio.pki.server import LiveTls

    for remark in loaded.remarks:
        _log.warning("certificates.remark", remark=remark)
    return LiveTls(loaded)


def describe_tls(tls: ServerTls | None) -> list[str]:
    """What the files come to, a line each."""
    if tls is None:
        return []
    until = datetime.fromtimestamp(tls.not_after, UTC)
    lines = [f"shows a certificate that is good until {until:%Y-%m-%d %H:%M} UTC"]
    if tls.revocations is not None:
        count = sum(len(lists) for lists in tls.revocations.lists.values())
        word = "must show" if tls.files.client_auth == "required" else "may show"
        lines.append(f"clients {word} a certificate; {count} revocation lists are looked at")
    return lines


def secured(options: ServeOptions, live: LiveTls | None, handshake_secs: float) -> ServeOptions:
    """The same with TLS, where there is any."""
    if live is None:
        return options
    return replace(options, tls=TlsOptions(lambda: live.current.context, handshake_secs))


def problem_of(live: LiveTls | None) -> Callable[[Certificate], Awaitable[str | None]]:
    """Says of a client certificate why it does not count at this moment; None when it does.

    Who was revoked a moment ago is refused: the lists are those that lie in their files now.
    """

    async def look(certificate: Certificate) -> str | None:
        if live is not None and live.are_lists_new():
            await trio.to_thread.run_sync(live.take_lists)
        revocations = None if live is None else live.current.revocations
        if revocations is None:
            return "this registry knows no client certificates"
        return revocations.problem_of(certificate, epoch_seconds())

    return look


async def follow_files(live: LiveTls, storage: Storage | None = None) -> None:
    """Take what the files say when they change, until cancelled; bad files change nothing.

    With a storage this process lets `/readyz` and the metrics of all tell how they are.
    """
    told: list[str | None] = []
    while True:
        if await trio.to_thread.run_sync(live.look):
            _tell(live)
        problem = live.problem or "; ".join(remarks_of(live)) or None
        if storage is not None and told != [problem]:
            told = [problem]
            is_bad = int(problem is not None)
            await tell(storage, Report(CERTIFICATES, problem, is_bad, time.monotonic()))
        await trio.sleep(PKI_LOOK_SECS)


def _tell(live: LiveTls) -> None:
    if live.problem is not None:
        _log.error("certificates.refused", reason=live.problem)
        return
    _log.info("certificates.reloaded", not_after=live.current.not_after)
    for remark in live.current.remarks:
        _log.warning("certificates.remark", remark=remark)


def remarks_of(live: LiveTls) -> list[str]:
    """What is wrong with what the files say at this moment."""
    now, current = epoch_seconds(), live.current
    found = []
    if current.not_after < now:
        found.append("server.tls.server_certificate_bundle: the certificate has expired")
    if current.revocations is not None:
        found += [
            f"server.tls.client_crl: the list of {each.issuer} is out of date"
            for each in current.revocations.stale(now)
        ]
    return found
