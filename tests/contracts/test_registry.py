"""The registry: members, parties, identifiers, the kinds of key, and who may follow a chain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chain.crypto import hash_value
from contracts.context import Args
from contracts.registry import WEAK_KEYS, encryption_keys, has_network_key
from tests.chain.curve import encodings, small_order_points
from tests.contracts.memory_context import CONSORTIUM, START, Ledger, Receipt, key
from tests.contracts.small_consortium import consortium, document

NEWCOMER: dict[str, Any] = {
    "id": "court",
    "role": "court",
    "validator": None,
    "network": key("court network"),
    "signers": [{"key": key("court"), "rights": ["*"]}],
}


@pytest.fixture
def ledger() -> Ledger:
    return consortium()


def call(ledger: Ledger, method: str, signer: str, /, **args: Any) -> Receipt:
    return ledger.call(CONSORTIUM, f"registry.{method}", args, [key(signer)])


def registered(ledger: Ledger, public: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = ledger.read(CONSORTIUM, "registry", "key", public)
    return entry


def approve(ledger: Ledger, document: dict[str, Any]) -> None:
    """Three of four validators vote for a document's hash."""
    change = {"kind": "approve", "hash": hash_value(document), "title": "a document"}
    proposal = ledger.call(CONSORTIUM, "gov.propose", {"change": change}, [key("erp")]).result["id"]
    for voter in ("lender", "guarantor"):
        args: Args = {"proposal": proposal, "accept": True}
        assert ledger.call(CONSORTIUM, "gov.vote", args, [key(voter)]).ok


def test_genesis_members_keys_and_parties(ledger: Ledger) -> None:
    assert ledger.read(CONSORTIUM, "registry", "members") == ["erp", "guarantor", "lender", "office", "procurement"]
    assert ledger.read(CONSORTIUM, "registry", "member", "office")["role"] == "notary"
    assert registered(ledger, key("erp"))["purpose"] == "signer"
    assert registered(ledger, key("erp validator"))["purpose"] == "validator"
    assert registered(ledger, key("erp network"))["purpose"] == "network"
    assert ledger.read(CONSORTIUM, "registry", "party", "acme")["onboarded"] == START
    assert ledger.read(CONSORTIUM, "registry", "identifier", "acme") == "acme"


def test_a_key_may_stand_only_once_in_genesis() -> None:
    members = document()["members"]
    members[0]["network"] = members[1]["network"]
    with pytest.raises(Exception, match="KEY_TAKEN"):
        consortium(members=members)


def test_registering_a_party_onboards_it_at_block_time(ledger: Ledger) -> None:
    receipt = call(ledger, "register_party", "procurement", id="sup", name="Sup Ltd", identifiers=["GB-COH:1", "1"])
    assert receipt.result == {"id": "sup", "onboarded": ledger.time}
    entry = ledger.read(CONSORTIUM, "registry", "party", "sup")
    assert entry["identifiers"] == ["1", "GB-COH:1"]
    assert ledger.read(CONSORTIUM, "registry", "identifier", "GB-COH:1") == "sup"


def test_registering_a_party_is_for_members_that_bring_data(ledger: Ledger) -> None:
    for signer in ("office", "acme"):
        receipt = call(ledger, "register_party", signer, id="sup", name="Sup", identifiers=["x"])
        assert receipt.code == "ROLE_NOT_ALLOWED"


def test_an_identifier_stands_for_one_party(ledger: Ledger) -> None:
    assert call(ledger, "register_party", "erp", id="sup", name="Sup", identifiers=["x"]).ok
    assert call(ledger, "register_party", "erp", id="sup", name="Sup", identifiers=["y"]).code == "PARTY_EXISTS"
    assert call(ledger, "register_party", "erp", id="lender", name="L", identifiers=["y"]).code == "PARTY_EXISTS"
    assert call(ledger, "register_party", "erp", id="sup2", name="Sup", identifiers=["x"]).code == "IDENTIFIER_TAKEN"
    assert (
        call(ledger, "register_party", "erp", id="sup2", name="Sup", identifiers=["z", "z"]).code == "WRONG_ARGUMENT"
    )
    assert call(ledger, "add_identifiers", "lender", party="sup", identifiers=["y"]).ok
    assert ledger.read(CONSORTIUM, "registry", "identifier", "y") == "sup"
    assert call(ledger, "add_identifiers", "lender", party="sup", identifiers=["acme"]).code == "IDENTIFIER_TAKEN"
    assert call(ledger, "add_identifiers", "lender", party="nobody", identifiers=["q"]).code == "UNKNOWN_PARTY"


