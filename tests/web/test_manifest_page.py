"""The page of one manifest: what it says, what it links to, and what it lets nobody do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from angos_trio.browse.detail import Layer
from angos_trio.oci.digest import digest_of
from angos_trio.oci.image_config import parse_image_config
from angos_trio.storage.metadata.listings import Sharing
from angos_trio.web.manifests import BAR_UNITS, config_facts, strokes_of
from tests.factories import Document, make_blob, make_descriptor, make_image, make_index
from tests.web.content import HOSTILE, IMAGE_CONFIG, SBOM, SIGNATURE, Filler
from tests.web.pages import Element, page_of

NAME = "shown/app"
HISTORY = [
    {"created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
    {"created_by": "ENV A=b", "empty_layer": True},
    {"created_by": "RUN /bin/sh -c make # buildkit"},
]


def push(filler: Filler, *sizes: int, **config: Any) -> Document:
    layers = [make_blob("x" * size) for size in sizes]
    for layer in layers:
        filler.push_blob(NAME, layer)
    document = {"os": "linux", "architecture": "amd64", "n": str(make_blob().digest), **config}
    blob = filler.push_blob(NAME, make_blob(json.dumps(document)))
    described = make_descriptor(blob, IMAGE_CONFIG)
    return make_image(described, [make_descriptor(layer) for layer in layers])


def shown(filler: Filler, reference: str) -> Element:
    mark = "@" if ":" in reference else ":"
    return page_of(filler.get(f"/{NAME}{mark}{reference}"))


def section(page: Element, heading: str) -> Element:
    """The panel under a heading."""
    return page.one("section", **{"aria-labelledby": heading})


def test_image_shows_its_layers_commands_and_what_shares_them(filler: Filler) -> None:
    image = push(filler, 700, 301, history=HISTORY)
    filler.named(NAME, image, ["v1", "latest"])
    filler.named(NAME, make_image(layers=[make_descriptor(make_blob("x" * 700))]), ["other"])

    page = shown(filler, "v1")
    rows = [row.text for row in section(page, "layers").one("tbody").all("tr")]
    assert "ADD file:1 in /" in rows[0]
    assert "1 image" in rows[0]
    assert "make" in rows[1]
    assert "only here" in rows[1]
    assert page.one("h1").text == f"{NAME}:v1"
    assert page.one("p", class_="said").text.startswith("2 layers in ")
    assert f"docker pull {filler.base_url.netloc.decode()}/{NAME}:v1" in page.text
    tags = section(page, "around").all("a", class_="tag")
    assert [tag.attributes["href"] for tag in tags] == [f"/{NAME}:latest", f"/{NAME}:v1"]


def test_tag_and_digest_have_addresses_that_lead_to_the_same(filler: Filler) -> None:
    image = push(filler, 10)
    filler.named(NAME, image, ["both"])

    for path in (f":both@{image.digest}", f"@{image.digest}"):
        page = page_of(filler.get(f"/{NAME}{path}"))
        assert page.one("h1").text == f"{NAME}@{image.digest[7:19]}"
    assert "Pinned from both" in page_of(filler.get(f"/{NAME}:both@{image.digest}")).text
    listed = page_of(filler.get(f"/{NAME}?q=both"))
    assert f"/{NAME}:both" in listed.hrefs


def test_index_shows_platforms_and_what_is_not_here(filler: Filler) -> None:
    here, absent = push(filler, 20), make_image()
    filler.named(NAME, here, [])
    parts = [
        make_descriptor(here, platform={"os": "linux", "architecture": "amd64"}),
        make_descriptor(absent, platform={"os": "linux", "architecture": HOSTILE}),
    ]
    filler.named(NAME, make_index(parts), ["many"])
    filler.attach(NAME, here, SIGNATURE)

    page = shown(filler, "many")
    rows = section(page, "parts").one("tbody").all("tr")
    assert [row.hrefs for row in rows] == [[f"/{NAME}@{here.digest}"], []]
    assert "linux/amd64" in rows[0].text
    assert "signature" in rows[0].text
    assert "not stored here" in rows[1].text
    assert "of which 1 are stored here" in page.text


def test_referrer_leads_to_its_subject_and_back(filler: Filler) -> None:
    image = push(filler, 30)
    filler.named(NAME, image, ["signed"])
    sbom = filler.attach(NAME, image, SBOM)

    assert f"/{NAME}@{sbom.digest}" in section(shown(filler, "signed"), "around").hrefs
    page = shown(filler, sbom.digest)
    assert f"/{NAME}@{image.digest}" in section(page, "around").hrefs
    assert "oras pull" in section(page, "pull").text


def test_hostile_config_and_annotations_are_text(filler: Filler) -> None:
    settings = {"Labels": {HOSTILE: HOSTILE * 500}, "Env": [f"{HOSTILE}={HOSTILE}"]}
    image = push(filler, 5, config=settings, history=[{"created_by": HOSTILE}])
    document = {**json.loads(image.body), "annotations": {HOSTILE: "x" * 64_000}}
    hostile = Document(json.dumps(document).encode(), "sha256", image.media_type)
    filler.named(NAME, hostile, ["hostile"])

    answer = filler.get(f"/{NAME}:hostile")
    page = page_of(answer)
    assert len(answer.content) < 80_000
    assert "<script>alert" in page.text
    assert "\u202e" not in answer.text
    assert [script.attributes for script in page.all("script")] == [
        script.attributes for script in shown(filler, image_of_peace(filler)).all("script")
    ]


def image_of_peace(filler: Filler) -> str:
    return filler.named(NAME, push(filler, 6), ["peace"]).digest


@pytest.mark.parametrize("reference", ["nothing", f"sha256:{'0' * 64}"])
def test_what_is_not_there_is_404_and_says_so(filler: Filler, reference: str) -> None:
    filler.named(NAME, push(filler, 7), ["there"])
    mark = "@" if ":" in reference else ":"
    answer = filler.get(f"/{NAME}{mark}{reference}")

    assert "No tag and no manifest of this namespace" in page_of(answer, 404).text


def test_values_whose_names_are_of_secrets_are_marked() -> None:
    env = ["API_TOKEN=abc", "DB_PASSWORD=x", "KEYBOARD=de", "SSH_KEY=k", "PATH=/bin", "TOKEN="]
    config = parse_image_config(json.dumps({"config": {"Env": env}}).encode())

    marked = {fact.name for fact in config_facts(config) if fact.is_secret}
    assert marked == {"$API_TOKEN", "$DB_PASSWORD", "$SSH_KEY"}


@pytest.mark.parametrize("sizes", [[1], [5, 5], [0, 10**12, 1], [3] * 120])
def test_bar_fills_its_width_in_the_order_of_the_layers(sizes: list[int]) -> None:
    layers = [
        Layer(digest_of(b"x"), "a/b", size, {}, Sharing(size, 1, ("other",) * (number % 2)), None)
        for number, size in enumerate(sizes)
    ]
    strokes = strokes_of(layers)

    assert len(strokes) == len(sizes)
    assert all(stroke.width >= 1 for stroke in strokes)
    ends = [stroke.x + stroke.width for stroke in strokes]
    assert all(after.x > end for end, after in zip(ends, strokes[1:], strict=False))
    assert BAR_UNITS - len(sizes) <= ends[-1] <= BAR_UNITS
    assert [stroke.is_own for stroke in strokes] == [
        number % 2 == 0 for number in range(len(sizes))
    ]


def test_bar_of_too_many_or_empty_layers_is_left_out() -> None:
    layer = Layer(digest_of(b"x"), "a/b", 1, {}, None, None)

    assert strokes_of([layer] * 500) == []
    assert strokes_of([]) == []
