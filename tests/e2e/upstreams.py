"""Real registries to be pulled through from: Debian's docker-registry, open, with Basic, and with
tokens of a server that is written here."""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.bench.sides import peer_program
from tests.e2e.machine import Failure, command
from tests.running import HOST, free_port

USER, PASSWORD = "reader", "a password of the reader"
SERVICE, ISSUER = "upstream", "tests"
START_SECS_MAX: Final = 60.0
STOP_SECS_MAX: Final = 20.0


@dataclass(frozen=True)
class DockerRegistry:
    """A docker-registry that runs; its log has a line for each request."""

    address: str
    log_file: Path

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.address}"

    def requests(self) -> list[str]:
        """Method and path of what was asked of it, its own checks left out."""
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        asked = [
            line.split('"')[1] for line in lines if ' "GET /v2/' in line or ' "HEAD /v2/' in line
        ]
        return [line.rpartition(" ")[0] for line in asked if " /v2/ " not in line]


@contextmanager
def docker_registry(
    root: Path, name: str, auth: Mapping[str, Any] | None = None
) -> Iterator[DockerRegistry]:
    """One over the storage below `root`, for the length of a `with` block."""
    address = f"{HOST}:{free_port()}"
    document = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(root / "storage")}},
        "http": {"addr": address},
        **({} if auth is None else {"auth": auth}),
    }
    configuration, log_file = root / f"{name}.yml", root / f"{name}.log"
    configuration.write_text(json.dumps(document))
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [str(peer_program()), "serve", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, address, log_file)
        yield DockerRegistry(address, log_file)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log_file: Path) -> None:
    deadline = time.monotonic() + START_SECS_MAX
    while True:
        try:
            command("curl", "--silent", "--show-error", f"http://{address}/v2/")
            return
        except Failure:
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"docker-registry does not start:\n{log_file.read_text()}") from None
        time.sleep(0.1)


def basic_auth(root: Path) -> Mapping[str, Any]:
    """A user and a password."""
    file = root / "htpasswd"
    file.write_text(command("htpasswd", "-nbB", USER, PASSWORD))
    return {"htpasswd": {"realm": "upstream", "path": str(file)}}


class TokenServer:
    """Gives tokens to whoever shows the password, and to nobody else; RS256, with the certificate
    in the token (`x5c`, RFC 7515 4.1.6)."""

    def __init__(self, root: Path) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
        now = datetime.datetime.now(datetime.UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.bundle = root / "tokens.pem"
        self.bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        self.given: list[str] = []
        self.realm = ""

    def auth(self) -> Mapping[str, Any]:
        """As docker-registry is configured."""
        return {
            "token": {
                "realm": self.realm,
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(self.bundle),
            }
        }

    def token(self, scope: str) -> str:
        """A token that lets pull what the scope names."""
        self.given.append(scope)
        kind, name, _ = scope.split(":")
        now = int(time.time())
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        return jwt.encode(
            {
                "iss": ISSUER,
                "sub": USER,
                "aud": SERVICE,
                "exp": now + 300,
                "nbf": now - 10,
                "iat": now,
                "jti": uuid.uuid4().hex,
                "access": [{"type": kind, "name": name, "actions": ["pull"]}],
            },
            self._key,
            algorithm="RS256",
            headers={"x5c": [base64.b64encode(der).decode()]},
        )


@contextmanager
def token_server(root: Path) -> Iterator[TokenServer]:
    """One for the length of a `with` block."""
    server = TokenServer(root)
    wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            if self.headers["Authorization"] != wanted or query.get("service") != [SERVICE]:
                self.send_response(401)
                self.end_headers()
                return
            body = json.dumps({"token": server.token(query["scope"][0]), "expires_in": 300})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *words: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer((HOST, 0), Handler) as listening:
        server.realm = f"http://{HOST}:{listening.server_address[1]}/token"
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
