"""`angos-trio pki` as an operator types it: what it prints, its exit codes, and its sentences."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pki.authorities import certificates
from tests.running import program
from tests.skips import leave_out

pytestmark = pytest.mark.slow
SECS_MAX = 60.0

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def pki(tmp_path: Path) -> Run:
    """Runs a command below `pki` for one directory."""

    def run(
        *words: str, stdin: Any = subprocess.DEVNULL, stdout: Any = subprocess.PIPE
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program(), "pki", *words, "--pki", str(tmp_path / "pki")],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SECS_MAX,
            check=False,
            cwd=tmp_path,
        )

    return run


@pytest.fixture
def made(pki: Run) -> Run:
    """The same with an authority."""
    assert pki("init", "--name", "lab").returncode == 0
    return pki


def said(ended: subprocess.CompletedProcess[str]) -> str:
    """What a command prints that must pass, and complain of nothing."""
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return ended.stdout


def refused(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that must refuse."""
    assert (ended.returncode, ended.stdout) == (1, ""), ended
    assert ended.stderr.startswith("angos-trio: ")
    assert ended.stderr.count("\n") == 1
    return ended.stderr


def test_first_hour(pki: Run, tmp_path: Path) -> None:
    root = tmp_path / "pki"
    told = said(pki("init"))
    assert f"clients trust {root}/ca.crt" in told
    assert "and not encrypted: whoever can read it can make certificates for anybody" in told
    told = said(pki("server", "--san", "registry.lab", "--san", "IP:10.0.0.5"))
    assert "server registry.lab (DNS:registry.lab, IP:10.0.0.5), until 20" in told
    told = said(pki("client", "alice", "--group", "team", "--group", "ops", "-o", "bag"))
    assert "client alice (team, ops), until 20" in told
    assert sorted(path.name for path in (tmp_path / "bag").iterdir()) == [
        "alice.crt",
        "alice.key",
        "ca.crt",
    ]
    assert oct((tmp_path / "bag" / "alice.key").stat().st_mode) == "0o100600"

    lines = said(pki("list")).splitlines()
    assert lines[0].split()[:5] == ["NAME", "KIND", "STATE", "ENDS", "SERIAL"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["registry.lab", "server", "good"],
        ["alice", "client", "good"],
    ]
    assert len(said(pki("list", "--expiring", "100d")).splitlines()) == 2
    assert len(said(pki("list", "--expiring", "30d")).splitlines()) == 1
    told = said(pki("revoke", "alice", "--reason", "key-compromise"))
    assert "a running registry that is given this file goes by it from the next request on" in told
    [_, alice] = json.loads(said(pki("list", "--json")))
    assert (alice["name"], alice["state"], alice["reason"]) == ("alice", "revoked", "keyCompromise")
    assert said(pki("crl")).startswith("-----BEGIN X509 CRL-----")
    assert "copy.crl: 1 revoked; the next is due 20" in said(pki("crl", "-o", "copy.crl"))
    assert said(pki("doctor")) == f"{root}: nothing is wrong\n"


def test_nothing_is_due_at_first(made: Run) -> None:
    said(made("server", "--san", "registry.lab"))
    check = made("renew", "--all-due", "--check")
    assert (check.returncode, check.stdout) == (1, "nothing is due\n")
    assert made("renew", "server", "--check").returncode == 1
    assert said(made("renew", "--all-due")) == "nothing is due\n"


def test_due_is_told_and_renewed(made: Run, tmp_path: Path) -> None:
    """A certificate for a day that began five minutes ago, and two days more of CRL."""
    said(made("server", "--san", "registry.lab", "--days", "1"))
    said(made("client", "alice", "--days", "1"))
    make_due(tmp_path)

    told = said(made("renew", "--all-due", "--check"))
    assert "the server's certificate is due: it ends 20" in told
    assert "client alice is due: it ends 20" in told
    before = certificates(tmp_path / "pki" / "server.crt")[0]
    told = said(made("renew", "--all-due"))
    assert "server registry.lab (DNS:registry.lab)" in told
    assert "must be brought its new one by hand: angos-trio pki renew alice" in told
    assert certificates(tmp_path / "pki" / "server.crt")[0] != before
    assert made("renew", "server", "--check").returncode == 1
    assert made("renew", "alice", "--check").returncode == 0


