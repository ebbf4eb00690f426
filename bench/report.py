"""Results as a table, and that table in the documentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.measure import Result
from bench.run import Run

BEGIN, END = "<!-- benchmark table: written by `make bench` with --docs -->", "<!-- end of the table -->"

Row = tuple[str, Callable[[Run], str]]


def table(runs: Sequence[Run]) -> str:
    """The results as a Markdown table: a column for each size."""
    head = ["", *(f"{run.size.services:,} services" for run in runs)]
    lines = [head, ["---", *("---:" for _run in runs)]]
    lines += [[name, *(cell(run) for run in runs)] for name, cell in _rows()]
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


def update_docs(path: Path, runs: Sequence[Run]) -> None:
    """Put the table between its marks in `path`."""
    text = path.read_text()
    before, _mark, rest = text.partition(BEGIN)
    _old, _mark, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{table(runs)}\n\n{END}{after}")
