"""What a manifest is there for: an image, a chart, a signature, a bill of materials …

Nothing here is verified: it is what a body says of itself. Sources: the OCI image specification
("Guidelines for Artifact Usage"), the types that cosign, notation, BuildKit, helm and oras write,
and the predicates of in-toto attestations.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag, StrEnum
from typing import Final

from angos_trio.oci.platform import CONFIG_TYPES

CHART_CONFIG: Final = "application/vnd.cncf.helm.config.v1+json"
PREDICATE_KEYS: Final = (
    "in-toto.io/predicate-type",  # a layer of BuildKit's
    "predicateType",  # a layer of cosign's
    "dev.sigstore.bundle.predicateType",  # a manifest with a sigstore bundle
)
_BUNDLE: Final = "application/vnd.dev.sigstore.bundle"
_ENVELOPES: Final = ("application/vnd.in-toto", "application/vnd.dsse.envelope", _BUNDLE)
"""Types, by how they begin, of statements whose predicate says what they are about."""


class Role(StrEnum):
    """What a manifest is, in one word."""

    IMAGE = "image"
    INDEX = "index"
    CHART = "chart"
    SIGNATURE = "signature"
    SBOM = "sbom"
    PROVENANCE = "provenance"
    VEX = "vex"
    REPORT = "report"
    ATTESTATION = "attestation"
    """Statements of several kinds, or of none that is known here."""
    ARTIFACT = "artifact"


class Carried(IntFlag):
    """What a manifest says about another one; of several manifests, the union."""

    NOTHING = 0
    SIGNATURE = 1
    SBOM = 2
    PROVENANCE = 4
    VEX = 8
    REPORT = 16
    OTHER = 32


_ROLES: Final = {
    Carried.SIGNATURE: Role.SIGNATURE,
    Carried.SBOM: Role.SBOM,
    Carried.PROVENANCE: Role.PROVENANCE,
    Carried.VEX: Role.VEX,
    Carried.REPORT: Role.REPORT,
}
_TYPES: Final = (
    ("application/vnd.dev.cosign.artifact.sig", Carried.SIGNATURE),
    ("application/vnd.dev.cosign.simplesigning", Carried.SIGNATURE),
    ("application/vnd.dev.cosign.artifact.sbom", Carried.SBOM),
    ("application/vnd.cncf.notary.signature", Carried.SIGNATURE),
    ("application/spdx", Carried.SBOM),
    ("text/spdx", Carried.SBOM),
    ("application/vnd.cyclonedx", Carried.SBOM),
    ("application/vnd.syft", Carried.SBOM),
    ("application/vnd.goharbor.harbor.sbom", Carried.SBOM),
    ("application/vnd.openvex", Carried.VEX),
    ("application/vex", Carried.VEX),
    ("application/csaf", Carried.VEX),
    ("application/sarif", Carried.REPORT),
    ("application/vnd.security.vulnerability.report", Carried.REPORT),
    ("application/vnd.cncf.helm.chart.provenance", Carried.SIGNATURE),
)
"""By how an artifact type, or the type of a layer, begins."""
_PREDICATES: Final = (
    ("https://spdx.dev/document", Carried.SBOM),
    ("https://cyclonedx.org/bom", Carried.SBOM),
    ("https://slsa.dev/provenance", Carried.PROVENANCE),
    ("https://openvex.dev/ns", Carried.VEX),
    ("https://cosign.sigstore.dev/attestation/vuln", Carried.REPORT),
    ("https://sigstore.dev/cosign/sign", Carried.SIGNATURE),
    ("https://in-toto.io/attestation/vulns", Carried.REPORT),
)
"""By how the type of a predicate begins."""


def carried_by_types(types: Iterable[str]) -> Carried:
    """What artifact types and types of layers speak of."""
    return _union(types, _TYPES)


def carried_by_predicates(predicates: Iterable[str]) -> Carried:
    """What the predicates of statements speak of; `OTHER` for one that is not known here."""
    found = Carried.NOTHING
    for predicate in predicates:
        found |= _union([predicate], _PREDICATES) or Carried.OTHER
    return found


def _union(texts: Iterable[str], table: tuple[tuple[str, Carried], ...]) -> Carried:
    found = Carried.NOTHING
    for text in texts:
        for beginning, carried in table:
            if text.lower().startswith(beginning):
                found |= carried
    return found


def is_envelope(media_type: str) -> bool:
    """Whether a layer of this type is a statement, about which a predicate says more."""
    return media_type.lower().startswith(_ENVELOPES)


def judge_image(
    config_type: str, artifact_type: str | None, layer_types: list[str], predicates: list[str]
) -> tuple[Role, Carried]:
    """The role of an image manifest, and what it says about another one.

    `artifact_type` is the body's own; `predicates` are those that its annotations and its layers'
    name.
    """
    declared = [artifact_type or "", config_type]
    carried = carried_by_types([*declared, *layer_types]) | carried_by_predicates(predicates)
    has_statements = any(is_envelope(text) for text in [*declared, *layer_types])
    if has_statements and not carried:
        # A sigstore bundle without a predicate signs; another statement does not say what it is.
        is_bundle = any(text.lower().startswith(_BUNDLE) for text in [*declared, *layer_types])
        carried = Carried.SIGNATURE if is_bundle else Carried.OTHER
    if config_type == CHART_CONFIG:
        return Role.CHART, Carried.NOTHING
    if carried:
        return _ROLES.get(carried, Role.ATTESTATION), carried
    is_image = config_type in CONFIG_TYPES and artifact_type is None
    return (Role.IMAGE if is_image else Role.ARTIFACT), Carried.NOTHING


def names_of(carried: Carried) -> list[str]:
    """The words for what is carried, in a fixed order."""
    return [str(_ROLES.get(flag, "other")) for flag in Carried if flag and flag & carried]
