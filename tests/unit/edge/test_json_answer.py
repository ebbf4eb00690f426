"""Answers in JSON."""

from argosy.edge.json_answer import json_answer


def test_an_answer_has_its_status_and_type() -> None:
    found = json_answer({"a": [1]}, status=404)
    assert (found.status_code, found.body, found.media_type) == (404, b'{"a":[1]}', "application/json")
    assert json_answer({}).status_code == 200
