"""`angos-trio client-config test`: each way to be refused, by a real registry or over a real
socket, is a sentence with its cause and its cure."""

from __future__ import annotations

import json
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from angos_trio.cli.main import main
from angos_trio.limits.callers import PKI_LOOK_SECS
from angos_trio.net import knock
from tests.appliance.layout import lay_out
from tests.certificates import DAY_SECS, FOR_CLIENTS, FOR_SERVERS, Authority, Issued
from tests.running import HOST, free_port, running_registry
from tests.secure import Secure

NAME = "registry.example.test"
STRANGERS = Authority("Strangers")
GOOD = {"Docker-Distribution-API-Version": "registry/2.0"}


@dataclass(frozen=True)
class Lab:
    """A registry that is running, and a directory with its clients."""

    port: int
    pki: Path

    def test(self, *more: str, host: str = NAME, pki: Path | None = None) -> list[str]:
        """The command, with the address of the registry."""
        place = ["--host", f"{host}:{self.port}", "--address", HOST]
        return ["client-config", "test", "--pki", str(pki or self.pki), *place, *more]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Secure:
    return Secure(tmp_path_factory.mktemp("secure"), has_user=False)


def clients_of(authority: Authority) -> dict[str, Issued]:
    """Clients of each kind."""
    return {
        "good": authority.client("good"),
        "revoked": authority.client("revoked"),
        "expired": authority.client("expired", begins_secs=-2 * DAY_SECS, ends_secs=-DAY_SECS),
        "early": authority.client("early", begins_secs=DAY_SECS),
        "server": authority.client("server", purposes=(FOR_SERVERS,)),
        "stranger": STRANGERS.client("stranger", purposes=(FOR_CLIENTS,)),
    }


@pytest.fixture(scope="module")
def pki(secure: Secure) -> Path:
    return lay_out(secure.folder / "pki", secure.root, clients_of(secure.clients))


@contextmanager
def running(secure: Secure, pki: Path, more: str = "") -> Iterator[Lab]:
    """A registry of these authorities that knows who was revoked."""
    folder = Path(tempfile.mkdtemp(dir=secure.folder))
    own = Secure(folder, has_user=False, root=secure.root, clients=secure.clients)
    crl, extra = folder / "clients.crl", folder / "more.toml"
    crl.write_bytes(_issued(pki / "clients/revoked.crt", secure))
    extra.write_text(f"[server.tls]\nclient_crl = [{json.dumps(str(crl))}]\n{more}")
    arguments = ["-c", str(own.write()), "-c", str(extra)]
    with running_registry(arguments=arguments, probe=own.probe) as registry:
        yield Lab(int(registry.address.rpartition(":")[2]), pki)


def _issued(path: Path, secure: Secure) -> bytes:
    """The list of an authority that has revoked this certificate."""
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return secure.clients.crl(Issued(certificate, secure.clients.key))


@pytest.fixture(scope="module")
def lab(secure: Secure, pki: Path) -> Iterator[Lab]:
    with running(secure, pki) as started:
        yield started


