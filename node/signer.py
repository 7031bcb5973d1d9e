"""The one object that owns the validator key *and* its vote journal, so that neither is used without the other (R7).

The core asks for a signature with the effect ``Sign``; nothing else in the node can reach the key. A remote
process or a hardware module can take this object's place: its whole interface is ``sign``, ``restored``,
``decided`` and ``check_ledger``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from chain.certificate import TAG_ROUND_CHANGE, TAG_VOTE
from chain.codec import Value, decode
from consensus.events import Prepared, Restored, Sign, Signed, SignRefused
from consensus.messages import Commit, MessageKind, Prepare, PrePrepare, ReadBlock, RoundChange, SignedMessage
from node.journal import COMPACT_ABOVE_BYTES, Journal, JournalError, JournalPrepared, JournalStorage, JournalVote

MAX_PAYLOAD_BYTES = 512
"""Room for a signed payload: tag, version, network id, epoch, three numbers and a digest."""


class VoteKey(Protocol):
    """What signs: ``chain.crypto.SigningKey``, or the simulator's table."""

    @property
    def public(self) -> bytes:
        """The validator's public key, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""


Position: TypeAlias = tuple[int, int, int]
"""(height, round, kind): what one validator may sign once."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """The meaning of signed bytes. ``content`` is the digest, or a ROUND-CHANGE's prepared round and digest."""

    kind: MessageKind
    height: int
    round: int
    content: tuple[object, ...]