def test_a_party_brings_keys_and_manages_them(ledger: Ledger) -> None:
    args = {"id": "sup", "name": "Sup", "identifiers": ["x"], "keys": [key("sup")]}
    assert call(ledger, "register_party", "erp", **args).ok
    ledger.next_block()
    assert call(ledger, "rotate_key", "sup", old=key("sup"), new=key("sup 2")).ok
    ledger.next_block()
    assert call(ledger, "revoke_key", "sup", key=key("sup 2")).code == "KEY_NOT_VALID"
    assert call(ledger, "revoke_key", "sup 2", key=key("sup 2")).code == "WOULD_LOCK_OUT"
    assert call(ledger, "add_key", "sup 2", key=key("v"), purpose="validator").code == "WRONG_ARGUMENT"


def test_rotation_passes_on_purpose_and_rights_with_validity_by_height(ledger: Ledger) -> None:
    height = ledger.height
    assert call(ledger, "rotate_key", "erp", old=key("erp network"), new=key("erp network 2")).ok
    old, new = registered(ledger, key("erp network")), registered(ledger, key("erp network 2"))
    assert (old["from"], old["until"]) == (0, height + 1)
    assert (new["purpose"], new["from"], new["until"]) == ("network", height + 1, None)


def opens(ledger: Ledger, owner: str, name: str) -> list[bytes]:
    """The encryption keys valid in this block, as a node reads them from the state."""
    return encryption_keys(SimpleNamespace(height=ledger.height, read=ledger.read), owner, name)


def test_encryption_keys_are_added_rotated_and_revoked_like_others(ledger: Ledger) -> None:
    one, two, three = sorted(key(f"erp encryption {number}") for number in range(3))
    assert opens(ledger, "member", "erp") == []
    assert call(ledger, "add_key", "erp", key=two, purpose="encryption").ok
    assert opens(ledger, "member", "erp") == [], "valid from the next block on"
    ledger.next_block()
    assert call(ledger, "add_key", "erp", key=three, purpose="encryption").ok
    ledger.next_block()
    assert opens(ledger, "member", "erp") == [two, three], "several may be valid at once"
    assert call(ledger, "rotate_key", "erp", old=three, new=one).ok
    assert registered(ledger, one)["purpose"] == "encryption"
    assert opens(ledger, "member", "erp") == [two, three]
    ledger.next_block()
    assert opens(ledger, "member", "erp") == [one, two]
    assert call(ledger, "revoke_key", "erp", key=two).ok, "even the last one may go: nothing is signed with it"
    assert call(ledger, "revoke_key", "erp", key=one).ok
    ledger.next_block()
    assert opens(ledger, "member", "erp") == []
    assert call(ledger, "revoke_key", "lender", key=one).code == "NOT_YOUR_KEY"


def test_an_encryption_key_signs_nothing_and_has_no_rights(ledger: Ledger) -> None:
    with_rights = call(ledger, "add_key", "erp", key=key("e"), purpose="encryption", rights=["*"])
    assert with_rights.code == "WRONG_ARGUMENT"
    assert call(ledger, "add_key", "erp", key=key("e"), purpose="encryption").ok
    ledger.next_block()
    assert call(ledger, "revoke_key", "e", key=key("e")).code == "WRONG_KEY_PURPOSE"
    for weak in sorted(WEAK_KEYS)[:2]:
        assert call(ledger, "add_key", "erp", key=weak, purpose="encryption").code == "WEAK_KEY"


