"""Secrets that stand in files, and what systemd hands over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.app.plan import make_plan
from angos_trio.config.model import Config, Secret
from angos_trio.config.overrides import load_with_overrides
from angos_trio.config.parse import ParsedConfig, SecretFile, parse
from angos_trio.config.reload import decode, encode
from angos_trio.config.secret_files import expand_paths, resolve_secrets
from angos_trio.errors import OperatorError
from angos_trio.limits.processes import SECRET_FILE_BYTES_MAX
from tests.config.documents import ARGON2ID, TOKEN_KEY
from tests.config.refusals import value_or_refusal
from tests.oci.strategies import QUICK

ALICE = "[auth.identity.alice]\nusername = 'alice'\npassword_file = '{}'\n"
ASKER = "[auth.webhook.asker]\nurl = 'https://asker.example.test'\ntimeout_ms = 1\n"
OIDC = "[global.access_policy]\n[auth.oidc.ci]\nissuer = 'https://login.example.test'\n"
TLS = "[server.tls]\nserver_certificate_bundle = '{}'\nserver_private_key = '{}'\n"
CREDENTIALS = "$CREDENTIALS_DIRECTORY"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file with the hash of a password."""
    return write(tmp_path, f"{ARGON2ID}\n")


def write(directory: Path, text: str | bytes, name: str = "secret", mode: int = 0o600) -> Path:
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def loaded(directory: Path, text: str, environ: dict[str, str] | None = None) -> ParsedConfig:
    file = write(directory, text, "angos.toml")
    return load_with_overrides([str(file)], None, None, environ or {})


def refusal_of(directory: Path, text: str, environ: dict[str, str] | None = None) -> str:
    found = value_or_refusal(lambda: loaded(directory, text, environ))
    assert isinstance(found, OperatorError), found
    return str(found)


def test_secret_takes_the_place_of_the_name_of_its_file(secret: Path) -> None:
    parsed = loaded(secret.parent, ALICE.format(secret))
    alice = parsed.config.auth.identity["alice"]

    assert (alice.password, alice.password_file) == (Secret(ARGON2ID), None)
    assert parsed.secret_files == (
        SecretFile("auth.identity.alice.password_file", str(secret), 0o600),
    )
    assert parsed.remarks == ()
    assert ARGON2ID not in repr(parsed)


def test_every_kind_of_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    key = write(tmp_path, TOKEN_KEY, "key")
    token = write(tmp_path, "token\r\n", "token")
    password = write(tmp_path, "a: b\n", "password")
    text = (
        f"[auth.token_service]\nsecret_key_file = '{key}'\n"
        f"{ASKER}bearer_token_file = '{token}'\n"
        f"{ASKER.replace('asker', 'other')}[auth.webhook.other.basic_auth]\nusername = 'u'\n"
        f"password_file = '{password}'\n"
    )
    auth = loaded(tmp_path, text).config.auth

    assert auth.token_service is not None
    assert auth.token_service.secret_key == Secret(TOKEN_KEY)
    assert auth.webhook["asker"].bearer_token == Secret("token")
    assert auth.webhook["other"].basic_auth is not None
    assert auth.webhook["other"].basic_auth.password == Secret("a: b")


def test_resolved_configuration_arrives_in_another_process(secret: Path) -> None:
    config = loaded(secret.parent, ALICE.format(secret)).config

    assert decode(encode(config)) == config


def test_file_is_read_anew_each_time(secret: Path) -> None:
    text = ALICE.format(secret)
    before = loaded(secret.parent, text).config
    write(secret.parent, f"{ARGON2ID}x\n")

    assert loaded(secret.parent, text).config != before


def test_token_for_an_issuer_stays_in_its_file(tmp_path: Path) -> None:
    config = loaded(tmp_path, OIDC + "bearer_token_file = '/nowhere/token'").config

    assert config.auth.oidc["ci"].bearer_token_file == "/nowhere/token"


def test_configuration_that_is_only_parsed_reads_no_file() -> None:
    config = parse([("angos.toml", ALICE.format("/nowhere/secret"))]).config

    assert config.auth.identity["alice"].password_file == "/nowhere/secret"


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_one_line_break_at_the_end_is_left_away(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path, f"{ARGON2ID}{ending}")
    alice = loaded(tmp_path, ALICE.format(path)).config.auth.identity["alice"]

    assert alice.password == Secret(ARGON2ID)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hunter2\xff", "not UTF-8"),
        (b"hunter2\n", "is no argon2id hash"),
        (ARGON2ID.encode() + b"\n\n", "is no argon2id hash"),
        (ARGON2ID.encode() + b"\nhunter2", "is no argon2id hash"),
        (b"hunter2" * SECRET_FILE_BYTES_MAX, f"larger than {SECRET_FILE_BYTES_MAX} bytes"),
    ],
)
def test_file_without_the_secret_is_refused_by_key_and_name(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = write(tmp_path, content)
    refusal = refusal_of(tmp_path, ALICE.format(path))

    assert refusal.startswith(f'auth.identity.alice.password_file: "{path}": {why}')
    assert "hunter2" not in refusal


def test_largest_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "t" * SECRET_FILE_BYTES_MAX)
    webhook = loaded(tmp_path, f"{ASKER}bearer_token_file = '{path}'").config.auth.webhook["asker"]

    assert webhook.bearer_token == Secret("t" * SECRET_FILE_BYTES_MAX)


