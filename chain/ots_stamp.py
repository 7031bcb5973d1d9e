"""OpenTimestamps files (``.ots``) and calendars' answers: read, written, joined; standard library only.

A proof starts from the SHA-256 of a file. Operations (append, prepend, sha256) lead from it to messages, and at
some of them stands an attestation: ``pending`` names a calendar that promised to have it in a Bitcoin block, and
``bitcoin`` says that the message is the Merkle root of the block at a height. The form is that of the reference
library (python-opentimestamps, ``core/timestamp.py``), byte for byte, so that the stock client ``ots verify``
accepts what is written here. Stricter in three things: sizes are bounded, the file is hashed with SHA-256, and
operations other than these three are refused (no calendar in use needs another).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from chain.bitcoin import HASH_SIZE
from chain.evm import VerificationError

MAGIC: Final = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94"
FILE_VERSION: Final = 1
MAX_FILE_SIZE: Final = 64 * 1024
"""Bytes. An upgraded stamp of four calendars has about 3 kB."""
MAX_DEPTH: Final = 255
"""Operations in a row; the reference reads no more than this."""
MAX_MESSAGE: Final = 4096
MAX_PAYLOAD: Final = 8192
MAX_URI: Final = 1000
MAX_NODES: Final = 4096
MAX_HEIGHT: Final = 2**32 - 1

SHA256: Final = 0x08
APPEND: Final = 0xF0
PREPEND: Final = 0xF1
_FORK: Final = 0xFF
_ATTESTATION: Final = 0x00
_TAG_SIZE: Final = 8

PENDING: Final = bytes.fromhex("83dfe30d2ef90c8e")
BITCOIN: Final = bytes.fromhex("0588960d73d71901")

_URI_CHARACTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/:")
_OTHER_OPERATIONS: Final = {0x02: "sha1", 0x03: "ripemd160", 0x67: "keccak256", 0xF2: "reverse", 0xF3: "hexlify"}


class OtsError(VerificationError):
    """A stamp that cannot be read or does not hold. code: UPPER_SNAKE; message: one line that says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Operation(NamedTuple):
    """A step from one message to the next. argument: empty for sha256, 1 to 4,096 bytes else."""

    tag: int
    argument: bytes = b""

    def apply(self, message: bytes) -> bytes:
        """The next message. Raises OtsError where it grows too long."""
        if self.tag == SHA256:
            return sha256(message).digest()
        result = message + self.argument if self.tag == APPEND else self.argument + message
        if len(result) > MAX_MESSAGE:
            raise OtsError("OTS_MESSAGE_SIZE", f"a message grows beyond {MAX_MESSAGE} bytes: refuse the stamp")
        return result


class Attestation(NamedTuple):
    """What stands at a message. tag: 8 bytes; payload: as the tag has it; unknown kinds are kept, never believed."""

    tag: bytes
    payload: bytes

    @property
    def height(self) -> int | None:
        """The Bitcoin block's height, or None for another kind."""
        return _whole_varint(self.payload) if self.tag == BITCOIN else None

    @property
    def uri(self) -> str | None:
        """The calendar that promised, or None for another kind."""
        return _pending_uri(self.payload) if self.tag == PENDING else None

    @property
    def order(self) -> tuple[bytes, int, bytes]:
        """How attestations of one message are sorted in the file: as the reference does."""
        uri = self.uri
        return self.tag, self.height or 0, self.payload if uri is None else uri.encode()


def bitcoin(height: int) -> Attestation:
    """That a message is the Merkle root of the block at ``height``."""
    return Attestation(BITCOIN, _varint(height))


def pending(uri: str) -> Attestation:
    """That a calendar keeps a message and will have it in a block."""
    return Attestation(PENDING, _varbytes(uri.encode()))