def test_a_party_opens_documents_with_a_key_of_its_own(ledger: Ledger) -> None:
    args = {"id": "sup", "name": "Sup", "identifiers": ["x"], "keys": [key("sup")], "encryption": key("sup e")}
    assert call(ledger, "register_party", "erp", **args).ok
    ledger.next_block()
    assert opens(ledger, "party", "sup") == [key("sup e")]
    assert call(ledger, "rotate_key", "sup", old=key("sup e"), new=key("sup e2")).ok
    assert call(ledger, "add_key", "sup", key=key("sup e3"), purpose="encryption").ok
    ledger.next_block()
    assert opens(ledger, "party", "sup") == sorted([key("sup e2"), key("sup e3")])
    assert call(ledger, "revoke_key", "sup", key=key("sup")).code == "WOULD_LOCK_OUT", "they do not count as signers"
    for purpose in ("network", "validator"):
        assert call(ledger, "add_key", "sup", key=key("n"), purpose=purpose).code == "WRONG_ARGUMENT"
    short = {"id": "s2", "name": "S", "identifiers": ["y"], "encryption": b"short"}
    assert call(ledger, "register_party", "erp", **short).code == "WRONG_ARGUMENT"


def test_encryption_keys_of_the_founders_are_valid_from_the_start() -> None:
    founders = document()
    founders["members"][0]["encryption"] = key("erp encryption")
    founders["parties"][0]["encryption"] = key("acme encryption")
    ledger = consortium(members=founders["members"], parties=founders["parties"])
    assert opens(ledger, "member", "erp") == [key("erp encryption")]
    assert opens(ledger, "party", "acme") == [key("acme encryption")]
    assert opens(ledger, "member", "lender") == []


def test_a_new_member_brings_its_encryption_key(ledger: Ledger) -> None:
    court = {**NEWCOMER, "encryption": key("court encryption")}
    approve(ledger, court)
    assert call(ledger, "admit_member", "erp", document=NEWCOMER).code == "NOT_APPROVED", "another document"
    assert call(ledger, "admit_member", "erp", document=court).ok
    ledger.next_block()
    assert opens(ledger, "member", "court") == [key("court encryption")]


def test_whether_a_member_can_be_reached(ledger: Ledger) -> None:
    def reached() -> bool:
        return has_network_key(SimpleNamespace(height=ledger.height, read=ledger.read), "erp")

    assert reached()
    assert call(ledger, "revoke_key", "erp", key=key("erp network")).ok
    assert reached()
    ledger.next_block()
    assert not reached()
    assert call(ledger, "add_key", "erp", key=key("erp network 2"), purpose="network").ok
    ledger.next_block()
    assert reached()


def test_a_member_says_who_without_a_vote_may_follow_its_chain(ledger: Ledger) -> None:
    assert ledger.read(CONSORTIUM, "registry", "opened", "erp") is None
    for to in ([], ["office"], ["lender", "office"], ["*"]):
        done = call(ledger, "open_chain", "erp", to=to)
        assert done.result == {"to": to}
        assert done.events == [("chain_opened", {"chain": "erp", "to": to})]
        assert ledger.read(CONSORTIUM, "registry", "opened", "erp") == to
    assert ledger.read(CONSORTIUM, "registry", "opened", "lender") is None


@pytest.mark.parametrize(
    ("to", "code"),
    [
        (["stranger"], "UNKNOWN_MEMBER"),
        (["acme"], "UNKNOWN_MEMBER"),
        (["office", "lender"], "WRONG_ARGUMENT"),
        (["lender", "lender"], "WRONG_ARGUMENT"),
        (["*", "lender"], "WRONG_ARGUMENT"),
        (["*", "*"], "WRONG_ARGUMENT"),
        (["Lender"], "WRONG_ARGUMENT"),
        ([7], "WRONG_ARGUMENT"),
        ("*", "WRONG_ARGUMENT"),
    ],
)
def test_chains_that_are_not_opened(ledger: Ledger, to: Any, code: str) -> None:
    assert call(ledger, "open_chain", "erp", to=to).code == code
    assert call(ledger, "open_chain", "acme", to=["*"]).code == "ROLE_NOT_ALLOWED"
    assert ledger.read(CONSORTIUM, "registry", "opened", "erp") is None


