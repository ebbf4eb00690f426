"""Rules that make attributes: the template `kubernetes`, answered by `kubernetesenv` from the mesh's own registry, and
templates of adapters out of process, whom somebody else asks.

Given a bag and the directory, gives the bag with what the instance's `attributeBindings` say. What is in the bag
already stays: reports come with what the registry knows, so that these rules matter for names of their own and for
calls whose `source_uid` or addresses they choose. Source: Istio 1.4's template `kubernetes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

import msgspec

from argosy.api.meta import Object
from argosy.api.mixer import Instance
from argosy.core.errors import Finding
from argosy.flow.directory import Directory
from argosy.flow.workload import PodRef
from argosy.mixer.attributes import Attributes, Value, ValueType, pod_uid, workload_uid
from argosy.mixer.bind import BAD_EXPRESSION, BoundInstance, BoundRule, bad_expression, finding, params_field
from argosy.mixer.expr import EvaluationError, Expression, KnownNames, compile_expression
from argosy.mixer.field_types import compile_typed, types_of
from argosy.mixer.instances import evaluate_fields
from argosy.mixer.names import Ref
from argosy.mixer.port import Call
from argosy.mixer.report_instances import RemoteInstance, compile_remote
from argosy.mixer.syntax import ExpressionError

TEMPLATE = "kubernetes"
ADAPTER = "kubernetesenv"
_OUT, _VIEW = "$out.", "output."
_UID = "kubernetes://"
T = ValueType
ADAPTER_OUTPUTS: Mapping[str, ValueType] = {
    **{
        f"output.{side}_{name}": kind
        for side in ("source", "destination")
        for name, kind in (
            ("pod_ip", T.IP_ADDRESS),
            ("pod_uid", T.STRING),
            ("pod_name", T.STRING),
            ("labels", T.STRING_MAP),
            ("namespace", T.STRING),
            ("service_account_name", T.STRING),
            ("host_ip", T.IP_ADDRESS),
            ("workload_uid", T.STRING),
            ("workload_name", T.STRING),
            ("workload_namespace", T.STRING),
            ("owner", T.STRING),
        )
    },
    "output.destination_container_name": T.STRING,
}


@dataclass(frozen=True, slots=True)
class AttributeGenerator:
    """One rule's instance: what it looks up, and which attributes it makes of the answer."""

    rule: BoundRule
    inputs: Mapping[str, Expression]
    bindings: Mapping[str, Expression]

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """All that it evaluates of the bag."""
        return (*self.inputs.values(), *self.bindings.values())


@dataclass(frozen=True, slots=True)
class RemoteGenerator:
    """One rule's instance for an adapter out of process, and which attributes it makes of the answer."""

    rule: BoundRule
    handler: Ref
    instance: RemoteInstance
    bindings: Mapping[str, Expression]

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """All that it evaluates of the bag."""
        return (*self.instance.expressions, *self.bindings.values())

    def question(self, bag: Attributes, namespace: str) -> Call | None:
        """What is to be asked about a request to `namespace`, if anything: an instance without a value asks nothing."""
        if (
            not self.rule.covers(namespace)
            or not holds(self.rule.match, bag)
            or all(name in bag for name in self.bindings)
        ):
            return None
        try:
            values = evaluate_fields(self.instance.fields, bag)
        except EvaluationError:
            return None
        return Call(self.handler, self.instance.ref, self.instance.template, values)

    def add(self, bag: Attributes, output: Mapping[str, Value]) -> Attributes:
        """The bag with what the answer makes."""
        return _bound(self.bindings, bag, {f"{_VIEW}{name}": value for name, value in output.items()})


Generator = AttributeGenerator | RemoteGenerator


def compile_remote_generator(
    rule: BoundRule,
    handler: Ref,
    bound: BoundInstance,
    outputs: Mapping[str, ValueType],
    vocabulary: Mapping[str, ValueType],
) -> tuple[RemoteGenerator | None, list[Finding]]:
    """The generator, or None and what is wrong with its fields; bindings that are wrong are left out."""
    instance, findings = compile_remote(bound, vocabulary)
    types = {f"{_VIEW}{name}": kind for name, kind in outputs.items()}
    bindings, bad = _compile_bindings(bound.object, vocabulary, types)
    return (RemoteGenerator(rule, handler, instance, bindings) if instance is not None else None), [*findings, *bad]


def compile_generator(
    rule: BoundRule, bound: BoundInstance, vocabulary: Mapping[str, ValueType]
) -> tuple[AttributeGenerator, list[Finding]]:
    """The generator without what is wrong with it, and that as findings."""
    about, spec = bound.object, bound.object.spec
    findings: list[Finding] = []
    inputs: dict[str, Expression] = {}
    for member in msgspec.structs.fields(spec.params):
        text = getattr(spec.params, member.name)
        if text:
            try:
                inputs[member.name] = compile_typed(text, types_of(TEMPLATE, member.name), vocabulary)
            except ExpressionError as error:
                findings.append(bad_expression(about, params_field(about, member.encode_name), text, error))
    bindings, bad = _compile_bindings(about, vocabulary, ADAPTER_OUTPUTS)
    return AttributeGenerator(rule, inputs, bindings), [*findings, *bad]


