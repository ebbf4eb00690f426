"""The authority's part of the control API: what it is, the steps of a rotation, bundles of other trust domains.

    GET  /v1/ca              roots, who signs, leaves by signer, where a rotation stands, who lags behind, what is wrong
    POST /v1/ca/step         the next step of a rotation  {files, wait_s}     /v1/ca/wait  {wait_s}
    POST /v1/ca/drop         another root at once         {files}
    POST /v1/ca/renew        a new life                   {files}
    GET  /v1/ca/bundle       this trust domain's bundle   POST /v1/ca/bundles  {trust_domain, bundle | remove}

`files` are the operator's, by name; they hold a private key, so nothing here logs or repeats a body.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from argosy.citadel.errors import BundleError, Code
from argosy.core.errors import ArgosyError
from argosy.core.spiffe import SpiffeIDError
from argosy.edge.ca_keeper import CAKeeper
from argosy.edge.json_answer import json_answer

BODY_BYTES_MAX = 4 << 20
BAD_REQUEST = "ARG0703"
NO_COMPONENT = "ARG0702"
WAIT_S_MAX = 3600.0


class CARequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of every POST; each endpoint uses what it needs."""

    files: dict[str, str] | None = None
    wait_s: float = 0.0
    trust_domain: str = ""
    bundle: str = ""
    remove: bool = False


def ca_routes(found: Callable[[], CAKeeper | None]) -> list[Route]:
    """The routes; `found` gives the authority of this process, None if it has none."""
    api = _Api(found)
    return [
        Route("/v1/ca", api.show),
        Route("/v1/ca/bundle", api.bundle),
        _post("/v1/ca/step", api.step),
        _post("/v1/ca/wait", api.wait),
        _post("/v1/ca/drop", api.drop),
        _post("/v1/ca/renew", api.renew),
        _post("/v1/ca/bundles", api.bundles),
    ]


def _post(path: str, handler: Callable[[CARequest], Awaitable[Response]]) -> Route:
    async def endpoint(request: Request) -> Response:
        return await handler(await _body(request))

    return Route(path, endpoint, methods=["POST"])


async def _body(request: Request) -> CARequest:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_BYTES_MAX:
            raise ArgosyError.of(BAD_REQUEST, f"more than {BODY_BYTES_MAX} bytes in one request")
    try:
        return msgspec.json.decode(data or b"{}", type=CARequest)
    except msgspec.DecodeError:
        # The decoder's own words may hold a part of the body.
        raise ArgosyError.of(BAD_REQUEST, "the request cannot be read", hint="same version here and there?") from None


class _Api:
    def __init__(self, found: Callable[[], CAKeeper | None]) -> None:
        self._found = found

    def _keeper(self) -> CAKeeper:
        keeper = self._found()
        if keeper is None:
            raise ArgosyError.of(NO_COMPONENT, "this program has no Citadel", hint="ask the program that has it")
        return keeper

    async def show(self, request: Request) -> Response:
        """All that is known of the authority."""
        return json_answer(self._keeper().dump())

    async def bundle(self, request: Request) -> Response:
        """The roots as a SPIFFE bundle."""
        return Response(self._keeper().exported(), media_type="application/json")

    async def step(self, body: CARequest) -> Response:
        """The next step of a rotation; an error that names them while anybody lags behind."""
        keeper = self._keeper()
        await keeper.step(body.files, min(body.wait_s, WAIT_S_MAX))
        return json_answer(keeper.dump())

    async def wait(self, body: CARequest) -> Response:
        """Wait until nobody lags behind, or the time is up."""
        keeper = self._keeper()
        await keeper.wait_settled(min(body.wait_s, WAIT_S_MAX))
        return json_answer(keeper.dump())

    async def drop(self, body: CARequest) -> Response:
        """Another root at once."""
        keeper = self._keeper()
        keeper.drop_root(body.files)
        return json_answer(keeper.dump())

    async def renew(self, body: CARequest) -> Response:
        """A new life for our own root, or the operator's renewed files."""
        keeper = self._keeper()
        if body.files is None:
            keeper.renew()
        else:
            keeper.replace(body.files)
        return json_answer(keeper.dump())

    async def bundles(self, body: CARequest) -> Response:
        """Believe another trust domain, or believe it no longer."""
        keeper = self._keeper()
        try:
            if not body.remove:
                keeper.import_bundle(body.trust_domain, body.bundle.encode())
            elif not keeper.remove_bundle(body.trust_domain):
                message = f"trust domain {body.trust_domain} is not federated"
                raise BundleError.of(Code.BUNDLE_SOURCE, message, hint="`argosy ca status` lists those that are")
        except SpiffeIDError as error:
            message = f"{body.trust_domain!r} is no trust domain: {error}"
            raise BundleError.of(Code.BUNDLE_SOURCE, message) from None
        return json_answer(keeper.dump())
