"""What is to be feared of the certificates that are handed on."""

from __future__ import annotations

from pathlib import Path

import pytest

from angos_trio.appliance.client_address import RegistryAddress
from angos_trio.appliance.client_pki import Seen, cautions
from angos_trio.clock import DAY_SECS
from angos_trio.pki.keeping import PkiDirectory
from angos_trio.pki.summary import Summary
from angos_trio.records import replace

NOW = 1_800_000_000
CA = Summary("CN=root", "CN=root", (), (), NOW - DAY_SECS, NOW + 900 * DAY_SECS)
SERVER = replace(CA, dns_names=("registry.lab",))
CLIENT = replace(CA, is_for_clients=True)
GOOD = Seen("all", "build-01", RegistryAddress("registry.lab"), CA, CLIENT, SERVER, NOW)
SOON, PAST = NOW + 30 * DAY_SECS - 1, NOW - 1


def test_good_certificates_are_nothing_to_fear() -> None:
    assert list(cautions(GOOD)) == []
    assert list(cautions(replace(GOOD, server=None))) == []


@pytest.mark.parametrize(
    ("seen", "start", "end"),
    [
        (
            replace(GOOD, client=replace(CLIENT, not_after=SOON)),
            "the client's certificate ends on 2027-02-",
            ": renew it with angos-trio pki renew build-01 before",
        ),
        (
            replace(GOOD, server=replace(SERVER, not_after=PAST)),
            "the server's certificate expired on 2027-01-",
            ": renew it with angos-trio pki renew server",
        ),
        (
            replace(GOOD, ca=replace(CA, not_after=SOON)),
            "the authority's certificate ends on",
            ": make another before",
        ),
        (
            replace(GOOD, ca=replace(CA, not_before=NOW + 1)),
            "the authority's certificate is valid from",
            "is this host's clock right?",
        ),
        (
            replace(GOOD, server=replace(SERVER, is_edwards=True)),
            "the server's certificate has an Ed25519 key, which some clients do not take",
            "ECDSA P-256 is taken by all",
        ),
        (
            replace(GOOD, address=RegistryAddress("other.lab")),
            "the server's certificate is not for other.lab: clients will refuse it",
            "it is for registry.lab",
        ),
        (
            replace(GOOD, address=RegistryAddress("::1"), server=None),
            "docker takes ::1 for one without TLS",
            "that is on no loopback address",
        ),
    ],
)
def test_each_fear_is_a_sentence(seen: Seen, start: str, end: str) -> None:
    [told] = cautions(seen)

    assert told.startswith(start)
    assert told.endswith(end)


def test_cure_names_the_directory_that_is_meant() -> None:
    late = replace(GOOD, client=replace(CLIENT, not_after=PAST))
    [told] = cautions(replace(late, directory=PkiDirectory(Path("/srv/a b/pki"))))

    assert told.endswith("renew it with angos-trio pki renew build-01 --pki '/srv/a b/pki'")


def test_loopback_is_feared_for_docker_only() -> None:
    seen = replace(GOOD, program="podman", address=RegistryAddress("localhost"), server=None)

    assert list(cautions(seen)) == []
