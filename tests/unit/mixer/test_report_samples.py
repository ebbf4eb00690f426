"""Istio 1.4's own telemetry files, and ours of its defaults: every rule reports, and nothing is wrong with any."""

from pathlib import Path

import pytest

from argosy.mixer.rules import resolve_rules

from .reports import deliveries, inbound, objects, outbound, policy

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT.parent / "shared" / "corpus" / "istio-1.4-samples"
FILES = (
    *(f"bookinfo/telemetry/{name}{form}.yaml" for name in ("metrics", "log-entry", "tcp-metrics", "fluentd-istio")
      for form in ("", "-crd")),
    "bookinfo/policy/mixer-rule-kubernetesenv-telemetry.yaml",
    "bookinfo/platform/kube/rbac/rbac-permissive-telemetry.yaml",
    "sleep/telemetry/sni-logging.yaml",
)  # fmt: skip


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="Istio's samples are not beside the project")
@pytest.mark.parametrize("file", FILES)
def test_every_rule_of_istios_files_is_understood(file: str) -> None:
    text = (SAMPLES / file).read_text()
    found = policy(text)
    assert found.findings == ()
    assert resolve_rules(objects(text)).findings == ()
    assert len(found.rules) == text.count("kind: rule")


@pytest.mark.parametrize("file, values", [("metrics-1.4.yaml", 4), ("access-log-1.4.yaml", 1)])
def test_our_files_of_the_defaults_report_requests_of_both_sides(file: str, values: int) -> None:
    found = policy((ROOT / "examples" / "mixer" / file).read_text())
    assert found.findings == ()
    assert [len(deliveries(found, record)) for record in (inbound(), outbound())] == [values, values]
