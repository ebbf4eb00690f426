"""What Telemetry objects make of a metric's tags, as a proxy's statistics say it.

Given one metric's exceptions, gives what joins the tag that holds everything (for Mixer, which reads it), and tags of
their own, which the proxy fills in. Names that Mixer uses itself get a prefix. Source: istio.io Telemetry.
"""

from __future__ import annotations

from argosy.core.tag_value import COUNTED_TAGS, FormatValue, PeerValue, TagValueError, label_of, parse_tag_value
from argosy.pilot.counted import Counted

DROP = "drop"
OF_PEER = "peer."
ESCAPED = "tag."
UNKNOWN = "unknown"
RESERVED = COUNTED_TAGS | {DROP, "call", "conn", "messages", "rest", "left"}


def metric_tags(counted: Counted, *, source: bool) -> tuple[dict[str, str], dict[str, str]]:
    """What is said in the common tag, and what stands in tags of its own. `source`: by the client's side."""
    said: dict[str, str] = {}
    apart: dict[str, str] = {}
    removed = [label_of(name) for name, value in counted.tags if value is None]
    if removed:
        said[DROP] = ",".join(removed)
    for tag, value in counted.tags:
        if value is None:
            continue
        name = label_of(tag)
        try:
            found = parse_tag_value(value)
        except TagValueError:  # such an object is refused; one that came another way gets an honest label
            found = FormatValue(UNKNOWN)
        if isinstance(found, FormatValue):
            apart[_own(name)] = found.text or UNKNOWN
        elif (found.end == "upstream") == source:
            said[OF_PEER + name] = _asked(found)
        else:
            # The proxy that reports is this end, and of it Istio says nothing here.
            apart[_own(name)] = found.default or UNKNOWN
    return said, apart


def _own(name: str) -> str:
    return f"{ESCAPED}{name}" if name in RESERVED or name.startswith((OF_PEER, ESCAPED)) else name


def _asked(value: PeerValue) -> str:
    kind, _, name = value.attribute.partition(":")
    return f"{kind}:{name}:{value.default}"
