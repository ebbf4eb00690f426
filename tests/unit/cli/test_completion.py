"""What the shell offers after TAB."""

import pytest
from typer.testing import CliRunner

from argosy.cli.main import build_app

DEPLOYMENTS = "---".join(
    f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: app, image: sleep}}]}}}}
"""
    for namespace, name in (("default", "web"), ("shop", "cart"), ("shop", "web"))
)


def offered(words: str) -> list[str]:
    """What is offered for the last of the words."""
    asked = {"_ARGOSY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    return CliRunner().invoke(build_app(), [], prog_name="argosy", env=asked).stdout.split()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("argosy logs ", ["deploy/web"]),
        ("argosy logs -n shop ", ["deploy/cart", "deploy/web"]),
        ("argosy logs deploy/w", ["deploy/web"]),
        ("argosy proxy-config routes -n shop deploy/c", ["deploy/cart"]),
        ("argosy tap -n default deploy/", ["deploy/web"]),
        ("argosy tap --from c", ["cart"]),
        ("argosy tap deploy/", ["deploy/cart", "deploy/web"]),
        ("argosy metrics -n shop ", ["cart", "web"]),
        ("argosy get virt", ["virtualservices"]),
        ("argosy restart w", []),
        ("argosy status destinationrules", ["destinationrules"]),
    ],
)
def test_names_of_the_mesh_and_kinds_are_offered(mesh, words, found):
    mesh.apply(DEPLOYMENTS)
    assert offered(words) == found


def test_without_a_mesh_nothing_is_offered(no_mesh):
    assert offered("argosy logs deploy/") == []
