"""What may stand in a certificate, and the sentence for what may not."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.errors import OperatorError
from angos_trio.pki.naming import (
    authority_name,
    client_name,
    client_uri,
    general_names,
    group_names,
    server_names,
)
from angos_trio.pki.profiles import name_of

LETTERS = st.characters() | st.sampled_from("a\N{CYRILLIC SMALL LETTER DE}\N{GRINNING FACE}")


@pytest.mark.parametrize(
    ("given_", "meant"),
    [
        ("DNS:registry.lab", "DNS:registry.lab"),
        ("registry.lab", "DNS:registry.lab"),
        ("Registry.LAB", "DNS:registry.lab"),
        ("dns:a_b.lab", "DNS:a_b.lab"),
        ("*.lab.example", "DNS:*.lab.example"),
        ("localhost", "DNS:localhost"),
        ("IP:10.0.0.5", "IP:10.0.0.5"),
        ("10.0.0.5", "IP:10.0.0.5"),
        ("::1", "IP:::1"),
        ("IP:2001:DB8::1", "IP:2001:db8::1"),
        ("[2001:db8::1]", "IP:2001:db8::1"),
    ],
)
def test_name_of_a_server_is_understood(given_: str, meant: str) -> None:
    assert server_names([given_, given_]) == (meant,)
    assert len(general_names([meant])) == 1


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("https://registry.lab", "without a scheme"),
        ("registry.lab:443", "without a scheme, a port or a path"),
        ("DNS:registry.lab/v2", "without a scheme, a port or a path"),
        ("registry_.lab.", "no name of a host"),
        ("-x.lab", "no name of a host"),
        ("", "no name of a host"),
        ("DNS:", "no name of a host"),
        ("*", "no name of a host"),
        ("a.*.lab", "no name of a host"),
        ("regi stry.lab", "no name of a host"),
        ("x" * 64 + ".lab", "no name of a host"),
        ("10.0.0", "neither a name of a host nor a whole address"),
        ("10.0.0.256", "neither a name of a host nor a whole address"),
        ("10.0.0.0/24", "without a scheme, a port or a path"),
        ("IP:registry.lab", "this is no address"),
        ("IP:fe80::1%eth0", "this is no address"),
        ("b\u00fccher.lab", "with xn--"),
        (".".join(["label"] * 60), "longer than 253"),
        ("bad\nname", "no name of a host"),
    ],
)
def test_name_of_a_server_that_is_none_is_refused_in_words(name: str, part: str) -> None:
    with pytest.raises(OperatorError) as refused:
        server_names([name])
    assert part in str(refused.value)
    assert str(refused.value).startswith("--san: ")
    assert str(refused.value).isprintable()


def test_server_needs_a_name() -> None:
    with pytest.raises(OperatorError, match=r"needs a name: --san registry"):
        server_names([])


def test_server_has_no_endless_names() -> None:
    with pytest.raises(OperatorError, match=r"101 names, and 100 are the most"):
        server_names([f"host-{number}" for number in range(101)])


@pytest.mark.parametrize("name", ["alice", "ci.runner-7", "Zo\u00eb", "build bot", "a" * 64, "a@b"])
def test_name_of_a_client_is_taken_as_it_is(name: str) -> None:
    assert client_name(name) == name
    assert client_uri(name).isascii()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("a" * 65, "at most 64 bytes in UTF-8"),
        ("\N{CYRILLIC SMALL LETTER DE}" * 40, "at most 64 bytes in UTF-8"),
        ("../alice", "no / and no"),
        ("a/b", "no / and no"),
        ("a\\b", "no / and no"),
        ("..", "does not begin with ."),
        (".hidden", "does not begin with ."),
        ("-o", "does not begin with -"),
        ("a\nb", "cannot be printed"),
        ("a\x00b", "cannot be printed"),
        ("a\u202eb", "cannot be printed"),
        ("a\udcffb", "cannot be printed"),
        (" alice", "a space at its begin or end"),
        ("server", "stands for something else"),
        ("Issuing", "stands for something else"),
    ],
)
def test_name_of_a_client_that_leads_elsewhere_is_refused_in_words(name: str, part: str) -> None:
    with pytest.raises(OperatorError) as refused:
        client_name(name)
    assert part in str(refused.value)
    assert str(refused.value).isprintable()


def test_groups_are_named_once_and_are_not_endless() -> None:
    assert group_names(["team", "ops/a", "team"]) == ("team", "ops/a")
    with pytest.raises(OperatorError, match=r"33 groups, and 32 are the most"):
        group_names([f"group-{number}" for number in range(33)])
    with pytest.raises(OperatorError, match=r"a group is empty"):
        group_names([""])


def test_name_of_an_authority_leaves_room_for_a_word() -> None:
    assert authority_name("a" * 56) == "a" * 56
    for name in ("a" * 57, "\N{CYRILLIC SMALL LETTER DE}" * 29):
        with pytest.raises(OperatorError, match=r"--name: .* is longer than 56 bytes in UTF-8"):
            authority_name(name)


@given(st.text(LETTERS, max_size=300))
def test_any_text_is_a_name_or_a_sentence(text: str) -> None:
    for read in (
        lambda it: name_of(client_name(it), group_names([it])),
        lambda it: name_of(f"{authority_name(it)} issuing"),
        lambda it: general_names(server_names([it])),
    ):
        with contextlib.suppress(OperatorError):
            read(text)
