"""Passwords: which hashes are taken, and that guessing neither pays nor stops anybody."""

from __future__ import annotations

import base64
import subprocess
import sys
import time

import pytest
import trio
import trio.testing
from argon2 import PasswordHasher
from argon2.low_level import Type, hash_secret
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.auth import passwords
from angos_trio.auth.passwords import Passwords, check_hash, hash_password, too_many
from angos_trio.limits.callers import PASSWORD_BYTES_MAX, PASSWORD_SECS_MAX, PASSWORDS_WAITING_MAX
from angos_trio.oci.codes import Code, OciError
from tests.oci.refusals import refused
from tests.oci.strategies import QUICK

WEAK = {"time_cost": 3, "memory_cost": 4096, "parallelism": 1}
"""The least that is taken: the default of the command `argon2 -id`."""


def cheap_hash(password: str, **more: int) -> str:
    made = {**WEAK, "hash_len": 32, **more}
    secret = password.encode("utf-8", "surrogatepass")
    return hash_secret(secret, b"0123456789abcdef", type=Type.ID, **made).decode()


CHEAP = cheap_hash("secret")


def phc(parameters: str = "m=19456,t=2,p=1", kind: str = "argon2id", version: str = "$v=19") -> str:
    salt, digest = "MDEyMzQ1Njc4OWFiY2RlZg", "A" * 42 + "E"
    return f"${kind}{version}${parameters}${salt}${digest}"


def verified(phc: str, password: str) -> bool:
    return trio.run(Passwords([phc]).verify, phc, password)


def test_hash_has_the_pinned_parameters_and_fits_only_its_password() -> None:
    made = hash_password("pass:wörd")

    assert made.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hash_password("pass:wörd") != made
    check_hash(made)
    assert verified(made, "pass:wörd")
    assert not verified(made, "pass:word")


@pytest.mark.parametrize("password", ["a:b:c", "", " ", "日本語", "a\x00b", "\ud800", "x" * 1024])
def test_any_text_may_be_a_password(password: str) -> None:
    made = cheap_hash(password)

    assert verified(made, password)
    assert not verified(made, password + "x")


