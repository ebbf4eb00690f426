"""Galley: one change is one revision, all of it or nothing."""

from collections.abc import Sequence

import pytest

from argosy.api import Object, decode_document, decode_object, parse_documents
from argosy.api.workload import HEALTH
from argosy.core.errors import ArgosyError, Finding, Level
from argosy.core.names import ObjectKey
from argosy.galley.memory import MemoryStore
from argosy.galley.publish import config_type_url
from argosy.galley.state import Analyzer, Applied, Galley
from argosy.galley.store import Revision, StoredObject


def _service(name: str, port: int = 80, more: str = "") -> str:
    return (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]{more}}}\n---\n"
    )


def _pod(name: str, ready: str = "True") -> str:
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: default}}\n"
        f"status: {{podIP: 10.88.0.2, conditions: [{{type: Ready, status: '{ready}'}}]}}\n---\n"
    )


def _apply(galley: Galley, text: str, *, prune: str | None = None, dry_run: bool = False) -> Applied:
    documents = parse_documents(text, "f.yaml")
    return galley.apply(documents, now=5.0, who="tester", prune=prune, dry_run=dry_run)


def _verbs(applied: Applied) -> list[str]:
    return [f"{c.verb} {c.kind} {c.key}" for c in applied.changes]


def _names(galley: Galley) -> list[str]:
    return [o.name for o in galley.objects("Service")]


def test_an_apply_is_one_revision_with_its_changes() -> None:
    galley = Galley(MemoryStore())
    applied = _apply(galley, _service("a") + _service("b"))
    assert (applied.revision, _verbs(applied)) == (1, ["added Service default/a", "added Service default/b"])
    assert galley.history() == [Revision(1, 5.0, "tester", "2 added")]
    assert _verbs(_apply(galley, _service("a", 81) + _service("b"))) == ["changed Service default/a"]


def test_equal_content_makes_no_revision_wherever_it_stands() -> None:
    galley = Galley(MemoryStore())
    _apply(galley, _service("a"))
    snapshot = galley.snapshot
    applied = _apply(galley, "# moved down\n\n" + _service("a"))
    assert (applied.unchanged, applied.revision, galley.snapshot is snapshot) == (True, 1, True)


def test_one_faulty_document_refuses_all() -> None:
    galley = Galley(MemoryStore())
    with pytest.raises(ArgosyError) as refused:
        _apply(galley, _service("a") + _service("b", 0))
    assert [f.code for f in refused.value.findings] == ["ARG0105"]
    assert (galley.revision, galley.objects()) == (0, [])


def test_a_dry_run_tells_and_changes_nothing() -> None:
    galley = Galley(MemoryStore())
    assert _verbs(_apply(galley, _service("a"), dry_run=True)) == ["added Service default/a"]
    assert (galley.revision, galley.objects(), galley.history()) == (0, [], [])


def test_a_source_is_pruned_of_what_it_no_longer_holds_and_of_nothing_else() -> None:
    galley = Galley(MemoryStore())
    _apply(galley, _service("by-hand"))
    _apply(galley, _service("a") + _service("b"), prune="dir")
    _apply(galley, _service("a", 81))
    assert _verbs(_apply(galley, _service("b"), prune="dir")) == ["removed Service default/a"]
    assert _names(galley) == ["b", "by-hand"]


def test_namespaces_default_to_the_one_given() -> None:
    galley = Galley(MemoryStore())
    galley.apply(parse_documents(_service("a")), now=0, who="t", namespace="shop")
    assert galley.get("Service", ObjectKey("shop", "a")) is not None
    document = galley.document("Service", ObjectKey("shop", "a"))
    assert document is not None
    assert document.data["metadata"] == {"name": "a", "namespace": "shop"}


def test_what_servers_write_into_objects_is_not_kept() -> None:
    galley = Galley(MemoryStore())
    text = _service("a").replace("{name: a}", "{name: a, uid: x, resourceVersion: '5'}\nstatus: {loadBalancer: {}}")
    _apply(galley, text)
    assert _apply(galley, _service("a")).unchanged


def test_a_policy_keeps_the_time_since_when_it_is_there() -> None:
    """Over changes and restarts; what a file says of it does not count."""
    text = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: a, creationTimestamp: "1999-01-01T00:00:00Z"}
