"""Results as tables, and those tables in the documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.cold import Cold
from bench.envoy_memory import Weight
from bench.kinds import Cost
from bench.measure import Result
from bench.run import Run

BEGIN, END = "<!-- table {}: written by `python -m bench --docs` -->", "<!-- end of the table -->"

Row = tuple[str, Callable[[Run], str]]


@dataclass(slots=True)
class Results:
    """All that was measured."""

    kinds: dict[int, list[Cost]] = field(default_factory=dict)
    """By the number of services."""
    cold: Cold | None = None
    weights: list[Weight] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)


def tables(results: Results) -> dict[str, str]:
    """The results as Markdown tables by name."""
    return {
        "kinds": _kinds(results.kinds),
        "cold": _cold(results.cold),
        "memory": _weights(results.weights),
        "proxies": _runs(results.runs),
    }


def _kinds(costs: Mapping[int, Sequence[Cost]]) -> str:
    """A line for each change; a cell has one number where it is the same at every size, else one for each size."""
    sizes = " / ".join(f"{size:,}" for size in costs)
    head = ["change", "functions run", "resources encoded", "messages", "resources sent", f"CPU at {sizes} services"]
    lines = [head, ["---", *["---:"] * 5]]
    for row in zip(*costs.values(), strict=True):
        cells = [[one.ran for one in row], [one.encoded for one in row], [one.messages for one in row]]
        cells.append([one.sent for one in row])
        times = " / ".join(f"{one.cpu_ms:.1f}" for one in row)
        lines.append([row[0].title, *(_same(cell) for cell in cells), f"{times} ms"])
    return _markdown(lines)


def _same(values: Sequence[int]) -> str:
    return " / ".join(f"{one:,}" for one in (values[:1] if len(set(values)) == 1 else values))


def _cold(cold: Cold | None) -> str:
    head = ["services", "VirtualServices", "DestinationRules", "functions run", "resources encoded", "CPU"]
    lines = [head, ["---:"] * 6]
    if cold is not None:
        counts = (cold.services, cold.virtual_services, cold.destination_rules, cold.functions, cold.encoded)
        lines.append([*(f"{one:,}" for one in counts), _seconds(cold.cpu_s)])
    return _markdown(lines)


def _weights(weights: Sequence[Weight]) -> str:
    lines = [["services", "scope", "clusters", "anonymous memory", "PSS"], ["---:", "---", "---:", "---:", "---:"]]
    for one in weights:
        scope = "a Sidecar for 5 services" if one.scoped else "the whole mesh"
        sizes = (f"{one.anonymous_mb:.0f} MB", f"{one.pss_mb:.0f} MB")
        lines.append([f"{one.services:,}", scope, f"{one.clusters:,}", *sizes])
    return _markdown(lines)


def _runs(runs: Sequence[Run]) -> str:
    head = ["", *(f"{run.size.services:,} services" for run in runs)]
    lines = [head, ["---", *("---:" for _run in runs)]]
    lines += [[name, *(cell(run) for run in runs)] for name, cell in _rows()]
    return _markdown(lines)


def _markdown(lines: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _rows() -> list[Row]:
    return [
        ("proxies connected (classes)", lambda run: f"{run.size.proxies:,} ({run.size.classes})"),
        ("**cold build**: functions run", lambda run: f"{sum(run.build.ran.values()):,}"),
        ("resources encoded", lambda run: f"{run.build.encoded:,}"),
        ("CPU", lambda run: _seconds(run.build.cpu_s)),
        *_step("**one endpoint changes**", lambda run: run.endpoint),
        *_step("**one VirtualService changes**", lambda run: run.route),
        ("**all proxies connect at once**: resources encoded", lambda run: f"{run.connect.encoded:,}"),
        ("messages; bytes sent", lambda run: f"{run.connect.messages:,}; {_bytes(run.connect.bytes_sent)}"),
        ("CPU of the server", lambda run: _seconds(run.connect.cpu_s)),
        ("time to the last ACK (server and proxies share the machine)", lambda run: _seconds(run.connect.last_ack_s)),
        ("streams that ended before the run did", lambda run: f"{run.reconnects:,}"),
        ("**memory**: configuration only", lambda run: _mb(run.rss_objects_mb)),
        ("everything built, none connected", lambda run: _mb(run.rss_built_mb)),
        ("all connected and in sync", lambda run: _mb(run.rss_connected_mb)),
        ("peak", lambda run: _mb(run.route.rss_peak_mb)),
        ("for all proxies (connected minus none)", lambda run: _mb(run.rss_connected_mb - run.rss_built_mb)),
    ]


def _step(title: str, of: Callable[[Run], Result]) -> list[Row]:
    return [
        (f"{title}: functions run", lambda run: ", ".join(f"{name} {n}" for name, n in sorted(of(run).ran.items()))),
        ("resources encoded", lambda run: f"{of(run).encoded:,}"),
        ("messages; bytes sent", lambda run: f"{of(run).messages:,}; {_bytes(of(run).bytes_sent)}"),
        ("CPU of the server", lambda run: _seconds(of(run).cpu_s)),
        ("time to the last ACK", lambda run: _seconds(of(run).last_ack_s)),
    ]


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _mb(value: float) -> str:
    return f"{value:.0f} MB"


def _bytes(value: int) -> str:
    return f"{value / 1e6:,.1f} MB" if value >= 100_000 else f"{value / 1e3:,.1f} KB"


def update_docs(path: Path, results: Results) -> None:
    """Put the tables between their marks in `path`."""
    text = path.read_text()
    for name, table in tables(results).items():
        begin = BEGIN.format(name)
        before, mark, rest = text.partition(begin)
        assert mark, f"{path} has no place for the table {name}"
        _old, _mark, after = rest.partition(END)
        text = f"{before}{begin}\n\n{table}\n\n{END}{after}"
    path.write_text(text)
