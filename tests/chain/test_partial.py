"""A ledger of which only some chains are read: same roots as the full one, and every lie of a server noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chain.block import CONSORTIUM, Block, Head, Header, MemberBlock
from chain.certificate import Certificate
from chain.codec import decode, encode
from chain.crypto import hash_value, sha256
from chain.partial import PartialLedger
from chain.partial_run import ContradictionError, Run
from chain.partial_view import NotFollowedError
from chain.parts import ChainBlock, Part, PartError, chain_block_of, part_of
from chain.proof import prove_record_by_id, prove_state, prove_transaction
from chain.state import EMPTY_ROOT, ProofError, StateTree
from chain.store import MemoryStore
from chain.transition import heads_root
from chain.verification import verify_proof
from chain.view import LedgerError, PrunedError
from chain.witness import Opening, open_keys
from tests.chain.chain_builder import VOTERS, Consortium, key_of, record, record_key, vote_in

FOLLOW = ("erp",)


@pytest.fixture
def full() -> Consortium:
    """Blocks with and without transactions of the chain that is followed, and of the consortium."""
    consortium = Consortium()
    consortium.seal(consortium.party("kestrel"), consortium.submit("erp", record("1"), record("2")))
    consortium.seal()
    consortium.seal(consortium.submit("guarantor", record("1")))
    consortium.seal(consortium.submit("erp", record("3")), consortium.party("osprey"))
    return consortium


def opened(full: Consortium, follow: tuple[str, ...] = FOLLOW, store: MemoryStore | None = None) -> PartialLedger:
    return PartialLedger.create(store or MemoryStore(), full.document, follow)


def sync(full: Consortium, partial: PartialLedger) -> int:
    """Take everything over from the full ledger; how many questions about witnesses that took."""
    partial.take(part_of(full.ledger, height) for height in range(partial.height + 1, full.ledger.height + 1))
    return sum(execute(full, partial, chain) for chain in partial.follow)


def execute(full: Consortium, partial: PartialLedger, chain: str) -> int:
    questions = 0
    while (coming := partial.pending(chain)) is not None:
        run = partial.begin(chain, chain_block_of(full.ledger, chain, coming.head.height))
        questions += finish(full, partial, run)
        partial.commit(run)
    return questions


def finish(full: Consortium, partial: PartialLedger, run: Run) -> int:
    questions = 0
    while keys := run.wanted():
        questions += 1
        answer(full, partial, run, keys)
    return questions


def answer(full: Consortium, partial: PartialLedger, run: Run, keys: list[bytes]) -> None:
    height = run.header.height - 1
    values = []
    for key in keys:
        value = full.ledger.state_bytes(CONSORTIUM, key, height)
        values.append(None if key in partial.known and partial.known[key] == value else value)
    run.prove(keys, open_keys(full.ledger.tree(CONSORTIUM, height), keys), values, partial.known)


def test_a_followed_chain_has_the_state_the_full_ledger_has(full: Consortium) -> None:
    partial = opened(full)
    sync(full, partial)
    assert partial.height == full.ledger.height
    assert partial.head == full.ledger.head
    assert partial.tree("erp").root == full.ledger.tree("erp").root
    for height in range(full.ledger.height + 1):
        assert partial.heads(height) == full.ledger.heads(height)
        for number in ("1", "3"):
            key = record_key(number)
            assert partial.state_bytes("erp", key, height) == full.ledger.state_bytes("erp", key, height)


def test_what_is_not_followed_is_refused_never_answered(full: Consortium) -> None:
    partial = opened(full)
    sync(full, partial)
    questions: list[Callable[[], Any]] = [
        lambda: partial.state("guarantor", record_key("1")),
        lambda: partial.tree("guarantor"),
        lambda: partial.member_block("guarantor", 1),
        lambda: partial.state(CONSORTIUM, encode(["registry", "members"])),
        lambda: partial.block_bytes(1),
    ]
    for question in questions:
        with pytest.raises(NotFollowedError):
            question()
    with pytest.raises(LedgerError, match="no chain"):
        partial.state("nobody", record_key("1"))


def test_nothing_of_another_chain_is_in_its_store(full: Consortium) -> None:
    canary = "canary-7f3a"
    full.seal(full.submit("guarantor", record("9", item=canary)), full.submit("erp", record("9", item="own-7f3a")))
    partial = opened(full)
    sync(full, partial)
    kept = b"".join(key + value for key, value in partial.store.scan(b"", b"\xff" * 9))
    assert canary.encode() not in kept
    assert b"own-7f3a" in kept


def test_reopened_it_goes_on_where_it_was(full: Consortium) -> None:
    store = MemoryStore()
    sync(full, opened(full, store=store))
    full.seal(full.submit("erp", record("4")))
    again = PartialLedger(store, full.network_id, FOLLOW)
    questions = sync(full, again)
    assert again.tree("erp").root == full.ledger.tree("erp").root
    assert questions == 1, "the values known from before are proven in one question"


def test_a_chain_followed_later_is_executed_from_its_first_block(full: Consortium) -> None:
    store = MemoryStore()
    sync(full, opened(full, store=store))
    wider = PartialLedger(store, full.network_id, ("erp", "guarantor"))
    assert wider.executed_up_to("guarantor") == 2
    assert wider.executed_up_to("erp") == wider.height
    with pytest.raises(PrunedError, match="executed up to block 2"):
        wider.state("guarantor", record_key("1"), 3)
    execute(full, wider, "guarantor")
    assert wider.tree("guarantor").root == full.ledger.tree("guarantor").root


def test_a_chain_may_be_followed_before_it_is_there(full: Consortium) -> None:
    partial = opened(full, ("erp", "insurer"))
    sync(full, partial)
    with pytest.raises(LedgerError, match="no chain 'insurer'"):
        partial.state("insurer", record_key("1"))


def test_a_changed_consortium_value_is_taken_from_the_witness(full: Consortium) -> None:
    partial = opened(full)
    sync(full, partial)
    old, new = full.signer("erp"), full.key("erp", "second")
    full.seal(full.call("erp", "registry.rotate_key", old=old.public, new=new.public))
    refused = full.submit("erp", record("5"))
    full.seal(refused)
    sync(full, partial)
    assert partial.receipt(partial.locate(refused.id)).code == "KEY_NOT_VALID"  # type: ignore[arg-type]  # it is there
    assert partial.tree("erp").root == full.ledger.tree("erp").root


def of_enterprise(name: str) -> bytes:
    value = decode(record(name))
    value[5] = name
    return encode(value)


def test_many_new_consortium_values_take_few_questions(full: Consortium) -> None:
    names = [f"GB-COH:{number}" for number in range(40)]
    for n, name in enumerate(names):
        full.seal(full.call("procurement", "registry.register_party", id=f"p{n}", name="P", identifiers=[name]))
    full.seal(full.submit("erp", *map(of_enterprise, names)))
    assert full.ledger.receipts(full.ledger.height)["erp"][0].status == 0
    partial = opened(full)
    partial.take(part_of(full.ledger, height) for height in range(1, full.ledger.height + 1))
    assert execute(full, partial, "erp") <= 3 + 4
    assert partial.tree("erp").root == full.ledger.tree("erp").root


def test_two_chains_that_read_the_same_new_value_at_the_same_time(full: Consortium) -> None:
    """While one waits for its proof the other may be done: what it learned is not what the first one's run had."""
    partial = opened(full, ("erp", "guarantor"))
    sync(full, partial)
    full.seal(full.call("procurement", "registry.register_party", id="p", name="P", identifiers=["GB-COH:7"]))
    batch = of_enterprise("GB-COH:7")
    full.seal(full.submit("erp", batch), full.submit("guarantor", batch))
    partial.take(part_of(full.ledger, height) for height in range(partial.height + 1, full.ledger.height + 1))
    runs = []
    for chain in partial.follow:
        coming = partial.pending(chain)
        assert coming is not None
        run = partial.begin(chain, chain_block_of(full.ledger, chain, coming.head.height))
        runs.append((run, run.wanted()))
    for run, keys in runs:
        answer(full, partial, run, keys)
        finish(full, partial, run)
        partial.commit(run)
    for chain in partial.follow:
        assert partial.tree(chain).root == full.ledger.tree(chain).root