spec: {mtls: {mode: STRICT}}
"""
    store, key = MemoryStore(), ObjectKey("default", "a")
    galley = Galley(store)
    galley.apply(parse_documents(text), now=5.25, who="t")
    assert galley.apply(parse_documents(text), now=6.0, who="t").unchanged
    galley.apply(parse_documents(text.replace("STRICT", "DISABLE")), now=7.0, who="t")
    for one in (galley, Galley(store)):
        found = one.get("PeerAuthentication", key)
        assert found is not None
        assert (found.created, found.spec.mtls.mode) == ("1970-01-01T00:00:05.250000Z", "DISABLE")


def test_delete_removes_all_or_nothing() -> None:
    galley = Galley(MemoryStore())
    _apply(galley, _service("a") + _service("b"))
    a, gone = ("Service", ObjectKey("default", "a")), ("Service", ObjectKey("default", "gone"))
    with pytest.raises(ArgosyError, match=r"ARG0302 Service default/gone"):
        galley.delete([a, gone], now=6, who="t")
    assert _names(galley) == ["a", "b"]
    assert galley.delete([a], now=6, who="t", dry_run=True).revision == 1
    assert _verbs(galley.delete([a, gone], now=6, who="t", missing_ok=True)) == ["removed Service default/a"]
    assert (_names(galley), galley.history(1)[0].summary) == (["b"], "1 removed")


def test_rollback_is_a_new_revision_equal_to_the_old() -> None:
    galley = Galley(MemoryStore())
    _apply(galley, _service("a") + _service("b"))
    before = galley.objects()
    _apply(galley, _service("a", 81) + _service("c"))
    applied = galley.rollback(1, now=7, who="t")
    assert (applied.revision, galley.objects()) == (3, before)
    assert galley.history(1)[0].summary == "rollback to 1: 1 changed, 1 removed"
    assert galley.rollback(3, now=8, who="t").unchanged
    with pytest.raises(ArgosyError, match="ARG0303"):
        galley.rollback(17, now=9, who="t")


def test_a_galley_over_the_same_store_is_equal() -> None:
    store = MemoryStore()
    galley = Galley(store)
    _apply(galley, _service("a") + _service("b"))
    galley.report_pods("n", parse_documents(_pod("p")))
    again = Galley(store)
    assert (again.objects(), again.revision) == (galley.objects(), 1)
    assert {t: dict(r) for t, r in again.snapshot.resources.items()} == {
        t: dict(r) for t, r in galley.snapshot.resources.items()
    }


def test_what_the_store_refuses_is_not_in_force() -> None:
    class FullStore(MemoryStore):
        def commit(
            self, revision: Revision, changed: Sequence[StoredObject], removed: Sequence[tuple[str, ObjectKey]]
        ) -> None:
            raise OSError("disk full")

    galley = Galley(FullStore())
    snapshot = galley.snapshot
    with pytest.raises(OSError, match="disk full"):
        _apply(galley, _service("a"))
    assert (galley.revision, galley.objects(), galley.snapshot is snapshot) == (0, [], True)


def test_services_keep_their_address_over_changes_and_restarts() -> None:
    store = MemoryStore()
    galley = Galley(store)
    _apply(galley, _service("a"))
    address = galley.objects("Service")[0].spec.cluster_ip
    assert address.startswith("10.96.")
    _apply(galley, _service("a", 81) + "".join(_service(f"s{n}") for n in range(50)))
    service = Galley(store).get("Service", ObjectKey("default", "a"))
    assert service is not None
    assert (service.spec.cluster_ip, service.spec.ports[0].port) == (address, 81)
    addresses = {o.spec.cluster_ip for o in galley.objects("Service")}
    assert len(addresses) == 51


def test_an_address_asked_for_is_given_or_refused() -> None:
    galley = Galley(MemoryStore())
    _apply(galley, _service("a", more=", clusterIP: 10.96.1.1") + _service("h", more=", clusterIP: None"))
    assert [o.spec.cluster_ip for o in galley.objects("Service")] == ["10.96.1.1", "None"]
    with pytest.raises(
        ArgosyError, match=r"f\.yaml:6: error ARG0304 Service default/b .* already belongs to .* default/a"
    ):
        _apply(galley, "\n" + _service("b", more=", clusterIP: 10.96.1.1").replace("spec: {", "spec: {\n    "))


def test_hosts_of_service_entries_get_addresses_that_stay() -> None:
    entry = (
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e}\n"
        "spec: {hosts: [a.example.com, '*.example.org'], resolution: STATIC, endpoints: [{address: 1.2.3.4}]%s}\n"
    )
    galley = Galley(MemoryStore())
    _apply(galley, entry % "")
    (first,) = galley.objects("ServiceEntry")
    (chosen,) = first.status["addresses"]
    assert chosen["host"] == "a.example.com"
    assert chosen["value"].startswith("240.240.")
    assert _apply(galley, entry % "").unchanged
    _apply(galley, entry % ", location: MESH_INTERNAL")
    assert galley.objects("ServiceEntry")[0].status == first.status
    _apply(galley, entry % ", addresses: [192.0.2.1]")
    assert galley.objects("ServiceEntry")[0].status == {}


def test_pods_are_replaced_per_node_and_belong_to_no_revision() -> None:
    galley = Galley(MemoryStore())
    galley.report_pods("one", parse_documents(_pod("a") + _pod("b")))
    galley.report_pods("two", parse_documents(_pod("c")))
    changes = galley.report_pods("one", parse_documents(_pod("b", "False")))
    assert [(c.verb, c.key.name) for c in changes] == [("removed", "a"), ("changed", "b")]
    assert [(o.name, o.spec.ready) for o in galley.objects("Pod")] == [("b", False), ("c", True)]
    assert galley.report_pods("one", parse_documents(_pod("b", "False"))) == ()
    assert (galley.revision, galley.get("Pod", ObjectKey("default", "c")) is not None) == (0, True)
    with pytest.raises(ArgosyError, match="ARG0007"):
        galley.report_pods("one", parse_documents(_service("a")))


def test_the_snapshot_serves_each_object_as_a_document_with_its_origin() -> None:
    galley = Galley(MemoryStore())
    _apply(galley, _service("a"))
    old = galley.snapshot
    resource = old.of(config_type_url("Service"))["default/a"]
    assert resource.body is not None
    assert decode_object(decode_document(resource.body)) == galley.get("Service", ObjectKey("default", "a"))
    _apply(galley, _service("b"))
    assert (list(old.of(config_type_url("Service"))), galley.snapshot.number > old.number) == (["default/a"], True)
    assert galley.snapshot.of(config_type_url("Service"))["default/a"] is resource


def test_further_validators_are_asked() -> None:
    def refuse(obj: Object[object]) -> list[Finding]:
        return [Finding("ARG9999", Level.ERROR, "no", obj.kind, obj.namespace, obj.name, "spec.ports[0]")]

    with pytest.raises(ArgosyError, match=r"f\.yaml:4: error ARG9999"):
        _apply(Galley(MemoryStore(), validators=[refuse]), _service("a"))


def test_analyzers_are_asked_about_changes_of_their_kinds_only() -> None:
    asked: list[list[str]] = []

    def without_b(objects: Sequence[Object[object]]) -> list[Finding]:
        names = [one.name for one in objects if one.kind == "Service"]
        asked.append(names)
        lonely = [name for name in names if "b" not in names]
        return [Finding("ARG0910", Level.WARNING, "b is gone", "Service", "default", name) for name in lonely]

    galley = Galley(MemoryStore(), analyzers=[Analyzer(frozenset({"Service"}), without_b)])
    assert _apply(galley, _service("a") + _service("b")).findings == ()
    del asked[:]
    gone = galley.delete([("Service", ObjectKey("default", "b"))], now=6.0, who="tester").findings
    # What changes nothing of a finding is not told of it again, but who is changed itself is.
    assert [one.name for one in gone] == ["a"]
    assert [one.name for one in _apply(galley, _service("c")).findings] == ["c"]
    assert [one.name for one in _apply(galley, _service("a", port=81)).findings] == ["a"]
    del asked[:]
    _apply(galley, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
    assert asked == []


def test_policies_may_select_pods_that_only_the_platform_knows() -> None:
    policy = (
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\n"
        "spec: {selector: {matchLabels: {app: seen}}, mtls: {mode: STRICT}}"
    )
    galley = Galley(MemoryStore())
    assert [f.code for f in _apply(galley, policy, dry_run=True).findings] == ["ARG0207"]
    galley.report_pods("n", parse_documents(_pod("a").replace("default}", "default, labels: {app: seen}}")))
    assert _apply(galley, policy).findings == ()


def test_warnings_come_with_the_apply_that_they_are_about() -> None:
    galley = Galley(MemoryStore())
    rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\nspec:\n  host: gone\n"
    assert [(f.code, str(f.origin)) for f in _apply(galley, rule).findings] == [("ARG0205", "f.yaml:5")]
    assert _apply(galley, _service("a")).findings == ()
    assert [f.code for f in galley.analyze()] == ["ARG0205"]


ENTRY = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: default}
spec: {address: %s}
"""
ILL = "status: {conditions: [{type: Healthy, status: 'False', message: refused}]}\n"


