"""The committed ledger: what is built is what a replica executes, what is read is what was sealed, at any height."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from chain import keys
from chain import ledger as ledgers
from chain.block import CONSORTIUM, genesis_member_hash
from chain.certificate import CertificateError
from chain.codec import encode
from chain.crypto import ZERO_HASH, SigningKey, hash_value, sha256
from chain.identity import genesis_hash, genesis_validators
from chain.ledger import Ledger, LedgerError, Location, PrunedError
from chain.merkle import EMPTY_ROOT
from chain.state import check_proof
from chain.store import LevelStore, MemoryStore, StoreError, by_height, successor
from chain.transition import GOV_VALIDATORS
from genesis import ceremony
from genesis.dev import make_dev
from node.journal import FileStorage, JournalError
from node.signer import Signer
from tests.chain.chain_builder import (
    Consortium,
    commit,
    document_of,
    key_of,
    record,
    record_key,
    transactions_of,
    vote_in,
)

EVERYTHING = (b"", b"\xff" * 16)


def rows_of(store: MemoryStore | LevelStore) -> dict[bytes, bytes]:
    return dict(store.scan(*EVERYTHING))


@pytest.fixture
def consortium() -> Consortium:
    return Consortium()


def busy(consortium: Consortium) -> None:
    """Six blocks: records on three chains, corrections, parties, refusals, and one block with nothing in it."""
    first = record("D-1")
    consortium.seal(consortium.submit("erp", first, record("D-2")), consortium.party("p1"))
    consortium.seal(consortium.submit("erp", record("D-1", corrects=sha256(first), quantity="13")))
    consortium.seal()
    consortium.seal(
        consortium.submit("lender", record("L-1")),
        consortium.submit("procurement", *(record(f"P-{index}") for index in range(30))),
        consortium.party("p2"),
        consortium.party("p1"),
    )
    consortium.seal(consortium.submit("erp", record("D-1", quantity="14")), consortium.submit("erp", record("D-3")))
    consortium.seal(consortium.call("lender", "registry.add_identifiers", party="p2", identifiers=["GB-COH:77"]))


# -- a real genesis ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``tally genesis dev`` writes."""
    return make_dev(tmp_path_factory.mktemp("dev") / "network", time_ms=1_750_000_000_000).directory


def test_a_dev_consortium_seals_records_and_parties(dev: Path, tmp_path: Path) -> None:
    sealed = ceremony.load_sealed(dev / "genesis.json")
    passphrase = (dev / "passphrase").read_text().strip()

    def key(member: str, purpose: str) -> SigningKey:
        return keys.load(dev / member / "keys" / f"{purpose}.json", passphrase)

    store = LevelStore(tmp_path / "ledger", create=True)
    consortium = Consortium(store=store, document=sealed.document, keys=key)
    assert consortium.network_id == sealed.network_id
    replica = Ledger.create(MemoryStore(), sealed.document)
    first = consortium.seal(consortium.submit("erp", record("D-1"), record("D-2")), consortium.party("p1"))
    second = consortium.seal(consortium.submit("procurement", record("P-1")))
    for block in (first, second):
        certificate = consortium.ledger.certificate(block.height)
        assert certificate is not None
        commit(replica, block, certificate)
    assert replica.head.digest == consortium.ledger.head.digest == second.digest
    for height, chain in ((1, "erp"), (1, CONSORTIUM), (2, "procurement")):
        assert [receipt.status for receipt in replica.receipts(height)[chain]] == [0] * (1 + (chain == CONSORTIUM))
    assert replica.state("erp", record_key("D-2"))["height"] == 1
    store.close()


def test_the_genesis_header_follows_from_the_document() -> None:
    document = document_of()
    one, other = (Ledger.create(MemoryStore(), document) for _ in range(2))
    header = one.head
    assert header == other.head
    chains = sorted(member["id"] for member in document["members"])
    assert (header.height, header.time, header.proposer, header.epoch) == (0, document["time"], "", 0)
    assert header.network_id == genesis_hash(document) == one.network_id
    assert header.parent_hash == header.parent_certificate_hash == ZERO_HASH
    assert header.validators_hash == header.next_validators_hash == genesis_validators(document).hash
    assert (header.chain_count, list(one.chains)) == (len(chains), chains)
    assert (header.tx_count, header.tx_root, header.receipt_root) == (0, EMPTY_ROOT, EMPTY_ROOT)
    assert [(head.chain, head.height, head.hash) for head in one.heads(0)] == [
        (chain, 0, genesis_member_hash(one.network_id, chain)) for chain in chains
    ]
    assert one.document == document
    assert one.certificate(0) is None