def test_validators_that_take_over_are_followed_and_provable(full: Consortium) -> None:
    members = ("erp", "guarantor", "lender")
    rows = [[member, full.key(member, "validator").public] for member in members]
    vote_in(full, {"kind": "validators", "set": rows})
    full.seal()
    full.seal()
    sealed = full.submit("erp", record("6"))
    full.seal(sealed)
    partial = opened(full)
    sync(full, partial)
    assert partial.validators() == full.ledger.validators()
    assert partial.validators().ids == members
    assert verify_proof(prove_transaction(partial, sealed.id), full.network_id).height == full.ledger.height


def test_a_member_admitted_later_has_its_chain(full: Consortium) -> None:
    partial = opened(full)
    sync(full, partial)
    signer = key_of("test", "insurer", "signer")
    document = {
        "id": "insurer", "role": "insurer", "validator": None,
        "network": key_of("test", "insurer", "network").public, "signers": [{"key": signer.public, "rights": ["*"]}],
    }  # fmt: skip
    vote_in(full, {"kind": "approve", "hash": hash_value(document), "title": "insurer"})
    full.seal(full.call("erp", "registry.admit_member", document=document))
    full.seal(full.submit("insurer", record("1")))
    sync(full, partial)
    assert partial.since["insurer"] == full.ledger.height
    assert partial.newest("insurer").height == 1
    assert partial.heads(partial.height) == full.ledger.heads(full.ledger.height)
    wider = PartialLedger(partial.store, full.network_id, ("erp", "insurer"))
    execute(full, wider, "insurer")
    assert wider.tree("insurer").root == full.ledger.tree("insurer").root


