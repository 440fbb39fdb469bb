"""Why a client is let in, or is not, in words: a handshake and a GET as that client."""

from __future__ import annotations

import errno
import json
import re
import socket
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from angos_trio.appliance.client_address import RegistryAddress
from angos_trio.clock import iso
from angos_trio.limits.callers import KNOCK_SECS_MAX
from angos_trio.net.knock import Door, Knocked, KnockError, Stage, knock
from angos_trio.pki.certificates import CertificateError
from angos_trio.pki.summary import Summary, summary_of
from angos_trio.records import Frozen
from angos_trio.telling import plain

CLOCKS_DIFFER_SECS: Final = 300
_PATH: Final = "/v2/"
_REASON_CHARS_MAX: Final = 300
_ALERT: Final = re.compile(r"ALERT_(\w+)")
_EXPIRED, _NOT_YET, _NAME, _ADDRESS = 10, 9, 62, 64
"""Of OpenSSL's X509_V_ERR_…: the certificate, its begin, its host, its address."""
_ISSUERS: Final = frozenset({2, 18, 19, 20, 21})
"""Of the same: the chain does not lead to what is trusted."""


class Visit(Frozen):
    """Who knocks where. `client` is None when no certificate is shown; `tls` trusts `ca` alone."""

    address: RegistryAddress
    at: str | None
    tls: ssl.SSLContext
    ca: Summary
    ca_file: str
    name: str | None
    client: Summary | None
    now: int

    @property
    def place(self) -> str:
        """The registry in a sentence."""
        return self.address.place

    @property
    def door(self) -> Door:
        """Where to knock."""
        return Door(self.address.host, self.address.port, self.address.authority, self.at)


class Verdict(Frozen):
    """A sentence; `remarks` are what will be trouble later."""

    is_good: bool
    sentence: str
    remarks: tuple[str, ...] = ()


async def examine(visit: Visit) -> Verdict:
    """Knock, and say what came of it."""
    try:
        answer = await knock(visit.door, visit.tls, _PATH)
    except KnockError as error:
        return Verdict(False, await _why(visit, error))
    skew = _skew(answer.headers, visit.now)
    if answer.status != 200 or "docker-distribution-api-version" not in answer.headers:
        return Verdict(False, words_of_answer(visit, answer), skew)
    server = _peer(answer)
    until = "" if server is None else f", until {iso(server.not_after)}"
    who = "nobody in particular" if visit.name is None else visit.name
    sentence = f"{visit.place} ({answer.address}) lets {who} in; its certificate is good{until}"
    return Verdict(True, sentence, skew)


async def _why(visit: Visit, error: KnockError) -> str:
    """The reason of a failure; where it takes another look at the registry, it is taken."""
    cause = error.cause
    if isinstance(cause, ssl.SSLCertVerificationError):
        return words_of_certificate(visit, cause, await _look_without_trust(visit))
    if isinstance(cause, ssl.SSLError) and (alert := _ALERT.search(cause.reason or "")):
        return words_of_alert(visit, alert[1])
    if error.stage is Stage.TLS and await _speaks_plain_http(visit):
        return (
            f"{visit.place} speaks plain HTTP and no TLS: give the port that has TLS, or set "
            "[server.tls] in the registry's configuration"
        )
    return words_of_failure(visit, error)