def make_due(folder: Path) -> None:
    """As it were a day later, for certificates of a day."""
    journal = folder / "pki" / "issued.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if line.get("kind") in ("server", "client"):
            line["not_before"] -= 70_000
            line["not_after"] -= 70_000
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("kind", ["file", "link", "directory", "no room", "refused"])
def test_bag_that_cannot_be_filled_is_refused_before_anything_is_issued(
    made: Run, tmp_path: Path, kind: str
) -> None:
    bag, part, name = tmp_path / "bag", "", "alice"
    journal = tmp_path / "pki" / "issued.jsonl"
    before = journal.read_bytes()
    match kind:
        case "file":
            bag.touch()
            part = f"-o: {bag} is there and is no directory: name another one"
        case "link":
            bag.symlink_to("nowhere")
            part = f"-o: {bag} is a link to nowhere"
        case "directory":
            (bag / "alice.key").mkdir(parents=True)
            part = f"-o: {bag}/alice.key is a directory"
        case "no room":
            bag = Path("/proc/bag")
            part = "-o: /proc/bag: "
        case _:
            name, part = "server", "this word stands for something else"
    assert part in refused(made("client", name, "-o", str(bag)))
    assert journal.read_bytes() == before
    assert kind != "refused" or not bag.exists()


def test_full_stick_is_named_before_anything_is_issued(made: Run, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        leave_out("only root mounts a stick")
    journal = tmp_path / "pki" / "issued.jsonl"
    before, stick = journal.read_bytes(), tmp_path / "stick"
    stick.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(stick)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        leave_out("nothing can be mounted here")
    try:
        for target in (stick, stick / "bag"):
            told = refused(made("client", "alice", "-o", str(target)))
            assert f"-o: {target}: the disk is full: make room" in told
        assert list(stick.iterdir()) == []
    finally:
        subprocess.run(["umount", str(stick)], check=True)
    assert journal.read_bytes() == before


def test_copy_that_fails_says_where_to_copy_it_from(made: Run, tmp_path: Path) -> None:
    said(made("client", "alice", "-o", "bag"))
    certificate = tmp_path / "bag" / "alice.crt"
    if subprocess.run(["chattr", "+i", certificate], capture_output=True, check=False).returncode:
        leave_out("no file can be made immutable here")
    try:
        ended = made("client", "alice", "-o", "bag")
    finally:
        subprocess.run(["chattr", "-i", certificate], check=True)
    assert ended.returncode == 1
    *remarks, last = ended.stderr.splitlines()
    assert "this renews alice" in remarks[0]
    assert "bag/alice.crt: not permitted, even to root" in last
    kept = tmp_path / "pki"
    assert last.endswith(
        f"issued: copy it from {kept}/clients/alice.crt and {kept}/private/clients/alice.key"
    )


@pytest.mark.parametrize("fails", ["systemctl", "output"])
def test_restart_that_failed_is_tried_again(
    made: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    said(made("server", "--san", "registry.lab", "--days", "1"))
    make_due(tmp_path)
    (tmp_path / "bin").mkdir()
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexit $(cat {tmp_path}/code)\n')
    systemctl.chmod(0o755)
    (tmp_path / "code").write_text("1" if fails == "systemctl" else "0")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    words = ("renew", "--all-due", "--restart", "x.service")
    if fails == "output":
        with open("/dev/full", "w") as full:
            made(*words, stdout=full)
        assert (tmp_path / "asked").read_text() == "try-restart x.service\n"
    else:
        ended = made(*words)
        assert ended.returncode == 1
        assert "server registry.lab" in ended.stdout
        assert "`systemctl try-restart x.service` failed: code 1; this tries it" in ended.stderr
        assert "angos-trio pki renew --all-due --restart x.service --pki " in ended.stderr
        assert "x.service was not restarted after its certificate was" in said(made("doctor"))
        (tmp_path / "code").write_text("0")
        assert said(made(*words)) == "nothing is due\n"
        assert (tmp_path / "asked").read_text() == "try-restart x.service\n" * 2
    before = (tmp_path / "asked").read_text()
    assert said(made(*words)) == "nothing is due\n"
    assert (tmp_path / "asked").read_text() == before
    assert "is no unit of systemd" in refused(made("renew", "--all-due", "--restart", "../x"))


def test_name_that_is_taken_and_older_ones_are_told_of(made: Run) -> None:
    said(made("client", "alice"))
    again = made("client", "alice")
    assert again.returncode == 0
    assert "this renews alice: the certificate before (" in again.stderr
    revoked = made("revoke", "alice")
    assert revoked.returncode == 0
    assert "alice has another that is still good: client alice, until" in revoked.stderr
    assert "revoked client alice" in said(made("revoke", "alice", "--all"))


def test_serial_number_of_which_the_journal_does_not_tell_is_revoked_and_it_is_said(
    made: Run,
) -> None:
    told = said(made("revoke", "5b" * 20))
    assert f"revoked serial {'5b' * 20}, of which the journal does not tell: compare it" in told
    assert "this certificate was revoked already" in refused(made("revoke", "5b" * 20))


def test_requests_are_signed_and_the_key_stays(made: Run, tmp_path: Path) -> None:
    for name in ("alice", "other"):
        words = f"req -new -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN=x"
        subprocess.run(["openssl", *words.split()], cwd=tmp_path, capture_output=True, check=True)
    told = said(made("client", "alice", "--csr", "alice.csr", "-o", "bag"))
    assert "client alice, until" in told
    assert sorted(path.name for path in (tmp_path / "bag").iterdir()) == ["alice.crt", "ca.crt"]
    made("client", "alice", "-o", "bag")
    told = made("client", "alice", "--csr", "alice.csr", "-o", "bag").stdout
    assert "bag/alice.key: of a certificate before, and removed" in told
    assert sorted(path.name for path in (tmp_path / "bag").iterdir()) == ["alice.crt", "ca.crt"]
    assert "take a new request from it" in refused(made("renew", "alice"))
    printed = said(made("server", "--san", "other.lab", "--csr", "other.csr"))
    assert printed.startswith("-----BEGIN CERTIFICATE-----")
    said(made("server", "--san", "other.lab", "--csr", "other.csr", "-o", "other.crt"))
    assert len(certificates(tmp_path / "other.crt")) == 2
    assert not (tmp_path / "pki" / "server.crt").exists()
    assert "client (csr)" in said(made("list"))


def test_offline_root_renews_with_its_medium_only(pki: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "wrong").write_text("wrong\n")
    told = said(pki("init", "--offline-root", "root.key", "--password-file", "password"))
    assert "the root's key is in root.key only: take it away" in told
    assert not (tmp_path / "pki" / "private" / "root.key").exists()
    assert "the root's key is not here: bring the medium" in refused(pki("renew", "issuing"))
    key = ("renew", "issuing", "--root-key", "root.key")
    assert "give its password with --password-file FILE" in refused(pki(*key))
    assert "the password is wrong" in refused(pki(*key, "--password-file", "wrong"))
    told = said(pki(*key, "--password-file", "password"))
    assert "it keeps its key, so that all that it issued goes on to count" in told


@pytest.mark.parametrize("words", [["client", "alice", "--p12"], ["renew", "issuing"]])
def test_pipe_is_not_waited_for(made: Run, tmp_path: Path, words: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    told = refused(made(*words, "--password-file", "pipe"))
    assert "--password-file: pipe: this is no file" in told
    assert "--root-key: pipe: this is no file" in refused(
        made("renew", "issuing", "--root-key", "pipe")
    )


def test_password_comes_also_from_what_a_shell_hands_on(made: Run) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"secret\n")
    os.close(writer)
    try:
        said(made("client", "alice", "--p12", "--password-file", "/dev/stdin", stdin=reader))
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["init"], "there is an authority here already"),
        (["init", "--offline-root", "x.key"], "there is no terminal to ask for the password"),
        (["server"], "a server's certificate needs a name: --san registry.lab"),
        (["server", "--san", "https://registry.lab"], "--san: 'https://registry.lab': only the"),
        (["server", "--san", "a.lab", "-o", "x"], "-o is for --csr"),
        (["server", "--san", "a.lab", "--days", "0"], "--days: from 1 to 3650, and not 0"),
        (["server", "--san", "a.lab", "--csr", "no.csr"], "no.csr: No such file or directory"),
        (["server", "--san", "a.lab", "--csr", "no.csr", "-o", "no/x"], "-o: no is no directory"),
        (["client", "a/b"], "the name of a client is the name of files too"),
        (["client", ""], "the name of a client is empty"),
        (["client", "x" * 65], "the name of a client has at most 64 bytes"),
        (["client", "a\x1b[31m"], "'a\\x1b[31m': the name of a client has a character that"),
        (["client", "alice", "--password-file", "x"], "--password-file is for --p12"),
        (["client", "alice", "--p12", "--password-file", "x"], "--password-file: x: No such file"),
        (["client", "alice", "--p12"], "--p12: there is no terminal to ask for the password"),
        (["renew", "alice"], "alice: no certificate was issued yet: angos-trio pki client alice"),
        (["renew", "server", "--root-key", "x"], "are for pki renew issuing"),
        (["revoke", "alice"], "nobody has a certificate under this name: angos-trio pki list"),
        (["list", "--expiring", "soon"], "--expiring: 'soon' is not like 90d, 12h or 30m"),
        (["crl", "--days", "9999"], "--days: from 1 to 3650, and not 9999"),
        (["crl", "-o", "/dev/stdout"], "-o: /dev/stdout is there and is no ordinary file"),
        (["crl", "-o", "missing/crl"], "-o: missing is no directory"),
        (["doctor", "missing"], "pki doctor: missing: No such file or directory"),
    ],
)
def test_what_is_refused_is_one_sentence(made: Run, words: list[str], part: str) -> None:
    assert part in refused(made(*words))