def test_its_proofs_of_what_it_follows_stand(full: Consortium) -> None:
    partial = opened(full)
    sync(full, partial)
    one = sha256(record("1"))
    assert verify_proof(prove_record_by_id(partial, one), full.network_id).subject["record_id"] == one.hex()
    assert verify_proof(prove_state(partial, "erp", record_key("3"), 3), full.network_id).subject["value"] is None
    assert verify_proof(prove_state(partial, "erp", record_key("3")), full.network_id).height == 4


def test_notices_are_those_of_the_full_ledger(full: Consortium) -> None:
    full.seal(full.call("guarantor", "custody.appoint", custodians=["lender", "procurement"]))
    partial = opened(full)
    sync(full, partial)
    notices = list(full.ledger.store.scan(b"e", b"f"))
    assert notices
    assert list(partial.store.scan(b"e", b"f")) == notices


def test_its_view_stays_while_it_goes_on(full: Consortium) -> None:
    partial = opened(full)
    sync(full, partial)
    view = partial.view()
    full.seal(full.submit("erp", record("8")))
    sync(full, partial)
    assert view.height == 4
    assert view.executed_up_to("erp") == 4
    assert view.state("erp", record_key("8")) is None
    assert partial.state("erp", record_key("8")) is not None
    assert len(view.block(4).member_txs) == 1
    assert len(view.receipts(4)[CONSORTIUM]) == 2
    view.close()


# -- lies ---------------------------------------------------------------------------------------------------


def header_of(part: Part) -> Header:
    return Header.decode(part.header)


def resealed(full: Consortium, part: Part, **changes: Any) -> Part:
    """The part with another header, which a quorum signed: what only faulty validators can make."""
    header = replace(header_of(part), **changes)
    block = Block(header, None, (), ())
    return replace(part, header=header.encoded, certificate=full.certify(block, signers=VOTERS).encode())


def other_network(_full: Consortium) -> Part:
    other = Consortium("other")
    other.seal()
    return part_of(other.ledger, 1)


def too_few_signers(full: Consortium) -> Part:
    part = part_of(full.ledger, 1)
    whole = Certificate.decode(part.certificate)
    return replace(part, certificate=replace(whole, signatures=whole.signatures[:-1]).encode())


def one_signer_twice(full: Consortium) -> Part:
    part = part_of(full.ledger, 1)
    whole = Certificate.decode(part.certificate)
    twice = (*whole.signatures[:-1], whole.signatures[0])
    return replace(part, certificate=replace(whole, signatures=twice).encode())


def certificate_of_another_header(full: Consortium) -> Part:
    part = part_of(full.ledger, 1)
    header = replace(header_of(part), time=header_of(part).time + 1)
    return replace(part, header=header.encoded)


