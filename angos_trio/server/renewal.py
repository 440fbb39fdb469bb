"""Files of certificates that change while the server runs: looked at, taken, and told of."""

from __future__ import annotations

import trio

from angos_trio.clock import epoch_seconds
from angos_trio.limits import PKI_LOOK_SECS
from angos_trio.pki.revocation import RevocationList
from angos_trio.pki.server import LiveTls, ServerTls
from angos_trio.telemetry.log import logger

_log = logger("server")


async def follow_files(live: LiveTls) -> None:
    """Look at the files each two seconds and take what is new and good; until cancelled.

    A revocation list that falls out of date is told of once.
    """
    told: list[RevocationList] = stale_lists(live.current)
    while True:
        await trio.sleep(PKI_LOOK_SECS)
        before = live.current
        if await trio.to_thread.run_sync(live.look):
            tell_of_files(live)
        if live.current is not before:
            told = stale_lists(live.current)  # these are among the remarks
        for each in stale_lists(live.current):
            if each not in told:
                _log.warning("tls.list_out_of_date", issuer=each.issuer)
                told.append(each)


def stale_lists(tls: ServerTls) -> list[RevocationList]:
    """The revocation lists that are out of date now."""
    return [] if tls.revocations is None else tls.revocations.stale(epoch_seconds())


def tell_of_files(live: LiveTls) -> None:
    """The log lines of a reload: what counts now, or why nothing changed."""
    if live.problem is not None:
        _log.error("tls.files_refused", reason=live.problem)
        return
    _log.info("tls.files_taken", not_after=live.current.not_after)
    tell_remarks(live.current)


def tell_remarks(tls: ServerTls) -> None:
    """What the operator should know of files that count, at the start too."""
    for remark in tls.remarks:
        _log.warning("tls.remark", remark=remark)
