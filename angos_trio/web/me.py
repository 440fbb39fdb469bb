"""The page about whoever looks at it: how they are known, what they may do, and how programs show
the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

import trio

from angos_trio.browse.overview import page_of_repositories
from angos_trio.browse.rights import CAN, rights_of
from angos_trio.browse.selection import Wanted
from angos_trio.clock import DAY_SECS
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.identity import Action, Caller, Certificate, Identity, Target
from angos_trio.limits.callers import WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.web.around import show_page
from angos_trio.web.frame import Site, method_of
from angos_trio.web.places import path_of
from angos_trio.web.recipes import Address, Recipe
from angos_trio.web.words import counted, moment

REPOSITORIES_MAX: Final = 100
"""Of whose rights the page tells."""
CLAIMS_MAX: Final = 60
_OWN: Final = "v2/_ext/_me"


class Fact(Frozen):
    """A line about somebody. `copied`: it is something to copy."""

    name: str
    value: str
    copied: bool = False


class Me:
    """The handler of the page."""

    def __init__(self, registry: Registry, site: Site) -> None:
        self._registry = registry
        self._site = site

    async def show(self, call: Call) -> Reply:
        """GET: who is looking."""
        identity = call.caller.identity
        rights, is_whole = await self._rights(call.caller)
        address = self._site.address_of(call.request)
        certificate = identity.certificate
        values = {
            "title": "Who you are",
            "is_known": bool(identity.subject),
            "sentence": sentence_of(identity),
            "facts": facts_of(identity),
            "claims": claims_of(identity),
            "certificate": () if certificate is None else certificate_facts(certificate),
            "validity": None if certificate is None else validity_of(certificate, self._site.now()),
            "words": list(CAN),
            "rights": rights,
            "path_of": path_of,
            "recipes": [] if address is None else recipes_of(identity, address),
            "notices": () if is_whole else ("There are more repositories than are shown here.",),
            "crumbs": [("Repositories", "/"), ("Who you are", "")],
        }
        return await show_page(self._site, call, "me.html", values)

    async def _rights(self, caller: Caller) -> tuple[dict[str, Mapping[str, bool]], bool]:
        """What they may do to each repository that they see, and whether these are all. A webhook
        that is slow to answer leaves the others out."""
        if not (await caller.may(Action.LIST_REPOSITORIES, Target())).allowed:
            return {}, True
        wanted = Wanted(REPOSITORIES_MAX, "", "", "name", is_descending=False)
        page, total = await page_of_repositories(self._registry, caller, wanted)
        rights: dict[str, Mapping[str, bool]] = {}
        with trio.move_on_after(WEBHOOK_QUESTIONS_SECS_MAX):
            for row in page.rows:
                rights[row.name] = await rights_of(caller, row.name)
        return rights, len(rights) == total


def sentence_of(identity: Identity) -> str:
    """How they are known, in a sentence."""
    if not identity.subject:
        return "The registry does not know you: you showed nothing that says who you are."
    return f"The registry knows you by {method_of(identity)}."


def facts_of(identity: Identity) -> list[Fact]:
    """What the identity says, without what it does not have."""
    grant = identity.grant
    facts = [
        ("Name", identity.subject),
        ("Provider", "" if identity.method == "certificate" else identity.provider),
        ("Table of the configuration", f"auth.identity.{identity.id}" if identity.id else ""),
        ("API key", "" if grant is None else f"{grant.name} ({grant.key})"),
        ("Repositories of the key", "" if grant is None else _all_or(grant.repositories)),
        ("Actions of the key", "" if grant is None else _all_or(grant.actions)),
        ("Address", identity.address),
    ]
    return [Fact(name, value) for name, value in facts if value]


def _all_or(values: Sequence[str]) -> str:
    return ", ".join(values) or "all"


def claims_of(identity: Identity) -> list[Fact]:
    """The claims that policies know as `identity.oidc.claims`."""
    claims = sorted((identity.claims or {}).items())
    return [Fact(name, _claim(name, value)) for name, value in claims[:CLAIMS_MAX]]


def _claim(name: str, value: object) -> str:
    if name in ("exp", "iat", "nbf") and isinstance(value, int | float):
        return f"{value:.0f} ({_exact(int(value))})"
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return str(value)


def _exact(at: int) -> str:
    when = moment(at, at)
    return "no date" if when is None else when.exact


def certificate_facts(certificate: Certificate) -> list[Fact]:
    """What a client certificate says."""
    names = (*certificate.dns_names, *certificate.uris, *certificate.emails)
    facts = [
        Fact("Subject", certificate.subject),
        Fact("Issuer", certificate.issuer),
        Fact("Serial number", certificate.serial),
        Fact("SHA-256", certificate.fingerprint, copied=True),
        Fact("Other names", ", ".join(names)),
    ]
    return [fact for fact in facts if fact.value]


def validity_of(certificate: Certificate, now: int) -> str:
    """Until when it counts, and how long that is."""
    until, left = _exact(certificate.not_after), certificate.not_after - now
    return f"{until}, {counted(left // DAY_SECS, 'day')} left" if left > 0 else f"{until}, over"


def recipes_of(identity: Identity, address: Address) -> list[Recipe]:
    """How programs show the same: each line runs as it is, but for names of files."""
    host = address.host
    scheme = "http" if address.is_plain else "https"
    own = f"{scheme}://{host}/{_OWN}"
    recipes = []
    if identity.method == "oidc":
        user = shlex.quote(identity.provider)
        login = f'echo "$OIDC_TOKEN" | docker login {host} --username {user} --password-stdin'
        ask = f'curl -H "Authorization: Bearer $OIDC_TOKEN" {own}'
        recipes = [
            Recipe("docker login", login, "OIDC_TOKEN is a token of the provider."),
            Recipe("curl", ask),
        ]
    elif identity.method == "basic":
        user = shlex.quote(identity.subject)
        note = "It asks for the password; an API key goes in its place."
        recipes = [
            Recipe("docker login", f"docker login {host} --username {user}", note),
            Recipe("curl", f"curl -u {user} {own}"),
        ]
    elif not identity.subject:
        recipes = [Recipe("docker login", f"docker login {host}")]
    if not address.is_plain:
        recipes += _by_certificate(host, own)
    return recipes


def _by_certificate(host: str, own: str) -> list[Recipe]:
    folder = f"/etc/docker/certs.d/{host}"
    files = [("ca.pem", "ca.crt"), ("client.pem", "client.cert"), ("client.key", "client.key")]
    lines = [f"sudo install -d {folder}"]
    lines += [f"sudo install -m 600 {file} {folder}/{name}" for file, name in files]
    note = "For a client certificate: docker and podman take these files for this host alone."
    ask = f"curl --cacert ca.pem --cert client.pem --key client.key {own}"
    return [Recipe("curl with a certificate", ask), Recipe(f"{folder}/", "\n".join(lines), note)]
