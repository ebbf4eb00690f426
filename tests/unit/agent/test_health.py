"""What a probe asks, and what answers come to."""

import msgspec
import pytest

from argosy.agent.health import HealthCheck, Verdict, Way, check_of
from argosy.api.workload import WorkloadProbe


def probe(text: str) -> WorkloadProbe:
    return msgspec.json.decode(text, type=WorkloadProbe)


def test_what_a_probe_leaves_out_is_kubernetes_default() -> None:
    given = probe('{"httpGet": {"port": 80}}')
    assert check_of(given, "10.1.1.1") == HealthCheck(
        Way.HTTP, "10.1.1.1", 80, "/", timeout_s=1, period_s=10, successes=1, failures=3
    )


def test_a_path_without_a_slash_gets_one() -> None:
    assert check_of(probe('{"httpGet": {"port": 80, "path": "ready"}}'), "a").path == "/ready"


@pytest.mark.parametrize("way", ["httpGet", "tcpSocket"])
def test_a_host_of_the_probe_is_asked_in_place_of_the_address(way: str) -> None:
    assert check_of(probe(f'{{"{way}": {{"port": 80, "host": "127.0.0.9"}}}}'), "10.1.1.1").host == "127.0.0.9"


def verdicts(answers: str, *, successes: int = 1, failures: int = 1, start: bool | None = None) -> list[bool | None]:
    """What is known after each answer: `+` good, `-` bad."""
    check = HealthCheck(Way.TCP, "a", 1, successes=successes, failures=failures)
    verdict, found = Verdict(start), []
    for one in answers:
        verdict = verdict.after("" if one == "+" else "refused", check)
        found.append(verdict.healthy)
    return found


def test_nothing_is_known_before_enough_answers() -> None:
    assert verdicts("++", successes=2) == [None, True]
    assert verdicts("--", failures=2) == [None, False]


def test_only_answers_in_a_row_count() -> None:
    assert verdicts("+-+-+", successes=2, failures=2) == [None] * 5
    assert verdicts("-+--", failures=2, start=True) == [True, True, True, False]


def test_a_message_says_why_from_the_moment_on_at_which_it_turned() -> None:
    check = HealthCheck(Way.TCP, "a", 1, failures=2)
    one = Verdict(True).after("first", check)
    assert (one.healthy, one.message) == (True, "")
    one = one.after("second", check).after("third", check)
    assert (one.healthy, one.message) == (False, "second")
    assert one.after("", check).message == ""
