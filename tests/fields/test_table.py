"""No field of the networking and security API is unspoken of: each is shown to work, or refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.fields.table import KINDS, NETWORKING, Table, build_page

ROOT = Path(__file__).parents[2]
FIELDS = ROOT.parent / "shared" / "reference" / "fields.json"
PAGE = ROOT / "docs" / "reference" / "fields.md"


def test_every_field_works_or_is_refused() -> None:
    """The list of fields is kept in the repository; whether it is whole, the next test says."""
    assert Table().missing() == []


def test_the_list_of_fields_is_istios() -> None:
    if not FIELDS.is_file():
        pytest.skip("the list of Istio's fields, ../shared/reference/fields.json, is not here")
    theirs = json.loads(FIELDS.read_text())
    wanted = {kind: sorted(one["path"] for one in theirs[kind]["fields"]) for kind in KINDS}
    assert wanted == {kind: sorted(Table().fields[kind]) for kind in KINDS}


def test_at_least_95_of_100_fields_work() -> None:
    table = Table()
    works = sum(table.state(kind, path)[0] == "works" for kind in NETWORKING for path in table.fields[kind])
    total = sum(len(table.fields[kind]) for kind in NETWORKING)
    assert works / total >= 0.95, f"{works} of {total}"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == build_page(), "run `make docs`"
