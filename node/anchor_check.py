"""Confirmations of anchors: what a validator reports, and how every other node re-checks it.

A confirmation on the consortium chain is a claim with its proof. The contract cannot see the public chain, so
each operator's node compares it with its *own* log and its *own* endpoint, and alarms on a mismatch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import structlog

from chain.anchor import Anchor
from chain.checkpoint import Log
from chain.evm import EvmAnchor, EvmProof, VerificationError, decode_header
from node.evm_block import EvmDataError
from node.evm_rpc import EvmRpc, RpcError

BACKEND: Final = "evm"
MAX_ALARMS: Final = 16
"""Mismatches kept for status displays; the log has all."""

Claims = Callable[[int], Sequence[Mapping[str, Any]]]
"""``(number)`` → the confirmations on the consortium chain from that number on, some of them at least."""

_log = structlog.get_logger("anchoring")


class Verdict(StrEnum):
    """What this node's own endpoint says of a confirmation."""

    MATCH = "MATCH"
    MISMATCH = "MISMATCH"
    """The confirmation is wrong, or this node's log or endpoint shows another history: an alarm."""
    LATER = "LATER"
    """Not to be decided now: endpoint away, block not final there, or own log behind. Ask again."""
    CANNOT = "CANNOT"
    """Not to be decided here: no proof in the confirmation, or a public chain this node does not ask."""


class Check(NamedTuple):
    """A verdict with its reason, one line."""

    verdict: Verdict
    reason: str


def confirmation(anchor: Anchor, found: EvmAnchor) -> dict[str, Any]:
    """The arguments of ``anchor.confirm`` for a final anchor.

    size: consortium blocks covered; root: of the log, 32 bytes; block_time: seconds; proof: canonical bytes of
    ``EvmProof``. All but size, root and proof repeat the proof, so that contracts and queries need not parse it.
    """
    return {
        "backend": BACKEND,
        "size": anchor.checkpoint.size,
        "root": anchor.checkpoint.root,
        "chain_id": found.chain_id,
        "block_number": found.block_number,
        "block_hash": found.block_hash,
        "block_time": found.time,
        "tx_hash": found.transaction_hash,
        "sender": found.sender,
        "proof": anchor.proof.encode(),
    }


async def check(
    claim: Mapping[str, Any],
    *,
    log: Log,
    network_id: bytes,
    rpc: EvmRpc,
    confirmations: int | None,
    senders: Collection[bytes],
) -> Check:
    """Compare a confirmation with this node's log and endpoint. Never raises for what the claim holds.

    claim: arguments of ``anchor.confirm``, or what the contract keeps of them. confirmations: see
    ``EvmRpc.final_height``; senders: the accounts whose anchors count.
    """
    if claim.get("backend") != BACKEND or claim.get("proof") is None:
        return Check(Verdict.CANNOT, f"only confirmations of backend {BACKEND} that carry their proof are checked")
    try:
        proof = EvmProof.decode(claim["proof"])
        size, root, header = claim["size"], claim["root"], decode_header(proof.header)
    except (KeyError, TypeError, VerificationError) as error:
        return Check(Verdict.MISMATCH, f"not a confirmation: {error}")
    if type(size) is not int or size < 1:
        return Check(Verdict.MISMATCH, "not a confirmation: size is a positive number")
    if size > len(log):
        return Check(Verdict.LATER, f"this node has {len(log)} of the checkpoint's {size} blocks")
    own = log.checkpoint(network_id, size)
    if own.root != root:
        return Check(Verdict.MISMATCH, "the checkpoint is of another history than this node's blocks")
    try:
        if proof.chain_id != await rpc.chain_id():
            return Check(Verdict.CANNOT, f"{rpc.name} does not serve public chain {proof.chain_id}")
        if header.number > await rpc.final_height(confirmations):
            return Check(Verdict.LATER, f"public block {header.number} is not final at {rpc.name}")
        trusted = await rpc.block_hash(header.number)
    except (RpcError, EvmDataError) as error:
        return Check(Verdict.LATER, str(error))
    if trusted is None:
        return Check(Verdict.LATER, f"{rpc.name} does not show public block {header.number}")
    anchor = Anchor(own, proof)
    try:
        found = anchor.verify(network_id, trusted_block_hash=trusted, senders=senders)
    except VerificationError as error:
        return Check(Verdict.MISMATCH, str(error))
    facts = confirmation(anchor, found)
    if any(claim[name] != fact for name, fact in facts.items() if claim.get(name) is not None):
        return Check(Verdict.MISMATCH, "the confirmation says other things than its own proof")
    return Check(Verdict.MATCH, f"public block {header.number} holds the checkpoint of {size} blocks")


class Watch:
    """Re-checks every confirmation once, in order, and alarms on a mismatch."""

    def __init__(self, claims: Claims, check: Callable[[Mapping[str, Any]], Awaitable[Check]]) -> None:
        self._claims = claims
        self._check = check
        self.alarms: deque[str] = deque(maxlen=MAX_ALARMS)

    async def go_on(self, number: int) -> int:
        """Check from confirmation ``number`` on as far as it goes now; the number of the next one to check."""
        for claim in self._claims(number):
            verdict, reason = await self._check(claim)
            if verdict is Verdict.LATER:
                break
            if verdict is Verdict.MISMATCH:
                alarm = f"confirmation {number} by {claim.get('by')}: {reason}"
                self.alarms.append(alarm)
                _log.error("anchor confirmation is wrong", number=number, by=claim.get("by"), reason=reason)
            number += 1
        return number