def _compile_bindings(
    about: Object[Instance], vocabulary: Mapping[str, ValueType], outputs: Mapping[str, ValueType]
) -> tuple[dict[str, Expression], list[Finding]]:
    """The bindings that fit what the template gives back, and what is wrong with the others."""
    bindings: dict[str, Expression] = {}
    findings: list[Finding] = []
    for name, text in about.spec.attribute_bindings.items():
        field = f"spec.attributeBindings.{name}"
        kind = vocabulary.get(name)
        if kind is None:
            hint = "name it in an attributemanifest"
            findings.append(finding(about, BAD_EXPRESSION, field, f"unknown attribute {name}", hint))
            continue
        try:
            changed = text.replace(_OUT, _VIEW)
            bindings[name] = compile_expression(changed, expect=kind, vocabulary={**vocabulary, **outputs})
        except ExpressionError as error:
            findings.append(bad_expression(about, field, text, error))
    return bindings, findings


def holds(match: Expression | None, bag: Attributes) -> bool:
    """True if a rule's `match` holds; one that has no value does not."""
    try:
        return match is None or match.holds(bag)
    except EvaluationError:
        return False


def with_generated(
    generators: Iterable[AttributeGenerator],
    bag: Attributes,
    directory: Directory,
    namespace: str,
    matches: Callable[[Expression | None, Attributes], bool] = holds,
) -> Attributes:
    """The bag with what all generators add whose rules are about requests to `namespace` and match."""
    for generator in generators:
        if generator.rule.covers(namespace) and matches(generator.rule.match, bag):
            bag = generate(generator, bag, directory)
    return bag


def left_open(generators: Iterable[Generator], known: Attributes, is_known: KnownNames) -> KnownNames:
    """`is_known` without the attributes that are not in `known`, and may be made."""
    made = frozenset(name for generator in generators for name in generator.bindings)
    return (lambda name: is_known(name) and (name in known or name not in made)) if made else is_known


def generate(generator: AttributeGenerator, bag: Attributes, directory: Directory) -> Attributes:
    """The bag with the attributes that the generator adds."""
    if all(name in bag for name in generator.bindings):
        return bag
    output = {**_of_pod("source", _find(generator, bag, directory, "source"))}
    pod = _find(generator, bag, directory, "destination")
    output.update(_of_pod("destination", pod))
    if pod is not None:
        port = _input(generator, bag, "destination_port")
        container = pod.container(port if isinstance(port, int) else 0)
        if container is not None:
            output["output.destination_container_name"] = container.name
    return _bound(generator.bindings, bag, output)


def _bound(bindings: Mapping[str, Expression], bag: Attributes, output: Mapping[str, Value]) -> Attributes:
    """The bag with what bindings make of an output; what it has already stays."""
    view = {**bag, **output}
    made: dict[str, Value] = {}
    for name, expression in bindings.items():
        if name in bag:
            continue
        try:
            made[name] = expression.evaluate(view)
        except EvaluationError:
            continue
    return {**bag, **made}


def _input(generator: AttributeGenerator, bag: Attributes, name: str) -> object:
    expression = generator.inputs.get(name)
    try:
        return None if expression is None else expression.evaluate(bag)
    except EvaluationError:
        return None


def _find(generator: AttributeGenerator, bag: Attributes, directory: Directory, side: str) -> PodRef | None:
    uid = _input(generator, bag, f"{side}_uid")
    if isinstance(uid, str) and uid.startswith(_UID):
        name, dot, namespace = uid.removeprefix(_UID).rpartition(".")
        if dot and (found := directory.pod(namespace, name)) is not None:
            return found
    address = _input(generator, bag, f"{side}_ip")
    return directory.pod_at(str(address)) if address is not None else None


def _of_pod(side: str, pod: PodRef | None) -> dict[str, Value]:
    if pod is None:
        return {}
    workload = pod.workload
    found: dict[str, Value] = {
        "pod_name": pod.name,
        "pod_uid": pod_uid(pod.namespace, pod.name),
        "labels": pod.labels,
        "namespace": pod.namespace,
        "service_account_name": pod.service_account,
        "owner": pod.owner,
    }
    if pod.address:
        found["pod_ip"] = ip_address(pod.address)
    if workload.known:
        found["workload_uid"] = workload_uid(workload.namespace, workload.name)
        found["workload_name"] = workload.name
        found["workload_namespace"] = workload.namespace
    return {f"output.{side}_{name}": value for name, value in found.items() if value != ""}
