"""Expressions are checked before an object is accepted."""

import pytest
from tests.unit.mixer.mesh import objects

from argosy.api import parse_documents
from argosy.core.errors import ArgosyError, Level
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Galley
from argosy.mixer.analyze import analyze_rules
from argosy.mixer.validate import validate_expressions

RULE = """
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: r, namespace: istio-system}}
spec: {{match: '{0}', actions: [{{handler: h, instances: [i]}}]}}
"""
INSTANCE = """
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {{name: i, namespace: istio-system}}
spec:
  compiledTemplate: metric
  params: {{value: "2", dimensions: {{a: '"x"', "b.c": '{0}'}}, monitored_resource_type: '"('}}
"""
OLD_INSTANCE = """
apiVersion: config.istio.io/v1alpha2
kind: listentry
metadata: {{name: i, namespace: istio-system}}
spec: {{value: '{0}'}}
"""

WRONG = [
    (RULE, "request.size", "spec.match", "must be BOOL, is INT64 (column 1 of `request.size`)"),
    (RULE, "source.ip ==", "spec.match", "expected a value, found the end (column 13 of `source.ip ==`)"),
    (INSTANCE, "source.ip + 1", "spec.params.dimensions[b.c]", "operands of + differ"),
    (OLD_INSTANCE, "nope()", "spec.value", "unknown function nope"),
]


@pytest.mark.parametrize(("form", "text", "field", "message"), WRONG)
def test_a_wrong_expression_is_an_error(form: str, text: str, field: str, message: str) -> None:
    [obj] = objects(form.format(text))
    [finding] = validate_expressions(obj)
    assert (finding.code, finding.level, finding.field) == ("ARG0915", Level.ERROR, field)
    assert finding.message.startswith(message)
    assert finding.hint


def test_an_attribute_that_a_manifest_may_add_is_told_elsewhere() -> None:
    given = objects(RULE.format('source.lables["a"] == "x"'))
    assert validate_expressions(given[0]) == []
    [finding] = [one for one in analyze_rules(given) if one.code == "ARG0911"]
    assert (finding.level, finding.hint) == (Level.WARNING, "did you mean source.labels?")


@pytest.mark.parametrize("form", [RULE, INSTANCE, OLD_INSTANCE])
def test_a_good_expression_is_none(form: str) -> None:
    [obj] = objects(form.format("true"))
    assert validate_expressions(obj) == []


def test_galley_refuses_with_the_line() -> None:
    galley = Galley(MemoryStore(), validators=[validate_expressions])
    documents = parse_documents(RULE.format("true &&"), "rule.yaml")
    with pytest.raises(ArgosyError) as caught:
        galley.apply(documents, now=0.0, who="tester", dry_run=True)
    [finding] = caught.value.findings
    assert (finding.code, str(finding.origin)) == ("ARG0915", "rule.yaml:5")


def test_a_descriptor_that_cannot_be_read_is_refused() -> None:
    text = "apiVersion: config.istio.io/v1alpha2\nkind: template\nmetadata: {name: t}\nspec: {descriptor: bad}\n"
    (finding,) = validate_expressions(objects(text)[0])
    assert (finding.code, finding.level, finding.field) == ("ARG0931", Level.ERROR, "spec.descriptor")


HEADERS = """
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: r, namespace: istio-system}}
spec:
  actions: [{{handler: h, instances: [i], name: x}}]
  requestHeaderOperations: [{{name: a, values: ['{0}']}}]
"""


@pytest.mark.parametrize(
    "text, code",
    [
        ("request.size +", "ARG0915"),
        ('request.size == "a"', "ARG0915"),
        ("y.output.value", ""),
        ("x.output.value", ""),
        ("x.output.count + 1", ""),
        ('request.headers["user"] | "nobody"', ""),
    ],
)
def test_values_of_headers_are_checked_as_far_as_outputs_need_not_be_known(text: str, code: str) -> None:
    [obj] = objects(HEADERS.format(text))
    assert [(one.code, one.field) for one in validate_expressions(obj)] == (
        [(code, "spec.requestHeaderOperations[0].values[0]")] if code else []
    )


BINDING = """apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: i}
spec:
  compiledTemplate: kubernetes
  attributeBindings:
    source.name: $out.source_pod_name
"""


def test_what_the_registry_does_not_give_is_refused_where_it_stands_though_nobody_uses_it() -> None:
    galley = Galley(MemoryStore(), validators=[validate_expressions])
    assert galley.apply(parse_documents(BINDING, "f.yaml"), now=0.0, who="").findings == ()
    own = BINDING.replace("pod_name", "pod_name | my.own")
    assert galley.apply(parse_documents(own, "f.yaml"), now=0.5, who="").findings == ()
    with pytest.raises(ArgosyError) as refused:
        galley.apply(parse_documents(BINDING.replace("pod_name", "pod_nam"), "f.yaml"), now=1.0, who="")
    (one,) = refused.value.findings
    assert (one.code, str(one.origin)) == ("ARG0915", "f.yaml:7")
    assert "$out.source_pod_nam" in one.message
    assert "$out.source_pod_name" in one.hint


