"""Anchoring in Bitcoin through OpenTimestamps calendars: no account, no fees, hours until a block has it.

Calendars collect what everybody hands in and put one hash over all of it into a Bitcoin transaction. What they
answer is a stamp, first with a promise, later with the way to a block. None of them is believed: a stamp counts
when it leads to the Merkle root of a block that this node's own Bitcoin source has, under enough others, and when
every further source has the same block at that height.

The digest handed in is the SHA-256 of the checkpoint's text, the same bytes however often they are sent; so a crash
between sending and recording costs a calendar a line and nothing else. Promises stay in the stamp until the end,
since a reorganisation may take a block away, and the calendar's next answer is found by its promise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog
import trio

from chain import ots
from chain.anchor import DEVELOPMENT_NOTE, Trusted, UnanchoredError, VerificationError
from chain.bitcoin import MAIN_GENESIS, TIME_SLACK, Header, shown
from chain.checkpoint import Checkpoint
from chain.codec import Value
from chain.crypto import sha256
from chain.ots_stamp import Stamp, bitcoin
from contracts import anchor_kinds
from node.anchor_backend import Backend, BackendError, Check, Job, Memory, State, Verdict
from node.bitcoin_rpc import BitcoinSource
from node.bounded_http import host
from node.ots_calendar import Calendars
from node.ots_progress import MAX_PROMISES, Placed, Progress

CONFIRMATIONS: Final = 6
RENEW_SECONDS: Final = 12 * 3600
"""A digest that is in no block after this long is handed in again."""
PLACE: Final = "ots:bitcoin"
DEVELOPMENT_PLACE: Final = PLACE + anchor_kinds.DEVELOPMENT
FILE_NAME: Final = "checkpoint.txt.ots"
HEADERS_NAME: Final = "bitcoin-headers.txt"

_SOURCE: Final = ""
"""Among the calendars' URLs, under which troubles are kept, that of the Bitcoin source."""
_log = structlog.get_logger("anchoring")

Clock = Callable[[], int]
"""ms; only differences count."""


