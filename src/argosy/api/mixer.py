"""`config.istio.io/v1alpha2`: Mixer's objects.

`handler` and `instance` decode to a struct whose `params` have the type of the adapter or template they name; what
out-of-process adapters and templates take is kept as frozen plain values. The older kinds (`kind: denier`, `kind:
listentry`, ...) decode to the very same `Handler` and `Instance`. Source: Istio 1.4's policy and quota APIs.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Literal

import msgspec

from argosy.api.meta import BothSpellings, Seconds, StringMatch
from argosy.api.mixer_adapters import ADAPTERS
from argosy.api.mixer_templates import TEMPLATES, KubernetesLookup, OlderKubernetesLookup
from argosy.core.frozen import EMPTY, FrozenMap

NO_PARAMS: FrozenMap[str, Any] = FrozenMap()


class OAuth(BothSpellings, frozen=True, kw_only=True):
    """Tokens that Mixer gets as a client with a secret, which is in the file `client_secret`."""

    client_id: str = ""
    client_secret: str = ""
    token_url: str = ""
    scopes: tuple[str, ...] = ()
    endpoint_params: FrozenMap[str, str] = EMPTY


class TlsAuthentication(BothSpellings, frozen=True, kw_only=True):
    """Server TLS towards an adapter; at most one way to get a token, and one to send it."""

    ca_certificates: str = ""
    token_path: str = ""
    oauth: OAuth | None = None
    auth_header: Literal["PLAIN", "BEARER"] | None = None
    custom_header: str = ""
    server_name: str = ""


class MutualAuthentication(BothSpellings, frozen=True, kw_only=True):
    """Mutual TLS towards an adapter, by files where Mixer runs."""

    private_key: str = ""
    client_certificate: str = ""
    ca_certificates: str = ""
    server_name: str = ""


class ConnectionAuthentication(BothSpellings, frozen=True, kw_only=True):
    """How Mixer and an adapter know each other."""

    tls: TlsAuthentication | None = None
    mutual: MutualAuthentication | None = None


class Connection(BothSpellings, frozen=True, kw_only=True):
    """Where an out-of-process adapter listens."""

    address: str = ""
    timeout: Seconds | None = None
    authentication: ConnectionAuthentication | None = None


class Handler(BothSpellings, frozen=True, kw_only=True):
    """One configured adapter: `compiled_adapter` of `ADAPTERS`, or an out-of-process `adapter` with `connection`.

    `params` is the struct of the compiled adapter, a `FrozenMap` for all others. `name` means nothing beside that of
    the object.
    """

    name: str = ""
    compiled_adapter: str = ""
    adapter: str = ""
    connection: Connection | None = None
    params: Any = NO_PARAMS


class Instance(BothSpellings, frozen=True, kw_only=True):
    """How a template's values are made from attributes: `compiled_template` of `TEMPLATES`, or another `template`.

    `params` is the struct of the template, a `FrozenMap` for templates that are not compiled in. `name` means nothing
    beside that of the object.
    """

    name: str = ""
    compiled_template: str = ""
    template: str = ""
    params: Any = NO_PARAMS
    attribute_bindings: FrozenMap[str, str] = EMPTY

    @property
    def template_name(self) -> str:
        """The template, whichever way it is named."""
        return self.compiled_template or self.template


class Action(BothSpellings, frozen=True, kw_only=True):
    """Which handler gets which instances; `name` lets header operations speak of the output."""

    handler: str
    instances: tuple[str, ...] = ()
    name: str = ""


class HeaderOperation(BothSpellings, frozen=True, kw_only=True):
    """What is done to one header; `values` are expressions, also over `<action>.output.<field>`."""

    name: str
    values: tuple[str, ...] = ()
    operation: Literal["REPLACE", "REMOVE", "APPEND"] = "REPLACE"


class FractionalPercent(BothSpellings, frozen=True, kw_only=True):
    """A share of hundred or of ten thousand."""

    numerator: int = 0
    denominator: Literal["HUNDRED", "TEN_THOUSAND"] = "HUNDRED"


class RandomSampling(BothSpellings, frozen=True, kw_only=True):
    """Takes a random share; by an attribute, so that several Mixers take the same."""

    attribute_expression: str = ""
    percent_sampled: FractionalPercent = FractionalPercent()
    use_independent_randomness: bool = False


class RateLimitSampling(BothSpellings, frozen=True, kw_only=True):
    """Takes all up to a number, then one in some, each interval."""

    sampling_duration: Seconds = Seconds(0.0)
    max_unsampled_entries: int = 0
    sampling_rate: int = 0


class Sampling(BothSpellings, frozen=True, kw_only=True):
    """Of which matching requests a rule's reports are made."""

    random: RandomSampling | None = None
    rate_limit: RateLimitSampling | None = None


