"""Ledger objects as JSON for the API: bytes as hex, nothing left out, nothing computed anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from chain import index
from chain.block import CONSORTIUM, Receipt
from chain.codec import encode
from chain.proof import transactions_of
from chain.transaction import Transaction, parse
from chain.view import Reads, View
from node.driver import CommittedBlock, wall_clock
from node.join_api import following_view

if TYPE_CHECKING:
    from node.peer import Peer


def hexed(value: Any) -> Any:
    """A decoded value with its byte strings as hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: hexed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [hexed(item) for item in value]
    return value


def record_key(contract: str, *parts: str | int | bytes) -> bytes:
    """The encoded state key of a contract's entry."""
    return encode([contract, *parts])


def receipt_view(receipt: Receipt) -> dict[str, Any]:
    """A receipt. status 0 done, 1 failed."""
    return {
        "id": receipt.tx_id.hex(),
        "status": receipt.status,
        "code": receipt.code,
        "message": receipt.message,
        "result": hexed(receipt.result),
        "events": hexed(receipt.events),
        "charged": receipt.charged,
    }


def transaction_view(transaction: Transaction) -> dict[str, Any]:
    """A transaction's signed content."""
    return {
        "id": transaction.id.hex(),
        "chain": transaction.chain,
        "contract": transaction.contract,
        "method": transaction.method,
        "args": hexed(transaction.args),
        "signers": [key.hex() for key in transaction.signers],
        "valid_until": transaction.valid_until,
        "records": len(transaction.records),
    }


def status_view(peer: Peer) -> dict[str, Any]:
    """Where a node stands; in its own loop. Time in ms."""
    ledger, stats = peer.ledger, peer.network.stats()
    validators = ledger.validators()
    return {
        "network_id": ledger.network_id.hex(),
        "member": peer.member,
        "height": ledger.height,
        "pruned_below": ledger.pruned_below,
        "head": ledger.head.digest.hex(),
        "time": ledger.head.time,
        "clock": wall_clock(),
        "epoch": validators.epoch,
        "validators": list(validators.ids),
        "validator": peer.member in validators.keys,
        "voted_height": peer.driver.voted_height,
        "connected": sorted(peer.network.connected()),
        "pending": len(peer.mempool),
        "denied_strangers": stats.denied,
        "malformed": peer.malformed,
        "evidence": peer.driver.evidence,
        "intake": peer.intake.status(),
        "following": following_view(peer),
        "parameters": dict(ledger.parameters),
    }


def feed_view(view: View, recent: Iterable[CommittedBlock], height: int) -> dict[str, Any]:
    """Height, time, digest and the ids of a block's transactions with their status. ``recent``: the driver's."""
    for block in recent:
        if block.height == height:
            listed = [[tx_id.hex(), status] for tx_id, status in block.outcomes]
            return {
                "height": height, "time": block.time, "digest": block.digest.hex(), "transactions": listed,
            }  # fmt: skip
    whole = block_view(view, height)
    listed = [[transaction["id"], transaction["receipt"]["status"]] for transaction in whole["transactions"]]
    return {key: whole[key] for key in ("height", "time", "digest")} | {"transactions": listed}


def block_view(ledger: Reads, height: int) -> dict[str, Any]:
    """A block with everything in it."""
    header = ledger.header(height)
    view: dict[str, Any] = {"height": height, "time": header.time, "digest": header.digest.hex()}
    if height == 0:
        return {**view, "header": hexed(header.to_value())}
    receipts = ledger.receipts(height)
    block = ledger.block(height)
    certificate = ledger.certificate(height)
    outcomes = {receipt.tx_id: receipt for listed in receipts.values() for receipt in listed}
    view["header"] = hexed(header.to_value())
    view["proposer"] = header.proposer
    view["certificate"] = None if certificate is None else hexed(certificate.to_value())
    view["hooks"] = receipt_view(receipts[CONSORTIUM][0])
    view["chains"] = [
        {"chain": head.chain, "height": head.height, "hash": head.hash.hex(), "state_root": head.state_root.hex()}
        for head in ledger.heads(height)
    ]
    view["transactions"] = [
        {**transaction_view(transaction), "receipt": receipt_view(outcomes[transaction.id])}
        for transaction in transactions_of(block)
    ]
    return view


async def transaction_state(peer: Peer, tx_id: bytes) -> dict[str, Any]:
    """Unknown, pending, or committed with place and receipt."""
    ledger = peer.view
    place = ledger.locate(tx_id)
    if place is None:
        if await peer.in_loop(peer.mempool.get, tx_id) is not None:
            return {"id": tx_id.hex(), "state": "pending"}
        ledger = peer.view  # it may have been committed between the two looks
        place = ledger.locate(tx_id)
        if place is None:
            return {"id": tx_id.hex(), "state": "unknown"}
    return {
        "id": tx_id.hex(),
        "state": "committed",
        "height": place.height,
        "chain": place.chain,
        "index": place.index,
        "time": ledger.header(place.height).time,
        "transaction": transaction_view(parse(ledger.wire(place))),
        "receipt": receipt_view(ledger.receipt(place)),
    }


def find_record(ledger: Reads, kind: str, number: str, issuer: str | None, at: int | None) -> list[dict[str, Any]]:
    """The records with a natural key on every business chain, as of a height."""
    found = []
    for chain in ledger.followed:
        for who in index.issuers(ledger.store, chain, kind, number) if issuer is None else [issuer]:
            entry = ledger.state(chain, record_key("records", "record", kind, who, number), at)
            if entry is not None:
                found.append({"chain": chain, "kind": kind, "issuer": who, "number": number, **hexed(entry)})
    return found


def record_places(ledger: Reads, record_id: bytes) -> list[dict[str, Any]]:
    """Where the record version with an id is sealed: chain, natural key and transaction, once for each chain."""
    found = index.by_id(ledger.store, record_id)
    return [{**entry._asdict(), "record_id": record_id.hex(), "tx_id": entry.tx_id.hex()} for entry in found]
