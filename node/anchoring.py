"""Anchoring: at every interval one validator puts the log's checkpoint onto a public chain.

The runner ties together the log (``chain.checkpoint``), the jobs on disk (``node.anchor_journal``), the public
chain (``node.anchor_evm``) and the re-check of the others' anchors (``node.anchor_check``). It runs beside
agreement and never in its way: an outage of the public chain queues, and shows as the anchor's age.

Whose turn it is says ``node.anchor_duty``; two anchors of one checkpoint do no harm. One queued checkpoint is
enough: the newest covers all before it, because the log only grows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import structlog
import trio

from chain.anchor import Anchor
from chain.checkpoint import Checkpoint, Log, leaf
from chain.evm import DEVELOPMENT_CHAINS, DEVELOPMENT_NOTE, EvmProof, decode_header, decode_transaction
from node.anchor_check import BACKEND, Check, Claims, Watch, check, confirmation
from node.anchor_duty import Standing, Turn
from node.anchor_evm import EvmBackend, Fees
from node.anchor_journal import AnchorJournal, Book, Job, State, write_synced
from node.anchor_key import AnchorKeyError, EvmKey
from node.evm_block import EvmDataError
from node.evm_rpc import EvmRpc, RpcError, RpcRefusedError

LOG_BATCH: Final = 256
"""Blocks read from the ledger between two chances for other tasks to run."""

_log = structlog.get_logger("anchoring")

Source = Callable[[int, int], Sequence[tuple[int, bytes, bytes]]]
"""``(first height, limit)`` → (height, block hash, certificate hash) in order, at most ``limit``.

The certificate hash is the one the *next* block's header names; so the newest block is not among them yet."""


@dataclass(frozen=True)
class AnchorConfig:
    """How this node anchors.

    urls: JSON-RPC endpoints; the first sends, the others must agree before FINAL. chain_id: None takes what the
    endpoint says at first contact. key: None takes no duty and only re-checks. senders: the 20-byte accounts
    whose anchors count. takeover_seconds: how late one validator is before the next takes its turn.
    confirmations: see ``EvmRpc.final_height``. stuck_seconds: unmined for so long, fees are raised.
    """

    urls: tuple[str, ...]
    chain_id: int | None = None
    key: EvmKey | None = None
    senders: frozenset[bytes] = frozenset()
    takeover_seconds: int = 300
    confirmations: int | None = 3
    poll_seconds: float = 5.0
    resend_seconds: int = 60
    stuck_seconds: int = 600
    fees: Fees = field(default_factory=Fees)


class WrongChainError(Exception):
    """The endpoint serves another public chain than the one anchored on; nothing is sent to it."""


