"""Who may connect and who votes follow the registry at the head; looking again costs nothing while it is the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing

from chain.block import CONSORTIUM
from chain.crypto import SigningKey, hash_value
from node.config_types import Address
from node.links import PeerAddress
from node.membership import Membership, problem_in_genesis, with_parting
from node.peer import FAREWELL_S, Peer
from tests.chain.chain_builder import VOTERS, Consortium, key_of, vote_in
from tests.node.test_sync import NodeLog

OWN = "joiner"
"""Whose node this is."""
PLACES = {"erp": Address("192.0.2.1", 4101), "newcomer": Address("192.0.2.9", 4109)}


@pytest.fixture
def consortium() -> Consortium:
    return Consortium("membership")


def membership(consortium: Consortium, early: dict[str, bytes] | None = None) -> Membership:
    return Membership(
        lambda key: consortium.ledger.parent.readers[CONSORTIUM].shared(key),
        lambda: consortium.ledger.height,
        chains=lambda: consortium.ledger.chains,
        own_key=key_of("newcomer", OWN, "network").public,
        addresses=PLACES,
        early_keys=early or {},
    )


def network_key(consortium: Consortium, member: str) -> bytes:
    return consortium.key(member, "network").public


def half(member: str) -> dict[str, object]:
    made = {purpose: key_of("newcomer", member, purpose).public for purpose in ("network", "signer", "encryption")}
    return {
        "id": member, "role": "insurer", "validator": None, "network": made["network"],
        "encryption": made["encryption"], "signers": [{"key": made["signer"], "rights": ["*"]}],
    }  # fmt: skip


def admit(consortium: Consortium, member: str) -> None:
    document = half(member)
    vote_in(consortium, {"kind": "approve", "hash": hash_value(document), "title": member})
    consortium.seal(consortium.call("erp", "registry.admit_member", document=document))


def test_the_founders_at_their_addresses(consortium: Consortium) -> None:
    known = membership(consortium)
    assert sorted(known.peers) == ["erp", "guarantor", "lender", "office", "procurement"]
    assert (known.peers["erp"].host, known.peers["erp"].port) == ("192.0.2.1", 4101)
    assert known.peers["office"].host == "", "nobody told this node where it is: it has to dial"
    assert known.voters == frozenset(VOTERS)
    assert known.accepts("erp", network_key(consortium, "erp"))
    assert not known.accepts("erp", network_key(consortium, "lender"))


def test_blocks_that_change_nobody_cost_no_new_work(consortium: Consortium) -> None:
    known = membership(consortium)
    peers = known.peers
    consortium.seal(consortium.party("p"))
    assert known.refresh() is False
    assert known.peers is peers, "not even made anew"


def test_an_admitted_member_comes_and_a_dismissed_one_goes(consortium: Consortium) -> None:
    known = membership(consortium)
    assert known.standing("newcomer") == "unknown"
    admit(consortium, "newcomer")
    assert known.refresh() is True
    assert known.peers["newcomer"].public_key == key_of("newcomer", "newcomer", "network").public
    assert known.peers["newcomer"].host == "192.0.2.9"
    assert known.standing("newcomer") == "member"
    assert "newcomer" not in known.voters

    document = {"dismiss": "newcomer"}
    vote_in(consortium, {"kind": "approve", "hash": hash_value(document), "title": "go"})
    consortium.seal(consortium.call("erp", "registry.dismiss_member", document=document))
    assert known.refresh() is True
    assert "newcomer" not in known.peers
    assert known.standing("newcomer") == "dismissed"


def test_a_second_network_key_stands_beside_the_first_until_that_is_revoked(consortium: Consortium) -> None:
    known = membership(consortium)
    old, new = network_key(consortium, "lender"), SigningKey.from_seed(b"\1" * 32).public
    consortium.seal(consortium.call("lender", "registry.add_key", key=new, purpose="network"))
    assert known.refresh() is True
    assert list(known.peers["lender"].keys) == [new, old], "the newest is tried first"
    consortium.seal(consortium.call("lender", "registry.revoke_key", key=old))
    assert known.refresh() is True
    assert list(known.peers["lender"].keys) == [new]


def test_a_rotated_key_counts_from_the_block_on(consortium: Consortium) -> None:
    known = membership(consortium)
    old, new = network_key(consortium, "lender"), SigningKey.from_seed(b"\2" * 32).public
    consortium.seal(consortium.call("lender", "registry.rotate_key", old=old, new=new))
    assert known.refresh() is True
    assert list(known.peers["lender"].keys) == [new]
    assert "ended with block" in str(known.problem_of("lender", old))
    assert known.problem_of("lender", new) is None


def test_a_new_validator_counts_one_block_early_and_an_old_one_one_block_longer(consortium: Consortium) -> None:
    known = membership(consortium)
    new = consortium.key("office", "validator").public
    consortium.seal(consortium.call("office", "registry.add_key", key=new, purpose="validator"))
    rows = sorted([member, consortium.key(member, "validator").public] for member in (*VOTERS[:3], "office"))
    vote_in(consortium, {"kind": "validators", "set": rows})  # decided in h, in force from h + 2
    assert known.refresh() is True
    assert known.voters == frozenset({*VOTERS, "office"}), "both sets, in the block before it changes"
    consortium.seal()
    assert known.refresh() is True
    assert known.voters == frozenset({*VOTERS[:3], "office"})
    consortium.seal()
    known.refresh()
    assert known.voters == frozenset({*VOTERS[:3], "office"}), "and so it stays"


def test_early_keys_are_for_what_no_block_here_has_yet(consortium: Consortium) -> None:
    fresh, future = SigningKey.from_seed(b"\3" * 32).public, SigningKey.from_seed(b"\4" * 32).public
    known = membership(consortium, {"lender": fresh, "newcomer": future, "erp": network_key(consortium, "guarantor")})
    assert list(known.peers["lender"].keys) == [network_key(consortium, "lender"), fresh]
    assert known.peers["newcomer"].keys == (future,)
    assert known.peers["erp"].keys == (network_key(consortium, "erp"),), "another member's key helps nobody"
    consortium.seal(
        consortium.call("lender", "registry.add_key", key=fresh, purpose="network"),
        consortium.call("lender", "registry.revoke_key", key=fresh),
    )
    consortium.seal(consortium.call("lender", "registry.revoke_key", key=fresh))
    assert known.refresh() is True
    assert list(known.peers["lender"].keys) == [network_key(consortium, "lender")], "the registry's word is the last"


def test_a_dismissed_member_is_not_let_in_by_an_early_key(consortium: Consortium) -> None:
    known = membership(consortium, {"office": SigningKey.from_seed(b"\5" * 32).public})
    document = {"dismiss": "office"}
    vote_in(consortium, {"kind": "approve", "hash": hash_value(document), "title": "go"})
    consortium.seal(consortium.call("erp", "registry.dismiss_member", document=document))
    assert known.refresh() is True
    assert "office" not in known.peers


def test_early_keys_count_until_this_nodes_own_key_is_in_a_block(consortium: Consortium) -> None:
    """They came from one other node: a key that no block had by then was never a member's."""
    forged = SigningKey.from_seed(b"\6" * 32).public
    known = membership(consortium, {"lender": forged, "stranger": forged})
    assert known.accepts("lender", forged)
    assert known.accepts("stranger", forged)
    admit(consortium, OWN)
    assert known.refresh() is True
    assert not known.accepts("lender", forged)
    assert "stranger" not in known.peers
    assert known.accepts("lender", network_key(consortium, "lender"))


