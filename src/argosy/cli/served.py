"""What workloads serve, as a table: requests, errors and latency, as `argosy metrics WORKLOAD` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from argosy.cli.shell import Output, control, say

HEADERS = ("WORKLOAD", "REQUESTS", "ERRORS", "P50", "P90", "P99")


def show_served(names: Sequence[str], namespace: str, *, window_s: int, output: Output) -> None:
    """The rows of these workloads; of those without requests it is said, with what may have been meant."""
    from argosy.cli.output import print_json, print_table

    wanted = list(dict.fromkeys(name.rpartition("/")[2] for name in names))
    found = control().get("graph/served", window=window_s)["workloads"]
    rows = {row["workload"]: row for row in found if row["namespace"] == namespace and row["workload"] in wanted}
    shown = [rows[name] for name in wanted if name in rows]
    if output is Output.JSON:
        print_json(shown)
    elif shown:
        print_table(HEADERS, [_cells(row) for row in shown], empty="")
    for name in wanted:
        if name not in rows:
            say(f"no requests to {namespace}/{name} in the last {window_s} s{_meant(name, namespace)}")


def _meant(name: str, namespace: str) -> str:
    from argosy.cli.pods import list_pods
    from argosy.cli.tap_lines import nobody
    from argosy.core.errors import ArgosyError

    try:
        told = nobody(list_pods(), namespace, [name])
    except ArgosyError:  # the agent is away
        return ""
    return f"; {told}" if told else ""


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    latencies = (row[share] for share in ("p50_ms", "p90_ms", "p99_ms"))
    return (
        row["workload"],
        f"{row['rps']:.2f}/s",
        f"{row['errors_ps']:.2f}/s",
        *("-" if one is None else f"{one:.1f} ms" if one < 10 else f"{one:.0f} ms" for one in latencies),
    )
