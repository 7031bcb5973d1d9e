"""What validators say to each other, and the one way it is written down.

Four kinds are signed and counted: PRE-PREPARE, PREPARE, COMMIT, ROUND-CHANGE. The signature covers domain tag,
network id, epoch, kind, height, round and digest (``payload``); what rides along (the block, a justification, a
prepared certificate) proves itself. DECIDED proves itself by its certificate. STATUS, BLOCK-REQUEST and
BLOCK-REPLY are unsigned hints: they never change what a node believes, only what it sends or fetches.

``encode`` and ``decode`` are canonical (``chain.codec``) and capped before anything is allocated; ``decode``
checks form only, ``consensus.justification`` checks meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, ClassVar, Final, Protocol, TypeAlias

from chain import codec
from chain.certificate import Certificate, CertificateError, VoteKind, round_change_message, vote_message
from chain.codec import CodecError
from chain.crypto import HASH_SIZE, SIGNATURE_SIZE

TAG_MESSAGE: Final = "tally/consensus"
VERSION: Final = 1
MAX_SIGNERS: Final = 64
"""Entries in any list of signed messages; four times the largest validator set (16)."""
MAX_MEMBER_ID: Final = 32
MAX_ROUND: Final = 2**32
"""No honest round comes near (R10): at 8 s a round, 1,000 years without a block."""
MAX_HEIGHT: Final = 2**48
MAX_BLOCK_BYTES: Final = 8 * 1024 * 1024
MAX_PROOF_BYTES: Final = 64 * 1024
"""Room for a message without its block: 2 x 64 signed messages of about 200 bytes stay below."""
MAX_MESSAGE_BYTES: Final = MAX_BLOCK_BYTES + MAX_PROOF_BYTES
MAX_ITEMS: Final = 2**14
"""Values in one message, its block being one: no frame of empty arrays may hold the votes up."""


class MessageError(ValueError):
    """Bytes that are no consensus message; the text says why, in one line."""


class HeaderView(Protocol):
    """The part of a header that agreement looks at. Times are integer milliseconds (R15)."""

    @property
    def height(self) -> int: ...
    @property
    def parent_hash(self) -> bytes: ...
    @property
    def time(self) -> int: ...
    @property
    def proposer(self) -> str: ...


class BlockView(Protocol):
    """A block as agreement sees it; ``chain.block.Block`` is one.

    ``digest`` must be computed from the header itself, never taken from the sender (FISCO-BCOS#2448).
    ``encoded`` is the canonical bytes that go over the wire.
    """

    @property
    def digest(self) -> bytes: ...
    @property
    def height(self) -> int: ...
    @property
    def header(self) -> HeaderView: ...
    @property
    def encoded(self) -> bytes: ...


ReadBlock: TypeAlias = Callable[[bytes], BlockView]
"""Decodes a block's bytes; raises ValueError. In the node: ``chain.block.Block.decode``."""


class MessageKind(IntEnum):
    """The wire code of a message; the first four are also what a signer's journal keys on (R7)."""

    PRE_PREPARE = 1
    PREPARE = 2
    COMMIT = 3
    ROUND_CHANGE = 4
    DECIDED = 5
    STATUS = 6
    BLOCK_REQUEST = 7
    BLOCK_REPLY = 8


@dataclass(frozen=True, slots=True)
class Prepare:
    """PREPARE(h, r, digest): the sender executed the proposed block and its roots agree (R3)."""

    kind: ClassVar[MessageKind] = MessageKind.PREPARE
    height: int
    round: int
    digest: bytes
    sender: str
    signature: bytes = b""

    @property
    def content(self) -> tuple[object, ...]:
        """What two messages of one (sender, kind, height, round) may not differ in (R13)."""
        return (self.digest,)

    def payload(self, network_id: bytes, epoch: int) -> bytes:
        """The signed bytes."""
        return vote_message(network_id, epoch, VoteKind.PREPARE, self.height, self.round, self.digest)

    def signed(self, signature: bytes) -> Prepare:
        """The same message with its signature."""
        return replace(self, signature=signature)


@dataclass(frozen=True, slots=True)
class Commit:
    """COMMIT(h, r, digest): the sender holds a prepared certificate for it on disk (R4)."""

    kind: ClassVar[MessageKind] = MessageKind.COMMIT
    height: int
    round: int
    digest: bytes
    sender: str
    signature: bytes = b""

    @property
    def content(self) -> tuple[object, ...]:
        """What two messages of one (sender, kind, height, round) may not differ in (R13)."""
        return (self.digest,)

    def payload(self, network_id: bytes, epoch: int) -> bytes:
        """The signed bytes; a certificate's seals are signatures over exactly these."""
        return vote_message(network_id, epoch, VoteKind.COMMIT, self.height, self.round, self.digest)

    def signed(self, signature: bytes) -> Commit:
        """The same message with its signature."""
        return replace(self, signature=signature)


@dataclass(frozen=True, slots=True)
class RoundChange:
    """ROUND-CHANGE(h, r, prepared round, prepared digest): the sender gave up every round below r.

    ``prepares`` proves the prepared pair (≥ Q PREPAREs); unsigned, because each of them is. Inside a justification
    it is left out: the PRE-PREPARE carries the PREPAREs of the one pair that counts.
    """

    kind: ClassVar[MessageKind] = MessageKind.ROUND_CHANGE
    height: int
    round: int
    prepared_round: int | None
    prepared_digest: bytes | None
    sender: str
    signature: bytes = b""
    prepares: tuple[Prepare, ...] = ()

    @property
    def content(self) -> tuple[object, ...]:
        """What two messages of one (sender, kind, height, round) may not differ in (R13)."""
        return (self.prepared_round, self.prepared_digest)

    def payload(self, network_id: bytes, epoch: int) -> bytes:
        """The signed bytes."""
        return round_change_message(
            network_id, epoch, self.height, self.round, self.prepared_round, self.prepared_digest
        )

    def signed(self, signature: bytes) -> RoundChange:
        """The same message with its signature."""
        return replace(self, signature=signature)

    def bare(self) -> RoundChange:
        """The same message without its PREPAREs: the form in a justification."""
        return replace(self, prepares=())


@dataclass(frozen=True, slots=True)
class PrePrepare:
    """PRE-PREPARE(h, r, digest): the leader's proposal. ``block`` is None where receivers are to fetch it.

    ``justification`` holds bare ROUND-CHANGEs for exactly (h, r), ``prepares`` the PREPAREs of the highest prepared
    round among them (R2); both are empty at round 0 (R1).
    """

    kind: ClassVar[MessageKind] = MessageKind.PRE_PREPARE
    height: int
    round: int
    digest: bytes
    sender: str
    signature: bytes = b""
    block: BlockView | None = None
    justification: tuple[RoundChange, ...] = ()
    prepares: tuple[Prepare, ...] = ()

    @property
    def content(self) -> tuple[object, ...]:
        """What two messages of one (sender, kind, height, round) may not differ in (R13)."""
        return (self.digest,)

    def payload(self, network_id: bytes, epoch: int) -> bytes:
        """The signed bytes."""
        return vote_message(network_id, epoch, VoteKind.PRE_PREPARE, self.height, self.round, self.digest)

    def signed(self, signature: bytes) -> PrePrepare:
        """The same message with its signature."""
        return replace(self, signature=signature)

    def bare(self) -> PrePrepare:
        """The signed claim alone, without block and proofs: what is kept as evidence and in the journal."""
        return replace(self, block=None, justification=(), prepares=())


@dataclass(frozen=True, slots=True)
class Decided:
    """DECIDED(block, certificate): ≥ Q COMMITs for the block; enough for anyone to append it (R5, R9)."""

    kind: ClassVar[MessageKind] = MessageKind.DECIDED
    block: BlockView
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Status:
    """STATUS(h, r): the height the sender works on (its head + 1) and its round. A hint, never authority."""

    kind: ClassVar[MessageKind] = MessageKind.STATUS
    height: int
    round: int


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """Asks for the block with this digest, proposed or decided at this height."""

    kind: ClassVar[MessageKind] = MessageKind.BLOCK_REQUEST
    height: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class BlockReply:
    """A block that was asked for by digest."""

    kind: ClassVar[MessageKind] = MessageKind.BLOCK_REPLY
    block: BlockView


SignedMessage: TypeAlias = PrePrepare | Prepare | Commit | RoundChange
Message: TypeAlias = SignedMessage | Decided | Status | BlockRequest | BlockReply


def encode(message: Message) -> bytes:
    """The canonical bytes of a message."""
    return codec.encode([TAG_MESSAGE, VERSION, int(message.kind), *_fields(message)])


def decode(data: bytes, read_block: ReadBlock, *, max_size: int = MAX_MESSAGE_BYTES) -> Message:
    """The message of canonical bytes: form, sizes and ranges only. Raises MessageError."""
    try:
        value = codec.decode(data, max_size=max_size, max_items=MAX_ITEMS)
        match value:
            case [str(tag), int(version), int(code), *fields] if tag == TAG_MESSAGE and version == VERSION:
                reader = _READERS.get(code)
                if reader is None or type(version) is not int or type(code) is not int:
                    raise MessageError(f"unknown message kind {code!r}")
                return reader(fields, read_block)
            case _:
                raise MessageError(f"not a {TAG_MESSAGE} version {VERSION}")
    except MessageError:
        raise
    except (CodecError, CertificateError, ValueError) as error:
        raise MessageError(f"not a consensus message: {error}") from None


def _fields(message: Message) -> list[Any]:
    match message:
        case Prepare() | Commit():
            return _vote_row(message)
        case RoundChange():
            return [*_round_change_row(message), [_vote_row(prepare) for prepare in message.prepares]]
        case PrePrepare():
            block = None if message.block is None else message.block.encoded
            justification = [_round_change_row(entry) for entry in message.justification]
            prepares = [_vote_row(prepare) for prepare in message.prepares]
            return [*_vote_row(message), block, justification, prepares]
        case Decided():
            return [message.block.encoded, message.certificate.to_value()]
        case Status():
            return [message.height, message.round]
        case BlockRequest():
            return [message.height, message.digest]
        case BlockReply():
            return [message.block.encoded]


def _vote_row(vote: Prepare | Commit | PrePrepare) -> list[Any]:
    return [vote.height, vote.round, vote.digest, vote.sender, vote.signature]


def _round_change_row(message: RoundChange) -> list[Any]:
    return [
        message.height, message.round, message.prepared_round, message.prepared_digest, message.sender,
        message.signature,
    ]  # fmt: skip


def _take(fields: Any, count: int) -> list[Any]:
    if type(fields) is not list or len(fields) != count:
        raise MessageError(f"{count} fields expected")
    return fields


def _number(value: Any, limit: int) -> int:
    if type(value) is not int or not 0 <= value <= limit:
        raise MessageError("a height or round is out of range")
    return value


def _bytes(value: Any, size: int) -> bytes:
    if type(value) is not bytes or len(value) != size:
        raise MessageError(f"a field is not {size} bytes")
    return value


def _member(value: Any) -> str:
    if type(value) is not str or not 0 < len(value) <= MAX_MEMBER_ID:
        raise MessageError("a sender is not a member id")
    return value


def _list(value: Any) -> list[Any]:
    if type(value) is not list or len(value) > MAX_SIGNERS:
        raise MessageError(f"a list of signed messages has at most {MAX_SIGNERS} entries")
    return value


def _block(value: Any, read_block: ReadBlock) -> BlockView:
    if type(value) is not bytes or len(value) > MAX_BLOCK_BYTES:
        raise MessageError("a block is not bytes within the cap")
    return read_block(value)


def _vote_fields(row: Any) -> tuple[int, int, bytes, str, bytes]:
    height, round_number, digest, sender, signature = _take(row, 5)
    return (
        _number(height, MAX_HEIGHT),
        _number(round_number, MAX_ROUND),
        _bytes(digest, HASH_SIZE),
        _member(sender),
        _bytes(signature, SIGNATURE_SIZE),
    )


def _read_prepare(row: Any) -> Prepare:
    return Prepare(*_vote_fields(row))


def _read_round_change_row(row: Any) -> RoundChange:
    height, round_number, prepared_round, prepared_digest, sender, signature = _take(row, 6)
    return RoundChange(
        _number(height, MAX_HEIGHT),
        _number(round_number, MAX_ROUND),
        None if prepared_round is None else _number(prepared_round, MAX_ROUND),
        None if prepared_digest is None else _bytes(prepared_digest, HASH_SIZE),
        _member(sender),
        _bytes(signature, SIGNATURE_SIZE),
    )


def _read_round_change(fields: list[Any]) -> RoundChange:
    *row, prepares = _take(fields, 7)
    return replace(_read_round_change_row(row), prepares=tuple(_read_prepare(entry) for entry in _list(prepares)))


def _read_pre_prepare(fields: list[Any], read_block: ReadBlock) -> PrePrepare:
    *row, block, justification, prepares = _take(fields, 8)
    return PrePrepare(
        *_vote_fields(row),
        block=None if block is None else _block(block, read_block),
        justification=tuple(_read_round_change_row(entry) for entry in _list(justification)),
        prepares=tuple(_read_prepare(entry) for entry in _list(prepares)),
    )


def _read_decided(fields: list[Any], read_block: ReadBlock) -> Decided:
    block, certificate = _take(fields, 2)
    return Decided(_block(block, read_block), Certificate.from_value(certificate))


def _read_status(fields: list[Any]) -> Status:
    height, round_number = _take(fields, 2)
    return Status(_number(height, MAX_HEIGHT), _number(round_number, MAX_ROUND))


def _read_block_request(fields: list[Any]) -> BlockRequest:
    height, digest = _take(fields, 2)
    return BlockRequest(_number(height, MAX_HEIGHT), _bytes(digest, HASH_SIZE))


_READERS: Final[dict[int, Callable[[list[Any], ReadBlock], Message]]] = {
    MessageKind.PRE_PREPARE: _read_pre_prepare,
    MessageKind.PREPARE: lambda fields, _: _read_prepare(fields),
    MessageKind.COMMIT: lambda fields, _: Commit(*_vote_fields(fields)),
    MessageKind.ROUND_CHANGE: lambda fields, _: _read_round_change(fields),
    MessageKind.DECIDED: _read_decided,
    MessageKind.STATUS: lambda fields, _: _read_status(fields),
    MessageKind.BLOCK_REQUEST: lambda fields, _: _read_block_request(fields),
    MessageKind.BLOCK_REPLY: lambda fields, read: BlockReply(_block(_take(fields, 1)[0], read)),
}
