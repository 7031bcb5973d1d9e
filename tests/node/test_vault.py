"""The vault: nothing acknowledged is lost, nothing half-written is served, nothing lies readable on the disk."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chain.crypto import SigningKey
from chain.sealed import seal
from node.documents import DocumentError
from node.envelope import CHUNK, MAX_OBJECTS, copy_root, object_key, open_copy
from node.vault import Item, Vault, own
from node.vault.files import Files
from node.vault.index import Index
from tests import vault_speed
from tests.vault_tools import (
    CUSTODIANS,
    KEY,
    Home,
    check_whole,
    documents,
    hold,
    items,
    killed_at,
    name_of,
)

SECOND = SigningKey(b"f" * 32)
OFFLINE = SigningKey(b"o" * 32)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(DocumentError) as raised:
        call()
    assert "\n" not in str(raised.value)
    return raised.value.code


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def deposited(vault: Vault, home: Home, datas: list[bytes], number: int = 0) -> None:
    """Put documents, and give their deposit a number."""
    vault.put_many(items(datas))
    home.now += 2
    (deposit,) = vault.ready()
    vault.roots(deposit.id, CUSTODIANS)
    vault.numbered(deposit.id, number)


# -- documents ----------------------------------------------------------------------------------------------


def test_put_get_has(home: Home) -> None:
    vault = home.open()
    body = seal({"account": "GB1"}, ("invoice", "erp", "1"), b"s" * 32)
    names = vault.put_many([Item(b"raw"), Item(body.encode(), ("invoice",), body.root), Item(b"")])
    assert names == [name_of(b"raw"), body.root, name_of(b"")]
    assert [vault.get(name) for name in names] == [b"raw", body.encode(), b""]
    assert vault.has(names[0])
    assert not vault.has(bytes(32))
    assert code_of(lambda: vault.get(bytes(32))) == "DOCUMENT_MISSING"
    vault.close()
    again = home.open()
    assert [again.get(name) for name in names] == [b"raw", body.encode(), b""]


def test_nothing_readable_is_on_the_disk(home: Home) -> None:
    vault = home.open()
    canary, kind = b"CANARY-4711-ACCOUNT-GB29NWBK", "kindcanary"
    deposited(vault, home, [canary * 300])
    vault.put_many([Item(canary, (kind,))])
    hold(vault.copies, vault, 0, "lender")
    number = vault.ready()
    assert number == []
    secret = vault.deposit(0)
    assert secret is not None
    vault.close()
    on_disk = b"".join(path.read_bytes() for path in files(home.folder))
    assert len(on_disk) > 2 * 300 * len(canary)
    for said in (canary[:12], kind.encode(), secret.secret.key):
        assert said not in on_disk


def test_the_same_document_is_kept_once_under_its_first_kinds(home: Home) -> None:
    vault = home.open()
    vault.put_many([*items([b"a"], "invoice"), *items([b"a"], "order"), *items([b"a", b"b"], "order", "invoice")])
    before = files(home.folder / "store")
    vault.put_many(items([b"a", b"b"], "order"))
    assert files(home.folder / "store") == before
    home.now += 2
    assert sorted((d.secret.kinds, d.objects) for d in vault.ready()) == [
        (("invoice",), 1),
        (("invoice", "order"), 1),
    ]


def test_what_is_refused_says_why(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = home.open()
    monkeypatch.setattr(own, "MAX_DOCUMENT", 3)
    assert code_of(lambda: vault.put(b"four")) == "TOO_LARGE"
    assert code_of(lambda: vault.put_many([Item(b"abc", ("x",), bytes(32))])) == "WRONG_HASH"
    assert code_of(lambda: vault.put_many([Item(b"ok"), Item(b"abc", ("x",), bytes(32))])) == "WRONG_HASH"
    assert not vault.has(name_of(b"ok"))
    assert code_of(lambda: vault.copy(3, 0, "lender")) == "UNKNOWN_DEPOSIT"
    assert code_of(lambda: vault.manifest(3, "lender")) == "UNKNOWN_DEPOSIT"
    assert code_of(lambda: vault.roots(b"x" * 16, CUSTODIANS)) == "UNKNOWN_DEPOSIT"
    assert code_of(lambda: vault.numbered(b"x" * 16, 1)) == "UNKNOWN_DEPOSIT"
    assert vault.deposit(3) is None
    assert vault.place(bytes(32)) is None


def test_without_an_encryption_key_nothing_is_kept_but_copies_for_others_are(home: Home, tmp_path: Path) -> None:
    owner = home.open()
    deposited(owner, home, documents(3))
    place = tmp_path / "other"
    without = Vault.open(str(place / "store"), place / "local", [], member="lender")
    for call in (lambda: without.put(b"x"), lambda: without.get(bytes(32)), lambda: without.rewrap([])):
        assert code_of(call) == "NO_ENCRYPTION_KEY"
    assert without.ready() == []
    assert not without.has(bytes(32))
    hold(without.copies, owner, 0, "lender")
    assert list(without.copies.list()) == [("erp", 0, "lender")]
    assert not (place / "store" / "vault.key").exists()


@pytest.mark.slow
def test_many_writers_at_once_share_segments_and_lose_nothing(home: Home) -> None:
    vault = home.open()
    vault.put(b"warm")
    datas = documents(400, 100)
    barrier = threading.Barrier(8)

    def write(part: list[bytes]) -> None:
        barrier.wait()
        for start in range(0, len(part), 5):
            vault.put_many(items(part[start : start + 5]))

    # Each document comes from two threads, in another order.
    parts = [datas[n::4] for n in range(4)] + [list(reversed(datas[n::4])) for n in range(4)]
    threads = [threading.Thread(target=write, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [vault.get(name_of(data)) for data in datas] == datas
    assert len(files(home.folder / "store/own")) < 160
    home.now += 2
    assert sum(d.objects for d in vault.ready() if d.secret.kinds == ("invoice",)) == 400
    check_whole(vault)


# -- deposits -----------------------------------------------------------------------------------------------


def test_deposits_close_by_age_count_and_size(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = home.open()
    vault.put_many(items(documents(MAX_OBJECTS + 10, 40)))
    assert [d.objects for d in vault.ready()] == [MAX_OBJECTS]
    home.now += own.CLOSE_S - 0.01
    vault.put_many(items([b"late"]))
    assert len(vault.ready()) == 1
    home.now += 0.02
    assert sorted(d.objects for d in vault.ready()) == [11, MAX_OBJECTS]
    vault.put_many(items([b"later"]))
    assert len(vault.ready()) == 2
    monkeypatch.setattr(own, "MAX_DEPOSIT", 1_000)
    vault.put_many(items([b"x" * 900, b"y" * 900, b"z" * 5_000, b"!"]))
    home.now += 2
    assert sorted(d.objects for d in vault.ready() if d.objects < 11) == [1, 1, 1, 2]
    check_whole(vault)


def test_roots_copies_and_manifest_agree(home: Home) -> None:
    vault = home.open()
    datas = documents(5, CHUNK + 100)
    vault.put_many(items(datas))
    home.now += 2
    (deposit,) = vault.ready()
    made = vault.roots(deposit.id, CUSTODIANS)
    assert (made.objects, made.size, made.number) == (5, 5 * (CHUNK + 116), None)
    assert made.roots is not None
    assert len(set(made.roots.values())) == 3
    assert vault.roots(deposit.id, tuple(reversed(CUSTODIANS))) == made
    vault.numbered(deposit.id, 4)
    assert vault.ready() == []
    assert [d.number for d in vault.deposits()] == [4]
    for custodian in CUSTODIANS:
        manifest = vault.manifest(4, custodian)
        assert manifest.root == made.roots[custodian]
        for index, entry in enumerate(manifest.entries):
            copy = vault.copy(4, index, custodian)
            assert (copy_root(copy), len(copy)) == (entry.root, entry.size)
            assert open_copy(object_key(deposit.secret.key, entry.name), custodian, copy) == datas[index]
    assert [vault.place(name_of(data)) for data in datas] == [(4, index) for index in range(5)]
    assert code_of(lambda: vault.manifest(4, "court")) == "UNKNOWN_DEPOSIT"
    others = vault.roots(deposit.id, ("court", "lender"))
    assert others.roots is not None
    assert others.roots["lender"] == made.roots["lender"]
    assert vault.manifest(4, "court").root == others.roots["court"]
    assert code_of(lambda: vault.manifest(4, "guarantor")) == "UNKNOWN_DEPOSIT"


def test_a_crash_between_submitting_and_noting_is_recognised_by_equal_roots(home: Home) -> None:
    vault = home.open()
    vault.put_many(items(documents(4)))
    home.now += 2
    made = vault.roots(vault.ready()[0].id, CUSTODIANS)
    assert made.roots is not None
    vault.close()
    vault = home.open()
    assert vault.ready() == [made]
    wrong = {custodian: bytes(32) for custodian in CUSTODIANS}
    assert vault.recognise(3, made.objects, made.size, wrong) is None
    assert vault.recognise(3, made.objects, made.size + 1, made.roots) is None
    found = vault.recognise(3, made.objects, made.size, made.roots)
    assert found is not None
    assert (found.id, found.number) == (made.id, 3)
    assert vault.ready() == []


# -- keys ---------------------------------------------------------------------------------------------------


def test_the_key_rotates_without_a_document_being_written_anew(home: Home) -> None:
    vault = home.open(KEY)
    name = vault.put(b"old")
    before = {path: path.read_bytes() for path in files(home.folder / "store/own")}
    vault.close()
    vault = home.open(SECOND, KEY)
    vault.close()
    vault = home.open(SECOND)  # the old key file is gone
    assert vault.get(name) == b"old"
    assert {path: path.read_bytes() for path in files(home.folder / "store/own")} == before
    vault.rewrap([OFFLINE.public])
    vault.close()
    assert code_of(lambda: home.open(KEY)) == "NO_KEY"
    rescued = home.open(OFFLINE)
    assert rescued.get(name) == b"old"
    rescued.close()
    with pytest.raises(DocumentError, match=r"sealed to the encryption key [0-9a-f]{16}.*add it to keys.encryption"):
        home.open(SigningKey(b"z" * 32))


def test_the_key_file_survives_the_loss_of_either_copy(home: Home) -> None:
    vault = home.open()
    name = vault.put(b"x")
    vault.close()
    (home.folder / "store/vault.key").unlink()
    vault = home.open()
    assert vault.get(name) == b"x"
    vault.close()
    assert (home.folder / "store/vault.key").exists()
    (home.folder / "store/vault.key").write_bytes(b"rubbish")
    assert code_of(home.open) == "DOCUMENT_DAMAGED"


def test_another_store_than_the_indexs_is_noticed(home: Home, tmp_path: Path) -> None:
    home.open().put(b"x")
    other = Home(tmp_path / "other")
    theirs = other.open()
    theirs.put(b"y")
    theirs.close()
    home2 = Home(home.folder, url=other.url)
    (home.folder / "local/index/LOCK").unlink(missing_ok=True)
    index = home.folder / "local"
    moved = tmp_path / "moved"
    shutil.copytree(index, moved / "local")
    home2.folder = moved
    assert code_of(home2.open) == "STORE_MISMATCH"
    home2.url = str(tmp_path / "empty")
    assert code_of(home2.open) == "STORE_MISMATCH"


# -- damage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_segment_is_noticed_and_repaired_by_putting_again(home: Home, damage: str) -> None:
    vault = home.open()
    deposited(vault, home, [b"other"], number=8)
    other = name_of(b"other")
    deposited(vault, home, documents(3), number=9)
    name = name_of(documents(3)[1])
    path = files(home.folder / "store/own")[1]
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[:-360] if damage == "cut" else whole[:-400] + b"!" + whole[-399:])
    assert code_of(lambda: vault.get(name)) == ("DOCUMENT_MISSING" if damage == "gone" else "DOCUMENT_DAMAGED")
    assert vault.get(other) == b"other"
    manifest = vault.manifest(9, "lender")
    vault.put_many(items(documents(3)))
    assert [vault.get(name_of(data)) for data in documents(3)] == documents(3)
    assert vault.manifest(9, "lender") == manifest
    assert copy_root(vault.copy(9, 1, "lender")) == manifest.entries[1].root
    home.now += 2
    assert vault.ready() == []


@pytest.mark.slow
def test_every_byte_of_a_segment_counts(home: Home) -> None:
    vault = home.open()
    name = vault.put(b"thirty-two bytes of a document..")
    (path,) = files(home.folder / "store/own")
    whole = path.read_bytes()
    place = vault._index.place(name)
    assert place is not None
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        if at >= place.offset:
            assert code_of(lambda: vault.get(name)) == "DOCUMENT_DAMAGED"
        else:
            assert vault.get(name)
    vault.close()
    shutil.rmtree(home.folder / "local")
    for at in (0, 17, 25, place.offset - 1):  # in what an index is made again from
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert code_of(home.open) == "DOCUMENT_DAMAGED"
        shutil.rmtree(home.folder / "local")


# -- full and failing disks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_or_failing_disk_loses_nothing_and_serves_nothing_half(
    home: Home, monkeypatch: pytest.MonkeyPatch, error: int, call: str
) -> None:
    vault = home.open()
    kept = vault.put_many(items(documents(3)))
    before = files(home.folder / "store")
    real = os.write

    def fail(*args: Any, **_: Any) -> None:
        if call == "write":
            real(args[0], bytes(args[1])[:10])
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(Path if call == "replace" else os, call, fail)
        found = code_of(lambda: vault.put_many(items(documents(3, first=3))))
    assert found == ("STORE_FAILED" if error == errno.EIO else "STORE_FULL")
    assert [path for path in files(home.folder / "store") if not path.name.startswith(".")] == before
    new = [name_of(data) for data in documents(3, first=3)]
    assert not any(vault.has(name) for name in new)
    assert [vault.get(name) for name in kept] == documents(3)
    assert vault.put_many(items(documents(3, first=3))) == new  # the disk has room again
    assert [vault.get(name) for name in new] == documents(3, first=3)
    vault.close()
    vault = home.open()
    assert [vault.get(name) for name in kept + new] == documents(6)
    check_whole(vault)


def test_what_cannot_be_noted_down_is_not_begun(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = home.open()
    vault.put(b"kept")
    before = files(home.folder / "store")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))
        assert code_of(lambda: vault.put(b"new")) == "STORE_FULL"
    assert files(home.folder / "store") == before
    assert vault.get(vault.put(b"new")) == b"new"


def test_a_write_whose_outcome_is_unknown_gives_its_places_to_nobody_else(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The segment got there, its index rows did not; a deposit gets its number; then the node starts again."""
    vault = home.open()
    vault.put_many(items(documents(2)))

    def fail(_self: Index, _rows: Any) -> None:
        raise DocumentError("STORE_FAILED", "index cannot be written: try again")

    with monkeypatch.context() as patch:
        patch.setattr(Index, "write", fail)
        patch.setattr(Files, "delete", lambda *_: None)
        assert code_of(lambda: vault.put_many(items(documents(2, first=2)))) == "STORE_FAILED"
    home.now += 2
    (deposit,) = vault.ready()
    vault.roots(deposit.id, CUSTODIANS)
    vault.numbered(deposit.id, 0)
    manifest = vault.manifest(0, "lender")
    vault.close()
    vault = home.open()
    assert vault.manifest(0, "lender") == manifest
    assert [vault.get(name_of(data)) for data in documents(4)] == documents(4)
    (deposit,) = vault.ready()
    assert [name for name, _ in vault._index.objects(deposit.id)] == [name_of(d) for d in documents(2, first=2)]
    check_whole(vault)


