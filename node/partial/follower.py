"""Following as a partial observer: headers first, each followed chain behind them at its own pace.

One question is under way for the headers and one for each chain, each to one node at a time. A node that answers with
what does not stand is named in the log and not asked again for a while; one that is silent, refuses or has nothing
new gives its turn to the next. So a liar or a withholder costs time, never truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Final

import trio

from chain.partial import PartialLedger
from chain.partial_run import Run
from chain.parts import ChainBlock, Part, PartError
from chain.state import ProofError
from chain.witness import WitnessReader
from node.links import Log
from node.partial.messages import (
    MAX_HINTS,
    MAX_KEYS,
    Answer,
    Chain,
    GetChain,
    GetParts,
    GetWitness,
    PartRefused,
    Parts,
    Request,
    Wanted,
    Witness,
    pack,
)
from node.partial.serving import HOLD_S, MAX_BLOCKS

ANSWER_S: Final = 10.0
"""So long an answer may take beyond what the other side holds it back."""
SHUN_S: Final = 60.0
"""A node that sent what does not stand is not asked again so long, unless there is no other."""
PAUSE_S: Final = 0.5
AGAIN_S: Final = 15.0
"""A chain that no node gives is asked for again after this."""
PACE_S: Final = 0.25
"""Between two questions that bring little: an observer is in no hurry, and to others a question costs more than a
block in its answer."""
AT_ONCE: Final = 16
"""Parts checked and written in one batch."""


class Follower:
    """Keeps a partial ledger up with the network. Runs in the node's own loop."""

    def __init__(
        self,
        ledger: PartialLedger,
        send: Callable[[str, bytes], bool],
        log: Log,
        on_change: Callable[[], None] = lambda: None,
        *,
        answer_s: float = ANSWER_S,
        hold_s: float = HOLD_S,
        again_s: float = AGAIN_S,
        pace_s: float = PACE_S,
        first: int = 0,
    ) -> None:
        """``on_change`` is called after every batch that was kept. An answer may take ``answer_s``, beside ``hold_s``
        that the other side may hold one back; what nobody gives is asked for again after ``again_s``. ``pace_s``:
        between questions that bring little. ``first``: whom to begin with, that observers ask different nodes.
        """
        self.ledger = ledger
        self._send = send
        self._log = log
        self._on_change = on_change
        self._answer_s = answer_s
        self._hold_s = hold_s
        self._again_s = again_s
        self._pace_s = pace_s
        self._up: list[str] = []
        self._came = trio.Event()
        self._shunned: dict[str, float] = {}
        self._turns = {name: _Turn(first + place) for place, name in enumerate(("", *ledger.follow))}
        """Whose turn it is to be asked about headers (""), and about each chain."""
        self._number = 0
        self._open: dict[int, _Question] = {}
        self.moved = trio.Event()
        """Set and replaced after every batch that was kept: waiters look again."""
        self._last_read: dict[str, tuple[bytes, ...]] = {}
        self.asked: str | None = None
        """Whom the last question went to."""
        self.faults: dict[str, dict[str, int]] = {}
        """What nodes sent that did not stand: member → code → how often."""
        self.refused: dict[str, str] = {}
        """Chains that no node gives, with the code of the last refusal."""

    # -- the network's side -------------------------------------------------------------------------------

    def connected(self, member: str) -> None:
        """A link to a member stands."""
        if member not in self._up:
            self._up.append(member)
        self._came.set()

    def forget(self, member: str) -> None:
        """It broke: its answers will not come."""
        if member in self._up:
            self._up.remove(member)
        for question in self._open.values():
            if question.member == member:
                question.done.set()

    def take(self, member: str, answer: Answer) -> None:
        """An answer. What was not asked of this member is left alone."""
        question = self._open.get(answer.number)
        if question is not None and question.member == member:
            question.answer = answer
            question.done.set()

    # -- tasks --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow until cancelled. Raises ContradictionError, StoreError."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_headers)
            for chain in self.ledger.follow:
                nursery.start_soon(self._follow_chain, chain)

    async def _follow_headers(self) -> None:
        turn = self._turns[""]
        while True:
            member = await self._next_member(turn)
            answer = await self._ask(member, partial(GetParts, start=self.ledger.height + 1), self._hold_s)
            if not isinstance(answer, Parts):
                await self._pass_on(turn, answer)
                continue
            if not answer.parts:
                turn.number += 1  # up with it; or it is behind, or withholds: the next one is asked
            try:
                await self._take_parts(answer)
            except PartError as error:
                self._blame(turn, member, error)
            if 0 < len(answer.parts) < AT_ONCE:
                await trio.sleep(self._pace_s)

    async def _take_parts(self, answer: Parts) -> None:
        """Check and keep an answer's parts. Raises PartError for the first that does not stand."""
        for at in range(0, len(answer.parts), AT_ONCE):
            before = self.ledger.height
            try:
                self.ledger.take([Part.decode(raw) for raw in answer.parts[at : at + AT_ONCE]])
            finally:
                if self.ledger.height > before:
                    self._moved()
            await trio.lowlevel.checkpoint()
        if answer.certificate:
            self.ledger.take_certificate(answer.certificate)

    async def _follow_chain(self, chain: str) -> None:
        turn = self._turns[chain]
        refusals: set[str] = set()
        while True:
            coming = self.ledger.pending(chain)
            if coming is None:
                await self.moved.wait()
                continue
            member = await self._next_member(turn)
            sent = self._sent(self._last_read.get(chain, ())[:MAX_HINTS])
            question = partial(GetChain, chain=chain, start=coming.head.height, wanted=_wanted(sent))
            answer = await self._ask(member, question)
            if isinstance(answer, Chain) and answer.blocks:
                self.refused.pop(chain, None)
                refusals.clear()
                try:
                    await self._take_blocks(member, chain, answer, sent)
                except PartError as error:
                    self._blame(turn, member, error)
                if len(answer.blocks) < MAX_BLOCKS:
                    await trio.sleep(self._pace_s)
                continue
            if isinstance(answer, PartRefused):
                self.refused[chain] = answer.code
            await self._pass_on(turn, answer)
            if self._all_refuse(refusals, member, answer):
                await trio.sleep(self._again_s)

    async def _take_blocks(self, member: str, chain: str, answer: Chain, sent: Mapping[bytes, bytes | None]) -> None:
        """Execute the blocks of an answer, each checked in full. Raises PartError for the first that is wrong."""
        for raw, values in answer.blocks:
            if self.ledger.pending(chain) is None:
                return
            run = self.ledger.begin(chain, ChainBlock.decode(raw))
            if values.values:
                run.prove(list(sent)[: len(values.values)], values.opening, values.values, sent)
            while keys := run.wanted():
                member = await self._prove(member, run, keys[:MAX_KEYS])
            self.ledger.commit(run)
            self._last_read[chain] = tuple(run.reader.read)
            self._moved()
            await trio.lowlevel.checkpoint()

    async def _prove(self, member: str, run: Run, keys: list[bytes]) -> str:
        """Ask for proofs of values that a run read: who sent the block, else the others. Gives who had them."""
        sent = self._sent(tuple(keys))
        turn, refusals = self._turns[run.chain], set[str]()
        question = partial(GetWitness, height=run.header.height - 1, wanted=_wanted(sent))
        while True:
            answer = await self._ask(member, question)
            if isinstance(answer, Witness) and answer.values.values:
                values = answer.values
                try:
                    run.prove(keys[: len(values.values)], values.opening, values.values, sent)
                except PartError as error:
                    self._blame(turn, member, error)
                else:
                    self.refused.pop(run.chain, None)
                    return member
            else:
                await self._pass_on(turn, answer)
                if self._all_refuse(refusals, member, answer):  # pruned everywhere: until a node that keeps all is up
                    self.refused[run.chain] = "NOT_KEPT"
                    await trio.sleep(self._again_s)
            member = await self._next_member(turn)

    async def values(self, keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
        """Consortium values, proven under the newest header here; where no node keeps that height's any more, under
        the one that is newest by then."""
        reader = WitnessReader(self.ledger.head.state_root, self.ledger.known)
        height, wanted, turn = self.ledger.height, list(keys), self._turns[""]
        refusals: set[str] = set()
        while wanted:
            sent = self._sent(tuple(wanted[:MAX_KEYS]))
            member = await self._next_member(turn)
            answer = await self._ask(member, partial(GetWitness, height=height, wanted=_wanted(sent)))
            if not isinstance(answer, Witness) or not answer.values.values:
                await self._pass_on(turn, answer)
                if self._all_refuse(refusals, member, answer):
                    await trio.sleep(PAUSE_S)
                    reader = WitnessReader(self.ledger.head.state_root, self.ledger.known)
                    height, wanted = self.ledger.height, list(keys)
                continue
            given = answer.values
            try:
                reader.prove(wanted[: len(given.values)], given.opening, given.values, sent)
            except (ProofError, ValueError) as error:
                self._blame(turn, member, PartError("WRONG_WITNESS", str(error)))
            else:
                wanted = wanted[len(given.values) :]
        return reader.proven

    def _moved(self) -> None:
        self.moved.set()
        self.moved = trio.Event()
        self._on_change()

    # -- asking -------------------------------------------------------------------------------------------

    async def _next_member(self, turn: _Turn) -> str:
        """Whom to ask: one of those connected, the next one after each disappointment; waits for one."""
        while True:
            now = trio.current_time()
            willing = [member for member in self._up if self._shunned.get(member, now) <= now]
            if willing:
                return willing[turn.number % len(willing)]
            if self._up:  # all have lied: slowly, in case one was mended
                await trio.sleep(PAUSE_S)
                return self._up[turn.number % len(self._up)]
            if self._came.is_set():  # several tasks may wait: for one event
                self._came = trio.Event()
            await self._came.wait()

    async def _ask(self, member: str, make: Callable[[int], Request], held_s: float = 0.0) -> Answer | None:
        """Send a question and wait for its answer; None where none comes."""
        self._number += 1
        number = self._number
        question = self._open[number] = _Question(member)
        self.asked = member
        try:
            if not self._send(member, pack(make(number))):
                return None
            with trio.move_on_after(self._answer_s + held_s):
                await question.done.wait()
            return question.answer
        finally:
            del self._open[number]

    async def _pass_on(self, turn: _Turn, answer: Answer | None) -> None:
        """An answer that brings nothing: the next one is asked; not at once, where that one said no."""
        turn.number += 1
        await trio.sleep(PAUSE_S if answer is None or len(self._up) < 2 else 0.05)

    def _all_refuse(self, refusals: set[str], member: str, answer: Answer | None) -> bool:
        """Note a refusal; whether all that are connected have refused by now, and then begin to count anew."""
        if isinstance(answer, PartRefused):
            refusals.add(member)
        if not refusals or not refusals >= set(self._up):
            return False
        refusals.clear()
        return True

    def _blame(self, turn: _Turn, member: str, error: PartError) -> None:
        """What this member sent does not stand. The log has the 1st, 2nd, 4th, 8th … time."""
        counts = self.faults.setdefault(member, {})
        counts[error.code] = counts.get(error.code, 0) + 1
        self._shunned[member] = trio.current_time() + SHUN_S
        turn.number += 1
        total = sum(counts.values())
        if total & (total - 1) == 0:
            self._log.warning(
                "a node sent what does not stand", member=member, code=error.code, reason=str(error), count=total
            )

    def _sent(self, keys: tuple[bytes, ...]) -> dict[bytes, bytes | None]:
        """Values known here now of some keys, as the other side is told of them."""
        return {key: self.ledger.known.get(key) for key in keys}


@dataclass(slots=True)
class _Turn:
    """Which of the connected nodes is asked: it counts up with each disappointment."""

    number: int


class _Question:
    """One that is under way."""

    def __init__(self, member: str) -> None:
        self.member = member
        self.done = trio.Event()
        self.answer: Answer | None = None


def _wanted(sent: Mapping[bytes, bytes | None]) -> tuple[Wanted, ...]:
    return tuple(Wanted(key, sha256(value).digest() if value else b"") for key, value in sent.items())
