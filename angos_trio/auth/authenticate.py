"""Who is calling: a certificate, a password, a token or a key becomes an identity, or a refusal.

What is shown and wrong is refused; it never makes a caller anonymous. What is cheap to look at, or
was right a short time ago, is looked at before failed attempts are counted, so that nobody is
locked out by another who guesses.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, Protocol

import trio

from angos_trio.auth.api_keys import PREFIX, ApiKeyRefusedError, check, parse_key
from angos_trio.auth.attempts import Attempts
from angos_trio.auth.browser_sessions import Begun, BrowserSessions, SignIn, is_beside, mark
from angos_trio.auth.jose import TokenRefusedError, WrongSignatureError, issuer_of
from angos_trio.auth.key_sets import KeySets
from angos_trio.auth.passwords import Passwords, too_many
from angos_trio.auth.remembered import Remembered
from angos_trio.auth.tokens import Bearer, TokenService, is_registry_token
from angos_trio.clock import epoch_seconds
from angos_trio.identity import Certificate, Grant, Identity, anonymous
from angos_trio.limits.callers import FAILURE_REFUSAL_SECS, LOGGED_SUBJECT_CHARACTERS_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.records import Frozen, Mutable, field, replace
from angos_trio.storage.metadata.api_keys import ApiKey

_EMPTY: Final = "Og=="
"""A colon (RFC 7617 2)."""


_ENDED: Final = "the session has ended"
_PLAIN: Final = frozenset(
    {"has expired", "is not valid yet", "is for another audience", "is of another issuer"}
)
"""What may be said of a token that was refused: its bearer can read as much in it."""


class NotAuthenticatedError(Exception):
    """What was shown is wrong: `reason` and `subject` are for the audit log.

    `told` is what the client may know of it; nothing where it could be guessing. `is_guess`: it was
    never right. What has only ended, such as a token, is shown by clients who mean well, and does
    not count as an attempt.
    """

    def __init__(
        self, reason: str, subject: str = "", *, told: str | None = None, is_guess: bool = False
    ) -> None:
        self.reason = reason
        self.subject = subject[:LOGGED_SUBJECT_CHARACTERS_MAX]
        self.told = told
        self.is_guess = is_guess
        super().__init__(reason)


class Shown(Frozen):
    """What a request shows of its caller: the `Authorization` header, the client's certificate, and
    the secret of a browser's session, which counts where there is no header."""

    address: str
    authorization: str | None = None
    certificate: Certificate | None = None
    session: str | None = None


class Authenticator(Protocol):
    """Says who is calling."""

    async def authenticate(self, shown: Shown) -> Identity:
        """The caller. Raises NotAuthenticatedError, TOOMANYREQUESTS (429), UNAVAILABLE (503)."""


class OperatorAuthenticator:
    """On the control socket everybody is the operator: nobody else can open it."""

    async def authenticate(self, shown: Shown) -> Identity:
        """The operator, whatever is shown."""
        return Identity("operator", "", "operator", shown.address)


class User(Frozen):
    """A Basic user: `id` is the name of its table in the configuration, `hash` in PHC form."""

    id: str
    username: str
    hash: str


