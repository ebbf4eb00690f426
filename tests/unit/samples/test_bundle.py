"""The example manifests: in the package, linked from examples/, and consistent with the catalogue."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from argosy.samples.bundle import manifest_path
from argosy.samples.catalogue import lookup

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = ("bookinfo", "helloworld", "httpbin", "mixer", "rate-limit", "sleep", "tcp-echo")
BOOKINFO = {
    "all-v1.yaml", "bookinfo.yaml", "deny-reviews-to-ratings.yaml", "destination-rules.yaml", "gateway.yaml",
    "mixer-deny-reviews-v3.yaml", "ratings-abort-500.yaml", "ratings-delay-7s.yaml", "reviews-90-10.yaml",
    "reviews-jason-v2.yaml", "strict.yaml",
}  # fmt: skip


def load(path: Path) -> list[dict]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_the_files_of_the_package(name: str) -> None:
    assert (EXAMPLES / name).resolve() == manifest_path(name).resolve()


def test_every_example_is_linked_and_described() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    # Files for other programs are no manifests, and not in the package.
    assert folders - {"grafana", "prometheus"} == set(NAMES)
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}/`" in readme for name in folders)
    assert {path.name for path in manifest_path("bookinfo").iterdir()} == BOOKINFO
    assert all(f"{name}" in readme for name in BOOKINFO)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_document_is_an_object_with_kind_and_name(path: Path) -> None:
    for document in load(path):
        assert document["apiVersion"]
        assert document["kind"]
        assert document["metadata"]["name"]


def runs_a_program_of_this_machine(deployment: dict[str, Any]) -> bool:
    return "argosy.io/command" in deployment["spec"]["template"]["metadata"].get("annotations", {})


def test_every_image_of_the_examples_has_a_stand_in_that_listens_on_its_ports() -> None:
    deployments = [d for path in EXAMPLES.glob("*/*.yaml") for d in load(path) if d["kind"] == "Deployment"]
    deployments = [d for d in deployments if not runs_a_program_of_this_machine(d)]
    assert len(deployments) == 15
    for deployment in deployments:
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        sample = lookup(container["image"])
        assert sample is not None
        if "args" not in container:
            assert {port["containerPort"] for port in container.get("ports", [])} == set(sample.ports)


def test_a_missing_example_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"bookinfo/none\.yaml"):
        manifest_path("bookinfo", "none.yaml")
