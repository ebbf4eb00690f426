"""One proxy that is connected to Pilot: which class it belongs to, and how far it has followed.

Given the running Pilot and a way to push, follows the pod's class, keeps the proxy's status by what the xDS session
tells, and tells Pilot what concerns more than this proxy.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from argosy.app.proxy_status import ProxyStatus
from argosy.core.names import ObjectKey
from argosy.edge.xds_server import Push
from argosy.pilot.build.resource import LISTENER
from argosy.xds.messages import Snapshot
from argosy.xds.server import Acked, Event, Held, Nacked, Settled, Stuck, Subscribed

if TYPE_CHECKING:
    from argosy.app.pilot import Pilot

logger = logging.getLogger(__name__)


class Client:
    """One connected proxy: a `Connection` of the xDS server."""

    def __init__(self, pilot: Pilot, pod: ObjectKey, push: Push) -> None:
        self._pilot = pilot
        self.push = push
        proxy_class = pilot.world.class_of(pod)
        assert proxy_class is not None, "the pod was looked up just now"
        self.snapshot = pilot.world.join(proxy_class)
        self.status = ProxyStatus(pod, proxy_class, offered=self.snapshot.number)
        pilot.clients[id(self)] = self
        pilot.gone.discard(pod)
        self._asked_for_listeners = False
        self.note_age()

    @property
    def name(self) -> str:
        """The pod."""
        return str(self.status.pod)

    def move(self) -> None:
        """The pod's labels changed its class: offer the new class's world."""
        world = self._pilot.world
        new = self._pilot.mesh.engine.get(self._pilot.model.pod_class, self.status.pod)
        if new is None or new == self.status.proxy_class:
            return
        snapshot: Snapshot = world.join(new)
        world.leave(self.status.proxy_class)
        self.status.proxy_class = new
        self.status.offered = snapshot.number
        # Each class counts for itself: what was settled of the old one says nothing about the new one.
        self.status.settled = 0
        self.status.stuck = None
        self.note_age()
        self.push(snapshot, None)

    def on_event(self, event: Event) -> None:
        """Keep the status; log what a person should know."""
        status = self.status
        if isinstance(event, Settled):
            status.settled = max(status.settled, event.number)
            self._note_ran(event.number)
            self.note_age()
            status.rejected.clear()
            status.held.clear()
            status.stuck = None
            self._pilot.note_progress()
        elif isinstance(event, Stuck):
            status.stuck = event
            self._pilot.note_progress()
        elif isinstance(event, Nacked):
            status.rejected[event.type_url] = (event.names, event.detail.message)
            logger.error("%s refused %s: %s", status.pod, ", ".join(event.names), event.detail.message)
            self._pilot.on_answer(status, event)
        elif isinstance(event, Acked):
            self._pilot.on_answer(status, event)
        elif isinstance(event, Subscribed):
            self._asked_for_listeners |= event.type_url == LISTENER
        elif isinstance(event, Held):
            waiting = tuple(f"{ref.name}" for ref in event.waiting_for)
            status.held[event.ref.name] = waiting
            logger.warning("%s: %s waits for %s", status.pod, event.ref.name, ", ".join(waiting))

    def _note_ran(self, number: int) -> None:
        """Note what the proxy runs, if that is still the newest. References only: nobody looks inside here.

        A proxy that starts has acknowledged all that it asked for also before it has asked for listeners.
        """
        world, status = self._pilot.world, self.status
        if self._asked_for_listeners and world.current(status.proxy_class).number == number:
            self._pilot.ran[status.pod] = world.layers(status.proxy_class)

    def note_age(self) -> None:
        """Note since when the proxy has been behind. What is offered meanwhile makes it no younger."""
        status = self.status
        if status.settled >= status.offered:
            status.behind_since = None
        elif status.behind_since is None:
            status.behind_since = self._pilot.now()

    def close(self) -> None:
        """The stream has ended."""
        del self._pilot.clients[id(self)]
        pod = self.status.pod
        if ("Pod", pod) in self._pilot.objects and all(one.status.pod != pod for one in self._pilot.clients.values()):
            self._pilot.gone.add(pod)
        self._pilot.world.leave(self.status.proxy_class)
        self._pilot.world.forget_pod(self.status.pod)
        self._pilot.note_progress()
