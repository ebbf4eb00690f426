"""Which pods should run: Deployments and what runs now -> pods to create and pods to stop.

Given the wished Deployments and a view of all present pods; gives the next moves. Called again after every change, it
walks a rolling update: never more than one pod above the wished number, and an old pod leaves only when enough ready
ones remain. Names and addresses come from parameters. Source: Kubernetes' Deployment, maxSurge 1, maxUnavailable 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

import msgspec

from argosy.api.kubernetes import PodTemplate
from argosy.core.names import ObjectKey

SURGE = 1
_SAFE = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True)
class Wish:
    """A Deployment, a Job, or a bare pod (`bare`: one pod that bears the object's own name).

    Of a Job `replicas` run at once, until `completions` have succeeded or more than `failures_max` have failed.
    """

    key: ObjectKey
    replicas: int
    template: PodTemplate
    template_hash: str
    bare: bool = False
    completions: int = 0
    failures_max: int = 0

    @property
    def kind(self) -> str:
        """The object's kind."""
        return "Job" if self.completions else "Pod" if self.bare else "Deployment"


@dataclass(frozen=True, slots=True)
class PresentPod:
    """What counts of a pod that exists: whose it is, of which version, how far it has come. `age`: larger is older.

    `exit_code`: of a pod that has finished.
    """

    key: ObjectKey
    owner: ObjectKey
    template_hash: str
    ready: bool
    terminating: bool
    age: float = 0.0
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Moves:
    """What to do next: for `create`, the owner of each new pod; for `stop`, the pods themselves."""

    create: tuple[ObjectKey, ...] = ()
    stop: tuple[ObjectKey, ...] = ()


def template_hash(template: PodTemplate) -> str:
    """A short name of a template's content, made of letters that form no words."""
    digest = hashlib.sha256(msgspec.json.encode(template, enc_hook=dict, order="deterministic")).digest()
    return safe_name(digest, 9)


def safe_name(entropy: bytes, length: int) -> str:
    """`length` letters and digits chosen by `entropy` (at least as many bytes)."""
    return "".join(_SAFE[byte % len(_SAFE)] for byte in entropy[:length])


def pod_name(wish: Wish, suffix: str) -> str:
    """`<deployment>-<template's hash>-<suffix>`, as Kubernetes names them; a bare pod keeps its own name."""
    return wish.key.name if wish.bare else f"{wish.key.name}-{wish.template_hash}-{suffix}"


def next_moves(wishes: Mapping[ObjectKey, Wish], pods: Iterable[PresentPod]) -> Moves:
    """The next moves for all Deployments. Pods of a Deployment that is gone are stopped."""
    by_owner: dict[ObjectKey, list[PresentPod]] = {}
    for pod in pods:
        by_owner.setdefault(pod.owner, []).append(pod)
    create: list[ObjectKey] = []
    stop: list[ObjectKey] = []
    for owner in sorted({*wishes, *by_owner}):
        present = by_owner.get(owner, [])
        wish = wishes.get(owner)
        if wish is None:
            stop += [pod.key for pod in present if not pod.terminating]
            continue
        missing, leaving = _moves_of(wish, present)
        create += [owner] * missing
        stop += leaving
    return Moves(tuple(create), tuple(stop))


def _moves_of(wish: Wish, present: list[PresentPod]) -> tuple[int, list[ObjectKey]]:
    """How many pods to create, and which to stop."""
    living = [pod for pod in present if not pod.terminating]
    new = [pod for pod in living if pod.template_hash == wish.template_hash]
    old = [pod for pod in living if pod.template_hash != wish.template_hash]
    if wish.completions:
        return _missing_of_job(wish, new), [pod.key for pod in old]
    if wish.bare:
        # One name, one pod: the old one must be gone before the new one can come.
        missing = wish.replicas - len(present)
        return max(missing, 0), [pod.key for pod in old]
    limit = wish.replicas + (SURGE if old else 0)
    missing = min(wish.replicas - len(new), limit - len(living))
    surplus = _first_to_go(new)[: max(len(new) - wish.replicas, 0)]
    return max(missing, 0), [pod.key for pod in (*surplus, *_old_to_go(wish, living, old))]


def _missing_of_job(wish: Wish, pods: list[PresentPod]) -> int:
    """How many pods of a Job to start: what is left to do, as far as it may run at once."""
    codes = [pod.exit_code for pod in pods]
    succeeded, running = codes.count(0), codes.count(None)
    if len(pods) - succeeded - running > wish.failures_max:
        return 0
    return max(min(wish.completions - succeeded, wish.replicas) - running, 0)


def _old_to_go(wish: Wish, living: list[PresentPod], old: list[PresentPod]) -> list[PresentPod]:
    """Old pods that are not ready serve nobody and go at once; ready ones only while enough ready pods remain."""
    unready = [pod for pod in old if not pod.ready]
    ready = _first_to_go([pod for pod in old if pod.ready])
    spare = sum(pod.ready for pod in living) - wish.replicas
    return unready + ready[: max(spare, 0)]


def _first_to_go(pods: list[PresentPod]) -> list[PresentPod]:
    return sorted(pods, key=lambda pod: (pod.ready, pod.age, pod.key))


class AddressPool:
    """Gives pod addresses, each as late as possible again, so that a client's stale idea of one finds nobody."""

    def __init__(self, cidr: str, *, reserved: Iterable[str]) -> None:
        self._network = IPv4Network(cidr)
        self._used = set(reserved)
        self._last = {True: -1, False: -1}

    def take(self, *, captured: bool) -> str:
        """A free address: in the upper half of the network for pods all of whose ports are `captured`, else in the
        lower one. Raises ValueError if there is none."""
        half = self._network.num_addresses // 2
        # The network's own address and the one for all of it are nobody's.
        first, size = (half, half - 1) if captured else (1, half - 1)
        for offset in range(1, size + 1):
            number = (self._last[captured] + offset) % size
            address = str(self._network[first + number])
            if address not in self._used:
                self._used.add(address)
                self._last[captured] = number
                return address
        raise ValueError(f"no free address in {self._network}")

    def claim(self, address: str) -> None:
        """Mark the address of an adopted pod as used."""
        self._used.add(address)

    def release(self, address: str) -> None:
        """Give an address back."""
        self._used.discard(address)