def test_the_health_of_a_workload_is_status_and_no_revision() -> None:
    galley = Galley(MemoryStore())
    _apply(galley, ENTRY % "10.1.1.1")
    (change,) = galley.report_health("n", parse_documents(ENTRY % "10.1.1.1" + ILL))
    assert (change.kind, galley.revision) == (HEALTH, 1)
    document = galley.document("WorkloadEntry", ObjectKey("default", "vm"))
    assert document is not None
    assert document.data["status"]["conditions"][0]["message"] == "refused"
    assert galley.snapshot.of(config_type_url(HEALTH)).keys() == {"default/vm"}
    assert len(galley.snapshot.of(config_type_url("WorkloadEntry"))) == 1
    assert _apply(galley, ENTRY % "10.1.1.1").unchanged


def test_health_of_another_address_is_no_status_of_a_workload() -> None:
    galley = Galley(MemoryStore())
    _apply(galley, ENTRY % "10.1.1.2")
    galley.report_health("n", parse_documents(ENTRY % "10.1.1.1" + ILL))
    document = galley.document("WorkloadEntry", ObjectKey("default", "vm"))
    assert document is not None
    assert "status" not in document.data


def test_reports_of_pods_and_of_health_leave_each_other() -> None:
    store = MemoryStore()
    galley = Galley(store)
    galley.report_pods("n", parse_documents(_pod("vm")))
    galley.report_health("n", parse_documents(ENTRY % "10.1.1.1" + ILL))
    galley.report_pods("n", [])
    assert [o.kind for o in galley.objects()] == [HEALTH]
    assert [o.kind for o in Galley(store).objects()] == [HEALTH]
    with pytest.raises(ArgosyError, match="ARG0007"):
        galley.report_health("n", parse_documents(_pod("vm")))


