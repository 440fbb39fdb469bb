"""TOML texts to a configuration, and errors that name the key."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.config.model import AccessPolicy, BasicCredential, Config, HealthListener, Secret
from angos_trio.config.parse import ParsedConfig, merge, parse
from angos_trio.config.paths import dotted
from angos_trio.config.tables import keys_with_defaults
from angos_trio.errors import OperatorError
from tests.config.documents import paths_of
from tests.config.refusals import value_or_refusal
from tests.oci.strategies import FEW, QUICK

EVERYTHING = """
[server]
bind_address = "::1"
port = 5000
workers = 3
stall_timeout = 30
drain_timeout = 0
max_uploads_per_caller = 10
external_url = "https://registry.example.test:8443"
handshake_timeout = 7

[server.tls]
server_certificate_bundle = "server.pem"
server_private_key = "$CREDENTIALS_DIRECTORY/server.key"
client_ca_bundle = "clients.pem"
client_auth = "required"
client_crl = ["one.crl", "two.crl"]
crl_stale = "deny"

[server.health]
bind_address = "127.0.0.1"
port = 5001
metrics = true

[auth.identity."a.b"]
username = "alice"
password = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"

[auth.identity.bob]
username = "bob"
password_file = "bob.hash"

[auth.oidc.ci]
provider = "generic"
issuer = "https://login.example.test"
jwks_uri = "https://login.example.test/keys"
required_audience = "registry"
required_claims = ["sub"]
allowed_algorithms = ["ES256", "EdDSA"]
clock_skew_tolerance = 0
jwks_refresh_interval = 60
jwks_refresh_timeout_secs = 1
http_request_timeout_secs = 2
server_ca_bundle = "login.pem"
client_certificate_bundle = "client.pem"
client_private_key = "client.key"
bearer_token_file = "token"

[auth.token_service]
secret_key = "cULDuNvIlwTS7PVVkZL1HtmGVscYF6FqEcgQsmc8Njk="
realm = "https://registry.example.test/token"
ttl_secs = 60

[auth.webhook.asker]
url = "https://asker.example.test/may"
timeout_ms = 10
bearer_token = "token"
forward_headers = ["User-Agent"]
cache_ttl = 0
client_certificate_bundle = "client.pem"
client_private_key = "client.key"
server_ca_bundle = "asker.pem"

[auth.webhook.other]
url = "http://other.example.test"
timeout_ms = 10
basic_auth = { username = "registry", password = "a:b" }

[global]
authorization_webhook = "asker"
trusted_proxies = ["192.0.2.1"]
max_manifest_size = "4MiB"
max_blob_size = 1000
immutable_tags = true
immutable_tags_exclusions = ["latest", "dev-.*"]
immutable_tags_deletable = true
allow_missing_manifest_references = false
gc_grace_secs = 300
upload_expiry_secs = 3600
min_free_space = "1GiB"
shutdown_drain_secs = 0

[global.access_policy]
default = "allow"
default_allow = true
rules = []

[blob_store.fs]
root_dir = "/srv/registry"
ballast = 0

[metadata_store.fs]
root_dir = "/srv/registry/"

[repository."library/nginx"]
immutable_tags = false
immutable_tags_exclusions = []
immutable_tags_deletable = false
access_policy = { default = "deny", default_allow = false, rules = ["true"] }
authorization_webhook = "other"

[repository.docker-io]

