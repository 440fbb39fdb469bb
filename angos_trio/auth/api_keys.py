"""API keys: `atk_<id>_<secret>`, what is wrong with one, and what it narrows its owner to.

The beginning is for programs that look for secrets in what people publish. The id finds the row;
of the secret, which has 256 bits, the row has the SHA-256. A slow hash is for passwords: nobody
finds such a secret by trying.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from angos_trio.identity import Action, Grant
from angos_trio.limits.callers import (
    API_KEY_GLOB_CHARACTERS_MAX,
    API_KEY_GLOBS_MAX,
    API_KEY_NAME_CHARACTERS_MAX,
    API_KEY_SECS_MAX,
    COMPILED_GLOBS_MAX,
)
from angos_trio.oci.codes import Code, OciError
from angos_trio.storage.metadata.api_keys import ApiKey

PREFIX: Final = "atk_"
ID_CHARACTERS: Final = 12
SECRET_CHARACTERS: Final = 43
_ID_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_SECRET_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_KEY = re.compile(
    rf"{PREFIX}(?P<id>[a-z2-7]{{{ID_CHARACTERS}}})_(?P<secret>[A-Za-z0-9]{{{SECRET_CHARACTERS}}})",
    re.ASCII,
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_GLOB = re.compile(r"[a-z0-9._*-]+(?:/[a-z0-9._*-]+)*", re.ASCII)

NEVER_GRANTED: Final = frozenset(
    {Action.LIST_API_KEYS, Action.CREATE_API_KEY, Action.DELETE_API_KEY}
)
"""A key makes no keys, and ends none."""
GRANTABLE: Final = tuple(sorted(str(action) for action in Action if action not in NEVER_GRANTED))
"""The actions that a key can be narrowed to."""


class ApiKeyRefusedError(Exception):
    """A key that does not count: `reason` is for the audit log and has nothing of the secret."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class KeyText:
    """A new key in its parts. `text` is what its owner is shown, once."""

    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """The key as a client shows it."""
        return f"{PREFIX}{self.id}_{self.secret}"


def make_key() -> KeyText:
    """A key that nobody has."""
    return KeyText(
        "".join(secrets.choice(_ID_ALPHABET) for _ in range(ID_CHARACTERS)),
        "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(SECRET_CHARACTERS)),
    )


def parse_key(text: str) -> tuple[str, str] | None:
    """Id and secret of what has the form of a key, else None."""
    match = _KEY.fullmatch(text)
    return None if match is None else (match["id"], match["secret"])


def hash_secret(secret: str) -> str:
    """What is stored of a secret: its SHA-256 in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check(row: ApiKey, secret: str, now: int) -> Grant:
    """What a key grants at `now` (epoch seconds). Raises ApiKeyRefusedError.

    How long the comparison takes tells nothing of the secret.
    """
    if not hmac.compare_digest(hash_secret(secret), row.secret_hash):
        raise ApiKeyRefusedError(f"the secret of API key {row.id} is wrong")
    if row.has_expired(now):
        raise ApiKeyRefusedError(f"API key {row.id} has expired")
    return Grant(row.id, row.name, row.repositories, row.actions)


_FILTERED: Final = frozenset(
    {
        *(Action.LIST_CATALOG, Action.LIST_REPOSITORIES, Action.FIND),
        *(Action.GET_ACTIVITY, Action.GET_EVENTS, Action.UI_CONFIG),
    }
)
"""Of the registry as a whole, and filtered by what the caller sees; or the name of the registry."""


def covers(grant: Grant, action: Action, namespace: str | None) -> bool:
    """Whether a key reaches this; then its owner's rights decide.

    `get-api-version` is always reached, since clients begin with it. What is done to the registry
    itself is reached when the key names the action; so is what shows nothing but what the key
    reaches, when the key names none.
    """
    if action is Action.GET_API_VERSION:
        return True
    if grant.actions and action not in grant.actions:
        return False
    if namespace is None:
        return bool(grant.actions) or action in _FILTERED
    return not grant.repositories or any(
        compile_glob(glob).match(namespace) for glob in grant.repositories
    )


@lru_cache(maxsize=COMPILED_GLOBS_MAX)
def compile_glob(glob: str) -> re.Pattern[str]:
    """A pattern that matches a whole name: `*` is any run of characters within a segment, `**` any
    run at all.

    The earliest place where the text behind a star fits serves what follows as well as any later
    one: within a segment for `*`, and anywhere for `**` with all up to the next `**`. So every
    star is a group that does not try again (atomic), and no glob takes a name longer than the
    square of its length.
    """
    first, *parts = glob.split("**")
    text = _within_segments(first, is_last=not parts)
    for number, part in enumerate(parts, 1):
        text += f"(?>.*?{_within_segments(part, is_last=number == len(parts))})"
    return re.compile(text, re.DOTALL)


def _within_segments(part: str, *, is_last: bool) -> str:
    """The pattern of a part of a glob without `**`; the last one goes to the end of the name."""
    first, *others = map(re.escape, part.split("*"))
    end = r"\Z" if is_last else ""
    if not others:
        return first + end
    *inner, last = others
    return first + "".join(f"(?>[^/]*?{text})" for text in inner) + f"(?>[^/]*?{last}{end})"


def check_name(name: str) -> None:
    """Refuse what is no name of a key. Raises OciError NAME_INVALID (400)."""
    if len(name) > API_KEY_NAME_CHARACTERS_MAX or _NAME.fullmatch(name) is None:
        raise OciError(
            Code.NAME_INVALID,
            message=f"the name of a key has 1 to {API_KEY_NAME_CHARACTERS_MAX} letters, digits, "
            "dots, dashes and underscores, and begins with a letter or a digit",
            detail=name,
        )


def check_expiry(expires_in_secs: int | None) -> None:
    """Refuse a key that would end at once, or later than ever. Raises NAME_INVALID (400)."""
    if expires_in_secs is not None and not 1 <= expires_in_secs <= API_KEY_SECS_MAX:
        raise OciError(
            Code.NAME_INVALID,
            message=f"a key expires after 1 to {API_KEY_SECS_MAX} seconds, or never",
            detail=expires_in_secs,
        )


def check_globs(globs: Sequence[str]) -> None:
    """Refuse globs that no name could match, or that mean something else elsewhere. Raises
    NAME_INVALID (400)."""
    if len(globs) > API_KEY_GLOBS_MAX:
        raise OciError(
            Code.NAME_INVALID,
            message=f"a key has at most {API_KEY_GLOBS_MAX} globs of repositories",
            detail=len(globs),
        )
    for glob in globs:
        is_short = len(glob) <= API_KEY_GLOB_CHARACTERS_MAX
        if not is_short or "***" in glob or _GLOB.fullmatch(glob) is None:
            raise OciError(
                Code.NAME_INVALID,
                message=f"{shown(glob)} is no glob of repository names: those are lower case, and "
                "only * (within a segment) and ** (across segments) stand for others",
                detail=glob,
            )


def check_actions(actions: Sequence[str]) -> None:
    """Refuse actions that no key can be narrowed to. Raises NAME_INVALID (400)."""
    for action in actions:
        if action not in GRANTABLE:
            near = difflib.get_close_matches(action, GRANTABLE, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(GRANTABLE)}"
            raise OciError(
                Code.NAME_INVALID,
                message=f"{shown(action)} is no action of a key; {hint}",
                detail=action,
            )


def shown(text: str) -> str:
    """Text of a request as it may stand in a message of one line."""
    return ascii(text[:API_KEY_NAME_CHARACTERS_MAX])
