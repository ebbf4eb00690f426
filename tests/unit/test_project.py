"""The project's own rules, checked: what every file may and must contain, and that generated pages are current."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
from pathlib import Path

import pytest

from argosy.cli.reference import build_reference

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "argosy"
LINES_MAX = 500

# Modules (or folders) that no unit, property or conformance test imports by name, and where they are tested instead.
TESTED_ELSEWHERE = {
    "api/envoy_filter.py": "tests/fields/envoy_filter.py",
    "api/locality.py": "tests/fields/destination_rule.py",
    "api/ports.py": "tests/fields/destination_rule.py",
    "api/proxy_config.py": "tests/fields/proxy_config.py",
    "api/sidecar.py": "tests/fields/sidecar.py",
    "api/workload.py": "tests/fields/workloads.py",
    "app/connection_guard.py": "tests/e2e/test_authorization.py",
    "app/node.py": "tests/e2e",
    "app/pilot_findings.py": "tests/unit/app/test_pilot.py",
    "app/pods.py": "tests/e2e",
    "app/relay.py": "tests/e2e",
    # Through the front door of their package.
    "cli/authz.py": "tests/e2e/test_authorization.py",
    "cli/columns.py": "tests/unit/cli/test_get.py",
    "edge/galley_port.py": "tests/unit/edge/test_control_api.py",
    "galley/admit.py": "tests/unit/galley",
    "galley/analyze_authorization.py": "tests/analyze/test_warnings.py",
    "galley/analyze_tenancy.py": "tests/analyze/test_warnings.py",
    "galley/validate": "tests/analyze/test_broken.py",
    "incr/cells.py": "tests/unit/incr",
    "xds/server": "tests/conformance/xds",
    # Namespaces, links, processes and sockets: what they do is only true or false on a real machine.
    "edge/kube_proxy.py": "tests/e2e/test_sandbox.py",
    "edge/netlink.py": "tests/e2e/test_sandbox.py",
    "edge/netns.py": "tests/e2e/test_sandbox.py",
    "edge/pod_runner.py": "tests/e2e/test_sandbox.py",
    "edge/probes.py": "tests/e2e/test_sandbox.py",
    # What they build is judged by real Envoys.
    "pilot": "tests/e2e/test_routing.py",
    # The tools of tests and benchmarks.
    "testing": "bench",
}


def tracked(*patterns: str) -> list[Path]:
    """Files of the project, as git sees them; those not yet added too."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for line in done.stdout.splitlines() if (path := ROOT / line).is_file() and not path.is_symlink()]


def modules() -> list[Path]:
    """Every module below `src`."""
    return sorted(path for path in SOURCES.rglob("*.py"))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_module_says_what_it_is() -> None:
    silent = [
        relative(path) for path in modules() if path.read_text() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_no_file_is_longer_than_the_limit() -> None:
    long = [relative(path) for path in tracked("*.py") if len(path.read_text().splitlines()) > LINES_MAX]
    assert long == []


def test_nothing_names_a_machine_or_a_registry() -> None:
    """The words are put together here so that this file does not name them either."""
    hosts = ["py" + "pi.org", "python" + "hosted.org", "registry." + "npmjs", "crates" + ".io"]
    places = ["/" + "work/", "/tmp/" + "brief", "/root" + "/"]
    words = re.compile("|".join(map(re.escape, hosts + places)))
    binary = {".png", ".svg", ".db"}
    texts = [path for path in tracked() if path.suffix not in binary]
    found = [relative(path) for path in texts if words.search(path.read_text(errors="replace"))]
    assert found == []


def test_the_lock_file_has_hashes_and_no_addresses() -> None:
    text = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[a-z0-9._-]+==\S+", text, re.MULTILINE)
    assert len(pins) > 40
    assert len(re.findall(r"==\S+ \\\n    --hash=sha256:", text)) == len(pins)
    assert "://" not in text


def test_every_module_has_its_tests() -> None:
    assert [name for name in untested() if not any(_stands_for(one, name) for one in TESTED_ELSEWHERE)] == []


def untested() -> list[str]:
    """Modules without a test file of their name that no test of the fast kinds imports either."""
    found = []
    for path in modules():
        name = path.relative_to(SOURCES)
        own = ROOT / "tests" / "unit" / name.parent / f"test_{path.name}"
        if path.name != "__init__.py" and not own.exists() and not _is_named_by_tests(path):
            found.append(str(name))
    return found


def _stands_for(exception: str, name: str) -> bool:
    return name == exception or name.startswith(f"{exception}/")


def _is_named_by_tests(path: Path) -> bool:
    """Whether a unit, property or conformance test imports the module."""
    module = ".".join(["argosy", *path.relative_to(SOURCES).with_suffix("").parts])
    return any(module in text for text in _test_texts())


def _test_texts(cache: list[str] = []) -> list[str]:  # noqa: B006 - read once for all modules
    if not cache:
        folders = ("unit", "property", "conformance", "analyze", "bench", "golden")
        cache += [file.read_text() for folder in folders for file in (ROOT / "tests" / folder).rglob("*.py")]
    return cache


@pytest.mark.parametrize("name", sorted(TESTED_ELSEWHERE))
def test_exceptions_name_a_module_and_its_tests(name: str) -> None:
    assert (SOURCES / name).exists()
    assert (ROOT / TESTED_ELSEWHERE[name]).exists()


def test_the_page_of_message_codes_is_current() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "generate_docs.py"))
    assert (ROOT / "docs" / "reference" / "messages.md").read_text() == made["build_page"]()


def test_the_page_of_expressions_is_current() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "expressions_page.py"))
    assert (ROOT / "docs" / "reference" / "expressions.md").read_text() == made["build_page"]()


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in [*tracked("*.md"), *tracked("docs")]:
        if page.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{relative(page)}: {target}")
    assert broken == []


def test_decisions_are_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(re.findall(r"\]\((\d{4}-[^)]+)\)", (folder / "README.md").read_text()))
    assert listed == {path.name for path in folder.glob("[0-9]*.md")}


def test_commands_in_the_readme_exist() -> None:
    used = set(re.findall(r"argosy ([a-z-]+)", (ROOT / "README.md").read_text()))
    known = set(re.findall(r"^### argosy (\S+)", build_reference(), re.MULTILINE))
    assert used - known <= {"on"}, "words that follow the name in a sentence are no commands"
