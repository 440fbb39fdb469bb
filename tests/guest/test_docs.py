"""Pages about installed registries, followed in guests that have nothing installed at first.

Every command in a block of `sh` is typed, section by section in the order of the page; what is
typed in the place of one is named with the reason. One guest is for docs/installing.md from its
beginning to its end, when everything is removed again; the other for hosts without systemd, and
then for the README and the pages about a service that runs. Each test goes on where the one before
has ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from angos_trio import __version__
from tests.docs.pages import code, codes, read_pages, rows
from tests.guest.another import another_release
from tests.guest.guest import Guest, booted_or_left_out
from tests.guest.typist import CONFIGURATION, Typist
from tests.zipapp.built import one_file

PAGES = read_pages()
MACHINE = os.uname().machine
FILE = f"angos-trio-{__version__}-{MACHINE}.pyz"
NEXT = f"angos-trio-0.2.0-{MACHINE}.pyz"
PKI = "/etc/angos-trio/pki"
URL = "https://registry.lab"
AS_ADMIN = f"--cert {PKI}/clients/admin.crt --key {PKI}/private/clients/admin.key"
HAS_PASSWORD = '--user "admin:$(cat admin.password)"'
WITH_PASSWORD = f"curl --cacert {PKI}/ca.crt --user admin {URL}/v2/_catalog"
SERVE = "angos-trio serve -c /srv/registry/config.toml"
TAKE_KEY_AWAY = (
    f"openssl pkcs8 -topk8 -v2 aes-256-cbc -in {PKI}/private/root.key -out /media/stick/root.key"
)
REFUSED_BY_POLICY = (
    f"angos-trio policy test -c {CONFIGURATION} --as cert:CN=node-1 "
    "--action put-manifest --target demo/hello:1"
)
_INDENTED = re.compile(r"^    ((?:sudo |python3 )?[a-z][a-z-]+ .+)$", re.MULTILINE)
_PROGRAMS = ("angos-trio", "chown", "curl", "du", "journalctl", "openssl", "runuser", "systemctl")
_COMMAND = re.compile(rf"(?:{'|'.join((*_PROGRAMS, 'timedatectl'))}) \S")


@contextmanager
def fresh() -> Iterator[Guest]:
    """A guest with what comes beside the file, and with the file, in `/root`."""
    file = one_file()
    beside = (
        "SHA256SUMS",
        "SHA256SUMS.sig",
        "angos-trio.pub",
        f"angos-trio-{__version__}.cdx.json",
    )
    files = [(file, f"/root/{FILE}"), *((file.with_name(each), f"/root/{each}") for each in beside)]
    with booted_or_left_out(files) as guest:
        yield guest


@pytest.fixture(scope="module")
def installing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Typist]:
    """docs/installing.md, with the next release in `/root/next` and its sums signed."""
    with fresh() as guest:
        copy_next_release(guest, tmp_path_factory.mktemp("next"))
        yield Typist(guest, PAGES["docs/installing.md"])


@pytest.fixture(scope="module")
def other() -> Iterator[Guest]:
    """Another guest, for hosts without a service and then for one with it."""
    with fresh() as guest:
        guest.write("/usr/bin/sudo", '#!/bin/sh\nexec "$@"\n')
        guest.run("chmod", "0755", "/usr/bin/sudo")
        yield guest


@pytest.fixture(scope="module")
def hardening(other: Guest) -> Typist:
    """docs/hardening.md; root's password is in a file, and the medium is a directory."""
    other.run("mkdir -p /media/stick && echo secret > password && angos-trio pki client node-1")
    asked = (f"{TAKE_KEY_AWAY} -passout file:password", "it asks for a password")
    return Typist(other, PAGES["docs/hardening.md"], {TAKE_KEY_AWAY: asked}, {REFUSED_BY_POLICY: 1})


def copy_next_release(guest: Guest, folder: Path) -> None:
    """A release to upgrade to, its sums signed by a key of its own."""
    release = another_release(one_file(), folder / NEXT, "0.2.0", {})
    sums = f"{hashlib.sha256(release.read_bytes()).hexdigest()}  {NEXT}\n".encode()
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "SHA256SUMS").write_bytes(sums)
    (folder / "SHA256SUMS.sig").write_bytes(key.sign(sums))
    (folder / "angos-trio.pub").write_bytes(public)
    target = guest.root / "root" / "next"
    target.mkdir()
    for each in folder.iterdir():
        (target / each.name).write_bytes(each.read_bytes())


def status(guest: Guest, options: str) -> str:
    """What the registry answers to curl: the status alone."""
    return guest.run(f"curl -sS --cacert {PKI}/ca.crt -o /dev/null -w '%{{http_code}}' {options}")


