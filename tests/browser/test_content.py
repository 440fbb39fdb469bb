"""What laboratories hold: pages of it fit, say what it is, and nothing in it runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.browser.browsing import WIDE, Look, Watched
from tests.browser.looks import expect_fit
from tests.factories import Document, make_blob, make_descriptor, make_image, make_index
from tests.web.content import HOSTILE, IMAGE_CONFIG, SBOM, SIGNATURE, Filler

pytestmark = pytest.mark.slow
UNKNOWN = {"os": "unknown", "architecture": "unknown"}
LAYERS_MAX = 127
REFERRERS = 120
VERSION = "1.0.0"
"""A chart has no other kind."""


def expect_sound(seen: Watched, name: str) -> None:
    """There is a picture of it, and it is as every page is."""
    seen.picture(name)
    expect_fit(seen, "light", name)


def built(filler: Filler, name: str) -> Document:
    """As BuildKit pushes: two platforms, and of each an attestation without a platform."""
    descriptors = []
    for platform in ("linux/amd64", "linux/arm64"):
        system, architecture = platform.split("/")
        image = filler.image(name, platform=platform, kib=20)
        of_it = {"os": system, "architecture": architecture}
        descriptors.append(make_descriptor(image, platform=of_it))
        said = make_blob(json.dumps({"predicate": platform}))
        filler.push_blob(name, said)
        about = make_image(layers=[make_descriptor(said, "application/vnd.in-toto+json")])
        filler.named(name, about, [])
        annotations = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image.digest,
        }
        descriptors.append(make_descriptor(about, platform=UNKNOWN, annotations=annotations))
    return filler.named(name, make_index(descriptors), ["built"])


def test_attestation_belongs_to_its_platform_and_is_none(look: Look, filler: Filler) -> None:
    built(filler, "content/built")
    with look(viewport=WIDE) as seen:
        seen.open("/content/built:built")
        rows = seen.page.locator("section", has_text="Platforms").locator("tbody tr")
        assert rows.count() == 2
        assert "unknown" not in seen.page.locator("main").inner_text()
        assert [rows.nth(at).get_by_text("attestation").count() for at in range(2)] == [1, 1]
        expect_sound(seen, "built-light")


def test_many_referrers_are_counted_and_can_all_be_reached(look: Look, filler: Filler) -> None:
    name = "content/signed"
    image = filler.image(name, "signed")
    for number in range(REFERRERS):
        subject = make_descriptor(image)
        document = make_image(
            artifactType=SIGNATURE, subject=subject, annotations={"n": f"{number}"}
        )
        filler.stored(name, document)
    with look(viewport=WIDE) as seen:
        seen.open(f"/{name}:signed")
        assert seen.page.locator("main").get_by_text("signature").count() > 0
        expect_sound(seen, "referrers-light")


@pytest.mark.parametrize("form", ["helm", "sparse", "without-history", "many-layers", "artifact"])
def test_content_of_every_form_has_a_page(look: Look, filler: Filler, form: str) -> None:
    name = f"content/{form}"
    push_form(filler, name, form)
    words = {
        "helm": "helm pull --plain-http oci://",
        "sparse": "not stored here",
        "without-history": "The history of the config does not say",
        "many-layers": f"{LAYERS_MAX} layers in",
        "artifact": "oras pull",
    }
    with look(viewport=WIDE) as seen:
        seen.open(f"/{name}")
        expect_sound(seen, f"{form}-list-light")
        seen.open(f"/{name}:{VERSION}")
        assert words[form] in seen.page.locator("main").text_content()
        expect_sound(seen, f"{form}-light")


def push_form(filler: Filler, name: str, form: str) -> None:
    """Something of this form, as 1.0.0."""
    if form == "helm":
        filler.chart(name, VERSION)
    elif form == "sparse":
        absent = make_descriptor(make_image(), platform={"os": "linux", "architecture": "s390x"})
        filler.named(name, make_index([absent]), [VERSION])
    elif form == "artifact":
        data = filler.push_blob(name, make_blob("data"))
        title = {"org.opencontainers.image.title": "../../data.csv"}
        layer = make_descriptor(data, "text/csv", annotations=title)
        filler.named(name, make_image(layers=[layer], artifactType=SBOM), [VERSION])
    else:
        count = LAYERS_MAX if form == "many-layers" else 2
        layers = [filler.push_blob(name, make_blob(f"{form} {number}")) for number in range(count)]
        history = [] if form == "without-history" else [{"created_by": "RUN true"}] * count
        config = {"os": "linux", "architecture": "amd64", "history": history}
        blob = filler.push_blob(name, make_blob(json.dumps(config)))
        parts = [make_descriptor(layer) for layer in layers]
        filler.named(name, make_image(make_descriptor(blob, IMAGE_CONFIG), parts), [VERSION])


def hostile(filler: Filler, name: str) -> None:
    """Text of somebody who means harm, wherever text of others is shown."""
    harm = f"{HOSTILE}javascript:alert(1)"
    settings: dict[str, Any] = {
        "Labels": {harm: harm * 300, "org.opencontainers.image.url": "javascript:alert(1)"},
        "Env": [f"{harm}={harm}"],
        "Entrypoint": [harm],
    }
    config = {"os": HOSTILE, "architecture": HOSTILE, "config": settings}
    blob = filler.push_blob(name, make_blob(json.dumps(config)))
    page = filler.push_blob(name, make_blob(f"<!doctype html>{HOSTILE}"))
    layer = make_descriptor(page, "text/html", annotations={"org.opencontainers.image.title": harm})
    annotations = {harm: "x" * 64_000, "org.opencontainers.image.source": "javascript:alert(1)"}
    document = make_image(make_descriptor(blob, IMAGE_CONFIG), [layer], annotations=annotations)
    filler.named(name, document, ["v1"])
    filler.attach(name, document, f"text/{'x' * 60}")


def test_hostile_text_is_shown_and_does_nothing(look: Look, filler: Filler) -> None:
    name = "content/hostile"
    hostile(filler, name)
    with look(viewport=WIDE) as seen:
        said: list[str] = []

        def hear(dialog: Any) -> None:
            said.append(dialog.message)
            dialog.dismiss()

        seen.page.on("dialog", hear)
        for path in (f"/{name}:v1", f"/{name}", f"/{name}?view=tree", f"/{name}?q={HOSTILE[:40]}"):
            seen.open(path)
            links = "[...document.links].every((each) => /^https?:/.test(each.href))"
            assert seen.page.evaluate(links)
            expect_sound(seen, f"hostile-{path.count('?')}-light")
        assert said == []


def test_blob_that_is_a_page_runs_nowhere(look: Look, filler: Filler) -> None:
    """A browser saves it, or shows it as text: it never becomes a page of the registry's origin."""
    page = filler.push_blob("content/page", make_blob("<title>mine</title><script>x=1</script>"))
    with look(viewport=WIDE) as seen:
        seen.open("/")
        address = f"{seen.url}/v2/content/page/blobs/{page.digest}"
        with seen.page.expect_download() as download:
            seen.page.evaluate("(url) => { location.href = url; }", address)
        assert download.value.path().read_bytes() == page.body
        assert seen.page.title() != "mine"
