"""The server's certificate, its key, those whom clients come from, and what is revoked."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from angos_trio.appliance.doctor import Finding, bad, note, ok, warn
from angos_trio.clock import DAY_SECS, iso, wall_seconds
from angos_trio.errors import OperatorError
from angos_trio.limits.appliance import CERTIFICATE_SOON_SECS
from angos_trio.limits.certificates import PKI_DIRECTORY

if TYPE_CHECKING:
    from angos_trio.pki.server import TlsFiles
    from angos_trio.pki.summary import Summary


def judge_term(summary: Summary, now: int, path: str = "") -> Iterator[Finding]:
    """Whether it is the time of the certificate in this file."""
    until, cure = iso(summary.not_after), _renewal(path)
    if now >= summary.not_after:
        yield bad(f"the server's certificate expired on {until}: no client takes it", cure)
    elif now < summary.not_before:
        yield bad(
            f"the server's certificate is good from {iso(summary.not_before)} on, and it is "
            f"{iso(now)}",
            "look at the clock of this host; else issue it anew",
        )
    elif summary.not_after - now < CERTIFICATE_SOON_SECS:
        days = (summary.not_after - now) // DAY_SECS
        yield warn(f"the server's certificate ends in {days} days, on {until}", cure)
    else:
        yield ok(f"the server's certificate is good until {until}")


def _renewal(path: str) -> str:
    """What renews a certificate: the authority beside it, or else the one of this host."""
    from angos_trio.pki.keeping import PkiDirectory

    beside = Path(path).absolute().parent
    is_ours = (beside / "issuing.crt").exists()
    directory = PkiDirectory(beside if is_ours else Path(PKI_DIRECTORY))
    command = directory.command("renew", "--all-due")
    return f"{command}, or copy a new one over it: it is taken within seconds"


def judge_names(summary: Summary, wanted: Sequence[str]) -> Iterator[Finding]:
    """Whether clients that call by these names take it."""
    missing = [name for name in wanted if not summary.covers(name)]
    stands_for = ", ".join(summary.hosts) or "no name at all"
    if missing:
        yield warn(
            f"the certificate stands for {stands_for}, not for {', '.join(missing)}",
            f"issue it with --san DNS:{missing[0]}, or let clients use a name that it stands for",
        )
    else:
        yield ok(f"it stands for {stands_for}")


def look_at_certificates(
    files: TlsFiles | None, keys: Sequence[str], wanted: Sequence[str], *, is_local: bool
) -> Iterator[Finding]:
    """What `[server.tls]` comes to; `keys` are the files of private keys that are to be kept from
    others, `is_local`: only this host can connect."""
    if files is None:
        if is_local:
            yield note("there is no [server.tls]: plain HTTP, for this host alone")
        else:
            yield warn(
                "there is no [server.tls]: passwords and images go over the network in the clear",
                "angos-trio pki init and pki server make certificates; name them in [server.tls]",
            )
        return
    from angos_trio.pki.server import CERTIFICATE_KEY, load_server_tls

    if unreadable := [path for path in files.paths if _is_hidden(path)]:
        yield note(f"this user may not read {', '.join(unreadable)}", "ask again as root")
    else:
        try:
            loaded = load_server_tls(files)
        except OperatorError as error:
            yield bad(str(error), "correct the file or the key of the configuration")
        else:
            yield ok("the key fits the certificate, and the files of clients can be read")
            for remark in loaded.remarks:
                if "is not made for a server" in remark or not remark.startswith(CERTIFICATE_KEY):
                    yield warn(remark, "put a new one in its place: it is taken within seconds")
    if not _is_hidden(files.certificate):
        yield from _certificate(CERTIFICATE_KEY, files.certificate, wanted)
    yield from judge_keys(keys)


def _certificate(key: str, path: str, wanted: Sequence[str]) -> Iterator[Finding]:
    from angos_trio.pki.summary import first_summary

    try:
        summary = first_summary(key, path)
    except OperatorError:
        return  # it was told of by whoever read it all
    yield from judge_term(summary, wall_seconds(), path)
    yield from judge_names(summary, wanted)


def _is_hidden(path: str) -> bool:
    try:
        os.stat(path)
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(path, os.R_OK)


def judge_keys(paths: Sequence[str]) -> Iterator[Finding]:
    """Whether others than those whom they are for may get at private keys."""
    for path in paths:
        try:
            mode = stat.S_IMODE(Path(path).stat().st_mode)
        except OSError:
            continue
        if mode & 0o007:
            yield bad(
                f"{path} has mode {mode:04o}: everybody on this host may get at the private key",
                f"give it to whom reads it (chown), then chmod 600 {path}; and issue it anew, if "
                "somebody else has been on this host",
            )
        elif mode & 0o070:
            # So a distribution may do it: the service would be locked out by less.
            yield note(
                f"{path} has mode {mode:04o}: its group may get at the private key",
                f"see that only the service is in that group (ls -l {path})",
            )
        else:
            yield ok(f"{path} is its owner's alone")
