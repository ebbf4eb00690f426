"""Descriptor sets as Istio 1.4's tools make them, built here: templates of any variety, and an adapter's parameters."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, duration_pb2, timestamp_pb2

from argosy.api import Object, decode_object, parse_documents

MODEL, POLICY, RPC = "istio.mixer.adapter.model.v1beta1", "istio.policy.v1beta1", "google.rpc"
DURATION = "google.protobuf.Duration"
Fields = Sequence[tuple[str, int, str]]
_PROTO = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _PROTO.TYPE_STRING,
    "bytes": _PROTO.TYPE_BYTES,
    "bool": _PROTO.TYPE_BOOL,
    "int32": _PROTO.TYPE_INT32,
    "int64": _PROTO.TYPE_INT64,
    "double": _PROTO.TYPE_DOUBLE,
}


def file(name: str, package: str, messages: Mapping[str, Fields], *imports: str) -> Any:
    """A file; types are scalars, `map:TYPE` (of string), `list:TYPE`, `one:TYPE` (of the oneof `value`) or messages."""
    made = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3", dependency=imports)
    for title, fields in messages.items():
        message = made.message_type.add(name=title)
        for field, number, kind in fields:
            _add(message, f".{package}.{title}", field, number, kind)
    return made


def _add(message: Any, path: str, name: str, number: int, kind: str) -> None:
    how, _, rest = kind.rpartition(":")
    if how == "map":
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add(entry, "", "key", 1, "string")
        _add(entry, "", "value", 2, rest)
        message.field.add(name=name, number=number, label=3, type=11, type_name=f"{path}.{name.title()}Entry")
        return
    field = message.field.add(name=name, number=number, label=3 if how == "list" else 1)
    if rest in _SCALARS:
        field.type = _SCALARS[rest]
    else:
        field.type, field.type_name = _PROTO.TYPE_MESSAGE, f".{rest}"
    if how == "one":
        if not message.oneof_decl:
            message.oneof_decl.add(name="value")
        field.oneof_index = 0


def well_known(module: Any) -> Any:
    return descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)


WRAPPERS = {
    "IPAddress": "bytes",
    "TimeStamp": "google.protobuf.Timestamp",
    "Duration": DURATION,
    "DNSName": "string",
    "EmailAddress": "string",
    "Uri": "string",
    "StringMap": "map:string",
}
VALUE: Fields = (
    ("string_value", 1, "one:string"),
    ("int64_value", 2, "one:int64"),
    ("double_value", 3, "one:double"),
    ("bool_value", 4, "one:bool"),
    ("ip_address_value", 5, f"one:{POLICY}.IPAddress"),
    ("timestamp_value", 6, f"one:{POLICY}.TimeStamp"),
    ("duration_value", 7, f"one:{POLICY}.Duration"),
    ("string_map_value", 11, f"one:{POLICY}.StringMap"),
)
STATUS: Fields = (("code", 1, "int32"), ("message", 2, "string"), ("details", 3, "list:sets.Any"))
RESULT: Fields = (("status", 1, "google.rpc.Status"), ("valid_duration", 2, DURATION), ("valid_use_count", 3, "int32"))


def _base() -> list[Any]:
    options = well_known(descriptor_pb2)
    extensions = file("mixer/extensions.proto", MODEL, {}, "google/protobuf/descriptor.proto")
    variety = extensions.enum_type.add(name="TemplateVariety")
    for number, name in enumerate(("CHECK", "REPORT", "QUOTA", "ATTRIBUTE_GENERATOR", "CHECK_WITH_OUTPUT")):
        variety.value.add(name=f"TEMPLATE_VARIETY_{name}", number=number)
    extendee = ".google.protobuf.FileOptions"
    kind = f".{MODEL}.TemplateVariety"
    extensions.extension.add(
        name="template_variety", number=72295727, label=1, type=14, type_name=kind, extendee=extendee
    )
    extensions.extension.add(name="template_name", number=72295888, label=1, type=9, extendee=extendee)
    policy = {name: (("value", 1, kind),) for name, kind in WRAPPERS.items()}
    quota = {
        "QuotaParams": (("amount", 1, "int64"), ("best_effort", 2, "bool")),
        "QuotaRequest": (("quotas", 1, f"map:{MODEL}.QuotaParams"),),
        "Granted": (("valid_duration", 2, DURATION), ("granted_amount", 3, "int64")),
        "QuotaResult": (("quotas", 1, f"map:{MODEL}.Granted"),),
    }
    times = ("google/protobuf/duration.proto", "google/protobuf/timestamp.proto")
    return [
        options,
        extensions,
        well_known(duration_pb2),
        well_known(timestamp_pb2),
        file("any.proto", "sets", {"Any": (("type_url", 1, "string"), ("value", 2, "bytes"))}),
        file("status.proto", RPC, {"Status": STATUS}, "any.proto"),
        file("policy.proto", POLICY, {**policy, "Value": VALUE}, *times),
        file("check.proto", MODEL, {"CheckResult": RESULT, "ReportResult": (), **quota}, times[0], "status.proto"),
    ]


def encoded(files: Sequence[Any]) -> str:
    return b64encode(descriptor_pb2.FileDescriptorSet(file=files).SerializeToString()).decode()


def template(
    instance: Fields,
    *,
    variety: int = 0,
    output: Fields = (),
    others: Mapping[str, Fields] | None = None,
    package: str = "look",
) -> str:
    """The base64 of a template `look` with `InstanceMsg`'s fields, and `OutputMsg`'s for varieties 3 and 4."""
    instances = (
        ("instances", 1, f"list:{package}.InstanceMsg") if variety == 1 else ("instance", 1, f"{package}.InstanceMsg")
    )
    request: list[tuple[str, int, str]] = [instances, ("adapter_config", 2, "sets.Any"), ("dedup_id", 3, "string")]
    request += [("quota_request", 4, f"{MODEL}.QuotaRequest")] if variety == 2 else []
    messages: dict[str, Fields] = {
        "InstanceMsg": (("name", 72295727, "string"), *instance),
        "HandleLookRequest": request,
        **(others or {}),
    }
    answer = {0: "CheckResult", 1: "ReportResult", 2: "QuotaResult"}.get(variety)
    answer_type = f".{MODEL}.{answer}"
    if variety == 3:
        messages["OutputMsg"], answer_type = output, f".{package}.OutputMsg"
    elif answer is None:
        messages["OutputMsg"], answer_type = output, f".{package}.HandleLookResponse"
        messages["HandleLookResponse"] = (("result", 1, f"{MODEL}.CheckResult"), ("output", 2, f"{package}.OutputMsg"))
    base = _base()
    own = file("look.proto", package, messages, *(one.name for one in base))
    service = own.service.add(name="HandleLookService")
    service.method.add(name="HandleLook", input_type=f".{package}.HandleLookRequest", output_type=answer_type)
    # What the extensions of the file options are, as bytes: this program does not know them.
    own.options.MergeFromString(b"\xf8\xd2\xe4\x93\x02" + bytes([variety]) + b"\x82\xdd\xe4\x93\x02\x04look")
    return encoded([*base, own])


def adapter_config(fields: Fields = (("table", 1, "map:string"), ("deep", 2, "bool"))) -> str:
    """The base64 of an adapter's `Params`."""
    return encoded([file("config.proto", "look", {"Params": fields})])