class Signer:
    """Signs each (height, round, kind) once, never below what it signed before, and only after the journal's sync."""

    def __init__(self, member: str, key: VoteKey, journal: Journal, read_block: ReadBlock) -> None:
        """For ``create`` and ``open``; ``read_block`` decodes the block of a restored lock."""
        self.member = member
        self._key = key
        self._journal = journal
        self._read_block = read_block
        self._newest = max(((height, round_) for height, round_, _ in journal.votes), default=(0, 0))

    @classmethod
    def create(
        cls,
        member: str,
        key: VoteKey,
        storage: JournalStorage,
        read_block: ReadBlock,
        *,
        journal_id: bytes | None = None,
        compact_above: int = COMPACT_ABOVE_BYTES,
    ) -> Signer:
        """For a key that never voted: makes its journal. Raises `JournalError` if one is there already."""
        journal = Journal.create(storage, key.public, journal_id=journal_id, compact_above=compact_above)
        return cls(member, key, journal, read_block)

    @classmethod
    def open(
        cls,
        member: str,
        key: VoteKey,
        storage: JournalStorage,
        read_block: ReadBlock,
        *,
        journal_id: bytes | None = None,
        compact_above: int = COMPACT_ABOVE_BYTES,
    ) -> Signer:
        """For every later start. Raises `JournalError` when the journal is missing, damaged or another key's (R8)."""
        journal = Journal.open(storage, key.public, journal_id=journal_id, compact_above=compact_above)
        return cls(member, key, journal, read_block)

    @property
    def public(self) -> bytes:
        """The validator's public key, 32 bytes."""
        return self._key.public

    @property
    def journal_id(self) -> bytes:
        """The random id that binds the journal to the key; 16 bytes."""
        return self._journal.journal_id

    def sign(self, request: Sign) -> Signed | SignRefused:
        """The signed message, once the vote is durable; the stored signature if it was signed before (R7).

        Refused: another content at the same (height, round, kind); a vote below the newest round signed or
        at a decided height; a COMMIT without its lock; bytes that say something else than the message.
        Raises `JournalWriteError`, which must end the process.
        """
        message = request.message
        reason = self._malformed(request)
        if reason:
            return SignRefused(message, reason)
        stored = self._journal.votes.get((message.height, message.round, message.kind))
        if stored is not None:
            if stored.payload != request.payload:
                return SignRefused(message, f"this validator signed another {_describe(message)}")
            return Signed(message.signed(stored.signature))
        reason = self._outdated(message)
        if reason:
            return SignRefused(message, reason)
        signature = self._key.sign(request.payload)
        vote = JournalVote(int(message.kind), message.height, message.round, request.payload, signature)
        if request.prepared is None:
            self._journal.add_vote(vote)
        else:
            lock = request.prepared
            rows: list[Value] = [[prepare.sender, prepare.signature] for prepare in lock.prepares]
            self._journal.add_prepared(JournalPrepared(vote, lock.block.encoded, rows))
        self._newest = (message.height, message.round)
        return Signed(message.signed(signature))

    def restored(self) -> Restored | None:
        """What the core needs after a restart (R8): own votes of the newest height, and the lock. None: no votes."""
        votes = self._journal.votes
        if not votes:
            return None
        height = self._newest[0]
        messages = tuple(self._message(vote) for at, vote in sorted(votes.items()) if at[0] == height)
        return Restored(height, messages, self._restored_lock(height))

    def decided(self, height: int, digest: bytes) -> None:
        """Note a decided height, after the ledger's synced batch; its votes may go."""
        self._journal.add_decided(height, digest)

    def check_ledger(self, height: int, digest: bytes) -> None:
        """Raise `JournalError` unless the stored head (height, digest) is at least as new as the journal."""
        decided = self._journal.decided
        if decided is not None and (
            decided.height > height or (decided.height == height and decided.digest != digest)
        ):
            raise JournalError(
                f"the vote journal knows block {decided.height} as decided but the ledger's head is {height} "
                f"({digest.hex()[:16]}): the ledger is older or another one; restore the right one, or take "
                "keys.validator out of node.toml until the node has caught up"
            )
        if self._newest[0] > height + 1:
            raise JournalError(
                f"the vote journal has votes at height {self._newest[0]} but the ledger's head is {height}: "
                "the ledger lost blocks; restore the right one, or take keys.validator out of node.toml until the "
                "node has caught up"
            )

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()

    def _malformed(self, request: Sign) -> str:
        message = request.message
        if message.sender != self.member:
            return f"the message is {message.sender}'s, this signer is {self.member}'s"
        ballot = read_ballot(request.payload)
        if ballot != Ballot(message.kind, message.height, message.round, message.content):
            return "the bytes to sign say something else than the message"
        lock = request.prepared
        if isinstance(message, Commit):
            if lock is None or lock.round != message.round or lock.block.digest != message.digest:
                return "a COMMIT is signed together with the lock it rests on"
        elif lock is not None:
            return "only a COMMIT carries a lock"
        return ""

    def _outdated(self, message: SignedMessage) -> str:
        decided = self._journal.decided
        if decided is not None and message.height <= decided.height:
            return f"height {message.height} is decided"
        if (message.height, message.round) < self._newest:
            height, round_ = self._newest
            return f"{_describe(message)} is older than a vote at height {height}, round {round_}"
        return ""

    def _message(self, vote: JournalVote) -> SignedMessage:
        """The bare message of a journalled vote."""
        ballot = read_ballot(vote.payload)
        if ballot is None or (ballot.kind, ballot.height, ballot.round) != (vote.kind, vote.height, vote.round):
            raise JournalError(
                "a vote in the journal does not say what it is filed under; this validator needs a new key"
            )
        height, round_, content = ballot.height, ballot.round, ballot.content
        match ballot.kind, content:
            case MessageKind.ROUND_CHANGE, ((int() | None) as prepared_round, (bytes() | None) as prepared_digest):
                return RoundChange(height, round_, prepared_round, prepared_digest, self.member, vote.signature)
            case MessageKind.PRE_PREPARE, (bytes(digest),):
                return PrePrepare(height, round_, digest, self.member, vote.signature)
            case MessageKind.PREPARE, (bytes(digest),):
                return Prepare(height, round_, digest, self.member, vote.signature)
            case MessageKind.COMMIT, (bytes(digest),):
                return Commit(height, round_, digest, self.member, vote.signature)
        raise JournalError("a vote in the journal has an unknown form; this validator needs a new key")

    def _restored_lock(self, height: int) -> Prepared | None:
        lock = self._journal.prepared
        if lock is None or lock.vote.height != height:
            return None
        block = self._read_block(lock.block)
        prepares = []
        for row in lock.prepares:
            match row:
                case [str(sender), bytes(signature)]:
                    prepares.append(Prepare(height, lock.vote.round, block.digest, sender, signature))
                case _:
                    raise JournalError("the lock in the journal has an unknown form; this validator needs a new key")
        return Prepared(lock.vote.round, block, tuple(prepares))


def read_ballot(payload: bytes) -> Ballot | None:
    """The meaning of the bytes of a vote or ROUND-CHANGE (``chain.certificate``); None for any other bytes."""
    try:
        value = decode(payload, max_size=MAX_PAYLOAD_BYTES)
    except ValueError:
        return None
    match value:
        case [tag, 1, bytes(), int(), int(kind), int(height), int(round_), bytes(digest)] if tag == TAG_VOTE:
            return Ballot(MessageKind(kind), height, round_, (digest,)) if 1 <= kind <= 3 else None
        case [tag, 1, bytes(), int(), int(height), int(round_), prepared_round, prepared_digest] if (
            tag == TAG_ROUND_CHANGE
        ):
            return Ballot(MessageKind.ROUND_CHANGE, height, round_, (prepared_round, prepared_digest))
    return None


def _describe(message: SignedMessage) -> str:
    return f"{message.kind.name} at height {message.height}, round {message.round}"
