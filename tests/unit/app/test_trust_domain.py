"""Which trust domain a mesh starts with."""

from pathlib import Path

import pytest

from argosy.api import parse_documents
from argosy.app.trust_domain import choose_trust_domain
from argosy.core.errors import ArgosyError
from argosy.edge.store_sqlite import DATABASE_FILE, SQLiteStore
from argosy.galley.state import Galley

CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "trustDomain: NAME"}
"""


def file(folder: Path, name: str) -> str:
    path = folder / "mesh.yaml"
    path.write_text(CONFIG.replace("NAME", name))
    return str(path)


def store(home: Path, name: str) -> None:
    kept = SQLiteStore(home / DATABASE_FILE)
    Galley(kept).apply(parse_documents(CONFIG.replace("NAME", name)), now=0.0, who="test")
    kept.close()


def test_without_a_word_it_is_istios_default(tmp_path: Path) -> None:
    assert choose_trust_domain("", [], tmp_path) == "cluster.local"


def test_the_option_goes_before_the_files_and_these_before_what_is_stored(tmp_path: Path) -> None:
    store(tmp_path, "stored")
    given = file(tmp_path, "written")
    assert choose_trust_domain("", [], tmp_path) == "stored"
    assert choose_trust_domain("", [given], tmp_path) == "written"
    assert choose_trust_domain("said", [given], tmp_path) == "said"


def test_a_configuration_that_says_nothing_of_it_decides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text(CONFIG.replace("trustDomain: NAME", "connectTimeout: 3s"))
    assert choose_trust_domain("", [str(path)], tmp_path) == "cluster.local"


@pytest.mark.parametrize("name", ["Example.org", "a/b", "[::1]", "x" * 256])
def test_what_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArgosyError) as caught:
        choose_trust_domain(name, [], tmp_path)
    assert caught.value.findings[0].code == "ARG0629"
