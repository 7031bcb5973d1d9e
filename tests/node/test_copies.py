"""Copies held for others: resumed at the byte, checked as they come, served whole or not at all, proven, scrubbed."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chain import merkle
from node.documents import DocumentError
from node.envelope import CHUNK, Manifest
from node.vault import Vault
from tests.vault_tools import CUSTODIANS, Home, documents, items, killed_at, receive

OWNER, HOLDER = "erp", "lender"


class Pair:
    """An owner with one deposit, and a holder of its copies."""

    def __init__(self, folder: Path, **options: Any) -> None:
        home = Home(folder / "owner")
        self.owner = home.open()
        self.owner.put_many(items([*documents(3, 500), random.Random(1).randbytes(3 * CHUNK), b""]))
        home.now += 2
        (deposit,) = self.owner.ready()
        self.owner.roots(deposit.id, CUSTODIANS)
        self.owner.numbered(deposit.id, 0)
        self.manifest = self.owner.manifest(0, HOLDER)
        self.home = Home(folder / "holder", **options)
        self.vault = self.home.open()

    def copy(self, index: int) -> bytes:
        return self.owner.copy(0, index, HOLDER)

    def reopen(self) -> Vault:
        self.vault.close()
        self.vault = self.home.open()
        return self.vault

    def hold(self) -> Path:
        incoming = self.vault.copies.incoming(self.manifest)
        receive(incoming, self.copy)
        incoming.finish()
        return self.home.folder / "store/copies/erp/0000000000.lender"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(DocumentError) as raised:
        call()
    assert "\n" not in str(raised.value)
    return raised.value.code


def test_a_deposit_is_received_and_served(pair: Pair) -> None:
    copies = pair.vault.copies
    incoming = copies.incoming(pair.manifest)
    assert incoming.position == (0, 0)
    assert copies.unfinished() == [pair.manifest]
    assert code_of(incoming.finish) == "WRONG_PLACE"
    assert list(copies.list()) == []
    assert code_of(lambda: copies.read(OWNER, 0, HOLDER, 0, 0, 10)) == "DOCUMENT_MISSING"
    assert receive(incoming, pair.copy) > 20
    assert incoming.position == (5, 0)
    assert code_of(lambda: incoming.write(5, 0, b"more")) == "WRONG_PLACE"
    incoming.finish()
    assert copies.unfinished() == []
    assert list(copies.list()) == list(copies.list(OWNER)) == [(OWNER, 0, HOLDER)]
    assert list(copies.list("er")) == list(copies.list("lender")) == []
    for again in (False, True):
        vault = pair.reopen() if again else pair.vault
        assert vault.copies.manifest(OWNER, 0, HOLDER) == pair.manifest
        for index, entry in enumerate(pair.manifest.entries):
            assert vault.copies.copy(OWNER, 0, HOLDER, index) == pair.copy(index)
            assert vault.copies.read(OWNER, 0, HOLDER, index, 3, 5) == pair.copy(index)[3:8]
            assert vault.copies.read(OWNER, 0, HOLDER, index, 0, 1 << 30) == pair.copy(index)
            assert vault.copies.read(OWNER, 0, HOLDER, index, entry.size, 5) == b""
    assert pair.vault.copies.manifest(OWNER, 1, HOLDER) is None
    assert pair.vault.copies.manifest(OWNER, 0, "court") is None


def test_it_goes_on_at_the_byte_where_it_was(pair: Pair) -> None:
    incoming = pair.vault.copies.incoming(pair.manifest)
    receive(incoming, pair.copy, until=10)
    position = incoming.position
    assert position[1] > 0
    incoming = pair.reopen().copies.incoming(pair.manifest)
    assert incoming.position == position
    receive(incoming, pair.copy)
    incoming.finish()
    assert not any(bad for _, bad in pair.vault.copies.damaged(OWNER, 0, HOLDER))


def test_what_a_power_cut_ate_at_is_asked_for_again(pair: Pair) -> None:
    incoming = pair.vault.copies.incoming(pair.manifest)
    receive(incoming, pair.copy, until=14)
    assert incoming.position[0] == 3
    (path,) = [path for path in (pair.home.folder / "local/incoming").rglob("*") if path.is_file()]
    data = bytearray(path.read_bytes())
    second = len(data) - incoming.position[1] - pair.manifest.entries[2].size - 10
    data[second] ^= 1
    path.write_bytes(data)
    incoming = pair.reopen().copies.incoming(pair.manifest)
    assert incoming.position == (1, 0)
    receive(incoming, pair.copy)
    incoming.finish()
    assert not any(bad for _, bad in pair.vault.copies.damaged(OWNER, 0, HOLDER))


def test_bytes_that_are_not_what_was_promised_are_refused(pair: Pair) -> None:
    incoming = pair.vault.copies.incoming(pair.manifest)
    receive(incoming, pair.copy, until=2)
    index, offset = incoming.position
    good = pair.copy(index)
    for place in ((index + 1, 0), (index, 0), (index, offset + 1), (99, 0), (-1, offset)):
        assert code_of(partial(incoming.write, *place, b"x")) == "WRONG_PLACE"
    assert code_of(lambda: incoming.write(index, offset, bytes(len(good)))) == "WRONG_SIZE"
    assert incoming.position == (index, offset)
    lie = bytes([good[-1] ^ 1])
    incoming.write(index, offset, good[offset:-1])
    assert code_of(lambda: incoming.write(index, len(good) - 1, lie)) == "WRONG_HASH"
    assert incoming.position == (index, 0)
    receive(incoming, pair.copy)
    incoming.finish()
    assert pair.vault.copies.copy(OWNER, 0, HOLDER, index) == good
    other = pair.vault.copies.incoming(pair.owner.manifest(0, "guarantor"))
    assert code_of(lambda: receive(other, pair.copy, step=1_000)) == "WRONG_HASH"  # another holder's copy


def test_what_is_given_up_leaves_nothing(pair: Pair) -> None:
    incoming = pair.vault.copies.incoming(pair.manifest)
    receive(incoming, pair.copy, until=5)
    incoming.abandon()
    assert pair.vault.copies.unfinished() == []
    assert [path for path in (pair.home.folder / "local/incoming").rglob("*") if path.is_file()] == []
    assert pair.vault.copies.incoming(pair.manifest).position == (0, 0)


@pytest.mark.slow
def test_a_kill_at_any_write_loses_no_copy_that_is_held(pair: Pair) -> None:
    """Receive in pieces, finish; each time the process ends one write later, and the next one goes on."""
    copies = [pair.copy(index) for index in range(5)]
    manifest, home = pair.manifest, pair.home
    pair.vault.close()
    whole = 0
    for point in range(60):
        shutil.rmtree(home.folder)
        home.folder.mkdir()

        def work(acknowledge: Callable[[bytes], None]) -> None:
            vault = home.open()
            incoming = vault.copies.incoming(manifest)
            receive(incoming, copies.__getitem__, step=3_000)
            incoming.finish()
            acknowledge(bytes(32))

        acknowledged, ended = killed_at(point, work)
        vault = home.open()
        held = list(vault.copies.list())
        assert held or not acknowledged
        assert not (held and vault.copies.unfinished())
        if not held:
            incoming = vault.copies.incoming(manifest)
            receive(incoming, copies.__getitem__, step=3_000)
            incoming.finish()
        whole += bool(held)
        assert [vault.copies.copy(OWNER, 0, HOLDER, index) for index in range(5)] == copies
        assert vault.copies.unfinished() == []
        vault.close()
        if ended:
            break
    assert ended
    assert point > 15
    assert whole >= 1


@pytest.mark.parametrize("when", ["receiving", "finishing"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_stops_it_and_room_lets_it_go_on(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, when: str, error: int
) -> None:
    incoming = pair.vault.copies.incoming(pair.manifest)
    receive(incoming, pair.copy, until=3 if when == "receiving" else None)
    position = incoming.position
    real = os.write

    def fail(descriptor: int, data: Any) -> int:
        real(descriptor, bytes(data)[: len(data) // 2])
        raise OSError(error, os.strerror(error))

    def full(*_: Any) -> None:
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        patch.setattr(Path, "replace", full)
        code = code_of((lambda: receive(incoming, pair.copy)) if when == "receiving" else incoming.finish)
    assert code == ("STORE_FULL" if error == errno.ENOSPC else "STORE_FAILED")
    assert incoming.position == position
    assert list(pair.vault.copies.list()) == []
    receive(incoming, pair.copy)
    incoming.finish()
    assert not any(bad for _, bad in pair.vault.copies.damaged(OWNER, 0, HOLDER))


def test_nothing_is_begun_that_could_not_be_noted_down(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))
    assert code_of(lambda: pair.vault.copies.incoming(pair.manifest)) == "STORE_FULL"
    assert code_of(lambda: pair.vault.copies.put_keys(OWNER, 0, 1, b"x")) == "STORE_FULL"


def test_what_was_deleted_on_its_way_is_not_said_to_be_held(pair: Pair) -> None:
    incoming = pair.vault.copies.incoming(pair.manifest)
    receive(incoming, pair.copy)
    [staged] = [path for path in (pair.home.folder / "local/incoming").rglob("*") if path.is_file()]
    staged.unlink()
    assert code_of(incoming.finish) == "STORE_FAILED"
    assert list(pair.vault.copies.list()) == []
    pair.hold()
    assert list(pair.vault.copies.list()) == [(OWNER, 0, HOLDER)]


def test_others_documents_leave_room_for_what_the_node_votes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger lies on the same disk: a member that floods its custodians with documents must not stop them."""
    pair = Pair(tmp_path, reserve=10**9)
    incoming = pair.vault.copies.incoming(pair.manifest)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, 10**9 - 1))
    assert code_of(lambda: receive(incoming, pair.copy)) == "STORE_FULL"
    assert code_of(lambda: pair.vault.copies.incoming(pair.manifest)) == "STORE_FULL"
    assert pair.vault.copies.put_keys(OWNER, 0, 1, b"a list is small")
    assert code_of(lambda: pair.vault.copies.put_keys(OWNER, 0, 2, bytes(4 * 2**20))) == "STORE_FULL"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, 10**9))
    receive(incoming, pair.copy)
    incoming.finish()
    assert list(pair.vault.copies.list()) == [(OWNER, 0, HOLDER)]


