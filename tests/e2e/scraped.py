"""Whoever scrapes a mesh all the time: does anything that was told ever fall?"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
from tests.e2e.harness import Mesh


@dataclass
class Seen:
    """`falls`: series that fell from one scrape that had them to the next one that had them, counters and histograms of
    Istio alike. `phases`: whether there were any, a value for each time that this changed."""

    falls: list[str] = field(default_factory=list)
    phases: list[bool] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)

    def take(self, page: str) -> None:
        """One scrape."""
        told = [line.rpartition(" ") for line in page.splitlines() if line.startswith("istio_")]
        if not self.phases or self.phases[-1] != bool(told):
            self.phases.append(bool(told))
        for series, _, text in told:
            if float(text) < self.last.get(series, 0.0):
                self.falls.append(f"{self.last[series]} {text} {series}")
            self.last[series] = float(text)


@contextlib.contextmanager
def scraped(mesh: Mesh) -> Iterator[Seen]:
    """Scrapes all the time. A page that is not answered is no scrape."""
    seen, errors, done = Seen(), list[Exception](), threading.Event()

    def scrape() -> None:
        try:
            while not done.wait(0.2):
                with contextlib.suppress(httpx.HTTPError):
                    page = httpx.get(f"{mesh.console}metrics", timeout=30)
                    if page.status_code == 200:
                        seen.take(page.text)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
    assert errors == []


def is_told(mesh: Mesh) -> bool:
    """True if Istio's metrics are on the page."""
    with contextlib.suppress(httpx.HTTPError):
        return mesh.count("mixer_metrics_ready") == 1
    return False