def test_long_password_is_wrong_without_a_computation() -> None:
    long = "é" * (PASSWORD_BYTES_MAX // 2)
    made = cheap_hash(long + "x")

    assert verified(cheap_hash(long), long)
    assert not verified(made, long + "x")


@pytest.mark.parametrize(
    "taken",
    [
        phc(),
        phc("m=4096,t=3,p=1"),
        phc("m=12288,t=3,p=1"),
        phc("m=262144,t=10,p=4"),
        phc("m=65536,t=3,p=4"),
        CHEAP,
    ],
)
def test_hash_is_taken(taken: str) -> None:
    check_hash(taken)


def test_hash_of_other_programs_is_taken() -> None:
    check_hash(PasswordHasher().hash("secret"))


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        ("", "no argon2id hash"),
        ("secret", "no argon2id hash"),
        ("$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234", "no argon2id hash"),
        (phc(kind="argon2i"), "another kind"),
        (phc(kind="argon2d"), "another kind"),
        (phc(version="$v=16"), "another kind"),
        (phc(version=""), "another kind"),
        (phc("m=262145,t=2,p=1"), "costs too much"),
        (phc("m=4294967295,t=2,p=1"), "costs too much"),
        (phc("m=19456,t=11,p=1"), "costs too much"),
        (phc("m=19456,t=2,p=5"), "costs too much"),
        (phc("m=8,t=1,p=1"), "too weak"),
        (phc("m=4095,t=10,p=1"), "too weak"),
        (phc("m=4096,t=2,p=1"), "too weak"),
        (phc("m=19456,t=0,p=1"), "no argon2id hash"),
        (phc("m=019456,t=2,p=1"), "no argon2id hash"),
        (phc("m=-1,t=2,p=1"), "no argon2id hash"),
        (phc("t=2,m=19456,p=1"), "no argon2id hash"),
        (phc("m=19456,t=2,p=1,keyid=a"), "no argon2id hash"),
        (phc() + "\n", "no argon2id hash"),
        (" " + phc(), "no argon2id hash"),
        (phc() + "=", "no argon2id hash"),
        (phc()[:-1] + "F", "base64 is damaged"),
        (phc() + "A" * 600, "too long"),
        ("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Ng$" + "A" * 42 + "E", "too short"),
        ("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAA", "short"),
    ],
)
def test_hash_is_refused_and_not_shown(refused: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        check_hash(refused)
    assert "MDEy" not in str(raised.value)


@pytest.mark.slow
@QUICK
@given(st.text(max_size=80) | st.from_regex(r"\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$\w+\$\w+"))
def test_hash_that_is_taken_can_be_computed_and_all_others_are_value_errors(text: str) -> None:
    try:
        check_hash(text)
    except ValueError:
        return
    assert verified(text, "x") in (True, False)


def test_hash_that_was_cut_is_refused_or_fits_nothing() -> None:
    for end in range(len(CHEAP)):
        try:
            check_hash(CHEAP[:end])
        except ValueError:
            continue
        assert not verified(CHEAP[:end], "secret")


class Gate:
    """Holds the hashing thread; counts what it computes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.computed: list[str] = []
        self._compute = passwords._verify
        monkeypatch.setattr(passwords, "_verify", self)

    def __call__(self, phc: str, secret: bytes) -> bool:
        self.computed.append(phc)
        time.sleep(0.005)
        return self._compute(phc, secret)


def test_one_is_computed_at_a_time_and_the_same_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)

    async def main() -> list[bool]:
        checking, answers = Passwords([CHEAP]), []

        async def verify(password: str) -> None:
            answers.append(await checking.verify(CHEAP, password))

        async with trio.open_nursery() as nursery:
            for password in ["secret"] * 20 + ["wrong"] * 20:
                nursery.start_soon(verify, password)
            await trio.testing.wait_all_tasks_blocked()
            assert checking._threads.borrowed_tokens == 1
        return answers

    assert sorted(trio.run(main)) == [False] * 20 + [True] * 20
    assert len(gate.computed) == 2


@pytest.mark.slow
def test_queue_is_bounded_and_who_finds_it_full_is_told_to_come_back() -> None:
    async def main() -> tuple[int, int]:
        checking, refused, answered = Passwords([CHEAP]), [], []

        async def verify(number: int) -> None:
            try:
                answered.append(await checking.verify(CHEAP, f"wrong {number}"))
            except OciError as error:
                refused.append((error.code, error.status, error.headers["Retry-After"]))

        async with trio.open_nursery() as nursery:
            for number in range(PASSWORDS_WAITING_MAX + 10):
                nursery.start_soon(verify, number)
        assert set(refused) == {(Code.TOOMANYREQUESTS, 429, "1")}
        assert await checking.verify(CHEAP, "secret")
        return len(answered), len(refused)

    assert trio.run(main) == (PASSWORDS_WAITING_MAX, 10)


def test_who_waits_too_long_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "PASSWORD_SECS_MAX", 0.02)
    monkeypatch.setattr(passwords, "PASSWORD_REST", 0)

    async def main() -> list[int]:
        checking, statuses = Passwords([CHEAP]), []

        async def verify(number: int) -> None:
            try:
                await checking.verify(CHEAP, f"wrong {number}")
            except OciError as error:
                statuses.append(error.status)

        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(verify, number)
        assert await checking.verify(CHEAP, "secret")
        return statuses

    assert set(trio.run(main)) == {429}


def test_nobody_waits_longer_because_others_ask_the_same() -> None:
    async def main() -> list[float]:
        checking, waited = Passwords([CHEAP]), []

        async def verify() -> None:
            with refused(Code.TOOMANYREQUESTS, 429):
                await checking.verify(CHEAP, "secret")
            waited.append(trio.current_time() - begun_at)

        begun_at = trio.current_time()
        async with checking._turn, trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(verify)
        return waited

    clock = trio.testing.MockClock(autojump_threshold=0)
    assert trio.run(main, clock=clock) == [pytest.approx(PASSWORD_SECS_MAX)] * 5


def test_after_a_wrong_password_the_next_one_waits_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever guesses takes a share of a core only."""
    monkeypatch.setattr(passwords, "PASSWORD_REST", 10)

    async def main() -> list[float]:
        checking, took = Passwords([CHEAP]), []
        for password in ("secret", "secret ", "secret"):
            begun_at = trio.current_time()
            await checking.verify(CHEAP, password)
            took.append(trio.current_time() - begun_at)
        return took

    first, wrong, after = trio.run(main)
    assert wrong < 5 * first
    assert after > 5 * min(first, wrong)


def test_clients_that_leave_make_room() -> None:
    async def main() -> bool:
        checking = Passwords([CHEAP])
        async with trio.open_nursery() as nursery:
            for number in range(PASSWORDS_WAITING_MAX):
                nursery.start_soon(checking.verify, CHEAP, f"wrong {number}")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        return await checking.verify(CHEAP, "secret")

    assert trio.run(main)


def test_no_memory_is_no_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    import argon2.low_level
    from argon2.exceptions import VerificationError

    def fails(*_: object) -> bool:
        raise VerificationError("Memory allocation error")

    monkeypatch.setattr(argon2.low_level, "verify_secret", fails)
    with pytest.raises(OciError) as raised:
        verified(CHEAP, "secret")
    assert (raised.value.code, raised.value.status) == (Code.UNAVAILABLE, 503)


def test_nobody_is_computed_as_well_but_not_where_nobody_has_a_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate(monkeypatch)
    trio.run(Passwords().verify_nobody, "secret", "mallory")
    assert gate.computed == []

    trio.run(Passwords([CHEAP]).verify_nobody, "secret", "mallory")
    assert len(gate.computed) == 1


def test_nobody_costs_what_one_of_the_users_costs_and_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashes = [phc("m=4096,t=3,p=1"), phc("m=19456,t=2,p=1"), phc("m=19456,t=2,p=2")]
    computed: list[str] = []

    def note(phc: str, _: bytes) -> bool:
        computed.append(phc)
        return False

    monkeypatch.setattr(passwords, "_verify", note)

    def costs(known: list[str]) -> list[str]:
        async def main() -> None:
            checking = Passwords(known)
            for number in range(60):
                await checking.verify_nobody("x", f"user {number}")

        computed.clear()
        trio.run(main)
        return [phc.split("$")[3] for phc in computed]

    first = costs(hashes)
    assert set(first) == {phc.split("$")[3] for phc in hashes}
    assert costs(hashes[::-1]) == first  # in another process, too
    assert not set(computed) & set(hashes)


@pytest.mark.slow
def test_unknown_user_takes_as_long_as_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "PASSWORD_REST", 0)
    made = hash_password("secret")

    async def main() -> tuple[float, float]:
        checking, known, unknown = Passwords([made]), [], []
        for number in range(25):
            begun = time.perf_counter()
            await checking.verify(made, f"wrong {number}")
            between = time.perf_counter()
            await checking.verify_nobody(f"wrong {number}", "mallory")
            known.append(between - begun)
            unknown.append(time.perf_counter() - between)
        return min(known), min(unknown)

    known, unknown = trio.run(main)
    assert 0.7 < known / unknown < 1.4


@pytest.mark.parametrize(("secs", "said"), [(0.1, "1"), (1, "1"), (5.2, "6")])
def test_seconds_to_wait_are_whole_and_enough(secs: float, said: str) -> None:
    assert too_many(secs).headers["Retry-After"] == said


def test_decoy_is_a_hash_of_its_own() -> None:
    decoy = passwords._decoy(CHEAP)

    check_hash(decoy)
    assert decoy.split("$")[:4] == CHEAP.split("$")[:4]
    assert len(base64.b64decode(decoy.split("$")[5] + "=")) == 32
    assert decoy != passwords._decoy(CHEAP)


@pytest.mark.slow
def test_argon2_is_loaded_by_a_password_only() -> None:
    program = (
        "import sys, angos_trio.auth.passwords as passwords\n"
        "passwords.Passwords()\n"
        "assert 'argon2' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
