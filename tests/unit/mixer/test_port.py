"""What a handler's answer is when it says nothing."""

from argosy.mixer.port import NO_OUTPUT, USES_MAX, VALID_S_MAX, Verdict
from argosy.mixer.status import OK


def test_a_verdict_that_says_nothing_lets_pass_and_gives_nothing() -> None:
    verdict = Verdict()
    assert (verdict.code, verdict.message, verdict.output, verdict.granted) == (OK, "", NO_OUTPUT, 0)
    assert (verdict.valid_duration_s, verdict.valid_use_count) == (VALID_S_MAX, USES_MAX)
