"""Points of time as people write them: `-10m`, `14:05`, `2026-11-28 14:05`, `2026-11-28T13:05Z`, seconds since 1970.

Given the text and the time that it is. Gives seconds since the epoch. Times without an offset are those of this
machine's zone; a time of day without a date is the last one that was. Reads the machine's time zone, no clock.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta

from argosy.core.errors import ArgosyError

BAD_TIME = "ARG0943"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_EPOCH_MIN = 1_000_000_000
_HINT = "write `now`, `-10m` (s, m, h, d), `14:05`, `2026-11-28 14:05`, `2026-11-28T13:05Z`, or seconds since 1970"


def parse_time(text: str, now: float) -> float:
    """Seconds since the epoch. Errors: `ArgosyError` ARG0943 with the forms that are known."""
    word = _iso(text.strip())
    try:
        if word == "now":
            return now
        if word.startswith("-"):
            return now - _span(word[1:])
        if word.replace(".", "", 1).isdigit():
            return _epoch(float(word))
        if ":" in word and "-" not in word:
            return _time_of_day(word, now)
        return datetime.fromisoformat(word).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ArgosyError.of(BAD_TIME, f"{text!r} is no time", hint=_HINT) from None


def _span(text: str) -> float:
    """`90s`, `10m`, `1h30m`, `2d` in seconds."""
    total, digits = 0.0, ""
    for letter in text:
        if letter.isdigit() or letter == ".":
            digits += letter
        else:
            total += float(digits) * _UNITS[letter] if letter in _UNITS else float("nan")
            digits = ""
    if digits or not text or total != total:
        raise ValueError(text)
    return total


def _epoch(seconds: float) -> float:
    if seconds < _EPOCH_MIN:
        raise ValueError("a number that is no time: a unit is missing")
    return seconds


def _iso(word: str) -> str:
    return word.removesuffix("UTC").rstrip() + "Z" if word.endswith("UTC") else word


def _time_of_day(word: str, now: float) -> float:
    """The last moment at which it was that time of day, here or, with an offset, there."""
    wanted = time.fromisoformat(word)
    today = datetime.fromtimestamp(now, wanted.tzinfo).date()
    found = datetime.combine(today, wanted).timestamp()
    return found if found <= now else datetime.combine(today - timedelta(days=1), wanted).timestamp()


__all__ = ["BAD_TIME", "parse_time"]