def test_a_standard_attribute_is_made_of_its_own_type_only() -> None:
    [obj] = objects(BINDING.replace("source.name:", "source.ip:"))
    [found] = validate_expressions(obj)
    assert (found.code, found.field) == ("ARG0915", 'spec.attributeBindings["source.ip"]')
    assert found.message.startswith("must be IP_ADDRESS, is STRING")


def test_a_lookup_of_its_own_kind_is_judged_alike() -> None:
    galley = Galley(MemoryStore(), validators=[validate_expressions])
    text = BINDING.replace("kind: instance", "kind: kubernetes").replace("  compiledTemplate: kubernetes\n", "")
    text = text.replace("attributeBindings", "attribute_bindings")
    assert galley.apply(parse_documents(text, "f.yaml"), now=0.0, who="").findings == ()
    with pytest.raises(ArgosyError) as refused:
        galley.apply(parse_documents(text.replace("pod_name", "pod_nam"), "f.yaml"), now=1.0, who="")
    assert [str(one.origin) for one in refused.value.findings] == ["f.yaml:6"]


def test_an_expression_of_a_member_with_dots_is_refused_with_its_line() -> None:
    galley = Galley(MemoryStore(), validators=[validate_expressions])
    with pytest.raises(ArgosyError) as refused:
        galley.apply(parse_documents(INSTANCE.format("source.ip + 1"), "f.yaml"), now=0.0, who="")
    assert [str(one.origin) for one in refused.value.findings] == ["f.yaml:7"]


TYPED = """
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {{name: typed, namespace: shop}}
spec: {{compiledTemplate: {0}, params: {1}}}
"""


@pytest.mark.parametrize(
    ("template", "params", "field", "message"),
    [
        ("metric", "{value: request.headers}", "value", "must be DOUBLE or DURATION or INT64 or STRING, is STRING_MAP"),
        ("metric", """{value: '"lots"'}""", "value", "is not a number"),
        ("logentry", "{timestamp: request.path}", "timestamp", "must be TIMESTAMP, is STRING"),
        ("logentry", "{severity: request.size}", "severity", "must be STRING, is INT64"),
        ("tracespan", "{trace_id: request.size}", "traceId", "must be STRING, is INT64"),
        ("tracespan", "{httpStatusCode: request.path}", "httpStatusCode", "must be INT64, is STRING"),
        ("tracespan", """{clientSpan: '"true"'}""", "clientSpan", "must be BOOL, is STRING"),
        ("tracespan", "{sourceIp: source.name}", "sourceIp", "must be IP_ADDRESS, is STRING"),
        ("edge", "{timestamp: '5'}", "timestamp", "must be TIMESTAMP, is INT64"),
        ("edge", "{sourceOwner: source.ip}", "sourceOwner", "must be STRING, is IP_ADDRESS"),
        ("apikey", "{apiKey: request.query_params}", "apiKey", "must be STRING, is STRING_MAP"),
        ("authorization", "{subject: {groups: request.size}}", "subject.groups", "must be STRING, is INT64"),
        ("authorization", "{action: {path: 'true'}}", "action.path", "must be STRING, is BOOL"),
        ("kubernetes", "{source_ip: source.name}", "sourceIp", "must be IP_ADDRESS, is STRING"),
        ("kubernetes", "{destination_port: source.uid}", "destinationPort", "must be INT64, is STRING"),
    ],
)
def test_a_field_that_is_of_another_type_is_refused_though_nobody_uses_it(
    template: str, params: str, field: str, message: str
) -> None:
    [obj] = objects(TYPED.format(template, params))
    [found] = validate_expressions(obj)
    assert (found.code, found.field) == ("ARG0915", f"spec.params.{field}")
    assert found.message.startswith(message)


@pytest.mark.parametrize(
    ("template", "params"),
    [
        ("metric", "{value: request.path, dimensions: {a: request.headers, b: source.ip, c: request.time}}"),
        ("logentry", """{severity: '"5s"', timestamp: response.time, variables: {a: response.duration}}"""),
        ("authorization", "{subject: {user: source.user, properties: {a: request.size}}, action: {method: my.own}}"),
        ("listentry", "{value: source.ip}"),
        ("quota", "{dimensions: {a: destination.labels}}"),
        ("checknothing", "{}"),
    ],
)
def test_a_field_of_the_right_type_is_accepted(template: str, params: str) -> None:
    [obj] = objects(TYPED.format(template, params))
    assert validate_expressions(obj) == []


def test_how_requests_are_chosen_is_an_expression_too() -> None:
    text = RULE.format("true").replace("[i]}]", "[i]}], sampling: {random: {attributeExpression: request.path}}")
    [obj] = objects(text)
    [found] = validate_expressions(obj)
    assert (found.code, found.field) == ("ARG0915", "spec.sampling.random.attributeExpression")
    assert "must be DOUBLE or INT64, is STRING" in found.message
