"""Roles at the ports of sidecars: which count where, and that a change of one touches no others."""

from __future__ import annotations

from typing import Any

from argosy.pilot.build.resource import LISTENER, ROUTE
from argosy.pilot.mesh import MeshSettings
from argosy.testing.worlds import GATEWAY, MeshWorld, gateway_manifest

ALLOW = "envoy.filters.http.rbac.allow"


def service(name: str, app: str, *ports: str) -> str:
    return f"""---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {app}}}, ports: [{", ".join(ports)}]}}
"""


def deployment(app: str) -> str:
    return f"""---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {app}}}
spec:
  selector: {{matchLabels: {{app: {app}}}}}
  template:
    metadata: {{labels: {{app: {app}}}}}
    spec:
      serviceAccountName: of-{app}
      containers: [{{name: c, image: argosy/curl, ports: [{{containerPort: 80, name: web}}]}}]
"""


def one(kind: str, name: str, spec: str, namespace: str = "default") -> str:
    where = "" if kind == "ClusterRbacConfig" else f", namespace: {namespace}"
    return f"---\napiVersion: rbac.istio.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}{where}}}\nspec: {spec}\n"


def role(name: str, service: str, namespace: str = "default") -> str:
    return one("ServiceRole", name, f"{{rules: [{{services: ['{service}']}}]}}", namespace)


def bind(role: str, name: str = "", more: str = "") -> str:
    spec = f"{{subjects: [{{user: '*'}}], roleRef: {{kind: ServiceRole, name: {role}}}{more}}}"
    return one("ServiceRoleBinding", name or role, spec)


WORLD = (
    service("one", "a", "{name: http, port: 80}", "{name: tcp, port: 9000}")
    + service("two", "a", "{name: http, port: 8080, targetPort: web}")
    + service("three", "b", "{name: http, port: 80}")
    + deployment("a")
    + deployment("b")
)
ON = one("ClusterRbacConfig", "default", "{mode: 'ON'}")


def world(*texts: str) -> MeshWorld:
    return MeshWorld(WORLD, *texts, settings=MeshSettings(access_log=False))


def allowed(made: MeshWorld, pod: str, port: int = 80) -> list[str] | None:
    """The rules by which requests to a port are allowed; None where everything is."""
    host = made.resources(ROUTE, pod)[f"inbound|{port}||"]["virtual_hosts"][0]
    found: dict[str, Any] | None = host.get("typed_per_filter_config", {}).get(ALLOW)
    return None if found is None else sorted(found["rbac"]["rules"].get("policies", {}))


def connections(made: MeshWorld, pod: str, chain: str) -> list[dict[str, Any]]:
    """The filters that authorize connections of a chain."""
    listener = made.resources(LISTENER, pod)["virtualInbound"]
    (found,) = [one for one in listener["filter_chains"] if one["name"] == chain]
    return [one["typed_config"] for one in found["filters"] if one["name"] == "envoy.filters.network.rbac"]


def rule(role: str, binding: str = "", number: int = 0) -> str:
    return f"ns[default]-role[{role}]-binding[{binding or role}]-rule[{number}]"


def test_without_a_configuration_roles_do_nothing() -> None:
    made = world(role("r", "*"), bind("r"))
    assert allowed(made, "a-0") is None
    made.apply(one("ClusterRbacConfig", "default", "{mode: 'OFF'}"))
    assert allowed(made, "a-0") is None
    made.apply(ON)
    assert allowed(made, "a-0") == [rule("r")]
    made.delete("ClusterRbacConfig", "", "default")
    assert allowed(made, "a-0") is None


def test_every_service_of_a_port_counts_under_its_port_of_the_pod() -> None:
    made = world(
        ON, role("first", "one"), bind("first"), role("second", "two.default.svc.cluster.local"), bind("second")
    )
    assert allowed(made, "a-0") == [rule("first"), rule("second")]
    assert allowed(made, "b-0") == []


def test_connections_are_judged_too_and_so_are_ports_that_nobody_declares() -> None:
    made = world(ON, role("r", "one"), bind("r"))
    for name, names in (("9000-mtls", [rule("r")]), ("other-mtls", [])):
        (found,) = connections(made, "a-0", name)
        assert sorted(found["rules"].get("policies", {})) == names
    made.apply(role("all", "*"), bind("all"))
    (found,) = connections(made, "a-0", "other-mtls")
    assert sorted(found["rules"]["policies"]) == [rule("all")]


