"""The signed messages of one height, verified, one per validator, kind and kept round: O(n) memory (R10).

No limit on how far ahead a round may be is needed, and none is wanted: with one, nodes that drifted apart never
meet again (besu#1822, #7642). The limit is on slots. A validator has one slot for its newest ROUND-CHANGE and
``KEPT_ROUNDS`` for each other kind; a liar that fills its slots with huge rounds displaces only its own messages,
and moves nobody, because f+1 validators must agree before a round is joined (FISCO-BCOS#2211).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from consensus.justification import Electorate, round_change_fault, round_change_is_proved
from consensus.messages import Commit, MessageKind, Prepare, PrePrepare, RoundChange, SignedMessage

KEPT_ROUNDS: Final = 8
"""Rounds per validator and kind: its highest ones (R5)."""


class Added(NamedTuple):
    """What became of a message.

    ``is_valid``: its claim is verified, now or before. ``is_new``: it is counted from now on. ``conflict``: what this
    validator said before and now contradicts (R13), told once per validator and kind: one pair is proof enough, and
    a flood of them fills no disk.
    """

    is_valid: bool
    is_new: bool = False
    conflict: SignedMessage | None = None


_IGNORED: Final = Added(is_valid=False)


class VoteStore:
    """Votes at ``height`` under ``electorate``."""

    def __init__(self, height: int, electorate: Electorate) -> None:
        self.height = height
        self.electorate = electorate
        self._votes: dict[tuple[str, MessageKind], dict[int, SignedMessage]] = {}
        """By (sender, kind), then round; a sender's first valid message makes the entry, so none is empty."""
        self._highest: dict[str, int] = {}
        """The highest round each validator signed anything at."""
        self._certified: list[Commit] | None = None
        self._accused: set[tuple[str, MessageKind]] = set()

    def add(self, message: SignedMessage, *, own: bool = False) -> Added:
        """Verify and keep ``message``; ``own`` ones come from the signer and need no check.

        The same message again costs no signature check. Of two that exclude each other the first counts.
        """
        sender, round_number = message.sender, message.round
        if message.height != self.height or sender not in self.electorate.validators.keys:
            return _IGNORED
        slots = self._votes.get((sender, message.kind), {})
        known = slots.get(round_number)
        if known is not None and known.content == message.content:
            return Added(is_valid=True)
        limit = 1 if message.kind is MessageKind.ROUND_CHANGE else KEPT_ROUNDS
        is_full = len(slots) >= limit
        if known is None and is_full and round_number < min(slots):
            return _IGNORED
        if not own and not self._is_valid(message):
            return _IGNORED
        if known is not None:
            is_first = (sender, message.kind) not in self._accused
            self._accused.add((sender, message.kind))
            return Added(is_valid=True, conflict=known if is_first else None)
        if is_full:
            del slots[min(slots)]
        slots[round_number] = message.bare() if isinstance(message, PrePrepare) else message
        self._votes[(sender, message.kind)] = slots
        self._highest[sender] = max(round_number, self._highest.get(sender, 0))
        if isinstance(message, Commit) and self._certified is None:
            commits = self.commits(round_number, message.digest)
            if len(commits) >= self.electorate.validators.quorum:
                self._certified = commits
        return Added(is_valid=True, is_new=True)

    def _is_valid(self, message: SignedMessage) -> bool:
        if isinstance(message, RoundChange) and round_change_fault(message) is not None:
            return False
        if not self.electorate.has_signed(message):
            return False
        # A prepared claim without its certificate is worth nothing: it is not even kept (R2).
        return not isinstance(message, RoundChange) or round_change_is_proved(self.electorate, message)

    def prepares(self, round_number: int, digest: bytes) -> list[Prepare]:
        """PREPAREs for (round, digest), one a validator, in id order."""
        found = (self._at(member, MessageKind.PREPARE, round_number) for member in self._members)
        return [vote for vote in found if isinstance(vote, Prepare) and vote.digest == digest]

    def commits(self, round_number: int, digest: bytes) -> list[Commit]:
        """COMMITs for (round, digest), one a validator, in id order."""
        found = (self._at(member, MessageKind.COMMIT, round_number) for member in self._members)
        return [vote for vote in found if isinstance(vote, Commit) and vote.digest == digest]

    def certified(self) -> list[Commit] | None:
        """R5: ≥ Q COMMITs for one (round, digest) in any kept round, past ones too; None where there are none."""
        return self._certified

    def round_changes(self, round_number: int) -> list[RoundChange]:
        """ROUND-CHANGEs of the validators whose newest one is for exactly this round, in id order."""
        found = (self._at(member, MessageKind.ROUND_CHANGE, round_number) for member in self._members)
        return [message for message in found if isinstance(message, RoundChange)]

    def round_to_join(self, current: int) -> int | None:
        """R6: the smallest of the rounds above ``current`` that f+1 validators changed to; else None.

        f liars alone cannot reach f+1, so one liar's huge round moves nobody (FISCO-BCOS#2312).
        """
        above = [
            newest
            for member in self._members
            for newest in self._votes.get((member, MessageKind.ROUND_CHANGE), ())
            if newest > current
        ]
        return min(above) if len(above) > self.electorate.validators.faults else None

    def reached(self, round_number: int, oneself: str) -> int:
        """How many validators, ``oneself`` included, have signed anything at this round or above."""
        return sum(
            member == oneself or self._highest.get(member, -1) >= round_number for member in self._members
        )

    def has_prepared(self, member: str, round_number: int) -> bool:
        """Whether ``member`` sent a PREPARE at this round: then it has the proposal."""
        return self._at(member, MessageKind.PREPARE, round_number) is not None

    def supporters(self, digest: bytes) -> list[str]:
        """Validators that voted for ``digest`` or prepared it, in id order: they should have the block."""
        return [
            member
            for member in self._members
            if any(
                digest in vote.content
                for kind in MessageKind
                for vote in self._votes.get((member, kind), {}).values()
            )
        ]

    def __len__(self) -> int:
        """Messages kept; at most n x (3 x KEPT_ROUNDS + 1) (R10)."""
        return sum(len(slots) for slots in self._votes.values())

    @property
    def _members(self) -> tuple[str, ...]:
        return self.electorate.validators.ids

    def _at(self, member: str, kind: MessageKind, round_number: int) -> SignedMessage | None:
        return self._votes.get((member, kind), {}).get(round_number)
