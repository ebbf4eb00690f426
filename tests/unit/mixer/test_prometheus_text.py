"""Lines of Prometheus' text format."""

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from argosy.mixer.prometheus_text import (
    PIECE_LINES,
    braces,
    bucket_heads,
    help_line,
    label_text,
    number,
    pieces_of,
    type_line,
)


def test_lines_are_read_as_they_were_meant() -> None:
    odd = 'a"b\\c\nd'
    labels = label_text([("one", odd), ("two", "")])
    heads = bucket_heads("sizes", labels, ("1", "+Inf"))
    lines = [
        help_line("sizes", "back\\slash\nand line"),
        type_line("sizes", "histogram"),
        *(f"{head} {count}" for head, count in zip(heads, (1, 2), strict=True)),
        f"sizes_sum{braces(labels)} {number(2.5)}",
        f"sizes_count{braces(labels)} 2",
    ]
    (family,) = text_string_to_metric_families("\n".join(lines) + "\n")
    assert (family.name, family.type, family.documentation) == ("sizes", "histogram", "back\\slash\nand line")
    own = {"one": odd, "two": ""}
    assert [(one.name, one.labels, one.value) for one in family.samples] == [
        ("sizes_bucket", {**own, "le": "1"}, 1),
        ("sizes_bucket", {**own, "le": "+Inf"}, 2),
        ("sizes_sum", own, 2.5),
        ("sizes_count", own, 2),
    ]


def test_without_labels_there_are_no_braces_but_around_a_limit() -> None:
    assert braces(label_text([])) == ""
    assert bucket_heads("sizes", "", ("+Inf",)) == ['sizes_bucket{le="+Inf"}']


def test_numbers_are_written_as_go_does() -> None:
    assert [number(one) for one in (1.0, 1e6, float("inf"))] == ["1.0", "1e+06", "+Inf"]


def test_a_page_is_made_in_pieces_and_no_earlier_than_asked_for() -> None:
    made: list[int] = []

    def lines() -> Iterator[str]:
        for one in range(PIECE_LINES + 1):
            made.append(one)
            yield str(one)

    pieces = pieces_of(lines())
    assert made == []
    first = next(pieces)
    assert (first.count(b"\n"), len(made)) == (PIECE_LINES, PIECE_LINES)
    assert list(pieces) == [b"%d\n" % PIECE_LINES]
    assert list(pieces_of([])) == []
