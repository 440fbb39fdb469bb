"""How a request came: addresses behind proxies, and pages of other sites."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.http.front import Front, is_here, is_own_wish, origin_of
from angos_trio.identity import LOCAL_ADDRESS, Approach
from tests.oci.strategies import QUICK, texts

PROXY, OTHER_PROXY, CLIENT, LIAR = "192.0.2.1", "192.0.2.2", "198.51.100.7", "203.0.113.9"
NETWORKS = (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8:1::/48"))
BEHIND = Front(trusted_proxies=NETWORKS)
DIRECT = Front()


def came(front: Front, peer: str, *headers: tuple[str, str], scheme: str = "http") -> Approach:
    return front.approach("GET", scheme, "/v2/", peer, headers)


def forwarded(*values: str) -> list[tuple[str, str]]:
    return [("x-forwarded-for", value) for value in values]


@pytest.mark.parametrize(
    ("peer", "values", "address"),
    [
        (PROXY, [CLIENT], CLIENT),
        (PROXY, [f"{LIAR}, {CLIENT}"], CLIENT),
        (PROXY, [LIAR, CLIENT], CLIENT),
        (PROXY, [f"{CLIENT}, {OTHER_PROXY}"], CLIENT),
        (PROXY, [OTHER_PROXY], OTHER_PROXY),
        (PROXY, [f"{CLIENT}:4711"], CLIENT),
        (PROXY, [f"::ffff:{CLIENT}"], CLIENT),
        (PROXY, ["[2001:db8::7]:4711"], "2001:db8::7"),
        (PROXY, ["2001:db8::7"], "2001:db8::7"),
        ("2001:db8:1::1", [CLIENT], CLIENT),
        (f"::ffff:{PROXY}", [CLIENT], CLIENT),
        (PROXY, [f"{CLIENT}, unknown"], PROXY),
        (PROXY, [f"{CLIENT}, {OTHER_PROXY}, _hidden"], PROXY),
        (PROXY, [f"{CLIENT}, x, {OTHER_PROXY}"], OTHER_PROXY),
        (PROXY, [""], PROXY),
        (PROXY, [], PROXY),
        (CLIENT, [LIAR], CLIENT),
        (LOCAL_ADDRESS, [LIAR], LOCAL_ADDRESS),
    ],
)
def test_address_is_the_right_most_that_no_trusted_proxy_has(
    peer: str, values: list[str], address: str
) -> None:
    assert came(BEHIND, peer, *forwarded(*values)).address == address


def test_client_of_ipv4_is_known_by_that_on_a_socket_for_both() -> None:
    # systemd's sockets are such: rules would not know `client_ip`, nor `/readyz` this machine.
    assert came(Front(), "::ffff:192.0.2.7").address == "192.0.2.7"
    assert is_here(came(Front(), "::ffff:127.0.0.1").address)
    assert came(Front(), "2001:db8::7").address == "2001:db8::7"


def test_nobody_is_believed_where_no_proxy_is_trusted() -> None:
    approach = came(DIRECT, PROXY, *forwarded(LIAR), ("x-forwarded-proto", "https"))

    assert (approach.address, approach.scheme) == (PROXY, "http")


@pytest.mark.parametrize(("real", "address"), [(CLIENT, CLIENT), ("nobody", PROXY), ("", PROXY)])
def test_real_ip_counts_without_a_list(real: str, address: str) -> None:
    assert came(BEHIND, PROXY, ("x-real-ip", real)).address == address


def test_list_counts_before_the_real_ip() -> None:
    assert came(BEHIND, PROXY, ("x-real-ip", LIAR), *forwarded(CLIENT)).address == CLIENT


@pytest.mark.parametrize(
    ("told", "scheme"),
    [("https", "https"), ("HTTPS", "https"), ("http, https", "https"), ("ftp", "http")],
)
def test_scheme_is_what_the_nearest_proxy_says(told: str, scheme: str) -> None:
    assert came(BEHIND, PROXY, ("x-forwarded-proto", told)).scheme == scheme
    assert came(BEHIND, CLIENT, ("x-forwarded-proto", told)).scheme == "http"


@given(st.lists(texts(st.just(LIAR)), max_size=4), st.sampled_from([PROXY, CLIENT]))
@QUICK
def test_address_is_the_peer_s_or_an_ip_address(values: list[str], peer: str) -> None:
    address = came(BEHIND, peer, *forwarded(*values)).address

    assert address == peer or ipaddress.ip_address(address)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("registry.example.test", "https://registry.example.test"),
        ("registry.example.test:5000", "https://registry.example.test:5000"),
        ("[::1]:5000", "https://[::1]:5000"),
        ('a"b', None),
        ("a, b", None),
        ("a/b", None),
        ("user@a", None),
        ("", None),
    ],
)
def test_own_url_repeats_no_host_that_is_none(host: str, url: str | None) -> None:
    approach = came(DIRECT, CLIENT, ("host", host), scheme="https")

    assert DIRECT.url(approach) == url
    assert Front("https://a.example.test").url(approach) == "https://a.example.test"


OWN = "https://registry.example.test"


def changed(*headers: tuple[str, str], method: str = "DELETE") -> Approach:
    return DIRECT.approach(
        method, "https", "/v2/", CLIENT, (("host", "registry.example.test"), *headers)
    )


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("origin", OWN),),
        (("origin", f"{OWN}:443"),),
        (("origin", "https://REGISTRY.example.test"),),
        (("origin", OWN), ("sec-fetch-site", "same-origin")),
        (("sec-fetch-site", "none"),),
    ],
)
def test_programs_and_our_own_pages_may_change_things(headers: tuple[tuple[str, str], ...]) -> None:
    assert DIRECT.problem_of_origin(changed(*headers)) is None


@pytest.mark.parametrize(
    "headers",
    [
        (("origin", "https://other.example.test"),),
        (("origin", "http://registry.example.test"),),
        (("origin", f"{OWN}:8443"),),
        (("origin", "null"),),
        (("origin", "https://[bad"),),
        (("sec-fetch-site", "cross-site"),),
        (("sec-fetch-site", "same-site"),),
        (("origin", OWN), ("sec-fetch-site", "cross-site")),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "FOO"])
def test_pages_of_other_sites_may_not(headers: tuple[tuple[str, str], ...], method: str) -> None:
    assert DIRECT.problem_of_origin(changed(*headers, method=method)) is not None


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_is_not_looked_at(method: str) -> None:
    assert DIRECT.problem_of_origin(changed(("origin", "null"), method=method)) is None


@pytest.mark.parametrize(
    ("headers", "is_refused"),
    [
        ((), False),
        ((("origin", OWN),), False),
        ((("origin", "https://other.example.test"),), True),
        ((("origin", "null"),), True),
        ((("sec-fetch-site", "cross-site"),), True),
    ],
)
def test_pages_of_other_sites_open_no_socket(
    headers: tuple[tuple[str, str], ...], is_refused: bool
) -> None:
    approach = changed(*headers, method="GET")

    assert (DIRECT.problem_of_origin(approach, is_socket=True) is not None) == is_refused


def test_origin_is_compared_with_the_external_url_where_there_is_one() -> None:
    front = Front(external_url="https://outside.example.test")

    assert front.problem_of_origin(changed(("origin", OWN))) is not None
    assert front.problem_of_origin(changed(("origin", "https://outside.example.test"))) is None


@given(texts(st.just(OWN)))
@QUICK
def test_origin_of_any_text_is_none_or_three_parts(text: str) -> None:
    found = origin_of(text)

    assert found is None or found[0] in ("http", "https")


def test_here_is_a_socket_of_this_machine() -> None:
    assert is_here(LOCAL_ADDRESS)
    assert is_here("127.0.0.2")
    assert not is_here(CLIENT)


OURS, EVIL = ("origin", "http://registry.test"), ("origin", "http://evil.test")
SAME, CROSS = ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")
NEAR, BY_HAND = ("sec-fetch-site", "same-site"), ("sec-fetch-site", "none")
LED_HERE = ("sec-fetch-mode", "navigate")


@pytest.mark.parametrize(
    ("headers", "looks", "changes"),
    [
        ([], True, False),
        ([OURS], True, True),
        ([EVIL], True, False),
        ([("origin", "null")], True, False),
        ([("origin", "http://registry.test:81")], True, False),
        ([("origin", "https://registry.test")], True, False),
        ([SAME], True, True),
        ([SAME, OURS], True, True),
        ([SAME, EVIL], True, False),
        ([BY_HAND], True, False),
        ([BY_HAND, OURS], True, True),
        ([CROSS], False, False),
        ([CROSS, OURS], False, False),
        ([NEAR, OURS], False, False),
        ([CROSS, LED_HERE], True, False),
        ([NEAR, LED_HERE, OURS], True, False),
    ],
)
def test_session_counts_for_what_our_own_page_wishes(
    headers: list[tuple[str, str]], looks: bool, changes: bool
) -> None:
    def counts(method: str, *, is_socket: bool = False) -> bool:
        asked = Approach(method, "http", "registry.test", headers=tuple(headers))
        return is_own_wish(asked, "http://registry.test", is_socket=is_socket)

    assert counts("GET") == counts("HEAD") == looks
    assert counts("POST") == counts("DELETE") == counts("GET", is_socket=True) == changes


def test_without_an_address_of_its_own_no_page_is_the_registrys() -> None:
    asked = Approach("POST", "http", None, headers=(("origin", "null"),))

    assert not is_own_wish(asked, None)