def test_file_that_cannot_be_read_is_refused_by_key_and_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, why in {
        "missing": "No such file or directory; correct the name, or make it",
        "pipe": "not a regular file",
        "": "not a regular file",
        "angos.toml/x": "Not a directory; a part of the name is no directory: correct it",
        "a" * 300: "File name too long",
    }.items():
        refusal = refusal_of(tmp_path, ALICE.format(tmp_path / name))

        assert refusal.startswith('auth.identity.alice.password_file: "')
        assert refusal.endswith(f": {why}")


def test_link_to_a_file_is_followed(secret: Path) -> None:
    link = secret.parent / "link"
    link.symlink_to(secret)

    assert loaded(secret.parent, ALICE.format(link)).config.auth.identity["alice"].password


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_file_that_others_may_read_is_remarked_on(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, ARGON2ID, mode=mode)
    [remark] = loaded(tmp_path, ALICE.format(path)).remarks

    assert remark.startswith(f'auth.identity.alice.password_file: "{path}" has mode {mode:04o}')


def test_credential_of_systemd_is_found_and_not_remarked_on(tmp_path: Path) -> None:
    write(tmp_path, ARGON2ID, "alice", 0o440)
    text = ALICE.format(f"{CREDENTIALS}/alice")
    parsed = loaded(tmp_path, text, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert parsed.config.auth.identity["alice"].password == Secret(ARGON2ID)
    assert parsed.secret_files[0].path == str(tmp_path / "alice")
    assert parsed.remarks == ()


@pytest.mark.parametrize("environ", [{}, {"CREDENTIALS_DIRECTORY": ""}])
def test_credential_without_systemd_is_refused_with_its_key(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    refusal = refusal_of(tmp_path, ALICE.format(f"{CREDENTIALS}/alice"), environ)

    assert refusal.startswith(f"auth.identity.alice.password_file: {CREDENTIALS} is not set")


def test_every_path_of_tls_and_of_callers_may_be_a_credential() -> None:
    here = f"{CREDENTIALS}/file"
    pair = f"client_certificate_bundle = '{here}'\nclient_private_key = '{here}'\n"
    ca = f"server_ca_bundle = '{here}'\n"
    text = (
        TLS.format(here, here)
        + f"client_ca_bundle = '{here}'\nclient_crl = ['{here}', '/etc/other.crl']\n"
        + OIDC
        + f"{pair}{ca}bearer_token_file = '{here}'\n"
        + f"[auth.token_service]\nsecret_key_file = '{here}'\n"
        + f"{ASKER}{pair}{ca}bearer_token_file = '{here}'\n"
    )
    config = parse([("angos.toml", text)]).config
    found = expand_paths(config, {"CREDENTIALS_DIRECTORY": "/run/credentials/registry"})

    assert CREDENTIALS.encode() not in encode(found)
    assert encode(found).count(b'"/run/credentials/registry/file"') == text.count(here)
    assert found.server.tls is not None
    assert found.server.tls.client_crl[1] == "/etc/other.crl"


@pytest.mark.parametrize(
    "text", [CREDENTIALS, f"{CREDENTIALS}x/a", f"/a/{CREDENTIALS}/b", "$HOME/a"]
)
def test_only_the_beginning_of_a_path_is_replaced(text: str) -> None:
    config = parse([("angos.toml", ALICE.format(text))]).config

    assert expand_paths(config, {"CREDENTIALS_DIRECTORY": "/run", "HOME": "/root"}) == config


def test_data_directory_is_no_credential() -> None:
    config = parse([("angos.toml", f"blob_store.fs.root_dir = '{CREDENTIALS}/a'")]).config

    assert expand_paths(config, {"CREDENTIALS_DIRECTORY": "/run"}) == config


def test_nothing_to_resolve_is_the_same_configuration() -> None:
    assert resolve_secrets(Config(), {}).config == Config()


@QUICK
@given(
    st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode("utf-8", "ignore"))
)
def test_any_content_is_a_secret_or_an_operator_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp(), content)
    config = parse([("angos.toml", f"{ASKER}bearer_token_file = '{path}'")]).config
    found = value_or_refusal(lambda: resolve_secrets(config, {}))

    if not isinstance(found, OperatorError):
        token = found.config.auth.webhook["asker"].bearer_token
        assert token is not None
        assert token.reveal().encode() == content.removesuffix(b"\n").removesuffix(b"\r")


def test_command_that_needs_no_file_reads_none(tmp_path: Path) -> None:
    """Credentials are a service's; and an operator's user need not be able to read its secrets."""
    nowhere = f"{CREDENTIALS}/x"
    text = (
        ALICE.format(nowhere)
        + f"[auth.token_service]\nsecret_key_file = '{nowhere}'\n"
        + f"{ASKER}bearer_token_file = '/nowhere/token'\n"
        + TLS.format(nowhere, nowhere)
    )
    file = write(tmp_path, text, "angos.toml")
    config = load_with_overrides([str(file)], None, None, {}, reads_files=False).config

    assert config.server.tls is not None
    assert config.server.tls.server_private_key == nowhere
    make_plan(config)
    other = load_with_overrides([str(file)], None, None, {}, reads_files=False).config
    assert config.auth.token_service is not None
    assert other.auth.token_service is not None
    assert config.auth.token_service.secret_key != other.auth.token_service.secret_key
    assert config.auth.identity["alice"].password != other.auth.identity["alice"].password
    assert "$CREDENTIALS_DIRECTORY is not set" in refusal_of(tmp_path, text)
