"""Writes the Grafana dashboards in examples/grafana: `python scripts/make_dashboards.py`.

Plain JSON of Grafana's dashboard schema 39, which 10 and later read. Queries use Istio's metric names and labels; a
test runs each of them in a real Prometheus and holds the files against this.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "grafana"
SCHEMA = 39
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "[$__rate_interval]"
ANY_TRAFFIC = '{__name__=~"istio_requests_total|istio_tcp_connections_opened_total"}'
BY_WORKLOAD = "destination_workload, destination_workload_namespace"

Panel = dict[str, Any]


def panel(title: str, *queries: tuple[str, str], unit: str = "reqps", kind: str = "timeseries", wide: int = 8) -> Panel:
    """A panel of (expression, legend) pairs; where it stands is set by `dashboard`. A table is made by `table`."""
    instant = kind == "stat"
    targets = [
        {
            "datasource": SOURCE,
            "refId": chr(ord("A") + n),
            "expr": expression,
            "legendFormat": legend,
            "instant": instant,
            "range": not instant,
        }
        for n, (expression, legend) in enumerate(queries)
    ]
    options: dict[str, Any] = {
        "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "stat": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "graphMode": "area"},
    }[kind]
    return {
        "title": title,
        "type": kind,
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": options,
        "gridPos": {"h": 4 if kind == "stat" else 8, "w": wide},
    }


def table(title: str, *columns: tuple[str, str, str]) -> Panel:
    """A table of (expression, head, unit), a column for each and a row for each set of labels."""
    made = panel(title, *((expression, head) for expression, head, _unit in columns), unit="short", wide=24)
    for target in made["targets"]:
        target.update(format="table", instant=True, range=False)
    # Grafana calls the values of query A `Value #A`.
    overrides = [
        {
            "matcher": {"id": "byName", "options": f"Value #{target['refId']}"},
            "properties": [{"id": "displayName", "value": head}, {"id": "unit", "value": unit}],
        }
        for target, (_expression, head, unit) in zip(made["targets"], columns, strict=True)
    ]
    return {
        **made,
        "type": "table",
        "fieldConfig": {"defaults": {"unit": "short"}, "overrides": overrides},
        "options": {"showHeader": True},
        "transformations": [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}}},
        ],
    }


def dashboard(
    uid: str, title: str, panels: list[Panel], variables: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """A dashboard: panels in rows, left to right, each as wide as it says, of 24."""
    x = y = height = 0
    placed = []
    for number, one in enumerate(panels, start=1):
        size = one["gridPos"]
        if x + size["w"] > 24:
            x, y, height = 0, y + height, 0
        placed.append({**one, "id": number, "gridPos": {**size, "x": x, "y": y}})
        x, height = x + size["w"], max(height, size["h"])
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}
    return {
        "uid": uid,
        "title": title,
        "tags": ["argosy", "istio"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "title": "Argosy", "tags": ["argosy"], "asDropdown": True}],
        "templating": {"list": [source, *(variables or [])]},
        "panels": placed,
    }


def variable(name: str, label: str, query: str, regex: str = "") -> dict[str, Any]:
    """A choice of a label's values; `regex` takes them out of what a `query_result` gives."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "regex": regex,
        "refresh": 2,
        "sort": 1,
        "includeAll": False,
        "multi": False,
        "hide": 0,
    }


def either_end(label: str, where: str = "") -> str:
    """The values of a label of callers and of those who are called: who only calls is somebody, too."""
    ends = []
    for end in ("source", "destination"):
        series = ANY_TRAFFIC.replace("}", f", {end}{where}}}") if where else ANY_TRAFFIC
        ends.append(f"sum by ({end}_{label}) ({series})")
    return f"query_result({' or '.join(ends)})"


def requests(where: str, by: str = "") -> str:
    """Requests a second."""
    return f"sum{f' by ({by})' if by else ''} (rate(istio_requests_total{{{where}}}{RATE}))"


def share(where: str, those: str, by: str = "") -> str:
    """The share of requests that also match `those`; 0 while there are none of them."""
    whole = requests(where, by)
    return f"({requests(f'{where}, {those}', by)} or {whole} * 0) / {whole}"


