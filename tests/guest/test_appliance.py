"""The one file on a host with systemd and no network: installed, used, restarted, upgraded.

The tests are in the order of an operator's days, on one guest.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest

from tests.guest.conftest import BROKEN_VERSION, NEXT_VERSION
from tests.guest.guest import HOSTNAME, Guest

SERVICE = "angos-trio.service"
RENEWAL = "angos-trio-renew.service"
CONFIGURATION = "/etc/angos-trio/config.toml"
EXPOSURE_MAX = 1.0
IMAGE = f"{HOSTNAME}/lab/hello"
PKI = "/etc/angos-trio/pki"
ASK = f"curl -sS --cacert {PKI}/ca.crt https://{HOSTNAME}"
AS_ADMIN = f"{ASK}".replace(
    "curl -sS",
    f"curl -sS --cert {PKI}/clients/admin.crt --key {PKI}/private/clients/admin.key",
)
LOAD_SECS = 40
WATCHDOG_SECS = 15


def show(guest: Guest, name: str) -> str:
    """A property of the service."""
    return guest.run("systemctl", "show", "--value", f"--property={name}", SERVICE).strip()


def digests(guest: Guest) -> dict[str, str]:
    """Every tag of every repository, with the digest that the registry says."""
    names = json.loads(guest.run(f"{AS_ADMIN}/v2/_catalog"))["repositories"]
    found = {}
    for name in names:
        tags = json.loads(guest.run(f"{AS_ADMIN}/v2/{name}/tags/list"))["tags"]
        for tag in tags or ():
            head = guest.run(
                f"{AS_ADMIN}/v2/{name}/manifests/{tag} --head "
                "-H 'Accept: application/vnd.oci.image.manifest.v1+json'"
            )
            digest = re.search(r"docker-content-digest: (\S+)", head, re.IGNORECASE)
            assert digest is not None, head
            found[f"{name}:{tag}"] = digest[1]
    return found


def expect_whole(guest: Guest, digest: str) -> None:
    """One image comes anew, by its digest, and all that is stored is what it was."""
    guest.run("podman", "rmi", "--all", "--force")
    guest.run("podman", "pull", f"{IMAGE}@{digest}")
    said = guest.run("angos-trio", "scrub", "--dry-run", "-c", CONFIGURATION)
    looked = re.search(r"^looked at (\d+) blobs .*; found nothing wrong$", said, re.MULTILINE)
    assert looked is not None, said
    assert int(looked[1]) > 0


def serial(guest: Guest, certificate: str) -> str:
    """The serial number of a certificate that a command prints, as `pki` prints it."""
    said = guest.run(f"{certificate} | openssl x509 -noout -serial")
    return f"{int(said.partition('=')[2], 16):x}"


def served(guest: Guest) -> str:
    """The serial number of the certificate that clients are shown."""
    asked = f"openssl s_client -connect {HOSTNAME}:443 -servername {HOSTNAME}"
    return serial(guest, f"{asked} < /dev/null 2> /dev/null")


def put_due(guest: Guest) -> str:
    """Put a certificate of the server that is due in its place, which nobody is shown yet."""
    put = guest.run("SHIV_INTERPRETER=1 angos-trio due.py").strip()
    assert "the server's certificate is due" in guest.run("angos-trio pki renew server --check")
    return put


def test_the_guest_has_no_network(guest: Guest) -> None:
    devices = guest.run("ls", "/sys/class/net").split()
    assert devices == ["lo"]


def test_one_command_installs_a_service_that_answers_on_443(appliance: Guest) -> None:
    said = appliance.run("cat", "/root/install.log")
    assert f"{SERVICE} answers on port 443" in said
    assert appliance.run(f"{AS_ADMIN}/v2/ -o /dev/null -w '%{{http_code}}'") == "200"
    assert show(appliance, "ActiveState") == "active"
    assert show(appliance, "StatusText").startswith("serving 443")


def test_the_commands_that_install_names_next_do_what_they_say(appliance: Guest) -> None:
    said = appliance.run("cat", "/root/install.log")
    commands = [
        line.strip() for line in said.partition("\nNext:\n")[2].splitlines() if line.strip()
    ]
    assert len(commands) == 3
    for command in commands:
        appliance.run(command.replace("NAME", "build-01"))


def test_a_caller_without_a_certificate_is_refused(appliance: Guest) -> None:
    assert appliance.run(f"{ASK}/v2/ -o /dev/null -w '%{{http_code}}'") == "401"


def test_systemd_finds_the_service_safe(appliance: Guest) -> None:
    said = appliance.run("systemd-analyze", "security", "--no-pager", SERVICE)
    found = re.search(r"exposure level for \S+: ([0-9.]+)", said)
    assert found is not None
    print(f"systemd-analyze security: {found[1]}")
    assert float(found[1]) <= EXPOSURE_MAX


def test_the_service_cannot_write_its_own_program(appliance: Guest) -> None:
    user = ["setpriv", "--reuid=angos-trio", "--regid=angos-trio", "--clear-groups"]
    assert appliance.try_(*user, "touch", "/usr/lib/angos-trio/current/files/x").code != 0
    owners = appliance.run("find /usr/lib/angos-trio -not -user root | wc -l")
    assert owners.strip() == "0"


def test_podman_and_containerd_push_and_pull_with_certificates(appliance: Guest) -> None:
    appliance.run("angos-trio pki client node-1 --group nodes")
    appliance.run(
        "angos-trio client-config podman --client node-1 --with-key --format sh -o podman.sh && "
        "sh podman.sh && "
        "angos-trio client-config containerd --client node-1 --with-key --format sh -o ctr.sh && "
        "sh ctr.sh"
    )
    appliance.run(
        "mkdir -p image && head -c 3000000 /dev/urandom > image/content && "
        "printf 'FROM scratch\\nCOPY content /content\\n' > image/Containerfile && "
        f"podman build --isolation=chroot -t {IMAGE}:1 image && "
        f"podman push {IMAGE}:1 && podman rmi {IMAGE}:1 "
        f"&& podman pull {IMAGE}:1"
    )
    ctr = "ctr --namespace lab images"
    options = "--hosts-dir /etc/containerd/certs.d"
    appliance.run("systemctl", "start", "containerd")
    appliance.run(f"{ctr} pull {options} --snapshotter native {IMAGE}:1")
    appliance.run(f"{ctr} tag {IMAGE}:1 {IMAGE}:2 && {ctr} push {options} {IMAGE}:2")
    found = digests(appliance)
    assert found["lab/hello:1"] == found["lab/hello:2"]


def test_a_restart_under_load_refuses_and_breaks_nothing(appliance: Guest) -> None:
    clients = appliance.start("python3", "load.py", str(LOAD_SECS))
    pids = []
    for _ in range(3):
        time.sleep(LOAD_SECS / 5)
        appliance.run("systemctl", "restart", SERVICE)
        pids.append(show(appliance, "MainPID"))
    output, _ = clients.communicate(timeout=LOAD_SECS * 4)
    said = json.loads(output.splitlines()[-1])
    print(said["counts"], "over three restarts")
    assert said["problems"] == []
    assert len(set(pids)) == 3
    assert min(said["counts"].values()) > 0


def test_the_unit_has_a_watchdog_of_a_minute(appliance: Guest) -> None:
    assert show(appliance, "WatchdogUSec") == "1min"


@pytest.fixture
def short_watchdog(appliance: Guest) -> Iterator[None]:
    drop_in = f"/run/systemd/system/{SERVICE}.d/watchdog.conf"
    appliance.write(drop_in, f"[Service]\nWatchdogSec={WATCHDOG_SECS}\n")
    appliance.run("systemctl daemon-reload && systemctl restart angos-trio")
    yield
    appliance.run(f"rm {drop_in} && systemctl daemon-reload && systemctl restart angos-trio")


@pytest.mark.usefixtures("short_watchdog")
def test_a_stopped_process_is_restarted_by_the_watchdog(appliance: Guest) -> None:
    before = show(appliance, "MainPID")
    appliance.run("kill", "-STOP", before)
    begun, pid = time.monotonic(), before
    while pid in (before, "0") and time.monotonic() - begun < WATCHDOG_SECS * 4:
        time.sleep(1)
        pid = show(appliance, "MainPID")
    assert pid not in (before, "0")
    print(f"another process after {time.monotonic() - begun:.0f} s of {WATCHDOG_SECS} s")
    assert appliance.run(f"{AS_ADMIN}/v2/ -o /dev/null -w '%{{http_code}}'") == "200"
    said = appliance.run("journalctl", "--no-pager", f"--unit={SERVICE}", "--grep=[Ww]atchdog")
    assert "Watchdog timeout" in said


def test_an_upgrade_and_a_rollback_keep_every_image(appliance: Guest) -> None:
    before, version = digests(appliance), appliance.run("angos-trio", "--version")
    assert NEXT_VERSION in appliance.run("angos-trio", "self", "upgrade", "later.pyz")
    assert NEXT_VERSION in appliance.run("angos-trio", "--version")
    assert digests(appliance) == before
    expect_whole(appliance, before["lab/hello:1"])
    appliance.run("angos-trio", "self", "rollback")
    assert appliance.run("angos-trio", "--version") == version
    assert digests(appliance) == before
    expect_whole(appliance, before["lab/hello:1"])
    appliance.run("angos-trio", "self", "verify")


def test_a_release_that_does_not_start_is_left_again(appliance: Guest) -> None:
    before, version = digests(appliance), appliance.run("angos-trio", "--version")
    ended = appliance.try_("angos-trio", "self", "upgrade", "broken.pyz")
    assert ended.code == 1
    assert "does not start: this release is broken" in ended.output
    assert "serves again" in ended.output
    previous = appliance.run("readlink", "/usr/lib/angos-trio/previous")
    assert previous.startswith(f"releases/{NEXT_VERSION}-"), "not the broken one"
    assert f"/{BROKEN_VERSION}-" in appliance.run("angos-trio", "self", "prune")
    assert BROKEN_VERSION not in appliance.run("angos-trio", "--version")
    assert appliance.run("angos-trio", "--version") == version
    assert digests(appliance) == before


def test_a_renewed_certificate_is_served(appliance: Guest) -> None:
    before = served(appliance)
    appliance.run("angos-trio", "pki", "renew", "server")
    appliance.run("systemctl", "try-restart", SERVICE)
    assert served(appliance) != before


def test_the_timer_renews_nothing_that_is_not_due(appliance: Guest) -> None:
    before = served(appliance), show(appliance, "MainPID")
    appliance.run("systemctl", "start", RENEWAL)
    assert (served(appliance), show(appliance, "MainPID")) == before
    assert appliance.run("systemctl", "is-active", "angos-trio-renew.timer").strip() == "active"


def test_what_is_due_at_a_start_is_renewed_before_it_is_served(appliance: Guest) -> None:
    due = put_due(appliance)
    appliance.run("systemctl", "restart", SERVICE)
    after = served(appliance)
    assert after != due
    assert after == serial(appliance, f"cat {PKI}/server.crt")


def test_the_timer_renews_what_is_due_and_lets_it_be_served(appliance: Guest) -> None:
    before, due, pid = served(appliance), put_due(appliance), show(appliance, "MainPID")
    assert served(appliance) == before, "a credential is read at a start only"
    appliance.run("systemctl", "start", RENEWAL)
    after = served(appliance)
    assert after not in (before, due)
    said = appliance.run("journalctl", "--no-pager", f"--unit={RENEWAL}", "--lines=20")
    assert f"serial {after}" in said, "this unit has renewed it, and not the start that followed"
    assert show(appliance, "MainPID") not in (pid, "0")
    assert appliance.run(f"{AS_ADMIN}/v2/ -o /dev/null -w '%{{http_code}}'") == "200"


def test_a_revoked_client_is_refused_on_its_live_connection(appliance: Guest) -> None:
    appliance.run("angos-trio", "pki", "client", "leaver")
    with appliance.asked("python3", "-u", "kept.py", "leaver") as ask:
        assert ask() == "200"
        appliance.run("angos-trio", "pki", "revoke", "leaver")
        assert ask() == "401", "the first request after the command has ended"


def test_the_administrators_commands_leave_nothing_of_root_in_the_data(appliance: Guest) -> None:
    command = f"angos-trio gc --dry-run -c {CONFIGURATION}"
    appliance.run(command)  # beside the service, which is asked
    appliance.run("systemctl", "stop", SERVICE, "angos-trio.socket")
    refused = appliance.try_(command)
    assert refused.code == 1
    found = re.search(r"runuser -u angos-trio -- angos-trio", refused.output)
    assert found is not None, refused.output
    appliance.run(f"runuser -u angos-trio -- {command}")
    foreign = appliance.run("find /var/lib/angos-trio -not -user angos-trio | wc -l")
    assert foreign.strip() == "0"
    appliance.run("systemctl", "start", "angos-trio.socket", SERVICE)
    assert appliance.run(f"{AS_ADMIN}/v2/ -o /dev/null -w '%{{http_code}}'") == "200"