# -- kills --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_kill_at_any_write_loses_nothing_acknowledged_and_leaves_nothing_half(tmp_path: Path) -> None:
    parts = [documents(3), documents(2, first=3), documents(1, 5_000, first=5)]
    everything = [data for part in parts for data in part]
    seen = set()
    for point in range(200):
        home = Home(tmp_path / str(point))

        def work(acknowledge: Callable[[bytes], None], home: Home = home) -> None:
            vault = home.open()
            for part in parts:
                for name in vault.put_many(items(part)):
                    acknowledge(name)
            home.now += 2
            for number, deposit in enumerate(vault.ready()):
                vault.roots(deposit.id, CUSTODIANS)
                vault.numbered(deposit.id, number)

        acknowledged, ended = killed_at(point, work)
        vault = home.open()
        for name in acknowledged:
            vault.get(name)
        for data in everything:
            if vault.has(name_of(data)):
                assert vault.get(name_of(data)) == data
        home.now += 2
        check_whole(vault)
        assert vault.put_many(items(everything)) == [name_of(data) for data in everything]
        vault.close()
        shutil.rmtree(home.folder)
        seen.add(len(acknowledged))
        if ended:
            break
    else:
        raise AssertionError("it never came to its end")
    assert seen == {0, 3, 5, 6}
    assert point > 20


