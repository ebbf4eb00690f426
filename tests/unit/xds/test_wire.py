"""The hand-written codec against google.protobuf, with descriptors built here."""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from argosy.xds.messages import (
    DeltaRequest,
    DeltaResponse,
    ErrorDetail,
    Resource,
    SotwRequest,
    SotwResponse,
    content_version,
)
from argosy.xds.protowire import WireError, decode_varint, encode_varint, fields
from argosy.xds.wire import (
    decode_delta_request,
    decode_delta_response,
    decode_sotw_request,
    decode_sotw_response,
    encode_delta_request,
    encode_delta_response,
    encode_sotw_request,
    encode_sotw_response,
)

STRING, BYTES, MESSAGE, INT32, BOOL = 9, 12, 11, 5, 8
MESSAGES = {
    "Any": [("type_url", 1, STRING, 0), ("value", 2, BYTES, 0)],
    "Status": [("code", 1, INT32, 0), ("message", 2, STRING, 0), ("details", 3, "Any", 1)],
    "Node": [("id", 1, STRING, 0), ("cluster", 2, STRING, 0)],
    "Pair": [("key", 1, STRING, 0), ("value", 2, STRING, 0)],
    "Resource": [
        ("version", 1, STRING, 0),
        ("resource", 2, "Any", 0),
        ("name", 3, STRING, 0),
        ("aliases", 4, STRING, 1),
    ],
    "DeltaDiscoveryRequest": [
        ("node", 1, "Node", 0),
        ("type_url", 2, STRING, 0),
        ("resource_names_subscribe", 3, STRING, 1),
        ("resource_names_unsubscribe", 4, STRING, 1),
        ("initial_resource_versions", 5, "Pair", 1),
        ("response_nonce", 6, STRING, 0),
        ("error_detail", 7, "Status", 0),
        ("later_field", 99, STRING, 1),
    ],
    "DeltaDiscoveryResponse": [
        ("system_version_info", 1, STRING, 0),
        ("resources", 2, "Resource", 1),
        ("type_url", 4, STRING, 0),
        ("nonce", 5, STRING, 0),
        ("removed_resources", 6, STRING, 1),
    ],
    "DiscoveryRequest": [
        ("version_info", 1, STRING, 0),
        ("node", 2, "Node", 0),
        ("resource_names", 3, STRING, 1),
        ("type_url", 4, STRING, 0),
        ("response_nonce", 5, STRING, 0),
        ("error_detail", 6, "Status", 0),
    ],
    "DiscoveryResponse": [
        ("version_info", 1, STRING, 0),
        ("resources", 2, "Any", 1),
        ("canary", 3, BOOL, 0),
        ("type_url", 4, STRING, 0),
        ("nonce", 5, STRING, 0),
    ],
}


def build() -> dict[str, type]:
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    for name, spec in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in spec:
            added = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if isinstance(kind, str):
                added.type, added.type_name = MESSAGE, f".t.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"t.{name}")) for name in MESSAGES}


PB = build()
words = st.text(max_size=12)
names = st.lists(st.text(min_size=1, max_size=12), max_size=4).map(tuple)
errors = st.none() | st.builds(ErrorDetail, st.integers(-(2**31), 2**31 - 1), words)


def error_of(message) -> ErrorDetail | None:
    return ErrorDetail(message.code, message.message)


@given(words, names, names, st.dictionaries(st.text(min_size=1), words, max_size=4), words, errors, st.none() | words)
def test_delta_requests_agree_with_protobuf(type_url, subscribe, unsubscribe, held, nonce, error, node_id) -> None:
    node = None if node_id is None else PB["Node"](id=node_id).SerializeToString()
    request = DeltaRequest(type_url, subscribe, unsubscribe, held, nonce, error, node)
    data = encode_delta_request(request)
    parsed = PB["DeltaDiscoveryRequest"].FromString(data)
    assert (parsed.type_url, tuple(parsed.resource_names_subscribe)) == (type_url, subscribe)
    assert tuple(parsed.resource_names_unsubscribe) == unsubscribe
    assert {pair.key: pair.value for pair in parsed.initial_resource_versions} == held
    assert parsed.response_nonce == nonce
    assert (error_of(parsed.error_detail) if parsed.HasField("error_detail") else None) == error
    assert (parsed.node.id if parsed.HasField("node") else None) == node_id
    parsed.later_field.append("ignored")
    assert decode_delta_request(parsed.SerializeToString()) == request