def test_each_word_of_the_document_makes_another_network() -> None:
    document = document_of()
    others = [
        document_of("other"),
        document_of(max_idle_ms=5_000),
        {**document, "time": document["time"] + 1},
        {**document, "name": "test "},
    ]
    assert len({genesis_hash(document), *map(genesis_hash, others)}) == 5


# -- replicas ---------------------------------------------------------------------------------------------


def test_a_replica_that_only_executes_holds_the_same_rows(consortium: Consortium) -> None:
    replica_store = MemoryStore()
    replica = Ledger.create(replica_store, consortium.document)
    busy(consortium)
    for height in range(1, 7):
        certificate = consortium.ledger.certificate(height)
        assert certificate is not None
        outcome = commit(replica, consortium.ledger.block(height), certificate)
        assert outcome.header.digest == consortium.ledger.header(height).digest
    store = consortium.ledger.store
    assert isinstance(store, MemoryStore)
    assert rows_of(replica_store) == rows_of(store)


def test_building_writes_nothing(consortium: Consortium) -> None:
    store = consortium.ledger.store
    assert isinstance(store, MemoryStore)
    busy(consortium)
    before = rows_of(store)
    one, _ = consortium.build(transaction := consortium.submit("erp", record("N-1")))
    other, _ = consortium.build(consortium.party("p9"))
    again, _ = consortium.build(transaction)
    assert one.digest == again.digest != other.digest
    consortium.ledger.execute(other)
    assert rows_of(store) == before
    assert consortium.ledger.height == 6


def test_a_member_chain_grows_only_by_its_own_transactions(consortium: Consortium) -> None:
    busy(consortium)
    heads = {head.chain: head.height for head in consortium.ledger.heads(6)}
    assert heads == {"erp": 3, "guarantor": 0, "lender": 1, "office": 0, "procurement": 1}
    parent = genesis_member_hash(consortium.network_id, "erp")
    for height, sealed_in in ((1, 1), (2, 2), (3, 5)):
        block = consortium.ledger.member_block("erp", height)
        assert (block.chain, block.height, block.consortium_height) == ("erp", height, sealed_in)
        assert block.parent_hash == parent
        assert block.time == consortium.ledger.header(sealed_in).time
        parent = block.hash
    assert consortium.ledger.heads(3) == consortium.ledger.heads(2), "a block with nothing in it moves no chain"
    assert consortium.ledger.header(3).heads_root == consortium.ledger.header(2).heads_root


# -- commit -----------------------------------------------------------------------------------------------


def test_only_the_certificate_of_this_block_commits_it(consortium: Consortium) -> None:
    consortium.seal(consortium.party("p1"))
    block, outcome = consortium.build(consortium.party("p2"))
    other, other_outcome = consortium.build(consortium.party("p3"))
    transactions = transactions_of(block)
    good = consortium.certify(block)
    store = consortium.ledger.store
    assert isinstance(store, MemoryStore)
    before = rows_of(store)
    wrong = [
        consortium.certify(other),
        consortium.certify(block, signers=["erp", "lender"]),
        replace(good, height=1),
        replace(good, height=3),
        replace(good, epoch=1),
        replace(good, round=1),
        replace(good, signatures=(*good.signatures[:2], ("office", good.signatures[2][1]))),
    ]
    for certificate in wrong:
        with pytest.raises((LedgerError, CertificateError)):
            consortium.ledger.commit(block, certificate, outcome, transactions)
    with pytest.raises(LedgerError):
        consortium.ledger.commit(block, good, other_outcome, transactions)
    for mistaken in ([], transactions * 2, transactions_of(other)):
        with pytest.raises(LedgerError):
            consortium.ledger.commit(block, good, outcome, mistaken)
    assert rows_of(store) == before
    consortium.ledger.commit(block, good, outcome, transactions)
    with pytest.raises(LedgerError):
        consortium.ledger.commit(block, good, outcome, transactions)
    assert consortium.ledger.height == 2


def test_three_of_four_signatures_are_enough(consortium: Consortium) -> None:
    block, outcome = consortium.build()
    consortium.ledger.commit(block, consortium.certify(block, signers=["erp", "lender", "procurement"]), outcome, [])
    assert consortium.ledger.height == 1


def test_the_certificate_the_next_header_commits_to_becomes_the_one_kept(consortium: Consortium) -> None:
    """Nodes may hold different certificates of a height; that of header h + 1 is canonical (PROTOCOL.md)."""
    replica = Ledger.create(MemoryStore(), consortium.document)
    block, _ = consortium.build(consortium.party("p1"))
    canonical = consortium.certify(block, signers=["erp", "guarantor", "lender"], round_number=2)
    held = consortium.certify(block, signers=["guarantor", "lender", "procurement"])
    commit(consortium.ledger, block, canonical)
    commit(replica, block, held)
    assert replica.certificate(1) == held
    second, _ = consortium.build(consortium.party("p2"))
    commit(replica, second, consortium.certify(second))
    assert replica.certificate(1) == canonical


