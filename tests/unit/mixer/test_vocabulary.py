"""The attributes that may be used: the 90 standard ones and what manifests add."""

from tests.unit.mixer.mesh import objects

from argosy.core.errors import Level
from argosy.mixer.attributes import VOCABULARY, ValueType
from argosy.mixer.rules import resolve_rules
from argosy.mixer.vocabulary import resolve_vocabulary

# Istio 1.4's manifests `istioproxy` and `kubernetes`.
COUNTS = {"STRING": 58, "STRING_MAP": 8, "INT64": 11, "IP_ADDRESS": 3, "TIMESTAMP": 4, "DURATION": 2, "BOOL": 4}
NOT_IN_MANIFESTS = {"destination.container.image"}

MANIFEST = """
apiVersion: config.istio.io/v1alpha2
kind: attributemanifest
metadata: {name: MINE, namespace: istio-system}
spec:
  attributes:
"""


def manifest(name: str, *attributes: str) -> str:
    """A manifest with attributes, each `name TYPE`."""
    lines = [f"    {one.split()[0]}: {{valueType: {one.split()[1]}}}\n" for one in attributes]
    return MANIFEST.replace("MINE", name) + "".join(lines)


def test_the_standard_vocabulary_is_istios() -> None:
    standard = {name: kind for name, kind in VOCABULARY.items() if name not in NOT_IN_MANIFESTS}
    assert len(standard) == 90
    found: dict[str, int] = {}
    for kind in standard.values():
        found[kind] = found.get(kind, 0) + 1
    assert found == COUNTS


def test_without_manifests_the_vocabulary_is_the_standard_one() -> None:
    assert resolve_vocabulary([]).types is VOCABULARY


def test_a_manifest_adds_attributes() -> None:
    made = resolve_vocabulary(
        objects(manifest("mine", "user.tier STRING", "user.host DNS_NAME", "source.ip IP_ADDRESS"))
    )
    assert made.findings == ()
    assert dict(made.types) == {**VOCABULARY, "user.tier": ValueType.STRING, "user.host": ValueType.DNS_NAME}


def test_a_standard_attribute_keeps_its_type() -> None:
    made = resolve_vocabulary(objects(manifest("mine", "source.ip STRING")))
    assert made.types["source.ip"] is ValueType.IP_ADDRESS
    [finding] = made.findings
    assert (finding.code, finding.level, finding.field) == (
        "ARG0914", Level.ERROR, "spec.attributes.source.ip.valueType",
    )  # fmt: skip
    assert finding.message == "attribute source.ip is STRING here, and IP_ADDRESS in the standard vocabulary"


def test_two_manifests_that_disagree_are_both_named() -> None:
    made = resolve_vocabulary(objects(manifest("b", "user.tier INT64") + "---" + manifest("a", "user.tier STRING")))
    assert made.types["user.tier"] is ValueType.STRING
    [finding] = made.findings
    assert (finding.namespace, finding.name) == ("istio-system", "b")
    assert finding.message == "attribute user.tier is INT64 here, and STRING in attributemanifest istio-system/a"


def test_rules_use_what_a_manifest_adds() -> None:
    rule = """
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: r, namespace: istio-system}
spec: {match: 'user.tier == "gold"', actions: [{handler: h.denier, instances: [i.checknothing]}]}
---
apiVersion: config.istio.io/v1alpha2
kind: denier
metadata: {name: h, namespace: istio-system}
spec: {}
---
apiVersion: config.istio.io/v1alpha2
kind: checknothing
metadata: {name: i, namespace: istio-system}
spec: {}
"""
    without = resolve_rules(objects(rule))
    assert [finding.code for finding in without.findings] == ["ARG0911"]
    known = resolve_rules(objects(rule + "---" + manifest("mine", "user.tier STRING")))
    assert (len(known.rules), known.findings) == (1, ())
