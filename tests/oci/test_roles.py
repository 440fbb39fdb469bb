"""What a manifest is there for, by what its body says of itself."""

from __future__ import annotations

import pytest

from angos_trio.oci.manifest import SIZE_MAX, parse_manifest
from angos_trio.oci.roles import Carried, Role, names_of
from tests.oci.documents import descriptor, encoded, image, index

IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SLSA = "https://slsa.dev/provenance/v0.2"
SPDX = "https://spdx.dev/Document"
PREDICATE = "in-toto.io/predicate-type"


def judged(document: object) -> tuple[Role, Carried]:
    facts = parse_manifest(encoded(document), None)
    return facts.role, facts.carries


def layer(media_type: str, **annotations: str) -> object:
    return descriptor(mediaType=media_type, annotations=annotations)


def statement(predicate: str, key: str = PREDICATE) -> object:
    return descriptor(mediaType=IN_TOTO, annotations={key: predicate})


CASES = {
    "image": (image(config=descriptor(mediaType=IMAGE_CONFIG)), Role.IMAGE, 0),
    "docker image": (
        image(config=descriptor(mediaType="application/vnd.docker.container.image.v1+json")),
        Role.IMAGE,
        0,
    ),
    "index": (index(), Role.INDEX, 0),
    "helm chart": (
        image(config=descriptor(mediaType="application/vnd.cncf.helm.config.v1+json")),
        Role.CHART,
        0,
    ),
    "files of oras": (
        image(config=descriptor(mediaType=EMPTY), artifactType="application/vnd.acme.rocket"),
        Role.ARTIFACT,
        0,
    ),
    "signature of cosign by tag": (
        image(
            config=descriptor(mediaType=IMAGE_CONFIG),
            layers=[layer("application/vnd.dev.cosign.simplesigning.v1+json")],
        ),
        Role.SIGNATURE,
        Carried.SIGNATURE,
    ),
    "signature of notation": (
        image(
            config=descriptor(mediaType=EMPTY),
            artifactType="application/vnd.cncf.notary.signature",
        ),
        Role.SIGNATURE,
        Carried.SIGNATURE,
    ),
    "sigstore bundle that signs": (
        image(config=descriptor(mediaType=EMPTY), artifactType=BUNDLE, layers=[layer(BUNDLE)]),
        Role.SIGNATURE,
        Carried.SIGNATURE,
    ),
    "sigstore bundle about provenance": (
        image(
            config=descriptor(mediaType=EMPTY),
            artifactType=BUNDLE,
            annotations={"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"},
        ),
        Role.PROVENANCE,
        Carried.PROVENANCE,
    ),
    "SBOM by artifact type": (
        image(config=descriptor(mediaType=EMPTY), artifactType="application/spdx+json"),
        Role.SBOM,
        Carried.SBOM,
    ),
    "SBOM by layer": (
        image(
            config=descriptor(mediaType=EMPTY),
            artifactType="application/vnd.acme",
            layers=[layer("application/vnd.cyclonedx+json")],
        ),
        Role.SBOM,
        Carried.SBOM,
    ),
    "attestations of BuildKit": (
        image(config=descriptor(mediaType=IMAGE_CONFIG), layers=[statement(SPDX), statement(SLSA)]),
        Role.ATTESTATION,
        Carried.SBOM | Carried.PROVENANCE,
    ),
    "attestation of cosign": (
        image(
            config=descriptor(mediaType=IMAGE_CONFIG),
            layers=[
                descriptor(
                    mediaType="application/vnd.dsse.envelope.v1+json",
                    annotations={"predicateType": "https://openvex.dev/ns/v0.2.0"},
                )
            ],
        ),
        Role.VEX,
        Carried.VEX,
    ),
    "statement about something else": (
        image(config=descriptor(mediaType=IMAGE_CONFIG), layers=[statement("https://acme/x")]),
        Role.ATTESTATION,
        Carried.OTHER,
    ),
    "statement about nothing": (
        image(config=descriptor(mediaType=IMAGE_CONFIG), layers=[layer(IN_TOTO)]),
        Role.ATTESTATION,
        Carried.OTHER,
    ),
    "report": (
        image(config=descriptor(mediaType=EMPTY), artifactType="application/sarif+json"),
        Role.REPORT,
        Carried.REPORT,
    ),
}


@pytest.mark.parametrize(("document", "role", "carried"), CASES.values(), ids=CASES.keys())
def test_role_is_what_the_body_says(document: object, role: Role, carried: int) -> None:
    assert judged(document) == (role, carried)


def test_annotations_that_are_no_texts_count_for_nothing() -> None:
    odd = descriptor(mediaType=LAYER, annotations={PREDICATE: 5, "predicateType": ["x"]})

    assert judged(image(config=descriptor(mediaType=IMAGE_CONFIG), layers=[odd, odd])) == (
        Role.IMAGE,
        Carried.NOTHING,
    )


LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def test_words_for_what_is_carried_stand_in_a_fixed_order() -> None:
    assert names_of(Carried.PROVENANCE | Carried.SIGNATURE | Carried.OTHER) == [
        "signature",
        "provenance",
        "other",
    ]
    assert names_of(Carried.NOTHING) == []


def test_sizes_that_claim_more_than_there_is_are_cut() -> None:
    huge = [descriptor(digest=f"sha256:{number:064x}", size=2**62) for number in range(4)]

    facts = parse_manifest(encoded(image(layers=huge)), None)

    assert facts.named_bytes == SIZE_MAX
