"""Hypothesis strategies for values of the specification, and texts that must never pass for one."""

from __future__ import annotations

import string

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from angos_trio.oci.digest import HEX_LENGTH, Digest
from angos_trio.oci.names import RepositoryName, Tag

QUICK = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(QUICK, max_examples=25)
"""For strategies whose examples are slow to draw."""

HEX_DIGITS = "0123456789abcdef"
ALPHANUMERIC = string.ascii_lowercase + string.digits
TAG_FIRST = string.ascii_letters + string.digits + "_"

SHA256 = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8

ENDINGS = (
    "\n",
    "\r\n",
    "\r",
    "\t",
    " ",
    "\x00",
    "\u0660",  # ARABIC-INDIC DIGIT ZERO: \d without re.ASCII takes it
    "\uff11",  # FULLWIDTH DIGIT ONE
    "\u00e9",
    "\u212a",  # KELVIN SIGN: lower() makes it an ASCII k
    "\u2028",
    "\ud800",  # a lone surrogate
    "%00",
    "%0a",
    "%2F..",
    "%2e%2e",
    "%C3%A9",
    "/..",
    "\\..",
    "?",
    "#",
)
"""Each makes a well-formed name, tag, digest, number or media type malformed."""


COMPONENTS = (
    *("a", "0", "a.b", "a_b", "a__b", "a-b", "a---b", "0.1_2__3-4--5", "nginx"),
    *("blobs", "manifests", "tags", "list", "uploads", "referrers", "v2"),
)


def digests() -> st.SearchStrategy[Digest]:
    """Digests of both algorithms; one number each, since 128 drawn characters are slow."""
    made = [
        st.integers(0, 16**length - 1).map(f"{name}:{{:0{length}x}}".format)
        for name, length in HEX_LENGTH.items()
    ]
    return st.one_of(made).map(Digest)


def names() -> st.SearchStrategy[RepositoryName]:
    """Repository names; the words of endpoints are frequent in them."""
    components = st.sampled_from(COMPONENTS)
    return st.lists(components, min_size=1, max_size=5).map("/".join).map(RepositoryName)


def tags() -> st.SearchStrategy[Tag]:
    firsts = st.sampled_from(TAG_FIRST)
    rests = st.text(TAG_FIRST + ".-", max_size=20)
    return st.builds(str.__add__, firsts, rests).map(Tag)


def spoiled(valid: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts that are one character away from a well-formed one: what plain text never draws."""
    strange = st.sampled_from([*ENDINGS, *"ABCZabcz019._-+=:/@,; %"])
    positions = st.integers(min_value=0, max_value=200)

    def put(text: str, inserted: str, position: int, dropped: int) -> str:
        position = min(position, len(text))
        return text[:position] + inserted + text[position + dropped :]

    return st.builds(put, valid, strange, positions, st.integers(0, 1))


def texts(valid: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Anything at all, well-formed and nearly well-formed texts among it."""
    any_text = st.text(st.characters())
    return st.one_of(valid, spoiled(valid), any_text, st.sampled_from(["", "a" * 10_000]))


def json_values() -> st.SearchStrategy[object]:
    """Whatever a JSON text can hold."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8)
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
        max_leaves=8,
    )
