"""`python -m bench [SERVICES ...] [--docs]`: run the benchmark for meshes of so many services."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from bench.report import table, update_docs
from bench.run import measure

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results.json"
DOCS = ROOT / "docs" / "benchmarks.md"


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("services", nargs="*", type=int, default=[100, 1000, 3000])
    parser.add_argument("--proxies", type=int, default=1000)
    parser.add_argument("--docs", action="store_true", help=f"write the table into {DOCS.name} too")
    given = parser.parse_args()
    runs = []
    for services in given.services:
        print(f"{services} services, {given.proxies} proxies ...", file=sys.stderr, flush=True)
        runs.append(measure(services, given.proxies))
        RESULTS.write_text(json.dumps([asdict(one) for one in runs], indent=2) + "\n")
    print(table(runs))
    if given.docs:
        update_docs(DOCS, runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
