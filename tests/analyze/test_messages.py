"""The list of message codes is complete, unique, and every code has an example."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "argosy"
MESSAGES = yaml.safe_load((SOURCES / "galley" / "messages.yaml").read_text())
CODES = [message["code"] for message in MESSAGES]


def _codes_in(files: list[Path]) -> set[str]:
    return {code for file in files for code in re.findall(r"ARG\d{4}", file.read_text())}


def test_codes_are_unique_and_sorted() -> None:
    assert sorted(set(CODES)) == CODES


def test_every_code_is_used_and_every_used_code_is_listed() -> None:
    assert _codes_in(list(SOURCES.rglob("*.py"))) == set(CODES)


def test_every_message_says_what_to_do() -> None:
    assert all(m["level"] in ("error", "warning", "info") and m["title"] and m["help"] for m in MESSAGES)


def test_every_code_has_an_example_that_yields_it() -> None:
    own = [*(ROOT / "tests" / "analyze").rglob("*.yaml"), *(ROOT / "tests" / "unit" / "edge").glob("test_*.py")]
    own += [
        *(ROOT / "tests" / "unit" / "api").glob("test_*.py"),
        *(ROOT / "tests" / "unit" / "galley").glob("test_*.py"),
    ]
    about_objects = {code for code in CODES if code < "ARG05"}
    assert about_objects <= _codes_in(own)