class Anchorer:
    """The runner. ``run`` is its one task; ``status``, ``request``, ``check`` may be called beside it.

    source: see ``Source``; submit_confirmation: takes the ``anchor.confirm`` arguments to the consortium chain;
    standing: what that chain's state says now, see ``node.anchor_duty``; claims: its confirmations, which are all
    re-checked; now: ms since 1970.
    """

    def __init__(
        self,
        config: AnchorConfig,
        directory: Path,
        network_id: bytes,
        source: Source,
        submit_confirmation: Callable[[dict[str, Any]], Awaitable[object]],
        *,
        standing: Callable[[], Standing],
        claims: Claims = lambda _number: (),
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Raises AnchorJournalError for a damaged journal, ValueError without an endpoint."""
        if not config.urls:
            raise ValueError("anchoring needs at least one public-chain endpoint")
        self._config = config
        self._directory = directory
        self._network_id = network_id
        self._source = source
        self._submit_confirmation = submit_confirmation
        self._standing = standing
        self._watch = Watch(claims, self.check)
        self._turn = Turn(config.takeover_seconds)
        self._now = now
        self._log = Log()
        self._journal = AnchorJournal(directory / "anchors.journal")
        self._rpc, *self._others = (EvmRpc(url) for url in config.urls)
        self._client = ""
        self._problem: str | None = None
        self._requested = False
        self._sent_at: dict[int, int] = {}
        self._reported_at: dict[int, int] = {}
        self._refusals: dict[int, str] = {}
        self._last_final = self._newest_export()

    async def run(self) -> None:
        """Anchor until cancelled. Raises AnchorKeyError where another process uses the same account."""
        with nullcontext() if self._config.key is None else self._config.key.locked():
            try:
                while True:
                    await self.step()
                    await trio.sleep(self._config.poll_seconds)
            finally:
                await self.close()

    async def close(self) -> None:
        """Give the connections up; nothing can be asked of the public chain afterwards."""
        with trio.CancelScope(shield=True):
            for rpc in (self._rpc, *self._others):
                await rpc.close()

    async def step(self) -> None:
        """One round: read new blocks, queue what is due, move every job as far as it goes, report finals."""
        await self._extend_log()
        await self._enqueue()
        problem: str | None = None
        try:
            await self._check_chain()
            if self._config.key is not None:
                problem = await self._advance_all(self._backend(self._config.key))
        except (RpcError, EvmDataError, WrongChainError) as error:
            problem = str(error)
        if problem is not None and problem != self._problem:
            _log.warning("anchoring waits", reason=problem)
        self._problem = problem
        await self._report()
        book = self._journal.book
        checked = await self._watch.go_on(book.checked)
        if checked != book.checked:
            await self._save(replace(self._journal.book, checked=checked))

    def request(self) -> bool:
        """Anchor what there is at the next round, whosever turn it is (``tally anchor now``).

        False where every block is anchored or on its way. Raises AnchorKeyError where this node has no account.
        """
        if self._config.key is None:
            raise AnchorKeyError("this node has no anchoring key: ask a validator that has one")
        self._requested = len(self._log) > self._covered()
        return self._requested

    def prove(self, height: int, size: int) -> list[bytes]:
        """The inclusion path of consortium block ``height`` in the checkpoint of ``size``.

        Raises IndexError where the log does not reach so far (yet).
        """
        return self._log.inclusion(height - 1, size)

    async def check(self, claim: Mapping[str, Any]) -> Check:
        """Re-check a confirmation against this node's own log and its own endpoint (``node.anchor_check``)."""
        await self._extend_log()
        return await check(
            claim,
            log=self._log,
            network_id=self._network_id,
            rpc=self._rpc,
            confirmations=self._config.confirmations,
            senders=self._config.senders,
        )

    def status(self) -> dict[str, Any]:
        """What ``tally anchor status`` shows. age_seconds: since the newest confirmed anchor, None without one."""
        view = self._standing()
        key, book, last = self._config.key, self._journal.book, self._last_final
        return {
            "backend": BACKEND,
            "endpoint": self._rpc.name,
            "client": self._client,
            "chain_id": self._chain_id,
            "note": DEVELOPMENT_NOTE if self._chain_id in DEVELOPMENT_CHAINS else "",
            "address": None if key is None else f"0x{key.address.hex()}",
            "problem": self._problem,
            "alarms": list(self._watch.alarms),
            "checked": book.checked,
            "log_size": len(self._log),
            "anchored": view.anchored,
            "age_seconds": max(0, self._now() - view.anchored_at) // 1000 if view.anchored else None,
            "last_final": None if last is None else _summary(last),
            "queue": [_show(job) for job in book.jobs],
        }

    @property
    def _chain_id(self) -> int | None:
        """The public chain anchored on; None before the first contact where none is configured."""
        known = self._config.chain_id
        return self._journal.book.chain_id if known is None else known

    async def _extend_log(self) -> None:
        """Take in the blocks that became known. Gives way to other tasks between batches."""
        while blocks := self._source(len(self._log) + 1, LOG_BATCH):
            for height, block_hash, certificate_hash in blocks:
                if height != len(self._log) + 1:
                    raise AssertionError(f"the ledger gave block {height} where {len(self._log) + 1} follows")
                self._log.append(leaf(self._network_id, height, block_hash, certificate_hash))
            await trio.lowlevel.checkpoint()

    async def _enqueue(self) -> None:
        """Put the due checkpoint into the journal, in the place of one still queued."""
        size = self._due_size()
        if size is None:
            return
        self._requested = False
        book = self._journal.book
        for job in book.jobs:
            if job.state is State.QUEUED:
                book = book.without(job.size)
        await self._save(book.with_job(Job(size, self._log.root(size))))
        _log.info("anchor queued", size=size)

    def _due_size(self) -> int | None:
        """The size to anchor now, or None."""
        covered = self._covered()
        if self._config.key is None:
            return None
        if self._requested:
            return len(self._log) if len(self._log) > covered else None
        return self._turn.due(self._standing(), len(self._log), covered, self._now())

    def _covered(self) -> int:
        """The largest size that is anchored or on its way from here."""
        return max([self._standing().anchored, *(job.size for job in self._journal.book.jobs)])

    async def _check_chain(self) -> None:
        """See that the endpoint serves the chain anchored on, before anything is sent. Raises WrongChainError."""
        chain_id, wanted = await self._rpc.chain_id(), self._chain_id
        if wanted is not None and chain_id != wanted:
            raise WrongChainError(f"{self._rpc.name} serves public chain {chain_id}, not {wanted}: correct the URL")
        if not self._client:
            self._client = await self._rpc.client_version()
        first = await self._rpc.block_hash(0)
        book = self._journal.book
        if (book.chain_id, book.first_block) == (chain_id, first):
            return
        if book.first_block is not None and chain_id not in DEVELOPMENT_CHAINS:
            raise WrongChainError(
                f"{self._rpc.name} serves chain {chain_id} with another first block than before: correct the URL"
            )
        # A development chain begins anew at each start; what was under way on the old one is sent again.
        jobs = tuple(job if job.state is State.FINAL else Job(job.size, job.root) for job in book.jobs)
        await self._save(replace(book, chain_id=chain_id, first_block=first, jobs=jobs))

    def _backend(self, key: EvmKey) -> EvmBackend:
        chain_id = self._chain_id
        if chain_id is None:
            raise AssertionError("the chain is checked before it is used")
        return EvmBackend(
            self._rpc,
            self._others,
            chain_id,
            key,
            self._network_id,
            fees=self._config.fees,
            confirmations=self._config.confirmations,
        )

    async def _advance_all(self, backend: EvmBackend) -> str | None:
        """Move every job, lowest size first; what kept one of them back, or None. Raises RpcUnavailableError."""
        problem: str | None = None
        for size in [job.size for job in self._journal.book.jobs]:
            try:
                await self._advance(backend, size)
            except (RpcRefusedError, EvmDataError) as error:
                problem = f"anchor of {size} blocks: {error}"
        refused = [f"anchor of {size} blocks: {reason}" for size, reason in self._refusals.items()]
        return problem or next(iter(refused), None)

    async def _advance(self, backend: EvmBackend, size: int) -> None:
        """Move one job as far as it goes now. Each state is on disk before the next step relies on it."""
        job = next(each for each in self._journal.book.jobs if each.size == size)
        if job.state is State.QUEUED:
            job = await self._keep(await backend.prepare(job, self._journal.book.next_nonce, self._now()))
        if job.state is State.PREPARED:
            job = await self._send(backend, job)
        if job.state in (State.SENT, State.MINED):
            job = await self._keep(await backend.poll(job))
        if job.state is not State.SENT:
            self._refusals.pop(job.size, None)
        if job.state is State.SENT:
            await self._press(backend, job)
        elif job.state is State.MINED:
            job = await self._keep(await backend.finalize(job))
            if job.state is State.FINAL:
                await self._export(job)

    async def _press(self, backend: EvmBackend, job: Job) -> None:
        """A job no block holds: free a lost nonce, raise the fees of a stuck one, or send the same bytes again."""
        now = self._now()
        if await backend.nonce_is_lost(job):
            _log.warning("anchor's nonce was spent by a foreign transaction", size=job.size, nonce=job.nonce)
            await self._keep(job.move(State.QUEUED, nonce=None, candidates=(), prepared_at=0))
            return
        first = min((each for each in self._journal.book.jobs if each.state is State.SENT), key=_nonce)
        if job == first and now - job.prepared_at >= self._config.stuck_seconds * 1000:
            raised = backend.replace(job, now)
            if raised is not None:
                _log.warning("anchor is stuck, fees raised", size=job.size, max_fee=raised.candidates[-1].max_fee)
                await self._send(backend, await self._keep(raised))
                return
        # After a restart nothing is remembered as sent, so that a crash is answered at once.
        if now - self._sent_at.get(job.size, 0) >= self._config.resend_seconds * 1000:
            await self._send(backend, job)

    async def _send(self, backend: EvmBackend, job: Job) -> Job:
        self._sent_at[job.size] = self._now()
        job, refusal = await backend.submit(job)
        if refusal is not None:
            self._refusals[job.size] = refusal
        return await self._keep(job)

    async def _keep(self, job: Job) -> Job:
        """Put a job's new state on disk; returns when it is durable."""
        book = self._journal.book.with_job(job)
        if book != self._journal.book:
            await self._save(book)
            _log.info("anchor", size=job.size, state=job.state.value, block=job.block_number)
        return job

    async def _save(self, book: Book) -> None:
        # Shielded: a cancellation must not leave the memory behind what the disk says.
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._journal.save, book)

    async def _export(self, job: Job) -> None:
        """Write a final anchor as a document of its own, for evidence bundles and ``tally anchor verify``."""
        anchor = self._anchor(job)
        content = json.dumps(anchor.to_json(), indent=1).encode() + b"\n"
        await trio.to_thread.run_sync(write_synced, self._export_path(job.size), content)
        self._last_final = anchor

    async def _report(self) -> None:
        """Take final anchors to the consortium chain, until it has one at least as large."""
        confirmed, now = self._standing().anchored, self._now()
        for job in self._journal.book.jobs:
            if job.state is not State.FINAL:
                continue
            if job.size <= confirmed:
                await self._save(self._journal.book.without(job.size))
                self._sent_at.pop(job.size, None)
                self._reported_at.pop(job.size, None)
            elif now - self._reported_at.get(job.size, 0) >= self._config.resend_seconds * 1000:
                self._reported_at[job.size] = now
                await self._confirm(job)

    async def _confirm(self, job: Job) -> None:
        anchor = self._anchor(job)
        # Its own transaction and block: checked when it became FINAL, maybe under an earlier key of this node.
        senders = {decode_transaction(candidate.raw).sender for candidate in job.candidates}
        found = anchor.verify(self._network_id, trusted_block_hash=job.block_hash, senders=senders)
        try:
            await self._submit_confirmation(confirmation(anchor, found))
        except Exception as error:  # whatever keeps the ledger from taking it now, a later round tries again
            _log.warning("anchor confirmation not taken", size=job.size, reason=str(error))

    def _anchor(self, job: Job) -> Anchor:
        if job.proof is None:
            raise AssertionError("only a FINAL anchor has a proof")
        return Anchor(Checkpoint(self._network_id, job.size, job.root), EvmProof.decode(job.proof))

    def _export_path(self, size: int) -> Path:
        return self._directory / "final" / f"{size:012}.json"

    def _newest_export(self) -> Anchor | None:
        for path in sorted((self._directory / "final").glob("*.json"), reverse=True):
            try:
                return Anchor.from_json(json.loads(path.read_bytes()))
            except ValueError as error:
                _log.warning("not an anchor document, ignored", file=str(path), reason=str(error))
        return None


def _nonce(job: Job) -> int:
    """For sorting: pools mine an account's transactions by nonce, so only the lowest can be stuck by its fee."""
    return -1 if job.nonce is None else job.nonce


def _show(job: Job) -> dict[str, Any]:
    return {
        "size": job.size,
        "state": job.state.value,
        "candidates": [f"0x{candidate.hash.hex()}" for candidate in job.candidates],
        "block": job.block_number,
    }


def _summary(anchor: Anchor) -> dict[str, Any]:
    """A final anchor for people. block_time: seconds since 1970."""
    header = decode_header(anchor.proof.header)
    return {
        "size": anchor.checkpoint.size,
        "root": anchor.checkpoint.root.hex(),
        "chain_id": anchor.proof.chain_id,
        "block": header.number,
        "block_hash": f"0x{header.hash.hex()}",
        "block_time": header.time,
        "note": anchor.note,
    }