# -- reads ------------------------------------------------------------------------------------------------


def state_keys(store: MemoryStore, chain: str) -> list[bytes]:
    prefix = b"s" + chain.encode() + b"\x00"
    return [key[len(prefix) :] for key, _ in store.scan(prefix, successor(prefix))]


def test_reads_at_past_heights_are_what_was_there_then(consortium: Consortium) -> None:
    """Every key of every chain, at every height, beside what a ledger that stopped there says."""
    store = consortium.ledger.store
    assert isinstance(store, MemoryStore)
    busy(consortium)
    ledger = consortium.ledger
    stopped = Ledger.create(MemoryStore(), consortium.document)
    everywhere = {chain: state_keys(store, chain) for chain in (*ledger.chains, CONSORTIUM)}
    changed = 0
    for height in range(7):
        if height:
            certificate = ledger.certificate(height)
            assert certificate is not None
            commit(stopped, ledger.block(height), certificate)
        roots = {head.chain: head.state_root for head in ledger.heads(height)}
        roots[CONSORTIUM] = ledger.header(height).state_root
        for chain, listed in everywhere.items():
            tree = ledger.tree(chain, height)
            assert tree.root == stopped.tree(chain).root == roots[chain]
            for key in listed:
                then = stopped.state_bytes(chain, key)
                assert ledger.state_bytes(chain, key, height) == then
                check_proof(roots[chain], key, then, tree.prove(key))
                changed += then != ledger.state_bytes(chain, key)
    assert changed > 100
    assert ledger.state("erp", record_key("D-1"), 1)["record"][12]["quantity"] == "12.5"
    assert ledger.state("erp", record_key("D-1"))["record"][12]["quantity"] == "13"
    assert ledger.state("erp", record_key("D-3"), 4) is None


def test_what_is_not_kept_is_never_answered_with_another_height(consortium: Consortium) -> None:
    consortium.seal(consortium.submit("erp", record("D-1")))
    ledger = consortium.ledger
    for height in (2, 99, -1):
        for read in (ledger.header, ledger.block, ledger.block_bytes, ledger.heads, ledger.receipts):
            with pytest.raises(PrunedError, match=f"block {height} is not kept here; the head is block 1"):
                read(height)
        for chain in ("erp", CONSORTIUM):
            with pytest.raises(PrunedError):
                ledger.state(chain, GOV_VALIDATORS, height)
            with pytest.raises(PrunedError):
                ledger.tree(chain, height)
    for height in (0, 2, 99):
        with pytest.raises(PrunedError):
            ledger.member_block("erp", height)
    for height in (0, -1):
        with pytest.raises(PrunedError):
            ledger.block(height)
    with pytest.raises(LedgerError, match="no chain 'nobody'"):
        ledger.state("nobody", b"")
    with pytest.raises(LedgerError, match="no chain 'nobody'"):
        ledger.tree("nobody", 0)


def test_a_transaction_is_found_where_it_stands(consortium: Consortium) -> None:
    one, two = consortium.submit("erp", record("D-1")), consortium.submit("erp", record("D-2"))
    party = consortium.party("p1")
    consortium.seal(one, party, two)
    ledger = consortium.ledger
    assert [ledger.locate(tx.id) for tx in (one, two, party)] == [
        Location(1, "erp", 0), Location(1, "erp", 1), Location(1, CONSORTIUM, 0),
    ]  # fmt: skip
    assert ledger.locate(bytes(32)) is None
    assert [ledger.seen(tx_id) for tx_id in (one.id, party.id, bytes(32))] == [True, True, False]
    assert [receipt.tx_id for receipt in ledger.receipts(1)["erp"]] == [one.id, two.id]
    assert [receipt.tx_id for receipt in ledger.receipts(1)[CONSORTIUM]] == [bytes(32), party.id]


def test_a_simulation_says_what_would_happen_and_writes_nothing(consortium: Consortium) -> None:
    store = consortium.ledger.store
    assert isinstance(store, MemoryStore)
    consortium.seal(consortium.party("p1"))
    before = rows_of(store)
    candidates = [
        consortium.party("p2"),
        consortium.party("p1"),
        consortium.submit("erp", record("D-1")),
        consortium.submit("lender", record("D-1", quantity="many")),
    ]
    said = [consortium.ledger.simulate(tx, consortium.now + 1_000) for tx in candidates]
    assert rows_of(store) == before
    assert [receipt.status for receipt in said] == [0, 1, 0, 1]
    consortium.seal(*candidates)
    receipts = {receipt.tx_id: receipt for listed in consortium.ledger.receipts(2).values() for receipt in listed}
    assert said == [receipts[tx.id] for tx in candidates]


