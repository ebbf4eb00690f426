"""What a client ran, put away by content and read back."""

import pytest

from argosy.xds.keeping import Layer, decode_index, decode_resource, digest, encode_index, encode_links, merge
from argosy.xds.messages import Resource, ResourceRef, content_version, gone

TYPE, OTHER = "type.example/a", "type.example/b"


def resource(name: str, body: bytes = b"x", type_url: str = TYPE) -> Resource:
    return Resource(
        type_url,
        name,
        content_version(body),
        body,
        requires=(ResourceRef(OTHER, "needed"),),
        companions=(ResourceRef(OTHER, "with"),),
        aliases=("also",),
    )


def layer(*resources: Resource, type_url: str = TYPE) -> Layer:
    return Layer(type_url, {one.name: one for one in resources})


def test_equal_layers_have_equal_bytes_whatever_the_order() -> None:
    one, two = resource("one"), resource("two")
    assert encode_index(layer(one, two)) == encode_index(layer(two, one))
    assert encode_index(layer(one, two)) != encode_index(layer(one, resource("two", b"y")))
    assert encode_index(layer(one)) != encode_index(layer(one, type_url=OTHER))


def test_an_index_tells_names_and_versions() -> None:
    one = resource("one")
    assert decode_index(encode_index(layer(one))) == (TYPE, [("one", one.version)])
    with pytest.raises(ValueError, match="Expecting"):
        decode_index(b"not ours")


def test_a_digest_depends_on_the_parts_and_where_they_end() -> None:
    assert digest((b"ab", b"c")) != digest((b"a", b"bc"))
    assert digest((b"ab",)) == digest((b"ab",))


@pytest.mark.parametrize("body", [b"x", b"", None])
def test_a_resource_comes_back_whole(body: bytes | None) -> None:
    one = Resource(TYPE, "one", "v", body, (ResourceRef(OTHER, "a"),), (ResourceRef(OTHER, "b"),), ("c",))
    back = decode_resource(TYPE, "one", "v", encode_links(one), body)
    assert (back, back.body, back.requires, back.companions, back.aliases) == (
        one, one.body, one.requires, one.companions, one.aliases
    )  # fmt: skip


def test_of_several_layers_the_first_counts_and_a_mark_hides() -> None:
    patched, plain, hidden = resource("one", b"patched"), resource("one", b"plain"), resource("two")
    above = Layer(TYPE, {"one": patched, "two": gone(hidden)})
    snapshot = merge([above, layer(plain, hidden), layer(resource("other", type_url=OTHER), type_url=OTHER)])
    assert {name: one.body for name, one in snapshot.of(TYPE).items()} == {"one": b"patched"}
    assert list(snapshot.of(OTHER)) == ["other"]
