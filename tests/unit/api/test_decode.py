"""Documents become typed objects, or all their faults are named."""

import pytest

from argosy.api import Object, decode_document, decode_object, decode_objects, encode_document, key_of, parse_documents
from argosy.api.kubernetes import Pod, Secret, Service
from argosy.api.mesh_config import parse_mesh_config
from argosy.api.routing import VirtualService
from argosy.api.security import AuthorizationPolicy, PeerAuthentication, Source
from argosy.api.service_entry import allocated_addresses
from argosy.core.errors import ArgosyError, Origin
from argosy.core.names import ObjectKey


def _decode(text: str) -> Object[object]:
    (document,) = parse_documents(text, "f.yaml")
    return decode_object(document)


def _findings(text: str) -> list[tuple[str, str, str, str]]:
    with pytest.raises(ArgosyError) as refused:
        decode_objects(parse_documents(text, "f.yaml"))
    return [(f.code, f.field, str(f.origin), f.hint) for f in refused.value.findings]


VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, labels: {team: a}, uid: kept-by-servers}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {prefix: /a}, headers: {x: {exact: y}}}]
    route: [{destination: {host: reviews, port: {number: 80}}, weight: 3}]
    timeout: 1.5s
    mirror_percent: 7
    fault: {delay: {fixedDelay: 250ms, percentage: {value: 12.5}}, abort: {httpStatus: 503, percent: 5}}
    retries: {attempts: 2, perTryTimeout: 1m}
"""


def test_a_virtual_service_is_typed_frozen_and_hashable() -> None:
    obj = _decode(VIRTUAL_SERVICE)
    assert (obj.kind, obj.key, obj.labels, str(obj.origin)) == (
        "VirtualService",
        ObjectKey("default", "reviews"),
        {"team": "a"},
        "f.yaml:2",
    )
    assert isinstance(obj.spec, VirtualService)
    (http,) = obj.spec.http
    assert http.match[0].uri is not None
    assert (http.match[0].uri.prefix, http.match[0].headers["x"].exact) == ("/a", "y")
    assert (http.timeout_s, http.route[0].weight, http.route[0].destination.host) == (1.5, 3, "reviews")
    assert http.fault is not None
    assert http.fault.delay is not None
    assert http.fault.abort is not None
    assert (http.fault.delay.fixed_delay_s, http.fault.delay.share_percent) == (0.25, 12.5)
    assert (http.fault.abort.share_percent, http.mirror_share_percent) == (5, 7)
    assert http.retries is not None
    assert http.retries.per_try_timeout_s == 60
    assert hash(obj) == hash(_decode(VIRTUAL_SERVICE))
    with pytest.raises(AttributeError):
        http.timeout_s = None  # type: ignore[misc]


def test_an_object_is_equal_after_the_wire() -> None:
    (document,) = parse_documents(VIRTUAL_SERVICE, "f.yaml")
    assert decode_object(decode_document(encode_document(document))) == decode_object(document)


def test_a_share_that_nobody_limits_is_all() -> None:
    obj = _decode(VIRTUAL_SERVICE.replace("mirror_percent: 7", "mirror: {host: m}").replace(", percent: 5", ""))
    assert isinstance(obj.spec, VirtualService)
    http = obj.spec.http[0]
    assert http.fault is not None
    assert http.fault.abort is not None
    assert (http.mirror_share_percent, http.fault.abort.share_percent) == (100, 100)


def test_all_faults_of_all_objects_are_told_with_lines_and_hints() -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  host: [a]
  http:
  - rout: []
    timeout: 10
    fault: {abort: {http2Error: a}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {}
spec: {}
"""
    assert _findings(text) == [
        ("ARG0010", "spec.host", "f.yaml:6", "did you mean hosts?"),
        ("ARG0010", "spec.http[0].rout", "f.yaml:8", "did you mean route?"),
        ("ARG0016", "spec.http[0].timeout", "f.yaml:9", "write a number and a unit: 10s, 250ms, 1m30s"),
        ("ARG0011", "spec.http[0].fault.abort.http2Error", "f.yaml:10", "remove http2Error"),
        ("ARG0013", "metadata.name", "f.yaml:14", "add name"),
        ("ARG0013", "spec.host", "f.yaml:15", "add host"),
    ]


