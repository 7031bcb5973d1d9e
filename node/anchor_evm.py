"""Anchoring on an Ethereum-like chain over JSON-RPC; the way of a job is in ``node.anchor_backend``.

The anchor is a transfer of nothing from the account to itself with the payload as calldata (a storing contract would
cost twice as much). A transaction is on disk before its first byte is sent; after a restart it is looked up by its
hash, and the same bytes are sent again: there is no second signature over another nonce. Every candidate ever signed
for a nonce is kept, since any of them may be the one that is mined. What happened is read from receipts and blocks by
hash, never from an error's text.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import structlog

from chain.checkpoint import Checkpoint
from chain.codec import Value
from chain.evm import (
    DEVELOPMENT_CHAINS,
    DEVELOPMENT_NOTE,
    EvmAnchor,
    EvmProof,
    VerificationError,
    decode_header,
    decode_transaction,
    verify,
)
from node.anchor_backend import Backend, BackendError, Check, Job, Memory, State, Verdict
from node.anchor_key import EvmKey
from node.evm_block import EvmDataError, count, digest, entry
from node.evm_prove import prove
from node.evm_rpc import EvmRpc, RpcError, RpcRefusedError

GWEI: Final = 10**9
MAX_CANDIDATES: Final = 32
"""Fees grow by an eighth each time: 32 steps are a factor of 43."""
GONE: Final[Mapping[str, Value]] = {"block_number": None, "block_hash": None}

_log = structlog.get_logger("anchoring")


class Candidate(NamedTuple):
    """One signed transaction for a job's nonce. Fees in wei per gas."""

    raw: bytes
    hash: bytes
    max_fee: int
    tip: int


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


@dataclass(frozen=True)
class EvmChain:
    """How this node uses one public chain.

    urls: JSON-RPC endpoints; the first sends, the others must agree before FINAL. chain_id: None takes what the
    endpoint says at first contact. key: None only re-checks. senders: the 20-byte accounts whose anchors count.
    confirmations: see ``EvmRpc.final_height``. stuck_seconds: unmined for so long, fees are raised.
    """

    urls: tuple[str, ...]
    chain_id: int | None = None
    key: EvmKey | None = None
    senders: frozenset[bytes] = frozenset()
    confirmations: int | None = 3
    stuck_seconds: int = 600
    fees: Fees = field(default_factory=Fees)