def test_a_dismissed_members_chain_stays_as_closed_as_it_was(consortium: Consortium) -> None:
    known = membership(consortium)
    admit(consortium, "newcomer")
    key = key_of("newcomer", "newcomer", "signer")
    consortium.seal(consortium.make(CONSORTIUM, "registry.open_chain", {"to": ["office"]}, [key]))
    document = {"dismiss": "newcomer"}
    vote_in(consortium, {"kind": "approve", "hash": hash_value(document), "title": "go"})
    consortium.seal(consortium.call("erp", "registry.dismiss_member", document=document))
    admit(consortium, OWN)
    known.refresh()
    assert known.closed_to(OWN) == ["newcomer"]
    assert known.closed_to("office") == []


def test_a_chain_is_open_to_voters_its_owner_and_whom_it_names(consortium: Consortium) -> None:
    known = membership(consortium)
    assert known.closed_to("office") == []
    consortium.seal(consortium.call("lender", "registry.open_chain", to=["erp"]))
    assert known.closed_to("office") == ["lender"]
    assert known.closed_to("procurement") == [], "who votes has all"
    assert known.may_follow("office", "erp")
    consortium.seal(consortium.call("lender", "registry.open_chain", to=["erp", "office"]))
    assert known.closed_to("office") == []
    consortium.seal(consortium.call("office", "registry.open_chain", to=[]))
    assert known.closed_to("office") == [], "its own chain it has"


