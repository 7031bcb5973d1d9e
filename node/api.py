"""The HTTP API of a node, version 1: submit, wait, read, prove. Thin: every answer is the ledger's or the pool's.

It runs in a thread and loop of its own (node/service.py). Handlers read through ``peer.view``, taken once an answer;
what the node's own loop owns they ask for with ``await peer.in_loop(function, …)``.

Bodies and answers are JSON, bytes as lower-case hex, except where canonical bytes are asked for or given
(``application/octet-stream``): transactions, proofs and documents. An error is
``{"error": {"code": UPPER_SNAKE, "message": one line}}``. The API has no login of its own: keep it on loopback or
behind a proxy (docs/operations.md).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import trio
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from chain import proof as proofs
from chain.block import CONSORTIUM
from chain.codec import encode
from chain.crypto import HASH_SIZE
from chain.partial_view import NotFollowedError
from chain.query import CursorError
from chain.state import StateError
from chain.store import SnapshotClosedError, StoreError
from chain.transaction import TransactionError, check_signatures, parse
from chain.view import LedgerError, PrunedError, StatePrunedError
from node.api_body import read_body, read_list
from node.api_errors import ApiError
from node.bodies_api import add_bodies
from node.custody.api import add_custody
from node.documents import DocumentError
from node.documents_api import add_documents, document_status
from node.driver import wall_clock
from node.headers_api import add_headers
from node.inbox import add_inbox
from node.intake_api import add_intake
from node.join_api import add_join
from node.metrics import metrics_text
from node.queries_api import add_queries
from node.views import (
    block_view,
    feed_view,
    find_record,
    hexed,
    receipt_view,
    record_places,
    status_view,
    transaction_state,
)

if TYPE_CHECKING:
    from node.anchoring import Anchorer
    from node.peer import Peer

MAX_WAIT_S: Final = 30.0
MAX_SUBMIT: Final = 2000
MAX_ITEMS: Final = 2000
"""Keys looked up in one request."""
STATES_BYTES: Final = 4 * 1024 * 1024
"""Values of one answer; what does not fit is asked for again."""
KEYS_AT_ONCE: Final = 64
"""Looked up between two chances for votes and timers."""
OCTETS: Final = "application/octet-stream"

Height: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]


def make_api(peer: Peer) -> FastAPI:
    """The application for one node."""
    app = FastAPI(title="Tallystick node", version="1", docs_url=None, redoc_url=None)
    add_errors(app)
    _add_status(app, peer)
    add_transactions(app, peer)
    add_ledger(app, peer)
    add_proofs(app, peer)
    add_documents(app, peer)
    add_bodies(app, peer)
    _add_anchors(app, peer)
    add_inbox(app, peer)
    add_intake(app, peer)
    add_join(app, peer)
    add_headers(app, peer)
    add_custody(app, peer)
    return app


def add_errors(app: FastAPI) -> None:
    """Every exception as ``{"error": {code, message}}``."""

    def answer(status: int, code: str, message: str) -> JSONResponse:
        # What was not read of a body that is too large is no next request: the connection ends with the answer.
        headers = {"connection": "close"} if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else None
        return JSONResponse({"error": {"code": code, "message": message}}, status_code=status, headers=headers)

    @app.exception_handler(ApiError)
    async def _api(_request: Request, error: ApiError) -> JSONResponse:
        return answer(error.status, error.code, error.message)

    @app.exception_handler(StatePrunedError)
    async def _pruned(_request: Request, error: StatePrunedError) -> JSONResponse:
        return answer(410, "PRUNED", str(error))

    @app.exception_handler(PrunedError)
    async def _not_kept(_request: Request, error: PrunedError) -> JSONResponse:
        return answer(404, "NOT_KEPT", str(error))

    @app.exception_handler(CursorError)
    async def _cursor(_request: Request, error: CursorError) -> JSONResponse:
        return answer(400, "CURSOR", str(error))

    @app.exception_handler(proofs.ProofUnavailableError)
    async def _unprovable(_request: Request, error: proofs.ProofUnavailableError) -> JSONResponse:
        return answer(404, "NOT_PROVABLE", str(error))

    @app.exception_handler(NotFollowedError)
    async def _not_followed(_request: Request, error: NotFollowedError) -> JSONResponse:
        return answer(404, error.code, str(error))

    @app.exception_handler(LedgerError)
    async def _ledger(_request: Request, error: LedgerError) -> JSONResponse:
        return answer(404, "NOT_FOUND", str(error))

    @app.exception_handler(DocumentError)
    async def _document(_request: Request, error: DocumentError) -> JSONResponse:
        return answer(document_status(error), error.code, str(error))

    @app.exception_handler(RequestValidationError)
    async def _parameter(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return answer(400, "PARAMETER", f"{first['loc'][-1]}: {first['msg']}: correct it")

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        code = HTTPStatus(error.status_code).name
        return answer(
            error.status_code, code, f"{request.method} {request.url.path[:80]}: {error.detail}; see /openapi.json"
        )

    @app.exception_handler(SnapshotClosedError)
    async def _too_slow(_request: Request, error: SnapshotClosedError) -> JSONResponse:
        return answer(503, "VIEW_GONE", str(error))

    @app.exception_handler(StoreError)
    @app.exception_handler(StateError)
    async def _damaged(_request: Request, error: Exception) -> JSONResponse:
        return answer(500, "STORE", str(error))

    @app.exception_handler(Exception)
    async def _bug(_request: Request, error: Exception) -> JSONResponse:
        return answer(500, "INTERNAL", f"{type(error).__name__} in this node: its log has the trace; report it")


def _add_status(app: FastAPI, peer: Peer) -> None:
    @app.get("/v1/status")
    async def status() -> dict[str, Any]:
        """Where this node stands. Time in ms."""
        return await peer.in_loop(status_view, peer)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        """Prometheus text."""
        return await peer.in_loop(metrics_text, peer)


def add_transactions(app: FastAPI, peer: Peer) -> None:
    """Submit, wait, try, follow."""

    @app.post("/v1/transactions", status_code=202)
    async def submit(request: Request) -> list[dict[str, str]]:
        """Submit canonical ``[wire bytes, …]``. Answers one admission each, in order."""
        wires = await read_list(request, peer.config.api.max_request_bytes, MAX_SUBMIT)
        answers = await peer.in_loop(peer.submit_many, wires)
        return [
            {"id": done.tx_id.hex(), "state": done.state, "code": done.code, "message": done.message}
            for done in answers
        ]

    @app.get("/v1/transactions/{tx_id}")
    async def transaction(tx_id: str, wait: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0.0) -> dict[str, Any]:
        """The state of a transaction: unknown, pending or committed (with its receipt). Waits up to ``wait`` s."""
        wanted = _hash(tx_id)
        with trio.move_on_after(wait):
            view = peer.view
            while view.locate(wanted) is None:
                view = await peer.view_above(view.height)
        return await transaction_state(peer, wanted)

    @app.post("/v1/simulate")
    async def simulate(request: Request) -> dict[str, Any]:
        """What one transaction (wire bytes) would do on the head; nothing is written."""
        try:
            parsed = parse(await read_body(request, peer.config.api.max_request_bytes))
            check_signatures(parsed)
        except TransactionError as error:
            raise ApiError(400, error.code, str(error)) from None
        if parsed.chain != CONSORTIUM and parsed.chain not in peer.view.chains:
            raise ApiError(400, "UNKNOWN_CHAIN", f"there is no chain {parsed.chain!r}")
        return receipt_view(await peer.in_loop(peer.ledger.simulate, parsed, wall_clock()))

    @app.get("/v1/feed")
    async def feed(after: Height, wait: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0.0) -> list[dict[str, Any]]:
        """The committed blocks above a height (at most 16), with their transaction ids. Waits for one."""
        with trio.move_on_after(wait):
            await peer.view_above(after)
        view, recent = peer.view, peer.driver.recent
        last = min(view.height, after + 16)
        return [feed_view(view, recent, height) for height in range(after + 1, last + 1)]


def add_ledger(app: FastAPI, peer: Peer) -> None:
    """Blocks, chains, state, records."""

    @app.get("/v1/blocks/{height}")
    async def block(height: Height) -> dict[str, Any]:
        """A consortium block: header, certificate, member blocks, transactions with outcomes."""
        return block_view(peer.view, height)

    @app.get("/v1/state/{chain}")
    async def state(chain: str, key: str, at: Height | None = None) -> dict[str, Any]:
        """The value at an encoded state key (hex), at the head or a height."""
        view = peer.view
        height = view.height if at is None else at
        value = view.state_bytes(chain, _hex(key), height)
        return {"chain": chain, "height": height, "value": None if value is None else value.hex()}

    @app.post("/v1/state/{chain}")
    async def states(chain: str, request: Request) -> Response:
        """The values at many encoded state keys (canonical ``[key, …]``), at the head: canonical ``[value | nil, …]``
        for as many of the keys, in order, as fit into one answer."""
        keys = await read_list(request, peer.config.api.max_request_bytes, MAX_ITEMS)
        view = peer.view
        values: list[bytes | None] = []
        size = 0
        for key in keys:
            value = view.state_bytes(chain, key)
            size += 0 if value is None else len(value)
            values.append(value)
            if size >= STATES_BYTES:
                break
            if len(values) % KEYS_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        return Response(encode(values), media_type=OCTETS)

    @app.get("/v1/records")
    async def record(
        kind: str, number: str, issuer: str | None = None, at: Height | None = None
    ) -> list[dict[str, Any]]:
        """The records with a natural key, on every chain that has one. Without issuer: of any issuer known here."""
        return find_record(peer.view, kind, number, issuer, at)

    @app.get("/v1/records/{record_id}")
    async def record_by_id(record_id: str) -> list[dict[str, Any]]:
        """Where the record version with an id is sealed, once for each chain."""
        return record_places(peer.view, _hash(record_id))

    @app.get("/v1/genesis")
    async def genesis() -> Any:
        """The genesis document."""
        return hexed(peer.view.document)

    add_queries(app, peer)


def add_proofs(app: FastAPI, peer: Peer) -> None:
    """Proofs for `tally verify`."""

    @app.get("/v1/proofs/state/{chain}")
    async def state_proof(chain: str, key: str, at: Height | None = None) -> Response:
        """A proof of the value, or absence, of an encoded state key (hex)."""
        return Response(proofs.prove_state(peer.view, chain, _hex(key), at), media_type=OCTETS)

    @app.get("/v1/proofs/transaction/{tx_id}")
    async def transaction_proof(tx_id: str) -> Response:
        """A proof that a transaction was ordered, and of its outcome."""
        return Response(proofs.prove_transaction(peer.view, _hash(tx_id)), media_type=OCTETS)

    @app.get("/v1/proofs/record/{record_id}")
    async def record_proof(record_id: str, chain: str | None = None) -> Response:
        """A proof of one sealed record; ``chain``: where several hold it."""
        return Response(proofs.prove_record_by_id(peer.view, _hash(record_id), chain), media_type=OCTETS)

    @app.get("/v1/proofs/head/{chain}")
    async def head_proof(chain: str, at: Height | None = None) -> Response:
        """A proof of where a chain stands, or stood; of the consortium's: of that block."""
        return Response(proofs.prove_head(peer.view, chain, at), media_type=OCTETS)


def _add_anchors(app: FastAPI, peer: Peer) -> None:
    @app.get("/v1/anchors/status")
    async def anchor_status() -> dict[str, Any]:
        """Anchoring of this node."""
        return await peer.in_loop(_anchorer(peer).status)

    @app.post("/v1/anchors/now", status_code=202)
    async def anchor_now() -> dict[str, Any]:
        """Anchor at the next round."""
        return {"requested": await peer.in_loop(_anchorer(peer).request)}


def _anchorer(peer: Peer) -> Anchorer:
    if peer.anchorer is None:
        raise ApiError(404, "NO_ANCHORING", "this node does not anchor: set [anchor] in its node.toml")
    return peer.anchorer


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ApiError(400, "NOT_HEX", f"{text[:80]!r} is not hexadecimal") from None


def _hash(text: str) -> bytes:
    value = _hex(text)
    if len(value) != HASH_SIZE:
        raise ApiError(400, "NOT_A_HASH", f"{text[:80]!r} is not 64 hexadecimal digits")
    return value
