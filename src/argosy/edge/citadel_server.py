"""Citadel's edge: the authority's files, and the service that signs.

Given a directory or an operator's CA, a token verifier, a clock; gives an `Authority` and the generic gRPC handler of
`/argosy.citadel.v1.Citadel/Issue`. What a caller is told is opaque; the reason is logged and counted, once, here.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import grpc
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.citadel.authority import LEAF_TTL_S, Authority, IssuedCertificate, create_root
from argosy.citadel.csr import CSR_BYTES_MAX, parse_csr
from argosy.citadel.errors import CAFileError, Code, CSRError, IssueError, TokenError
from argosy.citadel.identity import AuthenticatedIdentity
from argosy.citadel.limits import RateLimit
from argosy.citadel.pem import encode_certificate, encode_private_key
from argosy.citadel.plugged_in import CAFiles, load_plugged_in
from argosy.core.clock import Clock
from argosy.core.errors import ArgosyError, Origin
from argosy.edge.tokens import read_file, read_key_file, sync_directory, write_file

logger = logging.getLogger(__name__)

SERVICE = "argosy.citadel.v1.Citadel"
ISSUE_METHOD = f"/{SERVICE}/Issue"
CERTIFICATE_FILE, KEY_FILE, CHAIN_FILE, ROOT_FILE = "ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"
REQUESTS_PER_S = 200.0
REQUESTS_BURST = 1_000
REQUEST_BYTES_MAX = 2 * CSR_BYTES_MAX

Verifier = Callable[[str, float], AuthenticatedIdentity]
"""(token, now) -> who it is; raises `TokenError`."""


class IssueRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client sends, as JSON. `ttl_s` 0 asks for the default life."""

    csr_pem: str
    ttl_s: float = 0


class IssueResponse(msgspec.Struct, frozen=True):
    """What it gets back. PEM texts, one certificate each, leaf first; times in epoch seconds."""

    chain_pem: tuple[str, ...]
    roots_pem: tuple[str, ...]
    not_before: int
    not_after: int
    trust_domain: str


def load_ca(directory: Path, trust_domain: str, *, now: float) -> Authority:
    """The authority whose four files lie in `directory`; raises `CAFileError`."""
    files = CAFiles(
        certificate=read_file(directory / CERTIFICATE_FILE),
        key=read_key_file(directory / KEY_FILE),
        chain=read_file(directory / CHAIN_FILE),
        roots=read_file(directory / ROOT_FILE),
    )
    return load_plugged_in(files, trust_domain, now=now)


def load_or_create_ca(directory: Path, trust_domain: str, *, now: float) -> Authority:
    """As `load_ca`; on first start a self-signed root is made.

    A directory that lost a file is an error, not a first start: a new root would cut off every running proxy.
    """
    if not directory.exists() or not any(directory.iterdir()):
        _create_ca(directory, trust_domain, now)
    return load_ca(directory, trust_domain, now=now)


def _create_ca(directory: Path, trust_domain: str, now: float) -> None:
    """All files appear at once, by one rename: a crash leaves nothing that looks like an authority."""
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.is_symlink():
        message = "the directory of a new authority may not be a symbolic link"
        raise CAFileError.of(Code.CA_FILE_MODE, message, origin=Origin(str(directory)))
    key = ec.generate_private_key(ec.SECP256R1())
    authority = create_root(trust_domain, key, now=now, serial=x509.random_serial_number())
    certificate = encode_certificate(authority.certificate).encode()
    aside = directory.parent / f".{directory.name}.new"  # a fixed name: what a killed start left goes with the next
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o700)
    try:
        write_file(aside / KEY_FILE, encode_private_key(key), mode=0o600)
        for name in (CERTIFICATE_FILE, CHAIN_FILE, ROOT_FILE):
            write_file(aside / name, certificate, mode=0o644)
        aside.rename(directory)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_directory(directory.parent)


class CitadelService:
    """Answers Issue calls. `authority` is asked for on every call, so that a reloaded one takes over at once."""

    def __init__(self, authority: Callable[[], Authority], verifier: Verifier, clock: Clock) -> None:
        self._authority = authority
        self._verifier = verifier
        self._clock = clock
        self._limit = RateLimit(per_s=REQUESTS_PER_S, burst=REQUESTS_BURST)
        self._outcomes: Counter[str] = Counter()

    def handler(self) -> grpc.GenericRpcHandler:
        """The generic handler for `start_server`; serve it with `ServerTLS.token()`."""
        return grpc.method_handlers_generic_handler(
            SERVICE, {"Issue": grpc.unary_unary_rpc_method_handler(self._issue)}
        )

    def dump(self) -> dict[str, Any]:
        """Plain data: the authority, and how many calls ended how (`issued` or the code of the refusal)."""
        return {"authority": self._authority().dump(), "outcomes": dict(self._outcomes)}

    async def _issue(self, data: bytes, context: Any) -> bytes:
        if not self._limit.take(self._clock.monotonic()):
            self._outcomes["rate"] += 1
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests; try again later")
        caller = ""
        try:
            now = self._clock.now()
            identity = self._verifier(_bearer_token(context), now)
            caller = f"{identity.namespace}/{identity.service_account}"
            issued = self._sign(identity, _decode(data), now)
        except ArgosyError as error:
            await self._refuse(error, caller, context)
        self._outcomes["issued"] += 1
        logger.info(
            "issued %s to %s, serial %x, until %d", issued.spiffe_id, context.peer(), issued.serial, issued.not_after
        )
        return msgspec.json.encode(
            IssueResponse(
                issued.chain, issued.roots, issued.not_before, issued.not_after, self._authority().trust_domain
            )
        )

    def _sign(self, identity: AuthenticatedIdentity, request: IssueRequest, now: float) -> IssuedCertificate:
        return self._authority().issue(
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
        logger.warning("certificate refused to %s (%s): %s", context.peer(), caller or "unproved", error)
        await context.abort(*_status(error))
        raise AssertionError("abort always raises")


def _status(error: ArgosyError) -> tuple[grpc.StatusCode, str]:
    if isinstance(error, TokenError):
        return grpc.StatusCode.UNAUTHENTICATED, "the caller is not authenticated"
    if error.findings[0].code == Code.SIGNER_EXPIRED:
        return grpc.StatusCode.UNAVAILABLE, "no certificate can be issued now"
    if error.findings[0].code == Code.IDENTITY_NAME:
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


def _decode(data: bytes) -> IssueRequest:
    if len(data) > REQUEST_BYTES_MAX:
        raise CSRError.of(Code.CSR_SHAPE, f"the message is longer than {REQUEST_BYTES_MAX} bytes")
    try:
        return msgspec.json.decode(data, type=IssueRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CSRError.of(Code.CSR_SHAPE, "the message is not an issue request") from error
