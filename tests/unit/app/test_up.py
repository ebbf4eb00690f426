"""`argosy up` before anything runs: files are checked, and told apart from directories."""

from pathlib import Path

import pytest

from argosy.app.supervisor import UpOptions
from argosy.app.up import check_files, main, single_files, up
from argosy.core.errors import ArgosyError

from .shop import CART, SPLIT
from .test_supervisor import locked


def test_bad_files_are_refused_with_every_finding_before_anything_starts(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(SPLIT.replace("timeout: 3s", "timeout: soon") + "---\n" + CART.replace("port: 80", "port: 99999"))
    home = tmp_path / "home"
    with pytest.raises(ArgosyError) as caught:
        up(UpOptions(home=str(home), files=(str(bad),)))
    assert {finding.name for finding in caught.value.findings} == {"cart"}
    assert {finding.kind for finding in caught.value.findings} == {"VirtualService", "Service"}
    assert all(finding.origin.file == str(bad) for finding in caught.value.findings)
    assert not home.exists()


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgosyError, match=r"nothing\.yaml"):
        check_files(UpOptions(home=str(tmp_path), files=(str(tmp_path / "nothing.yaml"),)))


def test_good_files_and_directories_are_checked_together(tmp_path: Path) -> None:
    folder, file = tmp_path / "config", tmp_path / "split.yaml"
    folder.mkdir()
    (folder / "cart.yaml").write_text(CART)
    file.write_text(SPLIT)
    options = UpOptions(home=str(tmp_path), files=(str(folder), str(file)))
    check_files(options)
    assert [document.kind for document in single_files(options)] == ["VirtualService"]


def test_the_background_form_tells_its_error_and_its_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(tmp_path):
        assert main([f'{{"home": "{tmp_path}"}}']) == 1
    assert "a mesh is running already" in capsys.readouterr().err
