"""The signer and its journal: what it refuses, what survives a crash, what stops the node (R4, R7, R8)."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.crypto import SigningKey, sha256, verify
from consensus.events import Prepared, Sign, Signed, SignRefused
from consensus.messages import Commit, Prepare, PrePrepare, RoundChange, SignedMessage
from node.journal import FileStorage, Journal, JournalError, JournalVote, JournalWriteError, frame
from node.signer import Signer, read_ballot

NETWORK = sha256(b"network")
EPOCH = 1
KEY = SigningKey.from_seed(sha256(b"erp"))
OTHER_KEY = SigningKey.from_seed(sha256(b"lender"))
JOURNAL_ID = bytes(range(16))


@dataclass(frozen=True)
class PlainHeader:
    height: int
    parent_hash: bytes = bytes(32)
    time: int = 1
    proposer: str = "erp"


@dataclass(frozen=True)
class PlainBlock:
    """The least that is a block to the signer: its bytes and their hash."""

    encoded: bytes

    @property
    def digest(self) -> bytes:
        return sha256(self.encoded)

    @property
    def height(self) -> int:
        return self.encoded[0]

    @property
    def header(self) -> PlainHeader:
        return PlainHeader(self.height)


@dataclass
class Disk:
    """Storage in memory that notes what was done, in order, and can fail or lose what was not synced."""

    durable: bytes | None = None
    pending: bytes = b""
    steps: list[str] = field(default_factory=list)
    fail: bool = False
    name: str = "erp.journal"

    def read(self) -> bytes | None:
        return None if self.durable is None else self.durable + self.pending

    def append(self, data: bytes) -> None:
        self.steps.append("append")
        self.pending += data

    def sync(self) -> None:
        if self.fail:
            raise JournalWriteError("disk gone")
        self.steps.append("sync")
        self.durable, self.pending = (self.durable or b"") + self.pending, b""

    def replace(self, data: bytes) -> None:
        self.steps.append("replace")
        self.durable, self.pending = data, b""

    def close(self) -> None:
        self.steps.append("close")

    def crash(self) -> None:
        self.pending = b""


def create(disk: Disk, **options: int) -> Signer:
    return Signer.create("erp", KEY, disk, PlainBlock, journal_id=JOURNAL_ID, **options)


def reopen(disk: Disk) -> Signer:
    disk.crash()
    return Signer.open("erp", KEY, disk, PlainBlock)


def request(message: SignedMessage, prepared: Prepared | None = None) -> Sign:
    return Sign(message, message.payload(NETWORK, EPOCH), prepared)


def prepare(height: int, round_: int, text: bytes = b"block", sender: str = "erp") -> Prepare:
    return Prepare(height, round_, sha256(text), sender)


def commit(height: int, round_: int, text: bytes = b"block") -> Sign:
    block = PlainBlock(bytes([height]) + text)
    prepares = tuple(
        Prepare(height, round_, block.digest, sender, bytes([at]) * 64)
        for at, sender in enumerate(("erp", "guarantor", "lender"))
    )
    return request(Commit(height, round_, block.digest, "erp"), Prepared(round_, block, prepares))


def signed(signer: Signer, sign: Sign) -> SignedMessage:
    answer = signer.sign(sign)
    assert isinstance(answer, Signed), answer
    return answer.message


def refused(signer: Signer, sign: Sign) -> str:
    answer = signer.sign(sign)
    assert isinstance(answer, SignRefused), answer
    assert answer.message == sign.message
    return answer.reason


def test_a_vote_is_synced_before_its_signature_is_given() -> None:
    disk = Disk()
    signer = create(disk)
    disk.steps.clear()
    message = signed(signer, request(prepare(1, 0)))
    assert disk.steps == ["append", "sync"]
    assert verify(KEY.public, message.payload(NETWORK, EPOCH), message.signature)


def test_the_lock_and_its_commit_are_one_synced_write() -> None:
    disk = Disk()
    signer = create(disk)
    disk.steps.clear()
    signed(signer, commit(1, 0))
    assert disk.steps == ["append", "sync"]


def test_the_same_vote_again_gives_the_stored_signature_and_writes_nothing() -> None:
    disk = Disk()
    signer = create(disk)
    first = signed(signer, request(prepare(1, 0)))
    disk.steps.clear()
    assert signed(signer, request(prepare(1, 0))) == first
    assert signed(reopen(disk), request(prepare(1, 0))) == first
    assert disk.steps == []


@pytest.mark.parametrize("restart", [False, True])
def test_another_digest_at_the_same_place_is_refused(restart: bool) -> None:
    disk = Disk()
    signer = create(disk)
    signed(signer, request(prepare(1, 0)))
    signed(signer, request(RoundChange(1, 1, None, None, "erp")))
    signer = reopen(disk) if restart else signer
    assert "another PREPARE at height 1, round 0" in refused(signer, request(prepare(1, 0, b"other")))
    lied = RoundChange(1, 1, 0, sha256(b"block"), "erp")
    assert "another ROUND_CHANGE at height 1, round 1" in refused(signer, request(lied))


@pytest.mark.parametrize("restart", [False, True])
def test_a_vote_below_the_newest_round_or_height_is_refused(restart: bool) -> None:
    disk = Disk()
    signer = create(disk)
    signed(signer, request(prepare(1, 0)))
    signed(signer, request(RoundChange(1, 3, None, None, "erp")))
    signer = reopen(disk) if restart else signer
    assert "older than a vote at height 1, round 3" in refused(signer, request(prepare(1, 2)))
    signed(signer, request(prepare(1, 3)))
    signed(signer, request(prepare(2, 0)))
    assert "older than a vote at height 2, round 0" in refused(signer, request(prepare(1, 9)))


@pytest.mark.parametrize("restart", [False, True])
def test_no_vote_at_a_decided_height(restart: bool) -> None:
    disk = Disk()
    signer = create(disk)
    signed(signer, request(prepare(1, 0)))
    signer.decided(1, sha256(b"block"))
    signed(signer, request(prepare(2, 0)))
    signer = reopen(disk) if restart else signer
    assert "height 1 is decided" in refused(signer, request(prepare(1, 5)))


def test_a_commit_needs_its_own_lock_and_nothing_else_may_have_one() -> None:
    signer = create(Disk())
    good = commit(1, 0)
    other = commit(1, 0, b"another block")
    assert "together with the lock" in refused(signer, request(good.message))
    assert "together with the lock" in refused(signer, request(good.message, other.prepared))
    assert "only a COMMIT" in refused(signer, request(prepare(1, 0), good.prepared))


def test_bytes_that_say_something_else_are_not_signed() -> None:
    signer = create(Disk())
    payload = prepare(1, 0, b"other").payload(NETWORK, EPOCH)
    assert "something else" in refused(signer, Sign(prepare(1, 0), payload))
    assert "something else" in refused(signer, Sign(prepare(1, 0), b"\xc0"))
    assert "lender's" in refused(signer, request(prepare(1, 0, sender="lender")))


def test_a_restart_gives_back_the_votes_and_the_lock_of_the_newest_height() -> None:
    disk = Disk()
    signer = create(disk)
    signed(signer, request(prepare(1, 0)))
    signer.decided(1, sha256(b"block"))
    block = PlainBlock(b"\x02block")
    votes = [
        signed(signer, request(PrePrepare(2, 0, block.digest, "erp"))),
        signed(signer, request(Prepare(2, 0, block.digest, "erp"))),
        signed(signer, commit(2, 0)),
        signed(signer, request(RoundChange(2, 1, 0, block.digest, "erp"))),
    ]
    restored = reopen(disk).restored()
    assert restored is not None
    assert restored.height == 2
    assert set(restored.messages) == set(votes)
    assert restored.prepared == commit(2, 0).prepared


def test_a_higher_lock_replaces_a_lower_one_and_a_decision_clears_it() -> None:
    disk = Disk()
    signer = create(disk)
    signed(signer, commit(1, 0))
    signed(signer, commit(1, 4, b"later"))
    restored = reopen(disk).restored()
    assert restored is not None
    assert restored.prepared == commit(1, 4, b"later").prepared
    signer = reopen(disk)
    signer.decided(1, sha256(b"\x01later"))
    assert signer.restored() is None


def test_votes_of_decided_heights_are_compacted_away_and_later_ones_stay() -> None:
    disk = Disk()
    signer = create(disk, compact_above=2000)
    sizes = []
    for height in range(1, 40):
        signed(signer, request(prepare(height, 0)))
        signed(signer, commit(height, 0))
        signer.decided(height, bytes(32))
        sizes.append(len(disk.read() or b""))
    assert max(sizes) < 4000
    last = signed(signer, request(prepare(40, 0)))
    signer = reopen(disk)
    restored = signer.restored()
    assert restored is not None
    assert restored.messages == (last,)
    assert "height 39 is decided" in refused(signer, request(prepare(39, 1)))


def test_a_lost_decided_note_only_keeps_votes_longer() -> None:
    disk = Disk()
    signer = create(disk)
    vote = signed(signer, request(prepare(1, 0)))
    signer.decided(1, bytes(32))
    restored = reopen(disk).restored()
    assert restored is not None
    assert restored.messages == (vote,)


def test_the_ledger_must_not_be_older_than_the_journal() -> None:
    signer = create(Disk())
    signer.check_ledger(0, bytes(32))
    signed(signer, request(prepare(5, 0)))
    signer.check_ledger(4, bytes(32))
    with pytest.raises(JournalError, match="votes at height 5 but the ledger's head is 3"):
        signer.check_ledger(3, bytes(32))
    signer.decided(5, sha256(b"block"))
    signer.check_ledger(5, sha256(b"block"))
    signer.check_ledger(6, bytes(32))
    with pytest.raises(JournalError, match="block 5 as decided"):
        signer.check_ledger(4, bytes(32))
    with pytest.raises(JournalError, match="block 5 as decided"):
        signer.check_ledger(5, sha256(b"fork"))


def written() -> bytes:
    disk = Disk()
    signer = create(disk)
    signed(signer, request(prepare(1, 0)))
    signed(signer, commit(1, 0))
    signed(signer, request(RoundChange(1, 1, 0, PlainBlock(b"\x01block").digest, "erp")))
    return disk.read() or b""


def record_ends(data: bytes) -> list[int]:
    ends, at = [], 0
    while at < len(data):
        at += 8 + int.from_bytes(data[at : at + 4], "big") + 8
        ends.append(at)
    return ends


def test_only_an_incomplete_last_record_is_cut_off() -> None:
    data = written()
    ends = record_ends(data)
    assert ends[-1] == len(data)
    for size in range(ends[0], len(data)):
        disk = Disk(durable=data[:size])
        Signer.open("erp", KEY, disk, PlainBlock)
        assert disk.read() == data[: max(end for end in ends if end <= size)]


@settings(max_examples=300, deadline=None)
@given(at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_stops_the_node(at: int, bit: int) -> None:
    data = bytearray(written())
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(JournalError, match=r"^erp\.journal: the vote journal is damaged at byte \d+; [^\n]*$"):
        Signer.open("erp", KEY, Disk(durable=bytes(data)), PlainBlock)


def test_a_key_without_its_journal_refuses_to_start() -> None:
    with pytest.raises(JournalError, match="no vote journal"):
        Signer.open("erp", KEY, Disk(), PlainBlock)


def test_a_journal_is_not_created_twice() -> None:
    disk = Disk()
    create(disk)
    with pytest.raises(JournalError, match="exists already"):
        create(disk)


def test_another_keys_journal_and_a_journal_made_anew_are_refused() -> None:
    disk = Disk()
    assert create(disk).journal_id == JOURNAL_ID
    with pytest.raises(JournalError, match="belongs to another key"):
        Signer.open("erp", OTHER_KEY, disk, PlainBlock)
    with pytest.raises(JournalError, match="not the vote journal that the key was made with"):
        Signer.open("erp", KEY, disk, PlainBlock, journal_id=bytes(16))
    assert Signer.open("erp", KEY, disk, PlainBlock, journal_id=JOURNAL_ID).public == KEY.public


def test_a_newer_format_and_a_foreign_file_are_refused() -> None:
    from chain.codec import encode

    newer = frame(encode(["tally/journal", 2, bytes(16), KEY.public]))
    with pytest.raises(JournalError, match="format 2"):
        Signer.open("erp", KEY, Disk(durable=newer), PlainBlock)
    for foreign in (frame(encode(["tally/block", 1])), b"", frame(b"\xc1"), b"plain text, longer than a frame"):
        with pytest.raises(JournalError, match="damaged at byte 0"):
            Signer.open("erp", KEY, Disk(durable=foreign), PlainBlock)


def test_a_record_of_an_unknown_kind_stops_the_node() -> None:
    from chain.codec import encode

    data = written() + frame(encode(["surprise", 1]))
    with pytest.raises(JournalError, match=f"damaged at byte {len(written())}"):
        Signer.open("erp", KEY, Disk(durable=data), PlainBlock)


def test_a_vote_filed_under_another_place_stops_the_node() -> None:
    disk = Disk()
    journal = Journal.create(disk, KEY.public, journal_id=JOURNAL_ID)
    payload = prepare(1, 0).payload(NETWORK, EPOCH)
    journal.add_vote(JournalVote(2, 1, 7, payload, bytes(64)))
    with pytest.raises(JournalError, match="filed under"):
        reopen(disk).restored()


def test_a_failed_sync_is_fatal_and_gives_no_signature() -> None:
    disk = Disk()
    signer = create(disk)
    disk.fail = True
    with pytest.raises(JournalWriteError):
        signer.sign(request(prepare(1, 0)))
    disk.fail = False
    with pytest.raises(JournalWriteError, match="end this process"):
        signer.sign(request(prepare(1, 0)))
    assert not issubclass(JournalWriteError, OSError)


@pytest.mark.parametrize("kind", [0, 4, 255])
def test_a_ballot_of_an_unknown_kind_is_not_read(kind: int) -> None:
    from chain.certificate import vote_message

    assert read_ballot(vote_message(NETWORK, EPOCH, kind, 1, 0, bytes(32))) is None


# ------------------------------------------------------------------------------------- the real file


def test_the_file_survives_a_restart_and_a_torn_write(tmp_path: Path) -> None:
    path = tmp_path / "state" / "votes.journal"
    signer = Signer.create("erp", KEY, FileStorage(path), PlainBlock)
    first = signed(signer, request(prepare(1, 0)))
    signed(signer, commit(1, 0))
    signer.close()
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(frame(b"torn")[:-3])
    signer = Signer.open("erp", KEY, FileStorage(path), PlainBlock, journal_id=signer.journal_id)
    assert path.read_bytes() == whole
    assert signed(signer, request(prepare(1, 0))) == first
    signed(signer, request(RoundChange(1, 1, 0, PlainBlock(b"\x01block").digest, "erp")))
    assert path.read_bytes().startswith(whole)
    assert path.stat().st_mode & 0o077 == 0
    signer.close()


def test_the_file_is_rewritten_whole(tmp_path: Path) -> None:
    path = tmp_path / "votes.journal"
    signer = Signer.create("erp", KEY, FileStorage(path), PlainBlock, compact_above=500)
    for height in range(1, 10):
        signed(signer, request(prepare(height, 0)))
        signer.decided(height, bytes(32))
    signed(signer, request(prepare(10, 0)))
    signer.close()
    assert path.stat().st_size < 1200
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["votes.journal", "votes.journal.lock"]
    assert "decided" in refused(Signer.open("erp", KEY, FileStorage(path), PlainBlock), request(prepare(9, 3)))


def test_a_second_process_with_the_same_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "votes.journal"
    held = FileStorage(path)
    code = "import sys, pathlib, node.journal as j\ntry: j.FileStorage(pathlib.Path(sys.argv[1]))\n"
    code += "except j.JournalError as e: print(e); sys.exit(3)"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("\n")) == (3, 1)
    assert "another process is signing with this key" in done.stdout
    held.close()
    FileStorage(path).close()


def vote_and_decide(signer: Signer) -> None:
    signer.sign(request(prepare(1, 0)))
    signer.decided(1, bytes(32))


@pytest.mark.parametrize("call", ["write", "fdatasync", "rename", "fsync"])
def test_a_full_disk_is_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    signer = Signer.create("erp", KEY, FileStorage(tmp_path / "votes.journal"), PlainBlock, compact_above=0)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(JournalWriteError, match=r"votes\.journal: cannot \w+ the vote journal \(No space left"):
        vote_and_decide(signer)
    monkeypatch.undo()
    signer.close()
    Signer.open("erp", KEY, FileStorage(tmp_path / "votes.journal"), PlainBlock).close()
