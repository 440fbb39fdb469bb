"""sslyze looks at the TLS of the registry: every suite that is accepted, and the known attacks."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.certificates import FOR_SERVERS, Authority, Leaf
from tests.e2e.lab import Lab
from tests.e2e.machine import Failure, command
from tests.e2e.network import own_network
from tests.e2e.rotation import Rotation
from tests.e2e.secure import ADDRESS, NAME, PORT, SecureLab, make, make_odd, secured
from tests.e2e.tools import pypi_program

SUITE = "sslyze"
POLL_SECS = 0.1
READ_SECS_MAX = 10
READ_BYTES = 4096
BACKLOG = 128
OP_ALLOW_CLIENT_RENEGOTIATION = 0x100  # openssl/ssl.h, from OpenSSL 3 on; before, all allow it
SCANS = (
    *("sslv2", "sslv3", "tlsv1", "tlsv1_1", "tlsv1_2", "tlsv1_3", "compression", "heartbleed"),
    *("openssl_ccs", "robot", "reneg", "fallback", "elliptic_curves", "ems", "resum"),
    *("early_data", "certinfo"),
)
OLD_PROTOCOLS = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")
GOOD_CIPHERS = ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
"""With authenticated encryption; all of TLS 1.3 have forward secrecy, those of 1.2 are to."""
GOOD_CURVES = {"X25519", "X448", "secp256r1", "secp384r1", "secp521r1"}
GOOD_ANSWERS = {
    ("tls_compression", "supports_compression"): False,
    ("tls_1_3_early_data", "supports_early_data"): False,
    ("heartbleed", "is_vulnerable_to_heartbleed"): False,
    ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection"): False,
    ("robot", "robot_result"): "NOT_VULNERABLE_RSA_NOT_SUPPORTED",
    ("session_renegotiation", "supports_secure_renegotiation"): True,
    ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos"): False,
    ("session_renegotiation", "client_renegotiations_success_count"): 0,
    ("tls_fallback_scsv", "supports_fallback_scsv"): True,
    ("tls_extended_master_secret", "supports_ems_extension"): True,
}
NO_RESUMPTION = {
    ("session_resumption", f"{way}_resumption_result"): "NOT_SUPPORTED"
    for way in ("session_id", "tls_ticket")
}
"""Where there are client certificates: a session that is resumed has not shown one."""
WEAKNESSES = {
    "tls_1_0 is served",
    "tls_1_1 is served",
    "tls_1_2 accepts TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "tls_1_2 accepts TLS_ECDH_anon_WITH_AES_128_CBC_SHA",
    "session_renegotiation: is_vulnerable_to_client_renegotiation_dos is True",
    "session_resumption: tls_ticket_resumption_result is FULLY_SUPPORTED",
}
"""What must be found in a server that has these."""


def run(lab: Lab) -> None:
    """All checks, in a network of its own."""
    with own_network(ADDRESS):
        with lab.check(SUITE, "finds what is wrong with a weak server"):
            _expect_weak(lab)
        secure = make(lab, f"{SUITE}/tickets", has_client_ca=False)
        with (
            secured(lab, f"{SUITE}/tickets", secure) as other,
            lab.check(SUITE, "EC key, passwords: no weak protocol, suite, renegotiation, attack"),
        ):
            _expect_good(other, "ECDSA", GOOD_ANSWERS)
        odd = make_odd(lab, f"{SUITE}/certificates")
        with (
            secured(lab, f"{SUITE}/certificates", odd) as other,
            lab.check(SUITE, "RSA key, client certificates: the same, and no resumed session"),
        ):
            _change_to_rsa(other)
            _expect_good(other, "RSA", {**GOOD_ANSWERS, **NO_RESUMPTION})


def _change_to_rsa(lab: SecureLab) -> None:
    """A key with which the suites and attacks of old would be possible."""
    leaf = Leaf(dns=(NAME,), purposes=(FOR_SERVERS,))
    issued = lab.secure.root.issue(leaf, rsa.generate_private_key(65537, 2048))

    def replace() -> int:
        issued.write(lab.secure.folder, "next")
        for kind in ("pem", "key"):
            os.replace(lab.secure.folder / f"next.{kind}", lab.secure.folder / f"server.{kind}")
        return issued.certificate.serial_number

    rotation = Rotation(lab, replace, has_signal=True)
    rotation.run()
    if rotation.failures:
        raise Failure(rotation.failures[0])


def _expect_good(lab: SecureLab, key: str, answers: Mapping[tuple[str, str], object]) -> None:
    found = faults(scan(lab.scratch, PORT, lab.secure.ca), key, answers)
    if found:
        raise Failure("\n".join(found))


def _expect_weak(lab: Lab) -> None:
    scratch = lab.directory(f"{SUITE}/weak")
    root = Authority()
    (scratch / "ca.pem").write_bytes(root.pem)
    context = _weak_context(*root.server(NAME).write(scratch, "server"))
    with _weak_server(context) as port:
        document = scan(scratch, port, scratch / "ca.pem")
    found = set(faults(document, "ECDSA", {**GOOD_ANSWERS, **NO_RESUMPTION}))
    if not found >= WEAKNESSES:
        raise Failure(f"not found: {WEAKNESSES - found}; found: {sorted(found)}")


def _weak_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Everything that this machine's OpenSSL still can."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.options |= OP_ALLOW_CLIENT_RENEGOTIATION
    return context


@contextmanager
def _weak_server(context: ssl.SSLContext) -> Iterator[int]:
    """A server that shakes hands and reads; its port."""
    is_over = threading.Event()
    with socket.create_server((ADDRESS, 0), backlog=BACKLOG) as listener:
        listener.settimeout(POLL_SECS)

        def accept() -> None:
            while not is_over.is_set():
                with suppress(TimeoutError):
                    plain, _ = listener.accept()
                    threading.Thread(target=_read_all, args=[context, plain], daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            is_over.set()
            thread.join()


def _read_all(context: ssl.SSLContext, plain: socket.socket) -> None:
    """One connection, to its end."""
    plain.settimeout(READ_SECS_MAX)
    with suppress(OSError), plain, context.wrap_socket(plain, server_side=True) as connection:
        while connection.recv(READ_BYTES):
            pass


def scan(scratch: Path, port: int, ca: Path) -> dict[str, Any]:
    """What sslyze finds, by the name of each of its looks."""
    out = scratch / "found.json"
    command(
        pypi_program("sslyze"),
        *(f"--{name}" for name in SCANS),
        *("--mozilla_config=disable", "--certinfo_ca_file", ca, "--sni", NAME),
        *("--quiet", "--json_out", out, f"{ADDRESS}:{port}"),
    )
    (result,) = json.loads(out.read_text(encoding="utf-8"))["server_scan_results"]
    if result["scan_status"] != "COMPLETED":
        raise Failure(f"not scanned: {result['connectivity_error_trace']}")
    found: dict[str, Any] = result["scan_result"]
    return found


def faults(
    found: Mapping[str, Any], key: str, answers: Mapping[tuple[str, str], object]
) -> list[str]:
    """What is not as it should be, a line each; a look that was not completed is one too."""
    lines = [
        f"{name}: {look['status']}: {look['error_reason']}"
        for name, look in found.items()
        if name != "http_headers" and look["status"] != "COMPLETED"
    ]
    lines += [f"{name} is served" for name in OLD_PROTOCOLS if _is_served(found, name)]
    lines += _other_suites(found, "tls_1_2", _suites_of(f"TLS_ECDHE_{key}_WITH"))
    lines += _other_suites(found, "tls_1_3", _suites_of("TLS"))
    curves = {curve["name"] for curve in _result(found, "elliptic_curves")["supported_curves"]}
    lines += [f"curve {name} is supported" for name in sorted(curves - GOOD_CURVES)]
    for (look, field), good in answers.items():
        answer = _result(found, look).get(field)
        if answer != good:
            lines.append(f"{look}: {field} is {answer}")
    return lines


def _suites_of(begin: str) -> set[str]:
    return {f"{begin}_{cipher}" for cipher in GOOD_CIPHERS}


def _other_suites(found: Mapping[str, Any], name: str, good: Set[str]) -> list[str]:
    """Suites that should not be accepted, and those that should be."""
    accepted = _suites(found, name)
    return [
        *(f"{name} accepts {suite}" for suite in sorted(accepted - good)),
        *(f"{name} refuses {suite}" for suite in sorted(good - accepted)),
    ]


def _is_served(found: Mapping[str, Any], name: str) -> bool:
    is_supported = _result(found, f"{name}_cipher_suites").get("is_tls_version_supported", True)
    return bool(_suites(found, name)) or is_supported


def _suites(found: Mapping[str, Any], name: str) -> set[str]:
    accepted = _result(found, f"{name}_cipher_suites").get("accepted_cipher_suites", [])
    return {suite["cipher_suite"]["name"] for suite in accepted}


def _result(found: Mapping[str, Any], look: str) -> dict[str, Any]:
    """What a look found; nothing where it failed."""
    return found[look]["result"] or {}
