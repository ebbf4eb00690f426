"""A `template` object's descriptor: its variety, its service, its messages; requests made, answers read.

Given the base64 text; gives a `Template`, or an error. Requests are those of `<package>.Handle<Name>Service`; what an
adapter answers becomes a `Verdict`. Source: Istio 1.4's out-of-process adapters, `istio.mixer.adapter.model.v1beta1`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

from google.protobuf.message import DecodeError

from argosy.core.frozen import FrozenMap
from argosy.mixer.adapters.descriptors import DescriptorError, read_descriptor_set
from argosy.mixer.adapters.direct import direct_answer
from argosy.mixer.adapters.fields import INSTANCE_NAME, FieldKind, Leaf, MapOf, fields_of
from argosy.mixer.adapters.values import fill, read, span_of
from argosy.mixer.attributes import ValueType
from argosy.mixer.port import QuotaAsked, Verdict
from argosy.mixer.status import OK, STATUS_NAMES

_VARIETY = "istio.mixer.adapter.model.v1beta1.template_variety"
UNKNOWN = 2
_NAME = "istio.mixer.adapter.model.v1beta1.template_name"
USES_DEFAULT = 10_000


class Variety(IntEnum):
    """What a template is for."""

    CHECK = 0
    REPORT = 1
    QUOTA = 2
    ATTRIBUTE_GENERATOR = 3
    CHECK_WITH_OUTPUT = 4


class AnswerError(ValueError):
    """An adapter's answer is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One template. `path` is its gRPC method; `fields` are those of an instance, `outputs` the types it gives back."""

    name: str
    variety: Variety
    path: str
    fields: Mapping[str, FieldKind]
    outputs: FrozenMap[str, ValueType]
    request: Any
    response: Any

    def ask(
        self,
        instance: str,
        values: Mapping[str, Any],
        config: tuple[str, bytes],
        *,
        dedup_id: str,
        quota: QuotaAsked | None,
    ) -> bytes:
        """The request about one instance. Errors: `ValueError` for values that do not fit."""
        message = self.request()
        inner = message.instances.add() if self.variety is Variety.REPORT else message.instance
        fill(inner, values)
        setattr(inner, INSTANCE_NAME, instance)
        message.adapter_config.type_url, message.adapter_config.value = config
        message.dedup_id = dedup_id
        if self.variety is Variety.QUOTA and quota is not None:
            wanted = message.quota_request.quotas[instance]
            wanted.amount, wanted.best_effort = quota.amount, quota.best_effort
        return bytes(message.SerializeToString())

    def answer(self, data: bytes, instance: str) -> Verdict:
        """What an adapter said. Errors: `AnswerError`."""
        try:
            message = self.response.FromString(data)
        except DecodeError:
            raise AnswerError(f"is not a {self.response.DESCRIPTOR.full_name}") from None
        if self.variety is Variety.QUOTA:
            return _granted(message, instance)
        if self.variety is Variety.REPORT:
            return Verdict()
        if self.variety is Variety.ATTRIBUTE_GENERATOR:
            return Verdict(output=FrozenMap(read(message)))
        with_output = self.variety is Variety.CHECK_WITH_OUTPUT
        result = message.result if with_output else message
        code, text = result.status.code, result.status.message
        if not 0 <= code < len(STATUS_NAMES):
            code, text = UNKNOWN, f"status {code} of the adapter"
        return Verdict(
            code=code,
            message=text,
            valid_duration_s=_duration(result),
            valid_use_count=result.valid_use_count or USES_DEFAULT,
            output=FrozenMap(read(message.output)) if with_output else FrozenMap(),
            answer=direct_answer(_details(result.status)) if code != OK else None,
        )


def _details(status: Any) -> Sequence[Any]:
    """Those of a `google.rpc.Status`, if the adapter's descriptors have them."""
    field = status.DESCRIPTOR.fields_by_name.get("details")
    inner = field.message_type.fields_by_name if field is not None and field.message_type is not None else {}
    return list(status.details) if field.is_repeated and {"type_url", "value"} <= set(inner) else []


def _duration(result: Any) -> float:
    """For how long an answer holds; one that does not say is for one request."""
    return max(span_of(result.valid_duration).total_seconds(), 0.0) if result.HasField("valid_duration") else 0.0


def _granted(message: Any, instance: str) -> Verdict:
    if instance not in message.quotas:
        raise AnswerError(f"says nothing about {instance}")
    result = message.quotas[instance]
    return Verdict(granted=result.granted_amount, valid_duration_s=_duration(result))


@lru_cache(maxsize=256)
def read_template(text: str) -> Template:
    """The template that a descriptor means. Errors: `DescriptorError`."""
    found = read_descriptor_set(text)
    package, own = found.own.package, found.own
    services = [one for one in own.service if one.name.startswith("Handle") and one.name.endswith("Service")]
    if len(services) != 1 or len(services[0].method) != 1:
        raise DescriptorError("has no service Handle<Name>Service with one method")
    method = services[0].method[0]
    file = found.pool.FindFileByName(own.name)
    variety = _option(found, file, _VARIETY, 0)
    request, response = (found.message(name.removeprefix(".")) for name in (method.input_type, method.output_type))
    instance = found.message(f"{package}.InstanceMsg")
    if request is None or response is None or instance is None:
        raise DescriptorError(f"lacks the messages of {package}.{services[0].name}, or InstanceMsg")
    kind = Variety(variety) if variety in list(Variety) else None
    if kind is None:
        raise DescriptorError("is of a variety that out-of-process adapters cannot have")
    _need(request, ("instances" if kind is Variety.REPORT else "instance", "adapter_config", "dedup_id"))
    if kind in (Variety.CHECK, Variety.QUOTA):
        _need(response, ("quotas",) if kind is Variety.QUOTA else ("status", "valid_duration", "valid_use_count"))
    outputs = _output_types(response.DESCRIPTOR) if kind is Variety.ATTRIBUTE_GENERATOR else {}
    if kind is Variety.CHECK_WITH_OUTPUT:
        _need(response, ("result", "output"))
        outputs = _output_types(response.DESCRIPTOR.fields_by_name["output"].message_type)
    fields = fields_of(instance.DESCRIPTOR)
    fields.pop(INSTANCE_NAME, None)
    return Template(
        name=str(_option(found, file, _NAME, "") or package.rpartition(".")[2]),
        variety=kind,
        path=f"/{package}.{services[0].name}/{method.name}" if package else f"/{services[0].name}/{method.name}",
        fields=fields,
        outputs=FrozenMap(outputs),
        request=request,
        response=response,
    )


def _output_types(descriptor: Any) -> dict[str, ValueType]:
    found: dict[str, ValueType] = {}
    for name, kind in fields_of(descriptor).items():
        if isinstance(kind, MapOf):
            found[name] = ValueType.STRING_MAP
        elif isinstance(kind, Leaf) and kind.type is not None:
            found[name] = kind.type
    return found


def _need(message: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in message.DESCRIPTOR.fields_by_name:
            raise DescriptorError(f"message {message.DESCRIPTOR.full_name} has no field {name}")


def _option(found: Any, file: Any, name: str, default: Any) -> Any:
    """An option of the file. Options are read as the set itself describes them."""
    try:
        extension = found.pool.FindExtensionByName(name)
    except KeyError:
        return default
    options_type = found.message("google.protobuf.FileOptions")
    options: Any = options_type.FromString(found.own.options.SerializeToString())
    return options.Extensions[extension]