def test_a_simulation_on_an_unknown_chain_is_refused_in_one_line(consortium: Consortium) -> None:
    stray = consortium.make("nobody", "records.submit", {}, [consortium.signer("erp")])
    with pytest.raises(LedgerError, match="no chain 'nobody'"):
        consortium.ledger.simulate(stray, consortium.now)


# -- opening ----------------------------------------------------------------------------------------------


def test_reopening_gives_the_same_ledger(tmp_path: Path) -> None:
    consortium = Consortium(store=LevelStore(tmp_path / "ledger", create=True))
    busy(consortium)
    ledger = consortium.ledger
    head, heads, certificate = ledger.head, ledger.heads(6), ledger.certificate(6)
    roots = {chain: ledger.tree(chain).root for chain in (*ledger.chains, CONSORTIUM)}
    transactions = [consortium.submit("erp", record("N-1")), consortium.party("p9")]
    block, _ = consortium.build(*transactions)
    rows = dict(ledger.store.scan(*EVERYTHING))
    ledger.close()
    again = Ledger(LevelStore(tmp_path / "ledger"), consortium.network_id)
    assert (again.head, again.heads(6), again.certificate(6)) == (head, heads, certificate)
    assert {chain: again.tree(chain).root for chain in (*again.chains, CONSORTIUM)} == roots
    assert again.parameters == ledger.parameters
    assert again.validators() == ledger.validators()
    assert dict(again.store.scan(*EVERYTHING)) == rows
    consortium.ledger = again
    rebuilt, _ = consortium.build(*transactions)
    assert rebuilt.digest == block.digest
    commit(again, block, consortium.certify(block))
    again.close()


