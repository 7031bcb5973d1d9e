"""Records onto one member's chain: looked up, raw files stored, batches under one signature, several in flight.

What is sealed already is not sent again. A batch that the chain refuses is sent again without the record to blame:
one bad record never blocks the others. Whatever is sent may be sent again without harm, because the chain knows a
sealed record by its content; so nothing here needs to be remembered over a crash.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from chain.crypto import hash_value
from chain.transaction import MAX_WIRE_SIZE, Transaction, TransactionError
from contracts import records
from contracts.records import MAX_BATCH
from node.intake.gateway import Gateway
from node.intake.outcomes import CORRECTED, KNOWN, NOT_SENT, REFUSED_BY_CHAIN, SEALED, UNKNOWN
from node.intake.reading import Work
from tallystick.client import ClientError, Document, NodeUnreachableError, RejectedError

MAX_BATCH_BYTES: Final = MAX_WIRE_SIZE - 32 * 1024
"""Of records; what is left is for the body, the signatures, and what a correction adds."""
MAX_RAW_BYTES: Final = 32 * 1024 * 1024
"""Raw files that a batch not yet sent may hold in memory."""
IN_FLIGHT: Final = 8
"""Batches of one chain sent and without an outcome."""

CORRECTIONS_COMPARED: Final = 8
"""Superseded corrections that a record is compared with before it counts as other content."""

SOURCE, CORRECTS = 11, 14
"""Places in the record array (contracts/record.py)."""

# The chain refuses whoever signs, not a record: sending parts of the batch would only repeat it.
SIGNER_CODES: Final = frozenset(
    {
        "UNKNOWN_SIGNER",
        "WRONG_KEY_PURPOSE",
        "KEY_NOT_VALID",
        "MIXED_SIGNERS",
        "RIGHT_MISSING",
        "ROLE_NOT_ALLOWED",
        "MORE_SIGNATURES_NEEDED",
        "WRONG_CHAIN",
        "UNKNOWN_MEMBER",
    }
)
STOP_CODES: Final = frozenset({"DISK_LOW", "POOL_FULL", "QUOTA"})
"""The node takes nothing in now: what is left is not sent."""

_OUTCOMES: Final = {records.SEALED: SEALED, records.KNOWN: KNOWN, records.CORRECTED: CORRECTED}
_NAMED: Final = re.compile(r"record (\d{1,4})\b")
"""How the records contract names the record it refuses, counted from 1."""


class _Flight(NamedTuple):
    transaction: Transaction
    batch: list[Work]


class _StoppedError(Exception):
    """The node was lost or takes nothing in; ``unknown``: a batch was sent whose outcome is not known."""

    def __init__(self, reason: str, *, unknown: bool = False) -> None:
        super().__init__(reason)
        self.unknown = unknown


class Pipeline:
    """The way onto one chain. ``settled`` is told each record that has its outcome; it may ``add`` others.

    ``stopped``: why nothing is sent any more, else "".
    """

    def __init__(self, gateway: Gateway, chain: str, *, correct: bool, settled: Callable[[Work], None]) -> None:
        self._gateway = gateway
        self._chain = chain
        self._correct = correct
        self._settled = settled
        self._incoming: deque[Work] = deque()
        self._busy = False
        self._pending: list[Work] = []
        self._size = 0
        self._raw: dict[int, int] = {}
        self._batches: deque[list[Work]] = deque()
        self._flights: deque[_Flight] = deque()
        self.stopped = ""

    def add(self, work: Work) -> None:
        """Take one more record; sends when a batch is full."""
        self._incoming.append(work)
        if self._busy:  # called back by ``settled``: taken when the step that settled something is over
            return
        while self._incoming:
            self._step(self._accept)

    def drain(self) -> None:
        """Send what waits and see everything to its outcome."""
        while True:
            if self._incoming:
                self._step(self._accept)
            elif self._pending:
                self._step(self._flush)
            elif self._batches:
                self._step(self._send_batches)
            elif self._flights:
                self._step(self._land)
            else:
                return

    def _step(self, step: Callable[[], None]) -> None:
        self._busy = True
        try:
            step()
        except _StoppedError as stopped:
            self._stop(stopped)
        finally:
            self._busy = False

    def _stop(self, stopped: _StoppedError) -> None:
        """What was sent has an unknown outcome, what was not sent says so."""
        self.stopped = str(stopped)
        flown = [work for flight in self._flights for work in flight.batch]
        waiting = [*(work for batch in self._batches for work in batch), *self._pending]
        self._flights.clear()
        self._batches.clear()
        self._pending, self._size, self._raw = [], 0, {}
        for work in flown:
            said = f"run it again; tally tx wait {work.entry.transaction}"
            self._refuse(work, UNKNOWN, "OUTCOME_UNKNOWN", said)
        for work in waiting:
            self._refuse(work, NOT_SENT, "NOT_SENT", f"{self.stopped}; run it again")

    def _accept(self) -> None:
        work = self._incoming.popleft()
        if self.stopped:
            self._refuse(work, NOT_SENT, "NOT_SENT", f"{self.stopped}; run it again")
            return
        self._pending.append(work)
        self._size += len(work.prepared.encoded)
        self._raw.setdefault(id(work.raw), len(work.raw))
        if (
            len(self._pending) >= MAX_BATCH
            or self._size >= MAX_BATCH_BYTES
            or (len(self._raw) > 1 and sum(self._raw.values()) >= MAX_RAW_BYTES)
        ):
            self._flush()

    def _flush(self) -> None:
        """Look up what waits, store raw files and sealed bodies, and send the rest."""
        self._pending = self._look_up(self._pending)
        self._store(self._pending)
        self._batches.extend(_batches(self._pending))
        self._pending, self._size, self._raw = [], 0, {}
        self._send_batches()

    def _send_batches(self) -> None:
        """With enough in flight, the oldest lands first."""
        while self._batches:
            if len(self._flights) >= IN_FLIGHT:
                self._land()
            else:
                self._send(self._batches.popleft())

    def _look_up(self, works: list[Work]) -> list[Work]:
        """Against what the chain holds: known, or a conflict that is refused or becomes a correction."""
        keys = [(work.entry.kind, work.entry.issuer, work.entry.number) for work in works]
        found = self._asked(lambda: self._gateway.lookup(self._chain, keys))
        waiting = []
        for work, current in zip(works, found, strict=True):
            if current is None:
                waiting.append(work)
            elif _is_known(current, work):
                if work.entry.id not in current["superseded"]:
                    work.entry.id = current["id"]  # the same content from another file: the record that is sealed
                self._settle(work, KNOWN)
            elif self._correct:
                work.prepared = work.prepare(current["id"])
                work.entry.id = work.prepared.id
                waiting.append(work)
            else:
                sealed = current["id"].hex()
                said = f"sealed with other content as {sealed}: --correct sends it as a correction of that"
                self._refuse(work, REFUSED_BY_CHAIN, "CONFLICTING_RECORD", said)
        return waiting

    def _store(self, works: list[Work]) -> None:
        """Raw files and sealed bodies are in the vault of the member's node before any record names them."""
        new = {id(work.raw): work for work in works if self._chain not in work.entry.report.stored}
        documents = [Document(work.raw, work.kinds) for work in new.values()]
        for work in works:
            sealed = work.prepared.sealed
            if sealed is not None:
                documents.append(Document(sealed.encode(), (work.entry.kind,), sealed.root))
        if documents:
            self._asked(lambda: self._gateway.store(documents))
        for work in new.values():
            work.entry.report.stored.add(self._chain)

    def _send(self, batch: list[Work]) -> None:
        """One transaction more in flight."""
        try:
            transaction = self._gateway.sign(self._chain, [work.prepared.encoded for work in batch])
            for work in batch:
                work.entry.transaction = transaction.id.hex()
            self._gateway.submit(transaction)
        except TransactionError as error:
            self._refuse_all(batch, error.code, str(error))
        except RejectedError as error:
            if error.code in STOP_CODES:
                self._batches.appendleft(batch)
                raise _StoppedError(str(error)) from None
            self._refuse_all(batch, error.code, str(error))
        except NodeUnreachableError as error:
            if error.code == "UNREACHABLE":
                self._batches.appendleft(batch)
                raise _StoppedError(str(error)) from None
            self._flights.append(_Flight(transaction, batch))  # it may have arrived
            raise _StoppedError(str(error), unknown=True) from None
        else:
            self._flights.append(_Flight(transaction, batch))

    def _land(self) -> None:
        """The oldest batch in flight to its outcome; parts of a refused one are sent again."""
        flight = self._flights[0]
        try:
            receipt = self._gateway.wait(flight.transaction)
        except ClientError as error:
            raise _StoppedError(str(error), unknown=True) from None
        self._flights.popleft()
        if receipt["status"] == 0:
            for work, outcome in zip(flight.batch, _outcomes(receipt["events"]), strict=True):
                self._settle(work, outcome)
            return
        code, message = receipt["code"], receipt["message"]
        if code in SIGNER_CODES:
            self._refuse_all(flight.batch, code, message)
            return
        self._batches.extendleft(reversed(self._without_the_bad_one(flight.batch, code, message)))

    def _without_the_bad_one(self, batch: list[Work], code: str, message: str) -> list[list[Work]]:
        """Parts that are sent again: what stood before the record to blame, and the rest in halves."""
        named = _NAMED.match(message)
        index = 0 if len(batch) == 1 else int(named[1]) - 1 if named is not None else -1
        if not 0 <= index < len(batch):
            middle = len(batch) // 2
            return [batch[:middle], batch[middle:]]
        self._refuse_one(batch[index], code, message)
        rest = batch[index + 1 :]
        middle = (len(rest) + 1) // 2
        return [part for part in (batch[:index], rest[:middle], rest[middle:]) if part]

    def _refuse_one(self, work: Work, code: str, message: str) -> None:
        """What another run has sealed since the look-up is looked up once more: it may be this very record."""
        if code == "CONFLICTING_RECORD" and not work.looked_up_again:
            work.looked_up_again = True
            self._incoming.append(work)
        else:
            self._refuse_all([work], code, message)

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """An answer of the node before anything is sent. Raises _StoppedError."""
        try:
            return ask()
        except ClientError as error:
            raise _StoppedError(str(error)) from None

    def _settle(self, work: Work, outcome: str) -> None:
        work.entry.outcome = outcome
        self._settled(work)

    def _refuse_all(self, batch: Sequence[Work], code: str, message: str) -> None:
        for work in batch:
            label = f"({work.entry.kind[:32]} {work.entry.number[:64]!r}): "
            reason = _NAMED.sub("", message, count=1).lstrip().removeprefix(label)
            self._refuse(work, REFUSED_BY_CHAIN, code, reason)

    def _refuse(self, work: Work, outcome: str, code: str, reason: str) -> None:
        work.entry.refuse(outcome, code, reason)
        self._settled(work)


