"""Citadel's service: signs for those who prove who they are, and tells everybody whom to believe.

Given the authority in force, a token verifier, a clock; gives the generic gRPC handlers of
`/argosy.citadel.v1.Citadel/Issue` and `/Follow`. What a caller is told is opaque; the reason is logged and counted,
once, here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, Protocol

import grpc
import msgspec
from cryptography import x509

from argosy.citadel.authority import LEAF_TTL_S, Authority, IssuedCertificate
from argosy.citadel.csr import CSR_BYTES_MAX, parse_csr
from argosy.citadel.errors import Code, CSRError, IssueError, TokenError
from argosy.citadel.identity import AuthenticatedIdentity
from argosy.citadel.limits import RateLimit
from argosy.citadel.policy import CONTROL_PLANE_ACCOUNTS
from argosy.citadel.trust import Holder, TrustState
from argosy.core.clock import Clock
from argosy.core.errors import ArgosyError
from argosy.core.names import ROOT_NAMESPACE

logger = logging.getLogger(__name__)

SERVICE = "argosy.citadel.v1.Citadel"
ISSUE_METHOD = f"/{SERVICE}/Issue"
FOLLOW_METHOD = f"/{SERVICE}/Follow"
ISSUED = "issued"
WRITE_S_MAX = 5.0
REQUESTS_PER_S = 200.0
REQUESTS_BURST = 1_000
REQUEST_BYTES_MAX = 2 * CSR_BYTES_MAX

_PARSING = frozenset((Code.CSR_SHAPE, Code.CSR_SIGNATURE, Code.CSR_KEY))

Verifier = Callable[[str, float], Awaitable[AuthenticatedIdentity]]
"""(token, now) -> who it is; raises `TokenError`. A platform's own check of tokens may have to ask somebody."""


class AuthorityPort(Protocol):
    """What signs, and what is to be believed; `edge.ca_keeper.CAKeeper` is one."""

    @property
    def authority(self) -> Authority:
        """The authority in force now."""
        ...

    @property
    def trust(self) -> TrustState:
        """What holders must have now."""
        ...

    @property
    def changed(self) -> asyncio.Event:
        """Set at the next change of anything here."""
        ...

    def report(self, reporter: str, holders: tuple[Holder, ...]) -> None:
        """Take what a process says of its holders."""
        ...

    def leave(self, reporter: str) -> None:
        """A process went away."""
        ...

    def suspect(self, caller: str) -> None:
        """A proved caller asked for what it is not."""
        ...


class IssueRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client sends, as JSON. `ttl_s` 0 asks for the default life."""

    csr_pem: str
    ttl_s: float = 0


class IssueResponse(msgspec.Struct, frozen=True):
    """What it gets back. `chain_pem`: one certificate each, leaf first. Times in epoch seconds; `now` is Citadel's."""

    chain_pem: tuple[str, ...]
    not_before: int
    not_after: int
    now: float
    trust: TrustState


class FollowReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a follower says of all its holders, at every change."""

    holders: tuple[Holder, ...]


class FollowAnswer(msgspec.Struct, frozen=True):
    """What it is told at once and at every change. `now`: Citadel's clock, seconds since the epoch."""

    trust: TrustState
    now: float


