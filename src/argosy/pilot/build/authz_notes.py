"""What is counted and logged of authorization rules that are not enforced: AUDIT, and what is only tried.

Envoy's RBAC filters write into a request's (a connection's) metadata what such rules say; these loggers wake only
where something was written, so that all other traffic pays one look-up.
Source: envoy.config.accesslog.v3.MetadataFilter; envoy.extensions.access_loggers.stats.v3.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from argosy.authz.refusals import ASKED_LINE
from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build.authz_places import HTTP_NOTES, MATCHED, NOTES, POLICY, RESULT, TCP_NOTES

_STATS = "envoy.extensions.access_loggers.stats.v3.Config"
_STDOUT = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
COUNTER = "istio_authorization_notes_total"
"""The proxy's counter, from which Mixer makes those that people read."""
_WHO = "%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_REMOTE_ADDRESS% to %DOWNSTREAM_LOCAL_ADDRESS%"
_WHAT = '"%REQ(:METHOD)% %REQ(:PATH)%" "%REQ(:AUTHORITY)%" "%REQ(X-REQUEST-ID)%" from '


@cache
def note_loggers(*, http: bool) -> tuple[Any, ...]:
    """The loggers of an HTTP connection manager, or of a TCP proxy whose chain notes anything."""
    place = HTTP_NOTES if http else TCP_NOTES
    counted = [_is(place, prefix, {"present_match": True}) for prefix in NOTES.values()]
    told = [_is(place, prefix, {"string_match": {"exact": MATCHED}}) for prefix in NOTES.values()]
    loggers = [
        _logger("envoy.access_loggers.stats", _counter(place), counted),
        _logger("envoy.access_loggers.stdout", _line(place, http=http), told),
    ]
    if http:
        # An authorizer's refusal says nothing of the rule that made the proxy ask.
        refused = [{"response_flag_filter": {"flags": ["UAEX"]}}]
        text = f'[%START_TIME%] {ASKED_LINE}%DYNAMIC_METADATA({place})% for "%REQ(X-REQUEST-ID)%"\n'
        loggers.append(_logger("envoy.access_loggers.stdout", _stdout(text), refused))
    return tuple(loggers)


def _is(place: str, prefix: str, value: dict[str, Any]) -> dict[str, Any]:
    matcher = {"filter": place, "path": [{"key": prefix + RESULT}], "value": value}
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": v.wrap(False)}}


def _logger(name: str, config: Any, filters: list[dict[str, Any]]) -> Any:
    made = message("envoy.config.accesslog.v3.AccessLog")
    # Envoy's "or" wants at least two.
    chosen = {"or_filter": {"filters": filters}} if len(filters) > 1 else filters[0]
    return made(name=name, filter=chosen, typed_config=pack(config))


def _value(place: str, key: str) -> str:
    return f"%DYNAMIC_METADATA({place}:{key})%"


def _counter(place: str) -> Any:
    tags = {}
    for action, prefix in NOTES.items():
        tags[action.lower()] = _value(place, prefix + RESULT)
        tags[f"{action.lower()}_policy"] = _value(place, prefix + POLICY)
    stat = {"name": COUNTER, "tags": [{"name": name, "value_format": value} for name, value in tags.items()]}
    return message(_STATS)(stats_scope={"prefix": ""}, counters=[{"stat": stat, "value_fixed": v.wrap(1)}])


def _line(place: str, *, http: bool) -> Any:
    told = ", ".join(
        f"{title} {_value(place, NOTES[action] + RESULT)} {_value(place, NOTES[action] + POLICY)}"
        for action, title in (("AUDIT", "audit"), ("DENY", "dry-run deny"), ("ALLOW", "dry-run allow"))
    )
    return _stdout(f"[%START_TIME%] authorization notes: {told}: {_WHAT if http else ''}{_WHO}\n")


def _stdout(text: str) -> Any:
    return message(_STDOUT)(log_format={"text_format_source": {"inline_string": text}})