def installed_version(guest: Guest) -> str:
    """The version of the command."""
    return guest.run("angos-trio", "--version").split()[-1]


def test_the_pages_name_the_file_of_this_version() -> None:
    for name in ("README.md", "docs/installing.md"):
        assert f"python3 angos-trio-{__version__}-x86_64.pyz self install" in PAGES[name]


def test_commands_stand_in_blocks_where_they_are_found() -> None:
    for name in ("docs/installing.md", "docs/hardening.md", "docs/systemd.md"):
        shown = [each for each in _INDENTED.findall(PAGES[name]) if "has the password" not in each]
        assert [each for each in shown if "answers on port" not in each] == [], name


# docs/installing.md


def test_before_an_installation_the_doctor_finds_nothing_bad(installing: Typist) -> None:
    said = installing.follow("What is needed")

    assert "\nbad" not in said
    assert "there are none yet" in said
    assert "angos-trio.service is not installed" in said
    assert installing.guest.run("ls /etc/angos-trio 2>&1 || true").endswith(
        "No such file or directory\n"
    )


def test_sums_and_their_signature_are_verified_with_nothing_but_the_system(
    installing: Typist,
) -> None:
    said = installing.follow("Check the file")

    assert "Signature Verified Successfully" in said
    assert f"{FILE}: OK" in said


def test_one_command_installs_and_the_doctor_is_content(installing: Typist) -> None:
    said = installing.follow("Install")

    assert "angos-trio.service answers on port 443\n" in said
    password = re.search(r"user admin has the password (\S+) \(it is shown only now\)", said)
    assert password is not None
    installing.instead[WITH_PASSWORD] = (
        WITH_PASSWORD.replace("admin", f"admin:{password[1]}"),
        "it asks for a password",
    )
    for line in said.partition("\nNext:\n")[2].splitlines()[:2]:
        assert line.strip() in installing.lines(), "what the command prints next is on the page"
    examined = said.rpartition("\nok    python        cpython")[2]
    assert "\nbad" not in examined
    assert ":: port 443 is held by systemd" in examined
    assert "it says that it is ready" in examined
    assert said.endswith("{}")


def test_what_the_page_lists_was_made_so(installing: Typist) -> None:
    for path, owner, mode, _ in rows(installing.page, "Path", "Owner", "Mode", "What it is"):
        found = installing.guest.run("stat", "--format=%F %04a %U:%G", code(path).rstrip("/"))
        wanted = "symbolic link 0777" if mode == "link" else f"0{mode.removeprefix('0')}"
        kind, _, rest = found.strip().rpartition(" ")
        assert rest == code(owner), path
        assert kind.endswith(wanted), f"{path}: {kind}"
        assert ("directory" in kind) == code(path).endswith("/"), path
    keys = installing.guest.run(f"find {PKI}/private -type f -not -perm 0600")
    assert keys == ""


def test_podman_pushes_and_pulls_and_a_browser_signs_in(installing: Typist) -> None:
    said = installing.follow("The first push")

    assert '{"repositories":["demo/hello"]}' in said
    guest, (typed, _) = installing.guest, installing.instead[WITH_PASSWORD]
    password = typed.partition("admin:")[2].split()[0]
    form = guest.run(f"curl -sS --cacert {PKI}/ca.crt -c jar {URL}/_ui/login")
    token = re.search(r'name="form_token" value="([^"]+)"', form)
    assert token is not None, form
    fields = f"-d user=admin -d password={password} --data-urlencode 'form_token={token[1]}'"
    asked = f"-b jar -c jar -H 'Origin: {URL}' {fields} -d next=/ {URL}/_ui/login"
    assert status(guest, asked) == "303"
    assert "demo/hello" in guest.run(f"curl -sS --cacert {PKI}/ca.crt -b jar {URL}/")
    assert status(guest, f"{URL}/") == "401"


def test_upgrade_rollback_prune_and_verify(installing: Typist) -> None:
    guest, installing.folder = installing.guest, "/root/next"
    said = installing.follow("Upgrade")

    assert "its sum is right, and signed" in said
    assert "upgraded to 0.2.0" in said
    assert f"back at {__version__}" in said
    assert "every file is as it was built" in said
    assert installed_version(guest) == __version__
    assert guest.run("angos-trio", "backup", "verify", "/var/backups/angos-trio")


