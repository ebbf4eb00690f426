"""The other end of the control API, for the command line: one blocking call, one answer, or an `ArgosyError`.

Given the folder of the mesh's sockets. When the control plane is four programs, each has a socket of its own; the path
says which one to ask, and the one of Galley (or of everything) answers for those that are not there.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from argosy.core.errors import ArgosyError, Finding, Level, Origin
from argosy.edge.own_faults import own_faults

NOT_RUNNING = "ARG0701"
NO_ANSWER = "ARG0705"
CALL_TIMEOUT_S = 30.0
SILENCE_S = 10.0
GLANCE_S = 3.0
CONTROL = "control"
# First part of the path after /v1/ -> the program that knows
_OWNERS = {
    "proxies": "pilot",
    "proxy-config": "pilot",
    "wait": "pilot",
    "object-status": "pilot",
    "explain": "pilot",
    "mtls": "pilot",
    "graph": "mixer",
    "traces": "mixer",
    "plaintext": "mixer",
    "metrics": "mixer",
    "tap": "mixer",
    "watch": "pilot",
    "ca": "citadel",
}
PROGRAMS = (CONTROL, "pilot", "mixer", "citadel")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content: bytes


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket, by the standard library: it is imported quickly and closes what it cannot connect."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("argosy", timeout=timeout_s)
        self._path = str(path)

    def connect(self) -> None:
        """Connect to the socket. Raises OSError."""
        made = socket.socket(socket.AF_UNIX)
        try:
            made.settimeout(self.timeout)
            made.connect(self._path)
        except OSError:
            made.close()
            raise
        self.sock = made


class ControlClient:
    """Calls the programs of one mesh. All calls raise `ArgosyError`: the mesh's findings, or that it does not run."""

    def __init__(self, run: Path, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """`run`: the folder with `control.sock`. `timeout_s`: how long a program may be silent."""
        self._run = run
        self._timeout_s = timeout_s

    def get(self, path: str, **params: str | int) -> dict[str, Any]:
        """GET `/v1/<path>`: the answer's JSON."""
        return _decoded(self._call("GET", path, params=params))

    def glance(self, path: str) -> dict[str, Any]:
        """Like `get`, for who can do without an answer: one that takes `GLANCE_S` counts as none."""
        return _decoded(self._call("GET", path, timeout_s=GLANCE_S))

    def lines(self, path: str, params: Sequence[tuple[str, str]]) -> Iterator[bytes]:
        """GET `/v1/<path>`: an endless answer line by line, until it ends or the caller has enough.

        It has a line at least every two seconds, so a shorter silence than that of a call means no answer.
        """
        owner = self._owner(path)
        connection = _Connection(self._run / f"{owner}.sock", SILENCE_S)
        try:
            connection.request("GET", f"/v1/{quote(path)}?{urlencode(params)}")
            response = connection.getresponse()
            if response.status >= 300:
                raise ArgosyError(_findings(_Answer(response.status, response.read())))
            while line := response.readline():
                yield line
        except (FileNotFoundError, ConnectionRefusedError):
            raise not_running(owner) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(owner, error, SILENCE_S) from None
        finally:
            connection.close()

    def get_text(self, path: str) -> str:
        """GET `/v1/<path>`: the answer as text."""
        return self._call("GET", path).content.decode()

    def post(self, path: str, body: Mapping[str, Any], *, wait_s: float = 0.0) -> dict[str, Any]:
        """POST to `/v1/<path>`: the answer's JSON. `wait_s`: how long the mesh may wait before it answers."""
        return _decoded(self._call("POST", path, body=body, timeout_s=self._timeout_s + wait_s))

    def change(self, path: str, body: Mapping[str, Any], *, wait_s: float = 0.0) -> dict[str, Any]:
        """Make a change and, if `wait_s` is not 0, wait until the proxies run it, wherever Pilot is.

        Gives the change's answer; its `laggards` are the proxies that did not get there, null if nobody waited. Its
        `findings` have what the change is at fault for at proxies.
        """
        waits = wait_s > 0 and not body.get("dry_run")
        known = self._known_to_pilot() if waits and self._has("pilot") else []
        answer = self.post(path, {**body, "wait_s": wait_s}, wait_s=wait_s)
        if waits and answer["laggards"] is None:
            told = self._wait(answer["revision"], wait_s)
            named = [(one["kind"], one["namespace"], one["name"]) for one in answer["changes"]]
            faults = own_faults(named, known, [parse_finding(one) for one in told["findings"]])
            answer["laggards"] = told["laggards"]
            answer["findings"] += [one.dump() for one in self._placed(faults)]
        return answer

    def _known_to_pilot(self) -> list[Finding]:
        """What Pilot's program finds wrong; nothing while it is away, which stops no change."""
        try:
            return self._told("pilot")
        except ArgosyError:
            return []

    def _placed(self, findings: Sequence[Finding]) -> Sequence[Finding]:
        """What programs without Galley found, at the lines that Galley knows."""
        if not findings:
            return []
        body = {"findings": [one.dump() for one in findings]}
        try:
            return [parse_finding(one) for one in self.post("place", body)["findings"]]
        except ArgosyError:  # what is wrong is worth more than where it stands
            return list(findings)

    def _wait(self, revision: int, wait_s: float) -> dict[str, Any]:
        try:
            return self.post("wait", {"wait_s": wait_s}, wait_s=wait_s)
        except ArgosyError as error:
            message = f"revision {revision} is in force, but nobody tells whether proxies run it"
            raise ArgosyError([Finding(NO_ANSWER, Level.ERROR, message), *error.findings]) from None

    def findings(self) -> list[Finding]:
        """What is wrong now, by every program that has something to say, and who of them does not answer; what two of
        them say, once."""
        found, away = self._told(CONTROL), list[Finding]()
        others = list[Finding]()
        for program in ("pilot", "mixer"):
            try:
                others += self._told(program) if self._has(program) else []
            except ArgosyError as error:
                away += error.findings
        return list(dict.fromkeys([*found, *self._placed(others), *away]))

    def _told(self, program: str) -> list[Finding]:
        return [parse_finding(one) for one in _decoded(self._send(program, "GET", "analyze"))["findings"]]

    def statuses(self) -> list[dict[str, Any]]:
        """What every program says about itself; of one that does not answer, that as `ready`, and no `pid`."""
        found = [_decoded(self._send(CONTROL, "GET", "status"))]
        return found + [self._status(name) for name in PROGRAMS[1:] if self._has(name)]

    def _status(self, program: str) -> dict[str, Any]:
        try:
            return _decoded(self._send(program, "GET", "status"))
        except ArgosyError as error:
            return {"name": program, "pid": None, "ready": error.findings[0].message}

    def _has(self, program: str) -> bool:
        return (self._run / f"{program}.sock").exists()

    def _call(self, method: str, path: str, **rest: Any) -> _Answer:
        return self._send(self._owner(path), method, path, **rest)

    def _owner(self, path: str) -> str:
        owner = _OWNERS.get(path.partition("/")[0], CONTROL)
        return owner if self._has(owner) else CONTROL

    def _no_answer(self, program: str, error: Exception, timeout_s: float) -> ArgosyError:
        who = "the control plane" if program == CONTROL else program
        why = f"silent for {timeout_s:g} s" if isinstance(error, TimeoutError) else error or type(error).__name__
        message = f"{who} does not answer: {why}"
        return ArgosyError.of(NO_ANSWER, message, hint=f"see logs/ in {self._run.parent}")

    def _send(
        self,
        program: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> _Answer:
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        content = None if body is None else msgspec.json.encode(body)
        target = f"/v1/{quote(path)}" + (f"?{urlencode(params)}" if params else "")
        connection = _Connection(self._run / f"{program}.sock", timeout_s)
        try:
            connection.request(method, target, content)
            response = connection.getresponse()
            answer = _Answer(response.status, response.read())
        except (FileNotFoundError, ConnectionRefusedError):
            raise not_running(program) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(program, error, timeout_s) from None
        finally:
            connection.close()
        if answer.status < 300:
            return answer
        raise ArgosyError(_findings(answer))


def not_running(program: str = CONTROL) -> ArgosyError:
    """The error that says how to start a mesh."""
    if program != CONTROL:
        return ArgosyError.of(NOT_RUNNING, f"{program} is not running", hint="it is restarted by itself: try again")
    hint = "`argosy up` starts it, `argosy demo` starts an example; ARGOSY_HOME says which mesh is meant"
    return ArgosyError.of(NOT_RUNNING, "the mesh is not running", hint=hint)


def parse_finding(data: Mapping[str, Any]) -> Finding:
    """The inverse of `Finding.dump`."""
    file, colon, line = data["origin"].rpartition(":")
    origin = Origin(file, int(line)) if colon and line.isdigit() else Origin(data["origin"])
    texts = {name: data[name] for name in ("code", "message", "kind", "namespace", "name", "field", "hint")}
    return Finding(level=Level(data["level"]), origin=origin, **texts)


def _decoded(answer: _Answer) -> dict[str, Any]:
    return msgspec.json.decode(answer.content, type=dict[str, Any])


def _findings(answer: _Answer) -> list[Finding]:
    try:
        return [parse_finding(one) for one in _decoded(answer)["findings"]]
    except (msgspec.DecodeError, KeyError, ValueError):
        message = f"the control plane failed with status {answer.status}"
        return [Finding(NO_ANSWER, Level.ERROR, message, hint="see the control plane's log")]
