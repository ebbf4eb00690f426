"""Documents: values as Kubernetes reads them, lines, and hostile input."""

import pytest

from argosy.api import Document, decode_document, encode_document, parse_documents
from argosy.core.errors import ArgosyError, Origin


def _code_and_place(text: str) -> tuple[str, str]:
    with pytest.raises(ArgosyError) as refused:
        parse_documents(text, "f.yaml")
    finding = refused.value.findings[0]
    return finding.code, str(finding.origin)


def test_each_document_knows_its_line_and_empty_ones_are_skipped() -> None:
    documents = parse_documents("# comment\n---\na: 1\n---\n---\n\nb: 2\n", "f.yaml")
    assert [(d.data, str(d.origin)) for d in documents] == [({"a": 1}, "f.yaml:3"), ({"b": 2}, "f.yaml:7")]


@pytest.mark.parametrize(
    "text, value",
    [
        ("yes", True),
        ("off", False),
        ("2024-01-01", "2024-01-01"),
        ("12:30", "12:30"),
        ("0x1F", 31),
        ("0o17", "0o17"),
        ("0755", 493),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("'5'", "5"),
        ("=", "="),
    ],
)
def test_scalars_are_read_as_yaml_of_kubernetes(text: str, value: object) -> None:
    assert parse_documents(f"k: {text}")[0].data == {"k": value}


def test_null_members_are_absent_and_keys_are_strings() -> None:
    assert parse_documents("a: null\nb: ~\nc: {8080: x, true: y}\nd: [null]")[0].data == {
        "c": {"8080": "x", "true": "y"},
        "d": [None],
    }


def test_merge_keys_are_merged_and_own_keys_win() -> None:
    text = "base: &b {a: 1, b: 2}\nmore: &m {c: 5}\nuse: {<<: [*b, *m], b: 3}"
    assert parse_documents(text)[0].data["use"] == {"a": 1, "b": 3, "c": 5}


def test_json_is_read_with_positions() -> None:
    document = parse_documents('{\n\t"kind": "X",\n\t"spec": {"a": [1,\n 2]}\n}', "f.json")[0]
    assert document.data == {"kind": "X", "spec": {"a": [1, 2]}}
    assert document.locate("spec.a[1]").line == 4


def test_a_list_is_unfolded_into_its_items() -> None:
    documents = parse_documents("kind: List\nitems:\n- kind: A\n- kind: List\n  items:\n  - kind: B\n", "f.yaml")
    assert [(d.kind, d.origin.line) for d in documents] == [("A", 3), ("B", 6)]


def test_a_field_is_located_and_a_missing_one_at_what_holds_it() -> None:
    document = parse_documents("metadata:\n  labels:\n    a.b/c: x\nspec:\n  l:\n  - x: 1\n", "f.yaml")[0]
    assert document.locate('metadata.labels["a.b/c"]') == Origin("f.yaml", 3, 5)
    assert document.locate("spec.l[0].x").line == 6
    assert document.locate("spec.l[7].x").line == 5
    assert document.locate("nothing") == document.origin


def test_a_field_of_yaml_within_a_block_is_located_on_its_line() -> None:
    text = "data:\n  mesh: |\n    # why\n\n    defaultConfig:\n      tracing: {}\n  bad: |\n    a: [\n  flow: 'a: 1'\n"
    document = parse_documents(text, "f.yaml")[0]
    assert document.locate("data.mesh.defaultConfig.tracing") == Origin("f.yaml", 6)
    assert document.locate("data.mesh.nothing").line == 2
    assert document.locate("data.bad.a").line == 7
    assert document.locate("data.flow.a").line == 9


def test_bytes_round_trip_with_origin_and_are_equal_for_equal_data() -> None:
    one = Document({"b": 1, "a": {"d": 2, "c": 3}}, Origin("f.yaml", 4))
    other = Document({"a": {"c": 3, "d": 2}, "b": 1}, Origin("f.yaml", 4))
    assert encode_document(one) == encode_document(other)
    assert decode_document(encode_document(one)) == one


@pytest.mark.parametrize(
    "text, code, place",
    [
        ("a: [1", "ARG0001", "f.yaml:2"),
        ("a: b\n\tc: d", "ARG0001", "f.yaml:2"),
        ("a: b\nc: \x01", "ARG0001", "f.yaml:2"),
        ("a: *nobody", "ARG0001", "f.yaml:1"),
        ("x: 1\n---\n- a\n- b", "ARG0003", "f.yaml:3"),
        ("just text", "ARG0003", "f.yaml:1"),
        ("a: 1\n? {b: c}\n: d", "ARG0003", "f.yaml:2"),
        ("<<: [1]", "ARG0003", "f.yaml:1"),
        ("kind: List\nitems: [5]", "ARG0003", "f.yaml:2"),
        ("a: 1\nb: 2\na: 3", "ARG0004", "f.yaml:3"),
    ],
)
def test_unreadable_text_is_refused_with_its_place(text: str, code: str, place: str) -> None:
    assert _code_and_place(text) == (code, place)


def test_alias_bombs_are_refused() -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    assert _code_and_place(bomb)[0] == "ARG0002"


def test_a_self_referring_alias_is_refused() -> None:
    assert _code_and_place("a: &a [*a]")[0] == "ARG0002"


def test_merge_bombs_are_refused() -> None:
    bomb = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9))
    assert _code_and_place(bomb)[0] == "ARG0002"


def test_large_and_deep_documents_are_refused() -> None:
    assert _code_and_place("a: " + "x" * (1 << 20))[0] == "ARG0002"
    assert _code_and_place("a: " + "[" * 100 + "]" * 100)[0] == "ARG0002"
    assert _code_and_place("a: " + "[" * 100_000)[0] == "ARG0002"
    assert _code_and_place("- " * 100_000 + "x")[0] == "ARG0002"
    assert _code_and_place("\n".join(" " * n + "a:" for n in range(3000)))[0] == "ARG0002"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a:\n\t- b\n", "tabs are not allowed as indentation"),
        ("hosts: [*]\nb: c\n", 'a leading * must stand in quotes: "*"'),
        ("hosts: [{{ .Values.host }}]\n", "this looks like a template that nobody has filled in: {{ ... }}"),
        ("a: {{ .Values.host }} b\nb: c\n", "this looks like a template that nobody has filled in: {{ ... }}"),
        ("a: [\nb: c\n", "check indentation, quotes and colons here"),
    ],
)
def test_what_people_mostly_did_is_said(text: str, hint: str) -> None:
    with pytest.raises(ArgosyError) as refused:
        parse_documents(text, "a.yaml")
    assert [one.hint for one in refused.value.findings] == [hint]


def test_a_list_of_one_kind_is_unfolded_too() -> None:
    text = "apiVersion: networking.istio.io/v1\nkind: GatewayList\nitems: [{kind: Gateway}, {kind: Gateway}]"
    assert [one.kind for one in parse_documents(text)] == ["Gateway", "Gateway"]