def sentence(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """What is said on an exit with 1: one line."""
    code = main(arguments)
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
    assert (code, out, len(lines)) == (1, "", 1), (out, err)
    return lines[0].removeprefix("angos-trio: ")


@pytest.mark.slow
def test_good_client_is_let_in(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(lab.test("--client", "good")) == 0
    out, err = capsys.readouterr()
    assert out.startswith(
        f"{NAME}:{lab.port} ({HOST}) lets good in; its certificate is good, until"
    )
    assert err == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("client", "told"),
    [
        ("revoked", "refuses revoked: the client certificate is revoked; make another with"),
        ("expired", "refuses the client certificate of expired: it expired on 20"),
        ("early", "refuses the client certificate of early: it is valid from 20"),
        ("server", "it is not for clients (no clientAuth): make one that is with"),
        ("stranger", "does not know the authority of the client certificate of stranger, 'CN=Str"),
    ],
)
def test_refused_client_is_told_why(
    lab: Lab, client: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = sentence(capsys, lab.test("--client", client))

    assert said.startswith(f"{NAME}:{lab.port} ")
    assert told in said


@pytest.mark.slow
def test_no_certificate_is_asked_for_one(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    said = sentence(capsys, lab.test())

    assert (
        "wants to know who is calling, and no client certificate was shown: give --client" in said
    )


@pytest.mark.slow
def test_certificate_that_is_required_is_asked_for(
    secure: Secure, pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(secure, pki, 'client_auth = "required"\n') as strict:
        said = sentence(capsys, strict.test())
        assert "wants a client certificate, and none was shown: give --client NAME" in said
        assert "it expired on 20" in sentence(capsys, strict.test("--client", "expired"))
        other = lay_out(strict.pki.parent / "strangers", STRANGERS, {})
        said = sentence(capsys, strict.test(pki=other))
        assert "is from another authority, 'CN=Servers', and" in said
        said = sentence(capsys, strict.test("--client", "good", host="other.example.test"))
        assert "it is for localhost, registry.example.test, " in said
        assert main(strict.test("--client", "good")) == 0


@pytest.mark.slow
def test_client_without_a_right_is_told_so(
    secure: Secure, pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(secure, pki, '[global.access_policy]\ndefault = "deny"\n') as closed:
        said = sentence(capsys, closed.test("--client", "good"))

    assert "knows good and refuses" in said
    assert "let a rule of global.access_policy allow get-api-version" in said


@pytest.mark.slow
def test_registry_without_client_certificates_is_told_of(
    secure: Secure, pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = secure.folder / "passwords"
    folder.mkdir()
    other = Secure(folder, has_client_ca=False, root=secure.root)
    with running_registry(arguments=["-c", str(other.write())], probe=other.probe) as registry:
        there = Lab(int(registry.address.rpartition(":")[2]), pki)
        said = sentence(capsys, there.test("--client", "good"))

    assert "does not take the client certificate of good" in said
    assert "does it ask for certificates of this authority (server.tls.client_ca_bundle)?" in said


@pytest.mark.slow
def test_host_that_the_certificate_is_not_for_is_told_which_it_is_for(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    said = sentence(capsys, lab.test("--client", "good", host="other.example.test"))

    assert "is not for other.example.test: it is for localhost, registry.example.test, " in said


@pytest.mark.slow
def test_registry_of_another_authority_is_told_of_which(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = lay_out(tmp_path / "pki", STRANGERS, {})

    said = sentence(capsys, lab.test(pki=foreign))

    assert f"from another authority, 'CN=Servers', and {foreign}/ca.crt is 'CN=Strangers'" in said


@pytest.mark.slow
def test_port_without_tls_is_told_of(pki: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_registry() as registry:
        there = Lab(int(registry.address.rpartition(":")[2]), pki)
        said = sentence(capsys, there.test("--client", "good"))

    assert "speaks plain HTTP and no TLS: give the port that has TLS" in said


def test_port_where_nobody_listens_is_told_of(
    pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = Lab(free_port(), pki)

    said = sentence(capsys, there.test("--client", "good"))

    assert said.startswith(f"nobody listens on {NAME}:{there.port} ({HOST}): is the registry run")


def test_name_that_does_not_resolve_is_told_of(
    pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["client-config", "test", "--pki", str(pki), "--host", "registry.invalid"]

    said = sentence(capsys, arguments)

    assert said.startswith("the name registry.invalid does not resolve (")
    assert said.endswith("enter it in the DNS or in /etc/hosts, or give --address")


def test_address_must_be_one(pki: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["client-config", "test", "--pki", str(pki), "--host", NAME, "--address", "here"]

    assert sentence(capsys, arguments) == "--address: 'here' is no address, such as 10.0.0.5"


@pytest.mark.parametrize(
    "option", [["--mirror", "all"], ["--with-key"], ["--format", "sh"], ["-o", "x"], ["--user"]]
)
def test_options_of_files_are_refused(
    pki: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["client-config", "test", "--pki", str(pki), *option]

    assert "is for the files of a client, not for test" in sentence(capsys, arguments)


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where each connection is given to a function, in threads that are waited for."""
    threads: list[threading.Thread] = []
    with socket.create_server((HOST, 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


@contextmanager
def web_server(
    folder: Path, issued: Issued, status: int, headers: dict[str, str], body: bytes = b""
) -> Iterator[int]:
    """A server with TLS that gives one answer, whatever it is asked; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*issued.write(folder, "door"))
    with Server((HOST, 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


ROOT = Authority("Servers")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the authority of the servers here."""
    return lay_out(tmp_path_factory.mktemp("own") / "pki", ROOT, clients_of(ROOT))


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (404, "no registry answers on registry.example.test:{0}: /v2/ is 404; give the host and"),
        (200, "no registry answers on registry.example.test:{0}: /v2/ is 200"),
        (302, "no registry answers"),
        (503, "answers 503 (busy): try again, and see its log"),
        (418, "answers 418 to /v2/ (busy): see its log"),
    ],
)
def test_answer_that_is_no_registrys_is_told_of(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, told: str
) -> None:
    body = b'{"errors": [{"message": "busy"}]}' if status in (503, 418) else b"hello"
    with web_server(tmp_path, ROOT.server(NAME), status, {}, body) as port:
        said = sentence(capsys, Lab(port, own).test("--client", "good"))

    assert told.format(port) in said


def test_certificate_of_the_server_that_has_expired_is_told_of(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = ROOT.server(NAME, begins_secs=-2 * DAY_SECS, ends_secs=-DAY_SECS)
    with web_server(tmp_path, old, 200, {"Date": formatdate(usegmt=True), **GOOD}) as port:
        said = sentence(capsys, Lab(port, own).test("--client", "good"))

    assert "or one above it, expired on 20" in said
    assert "renew it there with angos-trio pki renew server, or set this host's clock" in said


@pytest.mark.parametrize("shift_secs", [-2 * DAY_SECS, 2 * DAY_SECS])
def test_clock_that_differs_from_the_registrys_is_the_reason(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], shift_secs: int
) -> None:
    begins = shift_secs - DAY_SECS // 2
    other = ROOT.server(NAME, begins_secs=begins, ends_secs=begins + DAY_SECS)
    date = formatdate(time.time() + shift_secs, usegmt=True)
    with web_server(tmp_path, other, 200, {"Date": date, **GOOD}) as port:
        said = sentence(capsys, Lab(port, own).test("--client", "good"))

    assert "the clocks differ: the registry has 20" in said
    assert ("expired on" if shift_secs < 0 else "is valid from") in said


def test_certificate_of_the_server_that_is_not_valid_yet_is_told_of(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with web_server(tmp_path, ROOT.server(NAME, begins_secs=DAY_SECS), 200, GOOD) as port:
        said = sentence(capsys, Lab(port, own).test("--client", "good"))

    assert "is valid from 20" in said
    assert "wait, or make another, or set this host's clock, which says 20" in said


def test_clock_that_differs_is_remarked_where_all_is_well(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    headers = {"Date": formatdate(time.time() - 3600, usegmt=True), **GOOD}
    with web_server(tmp_path, ROOT.server(NAME), 200, headers) as port:
        assert main(Lab(port, own).test("--client", "good")) == 0

    assert capsys.readouterr().err.startswith("warning: the clocks differ: the registry has 20")


def test_port_that_is_silent_is_told_of(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: socket.socket) -> None:
        with connection:
            while connection.recv(4096):
                pass

    monkeypatch.setattr(knock, "KNOCK_SECS_MAX", 0.1)
    with listening(serve) as port:
        said = sentence(capsys, Lab(port, own).test("--client", "good"))

    assert "did not answer within 10 s: is a firewall between" in said


@pytest.mark.parametrize(
    ("greeting", "told"),
    [
        (b"SSH-2.0-none\r\n", "does not speak TLS as this client does"),
        (b"", "closed the connection without a word"),
    ],
)
def test_port_of_another_program_is_told_of(
    own: Path, capsys: pytest.CaptureFixture[str], greeting: bytes, told: str
) -> None:
    def serve(connection: socket.socket) -> None:
        with connection:
            connection.sendall(greeting)
            connection.recv(4096)

    with listening(serve) as port:
        said = sentence(capsys, Lab(port, own).test("--client", "good"))

    assert told in said


def test_answer_that_is_no_http_is_told_of(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ROOT.server(NAME).write(tmp_path, "door"))

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(4096)
            secured.sendall(b"220 mail\r\n\r\n")

    with listening(serve) as port:
        said = sentence(capsys, Lab(port, own).test("--client", "good"))

    assert "answers no HTTP over TLS: is it a registry's port?" in said


@pytest.mark.slow
def test_client_of_our_own_authority_is_let_in_and_revoked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pki, port, probe_port = tmp_path / "pki", free_port(), free_port()
    for words in (["init"], ["server", "--san", NAME], ["client", "build-01"]):
        assert main(["pki", *words, "--pki", str(pki)]) == 0
    configuration = tmp_path / "registry.toml"
    configuration.write_text(
        f"[server.tls]\nserver_certificate_bundle = {json.dumps(str(pki / 'server.crt'))}\n"
        f"server_private_key = {json.dumps(str(pki / 'private/server.key'))}\n"
        f"client_ca_bundle = {json.dumps(str(pki / 'clients-ca.crt'))}\n"
        f"client_crl = [{json.dumps(str(pki / 'clients.crl'))}]\n"
        f"[server.health]\nport = {probe_port}\n"
    )
    with running_registry(
        address=f"{HOST}:{port}",
        arguments=["-c", str(configuration)],
        probe=f"{HOST}:{probe_port}",
    ):
        there = Lab(port, pki)
        assert main(there.test("--client", "build-01")) == 0
        assert main(["pki", "revoke", "build-01", "--pki", str(pki)]) == 0
        ends_at = time.monotonic() + 15 * PKI_LOOK_SECS
        while main(there.test("--client", "build-01")) == 0:
            assert time.monotonic() < ends_at
            time.sleep(0.2)
        assert "refuses build-01: the client certificate is revoked" in capsys.readouterr().err