def test_a_node_with_somebody_elses_key_must_not_start(consortium: Consortium) -> None:
    known, key = membership(consortium), network_key(consortium, "lender")
    assert "key of lender" in str(known.problem_of("erp", key))
    assert "signer key" in str(known.problem_of("lender", consortium.signer("lender").public))
    assert known.problem_of("erp", bytes(32)) is None, "it may be in a block that is not here yet"
    assert "says that keys.network is the key of lender" in str(problem_in_genesis(consortium.document, "erp", key))
    assert "has no member 'bank'" in str(problem_in_genesis(consortium.document, "bank", key))
    assert problem_in_genesis(consortium.document, "bank", bytes(32)) is None


def test_members_and_keys_that_part_are_kept_beside_the_new_ones() -> None:
    before = {"a": PeerAddress(b"1", "h", 1, (b"2",)), "b": PeerAddress(b"3"), "c": PeerAddress(b"4")}
    now = {"a": PeerAddress(b"5", "h", 1, (b"2",)), "c": PeerAddress(b"4"), "d": PeerAddress(b"6")}
    kept = with_parting(before, now)
    assert kept["a"] == PeerAddress(b"5", "h", 1, (b"2", b"1")), "the newest key first"
    assert kept == {**now, "a": kept["a"], "b": before["b"]}
    assert with_parting(now, now) == now


class Linked:
    """What a node tells its network: whom it may be linked to."""

    def __init__(self) -> None:
        self.peers: frozenset[str] = frozenset()

    def set_peers(self, peers: Mapping[str, PeerAddress], _voters: Collection[str]) -> None:
        self.peers = frozenset(peers)


def test_who_parts_keeps_nobody_else_waiting(consortium: Consortium) -> None:
    """A network that lacks the newcomer's vote commits no further block: its admission must not wait for one."""
    known, linked, log = membership(consortium), Linked(), NodeLog()
    driver = SimpleNamespace(committed=trio.Event())
    peer: Any = SimpleNamespace(
        driver=driver, membership=known, network=linked, log=log, ledger=consortium.ledger, member="erp",
        keys=SimpleNamespace(network=consortium.key("erp", "network")), _linked_to=known.peers,
    )  # fmt: skip

    def commit() -> None:
        before, driver.committed = driver.committed, trio.Event()
        before.set()

    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Peer._follow_membership, cast("Peer", peer))
            await trio.testing.wait_all_tasks_blocked()
            document = {"dismiss": "office"}
            vote_in(consortium, {"kind": "approve", "hash": hash_value(document), "title": "go"})
            consortium.seal(consortium.call("erp", "registry.dismiss_member", document=document))
            commit()
            await trio.sleep(FAREWELL_S / 2)
            assert "office" in linked.peers, "it may still learn why"
            admit(consortium, "newcomer")
            commit()
            await trio.sleep(FAREWELL_S / 4)
            assert {"newcomer", "office"} <= linked.peers
            await trio.sleep(FAREWELL_S / 2)
            assert "office" not in linked.peers, "another's coming does not prolong its stay"
            assert linked.peers == set(known.peers)
            nursery.cancel_scope.cancel()

    trio.run(scenario, clock=trio.testing.MockClock(autojump_threshold=0))
