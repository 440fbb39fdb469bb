"""Pages that follow what happens, with real browsers and a pushing skopeo."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from angos_trio.auth.passwords import hash_password
from tests.api.serving import ServedRegistry, serving
from tests.browser.browsing import LIVE, Watched, watched
from tests.factories import make_blob, make_descriptor, make_image
from tests.skips import leave_out
from tests.web.content import IMAGE_CONFIG, Filler

pytestmark = pytest.mark.slow
Look = Callable[..., AbstractContextManager[Watched]]

NAME = "team/app"
PASSWORD = "correct horse"
BOUND_SECS = 1.0
"""From the answer to a push to its row on every page that is open."""
WIDE = {"width": 1280, "height": 800}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 740}, "color_scheme": "light"},
}
WATCH_ROWS = """() => {
  globalThis.seen = {};
  const look = () => {
    for (const link of document.querySelectorAll("table.tags tbody th a")) {
      seen[link.textContent] ??= Date.now() / 1000;
    }
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  look();
}"""
NAMES = "[...document.querySelectorAll('[data-region] tbody th a')].map((a) => a.textContent)"
NEWS = "document.getElementById('news').textContent"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedRegistry]:
    """A registry of its own, with two tags."""
    with serving(tmp_path) as served:
        with Filler(served.url) as filler:
            filler.image(NAME, "v1", kib=20)
            filler.image(NAME, "v2", kib=300)
        yield served


@pytest.fixture
def filler(served: ServedRegistry) -> Iterator[Filler]:
    """Pushes to it."""
    with Filler(served.url) as filler:
        yield filler


@pytest.fixture
def look(browser: Any, served: ServedRegistry) -> Look:
    """Opens a page on it."""
    return partial(watched, browser, served.url)


def open_live(seen: Watched, path: str) -> None:
    seen.open(path)
    seen.until(LIVE)


def has_row(name: str) -> str:
    return f"{NAMES}.includes('{name}')"


def test_pushed_row_appears_in_two_browsers_within_a_second(look: Look, filler: Filler) -> None:
    with look(viewport=WIDE) as one, look(**LOOKS["phone"]) as other:
        for seen in (one, other):
            open_live(seen, f"/{NAME}")
            seen.page.evaluate(WATCH_ROWS)
            seen.page.evaluate("globalThis.isTheSamePage = true")

        for number in range(3):
            filler.image(NAME, f"new{number}")
            answered_at = time.time()
            for seen in (one, other):
                seen.until(has_row(f"new{number}"))
                appeared_at = seen.page.evaluate("seen")[f"new{number}"]
                print(f"row after {appeared_at - answered_at:.3f} s")
                assert appeared_at - answered_at < BOUND_SECS
            time.sleep(0.3)

        assert one.page.evaluate(NAMES)[:3] == ["new2", "new1", "new0"]
        assert one.page.locator("[data-count]").inner_text() == "5 tags"
        assert one.page.locator("p.said").inner_text().startswith("It holds 5 tags")
        assert one.page.evaluate("isTheSamePage")
        assert one.page.locator(".tags .copy").count() == 5
        one.page.mouse.move(5, 5)
        one.picture("live-row-light")
        other.picture("live-row-phone")


def layout(root: Path) -> Path:
    """An image of some hundred KiB as an OCI layout."""
    config = make_blob(json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {}}))
    layer = make_blob(b"x" * 300_000)
    image = make_image(make_descriptor(config, IMAGE_CONFIG), [make_descriptor(layer)])
    blobs = root / "layout" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for each in (config, layer, image):
        (blobs / each.digest.partition(":")[2]).write_bytes(each.body)
    named = {"annotations": {"org.opencontainers.image.ref.name": "v1"}}
    index = {"schemaVersion": 2, "manifests": [{**make_descriptor(image), **named}]}
    (root / "layout" / "index.json").write_text(json.dumps(index))
    (root / "layout" / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return root / "layout"


def test_push_of_skopeo_appears_in_two_browsers_within_a_second(
    look: Look, served: ServedRegistry, tmp_path: Path
) -> None:
    if shutil.which("skopeo") is None:
        leave_out("skopeo is not installed")
    source = f"oci:{layout(tmp_path)}:v1"
    host, port = served.address
    with look(viewport=WIDE) as one, look(viewport=WIDE, color_scheme="dark") as other:
        for seen in (one, other):
            open_live(seen, f"/{NAME}")
            seen.page.evaluate(WATCH_ROWS)
        command = ["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "--quiet"]
        command += [source, f"docker://{host}:{port}/{NAME}:by-skopeo"]

        subprocess.run(command, check=True, timeout=120, capture_output=True)
        ended_at = time.time()

        for seen in (one, other):
            seen.until(has_row("by-skopeo"))
            after_secs = seen.page.evaluate("seen")["by-skopeo"] - ended_at
            print(f"row {after_secs:.3f} s after skopeo ended")
            assert after_secs < BOUND_SECS


def frames_of(page: Any) -> list[str]:
    """What comes over the sockets of a page, from now on."""
    frames: list[str] = []

    def keep(frame: object) -> None:
        frames.append(str(frame))

    page.on("websocket", lambda socket: socket.on("framereceived", keep))
    return frames


def rules(*allowed: str) -> dict[str, Any]:
    users = {"admin": {"username": "admin", "password": hash_password(PASSWORD)}}
    policy = {"default": "deny", "rules": ["identity.username == 'admin'", *allowed]}
    return {"auth": {"identity": users}, "global_": {"access_policy": policy}}


LISTENS = "request.action == 'get-events'"
SEES_TEAM = (
    "request.action in ['list-tags', 'list-namespaces', 'get-manifest'] && "
    "request.namespace.startsWith('team')"
)


def admin(served: ServedRegistry) -> Filler:
    filler = Filler(served.url)
    filler.auth = ("admin", PASSWORD)
    return filler


def test_viewer_receives_nothing_of_what_they_may_not_see(browser: Any, tmp_path: Path) -> None:
    with (
        serving(tmp_path, **rules(LISTENS, SEES_TEAM)) as served,
        admin(served) as filler,
        watched(browser, served.url, viewport=WIDE) as seen,
    ):
        filler.image("team/app", "v1")
        filler.image("secret/plans", "v1")
        frames = frames_of(seen.page)
        open_live(seen, "/team")  # listens to all namespaces of the registry

        filler.image("secret/plans", "hidden-tag")
        filler.delete("/v2/secret/plans/manifests/v1")
        filler.image("team/app", "shown-tag")

        seen.until("document.getElementById('said').textContent.includes('shown-tag')")
        assert any("shown-tag" in frame for frame in frames)
        assert not [frame for frame in frames if "secret" in frame or "hidden-tag" in frame]
        assert "secret" not in seen.page.content()


def test_viewer_who_may_not_listen_opens_no_socket(browser: Any, tmp_path: Path) -> None:
    with (
        serving(tmp_path, **rules(SEES_TEAM)) as served,
        admin(served) as filler,
        watched(browser, served.url, viewport=WIDE) as seen,
    ):
        filler.image("team/app", "v1")
        sockets: list[Any] = []
        seen.page.on("websocket", lambda socket: sockets.append(socket))
        seen.open("/team/app")
        seen.until("document.getElementById('live').dataset.state === 'off'")

        assert sockets == []
        seen.picture("live-off-light")


def test_right_that_ends_leads_to_the_sign_in(browser: Any, tmp_path: Path) -> None:
    with (
        serving(tmp_path, **rules(LISTENS, SEES_TEAM)) as served,
        admin(served) as filler,
        watched(browser, served.url, **LOOKS["dark"]) as seen,
    ):
        filler.image("team/app", "v1")
        open_live(seen, "/team/app?n=25")

        served.reload(**rules())
        filler.image("team/app", "v2")

        seen.until("document.getElementById('live').dataset.state === 'off'")
        link = seen.page.locator("#news").get_by_role("link", name="Sign in")
        assert link.get_attribute("href") == "/_ui/login?next=%2Fteam%2Fapp%3Fn%3D25"
        assert seen.page.evaluate(NAMES) == ["v1"]
        seen.picture("live-ended-dark")


def test_restart_is_caught_up_without_a_reload(browser: Any, tmp_path: Path) -> None:
    with ExitStack() as stack:
        with serving(tmp_path) as served:
            url, port = served.url, served.address[1]
            with Filler(url) as filler:
                filler.image(NAME, "v1")
            seen = stack.enter_context(watched(browser, url, viewport=WIDE))
            seen.expected_texts = {"net::ERR", "WebSocket connection to"}
            open_live(seen, f"/{NAME}")
            seen.page.evaluate("globalThis.isTheSamePage = true")
        seen.until("document.getElementById('live').dataset.state === 'reconnecting'")
        seen.picture("live-reconnecting-light")

        with serving(tmp_path, port=port), Filler(url) as filler:
            filler.image(NAME, "meanwhile")
            seen.until(has_row("meanwhile"))
            seen.until(LIVE)
            assert seen.page.evaluate("isTheSamePage")


def test_page_that_cannot_be_told_everything_offers_to_load_again(
    look: Look, served: ServedRegistry
) -> None:
    """A browser that takes nothing for a while is far behind: the server tells it so."""
    with look(viewport=WIDE) as seen:
        open_live(seen, f"/{NAME}")
        happens = threading.Thread(target=served.happen, args=(NAME, 60_000))
        happens.start()
        seen.page.evaluate("() => { const end = Date.now() + 15000; while (Date.now() < end); }")
        happens.join()

        seen.until(f"{NEWS}.includes('More has changed here than can be told.')")
        seen.until(LIVE)
        seen.picture("live-lost-light")
        seen.page.get_by_role("link", name="Load again").click()
        seen.until(f"{LIVE} && {NEWS} === ''")


def test_without_scripts_a_reload_shows_everything(look: Look, filler: Filler) -> None:
    with look(viewport=WIDE, java_script_enabled=False) as seen:
        seen.open(f"/{NAME}")
        assert not seen.page.locator("#live").is_visible()
        assert not seen.page.locator("#news").is_visible()
        filler.image(NAME, "v3")
        filler.delete(f"/v2/{NAME}/manifests/v1")
        seen.page.reload()
        assert seen.page.locator(".tags tbody th").all_inner_texts() == ["v3", "v2"]


def test_rows_never_move_under_the_pointer(look: Look, filler: Filler) -> None:
    with look(viewport=WIDE) as seen:
        open_live(seen, f"/{NAME}")
        seen.page.locator(".tags tbody tr").nth(1).hover()
        for tag in ("v3", "v4", "v5"):
            filler.image(NAME, tag)

        seen.until(f"{NEWS} === '3 new pushes Show'")
        assert seen.page.evaluate(NAMES) == ["v2", "v1"]
        seen.picture("live-news-light")
        seen.page.mouse.move(600, 10)

        seen.until(has_row("v5"))
        assert seen.page.evaluate(NAMES) == ["v5", "v4", "v3", "v2", "v1"]
        assert seen.page.evaluate(NEWS) == ""


@pytest.mark.parametrize("kind", LOOKS)
def test_pushes_are_offered_where_an_order_is_asked_for(
    look: Look, filler: Filler, kind: str
) -> None:
    with look(**LOOKS[kind]) as seen:
        open_live(seen, f"/{NAME}?sort=name")
        filler.image(NAME, "a-new-one")

        seen.until(f"{NEWS} === '1 new push Show'")
        assert seen.page.evaluate(NAMES) == ["v1", "v2"]
        seen.picture(f"live-offered-{kind}")
        seen.page.get_by_role("link", name="Show").click()

        seen.until(has_row("a-new-one"))
        assert seen.page.evaluate(NAMES) == ["a-new-one", "v1", "v2"]
        assert seen.page.evaluate(NEWS) == ""


@pytest.mark.parametrize("kind", LOOKS)
def test_deleted_row_is_struck_through_where_it_stands(
    browser: Any, tmp_path: Path, kind: str
) -> None:
    allowed = rules(LISTENS, SEES_TEAM)
    with (
        serving(tmp_path, **allowed) as served,
        admin(served) as filler,
        watched(browser, served.url, **LOOKS[kind]) as seen,
    ):
        for tag in ("v1", "v2", "v3"):
            filler.image("team/app", tag)
        open_live(seen, "/team/app")
        assert filler.delete("/v2/team/app/manifests/v2").status_code == 202

        seen.until("document.querySelector('tr[data-gone]') !== null")
        assert seen.page.locator("tr[data-gone] th").inner_text() == "v2deleted by admin"
        seen.until("document.querySelector('[data-count]').textContent === '2 tags'")
        assert seen.page.evaluate(NAMES) == ["v3", "v2", "v1"]
        seen.picture(f"live-gone-{kind}")


def test_first_push_replaces_the_lesson(browser: Any, tmp_path: Path) -> None:
    with (
        serving(tmp_path) as served,
        Filler(served.url) as filler,
        watched(browser, served.url, viewport=WIDE) as seen,
    ):
        open_live(seen, "/")
        filler.image("first/app", "v1")
        seen.until(has_row("first"))
        seen.page.get_by_label("Filter repositories").fill("nothing")
        seen.until("document.querySelector('.empty') !== null")


def test_numbers_of_repositories_change_where_they_stand(look: Look, filler: Filler) -> None:
    with look(viewport=WIDE) as seen:
        open_live(seen, "/")
        seen.page.locator("tbody tr").hover()
        filler.image(NAME, "v3")
        seen.until("document.querySelector('tbody .c-tags').textContent === '3'")
        filler.image("zoo", "v1")  # behind the last row, where it moves none
        seen.until(has_row("zoo"))


def test_bytes_of_an_upload_are_seen_to_grow(look: Look, filler: Filler) -> None:
    opened = filler.open_upload(NAME)
    location = filler.patch(opened, content=b"x" * 70_000).headers["Location"]
    with look(viewport=WIDE) as seen:
        open_live(seen, f"/{NAME}")
        received = seen.page.locator(".uploads .c-size").last
        assert received.inner_text() == "70.0 kB"
        filler.patch(location, content=b"x" * 70_000, headers={"Content-Range": "70000-139999"})
        seen.until("document.querySelector('.uploads td.c-size')?.textContent === '140 kB'")


def test_page_of_a_manifest_says_that_its_tag_was_moved(look: Look, filler: Filler) -> None:
    with look(viewport=WIDE) as seen:
        open_live(seen, f"/{NAME}:v1")
        before = seen.page.locator("#main").get_attribute("data-of")
        filler.image(NAME, "v1", kib=7)
        seen.until(f"{NEWS} === 'This tag was moved to another manifest. Show'")
        assert seen.page.locator("#main").get_attribute("data-of") == before
        seen.picture("live-moved-light")
        seen.page.get_by_role("link", name="Show").click()
        seen.until(f"document.getElementById('main').dataset.of !== '{before}'")
        filler.delete(f"/v2/{NAME}/manifests/v1")
        seen.until(LIVE)
        seen.until(f"{NEWS} === 'This tag was deleted.'")
        seen.page.wait_for_timeout(500)  # nobody asks for the page, which is not there
        assert seen.page.locator("#news").inner_text() == "This tag was deleted."
        filler.image(NAME, "v1", kib=7)
        seen.until(f"{NEWS} === ''")


def test_page_of_a_manifest_follows_what_is_attached(look: Look, filler: Filler) -> None:
    image = filler.image(NAME, "v9")
    with look(viewport=WIDE) as seen:
        open_live(seen, f"/{NAME}:v9")
        filler.attach(NAME, image, "application/vnd.cncf.notary.signature")
        seen.until("document.querySelector('[data-part=what]').textContent.includes('signature')")


def test_many_events_are_few_requests(look: Look, filler: Filler) -> None:
    with look(viewport=WIDE) as seen:
        asked: list[str] = []
        open_live(seen, f"/{NAME}")
        seen.page.on("request", lambda request: asked.append(request.url))
        begun_at = time.monotonic()
        for number in range(60):
            filler.named(NAME, make_image(), [f"many{number}"])
        seen.until(has_row("many59"))
        pages = [url for url in asked if re.search(rf"/{NAME}$", url)]
        assert 1 <= len(pages) <= 2 + (time.monotonic() - begun_at)


def test_times_go_on(look: Look, filler: Filler) -> None:
    with look(viewport=WIDE) as seen:
        filler.image(NAME, "v3")
        seen.open(f"/{NAME}")
        seen.until(
            "/^(5|6|7|8|9|1.) seconds ago/.test(document.querySelector('tbody time').textContent)"
        )


def test_push_between_the_page_and_its_socket_is_not_lost(look: Look, filler: Filler) -> None:
    with look(viewport=WIDE) as seen:

        def push_first(route: Any) -> None:
            filler.image(NAME, "in-between")
            route.continue_()

        seen.page.route("**/live-*.js", push_first)
        seen.open(f"/{NAME}")
        seen.until(has_row("in-between"))


def test_hidden_page_listens_to_nothing_and_catches_up(look: Look, filler: Filler) -> None:
    hide = """(value) => {
      Object.defineProperty(document, "hidden", { value, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with look(viewport=WIDE) as seen:
        sockets: list[Any] = []
        seen.page.on("websocket", lambda socket: sockets.append(socket))
        open_live(seen, f"/{NAME}")
        seen.page.evaluate(hide, True)
        while not sockets[0].is_closed():
            seen.page.wait_for_timeout(10)
        filler.image(NAME, "meanwhile")
        seen.page.wait_for_timeout(500)
        assert seen.page.evaluate(NAMES) == ["v2", "v1"]
        assert len(sockets) == 1

        seen.page.evaluate(hide, False)
        seen.until(has_row("meanwhile"))


def test_rows_never_move_under_the_focus(look: Look, filler: Filler) -> None:
    with look(viewport=WIDE) as seen:
        open_live(seen, f"/{NAME}")
        seen.page.get_by_role("link", name="v1", exact=True).focus()
        filler.image(NAME, "v3")
        seen.until(f"{NEWS} === '1 new push Show'")
        assert seen.page.evaluate("document.activeElement.textContent") == "v1"
        seen.page.get_by_role("link", name="Tags").focus()
        seen.until(has_row("v3"))


def test_answer_from_before_a_delete_does_not_bring_the_row_back(
    look: Look, filler: Filler
) -> None:
    """A page that was asked for before something happened may come after it was told."""
    with look(viewport=WIDE) as seen:
        open_live(seen, f"/{NAME}")
        is_held = True

        def hold_once(route: Any) -> None:
            nonlocal is_held
            answer = route.fetch()
            if is_held:
                is_held = False
                filler.delete(f"/v2/{NAME}/manifests/v1")
                seen.page.wait_for_timeout(600)
            route.fulfill(response=answer)

        seen.page.route(f"**/{NAME}", hold_once)
        filler.image(NAME, "v3")
        seen.until(has_row("v3"))
        seen.until("document.querySelectorAll('tr[data-gone]').length === 1")
        seen.until("document.querySelector('[data-count]').textContent === '2 tags'")


def test_tree_shows_a_pushed_manifest(look: Look, filler: Filler) -> None:
    with look(viewport=WIDE) as seen:
        open_live(seen, f"/{NAME}?view=tree")
        seen.page.locator("table.tree tbody tr").first.hover()
        seen.page.wait_for_timeout(1000)  # what is a second newer comes before the others
        image = filler.image(NAME)
        seen.until(f"{NEWS} === '1 new push Show'")
        seen.page.get_by_role("link", name="Show").click()
        seen.until(f"document.querySelector('th[title=\"{image.digest}\"]') !== null")
        assert seen.page.locator("tr[data-new]").count() == 1
