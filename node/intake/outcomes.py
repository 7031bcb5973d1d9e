"""What became of files and their records, within bounds: a run may hold more records than anybody wants listed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

SEALED, KNOWN, CORRECTED, READY = "sealed", "known", "corrected", "ready"
REFUSED, REFUSED_BY_CHAIN, UNKNOWN, NOT_SENT = "refused", "refused by the chain", "unknown", "not sent"
OUTCOMES: Final = (READY, SEALED, KNOWN, CORRECTED, REFUSED, REFUSED_BY_CHAIN, UNKNOWN, NOT_SENT)
"""From best to worst: a file has the worst of its records."""
GOOD: Final = frozenset({READY, SEALED, KNOWN, CORRECTED})

MAX_LISTED: Final = 20_000
"""Records, and as many reasons, that one run lists; of the others it gives counts."""

Key: TypeAlias = tuple[str, str, str, str]
"""Chain, kind, issuer, number: where a record goes, and its natural key there."""


class IntakeError(Exception):
    """Nothing can be taken in as things stand; one line that says what to do. ``code`` is stable for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def one_line(text: str) -> str:
    """Text without line breaks and control characters, as a terminal or a log may show it."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


@dataclass(slots=True, eq=False)
class Entry:
    """One record of a file and what became of it. ``id``: of the record as it was read, 32 bytes."""

    report: FileReport
    index: int
    kind: str
    issuer: str
    number: str
    chain: str
    id: bytes
    outcome: str = READY
    code: str = ""
    reason: str = ""
    transaction: str = ""

    @property
    def key(self) -> Key:
        """Where it goes, and its natural key there."""
        return (self.chain, self.kind, self.issuer, self.number)

    def refuse(self, outcome: str, code: str, reason: str) -> None:
        """Note why it is not taken in."""
        self.outcome, self.code, self.reason = outcome, code, one_line(reason)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": self.kind,
            "issuer": self.issuer,
            "number": self.number,
            "chain": self.chain,
            "id": self.id.hex(),
            "outcome": self.outcome,
            "code": self.code,
            "reason": self.reason,
            "transaction": self.transaction,
        }


@dataclass
class Listing:
    """How many rows are left to list, for good and for bad outcomes; shared by the files of one run."""

    good: int = MAX_LISTED
    bad: int = MAX_LISTED

    def takes(self, *, good: bool) -> bool:
        """Whether one more of this sort is listed."""
        if good:
            self.good -= 1
            return self.good >= 0
        self.bad -= 1
        return self.bad >= 0


@dataclass(eq=False)
class FileReport:
    """One file: counts of its records' outcomes, the rows that are listed, and why something was not read.

    ``refusals``: (code, reason) of what could not be read or made a record; ``refused`` counts them all.
    ``open``: records without an outcome yet. ``sha256``: of its bytes, empty where they could not be read. ``place``:
    of its source among those of the run.
    """

    name: str
    listing: Listing
    place: int = 0
    format: str = ""
    sha256: bytes = b""
    counts: Counter[str] = field(default_factory=Counter)
    rows: list[Entry] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    refused: int = 0
    open: int = 0
    read: bool = False
    stored: set[str] = field(default_factory=set)
    """Chains whose member keeps the raw file already."""

    @property
    def outcome(self) -> str:
        """The worst of its records'."""
        found = [outcome for outcome, count in self.counts.items() if count] + ([REFUSED] if self.refused else [])
        return max(found, key=OUTCOMES.index, default=READY)

    @property
    def done(self) -> bool:
        """Whether it was read to its end and every record has its outcome."""
        return self.read and not self.open

    @property
    def records(self) -> int:
        """Records that have an outcome."""
        return self.counts.total()

    def refuse(self, code: str, reason: str) -> None:
        """Something of the file that makes no record."""
        self.refused += 1
        if self.listing.takes(good=False):
            self.refusals.append((code, one_line(reason)))

    def settle(self, entry: Entry) -> None:
        """A record has its outcome."""
        self.open -= 1
        self.counts[entry.outcome] += 1
        if self.listing.takes(good=entry.outcome in GOOD):
            self.rows.append(entry)

    def to_json(self) -> dict[str, Any]:
        """Plain values; records in the file's order."""
        value: dict[str, Any] = {
            "file": self.name,
            "sha256": self.sha256.hex(),
            "format": self.format,
            "outcome": self.outcome,
            "counts": dict(self.counts),
            "refused": [{"code": code, "reason": reason} for code, reason in self.refusals],
            "records": [entry.to_json() for entry in sorted(self.rows, key=lambda entry: entry.index)],
        }
        left_out = self.records - len(self.rows) + self.refused - len(self.refusals)
        return {**value, "not_listed": left_out} if left_out else value
