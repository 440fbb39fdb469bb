"""Cookies: by which names, with which attributes, and what is taken for one."""

from __future__ import annotations

import pytest

from angos_trio.http.cookies import Cookie, forgotten, kept, name_of, secret_in

SECRET = "s" * 43


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://registry.test", "__Host-angos-session"),
        ("https://registry.test:8443", "__Host-angos-session-8443"),
        ("http://registry.test:8000", "angos-session-8000"),
        ("http://[::1]:8000", "angos-session-8000"),
        ("http://[::1]", "angos-session"),
        ("http://registry.test:99999", "angos-session-99999"),
        (None, "angos-session"),
    ],
)
def test_name_says_the_port_and_over_tls_that_it_is_this_host(url: str | None, name: str) -> None:
    assert name_of(Cookie.SESSION, url) == name


def test_cookie_is_out_of_the_reach_of_scripts_and_of_other_sites() -> None:
    plain = kept(Cookie.SESSION, "http://registry.test", SECRET, 60)
    safe = kept(Cookie.FORM, "https://registry.test", SECRET)

    assert plain == f"angos-session={SECRET}; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"
    assert safe == f"__Host-angos-form={SECRET}; Path=/; HttpOnly; SameSite=Strict; Secure"
    assert "angos-session=; Max-Age=0;" in forgotten(Cookie.SESSION, "http://registry.test")


@pytest.mark.parametrize(
    "value", ["", "s" * 42, "s" * 44, "s" * 42 + ";", "é" * 43, "s" * 42 + "\n"]
)
def test_what_has_another_form_is_no_secret(value: str) -> None:
    assert secret_in({"angos-form": value}, Cookie.FORM, None) is None
    assert secret_in({"angos-form": SECRET}, Cookie.FORM, None) == SECRET


def test_over_tls_a_cookie_that_anybody_could_set_is_none() -> None:
    url = "https://registry.test"

    assert secret_in({"angos-session": SECRET}, Cookie.SESSION, url) is None
    assert secret_in({"__Host-angos-session": SECRET}, Cookie.SESSION, url) == SECRET
