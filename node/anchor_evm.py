"""Anchoring on an Ethereum-like chain: prepare → (persist) → submit → poll → finalize, one job at a time.

Each method takes a job and returns it in its next state, and writes nothing itself: the caller persists
between the steps. The anchor is a transfer of nothing from the account to itself with the payload as calldata
(a storing contract would cost twice as much). What happened is read from receipts and blocks by hash, never
from an error's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import trio

from chain.checkpoint import Checkpoint
from chain.evm import EvmProof, VerificationError, verify
from node.anchor_journal import Candidate, Job, State
from node.anchor_key import EvmKey
from node.evm_block import (
    TRANSACTION_FIELDS,
    EvmDataError,
    build_proof,
    count,
    data,
    digest,
    encode_header,
    entry,
    quantity,
)
from node.evm_rpc import EvmRpc, RpcRefusedError

GWEI: Final = 10**9
MAX_CANDIDATES: Final = 32
"""Fees grow by an eighth each time: 32 steps are a factor of 43."""


@dataclass(frozen=True)
class Fees:
    """What an anchor may cost. Wei per gas; gas_limit is a bound, only what is used is paid.

    Explicit and the same for every anchor, so that nothing depends on an estimate: max_fee is the most that
    is paid, not what is paid. fee_cap bounds the replacements.
    """

    max_fee: int = 50 * GWEI
    tip: int = GWEI
    fee_cap: int = 200 * GWEI
    gas_limit: int = 40_000


class EvmBackend:
    """One account on one chain. ``others`` are independent endpoints that must agree before FINAL.

    confirmations: see ``EvmRpc.final_height``; None on proof-of-stake Ethereum.
    """

    def __init__(
        self,
        rpc: EvmRpc,
        others: Sequence[EvmRpc],
        chain_id: int,
        key: EvmKey,
        network_id: bytes,
        *,
        fees: Fees,
        confirmations: int | None,
    ) -> None:
        self._rpc = rpc
        self._others = others
        self._chain_id = chain_id
        self._key = key
        self._network_id = network_id
        self._fees = fees
        self._confirmations = confirmations
        self._account = f"0x{key.address.hex()}"

    async def prepare(self, job: Job, next_nonce: int, now: int) -> Job:
        """QUEUED → PREPARED: a nonce and a signed transaction. next_nonce: the lowest the journal has free."""
        nonce = max(next_nonce, await self._rpc.transaction_count(self._account, "latest"))
        candidate = self._sign(job, nonce, self._fees.max_fee, min(self._fees.tip, self._fees.max_fee))
        return job.move(State.PREPARED, nonce=nonce, candidates=(candidate,), prepared_at=now)

    async def submit(self, job: Job) -> tuple[Job, str | None]:
        """PREPARED or SENT → SENT: broadcast every candidate, newest last; with the node's last refusal.

        A refusal decides nothing: the transaction may be known, mined, or wait for an earlier nonce. ``poll``
        finds out; the text is for the operator.
        """
        refusal: str | None = None
        for candidate in job.candidates:
            try:
                await self._rpc.send(candidate.raw)
            except RpcRefusedError as error:
                refusal = str(error)
        return job.move(State.SENT), refusal

    async def poll(self, job: Job) -> Job:
        """SENT or MINED → where the chain has it now: MINED(block), or SENT when no block holds it (any more)."""
        for candidate in job.candidates:
            receipt = await self._rpc.receipt(candidate.hash)
            if receipt is None or receipt.get("blockHash") is None:  # some nodes answer for pending ones
                continue
            number, block_hash = count(entry(receipt, "blockNumber")), digest(entry(receipt, "blockHash"))
            # Receipts are kept by hash: one of a block that a reorganisation dropped may still be served.
            if await self._rpc.block_hash(number) == block_hash:
                return job.move(State.MINED, block_number=number, block_hash=block_hash)
        return job.move(State.SENT, block_number=None, block_hash=None)

    async def nonce_is_lost(self, job: Job) -> bool:
        """Whether a final block spent the job's nonce while no candidate is mined: somebody else used the key."""
        if job.nonce is None:
            return False
        final = await self._rpc.final_height(self._confirmations)
        try:
            spent = await self._rpc.transaction_count(self._account, hex(max(0, final)))
        except RpcRefusedError:
            return False  # a pruned node has no state that old; it can be asked again later
        if spent <= job.nonce:
            return False
        # Asked after the count: a candidate that a final block holds has a receipt by now. A receipt of any
        # block, even a dropped one, leaves it open.
        for candidate in job.candidates:
            if await self._rpc.receipt(candidate.hash) is not None:
                return False
        return True

    def replace(self, job: Job, now: int) -> Job | None:
        """The job with one more candidate: same nonce and payload, both fees an eighth higher.

        None where that would exceed the cap.
        """
        last = job.candidates[-1]
        max_fee, tip = _eighth_more(last.max_fee), _eighth_more(last.tip)
        if job.nonce is None or max_fee > self._fees.fee_cap or len(job.candidates) >= MAX_CANDIDATES:
            return None
        candidate = self._sign(job, job.nonce, max_fee, tip)
        return job.move(State.SENT, candidates=(*job.candidates, candidate), prepared_at=now)

    async def finalize(self, job: Job) -> Job:
        """MINED → FINAL with the proof, once the block is final and every endpoint has it; else unchanged.

        Raises EvmDataError where an endpoint has another block, or the proof cannot be built.
        """
        number, block_hash = job.block_number, job.block_hash
        if number is None or block_hash is None or number > await self._rpc.final_height(self._confirmations):
            return job
        for other in self._others:
            seen = await other.block_hash(number)
            if seen is None:
                return job
            if seen != block_hash:
                raise EvmDataError(f"{other.name} and {self._rpc.name} disagree about public block {number}")
        proof = await self._prove(job, block_hash)
        return job.move(State.FINAL, proof=proof.encode())

    def payload(self, job: Job) -> bytes:
        """What the job puts onto the chain."""
        return Checkpoint(self._network_id, job.size, job.root).payload

    def _sign(self, job: Job, nonce: int, max_fee: int, tip: int) -> Candidate:
        raw, digest = self._key.sign(
            {
                "type": 2,
                "chainId": self._chain_id,
                "nonce": nonce,
                "to": self._key.address,
                "value": 0,
                "data": self.payload(job),
                "gas": self._fees.gas_limit,
                "maxFeePerGas": max_fee,
                "maxPriorityFeePerGas": tip,
            }
        )
        return Candidate(raw, digest, max_fee, tip)

    async def _prove(self, job: Job, block_hash: bytes) -> EvmProof:
        """Build the proof from the node's answers and check it as a stranger would."""
        block = await self._rpc.block_by_hash(block_hash)
        if block is None:
            raise EvmDataError(f"{self._rpc.name} no longer has public block 0x{block_hash.hex()}")
        hashes = {f"0x{candidate.hash.hex()}" for candidate in job.candidates}
        listed = [item.get("hash") for item in entry(block, "transactions")]
        index = next((position for position, found in enumerate(listed) if found in hashes), None)
        if index is None:
            raise EvmDataError(f"public block 0x{block_hash.hex()} does not list the anchor it has a receipt for")
        raw_header, raw_transactions = await self._raw_parts(block)
        proof = await trio.to_thread.run_sync(
            lambda: build_proof(
                self._chain_id, block, index, raw_header=raw_header, raw_transactions=raw_transactions
            )
        )
        try:
            verify(proof, self.payload(job), trusted_block_hash=block_hash, senders=frozenset({self._key.address}))
        except VerificationError as error:
            raise EvmDataError(f"the anchor's own proof does not verify: {error}") from None
        return proof

    async def _raw_parts(self, block: Mapping[str, Any]) -> tuple[bytes | None, dict[int, bytes]]:
        """(raw header, raw transactions by index), asked for only where the JSON alone does not suffice."""
        header: bytes | None = None
        try:
            encode_header(block)
        except EvmDataError:
            header = data(await self._rpc.call("debug_getRawHeader", entry(block, "number")))
        raws: dict[int, bytes] = {}
        for position, transaction in enumerate(entry(block, "transactions")):
            if quantity(transaction.get("type", "0x0")) not in TRANSACTION_FIELDS:
                answer = await self._rpc.call("debug_getRawTransaction", entry(transaction, "hash"))
                raws[position] = data(answer)
        return header, raws


def _eighth_more(fee: int) -> int:
    """12.5 % more, rounded up: what the strictest pools ask of a replacement."""
    return fee + -(-fee // 8) or 1