@pytest.mark.parametrize(
    "words",
    [
        ["server", "--san", "registry.lab"],
        ["client", "alice"],
        ["renew", "server"],
        ["renew", "--all-due"],
        ["revoke", "alice"],
        ["list"],
        ["crl"],
        ["doctor"],
    ],
)
def test_without_an_authority_the_first_step_is_named(pki: Run, words: list[str]) -> None:
    assert "there is no authority here: make one with angos-trio pki init" in refused(pki(*words))


@pytest.mark.parametrize("words", [["--all-due"], ["alice"], ["issuing"]])
def test_check_that_cannot_look_is_not_taken_for_nothing_due(pki: Run, words: list[str]) -> None:
    ended = pki("renew", *words, "--check")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "angos-trio: " in ended.stderr
    assert "there is no authority here" in ended.stderr


def test_doctor_exits_with_one_where_somebody_refuses(made: Run, tmp_path: Path) -> None:
    words = "req -x509 -newkey rsa:2048 -nodes -keyout own.key -out own.pem -subj /CN=lab -days 9"
    subprocess.run(["openssl", *words.split()], cwd=tmp_path, capture_output=True, check=True)
    ended = made("doctor", "own.pem", "own.key")
    assert ended.returncode == 1
    assert "own.pem: a root: CN=lab, signed by itself, until" in ended.stdout
    assert "an authority without KeyUsage: make it anew with keyUsage=critical" in ended.stdout
    (tmp_path / "pki" / "private").chmod(0o755)
    ended = made("doctor")
    assert ended.returncode == 1
    assert "others than its owner may open it (755): chmod 700" in ended.stdout


def test_password_is_asked_for_at_a_terminal_and_not_shown(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    words = ["init", "--pki", "pki", "--offline-root", "root.key"]
    process = subprocess.Popen(
        [*program(), "pki", *words],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
        cwd=tmp_path,
    )
    os.close(theirs)
    shown = b""
    try:
        for prompt in (b"Password of the root's key: ", b"The same again: "):
            while prompt not in shown:
                shown += os.read(ours, 1000)
            time.sleep(0.1)  # the prompt is there before the echo is gone
            os.write(ours, b"secret\n")
        out, _ = process.communicate(timeout=SECS_MAX)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert process.returncode == 0
    assert b"the root's key is in root.key only" in out
    assert b"ENCRYPTED" in (tmp_path / "root.key").read_bytes()
    assert b"secret" not in shown