def without_a_transaction(full: Consortium) -> Part:
    part = part_of(full.ledger, 1)
    return replace(part, transactions=part.transactions[:-1], receipts=part.receipts[:-1])


def altered_transaction(full: Consortium) -> Part:
    return replace(part_of(full.ledger, 1), transactions=(full.party("jackdaw").wire,))


def altered_receipt(full: Consortium) -> Part:
    part = part_of(full.ledger, 1)
    return replace(part, receipts=(part.receipts[0], part.receipts[0]))


def without_a_head(full: Consortium) -> Part:
    return replace(part_of(full.ledger, 1), heads=())


def wrong_head(full: Consortium) -> Part:
    part = part_of(full.ledger, 1)
    head = replace(Head.decode(part.heads[0]), state_root=EMPTY_ROOT)
    return replace(part, heads=(head.leaf(),))


def leaping_head(full: Consortium) -> Part:
    part = part_of(full.ledger, 1)
    return replace(part, heads=(replace(Head.decode(part.heads[0]), height=2).leaf(),))


def unasked_validators(full: Consortium) -> Part:
    return replace(part_of(full.ledger, 1), validators=full.ledger.validators().to_value())


def a_later_one(full: Consortium) -> Part:
    return part_of(full.ledger, 2)


LIES: dict[Callable[[Consortium], Part], str] = {
    other_network: "WRONG_NETWORK",
    a_later_one: "NOT_NEXT",
    too_few_signers: "WRONG_CERTIFICATE",
    one_signer_twice: "WRONG_CERTIFICATE",
    certificate_of_another_header: "WRONG_CERTIFICATE",
    without_a_transaction: "WRONG_TRANSACTIONS",
    altered_transaction: "WRONG_TRANSACTIONS",
    altered_receipt: "WRONG_RECEIPTS",
    without_a_head: "WRONG_HEADS",
    wrong_head: "WRONG_HEADS",
    leaping_head: "WRONG_HEADS",
    unasked_validators: "WRONG_VALIDATORS",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_wrong_part_is_named_and_the_true_one_taken_after_it(
    full: Consortium, lie: Callable[[Consortium], Part]
) -> None:
    partial = opened(full)
    with pytest.raises(PartError) as refusal:
        partial.take([lie(full)])
    assert refusal.value.code == LIES[lie]
    assert "\n" not in str(refusal.value)
    assert partial.height == 0
    sync(full, partial)
    assert partial.tree("erp").root == full.ledger.tree("erp").root


def test_parts_before_a_wrong_one_are_kept(full: Consortium) -> None:
    partial = opened(full)
    with pytest.raises(PartError):
        partial.take([part_of(full.ledger, 1), part_of(full.ledger, 3)])
    assert partial.height == 1


def test_validators_that_were_not_voted_in_do_not_take_over(full: Consortium) -> None:
    partial = opened(full)
    rows = [[member, full.key(member, "validator").public] for member in VOTERS[:3]]
    vote_in(full, {"kind": "validators", "set": rows})
    full.seal()
    partial.take([part_of(full.ledger, height) for height in range(1, full.ledger.height)])
    part = part_of(full.ledger, full.ledger.height)
    assert part.validators is not None
    strangers = [*part.validators[:3], [["erp", key_of("x", "erp", "validator").public]]]
    for other in (None, strangers):
        with pytest.raises(PartError) as refusal:
            partial.take([replace(part, validators=other)])
        assert refusal.value.code == "WRONG_VALIDATORS"
    assert partial.take([part]) == 1


def test_a_certified_fork_stops_everything(full: Consortium) -> None:
    partial = opened(full)
    partial.take([part_of(full.ledger, 1)])
    part = resealed(full, part_of(full.ledger, 2), parent_hash=bytes(32))
    with pytest.raises(ContradictionError) as refusal:
        partial.take([part])
    assert refusal.value.code == "FORKED"


def started(full: Consortium) -> PartialLedger:
    partial = opened(full)
    partial.take(part_of(full.ledger, height) for height in range(1, full.ledger.height + 1))
    return partial


def test_another_member_block_is_refused(full: Consortium) -> None:
    partial = started(full)
    true = chain_block_of(full.ledger, "erp", 1)
    later, others = chain_block_of(full.ledger, "erp", 2), chain_block_of(full.ledger, "guarantor", 1)
    for other in (later, others, ChainBlock(b"\x90", ())):
        with pytest.raises(PartError) as refusal:
            partial.begin("erp", other)
        assert refusal.value.code == "WRONG_BLOCK"
    partial.begin("erp", true)


def test_altered_or_omitted_transactions_are_refused(full: Consortium) -> None:
    partial = started(full)
    true = chain_block_of(full.ledger, "erp", 1)
    for wires in ((), (full.submit("erp", record("1")).wire,), (b"\x90",)):
        with pytest.raises(PartError) as refusal:
            partial.begin("erp", replace(true, transactions=wires))
        assert refusal.value.code == "WRONG_TRANSACTIONS"


def test_a_wrong_witness_is_refused_and_the_true_one_taken_after_it(full: Consortium) -> None:
    partial = started(full)
    run = partial.begin("erp", chain_block_of(full.ledger, "erp", 1))
    keys = run.wanted()
    tree = full.ledger.tree(CONSORTIUM, 0)
    values = [full.ledger.state_bytes(CONSORTIUM, key, 0) for key in keys]
    opening = open_keys(tree, keys)
    other_tree = open_keys(full.ledger.tree(CONSORTIUM, 1), keys)
    lies: list[tuple[Any, list[bytes | None]]] = [
        (opening, [b"\x80", *values[1:]]),
        (opening, [None, *values[1:]]),
        (opening, values[:-1]),
        (other_tree, values),
        (opening[:-1], values),
        ([*opening, b""], values),
        ([[None, None, None, None]] * 200, values),
        ([], values),
        (7, values),
        (open_keys(tree, keys[:1]), values),
    ]
    for nodes, given in lies:
        with pytest.raises(PartError) as refusal:
            run.prove(keys, nodes, given, {})
        assert refusal.value.code == "WRONG_WITNESS"
    with pytest.raises(ValueError, match="not over"):
        run.outcome()
    run.prove(keys, opening, values, {})
    finish(full, partial, run)
    partial.commit(run)
    assert partial.executed("erp").own == 1


def test_roots_that_do_not_follow_from_the_transactions_stop_everything(full: Consortium) -> None:
    """Certified all the same: only a quorum of faulty validators makes it, and only execution notices."""
    partial = opened(full)
    true = chain_block_of(full.ledger, "erp", 1)
    block = replace(MemberBlock.decode(true.header), state_root=bytes(32))
    head = replace(Head.decode(part_of(full.ledger, 1).heads[0]), hash=block.hash, state_root=bytes(32))
    heads = {each.chain: each for each in full.ledger.heads(0)} | {"erp": head}
    part = resealed(full, part_of(full.ledger, 1), heads_root=heads_root(heads, list(heads)))
    partial.take([replace(part, heads=(head.leaf(),))])
    run = partial.begin("erp", replace(true, header=block.encoded))
    with pytest.raises(ContradictionError) as refusal:
        finish(full, partial, run)
    assert refusal.value.code == "WRONG_ROOTS"
    assert "state_root" in str(refusal.value)


# -- openings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 16, 17, 400])
def test_an_opening_shows_presence_and_absence(count: int) -> None:
    entries = {f"key {number}".encode(): str(number).encode() for number in range(count)}
    tree = StateTree.empty().updated(entries.items())
    asked = [*list(entries)[:: max(1, count // 20)], b"absent", b"key 999999"]
    opening = Opening(tree.root, open_keys(tree, asked))
    for key in asked:
        opening.check(key, entries.get(key))
        with pytest.raises(ProofError):
            opening.check(key, b"other")
    if count > 100:
        unopened = [key for key in entries if key not in asked]
        with pytest.raises(ProofError, match="does not open"):
            list(map(opening.value_hash, unopened))


def test_an_opening_is_smaller_than_a_proof_for_each_key() -> None:
    entries = {f"key {number}".encode(): bytes(32) for number in range(20_000)}
    tree = StateTree.empty().updated(entries.items())
    asked = list(entries)[:32]
    together = len(encode(open_keys(tree, asked)))
    assert together < 0.8 * sum(len(encode(tree.prove(key))) for key in asked)