def metric_documents(namespace: str) -> str:
    """Istio's template `metric` and the adapter of Prometheus out of process, without a session."""
    value = f"{POLICY}.Value"
    fields = (("value", 1, value), ("dimensions", 2, f"map:{value}"), ("monitored_resource_type", 3, "string"))
    metric = template((*fields, ("monitored_resource_dimensions", 4, f"map:{value}")), variety=1, package="metric")
    info: Fields = (("name", 1, "string"), ("instance_name", 2, "string"), ("label_names", 4, "list:string"))
    params = file("prometheus.proto", "prom", {"Info": info, "Params": (("metrics", 1, "list:prom.Info"),)})
    kind = params.message_type[0].enum_type.add(name="Kind")
    for number, name in enumerate(("UNSPECIFIED", "GAUGE", "COUNTER", "DISTRIBUTION")):
        kind.value.add(name=name, number=number)
    params.message_type[0].field.add(name="kind", number=3, label=1, type=_PROTO.TYPE_ENUM, type_name=".prom.Info.Kind")
    head = f"apiVersion: config.istio.io/v1alpha2\nkind: {{}}\nmetadata: {{{{name: {{}}, namespace: {namespace}}}}}\n"
    return (
        head.format("template", "metric")
        + f'spec: {{descriptor: "{metric}"}}\n---\n'
        + head.format("adapter", "prometheus-nosession")
        + f'spec: {{templates: [metric], config: "{encoded([params])}"}}\n'
    )


OUTPUT: Fields = (("value", 2, "string"),)
KEYED = template((("key", 1, "string"),), variety=4, output=OUTPUT)


def objects(text: str) -> list[Object[Any]]:
    """Objects of `config.istio.io`, of the namespace `ns`: (kind, name, spec)."""
    head = "apiVersion: config.istio.io/v1alpha2\nkind: {}\nmetadata: {{name: {}, namespace: ns}}\nspec: {}\n"
    rows = [line.split(" ", 2) for line in text.strip().splitlines()]
    return [
        decode_object(one) for one in parse_documents("---\n".join(head.format(*row) for row in rows), "adapters.yaml")
    ]


def look(instance: str = "{template: look, params: {key: request.path}}", params: str = "{table: {a: b}}") -> str:
    """A whole adapter, its template, a handler and an instance."""
    return f"""
template look {{descriptor: "{KEYED}"}}
adapter look {{templates: [look], config: "{adapter_config()}"}}
handler h {{adapter: look, connection: {{address: "look:9070"}}, params: {params}}}
instance i {instance}
"""


def documents(name: str, namespace: str = "default") -> str:
    """An adapter and its template, both called `name`, with the fields of `KEYED`; YAML to put before other objects."""
    head = "apiVersion: config.istio.io/v1alpha2\nkind: {}\nmetadata: {{name: {}, namespace: {}}}\nspec: {}\n---\n"
    specs = {"template": f'{{descriptor: "{KEYED}"}}', "adapter": f"{{templates: [{name}]}}"}
    return "".join(head.format(kind, name, namespace, spec) for kind, spec in specs.items())
