"""Which proxies ask Mixer, and what holds when it cannot be asked."""

from dataclasses import replace

import pytest

from argosy.api.mesh_config import MeshConfig
from argosy.pilot.checking import ASLEEP, UNSAID_CHECKS, Checking, Concern, OwnChecks, checking_of, own_checks

HTTP = Concern(http=True)


@pytest.mark.parametrize(
    "off, fail_open, mode, asks, passes",
    [
        (False, False, "", True, False),
        (False, True, "", True, True),
        (True, False, "", False, False),
        (True, False, "enable", True, False),
        (True, False, "allow-on-error", True, True),
        (False, False, "disable", False, False),
        (False, True, "enable", True, False),
        (False, False, "allow-on-error", True, True),
    ],
)
def test_what_a_pod_says_goes_before_what_the_mesh_says(
    off: bool, fail_open: bool, mode: str, asks: bool, passes: bool
) -> None:
    config = MeshConfig(disable_policy_checks=off, policy_check_fail_open=fail_open)
    found = checking_of(config, OwnChecks(mode), HTTP)
    assert found == (Checking(HTTP, passes, OwnChecks(mode)) if asks else ASLEEP)


def test_whom_no_rule_concerns_asks_nobody() -> None:
    assert checking_of(MeshConfig(policy_check_fail_open=True), OwnChecks("enable"), Concern()) is ASLEEP


def test_annotations_are_read() -> None:
    said = {
        "policy.istio.io/check": "allow-on-error",
        "policy.istio.io/checkRetries": "3",
        "policy.istio.io/checkBaseRetryWaitTime": "20ms",
        "policy.istio.io/checkMaxRetryWaitTime": "2s",
    }
    assert own_checks(said) == OwnChecks("allow-on-error", 3, 0.02, 2.0)


def test_what_cannot_be_read_is_not_said() -> None:
    said = {"policy.istio.io/check": "maybe", "policy.istio.io/checkRetries": "x"}
    assert own_checks({**said, "policy.istio.io/checkBaseRetryWaitTime": "soon"}) == UNSAID_CHECKS
    assert replace(UNSAID_CHECKS) == OwnChecks()
