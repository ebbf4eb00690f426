import msgspec

from argosy.agent.pod import Container, PodPlan, Port, Role, pod_document

PLAN = PodPlan(
    "shop",
    "cart-1",
    "10.88.0.7",
    Role.SIDECAR,
    owner="cart",
    labels=(("app", "cart"),),
    containers=(Container("app", "img", ("prog",), ports=(Port(80, "http"),)),),
)


def test_the_document_is_kubernetes_shaped():
    document = pod_document(PLAN, node="local", phase="Running", ready=True)
    assert document["metadata"]["ownerReferences"][0]["name"] == "cart"
    assert document["metadata"]["annotations"] == {"argosy.io/sidecar": "true"}
    assert document["spec"]["containers"][0]["ports"] == [{"name": "http", "containerPort": 80, "protocol": "TCP"}]
    assert document["status"]["podIP"] == "10.88.0.7"
    assert document["status"]["conditions"][0]["status"] == "True"


def test_a_terminating_pod_is_never_ready():
    document = pod_document(PLAN, node="local", phase="Running", ready=True, terminating=True)
    assert document["status"]["conditions"][0]["status"] == "False"


def test_plans_survive_the_state_file():
    assert msgspec.json.decode(msgspec.json.encode(PLAN), type=PodPlan) == PLAN


def test_a_bare_pod_is_its_own_workload():
    assert PodPlan("shop", "one", "10.88.0.8", Role.NONE).workload == "one"
