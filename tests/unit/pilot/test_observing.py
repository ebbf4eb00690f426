"""What counts where several Telemetry objects, the pod's annotation and the mesh configuration speak."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.api import decode_object, parse_documents
from argosy.api.mesh_config import ProxyTracing, parse_mesh_config, parse_proxy_config
from argosy.api.telemetry import Side, Telemetry
from argosy.pilot.observed import MESH_DATADOG, MESH_FILE, LogRule, Observation, TraceRule
from argosy.pilot.observing import asked_hosts, log_rules, trace_rule

PROVIDERS = """
extensionProviders:
- {name: file, envoyFileAccessLog: {}}
- {name: als, envoyHttpAls: {service: als.a.svc, port: 9}}
- {name: gone, envoyOtelAls: {service: gone.a.svc, port: 9}}
- {name: spans, opentelemetry: {service: a/otel.a.svc, port: 9, maxTagLength: 30}}
- {name: zipkin, zipkin: {service: zipkin.a.svc, port: 9}}
- {name: away, zipkin: {service: gone.a.svc, port: 9}}
- {name: dog, datadog: {service: dog.a.svc, port: 9, maxTagLength: 20}}
- {name: asking, opentelemetry: {service: otel.a.svc, port: 9, http: {path: /}, dynatraceSampler: {tenant: t}}}
- name: asking-another
  opentelemetry:
    {service: otel.a.svc, port: 9, dynatraceSampler: {tenant: t, httpService: {service: dt.a.svc, port: 8}}}
- name: asking-nobody
  opentelemetry:
    {service: otel.a.svc, port: 9, dynatraceSampler: {tenant: t, httpService: {service: gone.a.svc, port: 8}}}
"""


def cluster_of(host: str, port: int) -> str:
    return "" if host.startswith("gone") else f"outbound|{port}||{host}"


def specs(*parts: str) -> list[Telemetry]:
    head = "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: a}\nspec: "
    return [decode_object(parse_documents(f"{head}{{{part}}}")[0]).spec for part in parts]


# -- access logs ----------------------------------------------------------------------------------------------------

ENVOY = "accessLogging: [{providers: [{name: envoy}]}]"
ONLY_SLOW = "accessLogging: [{providers: [{name: file}], filter: {expression: slow}}]"


@pytest.mark.parametrize(
    "parts, client, server",
    [
        ((), {MESH_FILE: ""}, {MESH_FILE: ""}),
        (("accessLogging: [{disabled: true}]",), {}, {}),
        (("accessLogging: [{match: {mode: SERVER}, disabled: true}]",), {MESH_FILE: ""}, {}),
        (("accessLogging: [{filter: {expression: e}}]",), {MESH_FILE: "e"}, {MESH_FILE: "e"}),
        ((ENVOY,), {"envoy": ""}, {"envoy": ""}),
        ((ENVOY, "accessLogging: [{disabled: true}]"), {}, {}),
        ((ENVOY, "accessLogging: [{match: {mode: CLIENT}, disabled: true}]"), {}, {"envoy": ""}),
        ((ENVOY, "accessLogging: [{match: {mode: SERVER}, filter: {expression: e}}]"), {"envoy": ""}, {"envoy": "e"}),
        ((ENVOY, "accessLogging: [{providers: [{name: file}]}]"), {"file": ""}, {"file": ""}),
        (("accessLogging: [{providers: [{name: file}, {name: als}]}]",), {"file": "", "als": ""},
         {"file": "", "als": ""}),
        ((ENVOY, "accessLogging: [{}]"), {"envoy": ""}, {"envoy": ""}),
        (
            ("accessLogging: [{providers: [{name: envoy}, {name: file}]}]",
             "accessLogging: [{providers: [{name: file}], disabled: true}, {providers: [{name: envoy}]}]"),
            {"envoy": ""}, {"envoy": ""},
        ),
        # Who is not there, or takes no logs, is nobody: the mesh's own log is written.
        (("accessLogging: [{providers: [{name: gone}, {name: nobody}, {name: spans}]}]",), {MESH_FILE: ""},
         {MESH_FILE: ""}),
        (("accessLogging: [{providers: [{name: nobody}, {name: als}]}]",), {"als": ""}, {"als": ""}),
        (("accessLogging: [{match: {mode: SERVER}, providers: [{name: als}]}]",), {MESH_FILE: ""}, {"als": ""}),
        (("accessLogging: [{match: {mode: SERVER}, providers: [{name: envoy}], disabled: true}]",), {MESH_FILE: ""},
         {}),
        ((ONLY_SLOW, "accessLogging: [{}]"), {"file": "slow"}, {"file": "slow"}),
        ((ONLY_SLOW, "accessLogging: [{disabled: true}, {match: {mode: SERVER}}]"), {}, {"file": "slow"}),
        ((ONLY_SLOW, "accessLogging: [{filter: {expression: e}}]", "accessLogging: [{}]"), {"file": "e"},
         {"file": "e"}),
        ((ONLY_SLOW, "accessLogging: [{providers: [{name: file}]}]"), {"file": ""}, {"file": ""}),
        (("accessLogging: [{providers: [{name: FILE}, {name: Als}, {name: Envoy}]}]",),
         {"file": "", "als": "", "envoy": ""}, {"file": "", "als": "", "envoy": ""}),
    ],
)  # fmt: skip
def test_the_narrowest_object_says_where_logs_go(
    parts: tuple[str, ...], client: dict[str, str], server: dict[str, str]
) -> None:
    config = parse_mesh_config(PROVIDERS)
    layers = [one.access_logging for one in specs(*parts)]
    wanted: dict[Side, dict[str, str]] = {"CLIENT": client, "SERVER": server}
    for side, rules in wanted.items():
        made = log_rules(layers, side, config, file=True, cluster_of=cluster_of)
        assert {one.provider: one.expression for one in made} == rules, side


def test_default_providers_stand_in_for_the_meshs_file() -> None:
    config = parse_mesh_config(PROVIDERS + "defaultProviders: {accessLogging: [als]}")
    made = log_rules([], "CLIENT", config, file=True, cluster_of=cluster_of)
    assert made == (LogRule("als", cluster="outbound|9||als.a.svc"),)
    assert log_rules([], "CLIENT", parse_mesh_config(PROVIDERS), file=False, cluster_of=cluster_of) == ()


def test_default_providers_are_not_meant_where_all_entries_are_about_the_other_side() -> None:
    """Somebody has spoken, but not of this side: as where nobody has, only the mesh's own log is left."""
    config = parse_mesh_config(PROVIDERS + "defaultProviders: {accessLogging: [als]}")
    for text, server in (
        ("{match: {mode: SERVER}, filter: {expression: e}}", (LogRule("als", "e", "outbound|9||als.a.svc"),)),
        ("{match: {mode: SERVER}, disabled: true}", ()),
        ("{match: {mode: SERVER}, providers: [{name: file}]}", (LogRule("file"),)),
    ):
        layers = [one.access_logging for one in specs(f"accessLogging: [{text}]")]
        for file, client in ((True, (LogRule(MESH_FILE),)), (False, ())):
            assert log_rules(layers, "CLIENT", config, file=file, cluster_of=cluster_of) == client, text
            assert log_rules(layers, "SERVER", config, file=file, cluster_of=cluster_of) == server, text