def test_a_service_that_is_refused_is_told_with_the_reason(installing: Typist) -> None:
    guest = installing.guest
    guest.run(f"cp -p {CONFIGURATION} kept && echo '[nonsense]' >> {CONFIGURATION}")
    ended = guest.try_("angos-trio self install --systemd")
    guest.run(f"cp -p kept {CONFIGURATION}")

    assert ended.code == 1
    assert "angos-trio.service does not start: nonsense: unknown key" in ended.output


def test_another_port_is_listened_on_and_one_that_is_taken_is_refused(installing: Typist) -> None:
    installing.folder = "/root"
    said = installing.follow("Another port")
    guest = installing.guest

    assert "angos-trio.service answers on port 8443" in said
    assert status(guest, f"{URL}:8443/healthz") == "200"
    assert ":: port 8443 is held by systemd" in guest.run("angos-trio doctor")
    guest.run("systemd-run --quiet --unit=in-the-way python3 -m http.server 9443 && sleep 1")
    ended = guest.try_("angos-trio self install --systemd --port 9443")
    assert ended.code == 1
    assert re.search(r"port 9443 is taken by python3 \(.*\): stop that, or give", ended.output)
    assert status(guest, f"{URL}:8443/healthz") == "200"


def test_nothing_is_left_when_it_is_removed(installing: Typist) -> None:
    installing.follow("Remove it")
    guest = installing.guest

    left = guest.run("find / -xdev -name '*angos*' -not -path '/root/*' -not -path '/proc/*'")
    assert [each for each in left.splitlines() if "/journal/" not in each] == []
    assert guest.try_("id", "angos-trio").code != 0
    assert "angos" not in guest.run("systemctl list-unit-files --no-pager")


# Hosts without a service.


def test_without_systemd_a_registry_serves_from_a_directory(other: Guest) -> None:
    ready = "curl -sS --retry 30 --retry-connrefused --retry-delay 1 -k https://registry.lab:8443"
    begun = f"systemd-run --quiet --unit=by-hand {SERVE} && {ready}/healthz"
    typist = Typist(other, PAGES["docs/installing.md"], {SERVE: (begun, "it serves until stopped")})
    said = typist.follow("Without systemd")
    other.run("systemctl", "stop", "by-hand.service")

    assert "{}" in said
    assert "angos-trio.service" not in said
    assert not (other.root / "etc/systemd/system/angos-trio.service").exists()


def test_an_image_has_its_own_paths_owners_and_units_that_start(other: Guest) -> None:
    Typist(other, PAGES["docs/installing.md"]).follow("In an image")
    image = "/srv/image"
    configuration = other.run("cat", f"{image}{CONFIGURATION}")

    assert image not in configuration
    assert f'client_ca_bundle = "{PKI}/clients-ca.crt"' in configuration
    group = re.search(r"^angos-trio:x:(\d+):", other.run("cat", f"{image}/etc/group"), re.MULTILINE)
    assert group is not None
    found = other.run("stat", "--format=%a %u %g", f"{image}{CONFIGURATION}")
    assert found == f"640 0 {group[1]}\n"
    started = other.run("find", f"{image}/etc/systemd/system", "-type", "l", "-printf", "%f\n")
    assert sorted(started.split()) == [
        "angos-trio-renew.timer",
        "angos-trio.service",
        "angos-trio.socket",
    ]


def test_the_file_runs_without_being_installed(other: Guest) -> None:
    said = Typist(other, PAGES["docs/installing.md"]).follow("Straight from the file")

    assert "every file is as it was built" in said
    assert (other.root / "var/tmp/angos-trio").is_dir()
    assert not (other.root / "root/.cache/angos-trio").exists()
    other.run("rm -r /srv/registry /srv/image /var/tmp/angos-trio")


def test_every_section_of_installing_is_followed_here(installing: Typist) -> None:
    elsewhere = ["Without systemd", "In an image", "Straight from the file"]
    assert sorted(installing.left()) == sorted(elsewhere)


# A host with the service.


def test_readme_installs_and_pushes(other: Guest) -> None:
    typist = Typist(other, PAGES["README.md"])
    said = typist.follow("One file, one command")

    assert typist.left() == ["A push and a pull"], "from the sources, which tests/docs types"
    assert "angos-trio.service answers on port 443" in said
    assert status(other, f"{AS_ADMIN} {URL}/v2/demo/hello/manifests/1") == "200"
    password = re.search(r"user admin has the password (\S+)", said)
    assert password is not None
    other.write("/root/admin.password", password[1])
    assert status(other, f"{HAS_PASSWORD} {URL}/v2/") == "200"


