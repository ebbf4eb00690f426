"""`argosy metrics WORKLOAD`: what workloads serve."""

import pytest

from argosy.agent.pod import PodPlan


def test_a_table_of_the_named_workloads(mesh):
    result = mesh.run("metrics", "deploy/web-v1")
    assert (result.exit_code, result.stderr) == (0, "")
    head, row = result.stdout.splitlines()
    assert head.split() == ["WORKLOAD", "REQUESTS", "ERRORS", "P50", "P90", "P99"]
    assert row.split() == ["web-v1", "4.50/s", "0.50/s", "3.2", "ms", "12", "ms", "-"]


def test_as_json_in_another_namespace_and_window(mesh):
    (row,) = mesh.json("metrics", "web-v1", "web-v1", "-n", "shop", "--window", "120")
    assert (row["namespace"], row["rps"], row["p99_ms"]) == ("shop", 2.0, 3.0)


def test_a_workload_without_requests_is_told_with_what_may_be_meant(mesh, pod: PodPlan):
    mesh.add_pod(pod)
    result = mesh.run("metrics", "web", "web-v1")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 2)
    assert result.stderr.startswith("no requests to default/web in the last 60 s")


@pytest.mark.parametrize("arguments", [("--window", "0"), ("--window", "601"), ("-n",)])
def test_what_cannot_be_asked_is_a_usage_error(mesh, arguments):
    assert mesh.run("metrics", "web-v1", *arguments).exit_code == 2
