"""Lists, histories and past heads over HTTP: ``/v1/lists/…``, ``/v1/history/…``, ``/v1/chains``, ``/v1/members``.

A list's answer is ``{"rows": […], "began": height, "next": cursor or null}``. Give ``next`` back as ``after``, with
the same filters, for the page behind it: what is sealed meanwhile is not in it. Times are block time in ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import trio
from fastapi import Depends, FastAPI, Query
from pydantic import Field

from chain import query
from chain.block import CONSORTIUM
from chain.index import Listed
from chain.query import Filters, FoundTransaction, Page, RecordVersion, StateVersion
from chain.transition import GOV_VALIDATORS, validators_at
from chain.view import Reads
from node.api_errors import ApiError
from node.views import hexed, record_key

if TYPE_CHECKING:
    from node.peer import Peer

MOST_ROWS: Final = 500
ROWS: Final = 100

_Height: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]
_Limit: TypeAlias = Annotated[int, Query(ge=1, le=MOST_ROWS)]
_Order: TypeAlias = Literal["newest", "oldest"]


async def _filters(
    chain: Annotated[list[str] | None, Query(max_length=64)] = None,
    enterprise: str | None = None,
    kind: str | None = None,
    method: str | None = None,
    from_ms: _Height | None = None,
    to_ms: _Height | None = None,
    from_block: _Height = 1,
    at: _Height | None = None,
    order: _Order = "newest",
) -> Filters:
    """What a list is asked for; ``chain`` may stand several times; ``at``: the newest block looked at."""
    return Filters(
        chains=None if chain is None else tuple(sorted(set(chain))),
        enterprise=enterprise,
        kind=kind,
        method=method,
        from_ms=from_ms,
        to_ms=to_ms,
        low=from_block,
        high=at,
        newest_first=order == "newest",
    )


_Filters: TypeAlias = Annotated[Filters, Depends(_filters)]


def add_queries(app: FastAPI, peer: Peer) -> None:
    """The routes of this file."""
    _add_lists(app, peer)
    _add_histories(app, peer)

    @app.get("/v1/chains")
    async def chains(at: _Height | None = None) -> list[dict[str, Any]]:
        """The head of each business chain, at the newest block or a height."""
        view = peer.view
        return [
            {"chain": head.chain, "height": head.height, "hash": head.hash.hex(), "state_root": head.state_root.hex()}
            for head in view.heads(view.reached(at))
        ]

    @app.get("/v1/members")
    async def members(at: _Height | None = None) -> list[Any]:
        """The registered members, at the newest block or a height; ``votes``: on the block after it."""
        view = peer.view
        height = view.reached(at)
        ids = view.state(CONSORTIUM, record_key("registry", "members"), height) or []
        voting = validators_at(view.state(CONSORTIUM, GOV_VALIDATORS, height), height + 1).keys
        entries = (view.state(CONSORTIUM, record_key("registry", "member", member), height) for member in ids)
        return [{**hexed(entry), "votes": entry["id"] in voting} for entry in entries]


def _add_lists(app: FastAPI, peer: Peer) -> None:
    @app.get("/v1/lists/records")
    async def records(filters: _Filters, limit: _Limit = ROWS, after: str | None = None) -> dict[str, Any]:
        """Sealed record versions in sealing order, of an enterprise, a kind, a chain, a time, or all."""
        view = peer.view
        return record_page(view, query.records(view, filters, limit, after))

    @app.get("/v1/lists/transactions")
    async def transactions(filters: _Filters, limit: _Limit = ROWS, after: str | None = None) -> dict[str, Any]:
        """Transactions in block order; ``method``: a contract, or contract.method."""
        page = query.transactions(peer.view, filters, limit, after)
        return _paged(page, [_transaction_row(row) for row in page.rows])

    @app.get("/v1/lists/blocks")
    async def blocks(filters: _Filters, limit: _Limit = ROWS, after: str | None = None) -> dict[str, Any]:
        """Consortium blocks in order."""
        view = peer.view
        page = query.blocks(view, filters, limit, after)
        rows = []
        for height in page.rows:
            rows.append(_block_row(view, height))
            await trio.lowlevel.checkpoint()  # each reads a whole block: other questions have their turn in between
        return _paged(page, rows)


def _add_histories(app: FastAPI, peer: Peer) -> None:
    @app.get("/v1/history/record/{chain}")
    async def record_history(
        chain: str, kind: str, issuer: str, number: str, at: _Height | None = None, limit: _Limit = ROWS,
        after: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Every version of a record, newest first."""
        key = record_key("records", "record", kind, issuer, number)
        page = query.record_history(peer.view, chain, key, limit, at, after)
        return _paged(page, [_version_row(row) for row in page.rows])

    @app.get("/v1/history/state/{chain}")
    async def state_history(
        chain: str, key: str, at: _Height | None = None, limit: _Limit = ROWS, after: str | None = None
    ) -> dict[str, Any]:
        """What an encoded state key (hex) held, newest first, from the first height that this node keeps."""
        view = peer.view
        page = query.state_history(view, chain, _hex(key), limit, at, after)
        return {**_paged(page, [_state_row(row) for row in page.rows]), "pruned_below": view.pruned_below}


def record_page(view: Reads, page: Page) -> dict[str, Any]:
    """A page of records as JSON."""
    times: dict[int, int] = {}
    for row in page.rows:
        height = row.place.height
        if height not in times:
            times[height] = view.header(height).time
    return _paged(page, [_record_row(row, times[row.place.height]) for row in page.rows])


def _paged(page: Page, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": rows, "began": page.began, "next": page.next}


def _record_row(row: Listed, time: int) -> dict[str, Any]:
    record = row.record
    return {
        "chain": record.chain,
        "kind": record.kind,
        "issuer": record.issuer,
        "number": record.number,
        "enterprise": row.enterprise,
        "id": record.record_id.hex(),
        "transaction": record.tx_id.hex(),
        "height": row.place.height,
        "time": time,
    }


def _transaction_row(row: FoundTransaction) -> dict[str, Any]:
    transaction, receipt = row.transaction, row.receipt
    return {
        "id": transaction.id.hex(),
        "chain": row.place.chain,
        "height": row.place.height,
        "index": row.place.index,
        "time": row.time,
        "contract": transaction.contract,
        "method": transaction.method,
        "records": len(transaction.records),
        "signers": [key.hex() for key in transaction.signers],
        "status": receipt.status,
        "code": receipt.code,
    }


def _block_row(view: Reads, height: int) -> dict[str, Any]:
    block = view.block(height)
    header = block.header
    return {
        "height": height,
        "time": header.time,
        "digest": header.digest.hex(),
        "proposer": header.proposer,
        "transactions": sum(len(group) for _, group in block.member_txs) + len(block.consortium_txs),
    }


def _version_row(row: RecordVersion) -> dict[str, Any]:
    return {
        "version": row.number,
        "id": row.record_id.hex(),
        "height": row.height,
        "time": row.time,
        "transaction": row.tx_id.hex(),
        "record": hexed(row.record),
    }


def _state_row(row: StateVersion) -> dict[str, Any]:
    return {"height": row.height, "time": row.time, "value": None if row.value is None else row.value.hex()}


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ApiError(400, "NOT_HEX", f"{text[:80]!r} is not hexadecimal") from None
