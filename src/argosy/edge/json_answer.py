"""Answers in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response


def json_answer(data: Mapping[str, Any], status: int = 200) -> Response:
    """The answer with that body."""
    return Response(msgspec.json.encode(data), status_code=status, media_type="application/json")
