"""Certificates of our own before those who check them: OpenSSL, curl, Go, Pythons; and a registry
that is given the files follows what the commands do."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import client_context
from tests.pythons import find_python
from tests.running import RunningRegistry, free_port, program, running_registry
from tests.skips import leave_out

pytestmark = pytest.mark.slow
SECS_MAX = 60.0
FOLLOWS_SECS_MAX = 15.0
CONFIG = """
[global]
min_free_space = 0
[blob_store.fs]
ballast = 0
[server]
workers = 1
[server.tls]
server_certificate_bundle = "{pki}/server.crt"
server_private_key = "{pki}/private/server.key"
client_ca_bundle = "{pki}/clients-ca.crt"
client_crl = ["{pki}/clients.crl"]
client_auth = "required"
[server.health]
port = {probe}
"""
# A client of the registry, and a server that asks for certificates, both as strict as can be.
STRICT = """
import http.client, ssl, sys
pki, port = sys.argv[1], int(sys.argv[2])
pair = f"{pki}/clients/alice.crt", f"{pki}/private/clients/alice.key"
client = ssl.create_default_context(cafile=f"{pki}/ca.crt")
client.verify_flags |= ssl.VERIFY_X509_STRICT
client.load_cert_chain(*pair)
for host in ("localhost", "127.0.0.1"):
    connection = http.client.HTTPSConnection(host, port, context=client, timeout=30)
    connection.request("GET", "/v2/")
    assert connection.getresponse().status == 200