def test_memory_is_given_back_without_a_change(consortium: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgetting nodes after every block gives the same ledger as never."""
    busy(consortium)
    monkeypatch.setattr(ledgers, "FORGET_AFTER", 0)
    monkeypatch.setattr("chain.chainstate.FORGET_DEPTH", 0)
    monkeypatch.setattr("chain.chainstate.CACHE_BYTES", 2_000)
    monkeypatch.setattr("chain.chainstate.CACHE_SHARED", 1)
    small = Consortium()
    busy(small)
    assert small.ledger.head.digest == consortium.ledger.head.digest


def test_the_wrong_folder_is_refused_in_one_line() -> None:
    consortium = Consortium()
    store = consortium.ledger.store
    with pytest.raises(LedgerError, match=r"the ledger is of network .* the genesis file of .* point `data`"):
        Ledger(store, genesis_hash(document_of("other")))
    with pytest.raises(LedgerError, match="already holds a ledger"):
        Ledger.create(store, document_of("other"))
    with pytest.raises(LedgerError, match="holds no ledger yet"):
        Ledger(MemoryStore(), consortium.network_id)
    store.write([(b"m:format", encode(99))])
    with pytest.raises(LedgerError, match="use the release that wrote it"):
        Ledger(store, consortium.network_id)


@pytest.mark.parametrize("prefix", [b"m:head", b"m:format", by_height(b"h", 2), by_height(b"k", 2)])
def test_a_row_that_is_missing_is_named_at_the_start(prefix: bytes) -> None:
    consortium = Consortium()
    consortium.seal(consortium.party("p1"))
    consortium.seal(consortium.submit("erp", record("D-1")))
    consortium.ledger.store.write([(prefix, None)])
    with pytest.raises((StoreError, LedgerError)) as refusal:
        Ledger(consortium.ledger.store, consortium.network_id)
    assert "\n" not in str(refusal.value)
    assert "damaged" in str(refusal.value)


@pytest.mark.parametrize("chain", ["erp", CONSORTIUM])
def test_a_state_that_is_not_the_heads_is_noticed_at_the_start(chain: str) -> None:
    """A state put back from elsewhere, or half lost: the roots do not fit the head."""
    consortium = Consortium()
    busy(consortium)
    store = consortium.ledger.store
    prefix = b"n" + chain.encode() + b"\x00\x00"
    newest, _ = next(store.scan(prefix, successor(prefix)))
    store.write([(newest, None)])
    with pytest.raises(LedgerError, match=f"state of chain {chain} does not match block 6: the ledger is damaged"):
        Ledger(store, consortium.network_id)


def test_blocks_lost_with_a_cut_log_are_known_to_the_vote_journal(tmp_path: Path) -> None:
    """LevelDB says nothing (test_store.py); the journal knows a decided height above the head, and stops the node."""
    folder = tmp_path / "ledger"
    consortium = Consortium(store=LevelStore(folder, create=True))
    key = key_of("test", "erp", "validator")
    signer = Signer.create("erp", key, FileStorage(tmp_path / "votes.journal"), lambda _data: pytest.fail("no lock"))
    sizes = []
    for number in range(5):
        consortium.seal(consortium.party(f"p{number}"))
        signer.decided(consortium.ledger.height, consortium.ledger.head.digest)
        sizes.append(max(path.stat().st_size for path in folder.glob("*.log")))
    signer.check_ledger(consortium.ledger.height, consortium.ledger.head.digest)
    consortium.ledger.close()
    signer.close()
    log = max(folder.glob("*.log"), key=lambda path: path.stat().st_size)
    os.truncate(log, sizes[2] + 10)
    cut = Ledger(LevelStore(folder), consortium.network_id)
    assert cut.height == 3, "consistent, and two blocks short"
    again = Signer.open("erp", key, FileStorage(tmp_path / "votes.journal"), lambda _data: pytest.fail("no lock"))
    with pytest.raises(JournalError, match="knows block 5 as decided but the ledger's head is 3") as refusal:
        again.check_ledger(cut.height, cut.head.digest)
    assert "\n" not in str(refusal.value)
    again.close()
    cut.close()


# -- members and validators -------------------------------------------------------------------------------


def admit(consortium: Consortium) -> SigningKey:
    """Vote a new member in; returns its signer key."""
    signer = key_of("test", "insurer", "signer")
    document = {
        "id": "insurer",
        "role": "insurer",
        "validator": None,
        "network": key_of("test", "insurer", "network").public,
        "signers": [{"key": signer.public, "rights": ["*"]}],
    }
    vote_in(consortium, {"kind": "approve", "hash": hash_value(document), "title": "insurer"})
    consortium.seal(consortium.call("erp", "registry.admit_member", document=document))
    return signer


def test_a_new_members_chain_counts_from_the_next_block(consortium: Consortium) -> None:
    signer = admit(consortium)
    ledger = consortium.ledger
    admitted = ledger.height
    assert "insurer" in ledger.chains
    assert ledger.header(admitted).chain_count == 5
    assert "insurer" not in [head.chain for head in ledger.heads(admitted)]
    reopened = Ledger(ledger.store, consortium.network_id)
    assert reopened.chains == ledger.chains
    key = consortium.make(
        "consortium", "registry.rotate_key", {"old": signer.public, "new": bytes([7]) * 32}, [signer]
    )
    block = consortium.seal(key)
    assert block.header.chain_count == 6
    assert "insurer" in [head.chain for head in ledger.heads(admitted + 1)]
    assert ledger.receipts(admitted + 1)[CONSORTIUM][1].status == 0
    assert ledger.state("insurer", b"\x90", admitted - 1) is None


def test_validators_change_two_blocks_after_the_vote(consortium: Consortium) -> None:
    """R11: decided in h, effective at h + 2; the header names the set of its height and of the next."""
    members = ["erp", "guarantor", "lender"]
    rows = [[member, key_of("test", member, "validator").public] for member in members]
    before = consortium.ledger.validators()
    decided = vote_in(consortium, {"kind": "validators", "set": rows}).height
    assert consortium.ledger.validators() == before
    reopened = Ledger(consortium.ledger.store, consortium.network_id)
    assert reopened.parent.next_validators == consortium.ledger.parent.next_validators != before
    consortium.seal()
    after = consortium.ledger.validators()
    assert (after.epoch, list(after.ids)) == (1, members)
    consortium.seal(consortium.party("p1"))
    consortium.seal()
    seen = [consortium.ledger.header(height) for height in range(decided, decided + 4)]
    assert [header.epoch for header in seen] == [0, 0, 1, 1]
    assert [header.validators_hash for header in seen] == [before.hash, before.hash, after.hash, after.hash]
    assert [header.next_validators_hash for header in seen] == [before.hash, *[after.hash] * 3]
    certificate = consortium.ledger.certificate(decided + 2)
    assert certificate is not None
    assert certificate.epoch == 1
    certificate.check(after, consortium.network_id)
    old = consortium.certify(consortium.build()[0], validators=before)
    block, outcome = consortium.build()
    with pytest.raises(CertificateError):
        consortium.ledger.commit(block, old, outcome, [])