async def _look_without_trust(visit: Visit) -> Knocked | None:
    """Whoever it is: what they show, and what time they have. Nothing is shown to them, which some
    take amiss after they have shown their certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return await knock(visit.door, context, _PATH)
    except KnockError as error:
        if error.certificate is None:
            return None
        no_answer = 0
        return Knocked(no_answer, {}, b"", error.certificate, error.address)


async def _speaks_plain_http(visit: Visit) -> bool:
    try:
        await knock(visit.door, None, _PATH)
    except KnockError:
        return False
    return True


def words_of_failure(visit: Visit, error: KnockError) -> str:
    """What a failure without a word of the other side comes to. Pure."""
    place, cause = visit.place, error.cause
    where = f"{place} ({error.address})" if error.address else place
    if error.stage is Stage.NAME:
        return (
            f"the name {visit.address.host} does not resolve ({_name_reason(cause)}): enter it in "
            "the DNS or in /etc/hosts, or give --address"
        )
    if cause is None:
        return (
            f"{where} did not answer within {KNOCK_SECS_MAX:.0f} s: is a firewall between, or does "
            "another program listen there?"
        )
    if error.stage is Stage.CONNECTION and isinstance(cause, OSError):
        return _connection_words(where, cause)
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        reason = (cause.reason or "no TLS").lower().replace("_", " ")
        return (
            f"{where} does not speak TLS as this client does ({reason}): is it a registry's port?"
        )
    if isinstance(cause, OSError):
        shown = "the certificate that was shown" if visit.client else "a client without certificate"
        return f"{where} closed the connection without a word: it may refuse {shown}; see its log"
    return f"{where} answers no HTTP over TLS: is it a registry's port?"


def _name_reason(cause: BaseException | None) -> str:
    if cause is None:
        return f"no answer within {KNOCK_SECS_MAX:.0f} s"
    if isinstance(cause, socket.gaierror):
        return str(cause.strerror)
    return "it can be no name"


def _connection_words(where: str, cause: OSError) -> str:
    if cause.errno == errno.ECONNREFUSED:
        return (
            f"nobody listens on {where}: is the registry running, and on this port? See systemctl "
            "status angos-trio.socket there"
        )
    return f"{where} cannot be reached ({cause.strerror}): look at the network and its routes"


def words_of_certificate(
    visit: Visit, error: ssl.SSLCertVerificationError, seen: Knocked | None
) -> str:
    """Why the registry's certificate is refused; `seen` is what it shows to those who do not look.
    Pure."""
    server, place = None if seen is None else _peer(seen), visit.place
    skew = () if seen is None else _skew(seen.headers, visit.now)
    if error.verify_code in (_EXPIRED, _NOT_YET):
        return _time_words(visit, error.verify_code == _EXPIRED, server, skew)
    if error.verify_code in (_NAME, _ADDRESS):
        names = "" if server is None else plain(", ".join(server.hosts))
        told = f"it is for {names}; use one of these names, or " if names else ""
        return (
            f"the certificate of {place} is not for {visit.address.host}: {told}make another "
            "certificate with angos-trio pki server --san"
        )
    if error.verify_code in _ISSUERS:
        issuer = "" if server is None else f" {server.issuer!r},"
        return (
            f"the certificate of {place} is from another authority,{issuer} and "
            f"{visit.ca_file} is {visit.ca.subject!r}: take the ca.crt of that registry's own "
            "authority, or see that the registry sends its intermediate too"
        )
    return f"the certificate of {place} is refused: {error.verify_message}"


def _time_words(
    visit: Visit, has_expired: bool, server: Summary | None, skew: tuple[str, ...]
) -> str:
    if has_expired:
        when = "has expired" if server is None else f"expired on {iso(server.not_after)}"
        what = f"the certificate of {visit.place}, or one above it, {when}"
        cure = "renew it there with angos-trio pki renew server"
    else:
        when = "later" if server is None else f"from {iso(server.not_before)} on"
        what = f"the certificate of {visit.place}, or one above it, is valid {when} only"
        cure = "wait, or make another"
    clock = skew[0] if skew else f"or set this host's clock, which says {iso(visit.now)}"
    return f"{what}: {clock if skew else f'{cure}, {clock}'}"


def words_of_alert(visit: Visit, alert: str) -> str:
    """What the registry says of the client's certificate, by its last word in the handshake (RFC
    8446 6.2). Pure."""
    place = visit.place
    if visit.client is None:
        return (
            f"{place} wants a client certificate, and none was shown: give --client NAME"
            if alert in ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE")
            else f"{place} ends the handshake ({_lowered(alert)}): see its log"
        )
    whose = f"the client certificate of {visit.name}"
    renew = f"renew it with angos-trio pki renew {visit.name}"
    own = _own_problem(visit, visit.client)
    if alert == "UNKNOWN_CA":
        return (
            f"{place} does not know the authority of {whose}, {visit.client.issuer!r}: put its "
            "certificate into server.tls.client_ca_bundle there, or take a client of that "
            "registry's own authority"
        )
    if alert == "CERTIFICATE_REVOKED":
        return f"{place} says that {whose} is revoked: make another with angos-trio pki client"
    if own is not None:
        return f"{place} refuses {whose}: {own}"
    if alert == "CERTIFICATE_EXPIRED":
        return f"{place} says that {whose} has expired: {renew}, or set the clock of that host"
    return f"{place} refuses {whose} ({_lowered(alert)}): see its log"


def _own_problem(visit: Visit, client: Summary) -> str | None:
    """What can be seen of a client's certificate from here."""
    if client.not_after < visit.now:
        end = iso(client.not_after)
        return f"it expired on {end}: renew it with angos-trio pki renew {visit.name}"
    if client.not_before > visit.now:
        begin = iso(client.not_before)
        return f"it is valid from {begin} on only: wait, or set the clock, which says " + str(
            iso(visit.now)
        )
    if not client.is_for_clients:
        return "it is not for clients (no clientAuth): make one that is with angos-trio pki client"
    return None


