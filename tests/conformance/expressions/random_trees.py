"""Random expressions over what proxies know, for both evaluators to agree about."""

from __future__ import annotations

import random

_TEXTS = (
    'request.headers["x-user"]',
    'request.headers["x-mixed"]',
    'request.headers["nope"]',
    "request.method",
    "request.url_path",
    "source.principal",
    "connection.requested_server_name",
    "request.useragent",
    "request.referer",
    "context.protocol",
    'destination.labels["app"]',
    'destination.labels["nope"]',
    "destination.service.host",
)
_CONSTANTS = ("john", "GET", "", "/ratings/7", "cluster.local/ns/default/sa/bookinfo-reviews", "ratings", "1s", "http")
_PATTERNS = ("jo*", "*hn", "*", "/ratings/*", "*/sa/bookinfo-reviews", "john")
_REGEXES = ("^jo", "n$", "[0-9]", "^$", "(?i)MIXED")


class Trees:
    """A source of expressions; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def bool(self, depth: int) -> str:
        """An expression of type BOOL."""
        pick = self._random.random()
        if depth <= 0 or pick < 0.1:
            return self._random.choice(("true", "false", "connection.mtls", self._test(0)))
        if pick < 0.45:
            return self._test(depth - 1)
        if pick < 0.85:
            return f"({self.bool(depth - 1)} {self._random.choice(('&&', '||', '==', '!='))} {self.bool(depth - 1)})"
        return f"conditional({self.bool(depth - 1)}, {self.bool(depth - 1)}, {self.bool(depth - 1)})"

    def _test(self, depth: int) -> str:
        pick = self._random.random()
        text = self._text(depth)
        if pick < 0.5:
            return f"({text} {self._random.choice(('==', '!=', '<', '>='))} {self._text(depth)})"
        if pick < 0.65:
            return f'match({text}, "{self._random.choice(_PATTERNS)}")'
        if pick < 0.75:
            return f'"{self._random.choice(_REGEXES)}".matches({text})'
        return f"({text}).{self._random.choice(('startsWith', 'endsWith'))}({self._text(0)})"

    def _text(self, depth: int) -> str:
        pick = self._random.random()
        if pick < 0.2:
            return f'"{self._random.choice(_CONSTANTS)}"'
        if depth <= 0 or pick < 0.5:
            return self._random.choice(_TEXTS)
        if pick < 0.8:
            return f"({self._text(depth - 1)} | {self._text(depth - 1)})"
        if pick < 0.9:
            return f"({self._text(depth - 1)} + {self._text(depth - 1)})"
        function = self._random.choice(("conditional", "conditionalString"))
        return f"{function}({self.bool(depth - 1)}, {self._text(depth - 1)}, {self._text(depth - 1)})"