class EvmBackend(Backend):
    """One account on one chain. ``Job.data``: nonce, candidates, and where it is mined: block_number, block_hash."""

    kind = "evm"

    def __init__(self, name: str, chain: EvmChain, network_id: bytes) -> None:
        """Raises ValueError without an endpoint."""
        if not chain.urls:
            raise ValueError("anchoring needs at least one public-chain endpoint")
        self._name = name
        self._chain = chain
        self._chain_id = chain.chain_id
        self._network_id = network_id
        self._rpc, *self._others = (EvmRpc(url) for url in chain.urls)
        self._client = ""

    @property
    def name(self) -> str:
        """As configured; ``evm`` for the first."""
        return self._name

    @property
    def place(self) -> str | None:
        """``evm:<chain id>``, None before the first contact where none is configured."""
        return None if self._chain_id is None else f"evm:{self._chain_id}"

    @property
    def writes(self) -> bool:
        """Whether there is an account."""
        return self._chain.key is not None

    def locked(self) -> AbstractContextManager[None]:
        """The account's lock: one process at a time may spend its nonces. Raises AnchorKeyError."""
        return nullcontext() if self._chain.key is None else self._chain.key.locked()

    async def begin(self, memory: Memory, jobs: Sequence[Job], /) -> tuple[Memory, Sequence[Job]]:
        """See that the endpoint serves the chain anchored on. memory: chain_id, first_block."""
        known: Any = memory.get("chain_id") if self._chain.chain_id is None else self._chain.chain_id
        self._chain_id = known
        async with _outside():
            chain_id = await self._rpc.chain_id()
            if known is not None and chain_id != known:
                raise BackendError(f"{self._rpc.name} serves public chain {chain_id}, not {known}: correct the URL")
            if not self._client:
                self._client = await self._rpc.client_version()
            first = await self._rpc.block_hash(0)
        self._chain_id = chain_id
        if (memory.get("chain_id"), memory.get("first_block")) == (chain_id, first):
            return memory, jobs
        if memory.get("first_block") is not None and chain_id not in DEVELOPMENT_CHAINS:
            raise BackendError(
                f"{self._rpc.name} serves chain {chain_id} with another first block than before: correct the URL"
            )
        # A development chain begins anew at each start; what was under way on the old one is sent again.
        anew = [job if job.state is State.FINAL else job.renewed() for job in jobs]
        return {"chain_id": chain_id, "first_block": first}, anew

    async def prepare(self, job: Job, jobs: Sequence[Job], now: int, /) -> Job:
        """QUEUED → PREPARED: the lowest nonce above all that are spoken for, and a signed transaction."""
        spoken = max((_nonce(each) + 1 for each in jobs), default=0)
        async with _outside():
            nonce = max(spoken, await self._rpc.transaction_count(self._account, "latest"))
        fees = self._chain.fees
        candidate = self._sign(job, nonce, fees.max_fee, min(fees.tip, fees.max_fee))
        data: dict[str, Value] = {"nonce": nonce, "candidates": [list(candidate)], **GONE}
        return job.move(State.PREPARED, prepared_at=now, data=data)

    async def submit(self, job: Job, /) -> tuple[Job, str | None]:
        """PREPARED or SENT → SENT: broadcast every candidate, newest last; with the node's last refusal.

        A refusal decides nothing: the transaction may be known, mined, or wait for an earlier nonce. ``poll``
        finds out; the text is for the operator.
        """
        refusal: str | None = None
        async with _outside():
            for candidate in candidates(job):
                try:
                    await self._rpc.send(candidate.raw)
                except RpcRefusedError as error:
                    refusal = str(error)
        return job.move(State.SENT), refusal

    async def poll(self, job: Job, /) -> Job:
        """SENT or MINED → where the chain has it now."""
        async with _outside():
            for candidate in candidates(job):
                receipt = await self._rpc.receipt(candidate.hash)
                if receipt is None or receipt.get("blockHash") is None:  # some nodes answer for pending ones
                    continue
                number, block_hash = count(entry(receipt, "blockNumber")), digest(entry(receipt, "blockHash"))
                # Receipts are kept by hash: one of a block that a reorganisation dropped may still be served.
                if await self._rpc.block_hash(number) == block_hash:
                    mined = {"block_number": number, "block_hash": block_hash}
                    return job.move(State.MINED, data={**job.data, **mined})
        return job.move(State.SENT, data={**job.data, **GONE})

    async def press(self, job: Job, jobs: Sequence[Job], now: int, /) -> Job:
        """A job no block holds: QUEUED where its nonce is lost, one candidate more where it is stuck."""
        async with _outside():
            if await self._nonce_is_lost(job):
                _log.warning("anchor's nonce was spent by a foreign transaction", size=job.size, nonce=_nonce(job))
                return job.move(State.QUEUED, data={}, prepared_at=0)
        # Pools mine an account's transactions by nonce, so only the lowest can be stuck by its fee.
        first = min((each for each in jobs if each.state is State.SENT), key=_nonce)
        if job.size != first.size or now - job.prepared_at < self._chain.stuck_seconds * 1000:
            return job
        raised = self._raised(job)
        if raised is None:
            return job
        _log.warning("anchor is stuck, fees raised", size=job.size, max_fee=raised.max_fee)
        every: list[Value] = [list(each) for each in (*candidates(job), raised)]
        return job.move(State.SENT, prepared_at=now, data={**job.data, "candidates": every})

    async def finalize(self, job: Job, /) -> Job:
        """MINED → FINAL with the proof, once the block is final and every endpoint has it; else unchanged."""
        number: Any = job.data["block_number"]
        block_hash: Any = job.data["block_hash"]
        async with _outside():
            if number > await self._rpc.final_height(self._chain.confirmations):
                return job
            for other in self._others:
                seen = await other.block_hash(number)
                if seen is None:
                    return job
                if seen != block_hash:
                    raise EvmDataError(f"{other.name} and {self._rpc.name} disagree about public block {number}")
            hashes = {candidate.hash for candidate in candidates(job)}
            proof = await prove(self._rpc, self._known_chain_id, block_hash, hashes)
            try:
                self._verified(job, proof)
            except VerificationError as error:
                raise EvmDataError(f"the anchor's own proof does not verify: {error}") from None
        return job.move(State.FINAL, proof=proof.encode())

    def confirmation(self, job: Job, /) -> dict[str, Value]:
        """chain_id, block_number, block_hash, public_time, tx_hash, sender."""
        if job.proof is None:
            raise AssertionError("only a FINAL anchor has a proof")
        return facts(self._verified(job, EvmProof.decode(job.proof)))

    async def check(self, claim: Mapping[str, Any], checkpoint: Checkpoint, /) -> Check:
        """Against the first endpoint's blocks and the senders of this node's settings."""
        try:
            proof = EvmProof.decode(claim["proof"])
            header = decode_header(proof.header)
        except (KeyError, TypeError, VerificationError) as error:
            return Check(Verdict.MISMATCH, f"not a confirmation: {error}")
        try:
            if proof.chain_id != await self._rpc.chain_id():
                return Check(Verdict.CANNOT, f"{self._rpc.name} does not serve public chain {proof.chain_id}")
            if header.number > await self._rpc.final_height(self._chain.confirmations):
                return Check(Verdict.LATER, f"public block {header.number} is not final at {self._rpc.name}")
            trusted = await self._rpc.block_hash(header.number)
        except (RpcError, EvmDataError) as error:
            return Check(Verdict.LATER, str(error))
        if trusted is None:
            return Check(Verdict.LATER, f"{self._rpc.name} does not show public block {header.number}")
        try:
            found = verify(proof, checkpoint.payload, trusted_block_hash=trusted, senders=self._chain.senders)
        except VerificationError as error:
            return Check(Verdict.MISMATCH, str(error))
        if any(claim.get(name) != fact for name, fact in facts(found).items()):
            return Check(Verdict.MISMATCH, "the confirmation says other things than its own proof")
        return Check(Verdict.MATCH, f"public block {header.number} holds the checkpoint of {checkpoint.size} blocks")

    def status(self) -> dict[str, Any]:
        """endpoint (host), client, chain_id, note, address (0x…, None without an account)."""
        key = self._chain.key
        return {
            "endpoint": self._rpc.name,
            "client": self._client,
            "chain_id": self._chain_id,
            "note": DEVELOPMENT_NOTE if self._chain_id in DEVELOPMENT_CHAINS else "",
            "address": None if key is None else f"0x{key.address.hex()}",
        }

    async def close(self) -> None:
        """Give the connections up."""
        for rpc in (self._rpc, *self._others):
            await rpc.close()

    @property
    def _key(self) -> EvmKey:
        if self._chain.key is None:
            raise AssertionError("only a backend that writes is given jobs")
        return self._chain.key

    @property
    def _account(self) -> str:
        return f"0x{self._key.address.hex()}"

    @property
    def _known_chain_id(self) -> int:
        if self._chain_id is None:
            raise AssertionError("the chain is checked before it is used")
        return self._chain_id

    async def _nonce_is_lost(self, job: Job) -> bool:
        """Whether a final block spent the job's nonce while no candidate is mined: somebody else used the key."""
        final = await self._rpc.final_height(self._chain.confirmations)
        try:
            spent = await self._rpc.transaction_count(self._account, hex(max(0, final)))
        except RpcRefusedError:
            return False  # a pruned node has no state that old; it can be asked again later
        if spent <= _nonce(job):
            return False
        # Asked after the count: a candidate that a final block holds has a receipt by now. A receipt of any
        # block, even a dropped one, leaves it open.
        for candidate in candidates(job):
            if await self._rpc.receipt(candidate.hash) is not None:
                return False
        return True

    def _raised(self, job: Job) -> Candidate | None:
        """One candidate more: same nonce and payload, both fees an eighth higher. None at the cap."""
        known = candidates(job)
        max_fee, tip = _eighth_more(known[-1].max_fee), _eighth_more(known[-1].tip)
        if max_fee > self._chain.fees.fee_cap or len(known) >= MAX_CANDIDATES:
            return None
        return self._sign(job, _nonce(job), max_fee, tip)

    def _sign(self, job: Job, nonce: int, max_fee: int, tip: int) -> Candidate:
        raw, transaction_hash = self._key.sign(
            {
                "type": 2,
                "chainId": self._known_chain_id,
                "nonce": nonce,
                "to": self._key.address,
                "value": 0,
                "data": job.checkpoint(self._network_id).payload,
                "gas": self._chain.fees.gas_limit,
                "maxFeePerGas": max_fee,
                "maxPriorityFeePerGas": tip,
            }
        )
        return Candidate(raw, transaction_hash, max_fee, tip)

    def _verified(self, job: Job, proof: EvmProof) -> EvmAnchor:
        """The job's own proof as a stranger would check it. Raises VerificationError."""
        block_hash: Any = job.data["block_hash"]
        # Its own transaction: signed maybe under an earlier key of this node.
        senders = {decode_transaction(candidate.raw).sender for candidate in candidates(job)}
        payload = job.checkpoint(self._network_id).payload
        return verify(proof, payload, trusted_block_hash=block_hash, senders=senders)


def candidates(job: Job) -> list[Candidate]:
    """What was ever signed for the job's nonce, oldest first."""
    rows: Any = job.data.get("candidates", [])
    return [Candidate(*row) for row in rows]


def facts(found: EvmAnchor) -> dict[str, Value]:
    """What a confirmation repeats of its proof."""
    return {
        "chain_id": found.chain_id,
        "block_number": found.block_number,
        "block_hash": found.block_hash,
        "public_time": found.time,
        "tx_hash": found.transaction_hash,
        "sender": found.sender,
    }


@asynccontextmanager
async def _outside() -> AsyncIterator[None]:
    """Whatever the endpoint does is a BackendError."""
    try:
        yield
    except (RpcError, EvmDataError) as error:
        raise BackendError(str(error)) from None


def _nonce(job: Job) -> int:
    nonce: Any = job.data.get("nonce")
    return -1 if nonce is None else nonce


def _eighth_more(fee: int) -> int:
    """12.5 % more, rounded up: what the strictest pools ask of a replacement."""
    return fee + -(-fee // 8) or 1
