"""The keys of issuers: which can be used, when they are fetched, and what happens when they cannot
be. The servers are real; Trio's clock is moved by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.auth.jose import TokenRefusedError
from angos_trio.auth.key_sets import KeySets, KeysUnavailableError, parse_key, parse_key_set
from angos_trio.auth.oidc import OidcProvider
from angos_trio.limits.callers import (
    KEY_SET_BYTES_MAX,
    KEY_SETS_MAX,
    KEYS_FORCED_SECS,
    KEYS_MAX,
    KEYS_RETRY_SECS,
    KEYS_STALE_SECS_MAX,
)
from angos_trio.oci.codes import Code, OciError
from tests.auth.issuer import (
    DISCOVERY,
    KEYS,
    NOW,
    Issuer,
    as_json,
    ec_key,
    ed_key,
    issuer,
    jwk_of,
    rsa_key,
)
from tests.net.trust import Trust
from tests.net.web import Reply, json_reply, web
from tests.oci.strategies import QUICK
from tests.server.log_lines import LogLines

Result = TypeVar("Result")
REFRESH_SECS = 3600


# What a JWKS holds


@pytest.mark.parametrize(
    ("jwk", "algorithms"),
    [
        (jwk_of(rsa_key()), "RS256 RS384 RS512 PS256 PS384 PS512"),
        (jwk_of(rsa_key(), alg="PS256"), "PS256"),
        (jwk_of(rsa_key(), use=None, key_ops=None), "RS256 RS384 RS512 PS256 PS384 PS512"),
        (jwk_of(rsa_key(), crv="P-256"), "RS256 RS384 RS512 PS256 PS384 PS512"),
        (jwk_of(ec_key()), "ES256"),
        (jwk_of(ec_key(ec.SECP384R1)), "ES384"),
        (jwk_of(ec_key(ec.SECP521R1)), "ES512"),
        (jwk_of(ed_key()), "EdDSA"),
        (jwk_of(rsa_key(), x5c=["nonsense"], x5u="https://evil.example.test"), "RS256 RS384 "
         "RS512 PS256 PS384 PS512"),
    ],
)  # fmt: skip
def test_key_serves_for_what_it_is(jwk: dict[str, Any], algorithms: str) -> None:
    key = parse_key(jwk)

    assert key is not None
    assert key.algorithms == set(algorithms.split())


UNUSABLE: dict[str, object] = {
    "for encryption": jwk_of(rsa_key(), use="enc"),
    "only to sign": jwk_of(rsa_key(), key_ops=["sign"]),
    "for nobody knows what": jwk_of(rsa_key(), key_ops="verify"),
    "symmetric": {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256"},
    "symmetric by another name": jwk_of(rsa_key(), alg="HS256"),
    "none": jwk_of(rsa_key(), alg="none"),
    "an algorithm of another type": jwk_of(ec_key(), alg="RS256"),
    "an algorithm of another curve": jwk_of(ec_key(), alg="ES384"),
    "too short": jwk_of(rsa_key(0, 1024)),
    "a private key": {**jwk_of(rsa_key()), "d": "AQAB"},
    "of an unknown curve": {**jwk_of(ec_key()), "crv": "secp256k1"},
    "off its curve": {**jwk_of(ec_key()), "y": jwk_of(ec_key())["x"]},
    "of an unknown type": {**jwk_of(rsa_key()), "kty": "NTRU"},
    "without a type": jwk_of(rsa_key(), kty=None),
    "with a type of another kind": jwk_of(rsa_key(), kty=["RSA"]),
    "with a name of another kind": {**jwk_of(rsa_key()), "kid": 7},
    "without a modulus": jwk_of(rsa_key(), n=None),
    "with a modulus that is no number": jwk_of(rsa_key(), n=17),
    "with a modulus that is no base64": jwk_of(rsa_key(), n="***"),
    "with an even exponent": jwk_of(rsa_key(), e="Ag"),
    "with an exponent of one": jwk_of(rsa_key(), e="AQ"),
    "with a point that is too short": jwk_of(ed_key(), x="AA"),
    "no object": "RSA",
    "null": None,
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_key_that_cannot_be_used_is_left_out(what: str) -> None:
    assert parse_key(UNUSABLE[what]) is None


def test_one_unusable_key_leaves_the_others() -> None:
    listed = [*UNUSABLE.values(), jwk_of(rsa_key(), "good"), *UNUSABLE.values()]

    assert [key.kid for key in parse_key_set(as_json({"keys": listed}))] == ["good"]


NO_KEY_SETS: dict[str, bytes] = {
    "HTML": b"<!doctype html><title>Log in</title>",
    "nothing": b"",
    "a list": as_json([jwk_of(rsa_key())]),
    "no keys": as_json({}),
    "keys by name": as_json({"keys": {"one": jwk_of(rsa_key())}}),
    "an empty list": as_json({"keys": []}),
    "unusable keys only": as_json({"keys": list(UNUSABLE.values())}),
    "not UTF-8": b'{"keys": "\xff"}',
    "nested too deep": b"[" * 100_000,
}


@pytest.mark.parametrize("what", NO_KEY_SETS)
def test_what_is_no_key_set_is_unavailable(what: str) -> None:
    with pytest.raises(KeysUnavailableError):
        parse_key_set(NO_KEY_SETS[what])


def test_so_many_keys_are_looked_at_and_no_more() -> None:
    listed = [None] * (KEYS_MAX - 1) + [jwk_of(ec_key(), "last"), jwk_of(ec_key(), "beyond")]

    assert [key.kid for key in parse_key_set(as_json({"keys": listed}))] == ["last"]


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text())
MEMBERS = st.sampled_from(["kty", "crv", "use", "key_ops", "alg", "kid", "n", "e", "x", "y"])


@QUICK
@given(st.sampled_from([rsa_key(), ec_key(), ed_key()]), st.dictionaries(MEMBERS, VALUES))
def test_key_of_any_content_is_usable_or_left_out(key: Any, members: dict[str, object]) -> None:
    parsed = parse_key({**jwk_of(key, "a"), **members})

    assert parsed is None or parsed.algorithms


# When they are fetched


@dataclass
class Scene:
    """An issuer, a provider, and a clock that the test moves."""

    issuing: Issuer
    provider: OidcProvider
    clock: trio.testing.MockClock
    outcomes: list[str] = field(default_factory=list)

    async def outcome(self, token: str | None = None) -> str:
        """`taken`, the reason of a refusal, or `503`."""
        try:
            await self.provider.verify(token or self.issuing.token(), NOW)
        except TokenRefusedError as error:
            return error.reason
        except OciError as error:
            return f"{error.status}"
        return "taken"

    async def asked(self, target: str, count: int) -> None:
        """Wait until the issuer has been asked so often for that."""
        while self.issuing.served.targets().count(target) < count:
            await trio.lowlevel.checkpoint()

    async def settled(self) -> None:
        """Let a fetch that nobody waits for come to its end."""
        while self.provider._keys._running is not None:
            await self.provider._keys._running.wait()

    async def many(self, tokens: list[str]) -> list[str]:
        """The outcomes of tokens that come at once."""
        found: list[str] = []

        async def one(token: str) -> None:
            found.append(await self.outcome(token))

        async with trio.open_nursery() as nursery:
            for token in tokens:
                nursery.start_soon(one, token)
        return found


def played(script: Callable[[Scene], Awaitable[Result]], **more: Any) -> Result:
    """Play a script with an issuer of its own. Nothing in it may wait for the clock."""
    clock = trio.testing.MockClock()

    async def main(issuing: Issuer) -> Result:
        scene = Scene(issuing, issuing.provider(refresh_secs=REFRESH_SECS, **more), clock)
        return await script(scene)

    with issuer() as issuing:
        return trio.run(main, issuing, clock=clock)


UNKNOWN = "is signed by a key that its issuer does not have"
DEAD = Reply(500)


def test_many_first_tokens_fetch_once_and_keys_are_kept() -> None:
    async def script(scene: Scene) -> None:
        tokens = [scene.issuing.token(number=number) for number in range(20)]
        assert await scene.many(tokens) == ["taken"] * 20
        scene.clock.jump(REFRESH_SECS - 1)
        assert await scene.outcome() == "taken"
        assert scene.issuing.served.targets() == [DISCOVERY, KEYS]

    played(script)


def test_keys_are_fetched_anew_after_a_while_and_nobody_waits_for_it() -> None:
    async def script(scene: Scene) -> None:
        await scene.outcome()
        scene.issuing.replies[KEYS] = Reply(raw=b"", hangs=True)
        scene.clock.jump(REFRESH_SECS)
        assert await scene.many([scene.issuing.token(n=n) for n in range(5)]) == ["taken"] * 5
        await scene.asked(KEYS, 2)
        scene.clock.jump(10)
        await scene.settled()
        assert scene.issuing.fetches() == 2

    played(script)


def test_rotated_key_is_found_and_the_old_one_is_gone() -> None:
    async def script(scene: Scene) -> None:
        assert await scene.outcome() == "taken"
        old, new = scene.issuing.token(n=1), scene.issuing.token(rsa_key(1), headers={"kid": "two"})
        scene.issuing.keys = [jwk_of(rsa_key(1), "two")]
        assert await scene.outcome(new) == "taken"
        assert await scene.outcome(old) == UNKNOWN
        assert scene.issuing.fetches() == 2

    played(script)


def test_flood_of_unknown_keys_fetches_once_a_minute() -> None:
    async def script(scene: Scene) -> None:
        await scene.outcome()
        flood = [scene.issuing.token(headers={"kid": f"key {n}"}) for n in range(50)]
        assert await scene.many(flood) == [UNKNOWN] * 50
        assert scene.issuing.fetches() == 2
        scene.clock.jump(KEYS_FORCED_SECS - 1)
        assert await scene.many(flood) == [UNKNOWN] * 50
        assert await scene.outcome() == "taken"
        assert scene.issuing.fetches() == 2
        scene.clock.jump(1)
        assert await scene.many(flood) == [UNKNOWN] * 50
        assert scene.issuing.fetches() == 3

    played(script)


def test_dead_provider_is_503_and_is_left_alone_for_a_while() -> None:
    async def script(scene: Scene) -> None:
        scene.issuing.replies[DISCOVERY] = DEAD
        tokens = [scene.issuing.token(n=n) for n in range(10)]
        assert await scene.many(tokens) == ["503"] * 10
        assert await scene.many(tokens) == ["503"] * 10
        assert len(scene.issuing.served.asked) == 1
        del scene.issuing.replies[DISCOVERY]
        scene.clock.jump(KEYS_RETRY_SECS)
        assert await scene.many(tokens) == ["taken"] * 10

    played(script)


def test_slow_provider_is_503_in_time() -> None:
    async def script(scene: Scene) -> None:
        scene.issuing.replies[KEYS] = Reply(raw=b"", hangs=True)
        async with trio.open_nursery() as nursery:

            async def one() -> None:
                scene.outcomes.append(await scene.outcome())

            nursery.start_soon(one)
            await scene.asked(KEYS, 1)
            scene.clock.jump(3)
        assert scene.outcomes == ["503"]

    played(script, request_timeout_secs=3)


def test_stale_keys_serve_while_the_provider_is_dead_but_not_for_ever() -> None:
    async def script(scene: Scene) -> None:
        await scene.outcome()
        scene.issuing.replies[KEYS] = DEAD
        for secs in (REFRESH_SECS, KEYS_STALE_SECS_MAX - 1):
            scene.clock.jump(secs)
            assert await scene.outcome(scene.issuing.token(n=secs)) == "taken"
            await scene.settled()
        scene.clock.jump(KEYS_RETRY_SECS)
        assert await scene.outcome(scene.issuing.token(n=3)) == "503"
        assert await scene.outcome(scene.issuing.token(n=4)) == "503"
        assert scene.issuing.fetches() == 4
        del scene.issuing.replies[KEYS]
        scene.clock.jump(KEYS_RETRY_SECS)
        assert await scene.outcome(scene.issuing.token(n=5)) == "taken"

    played(script)


def test_unknown_key_of_a_dead_provider_is_503_and_known_ones_are_taken() -> None:
    async def script(scene: Scene) -> None:
        await scene.outcome()
        scene.issuing.replies[KEYS] = DEAD
        unknown = scene.issuing.token(headers={"kid": "two"})
        assert await scene.many([unknown] * 3) == ["503"] * 3
        assert await scene.outcome(scene.issuing.token(n=1)) == "taken"
        assert await scene.outcome(unknown) == "503"
        assert scene.issuing.fetches() == 2

    played(script)


def test_unknown_key_of_a_slow_provider_is_503_whoever_of_the_two_is_told_first() -> None:
    async def script(scene: Scene) -> None:
        await scene.outcome()
        scene.issuing.replies[KEYS] = Reply(raw=b"", hangs=True)
        unknown = scene.issuing.token(headers={"kid": "two"})
        async with trio.open_nursery() as nursery:

            async def many() -> None:
                scene.outcomes += await scene.many([unknown] * 20)

            nursery.start_soon(many)
            await scene.asked(KEYS, 2)
            scene.clock.jump(3)
        assert scene.outcomes == ["503"] * 20

    played(script, refresh_timeout_secs=3)


def test_client_that_leaves_does_not_end_the_fetch_for_others() -> None:
    async def script(scene: Scene) -> None:
        with trio.CancelScope() as leaving:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(scene.outcome)
                await trio.testing.wait_all_tasks_blocked()
                leaving.cancel()
        await scene.settled()
        assert await scene.outcome() == "taken"
        assert scene.issuing.fetches() == 1

    played(script)


def test_fault_of_ours_in_a_fetch_is_503_and_ends_nothing() -> None:
    lines = LogLines()
    lines.begin()

    def broken() -> str:
        raise ZeroDivisionError

    async def script(scene: Scene) -> None:
        assert await scene.outcome() == "503"

    played(script, bearer_token=broken)
    assert [line["provider"] for line in lines.crashes()] == ["ci"]


def test_503_says_when_to_come_back() -> None:
    async def script(scene: Scene) -> None:
        scene.issuing.replies[DISCOVERY] = DEAD
        with pytest.raises(OciError) as raised:
            await scene.provider.verify(scene.issuing.token(), NOW)
        assert (raised.value.code, raised.value.status) == (Code.UNAVAILABLE, 503)
        assert raised.value.headers == {"Retry-After": "10"}

    played(script)


def test_log_says_why_keys_are_missing_and_when_they_are_there(log_lines: LogLines) -> None:
    async def script(scene: Scene) -> None:
        scene.issuing.replies[KEYS] = Reply(body=b"<html>secret-page</html>")
        await scene.outcome()
        del scene.issuing.replies[KEYS]
        scene.clock.jump(KEYS_RETRY_SECS)
        await scene.outcome()

    played(script)
    first, second = (line for line in log_lines.all() if line["event"].startswith("oidc."))
    assert (first["event"], first["provider"]) == ("oidc.keys_unavailable", "ci")
    assert first["reason"] == "the key set is no JSON object"
    assert (second["event"], second["keys"]) == ("oidc.keys_fetched", 1)


# What an issuer may answer


SPOILT: dict[str, tuple[str, Callable[[Issuer], Reply]]] = {
    "HTML for keys": (KEYS, lambda _: Reply(body=b"<html>")),
    "a redirect for keys": (KEYS, lambda i: Reply(302, headers={"Location": i.url + "/other"})),
    "no content": (KEYS, lambda _: Reply(204)),
    "too many keys": (KEYS, lambda _: Reply(body=b" " * (KEY_SET_BYTES_MAX + 1))),
    "a closed connection": (KEYS, lambda _: Reply(raw=b"")),
    "HTML for discovery": (DISCOVERY, lambda _: Reply(body=b"<html>")),
    "not found": (DISCOVERY, lambda _: Reply(404)),
    "another issuer": (
        DISCOVERY,
        lambda i: json_reply({"issuer": i.url + "/", "jwks_uri": i.url + KEYS}),
    ),
    "no issuer": (DISCOVERY, lambda i: json_reply({"jwks_uri": i.url + KEYS})),
    "no address of keys": (DISCOVERY, lambda i: json_reply({"issuer": i.url})),
    "keys in a list": (DISCOVERY, lambda i: json_reply({"issuer": i.url, "jwks_uri": [i.url]})),
    "keys on plain HTTP elsewhere": (
        DISCOVERY,
        lambda i: json_reply({"issuer": i.url, "jwks_uri": "http://evil.example.test/keys"}),
    ),
    "keys in a file": (
        DISCOVERY,
        lambda i: json_reply({"issuer": i.url, "jwks_uri": "file:///etc/passwd"}),
    ),
    "keys by another scheme": (
        DISCOVERY,
        lambda i: json_reply({"issuer": i.url, "jwks_uri": "https://127.0.0.1:1/keys"}),
    ),
    "keys at no address": (
        DISCOVERY,
        lambda i: json_reply({"issuer": i.url, "jwks_uri": "http://[::1"}),
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_issuer_that_answers_anything_else_is_503(what: str) -> None:
    target, make = SPOILT[what]

    async def script(scene: Scene) -> None:
        scene.issuing.replies[target] = make(scene.issuing)
        assert await scene.outcome() == "503"
        assert set(scene.issuing.served.targets()) <= {DISCOVERY, KEYS}

    played(script)


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "application/jwk-set"])
def test_content_type_of_keys_does_not_matter(kind: str) -> None:
    async def script(scene: Scene) -> None:
        body = as_json({"keys": scene.issuing.keys})
        scene.issuing.replies[KEYS] = Reply(body=body, headers={"Content-Type": kind})
        assert await scene.outcome() == "taken"

    played(script)


def test_given_address_of_keys_needs_no_discovery() -> None:
    async def main(issuing: Issuer) -> None:
        scene = Scene(
            issuing, issuing.provider(jwks_uri=issuing.url + KEYS), trio.testing.MockClock()
        )
        assert await scene.outcome() == "taken"
        assert issuing.served.targets() == [KEYS]

    with issuer() as issuing:
        trio.run(main, issuing)


def test_issuer_with_a_path_is_discovered_below_it() -> None:
    with web(Reply(404)) as served:
        name = served.url + "/realms/a"
        serving = Issuer(served, [jwk_of(rsa_key(), "one")])
        place = "/realms/a/.well-known/openid-configuration"
        serving.replies[place] = json_reply({"issuer": name, "jwks_uri": served.url + KEYS})
        served.handler = serving.reply
        provider = serving.provider(issuer=name)
        trio.run(provider.verify, serving.token(iss=name), NOW)

        assert served.targets() == [place, KEYS]


def test_bearer_token_is_read_for_each_fetch_and_sent_to_the_issuer_only() -> None:
    tokens = iter([" first\n", "second", "third"])

    async def script(scene: Scene) -> None:
        with web(json_reply({"keys": scene.issuing.keys})) as elsewhere:
            await scene.outcome()
            scene.clock.jump(REFRESH_SECS)
            document = {"issuer": scene.issuing.url, "jwks_uri": elsewhere.url + KEYS}
            scene.issuing.replies[DISCOVERY] = json_reply(document)
            await scene.outcome(scene.issuing.token(n=1))
            await scene.settled()
        shown = [request.all("Authorization") for request in scene.issuing.served.asked]
        assert shown == [["Bearer first"], ["Bearer first"], ["Bearer second"]]
        assert [request.all("Authorization") for request in elsewhere.asked] == [[]]

    played(script, bearer_token=lambda: next(tokens))


@pytest.mark.parametrize("text", ["", " \n", "two words", "a\nb", "é", "a\x00"])
def test_bearer_token_that_is_none_is_not_sent(text: str) -> None:
    async def script(scene: Scene) -> None:
        assert await scene.outcome() == "503"
        assert scene.issuing.served.asked == []

    played(script, bearer_token=lambda: text)


def test_bearer_token_that_cannot_be_read_is_503() -> None:
    def absent() -> str:
        raise FileNotFoundError("/secret/path")

    async def script(scene: Scene) -> None:
        assert await scene.outcome() == "503"

    played(script, bearer_token=absent)


def test_keys_come_over_tls_of_the_given_authority_only(tmp_path: Any) -> None:
    from angos_trio.net.tls import client_tls

    trust = Trust(tmp_path)
    with issuer(trust.context(trust.server())) as issuing:
        trusting = client_tls("auth.oidc.ci", server_ca_bundle=trust.bundle)
        assert trio.run(issuing.provider(tls=trusting).verify, issuing.token(), NOW)
        with pytest.raises(OciError):
            trio.run(issuing.provider().verify, issuing.token(), NOW)


# What outlives a change of the configuration


def test_keys_survive_a_change_of_the_configuration() -> None:
    async def script(scene: Scene) -> None:
        key_sets = KeySets()
        for skew in (0, 60):
            scene.provider = scene.issuing.provider(key_sets, clock_skew_secs=skew)
            assert await scene.outcome() == "taken"
        assert scene.issuing.fetches() == 1
        scene.provider = scene.issuing.provider(key_sets, jwks_uri=scene.issuing.url + KEYS)
        assert await scene.outcome() == "taken"
        assert scene.issuing.fetches() == 2

    played(script)


def test_two_providers_of_one_issuer_share_its_keys_and_not_their_claims() -> None:
    async def script(scene: Scene) -> None:
        key_sets = KeySets()
        token = scene.issuing.token()
        for audience, outcome in (("other.example.test", "is for another audience"),) * 2:
            scene.provider = scene.issuing.provider(key_sets)
            assert await scene.outcome(token) == "taken"
            scene.provider = scene.issuing.provider(key_sets, required_audience=audience)
            assert await scene.outcome(token) == outcome
        assert scene.issuing.fetches() == 1

    played(script)


def test_issuers_that_are_not_configured_any_more_make_room() -> None:
    key_sets = KeySets()
    first = key_sets.of("https://first.example.test", None)
    for number in range(KEY_SETS_MAX - 1):
        key_sets.of(f"https://issuer-{number}.example.test", None)
    assert key_sets.of("https://first.example.test", None) is first

    for number in range(KEY_SETS_MAX):
        key_sets.of(f"https://other-{number}.example.test", None)
    assert key_sets.of("https://first.example.test", None) is not first
