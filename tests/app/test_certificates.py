"""Files of certificates that change while a registry runs, and what the log says of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives.serialization import Encoding

from angos_trio.app.certificates import follow_files, problem_of, remarks_of
from angos_trio.identity import Certificate
from angos_trio.limits.callers import PKI_LOOK_SECS
from angos_trio.pki.certificates import read_certificate
from tests.certificates import Authority
from tests.server.log_lines import LogLines
from tests.server.secured import Secured

LOOKS = 6 * PKI_LOOK_SECS
"""Long enough for a change to be seen twice, with a clock that runs fast."""


def while_followed(tls: Secured, test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow_files, tls.live)
            await trio.testing.wait_all_tasks_blocked()
            await test()
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(rate=20))


@pytest.fixture
def tls(tmp_path: Path) -> Secured:
    return Secured(tmp_path)


def test_new_files_are_taken_and_told_of_once(tls: Secured, log_lines: LogLines) -> None:
    before = tls.live.current

    async def test() -> None:
        await trio.sleep(LOOKS)
        assert tls.live.current is before
        tls.root.server(ends_secs=-60).write(tls.folder, "server")
        await trio.sleep(LOOKS)

    while_followed(tls, test)
    assert tls.live.current is not before
    (taken,) = log_lines.of("certificates.reloaded")
    assert taken["not_after"] == tls.live.current.not_after
    (remark,) = log_lines.of("certificates.remark")
    assert "expired on" in remark["remark"]
    assert remarks_of(tls.live) == [
        "server.tls.server_certificate_bundle: the certificate has expired"
    ]


def test_connection_does_not_outlive_the_authority_of_its_client(tls: Secured) -> None:
    alice = read_certificate(
        tls.clients.client("alice").der, [tls.clients.certificate.public_bytes(Encoding.DER)]
    )
    others = Authority("Other clients")
    bundle = tls.folder / "clients.pem"
    assert problem(tls, alice) is None
    bundle.write_bytes(others.pem + tls.clients.pem)
    assert tls.live.reload() is None
    assert problem(tls, alice) is None
    bundle.write_bytes(others.pem)
    (tls.folder / "clients.crl").write_bytes(others.crl())
    assert tls.live.reload() is None
    assert "authority" in (problem(tls, alice) or "")


def test_list_counts_for_whoever_asks_after_it_was_written(tls: Secured) -> None:
    issued = tls.clients.client("alice")
    alice = read_certificate(issued.der, [tls.clients.certificate.public_bytes(Encoding.DER)])
    crl = tls.folder / "clients.crl"
    assert problem(tls, alice) is None
    crl.write_bytes(tls.clients.crl(issued))
    assert problem(tls, alice) == "the client certificate is revoked"
    crl.write_bytes(tls.clients.crl(issued)[:-30])  # somebody is still writing it
    assert problem(tls, alice) == "the client certificate is revoked"
    crl.unlink()
    assert problem(tls, alice) == "the client certificate is revoked"
    crl.write_bytes(tls.clients.crl())
    assert problem(tls, alice) is None
    assert [tls.live.look() for _ in range(3)] == [False, True, False]
    assert tls.live.problem is None


def test_list_that_is_one_of_several_is_not_taken_for_all_of_them(tmp_path: Path) -> None:
    other = Authority("Other clients")
    tls = Secured(tmp_path)
    (tmp_path / "clients.pem").write_bytes(tls.clients.pem + other.pem)
    crl = tmp_path / "clients.crl"
    issued = other.client("bob")
    crl.write_bytes(tls.clients.crl() + other.crl(issued))
    assert tls.live.reload() is None
    bob = read_certificate(issued.der, [other.certificate.public_bytes(Encoding.DER)])
    assert problem(tls, bob) == "the client certificate is revoked"
    crl.write_bytes(tls.clients.crl())  # cut off between the two, or meant so: time tells
    assert problem(tls, bob) == "the client certificate is revoked"
    assert [tls.live.look() for _ in range(2)] == [False, True]
    assert problem(tls, bob) is None


def problem(tls: Secured, certificate: Certificate) -> str | None:
    """Why a certificate does not count at this moment."""
    return trio.run(problem_of(tls.live), certificate)


@pytest.mark.slow
def test_bad_files_change_nothing_and_are_told_of_once(tls: Secured, log_lines: LogLines) -> None:
    before = tls.live.current

    async def test() -> None:
        (tls.folder / "server.key").write_bytes(b"broken")
        await trio.sleep(LOOKS)
        assert tls.live.current is before
        (refused,) = log_lines.of("certificates.refused")
        assert refused["level"] == "error"
        assert refused["reason"].startswith("server.tls.server_private_key: ")
        tls.root.server().write(tls.folder, "server")
        await trio.sleep(LOOKS)

    while_followed(tls, test)
    assert len(log_lines.of("certificates.reloaded")) == 1
    assert tls.live.problem is None


def test_list_that_is_out_of_date_is_remarked_on(tls: Secured) -> None:
    (tls.folder / "clients.crl").write_bytes(tls.clients.crl(next_update_secs=-1))
    assert tls.live.reload() is None
    assert remarks_of(tls.live) == [
        "server.tls.client_crl: the list of CN=Clients' root is out of date"
    ]
