"""`argosy status KIND[/NAME]`: the state of objects at proxies, as people and as programs read it."""

from argosy.agent.pod import Container, PodPlan, Port, Role

WEB = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: idle}
spec: {hosts: [idle], gateways: [none], http: [{route: [{destination: {host: web}}]}]}
"""
POD = PodPlan(
    namespace="default",
    name="web-1",
    ip="10.88.0.5",
    role=Role.SIDECAR,
    owner="web",
    labels=(("app", "web"),),
    containers=(Container("app", "web", ("true",), ports=(Port(80, "http"),)),),
)


def test_each_object_has_a_line_with_its_state(mesh):
    mesh.apply(WEB)
    mesh.add_pod(POD)
    result = mesh.run("status", "virtualservices")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["NAME", "STATE", "CURRENT", "ORIGIN"]
    assert [line[:3] for line in lines[1:]] == [["idle", "UNUSED", "0/0"], ["web", "NEVER", "0/1"]]
    assert "VirtualService default/web: not connected yet" in result.stderr


def test_an_object_by_name_has_a_line_for_each_proxy(mesh):
    mesh.apply(WEB)
    mesh.add_pod(POD)
    result = mesh.run("status", "vs/web")
    assert ["default", "web-1", "NEVER"] in [line.split()[:3] for line in result.stdout.splitlines()]
    assert "no proxy would be another without it" in mesh.run("status", "vs", "idle").output
    mesh.connect(POD)
    told = mesh.json("status", "vs", "web")
    assert (told["state"], told["origin"]) == ("CURRENT", "<stdin>:7")
    (row,) = told["proxies"]
    assert (row["pod"], row["state"], row["reason"]) == ("web-1", "CURRENT", "")
    assert "VirtualHost 80/web.default.svc.cluster.local" in row["resources"]


def test_all_kinds_of_all_namespaces_are_one_table(mesh):
    mesh.apply(WEB)
    rows = mesh.run("status", "all", "-A").stdout.splitlines()
    assert rows[0].split() == ["NAMESPACE", "KIND", "NAME", "STATE", "CURRENT", "ORIGIN"]
    assert [row.split()[1:4] for row in rows[1:]] == [
        ["VirtualService", "idle", "UNUSED"],
        ["VirtualService", "web", "UNUSED"],
        ["Service", "web", "UNUSED"],
    ]


def test_what_is_not_there_and_what_no_proxy_reads_is_an_error(mesh):
    mesh.apply(WEB)
    missing, foreign = mesh.run("status", "vs/none"), mesh.run("status", "deployments")
    assert (missing.exit_code, foreign.exit_code) == (1, 1)
    assert "ARG0302" in missing.stderr
    assert "ARG0713" in foreign.stderr
    assert mesh.run("status", "vs/web", "web").exit_code == 2
    assert mesh.run("status", "vs/web", "-A").exit_code == 2
