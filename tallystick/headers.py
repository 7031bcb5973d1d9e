"""A light client's copy of the consortium's headers: fetched from any node, believed from nobody, kept in a file.

From the genesis hash: the statement that hashes to it names the first validators. Headers come in *stretches*: rows
of consecutive headers, the certificate of the last, and the next validator set where that last one hands over. Only
what cannot be derived travels: network id, height, parent and validators of each header are put in here, so that its
digest, which the certificate of the stretch signs through the chain of parents, comes out right only if every row is.
One certificate a stretch is enough, for a quorum has honest validators, and these vote on a block only when its
parent is certified; a stretch never reaches past a handover, whose header the old validators must have signed.

The file: records, each four bytes of length (big-endian) and canonical bytes. The first is
``["tally/header_chain", 1, genesis statement, digest of header 0]``, each other one a stretch
``[rows, certificate, next set | nil]``. It only grows. Opening it checks everything anew; a record cut short at its
end (a crash) is left out, and overwritten when more is fetched.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from chain.block import Header
from chain.certificate import Certificate, CertificateError, ValidatorSet
from chain.codec import CodecError, decode, encode, is_tagged, pack
from chain.crypto import HASH_SIZE, sha256
from chain.identity import IdentityError, check_statement
from chain.verification import VerificationError

TAG_FILE: Final = "tally/header_chain"
TAG_ANSWER: Final = "tally/headers"
VERSION: Final = 1
MAX_ROWS: Final = 2_000
"""Headers of one stretch."""
MAX_RECORD: Final = 2 * 1024 * 1024
_LENGTH: Final = 4
_KINDS: Final = (bytes, int, str, int, bytes, int, bytes, bytes, bytes)


class HeadersError(RuntimeError):
    """Headers that do not stand, or a file of them that cannot be used; one line that says what to do.

    ``code``: MALFORMED, ANOTHER_NETWORK, WRONG_CERTIFICATE, WRONG_VALIDATORS, FORKED, NOTHING_YET, DAMAGED,
    FILE.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive headers with the certificate of the last; ``coming``: the set it hands over to, or None.

    A row is what of a header cannot be derived: parent certificate hash, time, proposer, chain count, heads root,
    transaction count, transaction root, receipt root, state root.
    """

    rows: tuple[list[Any], ...]
    certificate: Certificate
    coming: ValidatorSet | None

    def to_value(self) -> list[Any]:
        """The canonical array."""
        coming = None if self.coming is None else self.coming.to_value()
        return [list(self.rows), self.certificate.to_value(), coming]

    @classmethod
    def from_value(cls, value: Any) -> Stretch:
        """The stretch of a canonical array: form only. Raises HeadersError MALFORMED."""
        try:
            rows, certificate, coming = value
            if type(rows) is not list or not 0 < len(rows) <= MAX_ROWS:
                raise ValueError(f"a stretch has 1 to {MAX_ROWS} headers")
            for row in rows:
                if type(row) is not list or tuple(map(type, row)) != _KINDS:
                    raise ValueError("a header row has fields of other kinds")
            seal = Certificate.from_value(certificate)
            return cls(tuple(rows), seal, None if coming is None else ValidatorSet.from_value(coming))
        except (ValueError, TypeError) as error:
            raise HeadersError("MALFORMED", f"not a stretch of headers: {error}") from None


class Answer(NamedTuple):
    """What a node answers: its head's height, the digest of the header before the stretch, the statement (with the
    first stretch only), and the stretch, None where there is nothing new."""

    head: int
    parent: bytes
    statement: Any
    stretch: Stretch | None

    def encode(self) -> bytes:
        """Canonical bytes."""
        stretch = None if self.stretch is None else self.stretch.to_value()
        return encode([TAG_ANSWER, VERSION, self.head, self.parent, self.statement, stretch])

    @classmethod
    def decode(cls, data: bytes) -> Answer:
        """The answer of canonical bytes. Raises HeadersError MALFORMED."""
        try:
            value = decode(data, max_size=MAX_RECORD)
        except CodecError as error:
            raise HeadersError("MALFORMED", f"the answer is not canonical: {error}") from None
        if not is_tagged(value, TAG_ANSWER, VERSION, 6) or type(value[2]) is not int or type(value[3]) is not bytes:
            raise HeadersError("MALFORMED", f"not a {TAG_ANSWER} version {VERSION}: is it a tally node?")
        return cls(value[2], value[3], value[4], None if value[5] is None else Stretch.from_value(value[5]))


def sync(
    path: Path, network_id: bytes, sources: Sequence[Callable[[int], bytes]]
) -> tuple[HeaderChain, list[Exception]]:
    """Bring a file of headers up to date, or make it, from nodes: each is asked in turn for what is still missing.

    ``sources[i](after)`` gives the bytes of an ``Answer``. So one that lies, or withholds the newest headers, is made
    good by the next; the errors of those that failed come back too. Raises HeadersError FORKED, DAMAGED, FILE,
    ANOTHER_NETWORK of the file itself, and where no source brought anything, the first one's error.
    """
    chain = HeaderChain(path, network_id) if path.exists() else None
    failures: list[Exception] = []
    for source in sources:
        try:
            while True:
                answer = Answer.decode(source(0 if chain is None else chain.height))
                if chain is None:
                    chain = HeaderChain.create(path, network_id, answer)
                elif not chain.append(answer):
                    break
        except HeadersError as error:
            if error.code == "FORKED":
                raise
            failures.append(error)
        except RuntimeError as error:  # ClientError: no answer, or a refusal
            failures.append(error)
    if chain is None or len(failures) == len(sources):
        raise failures[0]
    return chain, failures


def row_of(header: Header) -> list[Any]:
    """The row of a header: what of it cannot be derived."""
    return [
        header.parent_certificate_hash, header.time, header.proposer, header.chain_count, header.heads_root,
        header.tx_count, header.tx_root, header.receipt_root, header.state_root,
    ]  # fmt: skip


class _Mark(NamedTuple):
    """Where a stretch begins: its first height, its place in the file, the digest before it, its validators."""

    start: int
    place: int
    parent: bytes
    validators: ValidatorSet


class HeaderChain:
    """Verified headers from height 1 on. Not thread-safe; one process may append at a time."""

    def __init__(self, path: Path, network_id: bytes) -> None:
        """Open a file and check all of it against a genesis hash. Raises HeadersError, OSError."""
        self.path = path
        self.network_id = network_id
        self.height = 0
        self._marks: list[_Mark] = []
        with path.open("rb") as file:
            self._size = os.fstat(file.fileno()).st_size
            first = _record(file, 0, self._size)
            if first is None:
                raise HeadersError("FILE", f"{path} holds no headers: delete it and run `tally headers sync` again")
            self.validators, self.digest = _first(path, first, network_id)
            self._end = _LENGTH + len(first)
            self._read(file)

    @classmethod
    def create(cls, path: Path, network_id: bytes, answer: Answer) -> HeaderChain:
        """Make a file from the first answer of a node. Raises HeadersError, OSError; FileExistsError."""
        record = encode([TAG_FILE, VERSION, answer.statement, answer.parent])
        validators, parent = _first(path, record, network_id)
        if answer.stretch is None:
            raise HeadersError("NOTHING_YET", "the node has no block after genesis: sync again when it has one")
        _check(answer.stretch, 1, parent, validators, network_id)  # header 1 names header 0: so it is the true one
        with path.open("xb") as file:
            file.write(len(record).to_bytes(_LENGTH, "big") + record)
            _sync(file)
        chain = cls(path, network_id)
        chain.append(answer)
        return chain

    def append(self, answer: Answer) -> int:
        """Check a stretch that follows, and keep it, durable when this returns; how many headers it had.

        Raises HeadersError: FORKED where a quorum certified it on another block than the one here.
        """
        stretch = answer.stretch
        if stretch is None:
            return 0
        if answer.parent != self.digest:
            self._check_fork(answer, stretch)
        digest = _check(stretch, self.height + 1, self.digest, self.validators, self.network_id)
        record = encode(stretch.to_value())
        with self.path.open("r+b") as file:
            file.truncate(self._end)  # what a crash left half written
            file.seek(self._end)
            file.write(len(record).to_bytes(_LENGTH, "big") + record)
            _sync(file)
        self._advance(stretch, digest, len(record))
        return len(stretch.rows)

    def header(self, height: int) -> Header:
        """A verified header. Raises VerificationError for a height that is not here."""
        if not 1 <= height <= self.height:
            raise VerificationError(
                f"the header chain ends at block {self.height}, the proof is of block {height}: `tally headers sync`"
            )
        number = bisect_right(self._marks, height, key=lambda mark: mark.start)
        mark = self._marks[number - 1]
        last = self._marks[number].parent if number < len(self._marks) else self.digest
        with self.path.open("rb") as file:
            raw = _record(file, mark.place, os.fstat(file.fileno()).st_size)
        damaged = HeadersError("DAMAGED", f"{self.path} was changed while it was read: run this again")
        try:
            stretch = Stretch.from_value(decode(raw or b"", max_size=MAX_RECORD))
        except (HeadersError, CodecError):
            raise damaged from None
        headers = list(_headers(stretch, mark.start, mark.parent, mark.validators, self.network_id))
        if headers[-1][1] != last or height - mark.start >= len(headers):  # each digest is made of those before
            raise damaged
        return Header.from_value(headers[height - mark.start][0])

    def log_entries(self, size: int) -> Iterator[tuple[int, bytes, bytes]]:
        """(height, block hash, certificate hash) of blocks 1 to ``size``: what the anchored log is made of.

        A block's agreed certificate is known from the header after it. Raises VerificationError where that is not
        here, HeadersError DAMAGED.
        """
        if size >= self.height:
            raise VerificationError(f"the header chain ends at block {self.height}: `tally headers sync` past {size}")
        before: tuple[int, bytes] | None = None
        with self.path.open("rb") as file:
            end = os.fstat(file.fileno()).st_size  # it has grown since it was opened
            for mark in self._marks:
                raw = _record(file, mark.place, end) or b""
                try:
                    stretch = Stretch.from_value(decode(raw, max_size=MAX_RECORD))
                except (HeadersError, CodecError):
                    said = f"{self.path} was changed while it was read: run this again"
                    raise HeadersError("DAMAGED", said) from None
                for value, digest in _headers(stretch, mark.start, mark.parent, mark.validators, self.network_id):
                    header = Header.from_value(value)
                    if before is not None:
                        yield before[0], before[1], header.parent_certificate_hash
                    if header.height > size:
                        return
                    before = (header.height, digest)

    # -- inside -------------------------------------------------------------------------------------------

    def _read(self, file: BinaryIO) -> None:
        while (raw := _record(file, self._end, self._size)) is not None:
            try:
                stretch = Stretch.from_value(decode(raw, max_size=MAX_RECORD))
                digest = _check(stretch, self.height + 1, self.digest, self.validators, self.network_id)
            except (HeadersError, CodecError) as error:
                if self._end + _LENGTH + len(raw) == self._size:
                    return  # the last record: half written when the machine stopped
                raise HeadersError(
                    "DAMAGED",
                    f"{self.path} is damaged after block {self.height} ({error}): move it away and sync again",
                ) from None
            self._advance(stretch, digest, len(raw))

    def _advance(self, stretch: Stretch, digest: bytes, size: int) -> None:
        self._marks.append(_Mark(self.height + 1, self._end, self.digest, self.validators))
        self.height += len(stretch.rows)
        self.digest = digest
        self._end += _LENGTH + size
        if stretch.coming is not None:
            self.validators = stretch.coming

    def _check_fork(self, answer: Answer, stretch: Stretch) -> None:
        """A stretch on another header than the newest here: a lie, or two certified histories."""
        try:
            _check(stretch, self.height + 1, answer.parent, self.validators, self.network_id)
        except HeadersError:
            raise HeadersError(
                "WRONG_CERTIFICATE", f"the node has another block {self.height} and no certificate of it: ask another"
            ) from None
        raise HeadersError(
            "FORKED",
            f"two certified histories: block {self.height} here is {self.digest.hex()}, the node's is"
            f" {answer.parent.hex()}: trust neither, keep both and ask the members",
        )


def _first(path: Path, record: bytes, network_id: bytes) -> tuple[ValidatorSet, bytes]:
    """The first validators and the digest of header 0. Raises HeadersError."""
    try:
        value = decode(record, max_size=MAX_RECORD)
        if not is_tagged(value, TAG_FILE, VERSION, 4) or type(value[3]) is not bytes or len(value[3]) != HASH_SIZE:
            raise HeadersError("FILE", f"{path} is no file of headers: give one that `tally headers sync` made")
        return check_statement(value[2], network_id), value[3]
    except CodecError as error:
        raise HeadersError("FILE", f"{path} is no file of headers ({error}): give another") from None
    except IdentityError as error:
        raise HeadersError("ANOTHER_NETWORK", f"{error}: check --genesis, or who gave you the headers") from None


def _headers(
    stretch: Stretch, start: int, parent: bytes, validators: ValidatorSet, network_id: bytes
) -> Iterator[tuple[list[Any], bytes]]:
    """The header arrays of a stretch with their digests, each built on the one before."""
    current, epoch = validators.hash, validators.epoch
    last = len(stretch.rows) - 1
    for index, row in enumerate(stretch.rows):
        seal, time, proposer, count, heads, tx_count, tx_root, receipts, state = row
        following = current if index < last or stretch.coming is None else stretch.coming.hash
        value = [
            "tally/header", 1, network_id, start + index, parent, seal, time, proposer, epoch, current, following,
            count, heads, tx_count, tx_root, receipts, state,
        ]  # fmt: skip
        parent = sha256(pack(value))
        yield value, parent


def _check(stretch: Stretch, start: int, parent: bytes, validators: ValidatorSet, network_id: bytes) -> bytes:
    """Check a stretch on a header; the digest of its last. Raises HeadersError."""
    digest = deque(_headers(stretch, start, parent, validators, network_id), maxlen=1)[0][1]
    end = start + len(stretch.rows) - 1
    certificate = stretch.certificate
    if certificate.digest != digest or certificate.height != end:
        raise HeadersError("WRONG_CERTIFICATE", f"the certificate is not of block {end} as these headers make it")
    try:
        certificate.check(validators, network_id)
    except CertificateError as error:
        raise HeadersError("WRONG_CERTIFICATE", f"block {end}: {error}") from None
    if stretch.coming is not None and stretch.coming.epoch <= validators.epoch:
        raise HeadersError("WRONG_VALIDATORS", f"block {end} hands over to an earlier epoch")
    return digest


def _record(file: BinaryIO, place: int, size: int) -> bytes | None:
    """The record at a place; None where no whole one is there."""
    file.seek(place)
    length = int.from_bytes(file.read(_LENGTH), "big")
    if place + _LENGTH + length > size or not 0 < length <= MAX_RECORD:
        return None
    raw = file.read(length)
    return raw if len(raw) == length else None


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
