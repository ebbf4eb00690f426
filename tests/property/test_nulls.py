"""A field of an unknown name is told by the same words, null or not, wherever it stands, in every kind."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.api import decode_object, parse_documents
from argosy.api.diagnose import null_problems, problems_of
from argosy.api.kinds import KINDS
from argosy.core.errors import ArgosyError
from argosy.core.frozen import FrozenMap

DEPTH = 5
Path = tuple[str | int, ...]


def structs(type_: Any, path: Path = ()) -> Iterator[tuple[Path, type[msgspec.Struct]]]:
    """Every object within a type, and where it stands."""
    if get_origin(type_) in (Union, UnionType):
        rest = [one for one in get_args(type_) if one is not NoneType]
        type_ = rest[0] if len(rest) == 1 else None
    if len(path) > DEPTH:
        return
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        yield path, type_
        for field in msgspec.structs.fields(type_):
            yield from structs(field.type, (*path, field.encode_name))
    elif get_origin(type_) is tuple:
        yield from structs(get_args(type_)[0], (*path, 0))
    elif get_origin(type_) is FrozenMap:
        yield from structs(get_args(type_)[1], (*path, "1" if get_args(type_)[0] is int else "key"))


def nested(path: Path, value: Any) -> Any:
    for step in reversed(path):
        value = [value] if isinstance(step, int) else {step: value}
    return value


PLACES = [
    (kind, path, type_)
    for kind in KINDS.values()
    for path, type_ in structs(kind.type)
    if type_.__struct_config__.forbid_unknown_fields
]


def test_there_are_many_places() -> None:
    assert len(PLACES) > 200
    assert len({kind.name for kind, _, _ in PLACES}) > 40


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(PLACES), name=st.sampled_from(["noSuchField", "hots", "Port", "not_there", "matchh"]))
def test_an_unknown_null_is_told_as_any_other_value(place: Any, name: str) -> None:
    kind, path, type_ = place
    names = {field.encode_name for field in msgspec.structs.fields(type_)}
    where = (*path, name)
    written = [one for one in problems_of(kind.type, nested(where, "x"), ()) if one.path == where]
    as_null = list(null_problems(kind.type, where))
    assert as_null == written
    assert (len(as_null) == 1) == (name not in names)


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from([one for one in PLACES if not one[0].whole and one[0].type_of is None and one[1]]))
def test_a_document_with_an_unknown_null_is_refused_for_it(place: Any) -> None:
    """Whatever else is wrong with it, and however deep it stands."""
    kind, path, _ = place
    data = {
        "apiVersion": kind.api_versions[0], "kind": kind.name, "metadata": {"name": "a"},
        "spec": nested((*path, "noSuchField"), None),
    }  # fmt: skip
    try:
        decode_object(parse_documents(yaml.safe_dump(data))[0])
    except ArgosyError as error:
        told = [(one.code, one.field.rpartition(".")[2]) for one in error.findings]
        assert ("ARG0010", "noSuchField") in told
    else:
        raise AssertionError("it was accepted")
