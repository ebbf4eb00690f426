import pytest
import yaml

WORKLOAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-%s}
spec:
  selector: {matchLabels: {app: web, version: %s}}
  template:
    metadata: {labels: {app: web, version: %s}}
    spec: {containers: [{name: web, image: argosy/httpbin}]}
"""


@pytest.fixture
def versions(mesh, service):
    mesh.apply("---".join([service, *(WORKLOAD % (v, v, v) for v in ("v1", "v2"))]))
    return mesh


def test_shift_shows_the_difference_and_changes_nothing(versions):
    result = versions.run("shift", "web", "v1=90", "v2=10")
    assert result.exit_code == 0, result.stderr
    assert "+      weight: 90\n" in result.stdout
    assert "nothing was changed" in result.stderr
    assert versions.json("history")["revision"] == 1


def test_shift_gives_the_documents(versions):
    found = list(yaml.safe_load_all(versions.run("shift", "web", "v1=90", "v2=10", "-o", "yaml").stdout))
    assert [(one["kind"], one["metadata"]["name"]) for one in found] == [
        ("DestinationRule", "web"),
        ("VirtualService", "web"),
    ]


def test_shift_applies_and_shifts_on(versions):
    assert (
        "VirtualService default/web added" in versions.run("shift", "web", "v1=90", "v2=10", "--apply", "--wait").stdout
    )
    result = versions.run("shift", "web", "v1=50", "v2=50", "--apply")
    assert (result.exit_code, result.stdout) == (0, "VirtualService default/web changed\n")
    assert "nothing would change" in versions.run("shift", "web", "v1=50", "v2=50").stderr


@pytest.mark.parametrize("word", ["v1", "v1=", "=1", "v1=x", "v1=-1"])
def test_shift_refuses_what_is_no_weight(versions, word):
    result = versions.run("shift", "web", word)
    assert result.exit_code == 2
    assert "SUBSET=WEIGHT" in result.stderr


def test_shift_tells_of_a_version_that_is_not_there(versions):
    result = versions.run("shift", "web", "v9=100")
    assert result.exit_code == 1
    assert "error ARG0719" in result.stderr
    assert "there are v1, v2" in result.stderr