@given(words, names, words, words, errors)
def test_sotw_requests_agree_with_protobuf(type_url, asked, version, nonce, error) -> None:
    request = SotwRequest(type_url, asked, version, nonce, error, PB["Node"](id="n").SerializeToString())
    parsed = PB["DiscoveryRequest"].FromString(encode_sotw_request(request))
    assert (parsed.version_info, parsed.node.id, tuple(parsed.resource_names)) == (version, "n", asked)
    assert decode_sotw_request(parsed.SerializeToString()) == request


@given(words, words, words, names, st.lists(st.tuples(words, words, st.none() | st.binary(), names), max_size=3))
def test_delta_responses_agree_with_protobuf(type_url, nonce, system, removed, items) -> None:
    resources = tuple(
        Resource(type_url, name, version, body, aliases=aliases) for name, version, body, aliases in items
    )
    response = DeltaResponse(type_url, nonce, resources, removed, system)
    data = encode_delta_response(response)
    parsed = PB["DeltaDiscoveryResponse"].FromString(data)
    assert (parsed.type_url, parsed.nonce, parsed.system_version_info) == (type_url, nonce, system)
    assert tuple(parsed.removed_resources) == removed
    for got, (name, version, body, aliases) in zip(parsed.resources, items, strict=True):
        assert (got.name, got.version, tuple(got.aliases)) == (name, version, aliases)
        assert (got.resource.value if got.HasField("resource") else None) == body
        assert got.resource.type_url == (type_url if body is not None else "")
    decoded = decode_delta_response(parsed.SerializeToString())
    assert decoded == response
    assert [r.body for r in decoded.resources] == [r.body for r in resources]


def test_sotw_responses_agree_with_protobuf() -> None:
    resources = (Resource("t", "a", "1", b"body"), Resource("t", "b", "1", b""))
    data = encode_sotw_response(SotwResponse("t", "n", "v", resources))
    parsed = PB["DiscoveryResponse"].FromString(data)
    assert [(r.type_url, r.value) for r in parsed.resources] == [("t", b"body"), ("t", b"")]
    assert (parsed.version_info, parsed.type_url, parsed.nonce) == ("v", "t", "n")
    decoded = decode_sotw_response(data)
    assert [(r.type_url, r.body, r.version) for r in decoded.resources] == [("t", b"body", "v"), ("t", b"", "v")]


def test_a_resource_is_encoded_once_and_its_body_never_copied() -> None:
    resource = Resource("t", "a", "1", b"body")
    for first, again in ((resource.encoded, resource.encoded), (resource.encoded_any, resource.encoded_any)):
        assert first[0] is again[0]
        assert first[1] is again[1] is resource.body


def test_a_resource_never_shows_its_body() -> None:
    assert "secret" not in repr(Resource("t", "a", "1", b"secret"))


def test_a_version_depends_on_content_and_aliases() -> None:
    bodies = [content_version(None), content_version(b""), content_version(b"a"), content_version(b"a", ["x"])]
    assert len(set(bodies)) == 4
    assert content_version(b"a") == content_version(b"a")


@pytest.mark.parametrize(
    "data",
    [b"\x12\x05ab", b"\x80", b"\xff" * 11, b"\x03", b"\x00", b"\x12\x02\xff\xfe", b"\x10\x01", b"\x3a\x02\x0a\x00"],
    ids=["truncated", "open varint", "long varint", "group", "field 0", "not UTF-8", "wrong type", "code as bytes"],
)
def test_malformed_bytes_are_one_kind_of_error(data) -> None:
    with pytest.raises(WireError):
        decode_delta_request(data)


@given(st.binary(max_size=60))
def test_random_bytes_never_raise_anything_else(data) -> None:
    for decode in (decode_delta_request, decode_sotw_request, decode_delta_response, decode_sotw_response):
        try:
            decode(data)
        except WireError:
            continue


def test_fixed_width_fields_are_skipped() -> None:
    assert list(fields(b"\x09" + bytes(8) + b"\x0d\x01\x00\x00\x00")) == [(1, 0), (1, 1)]


@given(st.integers(0, 2**64 - 1))
def test_varints_round_trip(value) -> None:
    data = encode_varint(value)
    assert decode_varint(data, 0) == (value, len(data))


def test_a_node_that_is_not_bytes_cannot_be_sent() -> None:
    with pytest.raises(TypeError):
        encode_delta_request(DeltaRequest("t", node=object()))
