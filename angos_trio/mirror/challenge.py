"""What a registry wants to be shown (RFC 9110 11.6.1, RFC 6750 3): the header, taken apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from angos_trio.limits.mirror import CHALLENGES_MAX
from angos_trio.records import Frozen

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*(?:,|$)')
_SCHEME = re.compile(rf"\s*({_TOKEN})(?:\s+|\s*(?=,)|\s*$)")
_TOKEN68 = re.compile(r"\s*[A-Za-z0-9._~+/-]+=*\s*(?:,|$)")
_ESCAPED = re.compile(r"\\(.)")


class Challenge(Frozen):
    """One of the ways to be let in. `scheme` and the names of parameters are in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a `WWW-Authenticate` header, or of several joined by commas.

    What cannot be read ends the list: what came before it counts.
    """
    return list(_challenges(header))


def _challenges(header: str) -> Iterator[Challenge]:
    at, count = 0, 0
    while count < CHALLENGES_MAX and (found := _SCHEME.match(header, at)):
        at, parameters = found.end(), dict[str, str]()
        while pair := _PARAMETER.match(header, at):
            name, quoted, plain = pair.groups()
            value = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
            parameters.setdefault(name.lower(), value)
            at = pair.end()
        if not parameters and (word := _TOKEN68.match(header, at)):
            at = word.end()
        yield Challenge(found[1].lower(), parameters)
        count += 1
        while at < len(header) and header[at] in ", \t":
            at += 1
