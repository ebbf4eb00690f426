"""Names as rules write them."""

import pytest

from argosy.mixer.names import Ref, parse_reference

KINDS = ("handler", "denier", "memquota")


@pytest.mark.parametrize(
    "text, ref",
    [
        ("x", ("handler", "default", "x")),
        ("x.prod", ("handler", "prod", "x")),
        ("x.handler", ("handler", "default", "x")),
        ("x.handler.prod", ("handler", "prod", "x")),
        ("x.denier", ("denier", "default", "x")),
        ("handler.memquota", ("memquota", "default", "handler")),
        ("handler.memquota.istio-system", ("memquota", "istio-system", "handler")),
        ("a.b.denier", ("denier", "default", "a.b")),
        ("denier", ("handler", "default", "denier")),
    ],
)
def test_references_may_be_short_or_fully_qualified(text: str, ref: tuple[str, str, str]) -> None:
    assert parse_reference(text, namespace="default", kinds=KINDS) == Ref(*ref)


def test_a_reference_reads_as_it_is_written_in_full_and_in_answers() -> None:
    assert str(Ref("handler", "ns", "x")) == "x.handler.ns"
    assert Ref("handler", "ns", "x").label == "x.ns"
    assert Ref("denier", "ns", "x").label == "x.denier.ns"