def test_a_sample_is_proven_under_the_root_on_the_chain(pair: Pair) -> None:
    pair.hold()
    count = len(pair.manifest.entries)
    for index, entry in enumerate(pair.manifest.entries):
        chunks = -(-entry.size // CHUNK)
        for chunk in range(chunks):
            proof = pair.vault.copies.prove(OWNER, 0, HOLDER, index, chunk)
            assert merkle.verify(pair.manifest.root, proof.leaf, index, count, proof.path)
            assert merkle.verify(entry.root, proof.chunk, chunk, chunks, proof.chunk_path)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damage_is_found_and_no_proof_is_made_of_it(pair: Pair, damage: str) -> None:
    path = pair.hold()
    data = path.read_bytes()
    last = len(pair.manifest.entries) - 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    expected = "DOCUMENT_MISSING" if damage == "gone" else "DOCUMENT_DAMAGED"
    assert code_of(lambda: pair.vault.copies.prove(OWNER, 0, HOLDER, last, 0)) == expected
    assert code_of(lambda: pair.vault.copies.copy(OWNER, 0, HOLDER, last)) == expected
    found = list(pair.vault.copies.damaged(OWNER, 0, HOLDER))
    assert found == [(index, damage == "gone" or index == last) for index in range(last + 1)]
    pair.vault.copies.delete(OWNER, 0, HOLDER)
    assert list(pair.vault.copies.list()) == []
    pair.vault.copies.delete(OWNER, 0, HOLDER)
    pair.hold()
    assert not any(bad for _, bad in pair.vault.copies.damaged(OWNER, 0, HOLDER))


def test_the_newest_key_list_counts(pair: Pair) -> None:
    copies = pair.vault.copies
    assert copies.keys(OWNER, 0) is None
    assert copies.put_keys(OWNER, 0, 5, b"five")
    assert copies.put_keys(OWNER, 0, 5, b"five again")
    assert not copies.put_keys(OWNER, 0, 4, b"four")
    assert copies.keys(OWNER, 0) == b"five again"
    assert copies.put_keys(OWNER, 0, 6, b"six")
    assert copies.keys(OWNER, 1) is None
    assert pair.reopen().copies.keys(OWNER, 0) == b"six"


def test_a_lost_index_finds_what_is_held(pair: Pair) -> None:
    path = pair.hold()
    (path.parent / "0000000007.lender").write_bytes(b"rubbish")
    (path.parent / "0000000008.lender").write_bytes(path.read_bytes())  # says another number inside
    pair.vault.close()
    shutil.rmtree(pair.home.folder / "local")
    pair.vault = pair.home.open()
    assert list(pair.vault.copies.list()) == [(OWNER, 0, HOLDER)]
    assert [pair.vault.copies.copy(OWNER, 0, HOLDER, index) for index in range(5)] == [
        pair.copy(index) for index in range(5)
    ]


def test_copies_of_several_holders_and_chains_lie_side_by_side(pair: Pair) -> None:
    pair.hold()
    other = pair.owner.manifest(0, "guarantor")
    incoming = pair.vault.copies.incoming(other)
    receive(incoming, lambda index: pair.owner.copy(0, index, "guarantor"))
    incoming.finish()
    renamed = Manifest("procurement", 0, HOLDER, pair.manifest.entries)
    incoming = pair.vault.copies.incoming(renamed)
    receive(incoming, pair.copy)
    incoming.finish()
    expected = [(OWNER, 0, "guarantor"), (OWNER, 0, HOLDER), ("procurement", 0, HOLDER)]
    assert list(pair.vault.copies.list()) == expected
    assert list(pair.vault.copies.list(OWNER)) == expected[:2]