server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{pki}/clients-ca.crt")
server.verify_flags |= ssl.VERIFY_X509_STRICT
server.verify_mode = ssl.CERT_REQUIRED
server.load_cert_chain(f"{pki}/server.crt", f"{pki}/private/server.key")
to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
ours = client.wrap_bio(to_client, to_server, server_hostname="localhost")
theirs = server.wrap_bio(to_server, to_client, server_side=True)
for _ in range(4):
    for side in (ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
subject = dict(pair for part in theirs.getpeercert()["subject"] for pair in part)
print(subject["commonName"], sys.version_info[:2])
"""


@dataclass(frozen=True)
class Lab:
    """An authority, and a registry that is given its files."""

    pki: Path
    registry: RunningRegistry

    @property
    def port(self) -> str:
        """Where it listens."""
        return self.registry.address.rpartition(":")[2]

    def pair(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a client."""
        return self.pki / f"clients/{name}.crt", self.pki / f"private/clients/{name}.key"

    def connection(self, name: str) -> http.client.HTTPSConnection:
        """One that shows the certificate of a client; the caller closes it."""
        context = client_context((self.pki / "ca.crt").read_bytes(), self.pair(name))
        port = int(self.port)
        return http.client.HTTPSConnection("localhost", port, context=context, timeout=SECS_MAX)

    def command(self, *words: str) -> str:
        """What a command below `pki` prints that must pass."""
        return run(*program(), "pki", *words, "--pki", str(self.pki))


def run(*words: str | Path) -> str:
    """What a program prints that must pass."""
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=SECS_MAX, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("accepted")
    pki, probe = folder / "pki", free_port()
    (folder / "password").write_text("secret\n")
    for words in (
        ["init", "--name", "lab"],
        ["server", "--san", "localhost", "--san", "127.0.0.1"],
        ["client", "alice", "--group", "team", "--p12", "--password-file", f"{folder}/password"],
        ["client", "mallory"],
        ["client", "renewed"],
    ):
        run(*program(), "pki", *words, "--pki", pki)
    config = folder / "registry.toml"
    config.write_text(CONFIG.format(pki=pki, probe=probe))
    with running_registry(arguments=["-c", str(config)], probe=f"127.0.0.1:{probe}") as registry:
        yield Lab(pki, registry)


@pytest.mark.parametrize("words", [(), ("-x509_strict",), ("-x509_strict", "-crl_check")])
def test_openssl_verifies_both(lab: Lab, words: tuple[str, ...]) -> None:
    crl = ("-CRLfile", lab.pki / "clients.crl") if "-crl_check" in words else ()
    known = ("-CAfile", lab.pki / "ca.crt", "-untrusted", lab.pki / "issuing.crt", *crl)
    server = ("-purpose", "sslserver", "-verify_hostname", "localhost", lab.pki / "server.crt")
    client = ("-purpose", "sslclient", lab.pair("alice")[0])
    for leaf in (server, client):
        assert run("openssl", "verify", *words, *known, *leaf).endswith(": OK\n")


def test_openssl_opens_the_pkcs12_file(lab: Lab) -> None:
    file = lab.pki / "private/clients/alice.p12"
    told = subprocess.run(
        ["openssl", "pkcs12", "-in", file, "-info", "-noout", "-passin", "pass:secret"],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "MAC: sha256" in told
    assert told.count("PBES2, PBKDF2, AES-256-CBC") == 2


def test_curl_shows_and_takes_certificates(lab: Lab) -> None:
    certificate, key = lab.pair("alice")
    p12 = f"{lab.pki}/private/clients/alice.p12:secret"
    curl = ("curl", "--silent", "--show-error", "--fail", "--cacert", lab.pki / "ca.crt")
    for host in ("localhost", "127.0.0.1"):
        url = f"https://{host}:{lab.port}/v2/"
        assert run(*curl, "--cert", certificate, "--key", key, url) == "{}"
        assert run(*curl, "--cert-type", "P12", "--cert", p12, url) == "{}"
    bare = subprocess.run([*map(str, curl), url], capture_output=True, text=True, check=False)
    assert bare.returncode != 0
    assert "certificate required" in bare.stderr


@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3.13"])
def test_pythons_take_them_when_they_are_strict(lab: Lab, name: str) -> None:
    python = find_python(name)
    if python is None:
        leave_out(f"{name} is not on this machine")
    told = run(python, "-I", "-c", STRICT, lab.pki, lab.port)
    assert told == f"alice (3, {name.partition('.')[2]})\n"


def test_go_takes_them(lab: Lab, tmp_path: Path) -> None:
    """With skopeo, which is written in Go."""
    if shutil.which("skopeo") is None:
        leave_out("skopeo is not on this machine")
    config, manifest = b"{}", {"schemaVersion": 2, "mediaType": "", "config": {}, "layers": []}
    connection = lab.connection("alice")
    digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    connection.request("POST", f"/v2/demo/app/blobs/uploads/?digest={digest}", config)
    response = connection.getresponse()
    assert (response.status, response.read()) == (201, b"")
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest["mediaType"] = kind
    manifest["config"] = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": digest,
        "size": len(config),
    }
    body = json.dumps(manifest)
    connection.request("PUT", "/v2/demo/app/manifests/one", body, {"Content-Type": kind})
    assert connection.getresponse().status == 201
    connection.close()
    certificate, key = lab.pair("alice")
    shutil.copy(certificate, tmp_path / "alice.cert")
    shutil.copy(key, tmp_path / "alice.key")
    shutil.copy(lab.pki / "ca.crt", tmp_path)
    image = f"docker://localhost:{lab.port}/demo/app:one"
    assert run("skopeo", "inspect", "--raw", "--cert-dir", tmp_path, image) == body


def test_revoked_client_is_refused_on_a_connection_that_is_open(lab: Lab) -> None:
    connection = lab.connection("mallory")

    def status() -> int:
        connection.request("GET", "/v2/")
        response = connection.getresponse()
        response.read()
        return response.status

    assert status() == 200
    told = lab.command("revoke", "mallory")
    assert "open connections included" in told
    assert status() == 401
    connection.close()
    other = lab.connection("alice")
    other.request("GET", "/v2/")
    assert other.getresponse().status == 200
    other.close()


def test_renewed_certificate_of_the_server_is_served(lab: Lab) -> None:
    def served() -> bytes:
        context = client_context((lab.pki / "ca.crt").read_bytes(), lab.pair("alice"))
        connection = http.client.HTTPSConnection("localhost", int(lab.port), context=context)
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        der = connection.sock.getpeercert(binary_form=True)
        connection.close()
        assert der is not None
        return der

    before = served()
    lab.command("renew", "server")
    assert until(lambda: served() != before)


def test_client_outlives_the_renewal_of_its_issuer(lab: Lab) -> None:
    lab.command("renew", "issuing")
    lab.command("client", "after")
    time.sleep(0.1)
    for name in ("renewed", "after"):
        connection = lab.connection(name)
        connection.request("GET", "/v2/")
        assert connection.getresponse().status == 200
        connection.close()
    lab.command("revoke", "renewed")
    connection = lab.connection("renewed")
    connection.request("GET", "/v2/")
    assert connection.getresponse().status == 401
    connection.close()


def until(is_so: object) -> bool:
    """Whether it becomes so in time."""
    assert callable(is_so)
    ends_at = time.monotonic() + FOLLOWS_SECS_MAX
    while time.monotonic() < ends_at:
        if is_so():
            return True
        time.sleep(0.2)
    return False
