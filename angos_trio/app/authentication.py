"""What a configuration says of callers: users, providers, tokens; and the gate made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from angos_trio.app.access import access_of, front_of
from angos_trio.app.certificates import problem_of
from angos_trio.app.outbound import Issuer, issuers_of, webhooks_of
from angos_trio.auth.access import Access
from angos_trio.auth.attempts import Attempts
from angos_trio.auth.authenticate import Callers, Memory, OperatorAuthenticator, User
from angos_trio.auth.browser_sessions import BrowserSessions
from angos_trio.auth.last_uses import LastUses
from angos_trio.auth.passwords import Passwords, check_hash
from angos_trio.auth.remembered import Remembered
from angos_trio.auth.tokens import TokenService
from angos_trio.config.model import Auth, Config
from angos_trio.config.paths import dotted
from angos_trio.config.values import decode_token_key
from angos_trio.errors import OperatorError
from angos_trio.http.challenge import Challenges
from angos_trio.http.front import Front
from angos_trio.http.gate import Gate
from angos_trio.records import Frozen, Mutable
from angos_trio.registry.pull_times import PullTimes
from angos_trio.storage.metadata import api_keys
from angos_trio.storage.metadata.api_keys import ApiKey
from angos_trio.storage.store import Storage

if TYPE_CHECKING:
    from angos_trio.pki.server import LiveTls


class Authentication(Frozen):
    """Who is known, and how the registry is reached: what has been looked at of a configuration."""

    access: Access
    front: Front
    challenges: Challenges
    users: Mapping[str, User]
    providers: Sequence[Issuer]
    tokens: TokenService | None

    def describe(self) -> list[str]:
        """Who is known, in a line; nothing where nobody is."""
        parts = []
        if self.users:
            parts.append(f"{len(self.users)} users")
        if self.providers:
            names = ", ".join(issuer.settings.name for issuer in self.providers)
            parts.append(f"tokens of {names}")
        known = [f"knows {' and '.join(parts)}"] if parts else []
        return known + (["gives registry tokens at /token"] if self.tokens is not None else [])

    def methods(self, *, takes_certificates: bool) -> list[str]:
        """How callers are recognised, a phrase each; nothing where everybody on this host is let
        in."""
        known = [
            (takes_certificates, "client certificates"),
            (bool(self.users), f"passwords of {len(self.users)} users, and their API keys"),
            *((True, f"tokens of {issuer.settings.name}") for issuer in self.providers),
            (self.tokens is not None, "registry tokens, given at /token"),
        ]
        return [phrase for is_on, phrase in known if is_on]


def authentication_of(config: Config) -> Authentication:
    """Look at everything that concerns callers. Raises OperatorError with the key's path."""
    auth = config.auth
    service = auth.token_service
    return Authentication(
        access=access_of(config, webhooks_of(auth)),
        front=front_of(config),
        challenges=Challenges(service is not None, None if service is None else service.realm),
        users=_users(auth),
        providers=issuers_of(auth),
        tokens=_token_service(auth),
    )


def _users(auth: Auth) -> Mapping[str, User]:
    users = {}
    for name, identity in auth.identity.items():
        phc = "" if identity.password is None else identity.password.reveal()
        try:
            check_hash(phc)
        except ValueError as error:
            raise OperatorError(f"{dotted(('auth', 'identity', name))}.password: {error}") from None
        users[identity.username] = User(name, identity.username, phc)
    return users


def _token_service(auth: Auth) -> TokenService | None:
    service = auth.token_service
    if service is None:
        return None
    text = "" if service.secret_key is None else service.secret_key.reveal()
    secret = decode_token_key(text, "auth.token_service.secret_key")
    return TokenService(secret, service.ttl_secs)


class Doors(Mutable):
    """What a process has of those who come through the gate, for as long as it runs."""

    storage: Storage
    last_uses: LastUses
    pull_times: PullTimes
    memory: Memory
    tls: LiveTls | None
    gate: Gate | None = None
    """What is in force: a request that goes on over a reload asks this one."""

    async def find_key(self, key: str) -> ApiKey | None:
        """The row of an API key."""
        return await self.storage.read_point(lambda rows: api_keys.find(rows, key))

    def gate_in_force(self) -> Gate:
        """The gate that counts now."""
        if self.gate is None:
            raise RuntimeError("nothing is served yet")
        return self.gate

    def callers(self, known: Authentication) -> Callers:
        """Everything by which callers are recognised, with what is remembered."""
        return Callers(
            memory=self.memory,
            passwords=Passwords(user.hash for user in known.users.values()),
            users=known.users,
            providers={
                issuer.settings.name: issuer.provider(self.memory.key_sets)
                for issuer in known.providers
            },
            tokens=known.tokens,
            find_key=self.find_key,
            note_key=self.last_uses.note,
            certificate_problem=problem_of(self.tls),
            sessions=BrowserSessions(self.storage.shared),
        )


def doors_of(
    storage: Storage,
    tls: LiveTls | None = None,
    remembered: Remembered | None = None,
    *,
    processes: int = 1,
) -> Doors:
    """For one of so many processes, which remember passwords together."""
    memory = Memory(Attempts(processes), remembered or Remembered())
    return Doors(storage, LastUses(storage), PullTimes(storage.stats), memory, tls)


def gate_of(known: Authentication, callers: Callers, in_force: Callable[[], Gate]) -> Gate:
    """The gate for everybody; `in_force` is the one after a reload."""
    return Gate(known.access, callers, known.front, known.challenges, in_force)


def operator_gate() -> Gate:
    """The gate of the control socket: whoever comes there is the operator."""
    return Gate(Access(frozenset({"operator"})), OperatorAuthenticator())
