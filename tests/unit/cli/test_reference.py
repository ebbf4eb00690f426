from pathlib import Path

from argosy.cli.reference import build_reference

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def test_the_reference_page_is_current():
    """Made anew by `python -m argosy.cli.reference > docs/reference/cli.md`."""
    assert PAGE.read_text() == build_reference()
