"""Messages declared in a few lines are those of protobuf."""

from argosy.samples.messages import build_messages


def test_messages_name_each_other_and_know_what_is_set() -> None:
    made = build_messages(
        "test", {"Outer": (("inner", 1, "Inner[]"),), "Inner": (("n", 3, "int32?"), ("s", 4, "string[]"))}
    )
    outer = made["Outer"](inner=[{"n": 0, "s": ["a"]}, {}])
    assert outer.SerializeToString() == b"\x0a\x05\x18\x00\x22\x01a\x0a\x00"
    assert [one.HasField("n") for one in outer.inner] == [True, False]  # type: ignore[attr-defined]