def quantile(share_: float, where: str, by: str = "", metric: str = "istio_request_duration_milliseconds") -> str:
    """A quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share_}, sum by ({labels}) (rate({metric}_bucket{{{where}}}{RATE})))"


def tcp(direction: str, where: str, by: str = "") -> str:
    """Bytes a second of TCP."""
    return f"sum{f' by ({by})' if by else ''} (rate(istio_tcp_{direction}_bytes_total{{{where}}}{RATE}))"


def connections(where: str) -> list[Panel]:
    """What TCP carries and how many connections come and go; 0 where all is HTTP."""
    opened, closed = (
        f"sum(rate(istio_tcp_connections_{what}_total{{{where}}}{RATE}))" for what in ("opened", "closed")
    )
    return [
        panel(
            "TCP, bytes",
            (f"{tcp('sent', where)} or vector(0)", "sent to clients"),
            (f"{tcp('received', where)} or vector(0)", "received from clients"),
            unit="Bps",
        ),
        panel(
            "TCP, connections",
            (f"{opened} or vector(0)", "opened"),
            (f"{closed} or vector(0)", "closed"),
            unit="cps",
        ),
    ]


def quantiles(
    title: str, where: str, *, metric: str = "istio_request_duration_milliseconds", unit: str = "ms"
) -> Panel:
    """Median, p90 and p99 in one panel."""
    shares = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))
    return panel(title, *((quantile(one, where, metric=metric), name) for one, name in shares), unit=unit)


FAILED = 'response_code=~"5..|0"'
REFUSED = 'response_code=~"4.."'


def mesh() -> dict[str, Any]:
    """All of the mesh."""
    # The caller's report: it also knows of what never arrived. Callers without a sidecar are reported by the receiver.
    source = 'reporter="source"'
    rows = [
        panel("Requests", (requests(source), ""), kind="stat", wide=4),
        panel("Success", (f"1 - ({share(source, FAILED)})", ""), unit="percentunit", kind="stat", wide=4),
        panel(
            "Failed (5xx)", (f"{requests(f'{source}, {FAILED}')} or {requests(source)} * 0", ""), kind="stat", wide=4
        ),
        panel(
            "Refused (4xx)", (f"{requests(f'{source}, {REFUSED}')} or {requests(source)} * 0", ""), kind="stat", wide=4
        ),
        panel(
            "Under mutual TLS",
            (share('reporter="destination"', 'connection_security_policy="mutual_tls"'), ""),
            unit="percentunit",
            kind="stat",
            wide=4,
        ),
        panel("Proxies", ("sum(pilot_xds)", ""), unit="short", kind="stat", wide=4),
        panel("Requests by service", (requests(source, "destination_service_name"), "{{destination_service_name}}")),
        panel(
            "Failures by service",
            (share(source, FAILED, "destination_service_name"), "{{destination_service_name}}"),
            unit="percentunit",
        ),
        panel(
            "p99 by service",
            (quantile(0.99, source, "destination_service_name"), "{{destination_service_name}}"),
            unit="ms",
        ),
        panel(
            "TCP",
            (tcp("sent", 'reporter="destination"'), "sent"),
            (tcp("received", 'reporter="destination"'), "received"),
            unit="Bps",
        ),
        panel(
            "To hosts that nobody declares",
            (
                requests(
                    f'{source}, destination_service_name=~"PassthroughCluster|BlackHoleCluster"',
                    "source_workload, destination_service_name",
                ),
                "{{source_workload}} {{destination_service_name}}",
            ),
        ),
        panel(
            "Plaintext",
            (
                requests(
                    'reporter="destination", connection_security_policy="none"', f"source_workload, {BY_WORKLOAD}"
                ),
                "{{source_workload}} to {{destination_workload}}",
            ),
        ),
        table(
            "Workloads",
            (requests(source, BY_WORKLOAD), "requests", "reqps"),
            (share(source, FAILED, BY_WORKLOAD), "failed", "percentunit"),
            (quantile(0.5, source, BY_WORKLOAD), "p50", "ms"),
            (quantile(0.99, source, BY_WORKLOAD), "p99", "ms"),
        ),
    ]
    return dashboard("argosy-mesh", "Argosy Mesh", rows)


def service() -> dict[str, Any]:
    """One service: from its callers' side and from its own."""
    called = 'destination_service="$service"'
    client, server = f'reporter="source", {called}', f'reporter="destination", {called}'
    rows = [
        panel("Requests, by callers", (requests(client), ""), kind="stat", wide=6),
        panel("Success, by callers", (f"1 - ({share(client, FAILED)})", ""), unit="percentunit", kind="stat", wide=6),
        panel("Requests, by the service", (requests(server), ""), kind="stat", wide=6),
        panel(
            "Success, by the service", (f"1 - ({share(server, FAILED)})", ""), unit="percentunit", kind="stat", wide=6
        ),
        panel(
            "By caller and answer",
            (
                requests(client, "source_workload, source_workload_namespace, response_code"),
                "{{source_workload}}.{{source_workload_namespace}} {{response_code}}",
            ),
        ),
        panel(
            "By version",
            (
                requests(server, "destination_workload, destination_version"),
                "{{destination_workload}} {{destination_version}}",
            ),
        ),
        panel(
            "Failures by caller",
            (share(client, FAILED, "source_workload"), "{{source_workload}}"),
            unit="percentunit",
        ),
        quantiles("Duration, by callers", client),
        quantiles("Duration, by the service", server),
        panel("p99 by version", (quantile(0.99, server, "destination_version"), "{{destination_version}}"), unit="ms"),
        quantiles("Bodies of requests", server, metric="istio_request_bytes", unit="bytes"),
        quantiles("Bodies of responses", server, metric="istio_response_bytes", unit="bytes"),
        panel(
            "Flags of responses",
            (requests(client, "response_flags"), "{{response_flags}}"),
        ),
        *connections(server),
    ]
    choice = variable("service", "Service", f"label_values({ANY_TRAFFIC}, destination_service)")
    return dashboard("argosy-service", "Argosy Service", rows, [choice])


