"""Bookinfo's details."""

import json
from typing import Any

import pytest

from argosy.samples.details import book, build_app, parse_book


async def test_details_are_facts_about_the_book(open_client: Any) -> None:
    async with open_client(build_app({})) as client:
        answer = await client.get("/details/7")
        assert (answer.status_code, answer.json()) == (200, book(7))
        assert set(book(7)) == {
            "id", "author", "year", "type", "pages", "publisher", "language", "ISBN-10", "ISBN-13"
        }  # fmt: skip
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize("raw", ["x", "-1", "1.5", "²"])
async def test_an_id_that_is_no_number_is_refused(open_client: Any, raw: str) -> None:
    async with open_client(build_app({})) as client:
        assert (await client.get(f"/details/{raw}")).status_code == 400


VOLUME = {
    "authors": ["A. Writer"],
    "publishedDate": "1999",
    "printType": "BOOK",
    "pageCount": 12,
    "publisher": "P",
    "language": "en",
    "industryIdentifiers": [{"type": "ISBN_10", "identifier": "1"}, {"type": "ISBN_13", "identifier": "2"}],
}


def test_a_volume_of_the_books_api_becomes_details() -> None:
    parsed = parse_book(3, json.dumps({"items": [{"volumeInfo": VOLUME}]}).encode())
    assert parsed == {
        "id": 3,
        "author": "A. Writer",
        "year": "1999",
        "type": "paperback",
        "pages": 12,
        "publisher": "P",
        "language": "English",
        "ISBN-10": "1",
        "ISBN-13": "2",
    }


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"items": []}', b'{"items": [{"volumeInfo": {}}]}'])
def test_an_answer_that_is_no_volume_is_none(body: bytes) -> None:
    assert parse_book(0, body) is None


async def test_an_unreachable_books_api_is_an_error(open_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("argosy.samples.details.fetch_book", lambda *_, **__: None)
    async with open_client(build_app({"ENABLE_EXTERNAL_BOOK_SERVICE": "true"})) as client:
        assert (await client.get("/details/0")).status_code == 500
