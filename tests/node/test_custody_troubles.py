"""One thing that goes wrong in custody keeps nothing else from going on: bad lists and documents, silent members."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trio

from node.custody import custodian
from node.custody.messages import GetPiece, PutKeys, unpack
from node.documents import DocumentError
from node.envelope import KeyList
from node.vault import Copies
from tests.custody_world import World, key, play


async def ready(world: World) -> bytes:
    """A document of erp in custody at guarantor and lender."""
    await world.start()
    await world.call("erp", "custody.appoint", custodians=["guarantor", "lender"])
    await world.call("erp", "custody.name_readers", rules={"invoice": ["procurement"]})
    name = world.members["erp"].vault.put(b"invoice", ("invoice",))
    await world.until(lambda: world.complete("erp"), "complete")
    return name


def readers(world: World, keeper: str, number: int = 0) -> list[str]:
    """Whom the key list that a custodian has of a deposit names."""
    held = world.members[keeper].vault.copies.keys("erp", number)
    return [] if held is None else [row.id for row in KeyList.decode(held).rows]


def test_a_custodian_with_an_old_key_list_does_not_end_the_owners_return(tmp_path: Path) -> None:
    """The first that is asked was away while the spare key was registered; the second has the newer list."""

    def tap(source: str, target: str, frame: bytes) -> bytes | None:
        old = (source, target) == ("erp", "guarantor") and isinstance(unpack(frame)[1], PutKeys)
        return None if old else frame

    async def story(world: World) -> None:
        name = await ready(world)
        spare = key("erp", "spare")
        world.tap = tap
        await world.call("erp", "registry.add_key", key=spare.public, purpose="encryption")
        await world.until(lambda: readers(world, "lender").count("erp") == 2, "keyed to the spare key at one")
        assert readers(world, "guarantor").count("erp") == 1
        await world.kill("erp")
        world.wipe("erp")
        await world.start("erp", keys=[spare])
        await world.until(lambda: world.members["erp"].vault.has(name), "restored", 60)

    play(tmp_path, story)


def test_a_deposit_whose_key_list_could_not_be_written_gets_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_keys, refused = Copies.put_keys, 0

    def full_at_first(self: Copies, *args: Any) -> bool:
        nonlocal refused
        refused += 1
        if refused <= 2:
            raise DocumentError("STORE_FULL", "no room")
        return put_keys(self, *args)

    async def story(world: World) -> None:
        await world.start()
        monkeypatch.setattr(Copies, "put_keys", full_at_first)
        world.members["erp"].vault.put(b"document")
        await world.until(lambda: world.complete("erp"), "complete", 30)

    play(tmp_path, story)


def test_a_document_that_cannot_be_read_keeps_no_other_from_custody(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start()
        vault = world.members["erp"].vault
        for _ in range(6):  # more than are sent at once
            name = vault.put(os.urandom(100), (os.urandom(4).hex(),))
            [segment] = [path for path in (tmp_path / "erp" / "documents" / "own").rglob("0*") if path.is_file()]
            segment.unlink()
            assert vault.has(name)
            (tmp_path / "erp" / "documents" / "own" / "gone").touch()
        good = vault.put(b"good")
        await world.until(lambda: world.complete("erp"), "the one that can be read", 30)
        assert vault.place(good) == (0, 0)
        owner = world.members["erp"].custody.owner
        assert owner is not None
        assert owner.waiting == 6
        assert owner.status()["problem"].startswith("DOCUMENT_MISSING")

    play(tmp_path, story)


def test_a_damaged_key_list_is_made_anew_and_keeps_no_other_from_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await ready(world)
        world.members["erp"].vault.put(b"another", ("invoice",))
        await world.until(lambda: world.complete("erp", 2), "complete")
        world.members["erp"].vault.copies.put_keys("erp", 0, 2**40, b"damaged")
        await world.call("erp", "custody.name_readers", rules={"invoice": ["office"]})
        await world.until(lambda: readers(world, "lender", 1) == ["erp", "office"], "the other list", 30)

    play(tmp_path, story)


def test_a_custodian_that_does_not_answer_keeps_no_other_from_new_lists(tmp_path: Path) -> None:
    def tap(source: str, target: str, frame: bytes) -> bytes | None:
        return None if (source, target) == ("erp", "guarantor") else frame

    async def story(world: World) -> None:
        await ready(world)
        world.tap = tap
        for keeper in ("guarantor", "lender"):
            world.members["erp"].custody.peer_down(keeper)  # asked again now, the one in vain
        await trio.sleep(1)
        await world.call("erp", "custody.name_readers", rules={"invoice": ["office"]})
        await world.until(lambda: readers(world, "lender") == ["erp", "office"], "the list at the other", 3)

    play(tmp_path, story)


@pytest.mark.slow
def test_what_had_begun_to_come_goes_when_others_are_appointed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custodian, "RESCAN_S", 10.0)

    def tap(source: str, target: str, frame: bytes) -> bytes | None:
        request = unpack(frame)[1]
        late = isinstance(request, GetPiece) and (request.index, request.offset) > (0, 0)
        return None if late and (source, target) == ("lender", "erp") else frame

    async def story(world: World) -> None:
        world.tap = tap
        await world.start()
        await world.call("erp", "custody.appoint", custodians=["lender"])
        world.members["erp"].vault.put(os.urandom(500_000))
        copies = world.members["lender"].vault.copies
        staging = tmp_path / "lender" / "vault" / "incoming"
        await world.until(lambda: any(file.stat().st_size > 100_000 for file in staging.rglob("*.lender")), "begun")
        await world.call("erp", "custody.appoint", custodians=["office"])
        await world.until(lambda: world.complete("erp"), "at the other")
        await world.until(lambda: not copies.unfinished(), "forgotten", 60)
        assert not list(staging.rglob("*.lender"))

    play(tmp_path, story)


@pytest.mark.slow
def test_a_member_that_answers_nothing_keeps_no_other_members_documents_waiting(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.tap = lambda source, _target, frame: None if source == "erp" else frame
        await world.start()
        for member in ("erp", "procurement"):
            await world.call(member, "custody.appoint", custodians=["lender"])
        for number in range(8):
            world.members["erp"].vault.put(b"%d" % number, (f"kind-{number}",))
        await world.until(lambda: world.book.count("erp") == 8, "deposits that nobody can take")
        await trio.sleep(30)
        world.members["procurement"].vault.put(b"good")
        assert await world.until(lambda: world.complete("procurement", 1), "the others'") < 15

    play(tmp_path, story)