class Provider(Protocol):
    """An issuer of tokens that are taken here."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""

    @property
    def issuer(self) -> str:
        """The `iss` of its tokens."""

    async def verify(self, token: str, now: int) -> Mapping[str, object]:
        """The claims of a token. Raises TokenRefusedError, or UNAVAILABLE (503)."""

    def check(self, claims: Mapping[str, object], now: int) -> None:
        """Whether claims that were verified once still count. Raises TokenRefusedError."""


FindKey = Callable[[str], Awaitable[ApiKey | None]]
"""The row of an API key by its id."""


async def _find_no_key(key: str) -> ApiKey | None:
    return None


async def _accept(certificate: Certificate) -> str | None:
    return None


def _take_no_note(key: str) -> None:
    return None


class Memory(Mutable):
    """What a process remembers of those who called, also over a reload of the configuration."""

    attempts: Attempts
    remembered: Remembered
    key_sets: KeySets = field(default_factory=KeySets)


class Callers(Frozen):
    """Everything by which callers are recognised. `certificate_problem` says why a client
    certificate does not count now, or None; `find_key` finds the row of an API key, and `note_key`
    is told that one was used. Without `sessions` no browser is known by one."""

    memory: Memory
    passwords: Passwords
    users: Mapping[str, User] = field(default_factory=dict)
    providers: Mapping[str, Provider] = field(default_factory=dict)
    tokens: TokenService | None = None
    find_key: FindKey = _find_no_key
    note_key: Callable[[str], None] = _take_no_note
    certificate_problem: Callable[[Certificate], Awaitable[str | None]] = _accept
    now: Callable[[], int] = epoch_seconds
    sessions: BrowserSessions | None = None

    async def authenticate(self, shown: Shown) -> Identity:
        """The caller. See `Authenticator`. A 429 takes its time: whoever goes on guessing is
        answered once a second on a connection, and leaves the machine to others."""
        try:
            return await self._identify(shown)
        except OciError as error:
            if error.code is Code.TOOMANYREQUESTS:
                await trio.sleep(FAILURE_REFUSAL_SECS)
            raise

    async def _identify(self, shown: Shown) -> Identity:
        certificate = shown.certificate
        if certificate is not None:
            problem = await self.certificate_problem(certificate)
            if problem is not None:
                raise NotAuthenticatedError(problem, certificate.subject, told=problem)
        if shown.authorization is not None and not is_empty(shown.authorization):
            identity = await self._by_credential(shown, shown.authorization)
        elif shown.session is not None and self.sessions is not None:
            identity = await self._by_session(self.sessions, shown, shown.session)
        else:
            return by_certificate(certificate, shown.address)
        return identity if certificate is None else replace(identity, certificate=certificate)

    async def _by_credential(self, shown: Shown, authorization: str) -> Identity:
        scheme, _, text = authorization.partition(" ")
        kind, text = scheme.lower(), text.strip()
        if kind == "basic":
            user, password = parse_basic(text)
            if user not in self.providers and parse_key(password) is None:
                return await self._by_password(shown.address, user, password)
        elif kind == "bearer":
            user, password = "", text
        else:
            raise NotAuthenticatedError("the Authorization header is of no scheme that is known")
        try:
            return await self._by_token(shown, user, password)
        except NotAuthenticatedError as error:
            if error.is_guess:
                self._refuse_if_blocked(shown.address, user)
                self._count_failure(shown.address, user)
            raise

    async def _by_password(self, address: str, username: str, password: str) -> Identity:
        user, remembered = self.users.get(username), self.memory.remembered
        if user is None:
            self._refuse_if_blocked(address, username)
            await self.passwords.verify_nobody(password, username)
            self._count_failure(address, username)
            # Who puts a key into the wrong field must not find it in the log.
            told = PREFIX if username.startswith(PREFIX) else username
            raise NotAuthenticatedError("there is no user of this name", told)
        if not remembered.knows(username, user.hash, password, time.monotonic()):
            self._refuse_if_blocked(address, username)
            if not await self.passwords.verify(user.hash, password):
                self._count_failure(address, username)
                raise NotAuthenticatedError("the password is wrong", username)
            remembered.remember(username, user.hash, password, time.monotonic())
            self.memory.attempts.succeeded(address, username)
        return of_user(user, address)

    async def _by_token(self, shown: Shown, user: str, text: str) -> Identity:
        """By what is no password. Beside a provider's name it is that provider's alone."""
        key = parse_key(text)
        if key is not None:
            return await self._by_key(shown.address, user, *key)
        if user:
            return await self._by_provider(self.providers[user], shown.address, text)
        if self.tokens is not None and is_registry_token(text):
            return await self._by_registry_token(self.tokens, shown, text)
        return await self._by_issuer(shown.address, text)

    async def _by_issuer(self, address: str, text: str) -> Identity:
        """By a provider that has the token's issuer; of several the first that takes it."""
        refusal = NotAuthenticatedError("the token is of nobody who is known here")
        issuer = issuer_of(text)
        for provider in self.providers.values():
            if provider.issuer == issuer:
                try:
                    return await self._by_provider(provider, address, text)
                except NotAuthenticatedError as error:
                    refusal = error
        raise refusal

    async def _by_key(self, address: str, username: str, key: str, secret: str) -> Identity:
        row = await self.find_key(key)
        if row is None:
            raise NotAuthenticatedError(f"there is no API key {key}", username, is_guess=True)
        try:
            grant = check(row, secret, self.now())
        except ApiKeyRefusedError as error:
            is_guess = not row.has_expired(self.now())
            raise NotAuthenticatedError(error.reason, username, is_guess=is_guess) from None
        if username not in ("", row.owner):
            raise NotAuthenticatedError(f"API key {key} is another user's", username, is_guess=True)
        return self._of_key(row, grant, address)

    def _of_key(self, row: ApiKey, grant: Grant, address: str) -> Identity:
        user = self.users.get(row.owner)
        if user is None:
            raise NotAuthenticatedError(f"the owner of API key {row.id} is gone", row.owner)
        self.note_key(row.id)
        return replace(of_user(user, address), grant=grant)

    async def _by_provider(self, provider: Provider, address: str, text: str) -> Identity:
        try:
            claims = await provider.verify(text, self.now())
        except TokenRefusedError as error:
            raise NotAuthenticatedError(
                f"the token {error}",
                provider.name,
                told=f"the token {error}" if error.reason in _PLAIN else None,
                is_guess=isinstance(error, WrongSignatureError),
            ) from None
        return Identity("oidc", provider.name, str(claims["sub"]), address, claims=claims)

    async def _by_registry_token(self, tokens: TokenService, shown: Shown, text: str) -> Identity:
        """No wrong one counts as an attempt: nobody guesses a signature, and where the operator
        changes the key all who mean well show a wrong one."""
        try:
            bearer = tokens.read(text, self.now(), shown.certificate)
        except TokenRefusedError as error:
            raise NotAuthenticatedError(f"the registry token {error}") from None
        if bearer.method == "basic":
            return await self._of_bearer(bearer, shown.address, tokens.mark)
        if bearer.method == "oidc":
            return self._of_provider(bearer, shown.address)
        return by_certificate(shown.certificate, shown.address)

    def _of_provider(self, bearer: Bearer, address: str) -> Identity:
        """A token for a provider's token ends with the provider, and when that one would not be
        taken any more: the operator may want another audience now, or other claims."""
        provider, claims = self.providers.get(bearer.provider), bearer.claims
        if provider is None or claims is None:
            raise NotAuthenticatedError("the token's provider is gone", bearer.provider)
        try:
            provider.check(claims, self.now())
        except TokenRefusedError as error:
            raise NotAuthenticatedError(f"the token {error}", bearer.provider) from None
        return Identity("oidc", bearer.provider, bearer.subject, address, claims=claims)

    async def _of_bearer(
        self, bearer: Bearer, address: str, mark: Callable[[str], str]
    ) -> Identity:
        """A Basic user's token ends with the user, with the password, and with the API key."""
        user = self.users.get(bearer.subject)
        if bearer.key is not None:
            row = await self.find_key(bearer.key)
            if row is None or row.has_expired(self.now()) or row.owner != bearer.subject:
                raise NotAuthenticatedError("the token's API key is gone", bearer.subject)
            grant = Grant(row.id, row.name, row.repositories, row.actions)
            return self._of_key(row, grant, address)
        if user is None or bearer.password != mark(user.hash):
            raise NotAuthenticatedError("the token's user or password is gone", bearer.subject)
        return of_user(user, address)

    async def _by_session(self, sessions: BrowserSessions, shown: Shown, secret: str) -> Identity:
        """No wrong one counts as an attempt: nobody guesses one, and a browser shows what has ended
        until it is told."""
        found = await sessions.find(secret, self.now())
        if found is None:
            raise NotAuthenticatedError(_ENDED, told=_ENDED)
        if not is_beside(found, shown.certificate):
            reason = "the session began with another client certificate"
            raise NotAuthenticatedError(reason, found.bearer.subject, told=reason)
        try:
            if found.bearer.method == "oidc":
                return self._of_provider(found.bearer, shown.address)
            return await self._of_bearer(found.bearer, shown.address, partial(mark, secret))
        except NotAuthenticatedError as error:
            raise NotAuthenticatedError(error.reason, error.subject, told=_ENDED) from None

    def sign_in(self) -> SignIn | None:
        """What pages that let people sign in work with; None where there are no sessions."""
        if self.sessions is None:
            return None
        return SignIn(
            self.begin_session, self.sessions.end, bool(self.users), tuple(self.providers)
        )

    async def begin_session(self, identity: Identity) -> Begun | None:
        """A session for who has just shown a password, a key or a provider's token; None for who is
        known in any other way, and for what has ended already."""
        if self.sessions is None or identity.method not in ("basic", "oidc"):
            return None
        user = self.users.get(identity.subject) if identity.method == "basic" else None
        return await self.sessions.begin(identity, None if user is None else user.hash, self.now())

    def token_for(self, identity: Identity) -> tuple[str, int] | None:
        """A registry token and its seconds; None without a token service.

        Raises DENIED (403) where the caller's claims do not fit into one.
        """
        if self.tokens is None:
            return None
        user = self.users.get(identity.subject) if identity.method == "basic" else None
        expires = (identity.claims or {}).get("exp")
        try:
            return self.tokens.issue(
                identity,
                self.now(),
                None if user is None else user.hash,
                int(expires) if isinstance(expires, int | float) else None,
            )
        except TokenRefusedError as error:
            raise OciError(
                Code.DENIED, status=403, message=f"no token can be given: {error}", detail="/token"
            ) from None

    def _refuse_if_blocked(self, address: str, user: str) -> None:
        """Raise TOOMANYREQUESTS (429) when too many attempts have failed."""
        secs = self.memory.attempts.blocked_secs(address, user, time.monotonic())
        if secs > 0:
            raise too_many(secs)

    def _count_failure(self, address: str, user: str) -> None:
        self.memory.attempts.failed(address, user, time.monotonic())


def of_user(user: User, address: str) -> Identity:
    """The identity of a Basic user."""
    return Identity("basic", "", user.username, address, id=user.id)


def by_certificate(certificate: Certificate | None, address: str) -> Identity:
    """Who shows nothing but a certificate: its subject, or a name of it if the subject is empty."""
    if certificate is None:
        return anonymous(address)
    names = (certificate.subject, *certificate.uris, *certificate.dns_names, *certificate.emails)
    subject = next((name for name in names if name), certificate.fingerprint)
    return Identity("certificate", certificate.issuer, subject, address, certificate=certificate)


def is_empty(authorization: str) -> bool:
    """Whether these are Basic credentials of no user with no password.

    podman, skopeo and buildah answer a challenge so when they have no credentials: nothing is
    shown, and nobody is guessing.
    """
    scheme, _, text = authorization.partition(" ")
    return scheme.lower() == "basic" and text.strip() == _EMPTY


def parse_basic(text: str) -> tuple[str, str]:
    """User and password (RFC 7617 2), which may have colons. Raises NotAuthenticatedError."""
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise NotAuthenticatedError("the Basic credentials cannot be read") from None
    if not colon:
        raise NotAuthenticatedError("the Basic credentials have no password")
    return user, password
