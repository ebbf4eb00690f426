"""What is told of rules when they are applied."""

import pytest

from argosy.api import parse_documents
from argosy.core.names import ObjectKey
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Analyzer, Applied, Galley
from argosy.mixer.analyze import ANALYZED_KINDS, analyze_rules
from argosy.mixer.validate import validate_expressions

from .mesh import objects

TEXT = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: deny}
spec: {compiledAdapter: denier}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: nothing}
spec: {compiledTemplate: checknothing}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: deny}
spec:
  actions:
  - handler: deny
    instances:
    - nothing
"""


@pytest.mark.parametrize(
    "old, new, code, line",
    [
        ("handler: deny", "handler: gone", "ARG0910", 17),
        ("- nothing", "- other", "ARG0910", 19),
        ("compiledAdapter: denier", "compiledAdapter: listchecker", "ARG0913", 19),
        ("denier}", "denier, params: {status: {code: 0}}}", "ARG0912", 5),
    ],
)
def test_what_does_not_fit_is_told_with_its_line(old: str, new: str, code: str, line: int) -> None:
    galley = Galley(MemoryStore(), analyzers=[Analyzer(ANALYZED_KINDS, analyze_rules)])
    applied = galley.apply(parse_documents(TEXT.replace(old, new, 1), "f.yaml"), now=0.0, who="")
    assert [(one.code, str(one.origin)) for one in applied.findings] == [(code, f"f.yaml:{line}")]
    assert [one.code for one in galley.analyze()] == [code]


def test_what_fits_is_not_mentioned() -> None:
    galley = Galley(MemoryStore(), analyzers=[Analyzer(ANALYZED_KINDS, analyze_rules)])
    assert galley.apply(parse_documents(TEXT, "f.yaml"), now=0.0, who="").findings == ()


def told(applied: Applied) -> list[tuple[str, str, str]]:
    return [(one.code, one.object, str(one.origin)) for one in applied.findings]


def test_a_change_tells_what_it_brings_about_others() -> None:
    galley = Galley(MemoryStore(), analyzers=[Analyzer(ANALYZED_KINDS, analyze_rules)])
    galley.apply(parse_documents(TEXT, "f.yaml"), now=0.0, who="")
    gone = [("handler", ObjectKey("default", "deny"))]
    dangling = [("ARG0910", "rule default/deny", "f.yaml:17")]
    assert told(galley.delete(gone, now=1.0, who="", dry_run=True)) == dangling
    assert told(galley.delete(gone, now=1.0, who="")) == dangling
    # It was told already, and is about none of what changes.
    assert told(galley.apply(parse_documents(TEXT.replace("name: nothing}", "name: more}"), ""), now=2.0, who="")) == []
    assert told(galley.rollback(2, now=3.0, who="")) == dangling
    assert told(galley.delete([("rule", ObjectKey("default", "deny"))], now=4.0, who="")) == []


def test_an_edited_instance_tells_of_the_handler_that_it_breaks() -> None:
    galley = Galley(MemoryStore(), analyzers=[Analyzer(ANALYZED_KINDS, analyze_rules)])
    galley.apply(parse_documents(REPORTING, "f.yaml"), now=0.0, who="")
    applied = galley.apply(
        parse_documents(REPORTING.replace("{a: request.host}", "{b: request.host}"), "g.yaml"), now=1.0, who=""
    )
    assert [change.kind for change in applied.changes] == ["instance"]
    assert told(applied) == [("ARG0912", "handler default/page", "g.yaml:7")]


DECLARED = """
---
apiVersion: config.istio.io/v1alpha2
kind: attributemanifest
metadata: {name: ours}
spec: {attributes: {till.open: {valueType: BOOL}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: spare}
spec: {compiledTemplate: listentry, params: {value: till.place | "none"}}
"""


def test_attributes_are_unknown_only_where_no_manifest_declares_them() -> None:
    ruled = TEXT.replace("spec:\n  actions:", "spec:\n  match: till.open\n  actions:")
    galley = Galley(
        MemoryStore(), validators=[validate_expressions], analyzers=[Analyzer(ANALYZED_KINDS, analyze_rules)]
    )
    applied = galley.apply(parse_documents(ruled + DECLARED, "f.yaml"), now=0.0, who="")
    # An instance that nobody uses is judged, too.
    assert [(one.code, one.object, one.field) for one in applied.findings] == [
        ("ARG0911", "instance default/spare", "spec.params.value")
    ]
    gone = galley.delete([("attributemanifest", ObjectKey("default", "ours"))], now=1.0, who="").findings
    assert [(one.code, one.object, one.message) for one in gone] == [
        ("ARG0911", "rule default/deny", "unknown attribute till.open (column 1 of `till.open`)")
    ]
    other = galley.apply(parse_documents(DECLARED.replace("BOOL", "STRING"), "f.yaml"), now=2.0, who="").findings
    assert ("rule default/deny", "must be BOOL, is STRING (column 1 of `till.open`)") in [
        (one.object, one.message) for one in other
    ]


REPORTING = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: page}
spec:
  compiledAdapter: prometheus
  params: {metrics: [{name: m, instance_name: m.instance.default, kind: COUNTER, label_names: [a]}]}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: m}
spec: {compiledTemplate: metric, params: {value: "1", dimensions: {a: request.host}}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: r}
spec: {actions: [{handler: page, instances: [m]}]}
"""


@pytest.mark.parametrize(
    "old, new, code, field",
    [
        ("[a]", "[a, a]", "ARG0912", "spec.params.metrics[0].labelNames"),
        ("[a]", "[b]", "ARG0912", "spec.params.metrics[0].labelNames"),
        (
            "kind: COUNTER",
            "kind: DISTRIBUTION, buckets: {explicit_buckets: {bounds: [2, 1]}}",
            "ARG0912",
            "spec.params.metrics[0].buckets",
        ),
        ("request.host", "request.hots", "ARG0911", "spec.params.dimensions.a"),
        (
            "instances: [m]}]",
            "instances: [m]}], sampling: {random: {attributeExpression: request.sise}}",
            "ARG0911",
            "spec.sampling.random.attributeExpression",
        ),
        (
            "spec: {actions: [{handler: page, instances: [m]}]}",
            "spec: {actions: [{handler: page, instances: [m], name: x}], "
            'requestHeaderOperations: [{name: a, values: ["x.output.v + 1"]}]}',
            "ARG0911",
            "spec.requestHeaderOperations[0].values[0]",
        ),
        ("[a]", "[a]", "", ""),
    ],
)
def test_what_reports_cannot_be_made_of_is_told_once(old: str, new: str, code: str, field: str) -> None:
    galley = Galley(
        MemoryStore(), validators=[validate_expressions], analyzers=[Analyzer(ANALYZED_KINDS, analyze_rules)]
    )
    applied = galley.apply(parse_documents(REPORTING.replace(old, new, 1), "f.yaml"), now=0.0, who="")
    assert [(one.code, one.field) for one in applied.findings] == ([(code, field)] if code else [])
    assert all(one.origin for one in applied.findings)


def test_an_adapter_that_is_not_there_is_told() -> None:
    text = REPORTING.replace("compiledAdapter: prometheus", "adapter: kv\n  connection: {address: 'kv:9070'}")
    text = text.replace("params: {metrics", "params: {tables").replace("compiledTemplate: metric", "template: kv")
    assert {one.code for one in analyze_rules(objects(text))} == {"ARG0932", "ARG0933"}


BOUND = """
apiVersion: config.istio.io/v1alpha2
kind: KIND
metadata: {name: b}
spec:
  SPECS: []
  services:
  - name: page
  - name: page
    namespace: shop
  - service: '*'
  - service: api.example.com
  - service: a.example.org
---
apiVersion: v1
kind: Service
metadata: {name: page}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out}
spec:
  hosts: [api.example.com, '*.example.org']
  ports: [{number: 80, name: http, protocol: HTTP}]
"""


@pytest.mark.parametrize("kind, specs", [("QuotaSpecBinding", "quotaSpecs"), ("HTTPAPISpecBinding", "apiSpecs")])
def test_a_binding_to_a_service_that_does_not_exist_is_told_with_its_line(kind: str, specs: str) -> None:
    galley = Galley(MemoryStore(), analyzers=[Analyzer(ANALYZED_KINDS, analyze_rules)])
    text = BOUND.replace("KIND", kind).replace("  SPECS: []\n", f"  {specs}: [{{name: s}}]\n")
    applied = galley.apply(parse_documents(text, "f.yaml"), now=0.0, who="")
    (found,) = [one for one in applied.findings if one.field.startswith("spec.services")]
    assert (found.code, found.kind, found.name, found.field) == ("ARG0910", kind, "b", "spec.services[1]")
    assert str(found.origin) == "f.yaml:9"
    assert "page.shop.svc.cluster.local" in found.message
    shop = parse_documents(text.split("---")[1].replace("{name: page}", "{name: page, namespace: shop}"), "g.yaml")
    galley.apply(shop, now=0.0, who="")
    assert [one for one in galley.analyze() if one.field.startswith("spec.services")] == []


@pytest.mark.parametrize(
    "secret, told",
    [
        ("", "Secret default/redis does not exist"),
        ("metadata: {name: redis, namespace: other}\nstringData: {password: x}", "Secret default/redis does not exist"),
        ("metadata: {name: redis}\nstringData: {pass: x}", "Secret default/redis has no password"),
        ("metadata: {name: redis}\nstringData: {password: x}", ""),
        ("metadata: {name: redis}\nstringData: {ca.crt: x}", ""),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_handler_whose_secret_is_not_there_is_told(secret: str, told: str, *, named: bool) -> None:
    galley = Galley(MemoryStore(), analyzers=[Analyzer(ANALYZED_KINDS, analyze_rules)])
    text = """
apiVersion: config.istio.io/v1alpha2
kind: redisquota
metadata: {name: count}
spec:
  redisServerUrl: redis:6379
  credentialName: redis
  quotas: [{name: q.quota.default, validDuration: 1s}]
"""
    text = text if named else text.replace("  credentialName: redis\n", "")
    others = f"---\napiVersion: v1\nkind: Secret\n{secret}\n" if secret else ""
    found = galley.apply(parse_documents(text + others, "f.yaml"), now=0.0, who="").findings
    wanted = [("spec.credentialName", told, "f.yaml:7")] if told and named else []
    assert [(one.field, one.message, str(one.origin)) for one in found if one.code == "ARG0910"] == wanted