[observability]
log_level = "debug"
worker_header = true
"""


def config_of(*texts: str) -> Config:
    return parsed(*texts).config


def parsed(*texts: str) -> ParsedConfig:
    return parse([(f"{number}.toml", text) for number, text in enumerate(texts)])


def refusal_of(*texts: str) -> str:
    found = value_or_refusal(lambda: parsed(*texts))
    assert isinstance(found, OperatorError)
    return str(found)


def test_every_key_is_read() -> None:
    config = config_of(EVERYTHING)

    assert config.server.bind_address == "::1"
    assert (config.server.port, config.server.stall_timeout) == (5000, 30)
    assert (config.server.drain_timeout, config.server.max_uploads_per_caller) == (0, 10)
    assert (config.global_.max_manifest_size, config.global_.max_blob_size) == ("4MiB", 1000)
    assert config.global_.immutable_tags_exclusions == ("latest", "dev-.*")
    assert not config.global_.allow_missing_manifest_references
    assert config.global_.access_policy == AccessPolicy(default="allow", default_allow=True)
    assert config.blob_store.fs.ballast == 0
    assert sorted(config.repository) == ["docker-io", "library/nginx"]
    assert config.repository["library/nginx"].immutable_tags is False
    assert config.repository["library/nginx"].immutable_tags_exclusions == ()
    assert config.repository["docker-io"].immutable_tags is None
    assert config.observability.log_level == "debug"
    assert (config.server.workers, config.observability.worker_header) == (3, True)
    assert config.server.tls is not None
    assert config.server.tls.client_crl == ("one.crl", "two.crl")
    assert config.server.health == HealthListener(port=5001, metrics=True)
    assert config.auth.identity["a.b"].username == "alice"
    assert config.auth.oidc["ci"].allowed_algorithms == ("ES256", "EdDSA")
    assert config.auth.webhook["other"].basic_auth == BasicCredential(
        username="registry", password=Secret("a:b")
    )
    assert config.auth.token_service is not None
    assert config.auth.token_service.ttl_secs == 60
    assert parsed(EVERYTHING).remarks == ()


def test_example_of_this_test_has_every_key() -> None:
    known = {path for path, _ in keys_with_defaults()}
    in_files = {path for path in known if path.removesuffix("_file") in known}

    assert set(paths_of(tomllib.loads(EVERYTHING))) | in_files == known


@pytest.mark.parametrize("texts", [(), ("",), ("# nothing\n", "")])
def test_nothing_said_gives_the_defaults(texts: tuple[str, ...]) -> None:
    assert config_of(*texts) == Config()


@pytest.mark.parametrize(
    "text",
    [
        "[server]",
        "[global]",
        "[auth]",
        "[auth.identity]",
        "[auth.oidc]",
        "[auth.webhook]",
        "[blob_store]",
        "[blob_store.fs]",
        "[metadata_store]",
        "[metadata_store.fs]",
        "[repository]",
        "[observability]",
    ],
)
def test_empty_table_gives_the_defaults(text: str) -> None:
    assert config_of(text) == Config()


def test_empty_access_policy_denies() -> None:
    policy = config_of("[global.access_policy]").global_.access_policy
    assert policy == AccessPolicy()
    assert not policy.allows


@pytest.mark.parametrize("line", ['default = "allow"', "default_allow = true"])
def test_access_policy_may_allow_by_either_name(line: str) -> None:
    policy = config_of(f"[repository.a.access_policy]\n{line}").repository["a"].access_policy
    assert policy is not None
    assert policy.allows


def test_later_text_wins_and_tables_are_merged_deep() -> None:
    config = config_of(
        '[server]\nport = 1\nstall_timeout = 7\n[repository."a/b"]\nimmutable_tags = true',
        '[server]\nport = 2\n[repository."a/b"]\nimmutable_tags_deletable = true\n[repository.c]',
    )

    assert (config.server.port, config.server.stall_timeout) == (2, 7)
    assert sorted(config.repository) == ["a/b", "c"]
    assert config.repository["a/b"].immutable_tags
    assert config.repository["a/b"].immutable_tags_deletable


def test_later_list_replaces_the_earlier() -> None:
    config = config_of(
        '[global]\nimmutable_tags_exclusions = ["a", "b"]',
        '[global]\nimmutable_tags_exclusions = ["c"]',
    )

    assert config.global_.immutable_tags_exclusions == ("c",)


def test_later_text_may_mend_the_earlier() -> None:
    assert config_of("[server]\nport = 70000", "[server]\nport = 1").server.port == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("servr = 1", "servr: unknown key; did you mean server?"),
        ("[server]\nprt = 1", "server.prt: unknown key; did you mean port?"),
        ("[global]\nimutable_tags = true", "global.imutable_tags: unknown key; did you mean immut"),
        ("[global.access_policy]\nrule = []", "global.access_policy.rule: unknown key; did you"),
        ("[blob_store.fs]\nrot_dir = 'a'", "blob_store.fs.rot_dir: unknown key; did you mean root"),
        ("[blob_store.memory]", "blob_store.memory: unknown key; known here: fs"),
        ("zzz = 1", "zzz: unknown key; known here: server, global, auth, blob_store, metadata_"),
        ("[repository.a]\nimmutable_tag = true", "repository.a.immutable_tag: unknown key; did"),
        ('[repository."a/b"]\nzzz = 1', 'repository."a/b".zzz: unknown key; known here: immut'),
        ('"server.port" = 1', '"server.port": unknown key'),
        ('"global.job_queue" = 1', '"global.job_queue": unknown key'),
        ('"server.tls" = 1', '"server.tls": unknown key'),
        ('[blob_store]\n"fs.sync_to_disk" = true', 'blob_store."fs.sync_to_disk": unknown key'),
        ('[metadata_store]\n"fs.redis" = ""', 'metadata_store."fs.redis": unknown key'),
        ('"a\\nb" = 1', '"a\\nb": unknown key'),
        ('"a`b" = 1', '"a`b": unknown key'),
        ('"" = 1', '"": unknown key'),
        ("global_ = 1", "global_: unknown key; did you mean global?"),
    ],
)
def test_unknown_key_is_refused_with_its_path_and_the_nearest(text: str, message: str) -> None:
    assert refusal_of(text).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server = 5", "server: Expected `object`, got `int`"),
        ("[[server]]", "server: Expected `object`, got `array`"),
        ('[server]\nport = "8000"', "server.port: Expected `int`, got `str`"),
        ("[server]\nport = 8000.0", "server.port: Expected `int`, got `float`"),
        ("[server]\nport = true", "server.port: Expected `int`, got `bool`"),
        ("[server]\nport = -1", "server.port: Expected `int` >= 0"),
        ("[server]\nport = 65536", "server.port: Expected `int` <= 65535"),
        ("[server]\nport = 99999999999999999999", "server.port: Expected `int` <= 65535"),
        ("[server]\nport = 2020-01-01", "server.port: Expected `int`"),
        ("[server]\nstall_timeout = 0", "server.stall_timeout: Expected `int` >= 1"),
        ("[server]\nstall_timeout = inf", "server.stall_timeout: Expected `int`, got `float`"),
        ("[server]\nbind_address = 1", "server.bind_address: Expected `str`, got `int`"),
        ("[global]\nimmutable_tags = 1", "global.immutable_tags: Expected `bool`, got `int`"),
        (
            "[global]\nmax_blob_size = true",
            "global.max_blob_size: Expected `int | str`, got `bool`",
        ),
        ("[global]\nmax_blob_size = '5 apples'", 'global.max_blob_size: "5 apples" is no size'),
        ("[global]\nmax_blob_size = 0", "global.max_blob_size: must be at least one byte"),
        ("[global]\nmax_manifest_size = '0B'", "global.max_manifest_size: must be at least one"),
        ("[global]\nmax_blob_size = -1", "global.max_blob_size: "),
        ("[global]\nmax_blob_size = '8388608TiB'", "global.max_blob_size: "),
        ("[global]\nmin_free_space = 'x'", 'global.min_free_space: "x" is no size'),
        ("[blob_store.fs]\nballast = 9223372036854775808", "blob_store.fs.ballast: "),
        ("[blob_store.fs]\nroot_dir = ''", "blob_store.fs.root_dir: "),
        ('[blob_store.fs]\nroot_dir = "a\\u0000b"', "blob_store.fs.root_dir: "),
        ("[global]\nimmutable_tags_exclusions = ['(']", "global.immutable_tags_exclusions: "),
        ("[global]\nimmutable_tags_exclusions = 'a'", "global.immutable_tags_exclusions: "),
        ("[global]\nimmutable_tags_exclusions = [1]", "global.immutable_tags_exclusions[0]: "),
        ("[global.access_policy]\ndefault = 'maybe'", "global.access_policy.default: "),
        ("[global.access_policy]\nrules = [1]", "global.access_policy.rules[0]: "),
        (
            "[repository.a.access_policy]\ndefault = 'deny'\ndefault_allow = true",
            "repository.a.access_policy: default and default_allow contradict",
        ),
        ("[observability]\nlog_level = 'trace'", "observability.log_level: "),
        ('[observability]\nlog_level = "a\\nb"', "observability.log_level: "),
        ("[metadata_store.fs]\nroot_dir = 'other'", "metadata_store.fs.root_dir: "),
        ("repository = 5", "repository: Expected `object`, got `int`"),
        ("repository.a = 5", "repository.a: Expected `object`, got `int`"),
        ("[repository.'a/b']\nimmutable_tags = 5", 'repository."a/b".immutable_tags: Expected'),
        (
            "[repository.'a/b']\nimmutable_tags_exclusions = ['(']",
            'repository."a/b".immutable_tags_exclusions: "("',
        ),
        (
            "[repository.a]\nimmutable_tags_exclusions = [1]",
            "repository.a.immutable_tags_exclusions[0]: Expected `str`, got `int`",
        ),
        ("[repository.Library]", 'repository."Library": '),
        ("[repository.'']", 'repository."": '),
        ("[repository.'a/']", 'repository."a/": '),
    ],
)
def test_wrong_value_is_refused_with_the_path_of_its_key(text: str, message: str) -> None:
    assert refusal_of(text).startswith(message)


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "a",
        "a =",
        "a = 1\na = 2",
        "[server]\n[server]",
        "a = 'x",
        "a = \x00",
        "a = 1979-02-30",
        "a = 0777",
        "\ufeffa = 1",
        "a = " + "1" * 5_000,
        "a = " + "[" * 5_000 + "]" * 5_000,
        "a = " + "{a = " * 5_000 + "1" + "}" * 5_000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_text_that_is_no_toml_is_refused_with_the_name_of_its_file(text: str) -> None:
    assert refusal_of("", text).startswith("1.toml: ")


@pytest.mark.parametrize("texts", [1, 2])
def test_key_with_thousands_of_parts_is_refused(texts: int) -> None:
    deep = ".".join("a" * 3_000) + " = 1"

    assert "nested too deeply" in refusal_of(*[deep] * texts)


@pytest.mark.parametrize("other", ["angos-data", "angos-data/", "./angos-data"])
def test_rows_may_be_said_to_live_where_blobs_do(other: str) -> None:
    assert config_of(f"[metadata_store.fs]\nroot_dir = '{other}'") is not None


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("server", "port"), "server.port"),
        (("repository", "docker-io"), "repository.docker-io"),
        (("repository", "a/b", "immutable_tags"), 'repository."a/b".immutable_tags'),
        (("a.b",), '"a.b"'),
        (("",), '""'),
        (("\u00e9",), '"\\xe9"'),
        ((), ""),
    ],
)
def test_path_is_written_as_in_toml(path: tuple[str, ...], text: str) -> None:
    assert dotted(path) == text


def test_no_key_is_listed_twice() -> None:
    paths = [path for path, _ in keys_with_defaults()]

    assert len(set(paths)) == len(paths)
    assert "global.access_policy.default" in paths
    assert "repository.*.immutable_tags" in paths


TOML_VALUES = (
    *("1", "-1", "0", "1.5", "nan", "true", "1979-05-27", "12:00:00", "9223372036854775808"),
    *("''", "'a'", "'5MiB'", '"a\\nb"', "[]", "['a']", "[1]", "[[]]", "{}", "{a = 1}"),
)


def toml_values() -> st.SearchStrategy[str]:
    scalars = st.sampled_from(TOML_VALUES)
    return scalars | st.integers().map(str)


def toml_lines() -> st.SearchStrategy[str]:
    """Assignments to keys that exist, that nearly exist, or that are refused by name."""
    words = st.sampled_from(
        [path.rpartition(".")[2] for path, _ in keys_with_defaults()]
        + ["tls", "ui", "auth", "a", '"a/b"', '"A"', "''", "fs", "redis", "s3", "upstream"]
    )
    keys = st.sampled_from([path.replace("*", "a") for path, _ in keys_with_defaults()])
    paths = keys | st.lists(words, min_size=1, max_size=4).map(".".join)
    return st.builds("{} = {}".format, paths, toml_values())


@FEW
@given(st.lists(st.lists(toml_lines(), max_size=3).map("\n".join) | st.text(), max_size=2))
def test_any_texts_are_a_configuration_or_an_operator_error(texts: list[str]) -> None:
    found = value_or_refusal(lambda: parsed(*texts))

    assert isinstance(found, ParsedConfig | OperatorError)


@QUICK
@given(toml_lines())
def test_same_text_twice_is_the_same_as_once(text: str) -> None:
    once = value_or_refusal(lambda: parsed(text))
    twice = value_or_refusal(lambda: parsed(text, text))

    assert once == twice or isinstance(twice, OperatorError)
    assert isinstance(once, OperatorError) == isinstance(twice, OperatorError)


def tables() -> st.SearchStrategy[dict[str, object]]:
    names = st.sampled_from(["a", "b", "c"])
    scalars: st.SearchStrategy[object] = st.integers() | st.lists(st.integers(), max_size=2)
    inner = st.recursive(scalars, lambda below: st.dictionaries(names, below, max_size=3))
    return st.dictionaries(names, inner, max_size=3)


@QUICK
@given(tables(), tables())
def test_what_the_later_table_says_holds_and_the_rest_stays(
    base: dict[str, object], over: dict[str, object]
) -> None:
    merged = merge(base, over)

    assert merged.keys() == base.keys() | over.keys()
    for key, value in merged.items():
        before, after = base.get(key), over.get(key, base.get(key))
        if isinstance(before, dict) and isinstance(after, dict):
            assert value == merge(before, after)
        else:
            assert value == after
    assert merge(merged, over) == merged
    assert merge(base, {}) == merge({}, base) == base
