"""A repository that is pulled through, before a second registry of the same kind."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from angos_trio.auth.passwords import hash_password
from angos_trio.browse.tag_history import Pointing, point
from angos_trio.oci.codes import Code
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, Tag
from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving
from tests.factories import Content, Document, make_blob, make_descriptor, make_image, make_index
from tests.oci.refusals import refused
from tests.registry.support import caller_of
from tests.server.log_lines import LogLines
from tests.web.pages import page_of

NOBODY = "sha256:" + "0" * 64
MIB = 1 << 20


@dataclass(frozen=True)
class Two:
    """A registry that is pulled through to another, and a client of each."""

    near: ServedRegistry
    far: ServedRegistry
    client: Client
    source: Client

    def asked(self) -> int:
        """How many pulls the other has answered."""
        scrape = self.source.get("/metrics").text
        found = re.findall(
            r'^http_requests_total\{.*route="get-(?:manifest|blob)".*\} ([0-9.]+)$', scrape, re.M
        )
        return int(sum(map(float, found)))


@contextmanager
def two(root: Path, far: dict[str, Any] | None = None, **keys: Any) -> Iterator[Two]:
    """Both, where `hub` is pulled through; `keys` are of its table, `far` tables of the other."""
    with serving(root / "far", **(far or {})) as source:
        upstream = {"url": source.url, **keys.pop("upstream", {})}
        table = {"hub": {"upstream": [upstream], **keys}}
        with (
            serving(root / "near", repository=table) as near,
            near.client() as client,
            source.client() as pusher,
        ):
            yield Two(near, source, client, pusher)


def push_image(client: Client, name: str = "app", tag: str = "v1", size: int = 1000) -> Image:
    """An image with its config and one layer."""
    config, layer = make_blob(b"{}"), make_blob(bytes(size) + tag.encode())
    for blob in (config, layer):
        client.push_blob(name, blob)
    image = make_image(make_descriptor(config), [make_descriptor(layer)])
    client.stored(name, image, tag)
    return Image(image, config, layer)


@dataclass(frozen=True)
class Image:
    """What was pushed."""

    manifest: Document
    config: Content
    layer: Content


def pull(client: Client, image: Image, name: str = "hub/app", reference: str = "v1") -> None:
    """As a client does: the manifest, then its parts."""
    answer = client.get(f"/v2/{name}/manifests/{reference}")
    assert answer.status_code == 200, answer.text
    assert answer.content == image.manifest.body
    assert answer.headers["Docker-Content-Digest"] == image.manifest.digest
    for blob in (image.config, image.layer):
        part = client.get(f"/v2/{name}/blobs/{blob.digest}")
        assert part.status_code == 200, part.text
        assert part.content == blob.body


def test_image_is_pulled_through_and_the_second_time_from_here(tmp_path: Path) -> None:
    with two(tmp_path) as registries:
        image = push_image(registries.source, size=3 * MIB)
        pull(registries.client, image)
        asked = registries.asked()
        pull(registries.client, image)

        assert registries.asked() == asked


@pytest.mark.parametrize("secs", [0, "never"])
def test_tag_is_looked_at_as_often_as_the_configuration_says(tmp_path: Path, secs: Any) -> None:
    with two(tmp_path, tag_check_interval=secs) as registries:
        first = push_image(registries.source)
        pull(registries.client, first)
        second = push_image(registries.source, size=2000)

        pull(registries.client, first if secs == "never" else second)


def test_what_was_pulled_once_is_served_when_the_upstream_is_gone(tmp_path: Path) -> None:
    with two(tmp_path, tag_check_interval=0) as registries:
        image = push_image(registries.source)
        pull(registries.client, image)
        registries.far.server.stop()

        pull(registries.client, image)
        pull(registries.client, image, reference=image.manifest.digest)
        stale = registries.client.get("/v2/hub/app/manifests/v1").headers
        assert stale["X-Angos-Stale"].startswith("checked=20")
        assert stale["Warning"].startswith('111 - "Revalidation Failed: ')
        fresh = registries.client.get(f"/v2/hub/app/manifests/{image.manifest.digest}").headers
        assert "X-Angos-Stale" not in fresh


def test_stale_tags_can_be_refused(tmp_path: Path) -> None:
    with two(tmp_path, tag_check_interval=0, stale_tags="fail") as registries:
        image = push_image(registries.source)
        pull(registries.client, image)
        registries.far.server.stop()

        expect_error(registries.client.get("/v2/hub/app/manifests/v1"), 503, "UNAVAILABLE")
        pull(registries.client, image, reference=image.manifest.digest)


def test_what_the_upstream_does_not_have_is_404(tmp_path: Path) -> None:
    with two(tmp_path) as registries:
        client = registries.client
        expect_error(client.get("/v2/hub/app/manifests/v1"), 404, "MANIFEST_UNKNOWN")
        expect_error(client.get(f"/v2/hub/app/manifests/{NOBODY}"), 404, "MANIFEST_UNKNOWN")
        expect_error(client.get(f"/v2/hub/app/blobs/{NOBODY}"), 404, "BLOB_UNKNOWN")
        assert client.head(f"/v2/hub/app/blobs/{NOBODY}").status_code == 404


def test_tag_that_is_gone_upstream_is_gone_here(tmp_path: Path) -> None:
    with two(tmp_path, tag_check_interval=0) as registries:
        image = push_image(registries.source)
        pull(registries.client, image)
        registries.source.delete("/v2/app/manifests/v1")

        expect_error(registries.client.get("/v2/hub/app/manifests/v1"), 404, "MANIFEST_UNKNOWN")
        pull(registries.client, image, reference=image.manifest.digest)


def test_offline_repository_asks_nobody(tmp_path: Path) -> None:
    with two(tmp_path, offline=True) as registries:
        image = push_image(registries.source)
        asked = registries.asked()

        expect_error(registries.client.get("/v2/hub/app/manifests/v1"), 503, "UNAVAILABLE")
        url = f"/v2/hub/app/blobs/{image.layer.digest}"
        expect_error(registries.client.get(url), 503, "UNAVAILABLE")
        assert registries.asked() == asked


def test_nothing_is_pushed_to_it(tmp_path: Path) -> None:
    with two(tmp_path) as registries:
        client, blob = registries.client, make_blob()
        url = "/v2/hub/app/blobs/uploads/"
        expect_error(client.post(url), 405, "UNSUPPORTED")
        expect_error(
            client.post(url, params={"digest": blob.digest}, content=blob.body), 405, "UNSUPPORTED"
        )
        expect_error(client.push_manifest("hub/app", make_image(), "v1"), 405, "UNSUPPORTED")
        client.push_blob("other/app", blob)
        expect_error(
            client.post(url, params={"mount": blob.digest, "from": "other/app"}),
            405,
            "UNSUPPORTED",
        )


def test_no_tag_of_it_is_pointed_anywhere_by_hand(tmp_path: Path) -> None:
    with two(tmp_path) as registries:
        image = push_image(registries.source)
        pull(registries.client, image)
        wanted = Pointing(RepositoryName("hub/app"), Tag("v2"), Digest(image.manifest.digest))

        near = registries.near
        with refused(Code.UNSUPPORTED, 405):
            near.server.call(point, near.core, caller_of("alice"), wanted)


def test_pages_ask_for_no_other_registry(tmp_path: Path) -> None:
    """What they call `ns` is a namespace."""
    with two(tmp_path, namespace="docker.io") as registries:
        pull(registries.client, push_image(registries.source))
        page = registries.client.get("/hub/app", params={"ns": "quay.io"})
        assert page.status_code == 200


def test_index_is_kept_without_its_platforms_and_these_come_when_asked_for(
    tmp_path: Path,
) -> None:
    with two(tmp_path) as registries:
        images = [push_image(registries.source, tag=f"v{number}") for number in range(3)]
        index = make_index([make_descriptor(each.manifest) for each in images])
        registries.source.stored("app", index, "all")

        answer = registries.client.get("/v2/hub/app/manifests/all")
        assert answer.content == index.body
        pull(registries.client, images[1], reference=images[1].manifest.digest)
        revisions = registries.client.get("/v2/_ext/hub/app/_revisions").json()
        assert len(revisions["revisions"]) == 2


def test_head_of_a_tag_moves_no_manifest(tmp_path: Path) -> None:
    with two(tmp_path) as registries:
        image = push_image(registries.source)
        answer = registries.client.head("/v2/hub/app/manifests/v1")

        assert answer.status_code == 200
        assert answer.headers["Docker-Content-Digest"] == image.manifest.digest
        assert answer.headers["Content-Length"] == str(len(image.manifest.body))
        assert registries.client.get("/v2/hub/app/tags/list").status_code == 404


def test_ranges_of_what_is_not_here_are_answered(tmp_path: Path) -> None:
    with two(tmp_path) as registries:
        image = push_image(registries.source, size=MIB)
        url = f"/v2/hub/app/blobs/{image.layer.digest}"

        answer = registries.client.get(url, headers={"Range": "bytes=10-99"})
        assert (answer.status_code, answer.content) == (206, image.layer.body[10:100])
        assert answer.headers["Content-Range"] == f"bytes 10-99/{image.layer.size}"
        assert registries.client.get(url).content == image.layer.body


def test_blob_that_the_repository_holds_is_not_moved_again(tmp_path: Path) -> None:
    with two(tmp_path) as registries:
        first = push_image(registries.source, size=MIB)
        image = push_image(registries.source, name="other", size=MIB)
        pull(registries.client, first)
        before = registries.asked()
        pull(registries.client, image, name="hub/other")

        # HEAD and GET of the manifest, and of its two blobs HEAD alone
        assert registries.asked() - before == 4


def test_upstream_that_names_a_blob_gets_at_none_of_others(tmp_path: Path) -> None:
    with two(tmp_path) as registries:
        image = push_image(registries.source, size=MIB)
        registries.client.push_blob("own/app", image.layer)
        before = registries.asked()
        pull(registries.client, image)

        # HEAD and GET of the manifest, GET of both blobs: that it has their bytes is shown by them
        assert registries.asked() - before == 4


def test_referrers_of_the_upstream_are_listed_and_pulled(tmp_path: Path) -> None:
    with two(tmp_path) as registries:
        image = push_image(registries.source)
        signature = registries.source.stored(
            "app", make_image(subject=make_descriptor(image.manifest), artifactType="a/signature")
        )
        path = f"referrers/{image.manifest.digest}"

        listed = registries.client.get(f"/v2/hub/app/{path}").json()["manifests"]
        assert listed == registries.source.get(f"/v2/app/{path}").json()["manifests"]
        assert [entry["digest"] for entry in listed] == [signature.digest]
        pulled = registries.client.get(f"/v2/hub/app/manifests/{signature.digest}")
        assert pulled.content == signature.body
        filtered = registries.client.get(f"/v2/hub/app/{path}", params={"artifactType": "a/b"})
        assert filtered.json()["manifests"] == []


def test_image_is_listed_without_referrers_when_the_upstream_is_gone(tmp_path: Path) -> None:
    with two(tmp_path) as registries:
        registries.far.server.stop()
        answer = registries.client.get(f"/v2/hub/app/referrers/{NOBODY}")
        assert answer.json()["manifests"] == []


TOKEN_KEY = "cULDuNvIlwTS7PVVkZL1HtmGVscYF6FqEcgQsmc8Njk="
PASSWORD = "a password of alice"
USERS = {"alice": {"username": "alice", "password": hash_password(PASSWORD)}}


@pytest.mark.parametrize("tables", [{}, {"token_service": {"secret_key": TOKEN_KEY}}])
def test_upstream_is_shown_what_it_wants_to_see(
    tmp_path: Path, tables: dict[str, Any], log_lines: LogLines
) -> None:
    """By Basic, and by a token for which the password is shown."""
    far = {"auth": {"identity": USERS, **tables}}
    credential = {"username": "alice", "password": PASSWORD}
    with two(tmp_path, far, upstream=credential, tag_check_interval=0) as registries:
        registries.source.auth = ("alice", PASSWORD)
        image = push_image(registries.source)
        for _ in range(2):
            pull(registries.client, image)
        assert PASSWORD not in str(log_lines.all())

    assert not log_lines.of("upstream.failed")


@pytest.mark.parametrize("tables", [{}, {"token_service": {"secret_key": TOKEN_KEY}}])
def test_upstream_that_lets_us_not_in_is_no_404(tmp_path: Path, tables: dict[str, Any]) -> None:
    far = {"auth": {"identity": USERS, **tables}}
    credential = {"username": "alice", "password": "wrong"}
    with two(tmp_path, far, upstream=credential) as registries:
        registries.source.auth = ("alice", PASSWORD)
        push_image(registries.source)
        answer = registries.client.get("/v2/hub/app/manifests/v1")
        expect_error(answer, 502, "UNAVAILABLE")
        assert "answered 401" in answer.text


def test_many_clients_make_one_transfer(tmp_path: Path) -> None:
    with two(tmp_path) as registries:
        image = push_image(registries.source, size=20 * MIB)
        path = f"/v2/hub/app/blobs/{image.layer.digest}"
        bodies: list[bool] = []

        def get() -> None:
            with registries.near.client() as client:
                bodies.append(client.get(path).content == image.layer.body)

        threads = [threading.Thread(target=get) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert bodies == [True] * 20
        assert registries.asked() == 1


def test_client_that_leaves_ends_nothing(tmp_path: Path) -> None:
    with two(tmp_path, upstream={"bandwidth_limit": "20MiB"}) as registries:
        image = push_image(registries.source, size=20 * MIB)
        path = f"/v2/hub/app/blobs/{image.layer.digest}"
        with registries.client.stream("GET", path) as answer:
            next(answer.iter_raw())
        with registries.near.client() as other:
            assert other.get(path).content == image.layer.body
        assert registries.asked() == 1


def test_client_names_the_registry_that_it_wants(tmp_path: Path) -> None:
    with two(tmp_path, namespace="docker.io") as registries:
        image = push_image(registries.source, name="library/app")
        client = registries.client

        for path in ("library/app", "hub/library/app"):
            answer = client.get(f"/v2/{path}/manifests/v1", params={"ns": "docker.io"})
            assert answer.content == image.manifest.body
            assert answer.headers["OCI-Namespace"] == "docker.io"
        other = client.get("/v2/library/app/manifests/v1", params={"ns": "quay.io"})
        expect_error(other, 404, "NAME_UNKNOWN")


def test_what_there_is_no_room_for_goes_through_and_is_not_kept(tmp_path: Path) -> None:
    with two(tmp_path, quota="100KiB") as registries:
        image = push_image(registries.source, size=MIB)
        for _ in range(2):
            pull(registries.client, image)

        manifest = registries.client.get("/v2/_ext/hub/app/_manifest/v1").json()
        assert manifest["digest"] == image.manifest.digest
        assert registries.near.files("uploads") == []
        before = registries.asked()
        pull(registries.client, image)
        assert registries.asked() > before


def test_what_was_kept_is_said_to_be_the_upstreams(tmp_path: Path) -> None:
    with two(tmp_path) as registries:
        image = push_image(registries.source)
        pull(registries.client, image)
        host = registries.far.url.removeprefix("http://")
        activity = registries.client.get("/v2/_ext/_activity").json()

        assert {event["actor"] for event in activity["activity"]} == {f"mirror::{host}"}


def test_list_says_what_is_pulled_through(tmp_path: Path) -> None:
    with two(tmp_path) as registries:
        registries.client.push_blob("own/app")
        registries.client.stored("own/app", make_image(), "v1")
        listed = registries.client.get("/v2/_ext/_repositories").json()["repositories"]
        assert {each["name"]: each["is_pull_through"] for each in listed} == {
            "hub": True,
            "own": False,
        }


def test_pages_say_from_where_it_comes_and_since_when_nobody_could_look(tmp_path: Path) -> None:
    with two(tmp_path, tag_check_interval=0) as registries:
        pull(registries.client, push_image(registries.source))
        host = registries.far.url.removeprefix("http://")
        headers = {"Accept": "text/html"}
        page = page_of(registries.client.get("/hub?view=below", headers=headers))
        assert f"Pulled through from {host}" in page.text
        assert "You may pull and delete here." in page.text
        assert "which is not asked now" not in page.text

        registries.far.server.stop()
        assert registries.client.get("/v2/hub/app/manifests/v1").headers["X-Angos-Stale"]
        page = page_of(registries.client.get("/hub?view=below", headers=headers))
        assert "which is not asked now" in page.text
        shown = page_of(registries.client.get("/hub/app:v1", headers=headers)).text
        assert "As upstream has it" in shown
        assert f"and not looked at since: {host}: no connection: Connection refused" in shown


def test_failure_of_the_upstream_is_logged_and_counted(tmp_path: Path, log_lines: LogLines) -> None:
    with two(tmp_path) as registries:
        registries.far.server.stop()
        answer = registries.client.get("/v2/hub/app/manifests/v1")
        expect_error(answer, 503, "UNAVAILABLE")

        host = registries.far.url.removeprefix("http://")
        assert f"{host}: no connection" in answer.text
        assert log_lines.of("upstream.failed")
        scrape = registries.client.get("/metrics").text
        assert 'upstream_failures_total{repository="hub"} 1.0' in scrape
