"""Making proofs from a ledger or a view: of a record, a transaction with its outcome, a state value or its absence.

The other half, checking, is ``chain/verification.py`` and shares nothing with this file but the formats.
"""

from __future__ import annotations

from typing import Any, Final

from chain import merkle
from chain.block import CONSORTIUM, Block, Head, Header
from chain.codec import encode
from chain.crypto import sha256
from chain.identity import genesis_statement
from chain.index import by_id
from chain.transaction import Transaction, committed, parse
from chain.verification import PROOF_FORMAT
from chain.view import LedgerError, Reads

_NOTHING_YET: Final = "block 0 is the genesis document itself: there is nothing to certify yet"


MOST_STATEMENTS: Final = 8


class ProofUnavailableError(LookupError):
    """What is asked for is not on the ledger; one line."""


def prove_state(ledger: Reads, chain: str, key: bytes, height: int | None = None) -> bytes:
    """A proof of the value (or absence) of an encoded state key after a height (default: the head)."""
    at = ledger.height if height is None else height
    if at < 1:
        raise ProofUnavailableError(_NOTHING_YET)
    claim: dict[str, Any] = {
        "kind": "state",
        "chain": chain,
        "key": key,
        "value": ledger.state_bytes(chain, key, at),
        "proof": ledger.tree(chain, at).prove(key),
    }
    if chain != CONSORTIUM:
        claim["head"] = _head_path(ledger.heads(at), ledger.header(at), chain)
    return _bundle(ledger, at, claim)


def prove_transaction(ledger: Reads, tx_id: bytes) -> bytes:
    """A proof that a transaction was ordered, where, and with what outcome."""
    height, claim, _ = _transaction_claim(ledger, tx_id)
    return _bundle(ledger, height, {"kind": "transaction", **claim})


def prove_record(ledger: Reads, tx_id: bytes, record_id: bytes) -> bytes:
    """A proof of one record of a sealed batch, with the transaction that carried it."""
    height, claim, transaction = _transaction_claim(ledger, tx_id)
    ids = [sha256(record) for record in transaction.records]
    if record_id not in ids:
        raise ProofUnavailableError(f"transaction {tx_id.hex()} does not carry record {record_id.hex()}")
    index = ids.index(record_id)
    path = merkle.prove(transaction.records, index)
    claim["record"] = [transaction.records[index], index, path]
    return _bundle(ledger, height, {"kind": "record", **claim})


def prove_record_by_id(ledger: Reads, record_id: bytes, chain: str | None = None) -> bytes:
    """As ``prove_record``, the transaction looked up: that of a chain, or of the first that sealed it."""
    places = [place for place in by_id(ledger.store, record_id) if chain in (None, place.chain)]
    if not places:
        where = "here" if chain is None else f"on chain {chain}"
        raise ProofUnavailableError(f"no record {record_id.hex()} is sealed {where}: check the id")
    return prove_record(ledger, places[0].tx_id, record_id)


def prove_head(ledger: Reads, chain: str, height: int | None = None) -> bytes:
    """A proof of where a chain stood after a height (default: the head); on the consortium chain of that block."""
    at = ledger.reached(height)
    if at < 1:
        raise ProofUnavailableError(_NOTHING_YET)
    claim: dict[str, Any] = {"kind": "head", "chain": chain}
    if chain != CONSORTIUM:
        claim["head"] = _head_path(ledger.heads(at), ledger.header(at), chain)
    return _bundle(ledger, at, claim)


def transactions_of(block: Block) -> list[Transaction]:
    """The transactions of a committed block in order: business chains by id, then the consortium's."""
    wires = [wire for _, group in block.member_txs for wire in group]
    return [parse(wire) for wire in (*wires, *block.consortium_txs)]


def _transaction_claim(ledger: Reads, tx_id: bytes) -> tuple[int, dict[str, Any], Transaction]:
    place = ledger.locate(tx_id)
    if place is None:
        raise ProofUnavailableError(f"transaction {tx_id.hex()} is in no block: check the id with `tally tx show`")
    header = ledger.header(place.height)
    listed = [committed(wire) for wire in ledger.wires(place.height)[place.chain]]
    receipts = ledger.receipt_bytes(place.height)[place.chain]
    offset = 1 if place.chain == CONSORTIUM else 0
    leaves = [transaction.leaf for transaction in listed]
    claim: dict[str, Any] = {
        "chain": place.chain,
        "transaction": [leaves[place.index], place.index, merkle.prove(leaves, place.index)],
        "receipt": [receipts[place.index + offset], merkle.prove(receipts, place.index + offset)],
    }
    if place.chain != CONSORTIUM:
        heads = ledger.heads(place.height)
        head = next(head for head in heads if head.chain == place.chain)
        claim["head"] = _head_path(heads, header, place.chain)
        claim["member_block"] = ledger.member_block(place.chain, head.height).encoded
    return place.height, claim, listed[place.index]


def _head_path(heads: list[Head], header: Header, chain: str) -> list[Any]:
    """[leaf, index, audit path] of a chain's head."""
    listed = sorted(heads, key=lambda head: head.chain)
    leaves = [head.leaf() for head in listed]
    if len(leaves) != header.chain_count or merkle.root(leaves) != header.heads_root:
        raise LedgerError(f"the chain heads kept for block {header.height} are not those of its header")
    index = next((place for place, head in enumerate(listed) if head.chain == chain), None)
    if index is None:
        raise ProofUnavailableError(f"block {header.height} knows no chain {chain!r}")
    return [leaves[index], index, merkle.prove(leaves, index)]


def _bundle(ledger: Reads, height: int, claim: dict[str, Any]) -> bytes:
    certificate = ledger.certificate(height)
    if certificate is None:
        raise ProofUnavailableError(f"the certificate of block {height} is not kept here")
    return encode(
        {
            "format": PROOF_FORMAT,
            "statement": _statement(ledger),
            "epochs": _epochs(ledger, height),
            "header": ledger.header(height).encoded,
            "certificate": certificate.to_value(),
            "claim": claim,
        }
    )


_STATEMENTS: Final[dict[bytes, Any]] = {}
"""By network id, which is their hash: the document is large, and every proof has the statement."""


def _statement(ledger: Reads) -> Any:
    found = _STATEMENTS.get(ledger.network_id)
    if found is None:
        found = genesis_statement(ledger.document)
        if len(_STATEMENTS) >= MOST_STATEMENTS:
            _STATEMENTS.clear()
        _STATEMENTS[ledger.network_id] = found
    return found


def _epochs(ledger: Reads, height: int) -> list[Any]:
    """The headers that handed over to another validator set before ``height``, each with its certificate."""
    changes: list[Any] = []
    target = ledger.header(height).epoch
    epoch, at = 0, 0
    while epoch < target:
        at = _last_of_epoch(ledger, epoch, at + 1, height)
        header = ledger.header(at)
        certificate = ledger.certificate(at)
        if certificate is None:
            raise ProofUnavailableError(f"the certificate of block {at} is not kept here")
        successor = ledger.validators_after(at)
        changes.append([header.encoded, certificate.to_value(), successor.to_value()])
        epoch = successor.epoch
    return changes


def _last_of_epoch(ledger: Reads, epoch: int, low: int, high: int) -> int:
    """The newest height whose header has this epoch: epochs only grow, so bisect."""
    while low < high:
        middle = (low + high + 1) // 2
        if ledger.header(middle).epoch <= epoch:
            low = middle
        else:
            high = middle - 1
    return low