# -- tracing --------------------------------------------------------------------------------------------------------


def traced(*parts: str, mesh: str = "", own: str = "", side: Side = "CLIENT") -> TraceRule | None:
    entries = [entry for one in specs(*parts) for entry in one.tracing]
    annotated: ProxyTracing | None = parse_proxy_config(own).tracing
    return trace_rule(entries, side, parse_mesh_config(PROVIDERS + mesh), annotated, cluster_of=cluster_of)


def test_nothing_is_traced_where_nobody_asks() -> None:
    assert traced() is None
    assert traced(mesh="enableTracing: false\ndefaultConfig: {tracing: {sampling: 5}}") is None
    assert traced("tracing: [{match: {mode: SERVER}, randomSamplingPercentage: 5}]") is None


def test_without_a_provider_spans_go_to_the_meshs_own_collector() -> None:
    named = "tracing: [{providers: [{name: Argosy}]}]"
    for found in (
        traced(mesh="enableTracing: true"),
        traced("tracing: [{}]"),
        traced(own="tracing: {sampling: 1}"),
        traced(named),
    ):
        assert found is not None
        assert (found.provider, found.cluster, found.sampling) == ("argosy", "argosy-mixer", 1.0)


@pytest.mark.parametrize(
    "said, provider, cluster",
    [
        ({"mesh": "defaultConfig: {tracing: {zipkin: {address: 'z.b:9411'}}}"}, "", "outbound|9411||z.b"),
        ({"mesh": "defaultProviders: {tracing: [zipkin]}"}, "zipkin", "outbound|9||zipkin.a.svc"),
        ({"parts": ("tracing: [{providers: [{name: spans}]}]",)}, "spans", "outbound|9||otel.a.svc"),
        ({"parts": ("tracing: [{providers: [{name: Spans}]}]",)}, "spans", "outbound|9||otel.a.svc"),
        ({"parts": ("tracing: [{providers: [{name: dog}]}]",)}, "dog", "outbound|9||dog.a.svc"),
        ({"mesh": "defaultConfig: {tracing: {datadog: {address: 'D.b:8126'}}}"}, MESH_DATADOG, "outbound|8126||d.b"),
        (
            {"parts": ("tracing: [{providers: [{name: spans}]}]", "tracing: [{randomSamplingPercentage: 3}]")},
            "spans",
            "outbound|9||otel.a.svc",
        ),
    ],
)
def test_who_takes_spans(said: dict[str, Any], provider: str, cluster: str) -> None:
    found = traced(*said.get("parts", ()), mesh=said.get("mesh", ""))
    assert found is not None
    assert (found.provider, found.cluster) == (provider, cluster)