class Rule(BothSpellings, frozen=True, kw_only=True):
    """When `match` holds (empty: always), perform `actions` and then the operations on headers."""

    match: str = ""
    actions: tuple[Action, ...] = ()
    request_header_operations: tuple[HeaderOperation, ...] = ()
    response_header_operations: tuple[HeaderOperation, ...] = ()
    sampling: Sampling | None = None


AttributeType = Literal[
    "VALUE_TYPE_UNSPECIFIED",
    "STRING",
    "INT64",
    "DOUBLE",
    "BOOL",
    "TIMESTAMP",
    "IP_ADDRESS",
    "EMAIL_ADDRESS",
    "URI",
    "DNS_NAME",
    "DURATION",
    "STRING_MAP",
]


class AttributeInfo(BothSpellings, frozen=True, kw_only=True):
    """One attribute's type."""

    description: str = ""
    value_type: AttributeType = "VALUE_TYPE_UNSPECIFIED"


class AttributeManifest(BothSpellings, frozen=True, kw_only=True):
    """Attributes that some component produces."""

    revision: str = ""
    name: str = ""
    attributes: FrozenMap[str, AttributeInfo] = FrozenMap()


class AdapterInfo(BothSpellings, frozen=True, kw_only=True):
    """`kind: adapter`: an out-of-process adapter; `config` is a base64 FileDescriptorSet of its parameters.

    `session_based`: it is to be told of its configuration once. Mixer never did: such an adapter gets none.
    """

    description: str = ""
    session_based: bool = False
    templates: tuple[str, ...] = ()
    config: str = ""


class TemplateInfo(BothSpellings, frozen=True, kw_only=True):
    """`kind: template`: `descriptor` is a base64 FileDescriptorSet of the template's messages."""

    descriptor: str = ""


class ServiceReference(BothSpellings, frozen=True, kw_only=True):
    """A service: by `name` and `namespace` (and `domain`), or by its whole `service` name; `*` means all."""

    name: str = ""
    namespace: str = ""
    domain: str = ""
    service: str = ""
    labels: FrozenMap[str, str] = EMPTY


class SpecReference(BothSpellings, frozen=True, kw_only=True):
    """Name of a QuotaSpec or HTTPAPISpec; its namespace defaults to the binding's."""

    name: str
    namespace: str = ""


class AttributeMatch(BothSpellings, frozen=True, kw_only=True):
    """All of `clause` must hold: attribute name to comparison."""

    clause: FrozenMap[str, StringMatch] = FrozenMap()


class QuotaCharge(BothSpellings, frozen=True, kw_only=True):
    """How much of which quota instance a request costs."""

    quota: str
    charge: int = 1


class QuotaRule(BothSpellings, frozen=True, kw_only=True):
    """Charges `quotas` if any of `match` holds, or there is none."""

    match: tuple[AttributeMatch, ...] = ()
    quotas: tuple[QuotaCharge, ...] = ()


class QuotaSpec(BothSpellings, frozen=True, kw_only=True):
    """What requests cost."""

    rules: tuple[QuotaRule, ...] = ()


class QuotaSpecBinding(BothSpellings, frozen=True, kw_only=True):
    """Which services' requests cost what."""

    services: tuple[ServiceReference, ...] = ()
    quota_specs: tuple[SpecReference, ...] = ()


class StringMap(BothSpellings, frozen=True, kw_only=True):
    """A map as the value of an attribute."""

    entries: FrozenMap[str, str] = EMPTY


class AttributeValue(BothSpellings, frozen=True, kw_only=True):
    """One attribute's value; exactly one is set."""

    string_value: str | None = None
    int64_value: int | str | None = None
    double_value: float | None = None
    bool_value: bool | None = None
    bytes_value: str | None = None
    timestamp_value: str | None = None
    duration_value: Seconds | None = None
    string_map_value: StringMap | None = None