class OtsBackend(Backend):
    """Bitcoin by way of calendars. ``Job.data``: see ``node.ots_progress``.

    calendars: base URLs, none where this node only re-checks. sources: the first is asked for everything, the others
    must agree before FINAL; none where this node can neither anchor nor re-check. confirmations: blocks from the
    stamp's to the newest, both counted. poll_seconds: between two looks at one stamp, with calendars and sources.
    """

    kind = ots.KIND
    name = ots.KIND

    def __init__(
        self,
        calendars: Sequence[str],
        sources: Sequence[BitcoinSource],
        network_id: bytes,
        *,
        confirmations: int = CONFIRMATIONS,
        poll_seconds: int = 600,
        renew_seconds: int = RENEW_SECONDS,
        now: Clock = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        self._calendars = Calendars(calendars)
        self._sources = tuple(sources)
        self._network_id = network_id
        self._confirmations = confirmations
        self._poll_ms = poll_seconds * 1000
        self._renew_ms = renew_seconds * 1000
        self._now = now
        self._genesis: bytes | None = None
        self._looked: dict[tuple[str, int], int] = {}
        self._troubles: dict[str, str] = {}

    @property
    def place(self) -> str | None:
        """Bitcoin's main chain, or a trial chain; by the first block of this node's own source."""
        if self._genesis is None:
            return None
        return PLACE if self._genesis == MAIN_GENESIS else DEVELOPMENT_PLACE

    @property
    def writes(self) -> bool:
        """Whether this node hands digests in."""
        return bool(self._calendars.urls and self._sources)

    async def begin(self, memory: Memory, jobs: Sequence[Job], /) -> tuple[Memory, Sequence[Job]]:
        """Remember which chain the source serves; jobs of a trial chain that began anew start again."""
        if not self._sources or (self._genesis is not None and self._rests("chain", 0)):
            return memory, jobs
        genesis = await self._source.block_hash(0)
        if genesis is None:
            raise BackendError(f"{self._source.name} has no first block: it is not ready, or not a Bitcoin node")
        known = memory.get("genesis")
        if known == MAIN_GENESIS and genesis != known:
            self._genesis = None
            raise BackendError(f"{self._source.name} does not serve Bitcoin's main chain any more: correct the URL")
        self._genesis = genesis
        if genesis == known:
            return memory, jobs
        if known is not None:
            jobs = [job if job.state is State.FINAL else job.renewed() for job in jobs]
        return {**memory, "genesis": genesis}, jobs

    async def prepare(self, job: Job, _jobs: Sequence[Job], now: int, /) -> Job:
        """QUEUED → PREPARED: nothing to make; what is handed in is the digest of the checkpoint's text."""
        return job.move(State.PREPARED, prepared_at=now, data=Progress().data())

    async def submit(self, job: Job, /) -> tuple[Job, str | None]:
        """→ SENT: to every calendar that has not taken it yet, all at once; their promises joined into the stamp."""
        progress = Progress.of(job.data)
        answers: dict[str, Stamp] = {}
        refusals: dict[str, str] = {}

        async def hand_in(url: str) -> None:
            try:
                answers[url] = await self._calendars.submit(url, sha256(self._text(job)))
            except BackendError as error:
                refusals[url] = str(error)

        async with trio.open_nursery() as nursery:
            for url in self._calendars.urls:
                if url not in progress.told:
                    nursery.start_soon(hand_in, url)
        self._note(answers, refusals)
        progress = progress.promised(answers)
        refusal = "; ".join(refusals[url] for url in sorted(refusals)) if progress.stamp is None else None
        return job.move(State.SENT, data=progress.data()), refusal

    async def poll(self, job: Job, /) -> Job:
        """Ask the calendars what became of their promises, then look for the stamp's blocks on the chain."""
        if self._rests("poll", job.size):
            return job.move(job.state)
        progress = Progress.of(job.data)
        if job.state is not State.MINED:
            progress = await self._upgrade(progress)
        try:
            progress = await self._locate(progress)
        except BackendError as error:
            self._looked.pop(("poll", job.size), None)
            self._troubles[_SOURCE] = str(error)
            if progress.data() == job.data:
                raise
            return replace(job, data=progress.data())  # what the calendars sent is kept nevertheless
        self._troubles.pop(_SOURCE, None)
        return job.move(State.SENT if progress.placed is None else State.MINED, data=progress.data())

    async def press(self, job: Job, _jobs: Sequence[Job], now: int, /) -> Job:
        """In no block for long: hand the same digest in again, should a calendar have lost it."""
        if now - job.prepared_at < self._renew_ms:
            return job
        return job.move(State.SENT, prepared_at=now, data=replace(Progress.of(job.data), told=()).data())

    async def finalize(self, job: Job, /) -> Job:
        """MINED → FINAL once every source has the block under enough others; unchanged until then.

        Raises BackendError where a source has another block, or the proof does not verify.
        """
        progress = Progress.of(job.data)
        placed, stamp = progress.placed, progress.stamp
        if placed is None or stamp is None:
            raise AssertionError("a MINED stamp stands in a block")
        if self._rests("finalize", job.size):
            return job
        try:
            proof = await self._prove(job, placed, stamp)
        except BackendError:
            self._looked.pop(("finalize", job.size), None)
            raise
        if proof is None:
            return job
        for what in ("poll", "finalize"):
            self._looked.pop((what, job.size), None)
        return job.move(State.FINAL, proof=proof.encode())

    def confirmation(self, job: Job, /) -> dict[str, Value]:
        """block_number, block_hash; public_time: the block's, as ``chain.ots.existed`` gives it."""
        proof = ots.OtsProof.decode(_bytes(job.proof))
        header = Header.decode(proof.headers[0])
        time = header.time + TIME_SLACK
        return {"block_number": proof.height, "block_hash": header.hash, "public_time": time}

    def export(self, job: Job, /) -> dict[str, bytes]:
        """What ``ots verify checkpoint.txt.ots`` takes, and the headers for who has no Bitcoin node."""
        if job.proof is None:
            return {}
        return exported(job.proof)

    async def check(self, claim: Mapping[str, Any], checkpoint: Checkpoint, /) -> Check:
        """The proof against its own claim, then the claim's block against this node's own source."""
        number, block_hash = claim["block_number"], claim["block_hash"]
        claimed = Trusted(bitcoin_blocks={number: block_hash}, development=True)
        try:
            found = ots.existed(checkpoint, claim["proof"], claimed)
        except UnanchoredError:
            return Check(
                Verdict.MISMATCH, f"the proof is not of Bitcoin block {number}, which the confirmation names"
            )
        except VerificationError as error:
            return Check(Verdict.MISMATCH, f"the proof is not good: {error}")
        if (found.block, found.time) != (number, claim["public_time"]):
            return Check(Verdict.MISMATCH, "the confirmation says another block or time than its proof")
        if not self._sources:
            return Check(Verdict.CANNOT, "this node has no Bitcoin source")
        try:
            tip, seen = await self._source.tip(), await self._source.block_hash(number)
        except BackendError as error:
            return Check(Verdict.LATER, str(error))
        if seen is None or number > tip - self._confirmations + 1:
            return Check(
                Verdict.LATER, f"{self._source.name} has not {self._confirmations} blocks from {number} on yet"
            )
        if seen != block_hash:
            return Check(
                Verdict.MISMATCH,
                f"Bitcoin block {number} is {shown(seen)} by {self._source.name}, {shown(block_hash)} by the proof",
            )
        return Check(Verdict.MATCH, f"Bitcoin block {number} has the checkpoint of {checkpoint.size} blocks")

    def status(self) -> dict[str, Any]:
        """endpoint: the host of the first Bitcoin source; calendars: host → what is wrong with it, or empty."""
        return {
            "endpoint": self._source.name if self._sources else "",
            "note": DEVELOPMENT_NOTE if self.place == DEVELOPMENT_PLACE else "",
            "calendars": {host(url): self._troubles.get(url, "") for url in self._calendars.urls},
            "trouble": self._troubles.get(_SOURCE, ""),
        }

    async def close(self) -> None:
        """Give the connections up."""
        await self._calendars.close()
        for source in self._sources:
            await source.close()

    @property
    def _source(self) -> BitcoinSource:
        return self._sources[0]

    def _text(self, job: Job) -> bytes:
        return job.checkpoint(self._network_id).body

    def _note(self, answered: Iterable[str], refusals: Mapping[str, str]) -> None:
        """Keep for ``status`` what is wrong with which calendar."""
        for url in answered:
            self._troubles.pop(url, None)
        self._troubles.update(refusals)

    def _rests(self, what: str, size: int) -> bool:
        """Whether it was looked at less than ``poll_seconds`` ago: strangers' servers are asked with measure."""
        now, last = self._now(), self._looked.get((what, size))
        if last is not None and now - last < self._poll_ms:
            return True
        self._looked[what, size] = now
        return False

    async def _upgrade(self, progress: Progress) -> Progress:
        """With what the calendars say now."""
        found: list[Stamp] = []
        refusals: dict[str, str] = {}

        async def fetch(message: bytes, uri: str) -> None:
            try:
                answer = await self._calendars.fetch(uri, message)
            except BackendError as error:
                refusals[uri] = str(error)
            else:
                found.extend([] if answer is None else [answer])

        known = [(message, uri) for message, uri in progress.promises() if self._calendars.knows(uri)]
        async with trio.open_nursery() as nursery:
            for message, uri in known[:MAX_PROMISES]:
                nursery.start_soon(fetch, message, uri)
        self._note([uri for _, uri in known if uri not in refusals], refusals)
        return progress.upgraded(found)

    async def _locate(self, progress: Progress) -> Progress:
        """With the lowest of the stamp's blocks that the source has, less the attestations that it contradicts.

        A contradicted one comes again with the calendar's next answer, should a reorganisation turn back. Raises
        BackendError.
        """
        placed: Placed | None = None
        for root, height in () if progress.stamp is None else progress.stamp.bitcoin():
            block_hash = await self._source.block_hash(height)
            if block_hash is None:
                continue
            if (await self._source.header(block_hash)).merkle_root != root:
                _log.warning("a stamp's block is not on the chain", height=height, source=self._source.name)
                progress = progress.refuted(root, height)
            elif placed is None:
                placed = Placed(height, block_hash, root)
        return replace(progress, placed=placed)

    async def _prove(self, job: Job, placed: Placed, stamp: Stamp) -> ots.OtsProof | None:
        """The proof, verified; None while a source has the block not at all, or under too few others.

        Raises BackendError.
        """
        for source in self._sources:
            seen = await source.block_hash(placed.height)
            if seen is None or placed.height > await source.tip() - self._confirmations + 1:
                return None
            if seen != placed.block:
                if source is self._source:
                    return None  # reorganised since the last look: the next one finds out
                raise BackendError(
                    f"{source.name} has another Bitcoin block {placed.height} than {self._source.name}"
                )
        way = stamp.only(placed.root, bitcoin(placed.height))
        headers = await self._following(placed.height)
        if way is None or headers[0].development is not (self.place == DEVELOPMENT_PLACE):
            raise BackendError(
                f"{self._source.name} has a Bitcoin block {placed.height} that is none: correct the URL"
            )
        proof = ots.OtsProof(way.file(), placed.height, tuple([header.raw for header in headers]))
        try:
            ots.verify(proof, self._text(job), {placed.height: placed.block})
        except VerificationError as error:
            raise BackendError(f"the anchor's own proof does not verify: {error}") from None
        return proof

    async def _following(self, height: int) -> list[Header]:
        """The headers of ``height`` and of the blocks that confirm it."""
        headers: list[Header] = []
        for place in range(height, height + self._confirmations):
            block_hash = await self._source.block_hash(place)
            if block_hash is None:
                raise BackendError(f"{self._source.name} no longer has Bitcoin block {place}")
            headers.append(await self._source.header(block_hash))
        return headers


def exported(proof: bytes) -> dict[str, bytes]:
    """The files of a proof (``chain.ots.OtsProof``) for people; headers: height, hash as shown, hex, a line each."""
    decoded = ots.OtsProof.decode(proof)
    lines = [
        f"{decoded.height + place} {shown(Header.decode(raw).hash)} {raw.hex()}\n"
        for place, raw in enumerate(decoded.headers)
    ]
    return {FILE_NAME: decoded.file, HEADERS_NAME: "".join(lines).encode()}


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise AssertionError("a final anchor has a proof")
    return value