class CitadelService:
    """Answers Issue and Follow. The authority is asked for on every call, so that a reloaded one takes over at once."""

    def __init__(self, port: AuthorityPort, verifier: Verifier, clock: Clock) -> None:
        self._port = port
        self._verifier = verifier
        self._clock = clock
        self._limit = RateLimit(per_s=REQUESTS_PER_S, burst=REQUESTS_BURST)
        self._outcomes: Counter[str] = Counter()

    def handler(self) -> grpc.GenericRpcHandler:
        """The generic handler for `start_server`; serve it with `ServerTLS.token()`."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Issue": grpc.unary_unary_rpc_method_handler(self._issue),
                "Follow": grpc.stream_stream_rpc_method_handler(self._follow),
            },
        )

    def dump(self) -> dict[str, Any]:
        """Plain data: the authority, and how many calls ended how (`issued` or the code of the refusal)."""
        return {"authority": self._port.authority.dump(), "outcomes": dict(self._outcomes)}

    def metrics(self) -> list[tuple[str, str, str, float]]:
        """(name, kind, help, value) rows for `/metrics`, by Istio's names where it has one."""
        count = self._outcomes
        refused = {code: float(number) for code, number in count.items() if code != ISSUED}
        authentication = sum(number for code, number in refused.items() if code.startswith("CIT002"))
        names = sum(refused.get(code, 0.0) for code in (Code.IDENTITY_NAME, Code.CSR_NAMES))
        parsing = sum(number for code, number in refused.items() if code in _PARSING)
        return [
            ("citadel_server_csr_count", "counter", "Requests for a certificate.", float(sum(count.values()))),
            (
                "citadel_server_success_cert_issuance_count",
                "counter",
                "Certificates issued.",
                float(count[ISSUED]),
            ),
            ("citadel_server_authentication_failure_count", "counter", "Callers without proof.", authentication),
            ("citadel_server_csr_parsing_err_count", "counter", "Requests that are none.", parsing),
            (
                "citadel_server_id_extraction_err_count",
                "counter",
                "Callers that may not have the certificate that they ask for.",
                names,
            ),
            (
                "citadel_server_csr_sign_err_count",
                "counter",
                "Requests that were refused for what they ask for, or that could not be signed.",
                sum(refused.values()) - authentication - parsing - names,
            ),
        ]

    async def _issue(self, data: bytes, context: Any) -> bytes:
        if not self._limit.take(self._clock.monotonic()):
            self._outcomes["rate"] += 1
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests; try again later")
        caller = ""
        try:
            now = self._clock.now()
            identity = await self._verifier(_bearer_token(context), now)
            caller = f"{identity.namespace}/{identity.service_account}"
            issued = self._sign(identity, _decode(data), now)
        except ArgosyError as error:
            await self._refuse(error, caller, context)
        self._outcomes[ISSUED] += 1
        logger.info(
            "issued %s to %s, serial %x, until %d", issued.spiffe_id, context.peer(), issued.serial, issued.not_after
        )
        return msgspec.json.encode(
            IssueResponse(issued.chain, issued.not_before, issued.not_after, now, self._port.trust)
        )

    async def _follow(self, requests: Any, context: Any) -> None:
        try:
            identity = await self._verifier(_bearer_token(context), self._clock.now())
            _require_program(identity)
        except ArgosyError as error:
            await self._refuse(error, "", context)
        reporter = "/".join(part for part in (identity.service_account, identity.node) if part)
        writing = asyncio.Lock()
        telling = asyncio.create_task(self._tell(context, writing))
        refused: CSRError | None = None
        try:
            async for data in requests:
                self._port.report(reporter, _decode_report(data).holders)
        except CSRError as error:
            refused = error
        finally:
            self._port.leave(reporter)
            # Not in the middle of a write: gRPC takes one operation of a kind at a time.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITE_S_MAX), writing:
                    telling.cancel()
            telling.cancel()
        if refused is not None:
            await self._refuse(refused, reporter, context)

    async def _tell(self, context: Any, writing: asyncio.Lock) -> None:
        """What is to be believed, at once and at every change of it."""
        told: TrustState | None = None
        while True:
            changed, trust = self._port.changed, self._port.trust
            if trust != told:
                told = trust
                async with writing:
                    await context.write(msgspec.json.encode(FollowAnswer(trust, self._clock.now())))
            else:
                await changed.wait()

    def _sign(self, identity: AuthenticatedIdentity, request: IssueRequest, now: float) -> IssuedCertificate:
        return self._port.authority.issue(
            identity,
            parse_csr(request.csr_pem.encode()),
            ttl_s=request.ttl_s or LEAF_TTL_S,
            now=now,
            serial=x509.random_serial_number(),
        )

    async def _refuse(self, error: ArgosyError, caller: str, context: Any) -> NoReturn:
        """The one place that turns Citadel's errors into a status."""
        code = error.findings[0].code
        self._outcomes[code] += 1
        if code == Code.CSR_NAMES:
            self._port.suspect(caller)
        logger.warning("certificate refused to %s (%s): %s", context.peer(), caller or "unproved", error)
        await context.abort(*_status(error))
        raise AssertionError("abort always raises")


def _status(error: ArgosyError) -> tuple[grpc.StatusCode, str]:
    if isinstance(error, TokenError):
        return grpc.StatusCode.UNAUTHENTICATED, "the caller is not authenticated"
    if error.findings[0].code == Code.SIGNER_EXPIRED:
        return grpc.StatusCode.UNAVAILABLE, "no certificate can be issued now"
    if error.findings[0].code in (Code.IDENTITY_NAME, Code.CSR_NAMES):
        return grpc.StatusCode.PERMISSION_DENIED, "the caller may not have this certificate"
    assert isinstance(error, CSRError | IssueError)
    # The caller is proved, and only its own request is wrong: it may know how.
    return grpc.StatusCode.INVALID_ARGUMENT, error.findings[0].message


def _bearer_token(context: Any) -> str:
    values = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
    if len(values) != 1 or not isinstance(values[0], str):
        raise TokenError.of(Code.TOKEN_SHAPE, f"{len(values)} authorization values, not one")
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise TokenError.of(Code.TOKEN_SHAPE, "authorization is not a bearer token")
    return token


def _require_program(identity: AuthenticatedIdentity) -> None:
    """Only the mesh's own programs speak for holders: who lags behind decides whether a root may go."""
    if identity.namespace != ROOT_NAMESPACE or identity.service_account not in CONTROL_PLANE_ACCOUNTS or identity.pod:
        name = f"{identity.namespace}/{identity.service_account}"
        raise IssueError.of(Code.IDENTITY_NAME, f"{name} is no program of the mesh")


def _decode_report(data: bytes) -> FollowReport:
    try:
        return msgspec.json.decode(data, type=FollowReport)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CSRError.of(Code.CSR_SHAPE, "the message is not a report") from error


def _decode(data: bytes) -> IssueRequest:
    if len(data) > REQUEST_BYTES_MAX:
        raise CSRError.of(Code.CSR_SHAPE, f"the message is longer than {REQUEST_BYTES_MAX} bytes")
    try:
        return msgspec.json.decode(data, type=IssueRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CSRError.of(Code.CSR_SHAPE, "the message is not an issue request") from error
