"""The kinds of Envoy's attributes and of what its messages hold; Envoy itself is asked by `tests/conformance/cel`."""

import pytest

from argosy.galley.validate.cel_types import (
    ANY,
    DURATION,
    INT,
    STRING,
    Kind,
    kind_named,
    kind_of_field,
    kind_of_group,
    kind_of_message,
    message_type,
)


@pytest.mark.parametrize(
    "message, field, kind",
    [
        ("envoy.config.core.v3.Node", "id", STRING),
        ("envoy.config.core.v3.Node", "metadata", kind_named("struct")),
        ("envoy.config.core.v3.Node", "client_features", Kind("list", values=STRING)),
        ("envoy.config.core.v3.BuildVersion", "version", kind_named("envoy.type.v3.SemanticVersion")),
        ("envoy.config.core.v3.Metadata", "filter_metadata", Kind("map", keys="string", values=kind_named("struct"))),
        ("envoy.config.core.v3.SocketAddress", "protocol", INT),
        ("envoy.config.core.v3.DataSource", "inline_bytes", kind_named("bytes")),
        ("envoy.config.cluster.v3.Cluster", "connect_timeout", DURATION),
        ("envoy.config.cluster.v3.Cluster", "per_connection_buffer_limit_bytes", ANY),
    ],
)
def test_what_a_field_holds(message: str, field: str, kind: Kind) -> None:
    assert kind_of_field(message_type(message).fields_by_name[field]) == kind


def test_what_is_made_of_a_message() -> None:
    assert kind_of_message(message_type("google.protobuf.Duration")) == DURATION
    assert kind_of_message(message_type("google.protobuf.Value")) == ANY
    assert str(kind_of_message(message_type("envoy.config.core.v3.Node"))) == "message"


def test_groups() -> None:
    assert kind_of_group("request") == Kind("map", group="request", keys="string")
    assert kind_of_group("metadata") == kind_named("envoy.config.core.v3.Metadata")
    assert kind_of_group("till") is None
    with pytest.raises(KeyError):
        message_type("shop.Till")