class AttributeBag(BothSpellings, frozen=True, kw_only=True):
    """Attributes with their values."""

    attributes: FrozenMap[str, AttributeValue] = FrozenMap()


class HTTPAPIPattern(BothSpellings, frozen=True, kw_only=True):
    """Attributes of requests with that method and path; `uri_template` as in RFC 6570 level 1, or `regex`."""

    attributes: AttributeBag = AttributeBag()
    http_method: str = ""
    uri_template: str = ""
    regex: str = ""


class APIKeyLocation(BothSpellings, frozen=True, kw_only=True):
    """Where a request carries its API key; exactly one is set."""

    query: str = ""
    header: str = ""
    cookie: str = ""


class HTTPAPISpec(BothSpellings, frozen=True, kw_only=True):
    """The operations of an API: fills `api.*` and `request.api_key`."""

    attributes: AttributeBag = AttributeBag()
    patterns: tuple[HTTPAPIPattern, ...] = ()
    api_keys: tuple[APIKeyLocation, ...] = ()


class HTTPAPISpecBinding(BothSpellings, frozen=True, kw_only=True):
    """Which services offer which APIs."""

    services: tuple[ServiceReference, ...] = ()
    api_specs: tuple[SpecReference, ...] = ()


def _variants(base: type[Any], params: MappingProxyType[str, type[Any]]) -> MappingProxyType[str, type[Any]]:
    """For each adapter or template a struct like `base` whose `params` are typed."""
    made: dict[str, type[Any]] = {}
    for name, type_ in params.items():
        optional = not any(field.required for field in msgspec.structs.fields(type_))
        field = ("params", type_, type_()) if optional else ("params", type_)
        made[name] = msgspec.defstruct(
            base.__name__, [field], bases=(base,), module=__name__, frozen=True, kw_only=True, rename="camel"
        )
    return MappingProxyType(made)


class _FreeHandler(Handler, frozen=True, kw_only=True):
    params: FrozenMap[str, Any] = NO_PARAMS


class _FreeInstance(Instance, frozen=True, kw_only=True):
    params: FrozenMap[str, Any] = NO_PARAMS


_HANDLERS = _variants(Handler, ADAPTERS)
_INSTANCES = _variants(Instance, TEMPLATES)


def handler_type(body: object) -> type[Handler]:
    """The struct for the spec of a `handler`: by the compiled adapter that it names."""
    name = _named(body, "compiledAdapter", "compiled_adapter")
    return _HANDLERS.get(name, _FreeHandler)


def instance_type(body: object) -> type[Instance]:
    """The struct for the spec of an `instance`: by the template that it names, compiled in or not."""
    name = _named(body, "compiledTemplate", "compiled_template", "template")
    return _INSTANCES.get(name, _FreeInstance)


def _named(body: object, *fields: str) -> str:
    values = (body.get(field) for field in fields) if isinstance(body, dict) else ()
    return next((value for value in values if isinstance(value, str) and value), "")


def as_handler(kind: str, params: Any) -> Handler:
    """The handler that an object of the older kind `kind` means."""
    return _HANDLERS[kind](compiled_adapter=kind, params=params)  # type: ignore[no-any-return]


def as_instance(kind: str, params: Any) -> Instance:
    """The instance that an object of the older kind `kind` means."""
    bindings: FrozenMap[str, str] = EMPTY
    if isinstance(params, OlderKubernetesLookup):
        bindings = params.attribute_bindings
        params = KubernetesLookup(**{name: getattr(params, name) for name in KubernetesLookup.__struct_fields__})
    return _INSTANCES[kind](  # type: ignore[no-any-return]
        compiled_template=kind, params=params, attribute_bindings=bindings
    )


HANDLER_KINDS: tuple[str, ...] = ("handler", *ADAPTERS)
"""Kinds whose objects are `Object[Handler]`."""
INSTANCE_KINDS: tuple[str, ...] = ("instance", *TEMPLATES)
"""Kinds whose objects are `Object[Instance]`."""
MIXER_KINDS: tuple[str, ...] = (
    "rule",
    *HANDLER_KINDS,
    *INSTANCE_KINDS,
    "attributemanifest",
    "adapter",
    "template",
    "QuotaSpec",
    "QuotaSpecBinding",
    "HTTPAPISpec",
    "HTTPAPISpecBinding",
)
"""All kinds of Mixer's configuration."""
