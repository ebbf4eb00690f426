import pytest
from tests.unit.local.objects import objects

from argosy.api.mesh_config import MeshConfig
from argosy.local.names_table import Answer, NamesTable, build_names
from argosy.local.service_endpoints import Declared, PodFact

SERVICES = objects("""
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.96.0.9, selector: {app: cart}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: shop}
spec: {type: ExternalName, externalName: Cart.shop.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: away, namespace: shop}
spec: {type: ExternalName, externalName: www.example.org}
""")
ENTRIES = objects("""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: shop}
spec:
  hosts: [api.example.com, "*.wild.example.com", "*.a.wild.example.com"]
  addresses: [192.0.2.10, 192.0.2.128/25]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: NONE
""")
PODS = [
    PodFact("shop", "db-1", "10.88.0.3", {"app": "db"}, {}, True),
    PodFact("shop", "db-0", "10.88.0.2", {"app": "db"}, {}, True),
    PodFact("shop", "db-2", "10.88.0.4", {"app": "db"}, {}, False),
    PodFact("else", "db-3", "10.88.0.5", {"app": "db"}, {}, True),
]
TABLE = build_names(SERVICES, ENTRIES, PODS)


@pytest.mark.parametrize(
    "name, answer",
    [
        ("cart.shop.svc.cluster.local", Answer(True, ("10.96.0.9",))),
        ("CART.Shop.svc.cluster.local.", Answer(True, ("10.96.0.9",))),
        ("db.shop.svc.cluster.local", Answer(True, ("10.88.0.2", "10.88.0.3"))),
        ("db-0.db.shop.svc.cluster.local", Answer(True, ("10.88.0.2",))),
        ("other.shop.svc.cluster.local", Answer(True, ("10.96.0.9",), ("cart.shop.svc.cluster.local",))),
        ("away.shop.svc.cluster.local", Answer(True, (), ("www.example.org",), "www.example.org")),
        ("api.example.com", Answer(True, ("192.0.2.10",))),
        ("x.wild.example.com", Answer(True, ("192.0.2.10",))),
        ("y.x.wild.example.com", Answer(True, ("192.0.2.10",))),
        ("wild.example.com", Answer(False, elsewhere="wild.example.com")),
        ("cart", Answer(False)),
        ("cart.shop.svc.cluster.local.shop.svc.cluster.local", Answer(False)),
        ("", Answer(False)),
    ],
)
def test_the_table_answers(name, answer):
    assert TABLE.lookup(name) == answer


def test_the_longest_wildcard_wins():
    table = NamesTable(wildcards={".example.com": ("192.0.2.1",), ".a.example.com": ("192.0.2.2",)})
    assert table.lookup("x.a.example.com").addresses == ("192.0.2.2",)
    assert table.lookup("x.b.example.com").addresses == ("192.0.2.1",)


def test_aliases_that_run_in_a_circle_end():
    table = NamesTable(aliases={"a": "b", "b": "a"})
    assert table.lookup("a").addresses == ()


def test_a_headless_service_is_what_is_listed_for_it():
    service = objects("""
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, ports: [{name: sql, port: 5432}]}
""")
    listed = objects("""
apiVersion: v1
kind: Endpoints
metadata: {name: db, namespace: shop}
subsets: [{addresses: [{ip: 192.0.2.7}], ports: [{name: sql, port: 5432}]}]
""")
    table = build_names(service, (), (), Declared(listed))
    assert table.lookup("db.shop.svc.cluster.local") == Answer(True, ("192.0.2.7",))


def test_a_host_without_an_address_is_asked_for_elsewhere():
    entries = objects("""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wiki, namespace: shop}
spec:
  hosts: ["*.wikipedia.org", real.example.com]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: NONE
""")
    table = build_names((), entries, ())
    for name in ("en.wikipedia.org", "real.example.com"):
        assert table.lookup(name) == Answer(False, elsewhere=name)


DECLARED = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {0}, namespace: {0}}}
spec:
  hosts: [bank.example.com, "*.bank.example.com"]
  exportTo: [{1}]
  addresses: [{2}]
  ports: [{{number: 443, name: tls, protocol: TLS}}]
  resolution: NONE
"""


def test_whoever_is_shown_a_host_by_a_private_entry_has_its_addresses() -> None:
    entries = [
        ("a", ".", "192.0.2.1"),
        ("b", "'*'", "192.0.2.2"),
        ("c", "., d, e", "192.0.2.3"),
        ("d", ".", ""),
        ("shop", ".", "192.0.2.2"),
    ]
    table = build_names(SERVICES, objects("---".join(DECLARED.format(*one) for one in entries)), PODS)
    assert set(table.apart) == {"a", "c", "d", "e"}
    found = {one: table.apart.get(one, table).lookup("bank.example.com").addresses for one in ("a", "b", "c", "d", "e")}
    assert found == {"a": ("192.0.2.1",), "b": ("192.0.2.2",), "c": ("192.0.2.3",), "d": (), "e": ("192.0.2.3",)}
    assert table.apart["d"].lookup("bank.example.com") == Answer(False, elsewhere="bank.example.com")
    assert table.apart["c"].lookup("x.bank.example.com").addresses == ("192.0.2.3",)
    assert table.apart["c"].lookup("cart.shop.svc.cluster.local").addresses == ("10.96.0.9",)


def test_an_entry_is_as_private_as_the_mesh_has_it_if_it_says_nothing() -> None:
    entries = list(
        objects("---".join(DECLARED.format(*one) for one in (("a", "", "192.0.2.1"), ("b", "", "192.0.2.2"))))
    )
    assert build_names((), entries, ()).apart == {}
    table = build_names((), entries, (), config=MeshConfig(default_service_export_to=(".",)))
    assert table.apart["b"].lookup("bank.example.com").addresses == ("192.0.2.2",)


def test_a_private_entry_takes_no_services_name() -> None:
    taking = DECLARED.format("shop", ".", "192.0.2.1").replace("bank.example.com", "cart.shop.svc.cluster.local")
    assert build_names(SERVICES, objects(taking), PODS).apart == {}