def test_commands_of_the_page_about_systemd(other: Guest) -> None:
    typist = Typist(other, PAGES["docs/systemd.md"])
    said = {heading: typist.follow(heading) for heading in typist.sections()}

    assert typist.left() == []
    assert said["A socket for probes"].endswith('{"status":"ok"}')
    assert commands_in_text(typist.page) == {
        "systemctl stop angos-trio",
        "angos-trio gc -c /etc/angos-trio/config.toml",
        "systemctl restart angos-trio.socket",
        "systemctl edit angos-trio.socket",  # an editor; a drop-in of a port is tried above
    }
    typist.type("systemctl restart angos-trio.socket")
    typist.type("systemctl start angos-trio")  # comes back when it serves, which the other does not
    typist.type("angos-trio gc -c /etc/angos-trio/config.toml")
    typist.type("systemctl stop angos-trio")
    assert status(other, f"{URL}/healthz") == "200", "the next connection starts it again"
    assert has_network(other), "with the drop-in"
    assert status(other, "http://127.0.0.1:8001/readyz") == "200"
    (_, without), *rest = rows(typist.page, "Unit", "Exposure")
    assert [exposure(other, codes(unit)[0]) for unit, _ in rest] == [figure for _, figure in rest]
    assert f"The service is at {without};" in PAGES["docs/hardening.md"], "it is measured there"


def exposure(guest: Guest, unit: str) -> str:
    """What systemd thinks of a unit: from 0 to 10."""
    said = guest.run("systemd-analyze", "security", "--no-pager", unit)
    (found,) = re.findall(r"level for \S+: ([0-9.]+)", said)
    return str(found)


def has_network(guest: Guest) -> bool:
    """Whether the service has that of the host, and not one of its own without a device."""
    pid = guest.run("systemctl show --value --property=MainPID angos-trio").strip()
    return guest.run(f"readlink /proc/{pid}/ns/net") == guest.run("readlink /proc/1/ns/net")


def commands_in_text(page: str) -> set[str]:
    """Commands that stand in the text, or indented below it."""
    text = re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)
    shown = {*codes(text), *re.findall(r"^    (\S.+)$", text, re.MULTILINE)}
    return {each for each in shown if _COMMAND.match(each)}


OF_TROUBLESHOOTING = {
    "angos-trio doctor": None,
    "angos-trio doctor -c registry.toml": None,
    "angos-trio check -c registry.toml": "CREDENTIALS_DIRECTORY=/run/credentials/"
    "angos-trio.service angos-trio check -c registry.toml",
    "angos-trio scrub --dry-run -c registry.toml": None,
    "angos-trio gc --dry-run -c registry.toml": None,
    "angos-trio prune --dry-run -c registry.toml": None,
    "curl --unix-socket angos-data/control.sock http://localhost/readyz": None,
    "journalctl -u angos-trio": None,
    "chown -R angos-trio: /var/lib/angos-trio": None,
    "systemctl start angos-trio": None,
    "runuser -u angos-trio -- angos-trio gc …": "runuser -u angos-trio -- "
    "angos-trio gc -c registry.toml",
    "openssl x509 -inform der -in FILE -out server.crt": f"openssl x509 -in {PKI}/server.crt "
    "-outform der -out FILE && openssl x509 -inform der -in FILE -out server.crt",
    "openssl pkey -in FILE": f"openssl pkey -in {PKI}/private/server.key",
    "openssl pkey -in FILE -out server.key": f"openssl pkey -in {PKI}/private/server.key "
    "-out server.key",
    "du -sh": "du -sh /var/lib/angos-trio",
}
"""Each command of the page, and what is typed in its place where files are needed."""
NOT_TYPED = {
    "timedatectl set-time '2026-01-31 12:00:00'": "the guest has the clock of this machine, which "
    "it may not set; tests/clock does it to a process",
}


def test_commands_of_troubleshooting(other: Guest) -> None:
    page = PAGES["docs/troubleshooting.md"]
    assert commands_in_text(page) == OF_TROUBLESHOOTING.keys() | NOT_TYPED.keys()
    typist = Typist(other, page)
    for shown, typed in OF_TROUBLESHOOTING.items():
        line = (typed or shown).replace("registry.toml", CONFIGURATION)
        typist.type(line.replace("angos-data", "/var/lib/angos-trio"))


def test_certificates_has_no_command_that_needs_a_service() -> None:
    """All of them are run by tests/docs/test_certificates.py."""
    shown = commands_in_text(PAGES["docs/certificates.md"])
    assert [each for each in shown if not re.match("angos-trio pki|openssl req", each)] == []


# docs/hardening.md


