"""What types alone do not say: each refusal names its key, and none shows a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.config.checks import check
from angos_trio.config.model import ALGORITHMS, BasicCredential, Config
from angos_trio.config.parse import parse
from angos_trio.config.tables import secrets_with_files, tables_in
from angos_trio.errors import OperatorError
from angos_trio.limits.processes import TABLE_NAME_CHARACTERS_MAX, USERNAME_CHARACTERS_MAX
from angos_trio.policy.access import compile_policy
from tests.config.documents import ARGON2ID, TOKEN_KEY
from tests.config.refusals import value_or_refusal
from tests.oci.strategies import QUICK, texts

POLICY = "[global.access_policy]\n"
SECRET = "hunter2"
TLS = "[server.tls]\nserver_certificate_bundle = 'a.pem'\nserver_private_key = 'a.key'\n"
OIDC = POLICY + "[auth.oidc.ci]\nissuer = 'https://login.example.test'\n"
WEBHOOK = "[auth.webhook.w]\nurl = 'https://asker.example.test'\ntimeout_ms = 1\n"
BASIC = WEBHOOK + "[auth.webhook.w.basic_auth]\n"
TOKENS = "[auth.token_service]\n"


def user(name: str, username: str) -> str:
    return f"[auth.identity.{name}]\nusername = {username}\npassword = '{ARGON2ID}'\n"


def config_of(text: str) -> Config:
    return parse([("angos.toml", text)]).config


def refusal_of(text: str) -> str:
    found = value_or_refusal(lambda: config_of(text))
    assert isinstance(found, OperatorError), found
    return str(found)


@pytest.mark.parametrize(
    "text",
    [
        TLS + "client_ca_bundle = 'ca.pem'\nclient_auth = 'required'\nclient_crl = ['a.crl']",
        TLS + "crl_stale = 'deny'",
        "[server.health]",
        "[server.health]\nbind_address = '0.0.0.0'",
        "[server.health]\nbind_address = '::1'\nmetrics = true",
        "[server.health]\nbind_address = 'localhost'\nmetrics = true",
        "[server]\nport = 0\n[server.health]\nport = 0",
        "[server]\nport = 8001\nbind_address = '::1'\n[server.health]",
        "server.external_url = 'https://registry.example.test'",
        "server.external_url = 'http://[2001:db8::1]:8000'",
        "global.trusted_proxies = ['192.0.2.1', '192.0.2.7/24', '2001:db8::/32', '::1']",
        user("alice", "'alice'") + user("'ALICE'", "'Alice'") + user('"a.b"', '"b\u00f6b c"'),
        OIDC + "jwks_uri = 'https://login.example.test/keys?all'",
        OIDC.replace("https://login.example.test", "http://127.0.0.1:9/realm"),
        OIDC.replace("https://login.example.test", "http://localhost:9"),
        POLICY + "[auth.oidc.actions]\nprovider = 'github'",
        TOKENS + f"secret_key = '{TOKEN_KEY}'\nrealm = 'http://registry.example.test/token'",
        TOKENS + "secret_key_file = 'key'",
        WEBHOOK,
        WEBHOOK + "bearer_token = 't'\nforward_headers = ['Authorization', 'x-registry']",
        WEBHOOK.replace("https", "http") + "bearer_token_file = 't'",
        BASIC + "username = 'u'\npassword = 'a:b c'",
        BASIC + "username = 'u'\npassword_file = 'p'",
        WEBHOOK
        + "[global]\nauthorization_webhook = 'w'\n[repository.a]\nauthorization_webhook = ''",
        "global.authorization_webhook = ''",
    ],
)
def test_what_can_be_meant_is_taken(text: str) -> None:
    assert config_of(text) != Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server.tls]", "server.tls.server_certificate_bundle: must be there"),
        ("server.tls.server_private_key = 'a'", "server.tls.server_certificate_bundle: must be"),
        (
            "[server.tls]\nserver_certificate_bundle = ''\nserver_private_key = ''",
            "server.tls.server_certificate_bundle: Expected `str` of length >= 1",
        ),
        (TLS.replace("a.key", "a.key") + 'client_ca_bundle = "a\\u0000"', "server.tls.client_ca"),
        (TLS + 'client_crl = ["\\u0000"]', "server.tls.client_crl: "),
        (TLS + "client_crl = ['a']", "server.tls.client_crl: needs server.tls.client_ca_bundle"),
        (TLS + "client_auth = 'required'", "server.tls.client_auth: needs server.tls.client_ca"),
        (TLS + "client_auth = 'maybe'", "server.tls.client_auth: Invalid enum value 'maybe'"),
        (TLS + "client_certs = ''", "server.tls.client_certs: unknown key; did you mean client_"),
        ("[server.health]\nport = 8000", "server.health.port: 8000 is the registry's own port"),
        ("server.port = 8001\n[server.health]\n", "server.health.port: "),
        ("server.bind_address = 'localhost'\n[server.health]\nport = 8000", "server.health.port:"),
        (
            "[server.health]\nbind_address = '0.0.0.0'\nport = 8000",
            "server.health.port: 8000 is the registry's own port",
        ),
        (
            "[server.health]\nbind_address = '192.0.2.1'\nmetrics = true",
            "server.health.metrics: metrics are served without credentials only on a loopback",
        ),
        ("global.trusted_proxies = ['proxy']", 'global.trusted_proxies: "proxy" is neither'),
        ("global.trusted_proxies = ['192.0.2.0/33']", "global.trusted_proxies: "),
        ("global.trusted_proxies = ['']", 'global.trusted_proxies: "" is neither an IP address'),
        (
            "global.authorization_webhook = 'w'",
            "global.authorization_webhook: there is no [auth.webhook.w]; none is known here",
        ),
        (
            WEBHOOK + "[repository.'a/b']\nauthorization_webhook = 'ww'",
            'repository."a/b".authorization_webhook: there is no [auth.webhook.ww]; did you mea',
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(text: str, message: str) -> None:
    assert refusal_of(text).startswith(message)


UPSTREAM = "[[repository.hub.upstream]]\nurl = 'https://up.example.test/v2/library'\n"
AT = "repository.hub.upstream.0"


@pytest.mark.parametrize(
    "text",
    [
        UPSTREAM,
        UPSTREAM + UPSTREAM + "username = 'u'\npassword = 'a:b c'",
        UPSTREAM + "username = 'u'\npassword_file = 'p'\ntoken_hosts = ['login.example.test:8443']",
        UPSTREAM + "client_certificate = 'c.pem'\nclient_private_key = 'c.key'",
        UPSTREAM.replace("https", "http") + "bandwidth_limit = '10MiB'",
        UPSTREAM + "[repository.hub]\ntag_check_interval = 'never'\nnamespace = 'docker.io'",
        "repository.hub.tag_check_interval = 0",
    ],
)
def test_upstream_that_can_be_meant_is_taken(text: str) -> None:
    assert config_of(text) != Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[repository.hub.upstream]]", f"{AT}.url: must be there"),
        ("repository.hub.upstream = 5", "repository.hub.upstream: Expected `array`"),
        ("repository.hub.upstream = [5]", f"{AT}: Expected `object`"),
        (UPSTREAM + "urls = ''", f"{AT}.urls: unknown key; did you mean url?"),
        (UPSTREAM + UPSTREAM + "max_redirect = 21", "repository.hub.upstream.1.max_redirect: "),
        (UPSTREAM.replace("https", "ftp"), f"{AT}.url: the URL must begin with https or http"),
        (UPSTREAM.replace("up.", "u:p@up."), f"{AT}.url: credentials do not stand in a URL"),
        (UPSTREAM.replace("library", "?a"), f"{AT}.url: has a query"),
        (UPSTREAM + "username = 'u'", f"{AT}: username and password go together"),
        (UPSTREAM + "password = 'p'", f"{AT}: username and password go together"),
        (UPSTREAM + "username = 'u:'\npassword = 'p'", f"{AT}.username: "),
        (UPSTREAM + "username = 'u'\npassword = ''", f"{AT}.password: is empty"),
        (
            UPSTREAM + "username = 'u'\npassword = 'p'\npassword_file = 'p'",
            f"{AT}: password and password_file are two places for one secret",
        ),
        (UPSTREAM + "client_private_key = 'k'", f"{AT}.client_private_key: client_certificate and"),
        (
            UPSTREAM.replace("https", "http") + "server_ca_bundle = 'ca'",
            f"{AT}.url: is http, which takes no certificates",
        ),
        (UPSTREAM + "token_hosts = ['https://a.test']", f"{AT}.token_hosts: "),
        (UPSTREAM + "bandwidth_limit = 0", f"{AT}.bandwidth_limit: must be at least one byte"),
        ("repository.hub.tag_check_interval = -1", "repository.hub.tag_check_interval: "),
        ("repository.hub.namespace = 'a b'", 'repository.hub.namespace: "a b" is not the name'),
        (
            "repository.a.namespace = 'x.test'\nrepository.b.namespace = 'x.test'",
            'repository.b.namespace: "x.test" is that of repository.a too',
        ),
    ],
)
def test_upstream_that_cannot_be_meant_is_refused_with_its_key(text: str, message: str) -> None:
    assert refusal_of(text).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[auth.identity.a]", "auth.identity.a.username: must be there"),
        ("[auth.identity.'a.b']", 'auth.identity."a.b".username: must be there'),
        ('[auth.identity."a\\"b"]', 'auth.identity."a\\"b".username: must be there'),
        ("auth.identity = []", "auth.identity: Expected `object`, got `array`"),
        ("auth.identity.a = 'b'", "auth.identity.a: Expected `object`, got `str`"),
        ("auth.identity.'a b'.username = 1", 'auth.identity."a b".username: Expected `str`'),
        ("auth.identity.a.usrname = ''", "auth.identity.a.usrname: unknown key; did you mean user"),
        ("auth.identity.'a.b'.x = ''", 'auth.identity."a.b".x: unknown key; known here: username,'),
        ("[auth.identities.a]", "auth.identities: unknown key; did you mean identity?"),
        (
            "auth.webhook.'a.b'.basic_auth.usernam = ''",
            'auth.webhook."a.b".basic_auth.usernam: unknown key; did you mean username?',
        ),
        ("[auth.identity.a]\nusername = 'a'", "auth.identity.a: needs password or password_file"),
        (
            user("a", "'a'") + "password_file = 'b'",
            "auth.identity.a: password and password_file are two places for one secret",
        ),
        (user("a", "''"), 'auth.identity.a.username: "" is no name'),
        (user("a", "' a'"), "auth.identity.a.username: "),
        (user("a", '"a\\u0007"'), "auth.identity.a.username: "),
        (user("a", '"a\\u202e"'), "auth.identity.a.username: "),
        (user("a", "'a:b'"), 'auth.identity.a.username: "a:b" has a colon'),
        (user("a", f"'{'a' * (USERNAME_CHARACTERS_MAX + 1)}'"), "auth.identity.a.username: a name"),
        (user("''", "'a'"), 'auth.identity."": "" is no name'),
        (user('"a\\nb"', "'a'"), 'auth.identity."a\\nb": "a\\nb" is no name'),
        (user("a" * (TABLE_NAME_CHARACTERS_MAX + 1), "'a'"), "auth.identity.aaa"),
        (
            user("a", "'x'") + user("'b c'", "'x'"),
            'auth.identity."b c".username: "x" is the name of auth.identity.a too',
        ),
        (
            OIDC + user("a", "'ci'"),
            'auth.identity.a.username: "ci" is the name of auth.oidc.ci: tokens come under it',
        ),
        (POLICY + "[auth.oidc.ci]", 'auth.oidc.ci: needs issuer, unless provider is "github"'),
        (POLICY + "[auth.oidc.ci]\nprovider = 'gitlab'", "auth.oidc.ci.provider: Invalid enum"),
        (OIDC.replace(".ci", ".'c:i'"), 'auth.oidc."c:i": "c:i" has a colon'),
        (OIDC.replace("https", "http"), "auth.oidc.ci.issuer: must begin with https"),
        (OIDC.replace("https", "ftp"), "auth.oidc.ci.issuer: the URL must begin with https or"),
        (OIDC.replace(".test", ".test/?a=b"), "auth.oidc.ci.issuer: an issuer has no query"),
        (OIDC + "jwks_uri = 'http://192.0.2.1/'", "auth.oidc.ci.jwks_uri: must begin with https"),
        (OIDC + "allowed_algorithms = []", "auth.oidc.ci.allowed_algorithms: is empty"),
        (OIDC + "required_claims = ['']", "auth.oidc.ci.required_claims: "),
        (OIDC + "required_audience = ''", "auth.oidc.ci.required_audience: is empty"),
        (OIDC + "clock_skew_tolerance = -1", "auth.oidc.ci.clock_skew_tolerance: Expected `int`"),
        (
            OIDC + "client_private_key = 'a'",
            "auth.oidc.ci.client_private_key: client_certificate_bundle and client_private_key bel",
        ),
        (OIDC + "client_certificate_bundle = 'a'", "auth.oidc.ci.client_certificate_bundle: "),
        (TOKENS, "auth.token_service: needs secret_key or secret_key_file"),
        (
            TOKENS + f"secret_key = '{TOKEN_KEY}'\nsecret_key_file = 'a'",
            "auth.token_service: secret_key and secret_key_file are two places",
        ),
        (TOKENS + "secret_key_file = 'a'\nrealm = 'token'", "auth.token_service.realm: must be a"),
        (TOKENS + "secret_key_file = 'a'\nttl_secs = 86401", "auth.token_service.ttl_secs: "),
        ("[auth.webhook.w]", "auth.webhook.w.url: must be there"),
        ("[auth.webhook.w]\nurl = 'https://a.test'", "auth.webhook.w.timeout_ms: must be there"),
        (WEBHOOK.replace("https:", ""), "auth.webhook.w.url: must be a URL"),
        (
            WEBHOOK + "bearer_token = 'a'\nbearer_token_file = 'a'",
            "auth.webhook.w: bearer_token and bearer_token_file are two places",
        ),
        (
            BASIC.replace("[auth.webhook.w.b", "bearer_token_file = 't'\n[auth.webhook.w.b")
            + "username = 'u'\npassword = 'p'",
            "auth.webhook.w: a bearer token and basic_auth; write one of them",
        ),
        (BASIC, "auth.webhook.w.basic_auth.username: must be there"),
        (BASIC + "username = 'u'", "auth.webhook.w.basic_auth: needs password or password_file"),
        (BASIC + "username = 'u:'\npassword = 'p'", "auth.webhook.w.basic_auth.username: "),
        (WEBHOOK + "client_private_key = 'a'", "auth.webhook.w.client_private_key: "),
        (WEBHOOK + "forward_headers = ['a b']", 'auth.webhook.w.forward_headers: "a b" is not'),
        (WEBHOOK + "forward_headers = ['']", 'auth.webhook.w.forward_headers: "" is not the name'),
        (
            WEBHOOK + "forward_headers = ['X-REGISTRY-Action']",
            'auth.webhook.w.forward_headers: "X-REGISTRY-Action" is written by the registry alone',
        ),
    ],
)
def test_callers_that_cannot_be_meant_are_refused_with_their_key(text: str, message: str) -> None:
    assert refusal_of(text).startswith(message)


@pytest.mark.parametrize("algorithm", ["none", "None", "", "HS256", "HS512", "rs256", "ES256K"])
def test_algorithm_that_a_stranger_could_sign_with_is_refused(algorithm: str) -> None:
    text = refusal_of(OIDC + f"allowed_algorithms = ['RS256', '{algorithm}']")

    assert text.startswith(f'auth.oidc.ci.allowed_algorithms: "{algorithm}" is not taken')
    assert text.endswith(", ".join(ALGORITHMS))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_algorithm_with_two_keys_is_taken(algorithm: str) -> None:
    config = config_of(OIDC + f"allowed_algorithms = ['{algorithm}']")

    assert config.auth.oidc["ci"].allowed_algorithms == (algorithm,)


@pytest.mark.parametrize(
    "text",
    [
        TOKENS + f"secret_key = '{SECRET}'",
        TOKENS + f"secret_key = '{SECRET}{SECRET[:1]}'",
        TOKENS + f"secret_key = '{SECRET}\u00e9'",
        TOKENS + f"secret_key = ['{SECRET}']",
        TOKENS + f"secret_key = {{ a = '{SECRET}' }}",
        TOKENS + f"secret_key = '{TOKEN_KEY[:-8]}'",
        f"[auth.identity.a]\nusername = 'a'\npassword = '{SECRET}'",
        f"[auth.identity.a]\nusername = 'a'\npassword = '{ARGON2ID} {SECRET}'",
        "[auth.identity.a]\nusername = 'a'\npassword = ''",
        "[auth.identity.a]\nusername = 'a'\npassword = 7654321",
        WEBHOOK + f"bearer_token = '{SECRET} '",
        WEBHOOK + f'bearer_token = "{SECRET}\\r\\nX: y"',
        BASIC + f'username = "u"\npassword = "{SECRET}\\n"',
        BASIC + "username = 'u'\npassword = ''",
        WEBHOOK.replace("//", f"//u:{SECRET}@"),
        WEBHOOK.replace(".test", f".test/{SECRET} /"),
        WEBHOOK.replace("https", f"{SECRET}"),
        OIDC.replace("//", f"//u:{SECRET}@"),
    ],
)
def test_refusal_of_a_secret_does_not_show_it(text: str) -> None:
    refusal = refusal_of(text)

    assert SECRET not in refusal
    assert "7654321" not in refusal
    assert TOKEN_KEY[:20] not in refusal
    assert refusal.startswith("auth.")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "registry.example.test",
        "//registry.example.test",
        "https:",
        "https://",
        "https://:8000",
        "https:///token",
        "https://registry example.test",
        "https://registry.example.test\n",
        "https://r\u00e9gistry.example.test",
        "https://registry..example.test",
        "https://-registry.example.test",
        "https://registry.example.test:",
        "https://registry.example.test:0",
        "https://registry.example.test:65536",
        "https://registry.example.test:http",
        "https://[::1",
        "https://[::1]x:80",
        "https://[192.0.2.1]",
        "https://[zz]",
        "https://user@registry.example.test",
        "https://registry.example.test#part",
        "https://registry.example.test#",
        "https://registry.example.test?",
        "https://registry.example.test?query",
        "https://registry.example.test/",
        "https://registry.example.test/v2",
        'https://registry.example.test"',
        "https://registry.example.test\\",
        "ftp://registry.example.test",
        "javascript://registry.example.test",
    ],
)
def test_external_url_is_a_scheme_a_host_and_a_port_at_most(url: str) -> None:
    config = Config()
    server = type(config.server)(external_url=url)

    with pytest.raises(OperatorError, match=r"^server\.external_url: "):
        check(Config(server=server))


def test_issuer_without_a_policy_is_refused_with_the_lines_to_add() -> None:
    text = OIDC.removeprefix(POLICY)
    first, *lines = refusal_of(text).splitlines()

    assert first.startswith("auth.oidc: ")
    assert len(lines) == 3
    policy = config_of(text + "\n".join(line.strip() for line in lines)).global_.access_policy
    assert policy is not None
    assert not policy.allows
    compile_policy(allows=False, texts=policy.rules)


def test_policy_of_a_repository_alone_does_not_say_who_an_issuers_people_are() -> None:
    text = OIDC.removeprefix(POLICY) + "[repository.a.access_policy]\ndefault = 'deny'"

    assert refusal_of(text).startswith("auth.oidc: ")


def test_each_secret_has_a_key_for_its_file() -> None:
    config = config_of(BASIC + f"username = 'u'\npassword = 'p'\n{TOKENS}secret_key_file = 'k'\n")
    pairs = {
        (type(table).__name__, file.name)
        for _, table in tables_in(config)
        for _, file in secrets_with_files(type(table))
    }

    assert pairs == {
        ("TokenService", "secret_key_file"),
        ("AuthorizationWebhook", "bearer_token_file"),
        (BasicCredential.__name__, "password_file"),
    }


@QUICK
@given(texts(st.sampled_from(["alice", "a b", "b\u00f6b"])))
def test_any_name_of_a_user_is_taken_or_refused(name: str) -> None:
    config = parse([("angos.toml", user("a", "'a'"))]).config
    identity = type(config.auth.identity["a"])(
        username=name, password=config.auth.identity["a"].password
    )
    auth = type(config.auth)(identity={"a": identity})
    found = value_or_refusal(lambda: check(Config(auth=auth)))

    assert (found is None) == (
        name.isprintable()
        and name == name.strip()
        and ":" not in name
        and 0 < len(name) <= USERNAME_CHARACTERS_MAX
    )


@QUICK
@given(texts(st.sampled_from(["https://a.test", "http://[::1]:80/x?y", "https://u:p@a.test#f"])))
def test_any_url_is_taken_or_refused_without_being_shown(url: str) -> None:
    webhook = config_of(WEBHOOK).auth.webhook["w"]
    auth = type(Config().auth)(webhook={"w": type(webhook)(url=url, timeout_ms=1)})
    found = value_or_refusal(lambda: check(Config(auth=auth)))

    assert found is None or len(url) < 8 or url not in str(found)
