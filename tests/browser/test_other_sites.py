"""Pages of other sites do nothing here, although the browser knows the password."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from angos_trio.auth.passwords import hash_password
from tests.api.serving import serving
from tests.web.content import Filler

pytestmark = pytest.mark.slow
HERE, ELSEWHERE = "registry.lab", "evil.lab"
PASSWORD = "correct horse battery staple"
NAME = "mine"
REQUESTS = {
    "form": """(url) => {
      const form = Object.assign(document.createElement("form"), {method: "post", action: url});
      document.body.append(form);
      form.submit();
    }""",
    "fetch": """(url) => fetch(url, {method: "POST", mode: "no-cors", credentials: "include"})
      .catch(() => null)""",
    "delete": """(url) => fetch(url, {method: "DELETE", credentials: "include"})
      .catch(() => null)""",
}


@contextmanager
def another_site() -> Iterator[int]:
    """An empty page on a port of its own."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title><body></body>")

        def log_message(self, *arguments: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def victim(browser: Any, root: Path) -> Iterator[tuple[Filler, Any, str]]:
    """A registry that asks for a password; somebody who has shown theirs stands on another site.

    Yields who fills the registry, the page, and the address of the registry.
    """
    users = {"alice": {"username": "alice", "password": hash_password(PASSWORD)}}
    policy = {"access_policy": {"default": "deny", "rules": ["identity.username == 'alice'"]}}
    with (
        serving(root, auth={"identity": users}, global_=policy) as served,
        Filler(served.url) as filler,
        another_site() as port,
    ):
        filler.auth = ("alice", PASSWORD)
        filler.image(NAME, "v1")
        url = f"http://{HERE}:{served.address[1]}"
        credentials = {"username": "alice", "password": PASSWORD, "origin": url}
        context = browser.new_context(http_credentials=credentials)
        try:
            page = context.new_page()
            # By a password that the browser sends by itself, and by a session.
            assert page.goto(f"{url}/v2/{NAME}/tags/list").status == 200
            page.goto(f"{url}/_ui/login?next=/{NAME}")
            page.fill("#user", "alice")
            page.fill("#password", PASSWORD)
            page.locator("form.login button").first.click()
            page.wait_for_url(f"{url}/{NAME}")
            page.goto(f"http://{ELSEWHERE}:{port}/")
            yield filler, page, url
        finally:
            context.close()


@pytest.mark.parametrize("way", REQUESTS)
def test_request_of_another_site_changes_nothing(browser: Any, tmp_path: Path, way: str) -> None:
    with victim(browser, tmp_path) as (filler, page, url):
        path = "manifests/v1" if way == "delete" else "blobs/uploads/"
        statuses: list[int] = []
        page.on("response", lambda answer: statuses.append(answer.status))
        with page.expect_event("requestfinished" if way == "form" else "request"):
            page.evaluate(REQUESTS[way], f"{url}/v2/{NAME}/{path}")
        page.wait_for_timeout(300)
        assert set(statuses) <= {403, 405}
        assert filler.tags(NAME) == ["v1"]
        assert filler.get(f"/v2/_ext/{NAME}/_uploads").json()["uploads"] == []


def test_page_is_in_no_frame_of_another_site(browser: Any, tmp_path: Path) -> None:
    with victim(browser, tmp_path) as (_, page, url):
        told: list[str] = []
        page.on("console", lambda message: told.append(message.text))
        script = """(url) => new Promise((done) => {
          const frame = Object.assign(document.createElement("iframe"), {src: url, onload: done});
          document.body.append(frame);
        })"""
        page.evaluate(script, f"{url}/{NAME}")
        assert len(page.frames) == 2
        assert not page.frames[1].url.startswith(url)
        assert any("frame" in line.lower() for line in told), told


def test_socket_of_another_site_is_refused(browser: Any, tmp_path: Path) -> None:
    with victim(browser, tmp_path) as (_, page, url):
        script = """(url) => new Promise((done) => {
          const socket = new WebSocket(url);
          socket.onopen = () => done("open");
          socket.onerror = () => done("refused");
        })"""
        address = f"{url.replace('http', 'ws')}/v2/_ext/_events"
        assert page.evaluate(script, address) == "refused"


def test_other_site_reads_nothing(browser: Any, tmp_path: Path) -> None:
    with victim(browser, tmp_path) as (_, page, url):
        script = """(url) => fetch(url, {credentials: "include"})
          .then(() => "read", () => "refused")"""
        assert page.evaluate(script, f"{url}/v2/{NAME}/tags/list") == "refused"