def test_a_finding_of_somebody_else_is_told_where_its_object_was_written() -> None:
    galley = Galley(MemoryStore())
    _apply(galley, _service("a") + _service("b"))
    known = Finding("ARG0502", Level.ERROR, "refused", "Service", "default", "b")
    assert str(galley.placed(known).origin) == "f.yaml:6"
    assert galley.placed(galley.placed(known)) == galley.placed(known)
    for other in (Finding("ARG0901", Level.WARNING, "x"), Finding("ARG0502", Level.ERROR, "x", "Service", "", "b")):
        assert galley.placed(other) == other


def test_what_is_found_later_is_told_at_the_line_of_its_field_too() -> None:
    """Of what is kept, of what was loaded again, and of what others found about an object as Galley knows it."""
    text = """# a comment
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
  - route:
    - destination: {host: absent}
"""
    store = MemoryStore()
    applied = _apply(Galley(store), text)
    lines = {one.field: one.origin.line for one in applied.findings}
    assert lines == {"spec.http[0].route[0].destination.host": 9, "spec.hosts[0]": 6}
    for galley in (Galley(store), Galley(store)):
        assert {one.field: one.origin.line for one in map(galley.placed, galley.analyze())} == lines
    (obj,) = galley.objects("VirtualService")
    told = Finding("ARG0502", Level.ERROR, "refused", obj.kind, *obj.key, field="spec.hosts[0]", origin=obj.origin)
    unsaid = Finding("ARG0505", Level.INFO, "asked", obj.kind, *obj.key, field="spec")
    elsewhere = Finding("ARG0502", Level.ERROR, "refused", obj.kind, "default", "b", field="spec.hosts")
    assert [galley.placed(one).origin.line for one in (told, unsaid)] == [6, 5]
    assert galley.placed(elsewhere) == elsewhere