@pytest.mark.slow
def test_a_kill_while_the_key_changes_leaves_it_to_the_old_or_the_new(tmp_path: Path) -> None:
    for point in range(40):
        home = Home(tmp_path / str(point))
        vault = home.open(KEY)
        name = vault.put(b"x")
        vault.close()

        def work(_: Callable[[bytes], None], home: Home = home) -> None:
            home.open(SECOND, KEY)

        _, ended = killed_at(point, work)
        vault = home.open(SECOND, KEY)
        assert vault.get(name) == b"x"
        vault.close()
        home.open(SECOND).close()
        if ended:
            break
    assert ended
    assert point >= 4


# -- coming back --------------------------------------------------------------------------------------------


def test_a_lost_index_is_made_again_out_of_the_store(home: Home) -> None:
    vault = home.open()
    datas = documents(MAX_OBJECTS + 5, 60)
    vault.put_many(items(datas))
    vault.put_many(items(documents(3, first=5_000), "order"))
    home.now += 2
    known = [vault.roots(deposit.id, CUSTODIANS) for deposit in vault.ready()]
    for number, deposit in enumerate(known):
        vault.numbered(deposit.id, number)
    manifests = [vault.manifest(number, "lender") for number in range(len(known))]
    hold(vault.copies, vault, 0, "lender")
    vault.close()
    shutil.rmtree(home.folder / "local")
    vault = home.open()
    assert [vault.get(name_of(data)) for data in datas] == datas
    assert len(vault.ready()) == 3
    for number, deposit in enumerate(known):
        assert deposit.roots is not None
        found = vault.recognise(number, deposit.objects, deposit.size, deposit.roots)
        assert found is not None
        assert (found.id, found.secret) == (deposit.id, deposit.secret)
    assert [vault.manifest(number, "lender") for number in range(3)] == manifests
    assert list(vault.copies.list()) == [("erp", 0, "lender")]
    assert not any(bad for _, bad in vault.copies.damaged("erp", 0, "lender"))
    assert vault.put_many(items(datas[:2])) == [name_of(data) for data in datas[:2]]
    assert vault.ready() == []


