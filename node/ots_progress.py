"""How far one stamp has come: which calendars have the digest, what they answered, and the block it stands in.

This is what a job of ``node.anchor_ots`` keeps on disk. Calendars are strangers: what they send is bounded, so that
none can make a stamp that cannot be read again, or that costs this node a thousand questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from chain.codec import Value
from chain.ots_stamp import MAX_FILE_SIZE, OtsError, Stamp, bitcoin, decode_file

MAX_BITCOIN: Final = 32
"""Bitcoin attestations of one stamp that this node looks for; honest calendars send one each."""
MAX_PROMISES: Final = 32
"""Promises that it asks about in one round."""


class Placed(NamedTuple):
    """Where a stamp stands. block: hash, root: Merkle root, 32 bytes each, internal order."""

    height: int
    block: bytes
    root: bytes


@dataclass(frozen=True)
class Progress:
    """told: the calendars that took the digest; stamp: all their answers in one, None before the first."""

    told: tuple[str, ...] = ()
    stamp: Stamp | None = None
    placed: Placed | None = None

    @classmethod
    def of(cls, data: Mapping[str, Value]) -> Progress:
        """From a job's data. Raises OtsError or ValueError for data that ``data`` did not make."""
        match data:
            case {"told": list(told), "stamp": bytes() | None as file, "placed": list() | None as placed}:
                stamp = None if file is None else decode_file(file)
                match placed:
                    case None:
                        return cls(tuple(map(str, told)), stamp)
                    case [int(height), bytes(block), bytes(root)]:
                        return cls(tuple(map(str, told)), stamp, Placed(height, block, root))
        raise ValueError("not the progress of a stamp")

    def data(self) -> dict[str, Value]:
        """As a job keeps it."""
        return {
            "told": list(self.told),
            "stamp": None if self.stamp is None else self.stamp.file(),
            "placed": None if self.placed is None else list(self.placed),
        }

    def promises(self) -> list[tuple[bytes, str]]:
        """(message, calendar) of what may still be asked for."""
        return [] if self.stamp is None else self.stamp.pending()

    def promised(self, answers: Mapping[str, Stamp]) -> Progress:
        """With calendars' first answers: URL → stamp of the digest. What makes the whole too large is left out."""
        stamp = self.stamp
        for url in sorted(answers):
            grown = answers[url] if stamp is None else stamp.join(answers[url])
            stamp = grown if _readable(grown) else stamp
        return replace(self, told=(*self.told, *sorted(answers)), stamp=stamp)

    def upgraded(self, answers: Iterable[Stamp]) -> Progress:
        """With calendars' later answers, each put where its message occurs."""
        stamp = self.stamp
        for answer in sorted(answers, key=lambda each: each.encode()):
            grown = None if stamp is None else stamp.graft(answer)
            stamp = grown if grown is not None and _readable(grown) else stamp
        return replace(self, stamp=stamp)

    def refuted(self, root: bytes, height: int) -> Progress:
        """Without an attestation that the chain contradicts; handed in anew where nothing else is left."""
        stamp = None if self.stamp is None else self.stamp.without(root, bitcoin(height))
        return replace(self, stamp=stamp, told=self.told if stamp is not None else ())


def _readable(stamp: Stamp) -> bool:
    """Whether it is small enough, and can be read again (operations in a row)."""
    try:
        file = stamp.file()
        return len(file) <= MAX_FILE_SIZE and len(stamp.bitcoin()) <= MAX_BITCOIN and decode_file(file) == stamp
    except OtsError:
        return False