def workload() -> dict[str, Any]:
    """One workload: what comes in and what goes out."""
    into = 'reporter="destination", destination_workload="$workload", destination_workload_namespace="$namespace"'
    out = 'reporter="source", source_workload="$workload", source_workload_namespace="$namespace"'
    target = "destination_service_name, response_code"
    rows = [
        panel("Requests in", (requests(into), ""), kind="stat", wide=6),
        panel("Success in", (f"1 - ({share(into, FAILED)})", ""), unit="percentunit", kind="stat", wide=6),
        panel("Requests out", (requests(out), ""), kind="stat", wide=6),
        panel("Success out", (f"1 - ({share(out, FAILED)})", ""), unit="percentunit", kind="stat", wide=6),
        panel(
            "In, by caller",
            (requests(into, "source_workload, response_code"), "{{source_workload}} {{response_code}}"),
        ),
        quantiles("Duration in", into),
        panel(
            "In, by security",
            (
                requests(into, "source_workload, connection_security_policy"),
                "{{source_workload}} {{connection_security_policy}}",
            ),
        ),
        panel("Out, by service", (requests(out, target), "{{destination_service_name}} {{response_code}}")),
        quantiles("Duration out", out),
        panel(
            "p99 out, by service",
            (quantile(0.99, out, "destination_service_name"), "{{destination_service_name}}"),
            unit="ms",
        ),
        *connections(into),
    ]
    choices = [
        variable("namespace", "Namespace", either_end("workload_namespace"), '/namespace="([^"]+)"/'),
        variable(
            "workload", "Workload", either_end("workload", '_workload_namespace="$namespace"'), '/workload="([^"]+)"/'
        ),
    ]
    return dashboard("argosy-workload", "Argosy Workload", rows, choices)


def control_plane() -> dict[str, Any]:
    """Galley, Pilot, Citadel and Mixer."""

    def rate(metric: str) -> str:
        return f"sum (rate({metric}{RATE}))"

    rows = [
        panel("Ready", ("min(argosy_ready)", ""), unit="bool_yes_no", kind="stat", wide=4),
        panel("Proxies", ("sum(pilot_xds)", ""), unit="short", kind="stat", wide=4),
        panel("Report to Mixer", ("sum(mixer_proxies_reporting)", ""), unit="short", kind="stat", wide=4),
        panel("Cannot be built", ("sum(pilot_failing_keys)", ""), unit="short", kind="stat", wide=4),
        panel(
            "Root certificate ends in",
            ("min(citadel_server_root_cert_expiry_timestamp) - time()", ""),
            unit="s",
            kind="stat",
            wide=4,
        ),
        panel(
            "Signing certificate ends in",
            ("min(citadel_server_cert_chain_expiry_timestamp) - time()", ""),
            unit="s",
            kind="stat",
            wide=4,
        ),
        panel("Up", ('up{job=~"argosy|galley|pilot|citadel|mixer"}', "{{job}}"), unit="bool_yes_no"),
        panel(
            "Pilot: responses",
            (rate("pilot_xds_pushes_total"), "sent"),
            (rate("pilot_total_xds_rejects"), "refused"),
            unit="ops",
        ),
        panel("Pilot: bytes", (rate("pilot_xds_push_bytes_total"), "sent"), unit="Bps"),
        panel("Pilot: commits", (rate("pilot_commits_total"), "commits"), unit="ops"),
        panel(
            "Citadel: certificates",
            (rate("citadel_server_csr_count"), "asked for"),
            (rate("citadel_server_success_cert_issuance_count"), "issued"),
            unit="ops",
        ),
        panel(
            "Citadel: refusals",
            (rate("citadel_server_authentication_failure_count"), "no proof"),
            (rate("citadel_server_id_extraction_err_count"), "asked for another's"),
            ("sum(argosy_ca_laggards)", "holders behind"),
            unit="short",
        ),
        panel(
            "Mixer: series",
            ("sum(mixer_series)", "series"),
            ("sum(mixer_nodes)", "proxies remembered"),
            (rate("mixer_series_overflowed_total"), "overflow/s"),
            unit="short",
        ),
        panel(
            "Mixer: checks", (rate("mixer_checks_total"), "asked"), (rate("mixer_denials_total"), "denied"), unit="ops"
        ),
        panel("Calls refused because of who called", (rate("argosy_denied_calls_total"), "refused"), unit="ops"),
        panel("History: minutes not written", ("sum(mixer_history_unsaved_minutes)", "minutes"), unit="short"),
    ]
    return dashboard("argosy-control-plane", "Argosy Control Plane", rows)


def dashboards() -> Iterator[tuple[str, str]]:
    """Each file's name and text."""
    for name, made in (
        ("mesh", mesh()),
        ("service", service()),
        ("workload", workload()),
        ("control-plane", control_plane()),
    ):
        yield f"{name}.json", json.dumps(made, indent=2) + "\n"


def main() -> int:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in dashboards():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