def test_an_owner_that_lost_all_but_its_key_gets_everything_back(home: Home, tmp_path: Path) -> None:
    owner = home.open()
    datas = documents(40, CHUNK)
    deposited(owner, home, datas)
    secret = owner.deposit(0)
    assert secret is not None
    assert secret.roots is not None
    other = Home(tmp_path / "lender").open(SECOND)
    hold(other.copies, owner, 0, "lender")
    manifest = owner.manifest(0, "guarantor")
    fresh = Home(tmp_path / "fresh")
    vault = fresh.open()
    vault.put_many(items([datas[7]]))  # taken in again meanwhile
    fresh.now += 2
    asked: list[int] = []

    def copy(index: int) -> bytes:
        asked.append(index)
        if len(asked) == 20:
            raise DocumentError("STORE_FAILED", "the custodian is away: ask another")
        return other.copies.copy("erp", 0, "lender", index)

    held = other.copies.manifest("erp", 0, "lender")
    assert held is not None
    with pytest.raises(DocumentError, match="away"):
        vault.recover(held, secret.secret, secret.roots, copy)
    assert vault.deposit(0) is None
    vault.recover(held, secret.secret, secret.roots, copy)
    assert 7 not in asked
    assert [vault.get(name_of(data)) for data in datas] == datas
    assert vault.deposit(0) is not None
    assert vault.manifest(0, "guarantor") == manifest
    assert vault.copy(0, 7, "guarantor") == owner.copy(0, 7, "guarantor")
    assert [deposit.objects for deposit in vault.ready()] == [1]
    vault.close()
    shutil.rmtree(fresh.folder / "local")  # and now the index
    vault = fresh.open()
    assert vault.deposit(0) is None
    vault.recover(held, secret.secret, secret.roots, lambda _: b"not asked for")
    again = vault.deposit(0)
    assert again is not None
    assert (again.objects, again.size, again.roots) == (secret.objects, secret.size, secret.roots)
    assert vault.manifest(0, "guarantor") == manifest
    assert vault.copy(0, 7, "guarantor") == owner.copy(0, 7, "guarantor")


