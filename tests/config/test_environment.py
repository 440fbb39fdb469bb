"""Keys that the environment sets, over the files and under the options."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.config.environment import PREFIX, Variables, document_of, read_variables
from angos_trio.config.model import Config, Secret
from angos_trio.config.overrides import load_with_overrides
from angos_trio.config.parse import ParsedConfig
from angos_trio.config.tables import keys_with_defaults
from angos_trio.errors import OperatorError
from tests.config.documents import ARGON2ID, TOKEN_KEY
from tests.config.refusals import value_or_refusal
from tests.oci.strategies import QUICK


def loaded(environ: dict[str, str], *files: str) -> ParsedConfig:
    return load_with_overrides(files, None, None, environ)


def of(**variables: str) -> dict[str, str]:
    return {f"{PREFIX}{name}": text for name, text in variables.items()}


def refusal_of(environ: dict[str, str], *files: str) -> str:
    found = value_or_refusal(lambda: loaded(environ, *files))
    assert isinstance(found, OperatorError), found
    return str(found)


def test_variable_sets_the_key_of_its_name() -> None:
    config = loaded(
        of(
            SERVER__PORT="9000",
            SERVER__BIND_ADDRESS="::1",
            GLOBAL__IMMUTABLE_TAGS="true",
            GLOBAL__MAX_BLOB_SIZE="5 MiB",
            GLOBAL__TRUSTED_PROXIES='["192.0.2.1"]',
            OBSERVABILITY__LOG_LEVEL="debug",
        )
    ).config

    assert (config.server.port, config.server.bind_address) == (9000, "::1")
    assert config.global_.immutable_tags
    assert config.global_.max_blob_size == "5 MiB"
    assert config.global_.trusted_proxies == ("192.0.2.1",)
    assert config.observability.log_level == "debug"


def test_environment_wins_over_files_and_options_win_over_it(tmp_path: Path) -> None:
    file = tmp_path / "angos.toml"
    file.write_text("[server]\nport = 1\nstall_timeout = 7\n")
    environ = of(SERVER__PORT="2", BLOB_STORE__FS__ROOT_DIR="here")

    config = load_with_overrides([str(file)], None, None, environ).config
    assert (config.server.port, config.server.stall_timeout) == (2, 7)
    assert config.blob_store.fs.root_dir == "here"

    config = load_with_overrides([str(file)], "127.0.0.1:3", "there", environ).config
    assert (config.server.port, config.blob_store.fs.root_dir) == (3, "there")


def test_tables_are_merged_and_lists_replaced(tmp_path: Path) -> None:
    file = tmp_path / "angos.toml"
    file.write_text(
        f"[auth.identity.alice]\nusername = 'alice'\npassword = '{ARGON2ID}'\n"
        "[global]\ntrusted_proxies = ['192.0.2.1']\n[repository.a]\nimmutable_tags = true\n"
    )
    environ = of(
        AUTH__IDENTITY__BOB=f'{{ username = "bob", password = "{ARGON2ID}" }}',
        AUTH__IDENTITY__ALICE__USERNAME="alicia",
        GLOBAL__TRUSTED_PROXIES='["192.0.2.2"]',
        REPOSITORY='{ "a/b" = { immutable_tags = false } }',
    )
    config = loaded(environ, str(file)).config

    assert sorted(config.auth.identity) == ["alice", "bob"]
    assert config.auth.identity["alice"].username == "alicia"
    assert config.auth.identity["alice"].password == Secret(ARGON2ID)
    assert config.global_.trusted_proxies == ("192.0.2.2",)
    assert sorted(config.repository) == ["a", "a/b"]


def test_key_wins_over_the_table_that_it_is_in() -> None:
    environ = of(SERVER="{ port = 1, workers = 2 }", SERVER__PORT="3")

    assert loaded(environ).config.server.port == 3
    assert loaded(environ).config.server.workers == 2


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("alice", "alice"),
        ("'alice'", "alice"),
        ("123456", "123456"),
        ("1e3", "1e3"),
        ("0123", "0123"),
        ("true", "true"),
        ("inf", "inf"),
        ("2020-01-01", "2020-01-01"),
        ("[]", "[]"),
        ("a = b", "a = b"),
        ("'a'\nport = 1", None),
        ("1 # one", "1 # one"),
        ("\u00e9", "\u00e9"),
    ],
)
def test_where_only_text_can_stand_it_is_text(text: str, name: str | None) -> None:
    environ = of(AUTH__IDENTITY__A__USERNAME=text, AUTH__IDENTITY__A__PASSWORD=ARGON2ID)
    if name is None:
        assert "auth.identity.a.username: " in refusal_of(environ)
    else:
        assert loaded(environ).config.auth.identity["a"].username == name


def test_secret_may_come_from_the_environment_and_is_not_shown() -> None:
    environ = of(AUTH__TOKEN_SERVICE__SECRET_KEY=TOKEN_KEY)
    parsed = loaded(environ)

    assert parsed.config.auth.token_service is not None
    assert parsed.config.auth.token_service.secret_key == Secret(TOKEN_KEY)
    assert TOKEN_KEY not in repr(parsed)
    assert TOKEN_KEY not in repr(read_variables(environ))
    assert parsed.variables == (
        ("ANGOS_TRIO__AUTH__TOKEN_SERVICE__SECRET_KEY", "auth.token_service.secret_key"),
    )


@pytest.mark.parametrize("text", ["hunter2", "'hunter2'", "['hunter2']", "{ a = 'hunter2' }"])
def test_refused_secret_of_the_environment_is_not_shown(text: str) -> None:
    refusal = refusal_of(of(AUTH__TOKEN_SERVICE__SECRET_KEY=text))

    assert refusal.startswith(f"{PREFIX}AUTH__TOKEN_SERVICE__SECRET_KEY: auth.token_service.se")
    assert "hunter2" not in refusal


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("SERVER__PROT", "1", "server.prot: unknown key; did you mean port?"),
        ("SEVER__PORT", "1", "sever: unknown key; did you mean server?"),
        ("SERVER", "{ prot = 1 }", "server.prot: unknown key; did you mean port?"),
        (
            "AUTH__IDENTITY__A__USER",
            "a",
            "auth.identity.a.user: unknown key; did you mean user",
        ),
        ("CACHE__REDIS__URL", "a", "cache: there is no cache server"),
        ("SERVER__PORT", "many", "server.port: Expected `int`, got `str`"),
        ("SERVER__PORT", "70000", "server.port: Expected `int` <= 65535"),
        ("SERVER__PORT__X", "1", "server.port: has no keys below it"),
        ("SERVER", "1", "server: Expected `object`, got `int`"),
        ("AUTH__IDENTITY__A", "a", "auth.identity.a: Expected `object`, got `str`"),
        ("GLOBAL__TRUSTED_PROXIES", "[1]", "global.trusted_proxies[0]: Expected `str`"),
        ("GLOBAL__TRUSTED_PROXIES", "['a']", 'global.trusted_proxies: "a" is neither'),
        ("GLOBAL__MAX_BLOB_SIZE", "much", 'global.max_blob_size: "much" is no size'),
        ("GLOBAL__IMMUTABLE_TAGS", "yes", "global.immutable_tags: Expected `bool`, got `str`"),
        (
            "REPOSITORY__A__UPSTREAM",
            "[{ url = 'a' }]",
            "repository.a.upstream.0.url: must be a URL",
        ),
        ("", "1", "names no key; write for example ANGOS_TRIO__SERVER__PORT"),
        ("SERVER__", "1", "names no key"),
        ("SERVER____PORT", "1", "names no key"),
        ("_SERVER__PORT", "1", "_server: unknown key; did you mean server?"),
        ("SERVER__PORT", "\udcff", "not UTF-8"),
        ("GLOBAL__TRUSTED_PROXIES", "[" * 5000 + "]" * 5000, "nested too deeply"),
    ],
)
def test_variable_that_cannot_be_meant_is_refused_by_name(
    name: str, text: str, message: str
) -> None:
    assert refusal_of({f"{PREFIX}{name}": text}).startswith(f"{PREFIX}{name}: {message}")


def test_variable_is_not_blamed_for_what_a_file_says(tmp_path: Path) -> None:
    file = tmp_path / "angos.toml"
    file.write_text("[server]\nstall_timeout = 0")

    assert refusal_of(of(SERVER__PORT="1"), str(file)).startswith("server.stall_timeout: ")


def test_two_variables_for_one_key_are_refused() -> None:
    refusal = refusal_of({f"{PREFIX}SERVER__PORT": "1", f"{PREFIX}server__port": "1"})

    assert refusal == f"{PREFIX}server__port: sets server.port, as {PREFIX}SERVER__PORT does"


@pytest.mark.parametrize(
    "name", ["ANGOS_TRIO_PORT", "ANGOS_TRIO_SERVER__PORT", "ANGOS_TRIO", "angos_trio__server__port"]
)
def test_variable_that_only_looks_alike_is_remarked_on(name: str) -> None:
    parsed = loaded({name: "1"})

    assert parsed.config == Config()
    assert parsed.remarks == (f"{name} is not read: variables begin with {PREFIX}",)
    assert parsed.variables == ()


def test_other_variables_are_none_of_ours() -> None:
    assert loaded({"PATH": "/bin", "ANGOS": "1", "ANGOS__SERVER__PORT": "1"}).remarks == ()


def test_key_without_effect_is_remarked_on_with_its_variable() -> None:
    [remark] = loaded(of(OBSERVABILITY__TRACING="true")).remarks

    assert remark.startswith(
        f"{PREFIX}OBSERVABILITY__TRACING: observability.tracing has no effect: "
    )


def names() -> st.SearchStrategy[str]:
    """Names of keys that exist or nearly exist, and any others."""
    paths = st.sampled_from([path.replace("*", "a") for path, _ in keys_with_defaults()])
    known = paths.map(lambda path: path.upper().replace(".", "__"))
    return known | st.text(st.sampled_from("ABz_9.-"), max_size=12) | st.text(max_size=8)


VALUES = ("1", "true", "text", "''", "[]", "{}", "['a']", "{ a = 1 }", "1\nb = 2", "\udcff", "")


@QUICK
@given(st.dictionaries(names(), st.sampled_from(VALUES) | st.text(), max_size=3))
def test_any_environment_is_a_configuration_or_an_operator_error(pairs: dict[str, str]) -> None:
    environ = {f"{PREFIX}{name}": text for name, text in pairs.items()}
    found = value_or_refusal(lambda: loaded(environ))

    assert isinstance(found, ParsedConfig | OperatorError)


@QUICK
@given(st.text())
def test_text_of_a_key_that_takes_only_text_arrives_or_reads_as_toml(text: str) -> None:
    found = value_or_refusal(lambda: read_variables(of(SERVER__EXTERNAL_URL=text)))
    if isinstance(found, Variables):
        document, _ = document_of(found.variables)
        server = document["server"]
        assert isinstance(server, dict)
        value = server["external_url"]
        assert value == text or text.strip()[0] in "'\""
    else:
        assert str(found).endswith("not UTF-8")