def test_values_that_yaml_mistook_get_the_hint_to_quote_them() -> None:
    text = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels:\n    enabled: yes\n    version: 1.0\n"
    assert [f[3] for f in _findings(text)] == ["quote it: unquoted it means true", 'quote it: "1.0"']


def test_what_says_how_objects_are_made_is_no_misspelled_kind():
    (found,) = _findings("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n")
    assert found[0] == "ARG0006"
    assert "kustomize build" in found[3]


@pytest.mark.parametrize(
    "api_version, kind, code",
    [
        ("networking.istio.io/v1", "VirtualServise", "ARG0006"),
        ("apps/v1", "StatefulSet", "ARG0007"),
        ("gateway.networking.k8s.io/v1", "Gateway", "ARG0007"),
        ("authentication.istio.io/v1alpha1", "MeshPolicy", "ARG0008"),
        ("networking.istio.io/v3", "Gateway", "ARG0009"),
        ("v2", "Service", "ARG0009"),
        ("''", "Service", "ARG0005"),
        ("v1", "''", "ARG0005"),
        ("v1", "[a]", "ARG0005"),
    ],
)
def test_kinds_and_versions_that_are_not_served_are_refused(api_version: str, kind: str, code: str) -> None:
    (finding,) = _findings(f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}")
    assert finding[0] == code


def test_kubernetes_objects_tolerate_fields_that_nobody_needs() -> None:
    obj = _decode("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: None, sessionAffinity: None}")
    assert isinstance(obj.spec, Service)
    assert obj.spec.headless


def test_a_typing_error_beside_spec_is_refused() -> None:
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspecs: {}"
    assert [f[0] for f in _findings(text)] == ["ARG0010"]


def test_a_namespace_has_no_namespace() -> None:
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: b}"
    assert [f[:2] for f in _findings(text)] == [("ARG0019", "metadata.namespace")]
    assert _decode(text.replace(", namespace: b", "")).key == ObjectKey("", "a")


def test_a_pod_tells_readiness_address_and_workload() -> None:
    text = """
apiVersion: v1
kind: Pod
metadata:
  name: web-7d9f-abcde
  labels: {app: web}
  ownerReferences: [{apiVersion: apps/v1, kind: %s, name: %s}]
spec: {serviceAccountName: '', containers: [{name: web, image: web}]}
status: {podIP: 10.88.0.5, phase: Running, conditions: [{type: Ready, status: 'True'}]}
"""
    pod = _decode(text % ("Deployment", "web")).spec
    assert isinstance(pod, Pod)
    assert (pod.workload, pod.ready, pod.pod_ip, pod.phase) == ("web", True, "10.88.0.5", "Running")
    assert pod.spec.service_account_name == "default"
    behind = _decode(text % ("ReplicaSet", "web-7d9f")).spec
    assert isinstance(behind, Pod)
    assert behind.workload == "web"
    alone = _decode("apiVersion: v1\nkind: Pod\nmetadata: {name: lone}").spec
    assert isinstance(alone, Pod)
    assert (alone.workload, alone.ready) == ("lone", False)


def test_a_secret_never_shows_its_values() -> None:
    secret = _decode("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {k: hunter2}").spec
    assert isinstance(secret, Secret)
    assert "hunter2" not in repr(secret)
    assert secret.string_data["k"] == "hunter2"


def test_nothing_tells_the_values_of_a_secret() -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {k: 271828, l: [314159]}\n"
    with pytest.raises(ArgosyError) as refused:
        decode_objects(parse_documents(text, "f.yaml"))
    told = f"{refused.value} {refused.value.findings} {parse_documents(text)}"
    assert "271828" not in told
    assert "314159" not in told