def test_a_lying_custodian_gives_nothing_back(home: Home, tmp_path: Path) -> None:
    owner = home.open()
    deposited(owner, home, documents(3))
    known = owner.deposit(0)
    assert known is not None
    assert known.roots is not None
    fresh = Home(tmp_path / "fresh").open()
    for lie in (b"", b"x" * 316, owner.copy(0, 0, "guarantor")):
        with pytest.raises(DocumentError) as raised:
            fresh.recover(owner.manifest(0, "lender"), known.secret, known.roots, _always(lie))
        assert raised.value.code == "WRONG_HASH"
    assert fresh.deposit(0) is None
    assert not fresh.has(name_of(documents(1)[0]))


def _always(copy: bytes) -> Callable[[int], bytes]:
    return lambda _: copy


def test_damaged_documents_come_back_one_by_one(home: Home) -> None:
    vault = home.open()
    deposited(vault, home, documents(3))
    known = vault.deposit(0)
    assert known is not None
    assert known.roots is not None
    manifest = vault.manifest(0, "lender")
    copies = [vault.copy(0, index, "lender") for index in range(3)]
    (path,) = files(home.folder / "store/own")
    data = path.read_bytes()
    path.write_bytes(data[:-20] + b"!" + data[-19:])
    asked: list[int] = []

    def copy(index: int) -> bytes:
        asked.append(index)
        return copies[index]

    vault.recover(manifest, known.secret, known.roots, copy)
    assert asked == [2]
    assert [vault.get(name_of(data)) for data in documents(3)] == documents(3)
    assert vault.manifest(0, "lender") == manifest


@pytest.mark.slow
def test_a_large_document_takes_a_bounded_multiple_of_its_size(home: Home) -> None:
    """In a process of its own, by what its address space came to at most: at rest, as a copy, and in its roots."""
    size = 16 * 1024 * 1024

    def work(acknowledge: Callable[[bytes], None]) -> None:
        vault = home.open()
        vault.put(b"warm")
        data = bytes(size)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        name = vault.put(data)
        del data
        home.now += 2
        for deposit in vault.ready():
            vault.roots(deposit.id, CUSTODIANS)
        assert len(vault.get(name)) == size
        used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        acknowledge(used.to_bytes(32, "big"))

    (said,), ended = killed_at(10_000, work)
    assert ended
    assert int.from_bytes(said, "big") < 3.5 * size  # beside the document itself


def test_what_is_measured_is_the_whole_way(tmp_path: Path) -> None:
    measured = vault_speed.measure(tmp_path, 40, 3_000)
    assert len(measured.lines()) == 6
    assert 0 < measured.get_p50 <= measured.get_p99 < 1
    assert all(cost.clock > 0 for cost in measured.costs)
