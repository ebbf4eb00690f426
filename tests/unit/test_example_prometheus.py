"""What Argosy ships for Prometheus and Grafana: whole, current, and alarming when it should."""

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "examples" / "prometheus" / "rules.yml"
DASHBOARDS = sorted((ROOT / "examples" / "grafana").glob("*.json"))


def promtool(*arguments: str) -> str:
    if not shutil.which("promtool"):
        if os.environ.get("CI"):
            pytest.fail("needs promtool")
        pytest.skip("needs promtool")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("make_dashboards", ROOT / "scripts" / "make_dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    assert "SUCCESS" in promtool("check", "config", str(RULES.with_name("prometheus.yml")))


def series(name: str, values: str) -> dict[str, str]:
    return {"series": name, "values": values}


@pytest.mark.parametrize(
    "alert, at, inputs",
    [
        ("ProgramDown", "5m", [series('up{job="mixer"}', "1 1 0x20")]),
        ("MixerLosesReports", "10m", [series("pilot_xds", "8x20"), series("mixer_proxies_reporting", "8 8 5x20")]),
        ("ConfigurationRefused", "5m", [series("pilot_total_xds_rejects", "0 0 3x20")]),
        ("ConfigurationNotBuilt", "5m", [series("pilot_failing_keys", "2x20")]),
        ("RootCertificateExpires", "1m", [series("citadel_server_root_cert_expiry_timestamp", f"{20 * 86400}x20")]),
        ("SigningCertificateExpires", "1m", [series("citadel_server_cert_chain_expiry_timestamp", f"{5 * 86400}x20")]),
        ("HistoryNotWritten", "1m", [series("mixer_history_unsaved_minutes", "9x20")]),
        (
            "ServiceFails",
            "15m",
            [
                series(
                    f'istio_requests_total{{reporter="source", destination_service_name="a", response_code="{code}"}}',
                    add,
                )
                for code, add in (("200", "0+600x30"), ("503", "0+60x30"))
            ],
        ),
        (
            "EgressRefused",
            "15m",
            [
                series(
                    'istio_requests_total{destination_service_name="BlackHoleCluster", source_workload="a"}', "0+6x30"
                )
            ],
        ),
    ],
)
def test_each_alert_fires_on_its_trouble(tmp_path: Path, alert: str, at: str, inputs: list[dict[str, str]]) -> None:
    # promtool compares whole alerts with labels and texts; that this one is there is what is wanted here.
    quiet = [{"eval_time": at, "alertname": alert, "exp_alerts": []}]
    done = judge(tmp_path, inputs, quiet)
    assert done.returncode != 0, f"{alert} does not fire"
    assert f'alertname="{alert}"' in done.stdout + done.stderr


def test_no_alert_fires_when_all_is_well(tmp_path: Path) -> None:
    rules = [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"] if "alert" in rule
    ]
    quiet = [{"eval_time": "30m", "alertname": rule["alert"], "exp_alerts": []} for rule in rules]
    assert len(quiet) > 10
    done = judge(tmp_path, [series(name, values) for name, values in WELL.items()], quiet)
    assert done.returncode == 0, done.stdout + done.stderr


WELL = {
    'up{job="mixer"}': "1x60",
    "argosy_ready": "1x60",
    "pilot_xds": "8x60",
    "mixer_proxies_reporting": "8x60",
    "pilot_total_xds_rejects": "2x60",
    "pilot_failing_keys": "0x60",
    "mixer_series_overflowed_total": "0x60",
    "mixer_history_unsaved_minutes": "1x60",
    "argosy_ca_laggards": "0x60",
    "citadel_server_root_cert_expiry_timestamp": f"{400 * 86400}x60",
    "citadel_server_cert_chain_expiry_timestamp": f"{100 * 86400}x60",
    'istio_requests_total{reporter="source", destination_service_name="a", response_code="200"}': "0+600x60",
}


def judge(folder: Path, inputs: list[dict[str, str]], alerts: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    """What `promtool test rules` says of series and of the alerts that they are to give."""
    promtool("check", "rules", str(RULES))
    (folder / "rules.yml").write_text(RULES.read_text())
    case = {"interval": "1m", "input_series": inputs, "alert_rule_test": alerts}
    (folder / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [case]}))
    return subprocess.run(["promtool", "test", "rules", str(folder / "tests.yml")], capture_output=True, text=True)


def test_the_dashboards_are_what_the_script_writes() -> None:
    made = dict(generator().dashboards())
    assert {path.name: path.read_text() for path in DASHBOARDS} == made, "run scripts/make_dashboards.py"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_has_what_grafana_needs(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["schemaVersion"] >= 36
    assert board["uid"]
    assert board["title"]
    variables = {one["name"] for one in board["templating"]["list"]}
    assert "datasource" in variables
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert panel["type"] in ("timeseries", "stat", "table")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells, "panels do not lie on each other"
        cells |= own
        references = [target["refId"] for target in panel["targets"]]
        assert references
        assert len(references) == len(set(references))
        for target in panel["targets"]:
            used = {part.split('"')[0].split("]")[0].split(")")[0] for part in target["expr"].split("$")[1:]}
            assert used <= variables | {"__rate_interval"}
