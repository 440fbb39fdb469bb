"""The tabs of a manifest's page: each shows its own part, bounded, and nothing of others runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.web.tabs import TEXT_CHARACTERS_MAX, json_view, link_of
from tests.factories import Document, make_blob, make_descriptor, make_image, make_index
from tests.oci.strategies import QUICK
from tests.web.content import HOSTILE, IMAGE_CONFIG, SBOM, SIGNATURE, Filler
from tests.web.pages import Element, page_of

NAME = "tabs/app"
ANNOTATIONS = {
    "org.opencontainers.image.source": "https://git.example/team/app",
    "org.opencontainers.image.url": "javascript:alert(1)",
    "custom.key": HOSTILE,
}


def push(filler: Filler, tag: str, **fields: Any) -> Document:
    settings = {"os": "linux", "architecture": "amd64", "config": {"User": "nobody"}, "n": tag}
    config = filler.push_blob(NAME, make_blob(json.dumps(settings)))
    layer = filler.push_blob(NAME, make_blob(f"layer {tag}"))
    image = make_image(make_descriptor(config, IMAGE_CONFIG), [make_descriptor(layer)], **fields)
    return filler.named(NAME, image, [tag])


def shown(filler: Filler, tag: str, query: str = "") -> Element:
    return page_of(filler.get(f"/{NAME}:{tag}{query}"))


def headings(page: Element) -> list[str]:
    return [heading.text for heading in page.all("h2")]


def test_tabs_are_links_and_say_where_one_is(filler: Filler) -> None:
    push(filler, "links")

    page = shown(filler, "links", "?tab=config")
    tabs = page.one("nav", **{"aria-label": "What of it"})
    assert [tab.text for tab in tabs.all("a")] == ["Layers", "Config", "Attached", "Pulls", "JSON"]
    assert tabs.hrefs == [
        f"/{NAME}:links",
        *(f"/{NAME}:links?tab={tab}" for tab in ("config", "attached", "pulls", "json")),
    ]
    (here,) = [tab.text for tab in tabs.all("a") if "aria-current" in tab.attributes]
    assert here == "Config"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ["Pull", "Layers", "History of this tag", "Around it"]),
        ("?tab=config", ["Pull", "Config", "Annotations", "Around it"]),
        ("?tab=attached", ["Pull"]),
        ("?tab=json", ["Pull", "Manifest"]),
    ],
)
def test_tab_shows_its_own_part(filler: Filler, query: str, wanted: list[str]) -> None:
    push(filler, "parts", annotations=ANNOTATIONS)

    assert headings(shown(filler, "parts", query)) == wanted


def test_tab_that_is_none_is_left_out_and_said(filler: Filler) -> None:
    push(filler, "none")

    page = shown(filler, "none", "?tab=files")
    assert headings(page) == ["Pull", "Layers", "History of this tag", "Around it"]
    assert page.one("p", class_="notice").text.startswith("tab=files is left out")


def test_annotations_have_names_and_only_the_web_is_linked(filler: Filler) -> None:
    push(filler, "annotated", annotations=ANNOTATIONS)

    page = shown(filler, "annotated", "?tab=config")
    pairs = page.one("section", **{"aria-labelledby": "annotations"})
    names = [(each.text, each.attributes["title"]) for each in pairs.all("dt")]
    assert names == [
        ("Source", "org.opencontainers.image.source"),
        ("Home page", "org.opencontainers.image.url"),
        ("custom.key", "custom.key"),
    ]
    (link,) = pairs.all("a")
    assert link.attributes["href"] == ANNOTATIONS["org.opencontainers.image.source"]
    assert link.attributes["rel"] == "noopener noreferrer nofollow"


def test_what_is_attached_is_grouped_by_what_it_is(filler: Filler) -> None:
    image = push(filler, "signed")
    for kind in (SIGNATURE, SBOM, "application/vnd.example.other"):
        filler.attach(NAME, image, kind)

    page = shown(filler, "signed", "?tab=attached")
    assert headings(page) == ["Pull", "Signatures", "Bills of materials", "Other"]
    assert "Present, not verified" in page.text
    assert "Attached 3" in page.text
    push(filler, "bare")
    assert "Nothing is attached" in shown(filler, "bare", "?tab=attached").text


def test_what_is_tagged_after_the_digest_is_attached_too(filler: Filler) -> None:
    image = push(filler, "cosigned")
    layer = {
        **make_descriptor(filler.push_blob(NAME)),
        "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
    }
    signature = filler.named(
        NAME, make_image(layers=[layer]), [f"{image.digest.replace(':', '-')}.sig"]
    )

    page = shown(filler, "cosigned", "?tab=attached")
    assert headings(page) == ["Pull", "Signatures"]
    assert f"/{NAME}@{signature.digest}" in page.hrefs
    assert "Attached 1" in page.text


def test_attestations_of_an_index_say_which_platform_they_are_about(filler: Filler) -> None:
    image = push(filler, "amd64")
    layer = make_blob(make_blob().body)
    filler.push_blob(NAME, layer)
    predicate = {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}
    statement = {**make_descriptor(layer), "mediaType": "application/vnd.in-toto+json"}
    attestation = filler.stored(NAME, make_image(layers=[{**statement, "annotations": predicate}]))
    described = {
        **make_descriptor(attestation, platform={"os": "unknown", "architecture": "unknown"}),
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image.digest,
        },
    }
    platform = {"os": "linux", "architecture": "amd64"}
    index = make_index([make_descriptor(image, platform=platform), described])
    filler.named(NAME, index, ["built"])

    page = shown(filler, "built", "?tab=attached")
    (row,) = page.one("tbody").all("tr")
    assert "linux/amd64" in row.text
    assert headings(page) == ["Pull", "Provenance"]


@pytest.mark.slow
def test_more_than_a_hundred_are_shown_in_pages(filler: Filler) -> None:
    image = push(filler, "popular")
    for number in range(103):
        described = make_descriptor(image)
        filler.stored(
            NAME,
            make_image(artifactType=SBOM, subject=described, annotations={"n": str(number)}),
        )

    first = shown(filler, "popular", "?tab=attached")
    (more,) = [link for link in first.all("a") if link.text == "Load more"]
    second = page_of(filler.get(more.attributes["href"]))
    digests = [
        row.one("th").attributes["title"] for page in (first, second) for row in rows_of(page)
    ]
    assert len(digests) == len(set(digests)) == 103
    assert "Attached 100+" in first.text
    assert "Load more" not in second.text
    assert "First page" in second.text


def rows_of(page: Element) -> list[Element]:
    return page.one("tbody").all("tr")


def test_bytes_are_kept_as_they_were_pushed_and_run_nowhere(filler: Filler) -> None:
    image = push(filler, "kept")

    page = shown(filler, "kept", "?tab=json")
    assert json.loads(page.one("section", **{"aria-labelledby": "json"}).one("code").text)
    (link,) = [link for link in page.all("a") if "download" in link.attributes]
    answer = filler.get(link.attributes["href"])
    assert answer.content == image.body
    assert answer.headers["Content-Type"] == "application/octet-stream"
    name = f"tabs-app-{image.digest[7:19]}.json"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("tab", ["layers", "config", "attached", "json"])
def test_hostile_manifest_is_text_on_every_tab(filler: Filler, tab: str) -> None:
    image = push(filler, "hostile", annotations={HOSTILE: HOSTILE, "long": "x" * 64_000})
    filler.attach(NAME, image, "application/vnd.example.other")

    answer = filler.get(f"/{NAME}:hostile?tab={tab}")
    page = page_of(answer)
    assert len(answer.content) < 80_000
    assert "<script>alert" not in answer.text
    assert "\u202e" not in answer.text
    assert all(not script.children for script in page.all("script"))


@QUICK
@given(
    document=st.recursive(
        st.none() | st.booleans() | st.text() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_every_document_can_be_laid_out(document: object) -> None:
    view = json_view(json.dumps(document).encode())

    view.text.encode()  # no half of a character is left
    assert view.is_whole
    assert "\u202e" not in view.text


def test_what_is_large_or_deep_is_shown_as_it_begins() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    assert json_view(deep).text == deep.decode()
    for large in (["x" * TEXT_CHARACTERS_MAX], [[[[[0] * 100_000]]]]):
        view = json_view(json.dumps(large).encode())
        assert len(view.text) == TEXT_CHARACTERS_MAX
        assert not view.is_whole


@pytest.mark.parametrize(
    "text",
    [
        *("javascript:alert(1)", "https://", "//host/x", "https://good.example@evil.example/"),
        *("https://a b/", "data:text/html,x", "https://\u0430.example/", "https:\\\\host", ""),
        f"https://host/{'x' * 1000}",
        "https://[broken",
    ],
)
def test_address_that_is_not_of_the_web_or_not_what_it_seems_leads_nowhere(text: str) -> None:
    assert link_of(text) == ""


def test_address_of_the_web_leads_there() -> None:
    assert link_of("https://host.example:8443/a?b=c#d") == "https://host.example:8443/a?b=c#d"