def test_a_key_grants_only_what_it_holds(ledger: Ledger) -> None:
    rights = ["registry.add_key", "registry.rotate_key", "records.submit"]
    assert call(ledger, "add_key", "erp", key=key("clerk"), purpose="signer", rights=rights).ok
    ledger.next_block()
    more = call(ledger, "add_key", "clerk", key=key("c2"), purpose="signer", rights=["credit.assess"])
    assert more.code == "RIGHT_MISSING"
    assert call(ledger, "add_key", "clerk", key=key("c2"), purpose="signer", rights=["*"]).code == "RIGHT_MISSING"
    assert call(ledger, "rotate_key", "clerk", old=key("erp"), new=key("c2")).code == "RIGHT_MISSING"
    assert call(ledger, "add_key", "clerk", key=key("c2"), purpose="signer", rights=["records.submit"]).ok


def test_only_ones_own_keys_and_fresh_ones(ledger: Ledger) -> None:
    assert call(ledger, "revoke_key", "erp", key=key("lender")).code == "NOT_YOUR_KEY"
    assert call(ledger, "rotate_key", "erp", old=key("acme"), new=key("n")).code == "NOT_YOUR_KEY"
    taken = call(ledger, "add_key", "erp", key=key("lender"), purpose="signer", rights=["*"])
    assert taken.code == "KEY_TAKEN"
    assert call(ledger, "rotate_key", "erp", old=key("erp"), new=key("erp")).code == "KEY_TAKEN"


def test_nobody_locks_himself_out(ledger: Ledger) -> None:
    assert call(ledger, "revoke_key", "erp", key=key("erp")).code == "WOULD_LOCK_OUT"
    assert call(ledger, "set_threshold", "erp", method="credit.assess", count=2).code == "WOULD_LOCK_OUT"
    assert call(ledger, "add_key", "erp", key=key("erp 2"), purpose="signer", rights=["*"]).ok
    assert call(ledger, "set_threshold", "erp", method="credit.assess", count=2).ok
    assert call(ledger, "revoke_key", "erp", key=key("erp 2")).code == "WOULD_LOCK_OUT"


def test_validator_keys_are_changed_by_vote_only(ledger: Ledger) -> None:
    assert call(ledger, "revoke_key", "erp", key=key("erp validator")).code == "VOTE_NEEDED"
    assert call(ledger, "rotate_key", "erp", old=key("erp validator"), new=key("v")).code == "VOTE_NEEDED"
    assert call(ledger, "add_key", "erp", key=key("v"), purpose="validator").ok
    assert call(ledger, "revoke_key", "erp", key=key("v")).ok  # it never came into the set


def test_no_member_takes_the_id_of_a_party(ledger: Ledger) -> None:
    assert call(ledger, "register_party", "erp", id="court", name="Court", identifiers=["y"]).ok
    approve(ledger, NEWCOMER)
    assert call(ledger, "admit_member", "erp", document=NEWCOMER).code == "MEMBER_EXISTS"


def test_a_member_enters_and_leaves_by_vote(ledger: Ledger) -> None:
    assert call(ledger, "admit_member", "erp", document=NEWCOMER).code == "NOT_APPROVED"
    approve(ledger, NEWCOMER)
    altered = {**NEWCOMER, "role": "lender"}
    assert call(ledger, "admit_member", "erp", document=altered).code == "NOT_APPROVED"
    assert call(ledger, "admit_member", "erp", document=NEWCOMER).ok
    assert "court" in ledger.read(CONSORTIUM, "registry", "members")
    assert call(ledger, "admit_member", "erp", document=NEWCOMER).code == "MEMBER_EXISTS"
    ledger.next_block()
    assert call(ledger, "set_threshold", "court", method="*", count=1).ok
    leave = {"dismiss": "court"}
    approve(ledger, leave)
    assert call(ledger, "dismiss_member", "erp", document=leave).ok
    assert "court" not in ledger.read(CONSORTIUM, "registry", "members")
    ledger.next_block()
    assert call(ledger, "set_threshold", "court", method="*", count=1).code == "KEY_NOT_VALID"