def test_only_what_is_included_is_judged() -> None:
    only = "{mode: ON_WITH_INCLUSION, inclusion: {services: [one.default.svc.cluster.local]}}"
    made = world(one("ClusterRbacConfig", "default", only))
    assert allowed(made, "a-0") == []
    assert allowed(made, "b-0") is None
    assert len(connections(made, "a-0", "9000-mtls")) == 1
    assert connections(made, "a-0", "other-mtls") == []


def test_a_role_of_the_root_namespace_and_rules_of_ones_own() -> None:
    root = one("ServiceRoleBinding", "root", "{subjects: [{user: '*'}], role: /r}")
    own = one("ServiceRoleBinding", "own", "{subjects: [{user: '*'}], actions: [{services: [three]}]}")
    made = world(ON, root, own)
    assert (allowed(made, "a-0"), allowed(made, "b-0")) == ([], ["ns[default]-binding[own]-rule[0]"])
    made.apply(role("r", "one", "istio-system"))
    assert allowed(made, "a-0") == [rule("/r", "root")]


def test_roles_of_another_namespace_do_not_count() -> None:
    other = one("ServiceRoleBinding", "x", "{subjects: [{user: '*'}], roleRef: {kind: ServiceRole, name: r}}", "shop")
    made = world(ON, role("r", "*", "shop"), other)
    assert allowed(made, "a-0") == []


def test_an_allow_policy_takes_the_place_of_roles_where_it_selects() -> None:
    policy = """---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p}
spec: {selector: {matchLabels: {app: a}}, rules: [{}]}
"""
    made = world(ON, role("r", "*"), bind("r"), policy)
    assert allowed(made, "a-0") == ["ns[default]-policy[p]-rule[0]"]
    assert allowed(made, "b-0") == [rule("r")]
    made.apply(policy.replace("spec: {", "spec: {action: DENY, "))
    assert allowed(made, "a-0") == [rule("r")]


def test_labels_and_the_account_are_those_of_the_pods() -> None:
    spec = "{rules: [{services: ['*'], constraints: [{key: 'destination.labels[app]', values: [a]}]}]}"
    account = "{rules: [{services: ['*'], constraints: [{key: destination.user, values: [of-b]}]}]}"
    made = world(ON, one("ServiceRole", "l", spec), bind("l"), one("ServiceRole", "u", account), bind("u"))
    assert (allowed(made, "a-0"), allowed(made, "b-0")) == ([rule("l")], [rule("u")])


def test_gateways_have_no_roles() -> None:
    made = MeshWorld(gateway_manifest(), ON)
    assert "rbac.v3.RBACPerRoute" not in str(made.resources(ROUTE, GATEWAY.name, GATEWAY.namespace))


def ran(made: MeshWorld, *texts: str) -> dict[str, int]:
    """How often functions about roles and the inbound side ran for a change."""
    commit = made.apply(*texts).commit
    return {name: times for name, times in commit.ran.items() if name.startswith(("rbac", "inbound"))}


def test_a_role_is_read_by_the_ports_that_it_is_about() -> None:
    made = world(ON, role("r", "one"), bind("r"), role("s", "three"), bind("s"))
    for pod in ("a-0", "b-0"):
        made.connect(pod)
    # Port 80 (of two Services) and 9000 of one workload; the other's are not looked at.
    assert ran(made, role("r", "one").replace("services", "methods: [GET], services")) == {
        "rbac_policies": 2, "inbound_roles": 1, "inbound": 1, "inbound_routes": 1,
    }  # fmt: skip
    assert ran(made, role("t", "elsewhere"), bind("t")) == {}
    assert ran(made, role("t", "three"), bind("t", "another")) == {
        "rbac_policies": 1, "inbound_roles": 1, "inbound": 1, "inbound_routes": 1,
    }  # fmt: skip
    assert allowed(made, "b-0") == sorted([rule("s"), rule("t"), rule("t", "another")])


def test_a_configuration_that_means_the_same_builds_nothing() -> None:
    made = world(ON, role("r", "one"), bind("r"))
    for pod in ("a-0", "b-0"):
        made.connect(pod)
    again = one("ClusterRbacConfig", "default", "{mode: ON_WITH_INCLUSION, inclusion: {namespaces: [default]}}")
    # Every port is asked, and no resource is built.
    assert set(ran(made, again)) == {"rbac_config", "rbac_posture", "rbac_policies", "inbound_roles"}
    assert allowed(made, "a-0") == [rule("r")]
