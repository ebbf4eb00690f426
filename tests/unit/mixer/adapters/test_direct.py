"""What adapters want the client of a refused request to be told."""

from types import SimpleNamespace
from typing import Any

from argosy.mixer.adapters.direct import NAME, direct_answer, direct_response
from argosy.mixer.port import DirectAnswer


def detail(name: str = NAME, **fields: Any) -> Any:
    return SimpleNamespace(
        type_url=f"type.googleapis.com/{name}", value=direct_response()(**fields).SerializeToString()
    )


def test_the_first_detail_of_its_kind_counts() -> None:
    details = [detail("google.rpc.BadRequest", code=500), detail(code=401, body="who?"), detail(code=418)]
    assert direct_answer(details) == DirectAnswer(401, "who?")
    assert direct_answer(details[:1]) is None
    assert direct_answer([SimpleNamespace(type_url=f"x/{NAME}", value=b"\xff")]) is None


def test_a_status_that_is_none_is_the_usual_one() -> None:
    assert [direct_answer([detail(code=code)]) for code in (0, 99, 700)] == [DirectAnswer(0, "")] * 3


def test_headers_are_those_that_can_be_sent_and_cookies_are_several() -> None:
    headers = {
        "Location": "https://login.example/?a=b,c",
        "Set-Cookie": "a=1; Path=/, b=2",
        "x-empty": "",
        "two words": "1",
        "x-lines": "a\nb",
        "Content-Length": "7",
        ":status": "200",
    }
    found = direct_answer([detail(code=302, headers=headers)])
    assert found is not None
    assert found.headers == (
        ("location", "https://login.example/?a=b,c"),
        ("set-cookie", "a=1; Path=/"),
        ("set-cookie", "b=2"),
        ("x-empty", ""),
    )
