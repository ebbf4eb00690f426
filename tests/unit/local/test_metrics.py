"""How a pod is scraped, by its annotations and its proxy's metadata."""

from __future__ import annotations

import pytest

from argosy.agent.pod import Metrics
from argosy.api.kubernetes import Container, PodSpec, VolumeMount
from argosy.local.metrics import pod_metrics

MOUNTED = PodSpec(
    containers=(
        Container(name="app", volume_mounts=(VolumeMount(name="certs", mount_path="/etc/prom-certs"),)),
        Container(name="other", volume_mounts=(VolumeMount(name="data", mount_path="/data"),)),
    )
)
OUTPUT = {"OUTPUT_CERTS": "/etc/out"}


def read(annotations: dict[str, str], *, merge: bool = True, **environment: str) -> Metrics:
    made, findings = pod_metrics(PodSpec(), annotations, environment, merge=merge)
    assert findings == ()
    return made


def test_without_a_word_the_proxy_tells_its_own() -> None:
    assert read({}) == Metrics()
    assert read({}, merge=False) == Metrics(merged=False)


def test_annotations_name_the_applications_page() -> None:
    given = {"prometheus.io/scrape": "true", "prometheus.io/port": "8000", "prometheus.io/path": "/own"}
    assert read(given) == Metrics(port=8000, path="/own")
    assert read({"prometheus.io/scrape": "true"}) == Metrics(port=80)
    assert read({**given, "prometheus.io/scrape": "false"}) == Metrics(offered=False, path="/own")
    assert read({**given, "prometheus.istio.io/merge-metrics": "false"}) == Metrics(
        port=8000, path="/own", merged=False
    )
    assert read({**given, "prometheus.io/port": "15020"}).port == 0
    assert read({"argosy.io/scrape-targets": "true"}).targets


def test_the_proxys_metadata_harden_it() -> None:
    made = read(
        {},
        ENVOY_SECURE_METRICS_PORT="15091",
        ENVOY_SECURE_MERGED_METRICS_PORT="15092",
        METRICS_LOCALHOST_ACCESS_ONLY="true",
    )
    assert made == Metrics(secure_port=15091, secure_merged_port=15092, local_only=True)
    assert made.secure_ports == (15091, 15092)


@pytest.mark.parametrize(
    "mounts, wanted",
    [
        ('[{"name": "certs", "mountPath": "/etc/out"}]', "/etc/prom-certs"),
        ('{"certs": {"mountPath": "/etc/out/"}}', "/etc/prom-certs"),
        ('[{"name": "data", "mountPath": "/elsewhere"}]', "/etc/out"),
        ("", "/etc/out"),
        ("no JSON", "/etc/out"),
        ('"text"', "/etc/out"),
        ("[1]", "/etc/out"),
    ],
)
def test_the_application_sees_certificates_where_it_mounts_the_proxys_volume(mounts: str, wanted: str) -> None:
    made, _ = pod_metrics(MOUNTED, {"sidecar.istio.io/userVolumeMount": mounts}, OUTPUT, merge=True)
    assert made.certificates == (wanted,)


@pytest.mark.parametrize(
    "annotations, environment, name",
    [
        ({"prometheus.io/scrape": "maybe"}, {}, "prometheus.io/scrape"),
        ({"prometheus.io/scrape": "true", "prometheus.io/port": "web"}, {}, "prometheus.io/port"),
        ({"prometheus.io/path": "own"}, {}, "prometheus.io/path"),
        ({}, {"ENVOY_SECURE_METRICS_PORT": "x"}, "ENVOY_SECURE_METRICS_PORT"),
        ({}, {"ENVOY_SECURE_METRICS_PORT": "15090"}, "ENVOY_SECURE_METRICS_PORT"),
        (
            {},
            {"ENVOY_SECURE_METRICS_PORT": "15091", "ENVOY_SECURE_MERGED_METRICS_PORT": "15091"},
            "ENVOY_SECURE_MERGED_METRICS_PORT",
        ),
        ({}, {"METRICS_LOCALHOST_ACCESS_ONLY": "perhaps"}, "METRICS_LOCALHOST_ACCESS_ONLY"),
        ({}, {"OUTPUT_CERTS": "certs"}, "OUTPUT_CERTS"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_name(
    annotations: dict[str, str], environment: dict[str, str], name: str
) -> None:
    _, findings = pod_metrics(PodSpec(), annotations, environment, merge=True)
    assert [(one.code, one.message.partition(":")[0]) for one in findings] == [("ARG0601", name)]
