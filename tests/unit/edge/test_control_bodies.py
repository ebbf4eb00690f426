"""The bodies of the control API's requests."""

import msgspec
import pytest

from argosy.edge.control_bodies import ChangeRequest, ObjectRef


def test_a_body_is_what_it_says_and_nothing_else() -> None:
    found = msgspec.json.decode(b'{"objects": [{"kind": "vs", "name": "a"}], "wait_s": 3}', type=ChangeRequest)
    assert found == ChangeRequest(objects=(ObjectRef("vs", "a"),), wait_s=3.0)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"wait": 3}', type=ChangeRequest)
