import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from argosy.cli.tail import copy_log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "app.log"
    file.write_text("one\ntwo\nthree\n")
    return file


@pytest.mark.parametrize("lines, text", [(None, "one\ntwo\nthree\n"), (2, "two\nthree\n"), (0, "")])
def test_the_end_of_a_log_is_copied(log: Path, capsysbinary, lines, text):
    copy_log(str(log), lines=lines, follow=False)
    assert capsysbinary.readouterr().out.decode() == text


def test_following_goes_on_until_the_file_is_gone(log: Path, monkeypatch: pytest.MonkeyPatch):
    reading, writing = os.pipe()
    with open(reading, "rb") as printed, open(writing, "wb") as out:
        monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=out))
        follower = threading.Thread(target=copy_log, args=(str(log),), kwargs={"lines": 1, "follow": True})
        follower.start()
        assert printed.readline() == b"three\n"
        with log.open("a") as file:
            file.write("four\n")
        assert printed.readline() == b"four\n"
        log.write_text("a\n")
        assert printed.readline() == b"a\n", "a log that was emptied is read from its start"
        log.unlink()
        follower.join(5)
        assert not follower.is_alive()