@dataclass(frozen=True)
class Stamp:
    """A message, what stands at it, and the operations that lead on; sorted, none twice."""

    message: bytes
    attestations: tuple[Attestation, ...] = ()
    branches: tuple[tuple[Operation, Stamp], ...] = ()

    def attested(self) -> Iterator[tuple[bytes, Attestation]]:
        """Every (message, attestation) below, in the file's order."""
        for attestation in self.attestations:
            yield self.message, attestation
        for _, stamp in self.branches:
            yield from stamp.attested()

    def pending(self) -> list[tuple[bytes, str]]:
        """(message, calendar) of every promise."""
        return [(message, each.uri) for message, each in self.attested() if each.uri is not None]

    def bitcoin(self) -> list[tuple[bytes, int]]:
        """(Merkle root, height) of every Bitcoin attestation, lowest block first."""
        found = [(message, each.height) for message, each in self.attested() if each.height is not None]
        return sorted(found, key=lambda item: (item[1], item[0]))

    def join(self, other: Stamp) -> Stamp:
        """Both stamps of one message in one. Raises OtsError for stamps of different messages."""
        if self.message != other.message:
            raise OtsError("OTS_OTHER_MESSAGE", "two stamps of different messages: they cannot be joined")
        attestations = sorted({*self.attestations, *other.attestations}, key=lambda each: each.order)
        branches = dict(self.branches)
        for operation, stamp in other.branches:
            known = branches.get(operation)
            branches[operation] = stamp if known is None else known.join(stamp)
        return Stamp(self.message, tuple(attestations), tuple(sorted(branches.items(), key=lambda item: item[0])))

    def graft(self, found: Stamp) -> Stamp:
        """This stamp with ``found`` joined wherever its message occurs: how a calendar's answer comes in."""
        grown = tuple((operation, stamp.graft(found)) for operation, stamp in self.branches)
        grafted = Stamp(self.message, self.attestations, grown)
        return grafted.join(found) if self.message == found.message else grafted

    def only(self, message: bytes, attestation: Attestation) -> Stamp | None:
        """The one way to this attestation at this message, without anything else; None where there is none."""
        if self.message == message and attestation in self.attestations:
            return Stamp(self.message, (attestation,))
        for operation, stamp in self.branches:
            rest = stamp.only(message, attestation)
            if rest is not None:
                return Stamp(self.message, (), ((operation, rest),))
        return None

    def without(self, message: bytes, attestation: Attestation) -> Stamp | None:
        """The stamp less this attestation, and less what leads nowhere then; None where nothing is left."""
        kept = tuple(each for each in self.attestations if (self.message, each) != (message, attestation))
        shorter = ((operation, stamp.without(message, attestation)) for operation, stamp in self.branches)
        branches = tuple((operation, stamp) for operation, stamp in shorter if stamp is not None)
        return Stamp(self.message, kept, branches) if kept or branches else None

    def encode(self) -> bytes:
        """As a calendar sends it: everything but the message itself. A stamp must lead somewhere."""
        items = [b"\x00" + each.tag + _varbytes(each.payload) for each in self.attestations]
        for operation, stamp in self.branches:
            argument = b"" if operation.tag == SHA256 else _varbytes(operation.argument)
            items.append(bytes([operation.tag]) + argument + stamp.encode())
        if not items:
            raise OtsError("OTS_EMPTY", "a stamp without an attestation cannot be written")
        return b"".join(b"\xff" + item for item in items[:-1]) + items[-1]

    def file(self) -> bytes:
        """The ``.ots`` file of the thing whose SHA-256 is this stamp's message."""
        return MAGIC + bytes([FILE_VERSION, SHA256]) + self.message + self.encode()


def chain_of(message: bytes, operations: Sequence[Operation], attestation: Attestation) -> Stamp:
    """The stamp that leads by ``operations`` from ``message`` to one attestation."""
    messages = [message]
    for operation in operations:
        messages.append(operation.apply(messages[-1]))
    stamp = Stamp(messages[-1], (attestation,))
    for operation, before in zip(reversed(operations), reversed(messages[:-1]), strict=True):
        stamp = Stamp(before, (), ((operation, stamp),))
    return stamp


def decode_stamp(message: bytes, data: bytes) -> Stamp:
    """The stamp of ``message`` from a calendar's answer. Raises OtsError."""
    reader = _Reader(data)
    stamp = reader.stamp(message, MAX_DEPTH)
    reader.end()
    return stamp


