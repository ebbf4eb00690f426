"""Write `docs/reference/messages.md` from the list of message codes, or check with `--check` that it is current."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from argosy.citadel.errors import Code

ROOT = Path(__file__).parents[1]
MESSAGES = ROOT / "src" / "argosy" / "galley" / "messages.yaml"
PAGE = ROOT / "docs" / "reference" / "messages.md"
GROUPS = {
    "ARG00": "Reading a document",
    "ARG01": "Meaning of one object",
    "ARG02": "How objects fit together",
    "ARG03": "Changing the configuration",
    "ARG05": "Building and serving it",
    "ARG06": "Pods, the machine, starting and stopping",
    "ARG07": "Command line and control API",
    "ARG09": "Telemetry and checks",
}
HEAD = """# Message codes

Generated from `src/argosy/galley/messages.yaml` by `make docs`. A finding reads `level CODE: message`, with
`file:line`, the object and the field where there are any, and a hint. Codes are stable and never re-used.
"""


def build_page() -> str:
    """The page's text."""
    messages = yaml.safe_load(MESSAGES.read_text())
    parts = [HEAD]
    for prefix, title in GROUPS.items():
        rows = [m for m in messages if m["code"].startswith(prefix)]
        parts += [f"\n## {title}\n", "| code | level | what | what to do |", "|---|---|---|---|"]
        parts += [f"| {m['code']} | {m['level']} | {_cell(m['title'])} | {_cell(m['help'])} |" for m in rows]
    parts += ["\n## Citadel\n", "Reasons in Citadel's log and in errors of CA files; a caller is told less.\n"]
    parts += ["| code | reason |", "|---|---|"]
    parts += [f"| {code.value} | {code.name.replace('_', ' ').lower()} |" for code in Code]
    return "\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write the page, or compare."""
    text = build_page()
    if "--check" not in sys.argv:
        PAGE.write_text(text)
        sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]
        from expressions_page import build_page as build_expressions
        from tests.fields.table import build_page as build_fields

        (PAGE.parent / "fields.md").write_text(build_fields())
        (PAGE.parent / "expressions.md").write_text(build_expressions())
        return 0
    if PAGE.read_text() == text:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is not current: run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
