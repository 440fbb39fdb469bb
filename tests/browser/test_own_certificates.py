"""Chromium takes certificates of `angos-trio pki` as a user's store has them; no error is passed
over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.browser.browsing import LAB, LIVE, Watched, watched
from tests.browser.users import PASSWORD, User
from tests.e2e.machine import command
from tests.e2e.own import OwnSecure
from tests.running import HOST, RunningRegistry, program, running_registry

pytestmark = pytest.mark.slow
POLICY: Final = '[global.access_policy]\ndefault = "allow"\n'
REFUSED: Final = "ERR_BAD_SSL_CLIENT_AUTH_CERT"


class Lab:
    """An authority made by its commands, and registries that have its files."""

    def __init__(self, folder: Path, name: str = "lab") -> None:
        self.folder, self.name = folder, name
        self.secure = OwnSecure(folder, names=(LAB, HOST), has_user=False)
        command(*program(), "pki", "init", "--name", name, "--pki", self.secure.pki)
        (folder / "password").write_text(f"{PASSWORD}\n")

    @property
    def issuer(self) -> str:
        """Who signs certificates of clients."""
        return f"{self.name} issuing"

    def client(self, name: str) -> Path:
        """The PKCS#12 file of a new client, who belongs to the team."""
        words = ("client", name, "--group", "team", "--p12")
        secret = ("--password-file", self.folder / "password", "--pki", self.secure.pki)
        command(*program(), "pki", *words, *secret)
        return self.secure.pki / f"private/clients/{name}.p12"

    @contextmanager
    def registry(self, auth: str) -> Iterator[RunningRegistry]:
        """One that wants a certificate of a client, or takes it."""
        more = self.folder / f"{auth}.toml"
        more.write_text(f'{POLICY}[server.tls]\nclient_auth = "{auth}"\n')
        files = ["-c", str(self.secure.write()), "-c", str(more)]
        with running_registry(arguments=files, probe=self.secure.probe) as registry:
            yield registry


@pytest.fixture(scope="module")
def lab(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Of whom the registry does not know."""
    return Lab(tmp_path_factory.mktemp("strangers"), "strangers")


@pytest.fixture(scope="module", params=["optional", "required"])
def auth(request: pytest.FixtureRequest) -> str:
    """Whether a client must have a certificate."""
    return str(request.param)


@pytest.fixture(scope="module")
def registry(lab: Lab, auth: str) -> Iterator[RunningRegistry]:
    with lab.registry(auth) as found:
        yield found


@pytest.fixture
def user(browser: Any, lab: Lab, tmp_path: Path, registry: RunningRegistry) -> User:
    """Shows a certificate of the authority without being asked, if there is one."""
    found = User(tmp_path)
    found.show_by_itself(lab.issuer, *(address(registry, host) for host in (LAB, HOST)))
    return found


def address(registry: RunningRegistry, host: str = LAB) -> str:
    """Of a registry, by a name of its certificate."""
    return f"https://{host}:{registry.address.rpartition(':')[2]}"


@contextmanager
def seen_by(user: User, browser: Any, url: str) -> Iterator[Watched]:
    """A page in the browser of a user."""
    with user.chromium(browser.browser_type) as theirs, watched(theirs, url) as seen:
        yield seen


def name_of(seen: Watched) -> str:
    """Who the page says its reader is."""
    assert seen.open("/_ui/me").status == 200
    return str(seen.page.locator(".who").inner_text())


def expect_error(seen: Watched, error: str) -> None:
    """The browser shows no page, for this reason."""
    seen.expected_texts = {error}
    with pytest.raises(Exception, match=error):
        seen.open("/")


@pytest.mark.parametrize("host", [LAB, HOST])
def test_page_is_a_secure_context_and_says_whose_the_certificate_is(
    browser: Any, lab: Lab, user: User, registry: RunningRegistry, host: str
) -> None:
    user.trust(lab.secure.ca)
    user.take(lab.client("laptop"))
    with seen_by(user, browser, address(registry, host)) as seen:
        opened = seen.open("/")
        assert opened.status == 200
        assert opened.security_details()["protocol"] == "TLS 1.3"
        assert seen.page.evaluate("window.isSecureContext")
        seen.until(LIVE)
        assert name_of(seen) == "CN=laptop,O=team"
        assert "registry://client/laptop" in seen.page.locator("main").inner_text()
        seen.picture("me-own-certificate")


def test_revoked_client_gets_a_page_that_says_so(
    browser: Any, lab: Lab, user: User, registry: RunningRegistry
) -> None:
    user.trust(lab.secure.ca)
    user.take(lab.client("lost"))
    with seen_by(user, browser, address(registry)) as seen:
        assert name_of(seen) == "CN=lost,O=team"
        lab.secure.revoke("lost")
        seen.expected_status = {401}
        seen.expected_texts = {"WebSocket connection"}  # each page's own is refused, too
        answer = seen.open("/")
        assert answer.status == 401
        assert answer.headers["content-type"].startswith("text/html")
        assert "The client certificate is revoked." in seen.page.locator("main").inner_text()
        seen.picture("me-revoked")


def test_browser_without_a_certificate_comes_in_only_where_none_is_required(
    browser: Any, lab: Lab, auth: str, user: User, registry: RunningRegistry
) -> None:
    user.trust(lab.secure.ca)
    with seen_by(user, browser, address(registry)) as seen:
        if auth == "required":
            expect_error(seen, REFUSED)
            return
        assert seen.open("/_ui/me").status == 200
        assert "The registry does not know you" in seen.page.locator("main").inner_text()


def test_certificate_of_another_authority_is_refused(
    browser: Any, lab: Lab, user: User, strangers: Lab, registry: RunningRegistry
) -> None:
    user.trust(lab.secure.ca)
    user.take(strangers.client("mallory"))
    user.show_by_itself(strangers.issuer, address(registry))
    with seen_by(user, browser, address(registry)) as seen:
        expect_error(seen, REFUSED)


def test_one_of_several_certificates_is_shown_by_its_issuer(
    browser: Any, lab: Lab, user: User, strangers: Lab, registry: RunningRegistry
) -> None:
    user.trust(lab.secure.ca)
    user.take(strangers.client("elsewhere"))
    user.take(lab.client("here"))
    with seen_by(user, browser, address(registry)) as seen:
        assert name_of(seen) == "CN=here,O=team"


def test_registry_whose_authority_the_browser_was_not_told_of_is_refused(
    browser: Any, user: User, registry: RunningRegistry
) -> None:
    with seen_by(user, browser, address(registry)) as seen:
        expect_error(seen, "ERR_CERT_AUTHORITY_INVALID")