def test_what_the_service_cannot_do_stands_in_its_unit(hardening: Typist) -> None:
    said = hardening.follow("What a loosening costs")
    assert "angos-trio.service" in said
    unit = hardening.guest.run("systemctl", "cat", "angos-trio.service").splitlines()
    named = [
        each
        for _, cell in rows(hardening.page, "It cannot", "Because of")
        for each in codes(cell)
        if "=" in each
    ]
    assert len(named) > 15
    assert [each for each in named if each not in unit] == []


def test_the_roots_key_is_taken_away_and_still_issues(hardening: Typist) -> None:
    hardening.follow("Before you change the configuration")
    said = hardening.follow("The root's key")
    guest = hardening.guest

    assert "nothing is wrong" in said
    assert not (guest.root / f"{PKI}/private/root.key".lstrip("/")).exists()
    key = "--root-key /media/stick/root.key --password-file password"
    assert "issuing.crt" in guest.run(f"angos-trio pki renew issuing {key}")


def test_a_certificate_is_required_and_a_policy_decides(hardening: Typist) -> None:
    hardening.follow("A certificate of everybody")
    guest = hardening.guest
    assert guest.try_(f"curl -sS --cacert {PKI}/ca.crt {URL}/v2/").code != 0
    assert status(guest, f"{AS_ADMIN} {HAS_PASSWORD} {URL}/v2/") == "200", "until it is taken away"
    hardening.follow("A policy")

    pushed = guest.try_("podman push registry.lab/demo/hello:1 registry.lab/demo/hello:2")
    assert pushed.code != 0, "build-01 of the README is in no group"
    assert "denied" in pushed.output.lower()
    guest.run("podman pull registry.lab/demo/hello:1")


Proof = Callable[[Guest, str], None]
"""Asserts that a section did what it says, by the guest and by what its commands have printed."""


def prints(words: str) -> Proof:
    """The commands have printed this."""

    def prove(_: Guest, said: str) -> None:
        assert words in said

    return prove


def password_is_refused(guest: Guest, _: str) -> None:
    """Also beside a certificate, which alone is let in."""
    assert status(guest, f"{AS_ADMIN} {URL}/v2/") == "200"
    assert status(guest, f"{AS_ADMIN} {HAS_PASSWORD} {URL}/v2/") == "401"


def tags_stay(guest: Guest, _: str) -> None:
    """A tag cannot be moved, and `latest` can."""
    kind, manifests = "application/vnd.oci.image.manifest.v1+json", f"{URL}/v2/demo/hello/manifests"
    pulled = f"curl -sS --cacert {PKI}/ca.crt {AS_ADMIN} -H 'Accept: {kind}' {manifests}/1"
    first = guest.run(pulled)
    guest.write("/root/first.json", first)
    guest.write("/root/other.json", json.dumps({**json.loads(first), "annotations": {"a": "b"}}))
    put = f"{AS_ADMIN} -X PUT -H 'Content-Type: {kind}' --data-binary"
    moves = [("first", "latest"), ("other", "latest"), ("other", "1")]
    said = [status(guest, f"{put} @{name}.json {manifests}/{tag}") for name, tag in moves]
    assert said == ["201", "201", "409"]
    assert guest.run(pulled) == first


def network_is_away(guest: Guest, _: str) -> None:
    """As it was before `outbound.conf`, which the page about systemd has put there."""
    assert not has_network(guest)


@pytest.mark.parametrize(
    ("heading", "prove"),
    [
        ("Passwords", password_is_refused),
        ("Revoking", prints("build-01")),
        ("Tags that stay", tags_stay),
        ("The audit log", prints("access.denied")),
        ("Backup", prints("0 databases and 0 blobs are damaged")),
        ("The outside", network_is_away),
        ("A look each day", prints("every file is as it was built")),
    ],
)
def test_section_of_hardening(hardening: Typist, heading: str, prove: Proof) -> None:
    prove(hardening.guest, hardening.follow(heading))
    assert "\nbad" not in hardening.guest.run("angos-trio", "doctor")


def test_hardened_the_service_is_as_safe_as_the_page_says(hardening: Typist) -> None:
    guest = hardening.guest
    assert "The service is at 0.4" in hardening.page
    assert exposure(guest, "angos-trio.service") == "0.4"
    assert "[auth" not in guest.run("cat", CONFIGURATION)
    assert guest.try_("podman pull registry.lab/demo/hello:1").code != 0, "it was revoked"


def test_in_an_emergency_nothing_is_changed_and_in_the_end_nothing_answers(
    hardening: Typist,
) -> None:
    said = hardening.follow("In an emergency")

    assert "read-only since" in said
    for url in (f"{URL}/", "http://127.0.0.1:8001/healthz"):
        assert hardening.guest.try_(f"curl -sS --cacert {PKI}/ca.crt {url}").code == 7
    assert hardening.left() == []