def decode_file(data: bytes) -> Stamp:
    """The stamp in an ``.ots`` file; its message is the file's SHA-256. Raises OtsError."""
    reader = _Reader(data)
    if reader.take(min(len(MAGIC), len(data))) != MAGIC:
        raise OtsError("OTS_NOT_A_STAMP", "this is not an OpenTimestamps file: pass the .ots file itself")
    version, algorithm = reader.byte(), reader.byte()
    if version != FILE_VERSION:
        raise OtsError("OTS_VERSION", f"OpenTimestamps file of version {version}: only {FILE_VERSION} is known")
    if algorithm != SHA256:
        raise OtsError("OTS_HASH", "the stamped file is not hashed with SHA-256: stamp it again")
    stamp = reader.stamp(reader.take(HASH_SIZE), MAX_DEPTH)
    reader.end()
    return stamp


class _Reader:
    """Bytes from the front, within bounds."""

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_FILE_SIZE:
            raise OtsError("OTS_SIZE", f"the stamp is larger than {MAX_FILE_SIZE} bytes: refuse it")
        self._data = data
        self._at = 0
        self._nodes = 0

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise OtsError("OTS_CUT_SHORT", "the stamp ends early: take it from its source again")
        self._at += size
        return taken

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """Unsigned LEB128, at most 5 bytes, shortest form."""
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 28:
                raise OtsError("OTS_NUMBER", "a number in the stamp is too large: refuse it")
        if byte == 0 and shift:
            raise OtsError("OTS_NUMBER", "a number in the stamp is not in its shortest form: refuse it")
        return value

    def varbytes(self, most: int, least: int = 0) -> bytes:
        """Bytes behind their length."""
        size = self.varint()
        if not least <= size <= most:
            raise OtsError("OTS_LENGTH", f"a part of the stamp has {size} bytes, {least} to {most} are allowed")
        return self.take(size)

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._data):
            raise OtsError("OTS_DATA_AFTER", "bytes follow after the stamp's end: refuse it")

    def stamp(self, message: bytes, depth: int) -> Stamp:
        """The stamp of ``message``; ``depth``: operations that may still follow in a row."""
        attestations: set[Attestation] = set()
        branches: dict[Operation, Stamp] = {}
        more = True
        while more:
            self._nodes += 1
            if self._nodes > MAX_NODES:
                raise OtsError("OTS_SIZE", f"the stamp has more than {MAX_NODES} parts: refuse it")
            tag = self.byte()
            more = tag == _FORK
            if more:
                tag = self.byte()
            if tag == _ATTESTATION:
                attestations.add(self._attestation())
                continue
            operation = self._operation(tag)
            if not depth:
                raise OtsError("OTS_DEPTH", f"more than {MAX_DEPTH} operations in a row: refuse the stamp")
            if operation in branches:
                raise OtsError("OTS_TWICE", "the stamp has one operation twice at one place: refuse it")
            branches[operation] = self.stamp(operation.apply(message), depth - 1)
        return Stamp(
            message,
            tuple(sorted(attestations, key=lambda each: each.order)),
            tuple(sorted(branches.items(), key=lambda item: item[0])),
        )

    def _operation(self, tag: int) -> Operation:
        if tag == SHA256:
            return Operation(tag)
        if tag in (APPEND, PREPEND):
            return Operation(tag, self.varbytes(MAX_MESSAGE, 1))
        name = _OTHER_OPERATIONS.get(tag, f"0x{tag:02x}")
        raise OtsError("OTS_OPERATION", f"the stamp uses operation {name}: only append, prepend and sha256 are taken")

    def _attestation(self) -> Attestation:
        found = Attestation(self.take(_TAG_SIZE), self.varbytes(MAX_PAYLOAD))
        _ = found.height, found.uri  # of a known kind, the payload is read now, so that a false one is refused
        return found


def _whole_varint(payload: bytes) -> int:
    reader = _Reader(payload)
    value = reader.varint()
    reader.end()
    if value > MAX_HEIGHT:
        raise OtsError("OTS_NUMBER", "a block height in the stamp is too large: refuse it")
    return value


def _pending_uri(payload: bytes) -> str:
    reader = _Reader(payload)
    uri = reader.varbytes(MAX_URI)
    reader.end()
    if not _URI_CHARACTERS.issuperset(uri):
        raise OtsError("OTS_CALENDAR_NAME", "a calendar's address in the stamp has forbidden characters: refuse it")
    return uri.decode("ascii")


def _varint(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups[-1] |= 0x80
        groups.append(value & 0x7F)
    return bytes(groups)


def _varbytes(data: bytes) -> bytes:
    return _varint(len(data)) + data