@pytest.mark.parametrize(
    "name, asked",
    [("spans", ""), ("asking", "outbound|9||otel.a.svc"), ("asking-another", "outbound|8||dt.a.svc")],
)
def test_whom_a_sampler_asks(name: str, asked: str) -> None:
    found = traced(f"tracing: [{{providers: [{{name: {name}}}]}}]")
    assert found is not None
    assert found.sampler_cluster == asked
    # Listeners wait for both.
    wanted = dict.fromkeys((found.cluster, asked or found.cluster))
    assert Observation(tracing=found).clusters == tuple(wanted)


def test_a_providers_limit_of_paths_goes_before_the_meshs() -> None:
    mesh = "defaultConfig: {tracing: {maxPathTagLength: 70}}"
    limits = {
        name: found.path_tag_max
        for name in ("dog", "spans", "asking")
        if (found := traced(f"tracing: [{{providers: [{{name: {name}}}]}}]", mesh=mesh)) is not None
    }
    assert limits == {"dog": 20, "spans": 30, "asking": 70}


@pytest.mark.parametrize("name", ["nobody", "file", "als", "away", "asking-nobody"])
def test_a_provider_that_takes_no_spans_gets_none(name: str) -> None:
    assert traced(f"tracing: [{{providers: [{{name: {name}}}]}}]") is None


MESH = "enableTracing: true\ndefaultConfig: {tracing: {sampling: 10, customTags: {m: {literal: {value: x}}}}}"


@pytest.mark.parametrize(
    "parts, own, sampling",
    [
        ((), "", 10.0),
        ((), "tracing: {sampling: 20}", 20.0),
        ((), "tracing: {}", 1.0),
        (("tracing: [{randomSamplingPercentage: 30.126}]",), "tracing: {sampling: 20}", 30.13),
        (("tracing: [{randomSamplingPercentage: 30}]", "tracing: [{randomSamplingPercentage: 0}]"), "", 0.0),
        (("tracing: [{randomSamplingPercentage: 30}]", "tracing: [{customTags: {}}]"), "", 30.0),
    ],
)
def test_sampling_of_telemetry_then_the_annotation_then_the_mesh(
    parts: tuple[str, ...], own: str, sampling: float
) -> None:
    found = traced(*parts, mesh=MESH, own=own)
    assert found is not None
    assert found.sampling == sampling


def test_tags_replace_tags_and_what_else_was_said_holds_on() -> None:
    wide = "tracing: [{providers: [{name: spans}], customTags: {foo: {literal: {value: a}}}, enableIstioTags: false}]"
    own = "tracing: [{customTags: {userId: {header: {name: x}}}, useRequestIdForTraceSampling: false}]"
    found, plain = traced(wide, own, mesh=MESH), traced(mesh=MESH)
    assert found is not None
    assert plain is not None
    assert [name for name, _tag in found.tags] == ["userId"]
    assert (found.istio_tags, found.by_request_id, found.path_tag_max) == (False, False, 30)
    assert ([name for name, _tag in plain.tags], plain.istio_tags, plain.path_tag_max) == (["m"], True, None)


def test_no_tags_replace_no_tags() -> None:
    wide = "tracing: [{customTags: {foo: {literal: {value: a}}}}]"
    found = traced(wide, "tracing: [{customTags: {}}]", mesh=MESH)
    assert found is not None
    assert [name for name, _tag in found.tags] == ["foo"]


def test_reporting_can_be_disabled_and_enabled_again() -> None:
    off, on = (f"tracing: [{{disableSpanReporting: {word}}}]" for word in ("true", "false"))
    assert traced(off, mesh=MESH) is None
    assert traced(off, on, mesh=MESH) is not None


def test_a_context_is_handed_on_unless_the_narrowest_word_forbids_it() -> None:
    off, on = (f"tracing: [{{disableContextPropagation: {word}}}]" for word in ("true", "false"))
    found = [traced(*parts, mesh=MESH) for parts in ((), (off,), (off, on), (on, off), (off, "tracing: [{}]"))]
    assert [one is not None and one.propagate for one in found] == [True, False, True, False, False]


def test_the_hosts_that_are_sent_to_are_known_beforehand() -> None:
    config = parse_mesh_config(PROVIDERS + "defaultConfig: {tracing: {zipkin: {address: 'Z.b:9'}}}")
    assert asked_hosts(config) == (
        "als.a.svc",
        "gone.a.svc",
        "otel.a.svc",
        "zipkin.a.svc",
        "dog.a.svc",
        "dt.a.svc",
        "z.b",
    )
