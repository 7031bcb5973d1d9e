"""Who gets what over the custody channel: owners, custodians, readers, readers no more, strangers, liars."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from chain.crypto import SigningKey
from node.custody.errors import CustodyError
from node.custody.messages import (
    Done,
    GetKeys,
    GetManifest,
    GetPiece,
    GetVersions,
    Keys,
    Listing,
    Locate,
    Piece,
    Place,
    Prove,
    PutKeys,
    Refused,
    Request,
    Versions,
    pack_reply,
    unpack,
)
from node.envelope import KeyList, Recipient, make_key_list
from tests.custody_world import World, key, play

LARGE = 1_000_000


async def ready(world: World, reader: str = "procurement") -> tuple[bytes, bytes]:
    """A document of erp in custody at guarantor and lender, ``reader`` named for it, procurement no custodian."""
    await world.start()
    await world.call("erp", "custody.appoint", custodians=["guarantor", "lender"])
    await world.call("erp", "custody.name_readers", rules={"invoice": [reader]})
    data = os.urandom(LARGE)
    name = world.members["erp"].vault.put(data, ("invoice",))
    await world.until(lambda: world.complete("erp"), "complete")
    return name, data


async def refused(fetch: Callable[[], Awaitable[object]], code: str) -> None:
    """A fetch that must be refused with a code."""
    with pytest.raises(CustodyError) as caught:
        await fetch()
    assert caught.value.code == code, caught.value


@pytest.mark.slow
def test_a_reader_gets_the_document_from_its_owner_and_from_custodians(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        name, data = await ready(world)
        reader = world.members["procurement"].custody
        assert await reader.fetch("erp", name) == data
        await world.kill("erp")
        assert await reader.fetch("erp", name) == data
        await world.kill("guarantor")
        assert await reader.fetch("erp", name) == data
        await world.kill("lender")
        await refused(lambda: reader.fetch("erp", name), "NOT_FOUND")

    play(tmp_path, story)


def test_members_that_nobody_named_get_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        name, _ = await ready(world)
        await refused(lambda: world.members["office"].custody.fetch("erp", name), "NOT_A_READER")
        # A custodian may have every copy, and opens none.
        await refused(lambda: world.members["lender"].custody.fetch("erp", name), "NOT_A_READER")
        await refused(lambda: world.members["procurement"].custody.fetch("nobody", name), "UNKNOWN_CHAIN")
        await refused(lambda: world.members["procurement"].custody.fetch("erp", bytes(32)), "NOT_FOUND")

    play(tmp_path, story)


@pytest.mark.slow
def test_a_document_of_two_kinds_is_only_for_who_may_read_both(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await ready(world)
        rules = {"invoice": ["office", "procurement"], "*": ["office"]}
        await world.call("erp", "custody.name_readers", rules=rules)
        name = world.members["erp"].vault.put(b"two kinds", ("invoice", "contract"))
        await world.until(lambda: world.complete("erp", 2), "complete")
        assert await world.members["office"].custody.fetch("erp", name) == b"two kinds"
        await refused(lambda: world.members["procurement"].custody.fetch("erp", name), "NOT_A_READER")

    play(tmp_path, story)


@pytest.mark.parametrize("owner_is_there", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_reader_revoked_in_the_middle_of_a_transfer_gets_no_further_piece(
    tmp_path: Path, owner_is_there: bool
) -> None:
    async def story(world: World) -> None:
        name, _ = await ready(world)
        revoke = world.consortium.call("erp", "custody.name_readers", rules={"invoice": ["office"]})
        if not owner_is_there:
            await world.kill("erp")
        pieces = 0

        def tap(_source: str, target: str, frame: bytes) -> bytes:
            nonlocal pieces
            if target == "procurement" and isinstance(unpack(frame)[1], Piece):
                pieces += 1
                if pieces == 2:
                    world.submit(revoke.wire)
                    world.seal()
            return frame

        world.tap = tap
        await refused(lambda: world.members["procurement"].custody.fetch("erp", name), "READER_REVOKED")
        assert pieces == 2
        everything = [file for file in (tmp_path / "procurement").rglob("*") if file.is_file()]
        assert sum(file.stat().st_size for file in everything) < LARGE / 2, "nothing partial stays"

    play(tmp_path, story)


@pytest.mark.slow
def test_a_new_reader_and_a_rotated_key_need_no_new_copy(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        name, data = await ready(world)
        held = world.book.deposit("erp", 0)
        await world.call("erp", "custody.name_readers", rules={"invoice": ["office", "procurement"]})
        fetched: list[bytes] = []

        async def again(member: str) -> bool:
            try:
                fetched.append(await world.members[member].custody.fetch("erp", name))
            except CustodyError:
                return False
            return True

        await world.until_async(lambda: again("office"), "the new reader reads")
        await world.kill("erp")
        await world.until_async(lambda: again("office"), "from custodians too, which have the new list")
        await world.start("erp")
        old, new = key("procurement", "encryption"), key("procurement", "later")
        await world.call("procurement", "registry.rotate_key", old=old.public, new=new.public)
        await trio.sleep(2)  # its own vault is keyed anew meanwhile
        await world.kill("procurement")
        await world.start("procurement", keys=[new])
        await world.until_async(lambda: again("procurement"), "the new key opens")
        assert set(fetched) == {data}
        assert world.book.deposit("erp", 0) == held, "neither copies nor chain were touched"

    play(tmp_path, story)


@pytest.mark.slow
def test_a_second_key_kept_elsewhere_brings_everything_back(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        spare = key("erp", "spare")
        name, data = await ready(world)
        await world.call("erp", "registry.add_key", key=spare.public, purpose="encryption")
        custodian = world.members["lender"]

        def keyed() -> bool:
            held = custodian.vault.copies.keys("erp", 0)
            return held is not None and spare.public in [row.key for row in KeyList.decode(held).rows]

        await world.until(keyed, "keyed to the spare key")
        await world.kill("erp")
        world.wipe("erp")
        await world.start("erp", keys=[key("erp", "unknown")])
        owner = world.members["erp"].custody.owner
        assert owner is not None
        await world.until(lambda: owner.problem.startswith("NO_KEY"), "says that no key opens it")
        await world.kill("erp")
        world.wipe("erp")
        await world.start("erp", keys=[spare])
        await world.until(lambda: world.members["erp"].vault.has(name), "restored")
        assert world.members["erp"].vault.get(name) == data

    play(tmp_path, story)


def test_who_may_ask_a_custodian_for_what(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        name, _ = await ready(world)
        server = world.members["lender"].custody.server
        held = world.members["lender"].vault.copies.keys("erp", 0)
        assert held is not None

        async def ask(member: str, request: Request) -> str:
            reply = await server.serve(member, request)
            return reply.code if isinstance(reply, Refused) else type(reply).__name__

        everything: list[tuple[Request, type]] = [
            (GetManifest("erp", 0, "lender"), Listing),
            (GetKeys("erp", 0), Keys),
            (GetPiece("erp", 0, "lender", 0, 0, 100), Piece),
            (GetVersions("erp", 0), Versions),
            (Locate("erp", name), Place),
        ]
        for request, kind in everything:
            for member in ("erp", "guarantor"):
                assert await ask(member, request) == kind.__name__
        strange = [await ask("office", request) for request, _ in everything]
        assert strange == ["NOT_A_CUSTODIAN", "NOT_A_READER", "NOT_A_READER", "NOT_A_CUSTODIAN", "NOT_A_READER"]
        reader = [await ask("procurement", request) for request, _ in everything]
        assert reader == ["NOT_A_CUSTODIAN", "Keys", "Piece", "NOT_A_CUSTODIAN", "Place"]
        assert await ask("procurement", PutKeys("erp", 0, held)) == "NOT_THE_OWNER"
        assert await ask("guarantor", Prove("erp", 0, "lender", 0, bytes(32))) == "NOT_THE_OWNER"
        assert await ask("erp", GetManifest("erp", 9, "lender")) == "UNKNOWN_DEPOSIT"
        assert await ask("erp", GetManifest("nobody", 0, "lender")) == "UNKNOWN_DEPOSIT"
        assert await ask("erp", GetManifest("erp", 0, "guarantor")) == "NOT_HELD"
        assert await ask("erp", GetPiece("erp", 0, "lender", 1, 0, 100)) == "WRONG_PLACE"
        assert await ask("erp", GetPiece("erp", 0, "lender", 0, LARGE + 16, 100)) == "WRONG_PLACE"
        assert await ask("erp", Prove("erp", 0, "lender", 1, bytes(32))) == "WRONG_PLACE"
        assert await ask("erp", PutKeys("erp", 0, held)) == Done.__name__
        await world.call("erp", "custody.name_readers", rules={"invoice": ["guarantor"]})
        searched = [await ask(member, Locate("erp", name)) for member in ("procurement", "office", "lender")]
        assert searched == ["READER_REVOKED", "NOT_A_READER", "Place"]

    play(tmp_path, story)


@pytest.mark.slow
def test_only_the_owners_signature_makes_a_key_list(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await ready(world)
        custodian = world.members["lender"]
        before = custodian.vault.copies.keys("erp", 0)
        deposit = world.members["erp"].vault.deposit(0)
        assert deposit is not None

        async def offer(signer: SigningKey, number: int = 0, version: int = 10**6) -> str:
            reader = Recipient("member", "office", key("office", "encryption").public)
            network_id = world.consortium.network_id
            made = make_key_list(network_id, "erp", number, version, deposit.secret, [reader], signer)
            reply = await custodian.custody.server.serve("erp", PutKeys("erp", 0, made.encode()))
            return reply.code if isinstance(reply, Refused) else type(reply).__name__

        assert await offer(key("office", "signer")) == "WRONG_SIGNATURE"
        assert await offer(key("erp", "encryption")) == "WRONG_SIGNATURE"
        assert await offer(key("erp", "signer"), number=1) == "WRONG_KEY_LIST"
        reply = await custodian.custody.server.serve("erp", PutKeys("erp", 0, b"nonsense"))
        assert isinstance(reply, Refused)
        assert reply.code == "MALFORMED_KEY_LIST"
        assert await offer(key("erp", "signer"), version=0) == "Done", "an older one is taken note of, and not kept"
        assert custodian.vault.copies.keys("erp", 0) == before

    play(tmp_path, story)


@pytest.mark.slow
@pytest.mark.parametrize("lie", ["place", "piece", "short", "silence"])
def test_a_reader_believes_no_liar_and_asks_the_next(tmp_path: Path, lie: str) -> None:
    async def story(world: World) -> None:
        name, data = await ready(world)

        def tap(source: str, target: str, frame: bytes) -> bytes | None:
            if (source, target) != ("erp", "procurement"):
                return frame
            number, message = unpack(frame)
            match message, lie:
                case Place(), "place":
                    return pack_reply(number, Place(0, "lender", 0, message.size, bytes(32), message.path))
                case Piece(found), "piece":
                    return pack_reply(number, Piece(bytes(len(found))))
                case Piece(found), "short":
                    return pack_reply(number, Piece(found[:-1]))
                case Piece(), "silence":
                    return None
            return frame

        world.tap = tap
        assert await world.members["procurement"].custody.fetch("erp", name) == data

    play(tmp_path, story)


@pytest.mark.slow
def test_a_reader_without_a_key_cannot_be_named(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start("erp")
        await world.call("office", "registry.revoke_key", key=key("office", "encryption").public)
        made = world.consortium.call("erp", "custody.name_readers", rules={"*": ["office"]})
        world.submit(made.wire)
        await world.until(lambda: world.consortium.ledger.locate(made.id) is not None, "judged")
        place = world.consortium.ledger.locate(made.id)
        assert place is not None
        assert world.consortium.ledger.receipt(place).code == "NO_ENCRYPTION_KEY"
        await world.start("office", encryption=False)
        await refused(lambda: world.members["office"].custody.fetch("erp", bytes(32)), "NO_ENCRYPTION_KEY")

    play(tmp_path, story)
