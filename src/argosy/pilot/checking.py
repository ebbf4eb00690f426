"""Which proxies ask Mixer before they pass requests on, and what holds when it cannot be asked. Values and the port.

Source: Istio 1.4's mesh configuration (`disablePolicyChecks`, `policyCheckFailOpen`) and pods' annotations
`policy.istio.io/*`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from argosy.api.mesh_config import MeshConfig
from argosy.api.meta import Object
from argosy.api.policy_annotations import CHECK, RETRIES, WAIT, WAIT_MAX, wait_s
from argosy.envoy.refusal import HeaderVariant, Refusal
from argosy.pilot.reporting import Destination


@dataclass(frozen=True, slots=True)
class Concern:
    """Which kinds of traffic rules are about."""

    http: bool = False
    tcp: bool = False
    answers: bool = False
    """Some rule removes headers of answers, or replaces one by several values."""

    def __bool__(self) -> bool:
        """True if any kind."""
        return self.http or self.tcp


NO_CONCERN = Concern()


@dataclass(frozen=True, slots=True, order=True)
class OwnChecks:
    """What a pod says of its checks. `mode` empty: as the mesh has it."""

    mode: str = ""
    retries: int = 0
    wait_s: float = 0.08
    wait_max_s: float = 1.0


UNSAID_CHECKS = OwnChecks()


@dataclass(frozen=True, slots=True)
class OwnAnswers:
    """What a proxy refuses itself on one of its ports, and whether it has to ask Mixer besides."""

    refusals: tuple[Refusal, ...] = ()
    variants: tuple[HeaderVariant, ...] = ()
    asks: bool = True
    reasons: tuple[tuple[str, str], ...] = ()
    """Rules (`namespace/name`) that are asked about, and why."""


@dataclass(frozen=True, slots=True, order=True)
class CalledPort:
    """One port of a workload, as requests or (`tcp`) connections come to it. `number` 0: any port."""

    number: int
    service: str
    tcp: bool = False


@dataclass(frozen=True, slots=True)
class Checking:
    """How a class of proxies asks, and of one port what it refuses without asking."""

    concern: Concern = NO_CONCERN
    fail_open: bool = False
    own: OwnChecks = UNSAID_CHECKS
    refusals: tuple[Refusal, ...] = ()
    variants: tuple[HeaderVariant, ...] = ()


ASLEEP = Checking()


class ConcernPort(Protocol):
    """Pilot's question to Mixer's rules: who has to ask at all?"""

    def policy(self, objects: Sequence[Object[Any]]) -> Any:
        """What all objects of `MIXER_KINDS` together say; equal where nothing changed."""
        ...

    def concerns(self, policy: Any, destination: Destination) -> Concern:
        """What Mixer has to be asked about by that workload's proxies."""
        ...

    def answers(self, policy: Any, destination: Destination, port: CalledPort) -> OwnAnswers:
        """What that workload's proxies can answer themselves on a port."""
        ...


class Unconcerned:
    """The port of a mesh without Mixer: nobody asks."""

    def policy(self, objects: Sequence[Object[Any]]) -> Any:
        """No rules."""
        return ()

    def concerns(self, policy: Any, destination: Destination) -> Concern:
        """Never."""
        return NO_CONCERN

    def answers(self, policy: Any, destination: Destination, port: CalledPort) -> OwnAnswers:
        """There is nothing to answer."""
        return OwnAnswers(asks=False)


def own_checks(annotations: Mapping[str, str]) -> OwnChecks:
    """What a pod's annotations say. What galley would refuse counts as not said."""
    mode = annotations.get(CHECK, "")
    retries = annotations.get(RETRIES, "")
    return OwnChecks(
        mode=mode if mode in ("enable", "disable", "allow-on-error") else "",
        retries=int(retries) if retries.isascii() and retries.isdecimal() else 0,
        wait_s=wait_s(annotations.get(WAIT, ""), UNSAID_CHECKS.wait_s),
        wait_max_s=wait_s(annotations.get(WAIT_MAX, ""), UNSAID_CHECKS.wait_max_s),
    )


def checking_of(config: MeshConfig, own: OwnChecks, concern: Concern) -> Checking:
    """What holds for a class of proxies that rules concern so."""
    if own.mode == "disable" or (config.disable_policy_checks and not own.mode) or not concern:
        return ASLEEP
    fail_open = own.mode == "allow-on-error" or (config.policy_check_fail_open and own.mode != "enable")
    return Checking(concern, fail_open, own)
