"""gRPC codes and the HTTP status of a refusal."""

import pytest

from argosy.mixer.status import STATUS_NAMES, http_status, parse_status_code


@pytest.mark.parametrize(
    "name, status",
    [("OK", 200), ("CANCELLED", 499), ("UNKNOWN", 500), ("INVALID_ARGUMENT", 400), ("DEADLINE_EXCEEDED", 504),
     ("NOT_FOUND", 404), ("ALREADY_EXISTS", 409), ("PERMISSION_DENIED", 403), ("RESOURCE_EXHAUSTED", 429),
     ("FAILED_PRECONDITION", 400), ("ABORTED", 409), ("OUT_OF_RANGE", 400), ("UNIMPLEMENTED", 501),
     ("INTERNAL", 500), ("UNAVAILABLE", 503), ("DATA_LOSS", 500), ("UNAUTHENTICATED", 401)],
)  # fmt: skip
def test_every_code_has_istios_http_status(name: str, status: int) -> None:
    code = parse_status_code(name)
    assert code == STATUS_NAMES.index(name)
    assert http_status(code) == status


@pytest.mark.parametrize("value", [17, -1, "permission_denied", True, None, 7.0])
def test_what_is_no_code_is_refused(value: object) -> None:
    assert parse_status_code(value) is None


def test_an_impossible_code_is_an_internal_error() -> None:
    assert http_status(99) == 500