def content_digest(record: list[Any]) -> bytes:
    """SHA-256 of what a record array says: not where and when it was read, nor what it corrects.

    The same row in another export, or on another page, is the same record: the chain would take it for other content,
    because the raw file differs, so it is not sent again.
    """
    bare = record.copy()
    bare[SOURCE] = bare[CORRECTS] = None
    return hash_value(bare)


def _is_known(current: dict[str, Any], work: Work) -> bool:
    """Whether this content is sealed: as the version in force, or as one that has been superseded since."""
    identity, superseded = work.prepared.id, current["superseded"]
    if identity == current["id"] or identity in superseded:
        return True
    if content_digest(current["record"]) == content_digest(work.prepared.record):
        return True
    newest = superseded[-CORRECTIONS_COMPARED - 1 :]
    return any(work.prepare(earlier).id == later for earlier, later in pairwise(newest))


def _outcomes(events: list[Any]) -> list[str]:
    """Each record's outcome, in order, from the one event of its batch."""
    return [_OUTCOMES[letter] for name, data in events if name == records.EVENT for letter in data["outcomes"]]


def _batches(works: list[Work]) -> list[list[Work]]:
    """Within the bounds of one transaction, in order."""
    batches: list[list[Work]] = []
    size = 0
    for work in works:
        length = len(work.prepared.encoded)
        if not batches or len(batches[-1]) >= MAX_BATCH or size + length > MAX_BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(work)
        size += length
    return batches