def test_a_member_with_a_vote_cannot_be_dismissed(ledger: Ledger) -> None:
    leave = {"dismiss": "lender"}
    approve(ledger, leave)
    assert call(ledger, "dismiss_member", "erp", document=leave).code == "STILL_VALIDATOR"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": "Court"}, "WRONG_ARGUMENT"),
        ({"id": "consortium"}, "WRONG_ARGUMENT"),
        ({"role": "king"}, "WRONG_ARGUMENT"),
        ({"network": b"short"}, "WRONG_ARGUMENT"),
        ({"encryption": b"short"}, "WRONG_ARGUMENT"),
        ({"signers": []}, "WRONG_ARGUMENT"),
        ({"signers": [{"key": key("c"), "rights": ["credit.everything"]}]}, "UNKNOWN_METHOD"),
        ({"extra": 1}, "UNKNOWN_ARGUMENT"),
    ],
)
def test_member_documents_that_do_not_stand(ledger: Ledger, change: dict[str, Any], code: str) -> None:
    assert call(ledger, "admit_member", "erp", document={**NEWCOMER, **change}).code == code


@pytest.mark.parametrize(
    ("method", "args", "code"),
    [
        ("register_party", {"id": "p"}, "MISSING_ARGUMENT"),
        ("register_party", {"id": "", "name": "n", "identifiers": ["i"]}, "WRONG_ARGUMENT"),
        ("register_party", {"id": " p", "name": "n", "identifiers": ["i"]}, "WRONG_ARGUMENT"),
        ("register_party", {"id": 5, "name": "n", "identifiers": ["i"]}, "WRONG_ARGUMENT"),
        ("register_party", {"id": "p", "name": "n", "identifiers": []}, "WRONG_ARGUMENT"),
        ("register_party", {"id": "p", "name": "n", "identifiers": ["i"], "keys": [b"k"]}, "WRONG_ARGUMENT"),
        ("add_key", {"key": key("n"), "purpose": "master", "rights": ["*"]}, "WRONG_ARGUMENT"),
        ("add_key", {"key": key("n"), "purpose": "signer"}, "WRONG_ARGUMENT"),
        ("add_key", {"key": key("n"), "purpose": "network", "rights": ["*"]}, "WRONG_ARGUMENT"),
        ("add_key", {"key": key("n"), "purpose": "signer", "rights": ["fly"]}, "UNKNOWN_METHOD"),
        ("set_threshold", {"method": "*", "count": 0}, "WRONG_ARGUMENT"),
        ("set_threshold", {"method": "*", "count": True}, "WRONG_ARGUMENT"),
        ("set_threshold", {"method": "fly", "count": 1}, "UNKNOWN_METHOD"),
        ("revoke_key", {"key": "text"}, "WRONG_ARGUMENT"),
        ("revoke_key", {"key": key("erp"), "why": "x"}, "UNKNOWN_ARGUMENT"),
    ],
)
def test_wrong_arguments(ledger: Ledger, method: str, args: Args, code: str) -> None:
    receipt = call(ledger, method, "erp", **args)
    assert receipt.code == code
    assert "\n" not in receipt.message


def test_the_weak_keys_are_all_encodings_of_small_order_points() -> None:
    assert {data for point in small_order_points() for data in encodings(point)} == WEAK_KEYS


def test_a_key_that_anybody_can_sign_for_is_refused(ledger: Ledger) -> None:
    for weak in sorted(WEAK_KEYS):
        assert (
            call(ledger, "register_party", "procurement", id="w", name="W", identifiers=["w"], keys=[weak]).code
            == "WEAK_KEY"
        )
