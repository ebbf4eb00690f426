"""`python -m bench [SERVICES ...] [--docs] [--quick]`: run the benchmarks for meshes of so many services.

Without `--quick` it takes some minutes: most of it is a thousand proxies that connect at once to the largest mesh.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from bench.cold import build_cold
from bench.envoy_memory import weigh
from bench.kinds import measure_kinds
from bench.report import Results, tables, update_docs
from bench.run import measure

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results.json"
DOCS = ROOT / "docs" / "benchmarks.md"
MESHES, QUICK = (100, 1000, 3000), (100,)
WEIGHED, WEIGHED_QUICK = (10, 1000, 5000), (10, 1000)
COLD = (1000, 1000, 500)


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("services", nargs="*", type=int)
    parser.add_argument("--proxies", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="small meshes only")
    parser.add_argument("--docs", action="store_true", help=f"write the tables into {DOCS.name} too")
    given = parser.parse_args()
    sizes = given.services or (QUICK if given.quick else MESHES)
    results = Results()
    for services in sizes:
        _say(f"{services} services: a change of each kind")
        results.kinds[services] = measure_kinds(services)
    _say("cold build")
    results.cold = build_cold(*COLD)
    for services in _weighed(quick=given.quick):
        _say(f"{services} services: the memory of an Envoy")
        results.weights += [weigh(services, scoped=scoped) for scoped in (False, True)]
    for services in sizes:
        _say(f"{services} services, {given.proxies} proxies")
        results.runs.append(measure(services, given.proxies))
    RESULTS.write_text(json.dumps(asdict(results), indent=2) + "\n")
    for table in tables(results).values():
        print(table, end="\n\n")
    if given.docs:
        update_docs(DOCS, results)
    return 0


def _weighed(*, quick: bool) -> tuple[int, ...]:
    if os.geteuid():
        _say("not root: no Envoy is weighed")
        return ()
    return WEIGHED_QUICK if quick else WEIGHED


def _say(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
