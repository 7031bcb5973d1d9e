"""Sending prepared records to their members' chains: raw files first, then batches under one signature.

What is sealed already is not sent again, so a run that broke off is simply run again. A batch that the chain refuses
is halved until the record that is to blame stands alone: one bad record never blocks the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from cli.errors import one_line
from cli.intake import (
    CORRECTED,
    KNOWN,
    NOT_SENT,
    READY,
    REFUSED_BY_CHAIN,
    SEALED,
    UNKNOWN,
    Document,
    Entry,
)
from cli.records import CORRECTS

if TYPE_CHECKING:
    from cli.session import Session

MAX_BATCH: Final = 100
MAX_BATCH_BYTES: Final = 512 * 1024

# The chain refuses whoever signs, not a record: halving the batch would only repeat it.
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
_OUTCOMES: Final = {"record_sealed": SEALED, "record_known": KNOWN, "record_corrected": CORRECTED}


class StoppedError(Exception):
    """The node was lost: what is left was not sent."""

    def __init__(self, reason: str, *, unknown: bool) -> None:
        super().__init__(reason)
        self.unknown = unknown


class Sender:
    """Sends the records of one chain with its member's session. ``progress``: told after each batch."""

    def __init__(
        self, session: Session, chain: str, *, correct: bool, timeout_s: float, progress: Callable[[str], None]
    ) -> None:
        self._session = session
        self._timeout_s = timeout_s
        self._chain = chain
        self._correct = correct
        self._progress = progress
        self._done = 0
        self._total = 0

    def send(self, documents: Iterable[Document]) -> None:
        """Bring every ready record of this chain to its outcome. Raises StoppedError."""
        from tallystick.client import NodeUnreachableError, OutcomeUnknownError

        pairs = [(d, e) for d in documents for e in d.entries if e.chain == self._chain and e.outcome == READY]
        self._total = len(pairs)
        try:
            for round_ in _rounds(pairs):
                self._look_up(entry for _, entry in round_)
                waiting = [(document, entry) for document, entry in round_ if entry.outcome == READY]
                self._done += len(round_) - len(waiting)
                self._store(waiting)
                for batch in _batches([entry for _, entry in waiting]):
                    self._submit(batch)
                    self._done += len(batch)
                    self._progress(f"{self._done} of {self._total} records on {self._chain}")
        except OutcomeUnknownError as error:
            raise StoppedError(str(error), unknown=True) from None
        except NodeUnreachableError as error:
            raise StoppedError(str(error), unknown=False) from None

    def _look_up(self, entries: Iterable[Entry]) -> None:
        """Against what the chain holds: known, or a conflict that is refused or becomes a correction."""
        client = self._session.client
        for entry in entries:
            current = client.state(self._chain, "records", "record", entry.kind, entry.issuer, entry.number)
            if current is None:
                continue
            earlier = client.state(self._chain, "records", "version", entry.prepared.id)
            if earlier is not None or _same_document(current["record"], entry.prepared.record):
                entry.outcome = KNOWN
            elif self._correct:
                entry.correct(current["id"])
            else:
                entry.refuse(
                    REFUSED_BY_CHAIN,
                    "CONFLICTING_RECORD",
                    f"sealed with other content as {current['id'].hex()}: --correct sends it as a correction of that",
                )

    def _store(self, pairs: list[tuple[Document, Entry]]) -> None:
        """Raw files and sealed bodies go into the member's document store before any record names them."""
        client = self._session.client
        for document in {id(document): document for document, _ in pairs}.values():
            client.put_document(document.data)
        for _, entry in pairs:
            if entry.prepared.sealed is not None:
                client.put_document(entry.prepared.sealed.encode())

    def _submit(self, batch: list[Entry]) -> None:
        """One transaction; refused ones are halved. Raises OutcomeUnknownError, NodeUnreachableError."""
        from tallystick.client import OutcomeUnknownError, RejectedError, TransactionFailedError

        session = self._session
        transaction = session.client.sign(
            *session.keys,
            chain=self._chain,
            contract="records",
            method="submit",
            records=[entry.prepared.encoded for entry in batch],
        )
        for entry in batch:
            entry.transaction = transaction.id.hex()
        try:
            state = session.client.submit_and_wait(transaction, timeout_s=self._timeout_s)
        except TransactionFailedError as error:
            if len(batch) == 1 or error.code in SIGNER_CODES:
                _refuse(batch, error.code, str(error))
                return
            middle = len(batch) // 2
            self._submit(batch[:middle])
            self._submit(batch[middle:])
        except RejectedError as error:
            _refuse(batch, error.code, str(error))
        except OutcomeUnknownError as error:
            for entry in batch:
                entry.refuse(UNKNOWN, error.code, f"run it again; tally tx wait {entry.transaction}")
            raise
        else:
            _settle(batch, state["receipt"]["events"])


def stop(documents: Iterable[Document], reason: str) -> None:
    """What is still ready was not sent."""
    for document in documents:
        for entry in document.entries:
            if entry.outcome == READY:
                entry.refuse(NOT_SENT, "NOT_SENT", f"{reason}; run it again")


def _settle(batch: list[Entry], events: list[Any]) -> None:
    """Each record's outcome from the events of its batch, which come in its order."""
    outcomes = [_OUTCOMES[name] for name, _ in events if name in _OUTCOMES]
    for entry, outcome in zip(batch, outcomes, strict=True):
        entry.outcome = outcome


def _refuse(batch: list[Entry], code: str, reason: str) -> None:
    for entry in batch:
        entry.refuse(
            REFUSED_BY_CHAIN, code, one_line(reason.removeprefix("record 1 ") if len(batch) == 1 else reason)
        )


def _same_document(sealed: list[Any], read: list[Any]) -> bool:
    """Whether a sealed record says what was read now; when it was read and what it corrected does not matter."""
    from chain.crypto import hash_value
    from contracts.record import content_hash

    one, other = sealed.copy(), read.copy()
    one[CORRECTS] = other[CORRECTS] = None
    return content_hash(one, hash_value) == content_hash(other, hash_value)


def _rounds(pairs: list[tuple[Document, Entry]]) -> Iterator[list[tuple[Document, Entry]]]:
    """Records of one natural key one after the other: a correction names what the one before it sealed."""
    left = pairs
    while left:
        now: list[tuple[Document, Entry]] = []
        later: list[tuple[Document, Entry]] = []
        taken: set[tuple[str, ...]] = set()
        for document, entry in left:
            (later if entry.key in taken else now).append((document, entry))
            taken.add(entry.key)
        yield now
        left = later


def _batches(entries: list[Entry]) -> Iterator[list[Entry]]:
    """At most 100 records and 512 kB each, in the order of the files."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        length = len(entry.prepared.encoded)
        if batch and (len(batch) >= MAX_BATCH or size + length > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += length
    if batch:
        yield batch