def test_security_objects_are_typed() -> None:
    policy = _decode(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\n"
        "spec: {rules: [{from: [{source: {namespaces: [x]}}], to: [{}]}]}"
    ).spec
    assert isinstance(policy, AuthorizationPolicy)
    assert policy.rules[0].from_[0].source == Source(namespaces=("x",))
    peers = _decode(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\n"
        "spec: {portLevelMtls: {8080: {mode: DISABLE}}}"
    ).spec
    assert isinstance(peers, PeerAuthentication)
    assert peers.port_level_mtls[8080].mode == "DISABLE"


def test_allocated_addresses_are_read_from_the_status() -> None:
    obj = _decode(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec: {hosts: [a.b]}\n"
        "status: {addresses: [{host: a.b, value: 240.240.0.9}]}"
    )
    assert allocated_addresses(obj) == {"a.b": "240.240.0.9"}  # type: ignore[arg-type]


def test_the_key_is_known_without_the_rest() -> None:
    (document,) = parse_documents("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: nonsense")
    assert key_of(document, "shop") == ("Service", ObjectKey("shop", "a"))
    (nameless,) = parse_documents("apiVersion: v1\nkind: Service")
    with pytest.raises(ArgosyError, match="ARG0013"):
        key_of(nameless)


def test_the_origin_is_part_of_the_object() -> None:
    assert _decode(VIRTUAL_SERVICE).origin == Origin("f.yaml", 2)


def test_an_unknown_field_is_told_even_if_it_is_null() -> None:
    """`retriess:` with nothing behind it looks harmless, and whoever fills it in later is not heard."""
    text = VIRTUAL_SERVICE.replace("timeout: 1.5s", "timeout: null\n    retriess:").replace(
        "number: 80}", "number: 80, nummer: ~}"
    )
    assert _findings(text) == [
        ("ARG0010", "spec.http[0].route[0].destination.port.nummer", "f.yaml:9", "did you mean number?"),
        ("ARG0010", "spec.http[0].retriess", "f.yaml:11", "did you mean retries?"),
    ]
    both = text.replace("hosts: [reviews]", "hosts: 7")
    assert {code for code, *_ in _findings(both)} == {"ARG0010", "ARG0012"}


def test_a_known_field_that_is_null_is_not_there() -> None:
    spec = _decode(VIRTUAL_SERVICE.replace("timeout: 1.5s", "timeout: null").replace("weight: 3", "weight: ~")).spec
    assert isinstance(spec, VirtualService)
    assert (spec.http[0].timeout_s, spec.http[0].route[0].weight) == (None, 0)
    kubernetes = (
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, creationTimestamp: null}\nspec: null\nstatus: null"
    )
    assert _decode(kubernetes).name == "a"


def test_nulls_in_lists_and_merged_objects_are_told_where_they_are() -> None:
    listed = "kind: List\nitems:\n- apiVersion: networking.istio.io/v1\n  kind: Gateway\n  metadata: {name: a}\n"
    assert _findings(listed + "  spec: {selector: &s {x: y}, serverz: null}") == [
        ("ARG0010", "spec.serverz", "f.yaml:6", "did you mean servers?")
    ]
    merged = VIRTUAL_SERVICE + "  - &base {nam: null, route: [{destination: {host: a}}]}\n  - {<<: *base, name: b}\n"
    assert [field for _, field, *_ in _findings(merged)] == ["spec.http[1].nam", "spec.http[2].nam"]


def test_a_null_beside_spec_and_in_the_mesh_configuration_is_told() -> None:
    assert _findings(VIRTUAL_SERVICE + "specs:\n")[0][:2] == ("ARG0010", "specs")
    with pytest.raises(ArgosyError) as refused:
        parse_mesh_config("accessLogFormatt:\noutboundTrafficPolicy: {mode: ALLOW_ANY, mod: ~}\nrootNamespace: null\n")
    assert [(one.code, one.field) for one in refused.value.findings] == [
        ("ARG0010", "data.mesh.accessLogFormatt"),
        ("ARG0010", "data.mesh.outboundTrafficPolicy.mod"),
    ]


def test_an_object_that_is_merged_into_itself_is_refused() -> None:
    with pytest.raises(ArgosyError, match="ARG0002"):
        parse_documents("a: &a {<<: *a}\n")
