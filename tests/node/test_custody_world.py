"""Custody as a whole, deterministic: delivery, kills, losses, full stores; real vaults and contract, no processes."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest

from chain.block import CONSORTIUM
from contracts.custody_proofs import chunk_count, sampled_chunk, sampled_object
from node.custody.gauges import add_custody_gauges
from node.custody.messages import GetPiece, Piece, pack_reply, unpack
from tests.custody_world import World, play

QUICK = {"custody_challenge_ms": 2_000, "custody_answer_ms": 1_000}


def slow(value: object) -> object:
    """A variant that only `make test` runs."""
    return pytest.param(value, marks=pytest.mark.slow)


CUSTODIANS = ("guarantor", "lender", "office")


def documents() -> list[bytes]:
    """Some of a deposit: small, empty but one byte, larger than a piece."""
    return [os.urandom(size) for size in (1, 5_000, 700_000)]


async def put(world: World, data: list[bytes], owner: str = "erp") -> list[bytes]:
    """Documents of an owner, in custody when this returns."""
    before = world.book.count(owner)
    names = [world.members[owner].vault.put(each) for each in data]
    await world.until(lambda: world.complete(owner, before + 1), "complete")
    return names


async def is_whole(world: World, names: list[bytes], data: list[bytes], owner: str = "erp") -> None:
    """Every document is at its owner and at every custodian."""
    assert [world.members[owner].vault.get(name) for name in names] == data
    report = await world.members[owner].custody.checker.check()
    assert report.complete, report
    assert report.objects == len(data)


def test_documents_reach_every_custodian(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start()
        data = documents()
        names = await put(world, data)
        assert world.held("erp", 0) == {name: name for name in CUSTODIANS}
        await is_whole(world, names, data)

    play(tmp_path, story)


@pytest.mark.parametrize("frames", [5, *(slow(frames) for frames in (1, 2, 3, 4, 6, 8))])
def test_a_custodian_killed_at_any_moment_goes_on_at_the_byte_where_it_was(tmp_path: Path, frames: int) -> None:
    async def story(world: World) -> None:
        await world.start()
        data, places = documents(), []

        def tap(source: str, _target: str, frame: bytes) -> bytes:
            message = unpack(frame)[1]
            if source == "lender" and isinstance(message, GetPiece):
                places.append((message.index, message.offset))
            return frame

        world.tap = tap
        names = [world.members["erp"].vault.put(each) for each in data]
        await world.until(lambda: world.frames.get(("erp", "lender"), 0) >= frames, "under way")
        await world.kill("lender")
        await trio.sleep(1)
        await world.start("lender")
        await world.until(lambda: world.complete("erp"), "complete", 60)
        assert places.count((0, 0)) <= 2
        await is_whole(world, names, data)

    play(tmp_path, story)


@pytest.mark.parametrize("frames", [3, *(slow(frames) for frames in (0, 1, 2, 5, 8))])
def test_an_owner_killed_at_any_moment_has_one_deposit_and_loses_nothing(tmp_path: Path, frames: int) -> None:
    async def story(world: World) -> None:
        await world.start()
        data = documents()
        names = [world.members["erp"].vault.put(each) for each in data]
        await world.until(
            lambda: world.frames.get(("erp", "lender"), 0) >= frames if frames else world.book.count("erp") == 1,
            "under way",
        )
        await world.kill("erp")
        await trio.sleep(2)
        await world.start("erp")
        await world.until(lambda: world.complete("erp"), "complete", 60)
        await trio.sleep(5)
        assert world.book.count("erp") == 1
        await is_whole(world, names, data)

    play(tmp_path, story)


def test_a_custodian_that_lost_everything_says_so_and_heals(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start()
        data = documents()
        names = await put(world, data)
        await world.kill("lender")
        world.wipe("lender")
        await world.start("lender")
        await world.until(lambda: "lender" not in world.held("erp", 0), "lost")
        await world.until(lambda: world.complete("erp"), "healed", 60)
        assert world.book.record("erp", "lender").lost == 1
        await is_whole(world, names, data)

    play(tmp_path, story)


def test_an_owner_with_nothing_but_its_keys_gets_everything_back(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start()
        first, second = documents(), documents()
        names = await put(world, first) + await put(world, second)
        await world.kill("erp")
        world.wipe("erp")
        await world.start("erp")
        owner = world.members["erp"].custody.owner
        assert owner is not None
        await world.until(lambda: owner.restored == 2, "restored", 60)
        await is_whole(world, names, first + second)
        third = documents()
        await put(world, third)
        assert world.book.count("erp") == 3

    play(tmp_path, story)


@pytest.mark.slow
def test_documents_damaged_at_their_owner_are_read_again_and_taken_back(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start()
        data = documents()
        names = await put(world, data)
        damage(tmp_path / "erp" / "documents" / "own")
        owner = world.members["erp"].custody.owner
        assert owner is not None
        owner.look_again()
        await world.until(lambda: owner.restored == 1, "restored", 60)
        await is_whole(world, names, data)

    play(tmp_path, story)


@pytest.mark.slow
def test_another_custodian_stands_in_for_an_owner_that_is_away(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start()
        data = documents()
        names = await put(world, data)
        await world.kill("erp")
        await world.kill("lender")
        world.wipe("lender")
        await world.start("lender")
        took = await world.until(lambda: world.held("erp", 0).get("lender") in ("guarantor", "office"), "substitute")
        assert took >= 20, "the owner is waited for first"
        assert took <= 60
        await world.start("erp")
        await world.until(lambda: world.complete("erp"), "own copy again", 60)
        await is_whole(world, names, data)
        await world.until(lambda: len(list(world.members["lender"].vault.copies.list())) == 1, "substitute deleted")

    play(tmp_path, story)


@pytest.mark.parametrize("lie", ["byte", slow("short"), slow("long")])
def test_a_lying_owner_is_not_believed_and_others_help_at_once(tmp_path: Path, lie: str) -> None:
    def tap(source: str, target: str, frame: bytes) -> bytes:
        if (source, target) == ("erp", "lender"):
            number, message = unpack(frame)
            if isinstance(message, Piece):
                return pack_reply(number, Piece(bent(message.data, lie)))
        return frame

    async def story(world: World) -> None:
        world.tap = tap
        await world.start()
        data = documents()
        names = [world.members["erp"].vault.put(each) for each in data]
        took = await world.until(lambda: "lender" in world.held("erp", 0), "a substitute")
        assert took < 15
        assert world.held("erp", 0)["lender"] != "lender"
        assert world.members["lender"].log.find("wrong copies offered")
        world.tap = lambda _source, _target, frame: frame
        await world.until(lambda: world.complete("erp"), "complete")
        await is_whole(world, names, data)

    play(tmp_path, story)


@pytest.mark.slow
def test_challenges_are_answered_and_one_that_is_away_fails_and_heals(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start()
        await put(world, documents())
        await world.until(lambda: (world.book.record("erp", "lender") or (0,))[0] >= 3, "three rounds")
        await trio.sleep(1.5)
        assert world.book.record("erp", "lender").failed == 0
        await world.kill("lender")
        await world.until(lambda: world.book.record("erp", "lender").failing, "failing")
        await world.start("lender")
        await world.until(lambda: not world.book.record("erp", "lender").failing, "healed", 60)

    play(tmp_path, story, **QUICK)


@pytest.mark.parametrize("how", [slow("damaged"), slow("others"), slow("others, known as such")])
def test_a_store_with_wrong_copies_is_found_out_by_the_custodian_itself_and_heals(tmp_path: Path, how: str) -> None:
    async def story(world: World) -> None:
        await world.start()
        data = documents()
        names = await put(world, data)
        await world.kill("lender")
        theirs = tmp_path / "guarantor" / "documents" / "copies" / "erp" / "0000000000.guarantor"
        own = tmp_path / "lender" / "documents" / "copies" / "erp" / "0000000000.lender"
        if how == "damaged":
            damage(own)
        elif how == "others":
            shutil.copy(theirs, own)
        else:
            own.unlink()
            shutil.copy(theirs, own.with_name(theirs.name))
            shutil.rmtree(tmp_path / "lender" / "vault")
        await world.start("lender")
        await world.until(lambda: world.held("erp", 0).get("lender") != "lender", "said on the chain")
        await world.until(lambda: world.complete("erp"), "healed", 60)
        await trio.sleep(6)
        assert not world.book.record("erp", "lender").failing
        await is_whole(world, names, data)

    play(tmp_path, story, **QUICK)


@pytest.mark.slow
def test_an_answer_out_of_anothers_copy_is_told_so(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start()
        await put(world, documents())
        await world.kill("lender")
        await world.until(
            lambda: (found := world.book.challenge("erp", "lender")) is not None and found.open, "asked"
        )
        challenge = world.book.challenge("erp", "lender")
        copies = world.members["guarantor"].vault.copies
        manifest = copies.manifest("erp", 0, "guarantor")
        assert manifest is not None
        proofs: list[Any] = []
        for sample in range(len(challenge.deposits)):
            index = sampled_object(challenge.seed, sample, len(manifest.entries))
            size = manifest.entries[index].size
            chunk = sampled_chunk(challenge.seed, sample, size)
            assert chunk < chunk_count(size)
            proofs.append(list(copies.prove("erp", 0, "guarantor", index, chunk)))
        arguments = {"chain": "erp", "round": challenge.round, "proofs": proofs}
        signer = world.consortium.signer("lender")
        made = world.consortium.make(CONSORTIUM, "custody.answer", arguments, [signer])
        world.submit(made.wire)
        await world.until(lambda: world.consortium.ledger.locate(made.id) is not None, "judged")
        place = world.consortium.ledger.locate(made.id)
        assert place is not None
        assert world.consortium.ledger.receipt(place).code == "ANOTHERS_COPY"

    play(tmp_path, story, **QUICK)


@pytest.mark.slow
def test_a_full_store_pauses_says_so_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start()
        data = [os.urandom(3_000_000)]
        names = [world.members["erp"].vault.put(each) for each in data]
        with largest_file(1_000_000):
            await world.until(lambda: paused(world, "lender").startswith("STORE_FULL"), "paused")
            await trio.sleep(7)
            assert world.held("erp", 0) == {}
        took = await world.until(lambda: world.complete("erp"), "complete", 30)
        assert took < 10
        assert all(paused(world, name) == "" for name in CUSTODIANS)
        await is_whole(world, names, data)

    play(tmp_path, story)


@pytest.mark.slow
def test_one_appointed_later_gets_everything_and_one_dismissed_lets_go(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start()
        data = documents()
        names = await put(world, data)
        await world.call("erp", "custody.appoint", custodians=["lender", "procurement"])
        await world.until(lambda: world.complete("erp"), "complete")
        await world.until(lambda: set(world.held("erp", 0)) == {"lender", "procurement"}, "the others let go")
        await is_whole(world, names, data)
        await world.until(lambda: not list(world.members["office"].vault.copies.list()), "deleted")

    play(tmp_path, story)


@pytest.mark.slow
def test_nodes_without_keys_say_why_they_take_no_part(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start("erp", "guarantor", "procurement")
        await world.start("office", signer=False)
        await world.start("lender", encryption=False)
        world.members["erp"].vault.put(b"paper")
        await world.until(lambda: set(world.held("erp", 0)) == {"guarantor", "lender"}, "held")
        await trio.sleep(10)
        assert set(world.held("erp", 0)) == {"guarantor", "lender"}
        for name, word in (("office", "keys.signer"), ("lender", "keys.encryption")):
            assert [word in reason for reason in world.members[name].custody.status()["no_part"]] == [True]
        report = await world.members["erp"].custody.checker.check()
        assert not report.complete
        assert report.custodians["office"].problems == ["deposit 0: not held yet"]

    play(tmp_path, story)


@pytest.mark.slow
def test_a_deposit_that_is_not_what_its_owner_put_on_the_chain_is_not_taken(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        liar = world.open("erp")
        liar.vault.put(b"one paper")
        await trio.sleep(2)
        (deposit,) = liar.vault.ready()
        made = liar.vault.roots(deposit.id, CUSTODIANS)
        liar.vault.numbered(deposit.id, 0)
        liar.vault.close()
        await world.start(*CUSTODIANS)
        roots = dict(made.roots or {})
        await world.call("erp", "custody.deposit", objects=made.objects + 1, bytes=made.size, roots=roots)
        await world.start("erp")
        lender = world.members["lender"].custody.custodian
        assert lender is not None
        await world.until(lambda: "WRONG_SIZE" in lender.problem, "refused")
        await trio.sleep(25)
        assert world.held("erp", 0) == {}

    play(tmp_path, story)


def test_metrics_name_what_an_operator_watches(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start()
        await put(world, [b"paper"])
        text = {}
        for name in ("erp", "lender"):
            registry = CollectorRegistry()
            add_custody_gauges(registry, world.members[name].custody)
            text[name] = generate_latest(registry).decode()
        assert "tally_custody_own_deposits 1.0" in text["erp"]
        assert 'tally_custody_own_held{custodian="lender"} 1.0' in text["erp"]
        assert 'tally_custody_here{chain="erp"} 1.0' in text["lender"]
        assert "tally_custody_paused 0.0" in text["lender"]

    play(tmp_path, story)


def bent(data: bytes, lie: str) -> bytes:
    """Bytes that are not those."""
    if lie == "byte":
        return bytes([data[0] ^ 1]) + data[1:]
    return data[:-1] or b"x" * 2 if lie == "short" else (data + b"x" if len(data) < 180 * 1024 else data[:-2])


def damage(path: Path) -> None:
    """Change a byte near the end of a file, or of each file in a folder."""
    for file in [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]:
        content = bytearray(file.read_bytes())
        content[-100] ^= 1
        file.write_bytes(content)


def paused(world: World, name: str) -> str:
    """What a custodian says of its store."""
    return str(world.members[name].custody.status()["custodian"]["paused"])


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process grows beyond a size: for those that write, the disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
