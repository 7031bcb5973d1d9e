"""A member's own documents at rest: sealed, gathered into segments and deposits, read back and repaired.

Writers that come at the same time share a segment: whoever gets to write takes along what the others have handed in,
so that many small documents cost about as many disk flushes as one. A document counts as kept when its segment and
then its index rows are on the disk; a segment without rows (a crash in between) is taken in at the next start.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import accumulate
from typing import Any, Final, NamedTuple, TypeAlias

from nacl.utils import random

from node.documents import MAX_DOCUMENT, DocumentError
from node.envelope import KEY_SIZE, MAX_OBJECTS, OVERHEAD, DepositSecret, EnvelopeError, check_document
from node.vault.files import Files
from node.vault.index import (
    Deposit,
    Index,
    Place,
    deposit_id,
    deposit_row,
    object_row,
    place_row,
    segment_row,
)
from node.vault.keyring import NONCE_SIZE, VaultKey
from node.vault.segments import (
    A_FOLDER,
    MAX_SEGMENT,
    DepositRow,
    Row,
    folder_name,
    read_header,
    segment_name,
    write_segment,
)

CLOSE_S: Final = 1.0
"""Age at which a deposit takes no more objects."""
MAX_DEPOSIT: Final = 32 * 1024 * 1024
"""Bytes of copies of one deposit; one larger document has a deposit of its own."""


class Item(NamedTuple):
    """A document to be kept. kinds: record kinds it belongs to, "*" where unknown; name: None for a raw document (its
    SHA-256), the sealed root for a sealed body (checked)."""

    data: bytes
    kinds: tuple[str, ...] = ("*",)
    name: bytes | None = None


class Sealed(NamedTuple):
    """A document ready to be written. data: at rest; where: deposit and place it must have, None to be gathered;
    empty data: the document lies elsewhere already and only gets a further place."""

    name: bytes
    data: bytes
    length: int
    kinds: tuple[str, ...] = ()
    where: tuple[Deposit, int] | None = None


_Gathering: TypeAlias = dict[tuple[str, ...], tuple[Deposit, float]]
"""Deposits that take more objects, by their kinds, with the time they were begun at."""


@dataclass(eq=False)
class _Ticket:
    batch: Sequence[Sealed]
    done: bool = False
    error: DocumentError | None = None


@dataclass
class _Draft:
    """What one segment will say."""

    rows: list[Row] = field(default_factory=list)
    sealed: list[bytes] = field(default_factory=list)
    deposits: dict[bytes, Deposit] = field(default_factory=dict)
    order: list[bytes] = field(default_factory=list)
    names: set[bytes] = field(default_factory=set)


class Own:
    """The member's documents. Safe from many threads."""

    def __init__(self, files: Files, index: Index, key: VaultKey, clock: Callable[[], float]) -> None:
        self._files, self._index, self._key, self._clock = files, index, key, clock
        self._writer = threading.Lock()
        self._queue: deque[_Ticket] = deque()
        self._open: _Gathering = {}
        self._next = index.next_segment()

    def put_many(self, items: Sequence[Item]) -> list[bytes]:
        """Keep documents; see `Vault.put_many`."""
        names = [_named(item) for item in items]
        batch: list[Sealed] = []
        size = 0
        for name, item in zip(names, items, strict=True):
            where = None
            place = self._index.place(name)
            if place is not None:
                if self._is_whole(name):
                    continue
                where = self._where(place)
            if batch and size + len(item.data) > MAX_SEGMENT:
                self.write(batch)
                batch, size = [], 0
            batch.append(self.seal(name, item.data, kinds=_kinds(item.kinds), where=where))
            size += len(item.data)
        if batch:
            self.write(batch)
        return names

    def get(self, name: bytes) -> bytes:
        """A document. Raises DocumentError DOCUMENT_MISSING, DOCUMENT_DAMAGED, STORE_FAILED."""
        place = self._index.place(name)
        if place is None:
            said = f"document {name.hex()} is not here: take the file in again, or ask the member that did"
            raise DocumentError("DOCUMENT_MISSING", said)
        sealed = self._files.read(segment_name(place.segment), place.offset, place.size)
        nonce, sealed = sealed[:NONCE_SIZE], sealed[NONCE_SIZE:]
        data = self._key.open_parts("document", name, nonce, sealed)
        if data is None:
            what = f"document {name.hex()} in {self._files.url} is damaged"
            said = f"{what}: take the file in again, or run `tally custody restore`"
            raise DocumentError("DOCUMENT_DAMAGED", said)
        return data

    def seal(
        self,
        name: bytes,
        data: bytes,
        *,
        kinds: tuple[str, ...] = (),
        where: tuple[Deposit, int] | None = None,
    ) -> Sealed:
        """A document made ready for `write`."""
        return Sealed(name, self._key.seal("document", name, data), len(data), kinds, where)

    def write(self, batch: Sequence[Sealed]) -> None:
        """Durable when this returns. Raises DocumentError STORE_FULL, STORE_FAILED: then nothing of it is kept."""
        ticket = _Ticket(batch)
        self._queue.append(ticket)
        with self._writer:
            while not ticket.done:
                self._write_some()
        if ticket.error is not None:
            raise ticket.error

    def closed(self) -> list[Deposit]:
        """Deposits without a number that take no more objects."""
        with self._writer:
            now = self._clock()
            self._open = {kinds: row for kinds, row in self._open.items() if now - row[1] < CLOSE_S}
            still = {deposit.id for deposit, _ in self._open.values()}
        waiting = [identity for identity in self._index.waiting() if identity not in still]
        return [found for identity in waiting if (found := self._index.deposit(identity, self._key)) is not None]

    def note(self, identity: bytes, *rows: tuple[bytes, bytes | None], **changes: Any) -> Deposit:
        """Write down what changed of a deposit (fields of `Deposit`), and other rows with that. Raises DocumentError
        UNKNOWN_DEPOSIT."""
        with self._writer:
            known = self._index.deposit(identity, self._key)
            if known is None:
                raise DocumentError("UNKNOWN_DEPOSIT", f"no deposit {identity.hex()} in these documents: look again")
            changed = replace(known, **changes)
            self._index.write([deposit_row(changed, self._key), *rows])
            return changed

    # -- writing ----------------------------------------------------------------------------------------

    def _write_some(self) -> None:
        """One segment of what was handed in, oldest first."""
        tickets = [self._queue.popleft()]
        size = sum(len(sealed.data) for sealed in tickets[0].batch)
        while self._queue:
            size += sum(len(sealed.data) for sealed in self._queue[0].batch)
            if size > MAX_SEGMENT:
                break
            tickets.append(self._queue.popleft())
        error: DocumentError | None = DocumentError("STORE_FAILED", "writing was broken off: try again")
        try:
            self._write_segment([sealed for ticket in tickets for sealed in ticket.batch])
            error = None
        except DocumentError as failed:
            error = failed
        finally:
            for ticket in tickets:
                ticket.done, ticket.error = True, error

    def _write_segment(self, batch: Sequence[Sealed]) -> None:
        """Segment, then index rows; what is gathered counts as gathered only after both."""
        draft, gathering = _Draft(), dict(self._open)
        for sealed in batch:
            self._place(sealed, draft, gathering)
        if not draft.rows:
            return
        self._index.check_room()
        number, self._next = self._next, self._next + 1  # never used twice: a failed write may have arrived
        deposits = [draft.deposits[identity] for identity in draft.order]
        heads = [DepositRow(deposit.id, *deposit.secret, deposit.number) for deposit in deposits]
        try:
            start = write_segment(self._files, self._key, number, heads, draft.rows, draft.sealed)
            ends = accumulate((row.size for row in draft.rows), initial=start)
            self._index.write(self._rows(number, zip(ends, draft.rows, strict=False), deposits))
        except BaseException:
            # The segment may be there for all that: no place it names in a deposit is given out again.
            with suppress(DocumentError):
                self._files.delete(segment_name(number))
            self._open = {kinds: row for kinds, row in self._open.items() if row[0].id not in draft.deposits}
            raise
        self._open = gathering

    def _place(self, sealed: Sealed, draft: _Draft, gathering: _Gathering) -> None:
        """Give a document its deposit and its place there."""
        if sealed.where is None:
            if sealed.name in draft.names or self._index.place(sealed.name) is not None:
                return  # another thread was first
            deposit, place = self._gather(sealed.length, sealed.kinds, gathering)
        else:
            given, place = sealed.where
            deposit = draft.deposits.get(given.id) or self._index.deposit(given.id, self._key) or given
        draft.names.add(sealed.name)
        if deposit.id not in draft.deposits:
            draft.order.append(deposit.id)
        draft.deposits[deposit.id] = deposit
        which = draft.order.index(deposit.id)
        draft.rows.append(Row(sealed.name, len(sealed.data), sealed.length, which, place))
        draft.sealed.append(sealed.data)

    def _gather(self, length: int, kinds: tuple[str, ...], gathering: _Gathering) -> tuple[Deposit, int]:
        """The deposit of these kinds that is open, or a new one, with one object more."""
        size = length + OVERHEAD
        current = gathering.get(kinds)
        if current is not None:
            deposit, since = current
            full = deposit.objects >= MAX_OBJECTS or deposit.size + size > MAX_DEPOSIT
            if full or self._clock() - since >= CLOSE_S:
                current = None
        if current is None:
            key = random(KEY_SIZE)
            deposit, since = Deposit(deposit_id(key), DepositSecret(key, kinds), 0, 0), self._clock()
        place = deposit.objects
        deposit = replace(deposit, objects=place + 1, size=deposit.size + size)
        gathering[kinds] = (deposit, since)
        return deposit, place

    def _rows(
        self, number: int, rows: Iterable[tuple[int, Row]], deposits: Sequence[Deposit]
    ) -> list[tuple[bytes, bytes | None]]:
        """Index rows of a segment; ``rows`` with the offsets of their documents."""
        found: list[tuple[bytes, bytes | None]] = [segment_row(number + 1)]
        for offset, row in rows:
            deposit = deposits[row.deposit]
            if row.size:
                place = Place(number, offset, row.size, row.length, deposit.id, row.place)
                found.append(place_row(row.name, place))
            found.append(object_row(deposit.id, row.place, row.name, row.length + OVERHEAD))
        for deposit in deposits:
            found.append(deposit_row(deposit, self._key))
            if deposit.number is None:
                found.append((b"w" + deposit.id, b""))
        return found

    # -- what a crash or a lost index leaves --------------------------------------------------------------

    def adopt(self) -> None:
        """Take segments in that the index does not know. Before any document is put."""
        folder = self._next // A_FOLDER
        while True:
            numbers = [int(name) for name in self._files.names(folder_name(folder)) if name.isdecimal()]
            if not numbers:
                return
            for number in numbers:
                if number >= self._next:
                    self._adopt_one(number)
            folder += 1

    def _adopt_one(self, number: int) -> None:
        """A deposit whose roots are fixed gets no further objects: what is new then goes into another."""
        header = read_header(self._files, self._key, number)
        gathering: _Gathering = {}
        deposits: list[Deposit] = []
        for head in header.deposits:
            known = self._index.deposit(head.id, self._key)
            deposits.append(known or Deposit(head.id, DepositSecret(head.key, head.kinds), 0, 0, head.number))
        rows: list[tuple[int, Row]] = []
        offset = header.start
        for row in header.rows:
            adopted = self._adopted(row, header.deposits[row.deposit].number is not None, deposits, gathering)
            if adopted is not None:
                rows.append((offset, adopted))
            offset += row.size
        self._index.write(self._rows(number, rows, deposits))
        self._next = number + 1

    def _adopted(self, row: Row, restored: bool, deposits: list[Deposit], gathering: _Gathering) -> Row | None:
        """The row as the index takes it in; ``deposits`` follow. None: it is known, and its place taken."""
        deposit = deposits[row.deposit]
        there = self._index.object(deposit.id, row.place)
        if restored or (there is not None and there[0] == row.name):
            return row
        if there is None and deposit.roots is None:
            size = deposit.size + row.length + OVERHEAD
            deposits[row.deposit] = replace(deposit, objects=deposit.objects + 1, size=size)
            return row
        if self._index.place(row.name) is not None:
            return None
        other, place = self._gather(row.length, deposit.secret.kinds, gathering)
        which = next((which for which, known in enumerate(deposits) if known.id == other.id), len(deposits))
        deposits[which : which + 1] = [other]
        return row._replace(deposit=which, place=place)

    def _is_whole(self, name: bytes) -> bool:
        try:
            self.get(name)
        except DocumentError as error:
            if error.code not in ("DOCUMENT_DAMAGED", "DOCUMENT_MISSING"):
                raise
            return False
        return True

    def _where(self, place: Place) -> tuple[Deposit, int]:
        deposit = self._index.deposit(place.deposit, self._key)
        if deposit is None:
            raise DocumentError(
                "STORE_FAILED", "the index of documents lacks a deposit: move it away and start again"
            )
        return deposit, place.place


def _named(item: Item) -> bytes:
    """The name of an item. Raises DocumentError TOO_LARGE, WRONG_HASH."""
    if len(item.data) > MAX_DOCUMENT:
        said = f"a document of {len(item.data)} bytes: split it, at most {MAX_DOCUMENT} are stored"
        raise DocumentError("TOO_LARGE", said)
    if item.name is None:
        return sha256(item.data).digest()
    try:
        check_document(item.name, item.data)
    except EnvelopeError as error:
        raise DocumentError(error.code, f"{error}") from None
    return item.name


def _kinds(kinds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(kinds))) or ("*",)
