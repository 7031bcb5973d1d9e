"""A custodian's proofs: challenges answered in time, and its copies read again before a challenge finds the damage.

A copy that is not the one it should be, another holder's for example, counts as damaged: it is reported lost and
taken again, so that what is proved is what is held.
"""

from __future__ import annotations

from typing import Any, Final

import trio

from chain import merkle
from contracts.custody_proofs import chunk_count, sampled_chunk, sampled_object
from node.custody.book import Book, Challenge, DepositRow
from node.custody.custodian import Custodian
from node.custody.server import InThread
from node.custody.submissions import Submissions
from node.documents import DocumentError
from node.driver import Log
from node.envelope import Proof
from node.vault import Copies

LOOK_S: Final = 0.25
SCRUB_S: Final = 30.0
"""From one deposit whose copies are read again, all of them, to the next."""
LOST: Final = ("DOCUMENT_MISSING", "DOCUMENT_DAMAGED")


class Prover:
    """Answers the challenges to one node. ``run`` is its task."""

    def __init__(
        self,
        member: str,
        book: Book,
        copies: Copies,
        custodian: Custodian,
        submissions: Submissions,
        in_thread: InThread,
        log: Log,
    ) -> None:
        self._member = member
        self._book = book
        self._copies = copies
        self._custodian = custodian
        self._submissions = submissions
        self._in_thread = in_thread
        self._log = log

    async def run(self) -> None:
        """Answer and scrub until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._scrub)
            while True:
                for chain in self._book.members():
                    challenge = self._book.challenge(chain, self._member)
                    if challenge is not None and challenge.open:
                        await self.answer(chain, challenge)
                with trio.move_on_after(LOOK_S):
                    await self._custodian.changed.wait()
                await trio.lowlevel.checkpoint()

    async def answer(self, chain: str, challenge: Challenge) -> None:
        """Answer a challenge, or find that something is lost: then it is answered once the chain says so."""
        key = ("answer", chain, challenge.round)
        if not self._submissions.free(key):
            return
        proofs: list[list[Any] | None] = []
        for sample, number in enumerate(challenge.deposits):
            row = self._book.deposit(chain, number)
            holder = None if row is None else row.held_as(self._member)
            if row is None or holder is None:
                proofs.append(None)
                continue
            try:
                found = await self._in_thread(prove, self._copies, chain, row, holder, challenge.seed, sample)
                proofs.append(list(found))
            except DocumentError as error:
                if error.code in LOST:
                    await self._custodian.drop((chain, number), holder, str(error))
                else:
                    self._log.warning("challenge not answered yet", chain=chain, reason=str(error))
                return
        arguments = {"chain": chain, "round": challenge.round, "proofs": proofs}
        self._submissions.send("answer", arguments, [key])

    async def _scrub(self) -> None:
        """Read one deposit's copies again, whole, then the next one's."""
        left: list[tuple[str, int, str]] = []
        while True:
            await trio.sleep(SCRUB_S)
            if not left:  # listed once for all of them, not at each: there may be very many
                left = self._custodian.held()[::-1]
            if not left:
                continue
            chain, number, holder = left.pop()
            row = self._book.deposit(chain, number) if self._custodian.holds((chain, number), holder) else None
            if row is not None and holder in row.roots:
                problem = await self._in_thread(scrub, self._copies, chain, row, holder)
                if problem and self._custodian.holds((chain, number), holder):
                    await self._custodian.drop((chain, number), holder, problem)


def prove(copies: Copies, chain: str, row: DepositRow, holder: str, seed: bytes, sample: int) -> Proof:
    """The proof of one sample, checked here first. Raises DocumentError: those of LOST, STORE_FAILED."""
    manifest = copies.manifest(chain, row.number, holder)
    if manifest is None:
        raise DocumentError("DOCUMENT_MISSING", f"no copies of deposit {row.number} of {chain}: they are taken again")
    damaged = f"the copies of deposit {row.number} of {chain} are not those of {holder}: they are taken again"
    if manifest.root != row.roots[holder] or len(manifest.entries) != row.objects:
        raise DocumentError("DOCUMENT_DAMAGED", damaged)
    index = sampled_object(seed, sample, row.objects)
    entry = manifest.entries[index]
    number = sampled_chunk(seed, sample, entry.size)
    proof = copies.prove(chain, row.number, holder, index, number)
    if not merkle.verify(entry.root, proof.chunk, number, chunk_count(entry.size), proof.chunk_path):
        raise DocumentError("DOCUMENT_DAMAGED", damaged)
    return proof


def scrub(copies: Copies, chain: str, row: DepositRow, holder: str) -> str:
    """Read a deposit's copies whole: what is wrong with them, "" for nothing. A store that fails now says nothing."""
    try:
        manifest = copies.manifest(chain, row.number, holder)
        if manifest is None or manifest.root != row.roots[holder]:
            return "the manifest is missing or another's"
        for index, bad in copies.damaged(chain, row.number, holder):
            if bad:
                return f"object {index} is damaged or missing"
    except DocumentError as error:
        return "" if error.code == "STORE_FAILED" else str(error)
    return ""
