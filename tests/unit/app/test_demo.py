"""What the demo says to the person."""

from pathlib import Path

from argosy.app.demo import tell_addresses
from argosy.app.supervisor import MeshFile, Supervisor, UpOptions


def test_the_demo_tells_addresses_and_what_to_try(tmp_path: Path) -> None:
    lines: list[str] = []
    mesh = MeshFile(1, "http://127.0.0.1:20001/", {8080: "http://127.0.0.1:8080"})
    tell_addresses(Supervisor(UpOptions(str(tmp_path)), print, mesh=mesh), lines.append)
    assert lines[:2] == [
        "live graph    http://127.0.0.1:20001/",
        "product page  http://127.0.0.1:8080/productpage",
    ]
    applied = [line.split()[-1] for line in lines if "apply" in line]
    assert applied
    assert all(Path(file).is_file() for file in applied)