def words_of_answer(visit: Visit, answer: Knocked) -> str:
    """What an answer means that is not the good one. Pure."""
    place, who = visit.place, visit.name or "a client without certificate"
    reason = _reason(answer.body)
    told = f" ({reason})" if reason else ""
    match answer.status:
        case 401:
            return _unknown_caller(visit, reason)
        case 403:
            return (
                f"{place} knows {who} and refuses{told}: let a rule of global.access_policy allow "
                "get-api-version"
            )
        case 404 | 200 | 301 | 302 | 307 | 308:
            return (
                f"no registry answers on {place}: {_PATH} is {answer.status}{told}; give the host "
                "and port of the registry itself"
            )
        case status if status >= 500 or status == 429:
            return f"{place} answers {status}{told}: try again, and see its log"
        case status:
            return f"{place} answers {status} to {_PATH}{told}: see its log"


def _unknown_caller(visit: Visit, reason: str) -> str:
    place = visit.place
    if visit.client is None:
        return (
            f"{place} wants to know who is calling, and no client certificate was shown: give "
            "--client NAME"
        )
    whose = f"the client certificate of {visit.name}"
    if "revoked" in reason:
        return f"{place} refuses {visit.name}: {reason}; make another with angos-trio pki client"
    if own := _own_problem(visit, visit.client):
        return f"{place} refuses {whose}: {own}"
    told = f": {reason}" if reason else ""
    return (
        f"{place} does not take {whose}{told}; does it ask for certificates of this authority "
        "(server.tls.client_ca_bundle)?"
    )


def _reason(body: bytes) -> str:
    """What a registry says of its first error, in printable characters; empty for nothing."""
    try:
        text = str(json.loads(body)["errors"][0]["message"])[:_REASON_CHARS_MAX]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
    return plain(text)


def _skew(headers: Mapping[str, str], now: int) -> tuple[str, ...]:
    """A sentence when the clock of the registry is another one."""
    try:
        theirs = int(parsedate_to_datetime(headers.get("date", "")).timestamp())
    except (ValueError, TypeError, OverflowError):
        return ()
    if abs(theirs - now) <= CLOCKS_DIFFER_SECS:
        return ()
    return (
        f"the clocks differ: the registry has {iso(theirs)}, this host {iso(now)}; set the one "
        "that is wrong",
    )


def _peer(seen: Knocked) -> Summary | None:
    try:
        return None if seen.certificate is None else summary_of(seen.certificate)
    except CertificateError:
        return None


def _lowered(alert: str) -> str:
    return alert.lower().replace("_", " ")
