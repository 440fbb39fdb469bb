"""`angos-trio check`, `--version` and what every command refuses, in this process."""

from __future__ import annotations

import gc
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from angos_trio import __version__
from angos_trio.cli.main import main
from angos_trio.config.schema import json_schema
from tests.config.documents import ARGON2ID, TOKEN_KEY

pytestmark = pytest.mark.slow

COMMANDS = ["check", "serve"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory to work in. `serve` takes its process for its own: that is undone."""
    monkeypatch.chdir(tmp_path)
    interrupt, blocked = (
        signal.getsignal(signal.SIGINT),
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    )
    yield tmp_path
    signal.signal(signal.SIGINT, interrupt)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    gc.enable()


def write(text: str, name: str = "registry.toml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command says that must be refused: all of standard error, after the program's name."""
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("angos-trio: ")
    assert "Traceback" not in said.err
    return said.err.removeprefix("angos-trio: ").rstrip("\n")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints that must pass."""
    assert main(arguments) == 0
    found = capsys.readouterr()
    assert found.err == ""
    return found.out


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"angos-trio {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["nothing"], ["config"], ["check", "--nothing"], ["serve", "extra"], ["-c"]]
)
def test_wrong_arguments_end_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "usage: angos-trio" in capsys.readouterr().err


def test_check_without_a_file_tells_the_loopback_defaults_and_changes_nothing(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    text = said(capsys, "check")

    assert "http://127.0.0.1:8000" in text
    assert str(here / "angos-data") in text
    assert "callers on this host" in text
    assert "5242880 bytes" in text
    assert list(here.iterdir()) == []


def test_check_tells_what_the_options_change(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "check", "--listen", "[::1]:5000", "--data-dir", "elsewhere")

    assert "http://[::1]:5000" in text
    assert "elsewhere" in text


@pytest.mark.parametrize("is_before", [True, False])
def test_file_may_stand_before_the_command_or_after_it(
    capsys: pytest.CaptureFixture[str], is_before: bool
) -> None:
    file = ["-c", write("[server]\nport = 5001")]

    text = said(capsys, *(file if is_before else []), "check", *([] if is_before else file))

    assert "http://127.0.0.1:5001" in text


def test_long_option_names_a_file_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert ":5002 " in said(capsys, "check", "--config", write("[server]\nport = 5002"))


def test_later_file_wins_key_by_key(capsys: pytest.CaptureFixture[str]) -> None:
    first = write('[server]\nport = 5001\nbind_address = "::1"', "1.toml")
    second = write("[server]\nport = 5002\n[global]\nmax_blob_size = 7", "2.toml")
    third = write("[global]\nmax_blob_size = 8", "3.toml")

    text = said(capsys, "-c", first, "check", "-c", second, "-c", third)

    assert "http://[::1]:5002" in text
    assert "blobs up to 8 bytes" in text


def test_option_wins_over_every_file(capsys: pytest.CaptureFixture[str]) -> None:
    file = write("[server]\nport = 5001")

    assert ":5003 " in said(capsys, "-c", file, "check", "--listen", "127.0.0.1:5003")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nprot = 1", ["server.prot", "port"]),
        ("[global]\nimmutable_tag = true", ["global.immutable_tag", "immutable_tags"]),
        ("[sever]", ["sever", "server"]),
        ('[repository."a"]\nimutable_tags = true', ["repository", "imutable_tags", "immutable"]),
        ('[server]\nport = "x"', ["server.port"]),
        ("[server]\nport = 70000", ["server.port"]),
        ("[server]\nstall_timeout = 0", ["server.stall_timeout"]),
        ("[global]\nimmutable_tags = 1", ["global.immutable_tags"]),
        ("server = 1", ["server"]),
        ('[global]\nmax_blob_size = "5 parsecs"', ["global.max_blob_size", "5 parsecs"]),
        ("[global]\nmax_manifest_size = 0", ["global.max_manifest_size"]),
        ("[global]\nmax_manifest_size = -1", ["global.max_manifest_size"]),
        ('[global]\nmin_free_space = "x"', ["global.min_free_space"]),
        ('[global]\nimmutable_tags_exclusions = ["("]', ["global.immutable_tags_exclusions"]),
        (
            '[repository."a/b"]\nimmutable_tags_exclusions = ["["]',
            ["a/b", "immutable_tags_exclusions"],
        ),
        ('[global.access_policy]\ndefault = "maybe"', ["global.access_policy.default"]),
        ('[global.access_policy]\nrules = ["true", " "]', ["global.access_policy.rules", "rule 1"]),
        (
            '[repository."a".access_policy]\nrules = ["x"]',
            ['repository."a".access_policy.rules: rule 0: names x'],
        ),
        ('[observability]\nlog_level = "loud"', ["observability.log_level"]),
        ('[metadata_store.fs]\nroot_dir = "/else"', ["metadata_store.fs.root_dir"]),
        ("[server", ["registry.toml"]),
        ("a = 1\na = 2", ["registry.toml"]),
        ("\udcff", ["registry.toml"]),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_its_key(
    capsys: pytest.CaptureFixture[str], command: str, text: str, expected: list[str]
) -> None:
    Path("registry.toml").write_bytes(text.encode("utf-8", "surrogateescape"))

    line = refusal(capsys, command, "-c", "registry.toml")

    assert "\n" not in line
    for part in expected:
        assert part in line


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[cache.redis]\nurl = "x"', "cache"),
        ('[event_webhook.a]\nurl = "x"', "event_webhook.a"),
        ('[blob_store.s3]\nbucket = "x"', "blob_store.s3"),
        ('[metadata_store.s3]\nbucket = "x"', "metadata_store.s3"),
        ('[metadata_store.fs.redis]\nurl = "x"', "metadata_store.fs.redis"),
        ('[global.retention_policy]\nrules = ["x"]', "global.retention_policy"),
        ('[[repository."a".upstream]]\nurl = "x"', "upstream"),
        ('[repository."a".retention_policy]\nrules = ["x"]', "retention_policy"),
    ],
)
def test_key_of_the_original_that_is_not_built_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], command: str, text: str, key: str
) -> None:
    line = refusal(capsys, command, "-c", write(text))

    assert "\n" not in line
    assert key in line
    assert "unknown" not in line


def test_key_of_the_original_without_effect_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    file = write(
        "[global]\nmax_concurrent_requests = 4\nenable_redirect = true\n"
        "[server]\nquery_timeout = 3600\n"
        '[observability.tracing]\nendpoint = "x"\n'
        "[blob_store.fs]\nsync_to_disk = false\n"
    )

    notes = [line for line in said(capsys, "check", "-c", file).splitlines() if "note: " in line]

    for key in (
        "global.max_concurrent_requests",
        "global.enable_redirect",
        "server.query_timeout",
        "observability.tracing",
        "blob_store.fs.sync_to_disk",
    ):
        assert sum(line.startswith(f"note: {key} ") for line in notes) == 1
    assert len(notes) == 5


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.1", "registry.example.org"])
@pytest.mark.parametrize("is_option", [True, False])
def test_address_that_others_reach_is_refused_with_the_lines_to_add(
    capsys: pytest.CaptureFixture[str], command: str, address: str, is_option: bool
) -> None:
    if is_option:
        host = f"[{address}]" if ":" in address else address
        text = refusal(capsys, command, "--listen", f"{host}:5000")
    else:
        text = refusal(capsys, command, "-c", write(f'[server]\nbind_address = "{address}"'))

    first, *lines = text.splitlines()
    assert first.startswith("server.bind_address: ")
    assert address in first
    assert len(lines) == 3
    added = write("\n".join(line.strip() for line in lines), "added.toml")
    again = said(capsys, "check", "--listen", "0.0.0.0:5000", "-c", added)
    assert "everybody" in again


def test_policy_that_denies_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "check", "-c", write("[global.access_policy]\nrules = []"))

    assert "nobody" in text


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "listen", ["", ":", "x", "127.0.0.1", ":80", "a:b", "::1:80", "127.0.0.1:70000", "a:-1", "[]:1"]
)
def test_listen_that_is_no_address_is_refused(
    capsys: pytest.CaptureFixture[str], command: str, listen: str
) -> None:
    line = refusal(capsys, command, "--listen", listen)

    assert "--listen" in line
    assert "\n" not in line


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("file", ["missing.toml", ".", "registry.toml/x", "a" * 5000])
def test_file_that_cannot_be_read_is_refused(
    capsys: pytest.CaptureFixture[str], command: str, file: str
) -> None:
    write("")

    line = refusal(capsys, command, "-c", file)

    assert "\n" not in line


def test_value_of_many_lines_still_makes_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    file = write('[global]\nmax_blob_size = "1\\n2"\n')

    assert "\n" not in refusal(capsys, "check", "-c", file)


def test_check_tells_where_the_configuration_comes_from(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = here / "alice.hash"
    secret.write_text(f"{ARGON2ID}\n")
    secret.chmod(0o640)
    first = write("[auth.identity.a]\nusername = 'a'\npassword_file = 'alice.hash'", "1.toml")
    second = write("[server]\nport = 5002\n[global]\njob_queue.max = 1", "2.toml")
    monkeypatch.setenv("ANGOS_TRIO__SERVER__PORT", "5004")
    monkeypatch.setenv("ANGOS_TRIO__AUTH__TOKEN_SERVICE__SECRET_KEY", TOKEN_KEY)
    monkeypatch.setenv("ANGOS_TRIO_PORT", "tcp://192.0.2.1:1")

    text = said(capsys, "-c", first, "check", "-c", second)

    lines = text.splitlines()
    assert ":5004 " in lines[0]
    assert 'reads "1.toml"' in lines
    assert 'reads "2.toml", over what was read before' in lines
    assert "takes server.port from the environment: ANGOS_TRIO__SERVER__PORT" in lines
    assert "takes auth.token_service.secret_key from the environment: " in text
    assert 'takes a secret from "alice.hash", mode 0640: auth.identity.a.password_file' in lines
    assert [line.split()[1] for line in lines if line.startswith("note: ")] == [
        "global.job_queue",
        "ANGOS_TRIO_PORT",
        "auth.identity.a.password_file:",
    ]
    assert ARGON2ID not in text
    assert TOKEN_KEY not in text


@pytest.mark.parametrize("command", COMMANDS)
def test_variable_that_names_no_key_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("ANGOS_TRIO__SERVER__PROT", "1")

    line = refusal(capsys, command)

    assert line == "ANGOS_TRIO__SERVER__PROT: server.prot: unknown key; did you mean port?"


@pytest.mark.parametrize("command", COMMANDS)
def test_all_that_is_not_built_is_told_at_once(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    lines = refusal(capsys, command, "-c", write("cache.redis.url = 'x'\nblob_store.s3.a = 'x'"))

    assert [line.partition(":")[0] for line in lines.splitlines()] == ["cache", "blob_store.s3"]


def test_schema_of_the_configuration_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(said(capsys, "config", "schema")) == json_schema()
