"""Same genesis, same transactions: same bytes and roots, whatever the hash seed, the caches and the day.

``golden.json`` pins the formats. A difference there is a change that no existing ledger, proof or signature survives:
``pytest tests/chain --rewrite-golden`` writes what comes out now, and the diff has to be meant.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import merkle
from chain.block import CONSORTIUM, Block, Head, Header, MemberBlock, Receipt, genesis_member_hash
from chain.certificate import Certificate, ValidatorSet, VoteKind, round_change_message, vote_message
from chain.codec import decode, encode
from chain.crypto import SigningKey, sha256
from chain.identity import genesis_hash, genesis_statement
from chain.ledger import Ledger
from chain.proof import prove_record_by_id, prove_state, prove_transaction
from chain.state import StateTree
from chain.store import LevelStore
from chain.transaction import Transaction, batch_args, make_body, sign
from chain.verification import verify_proof
from tests.chain.chain_builder import GENESIS_TIME, Consortium, commit, document_of, record, record_key, vote_in

ROOT: Final = Path(__file__).resolve().parents[2]
GOLDEN: Final = Path(__file__).with_name("golden.json")
KEYS: Final = [SigningKey.from_seed(bytes([number]) * 32) for number in range(1, 4)]
NETWORK: Final = sha256(b"network")


# -- golden vectors ---------------------------------------------------------------------------------------


def transaction() -> Transaction:
    body = make_body(
        network_id=NETWORK,
        chain="erp",
        contract="records",
        method="submit",
        args=batch_args([record("D-1"), record("D-2")]),
        signers=[key.public for key in KEYS[:2]],
        nonce=bytes(range(16)),
        valid_until=GENESIS_TIME + 60_000,
    )
    return sign(body, KEYS[:2], [record("D-1"), record("D-2")])


def header() -> Header:
    labels = ("parent", "certificate", "validators", "next", "heads", "txs", "receipts", "state")
    parent, certificate, now, coming, heads, txs, receipts, state = (sha256(label.encode()) for label in labels)
    return Header(
        NETWORK, 2, parent, certificate, GENESIS_TIME, "erp", 0, now, coming, 4, heads, 300, txs, receipts, state
    )


def certificate() -> Certificate:
    message = vote_message(NETWORK, 0, VoteKind.COMMIT, 2, 1, header().digest)
    seals = zip(("erp", "guarantor", "lender"), KEYS, strict=True)
    return Certificate(2, 1, header().digest, 0, tuple((name, key.sign(message)) for name, key in seals))


def validators() -> ValidatorSet:
    names = ("erp", "guarantor", "lender")
    return ValidatorSet(0, tuple((name, key.public) for name, key in zip(names, KEYS, strict=True)))


def state_tree() -> StateTree:
    entries = [(encode(["records", "record", number]), encode({"number": number})) for number in range(100)]
    return StateTree.empty().updated(entries)


def formats() -> dict[str, str]:
    """One of every structure, from fixed input, as hex."""
    tx = transaction()
    member = MemberBlock(NETWORK, "erp", 1, genesis_member_hash(NETWORK, "erp"), 2, GENESIS_TIME, 1, *[NETWORK] * 3)
    receipt = Receipt(tx.id, 1, "NOT_SO", "do it otherwise", None, [["event", {"n": -1}]], 70_000)
    block = Block(header(), certificate(), (("erp", (tx.wire,)),), (tx.wire,))
    tree = state_tree()
    present, absent = encode(["records", "record", 7]), encode(["records", "record", -7])
    made = {
        "value": encode([None, True, -1, 2**63 - 1, -(2**63), "é", b"\x00", [1, [2]], {"b": 1, "a": {}}]),
        "record": record("D-1"),
        "record id": sha256(record("D-1")),
        "transaction body": tx.body,
        "transaction id": tx.id,
        "transaction leaf": tx.leaf,
        "transaction wire": tx.wire,
        "validator set": encode(validators().to_value()),
        "validator set hash": validators().hash,
        "vote": vote_message(NETWORK, 3, VoteKind.PREPARE, 9, 1, header().digest),
        "round change": round_change_message(NETWORK, 3, 9, 2, 1, header().digest),
        "round change, nothing prepared": round_change_message(NETWORK, 3, 9, 2, None, None),
        "certificate": certificate().encode(),
        "certificate hash": certificate().hash,
        "header": header().encoded,
        "header digest": header().digest,
        "member block": member.encoded,
        "member block hash": member.hash,
        "head": Head("erp", 1, member.hash, NETWORK).leaf(),
        "member genesis": genesis_member_hash(NETWORK, "erp"),
        "receipt": receipt.encoded,
        "block": block.encoded,
        "merkle root of none": merkle.root([]),
        "merkle root of five": merkle.root([bytes([number]) for number in range(5)]),
        "empty state root": StateTree.empty().root,
        "state root": tree.root,
        "state proof, present": encode(tree.prove(present)),
        "state proof, absent": encode(tree.prove(absent)),
    }
    return {name: data.hex() for name, data in made.items()}


def replayed(document: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Hashes of a small consortium's first blocks, and proofs from it, as hex."""
    consortium = Consortium("golden", document=document)
    submitted = consortium.submit("erp", record("D-1"), record("D-2"))
    consortium.seal(submitted, consortium.party("p1"))
    consortium.seal(consortium.submit("lender", record("L-1")), consortium.party("p1"))
    ledger = consortium.ledger
    hashes = {"genesis statement": sha256(encode(genesis_statement(document))), "network id": genesis_hash(document)}
    for height in range(3):
        hashes[f"header {height}"] = ledger.header(height).digest
        hashes[f"state of the consortium after {height}"] = ledger.header(height).state_root
        hashes[f"heads after {height}"] = ledger.header(height).heads_root
    hashes["state of erp"] = ledger.tree("erp").root
    proofs = {
        "record": prove_record_by_id(ledger, sha256(record("D-2"))),
        "transaction": prove_transaction(ledger, submitted.id),
        "state": prove_state(ledger, "erp", record_key("D-1")),
        "absence": prove_state(ledger, CONSORTIUM, encode(["registry", "party", "nobody"]), 1),
    }
    return {name: data.hex() for name, data in hashes.items()}, {name: data.hex() for name, data in proofs.items()}


@pytest.fixture(scope="module")
def golden(pytestconfig: pytest.Config) -> dict[str, Any]:
    """The pinned vectors. The genesis document is one of them, so that a new template changes nothing here."""
    if pytestconfig.getoption("--rewrite-golden", default=False):
        document = document_of("golden")
        hashes, proofs = replayed(document)
        pinned = {"formats": formats(), "document": encode(document).hex(), "hashes": hashes, "proofs": proofs}
        GOLDEN.write_text(json.dumps(pinned, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
    value: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return value


def test_the_bytes_of_every_structure_are_those_pinned(golden: dict[str, Any]) -> None:
    assert formats() == golden["formats"]


def test_the_pinned_genesis_gives_the_pinned_hashes_and_proofs(golden: dict[str, Any]) -> None:
    """Contracts are in these roots too: one of a new version stands beside the old, it does not change it."""
    hashes, proofs = replayed(decode(bytes.fromhex(golden["document"])))
    assert hashes == golden["hashes"]
    assert proofs == golden["proofs"]


def test_pinned_proofs_still_verify(golden: dict[str, Any]) -> None:
    """A proof that was handed to a court stays one."""
    network_id = bytes.fromhex(golden["hashes"]["network id"])
    kinds = [verify_proof(bytes.fromhex(proof), network_id).kind for proof in golden["proofs"].values()]
    assert kinds == ["record", "transaction", "state", "state"]


def test_pinned_structures_decode(golden: dict[str, Any]) -> None:
    readers: dict[str, Callable[[bytes], Any]] = {
        "header": Header.decode,
        "member block": MemberBlock.decode,
        "head": Head.decode,
        "receipt": Receipt.decode,
        "certificate": Certificate.decode,
        "block": Block.decode,
    }
    for name, read in readers.items():
        read(bytes.fromhex(golden["formats"][name]))
    certificate().check(validators(), NETWORK)


# -- the same on every machine ----------------------------------------------------------------------------


def digests() -> list[str]:
    """The header digests of a story through records, parties, notary, heads and governance."""
    consortium = Consortium("determinism")
    first = record("D-1")
    consortium.seal(
        consortium.submit("erp", first, *(record(f"D-{n}") for n in range(2, 40))), consortium.party("p1")
    )
    key = {"kind": "delivery", "issuer": "GB-COH:1", "number": "D-1"}
    subjects = [{"chain": "erp", **key, "record": sha256(first)}]
    consortium.seal(
        consortium.call("office", "notary.preserve", subjects=subjects, contract="C-1"),
        consortium.submit("erp", record("D-1", corrects=sha256(first), quantity="13")),
        consortium.submit("procurement", record("P-1"), record("P-2")),
        consortium.party("p1"),
        consortium.call("lender", "registry.add_identifiers", party="p1", identifiers=["GB-COH:3", "GB-COH:2"]),
    )
    vote_in(consortium, {"kind": "parameters", "values": {"max_idle_ms": 5_000, "tx_window_ms": 60_000}})
    rows = [[name, consortium.key(name, "validator").public] for name in ("erp", "guarantor", "lender")]
    vote_in(consortium, {"kind": "validators", "set": rows})
    consortium.seal()
    consortium.seal(consortium.submit("lender", record("L-1")))
    return [consortium.ledger.header(height).digest.hex() for height in range(consortium.ledger.height + 1)]


PRINT_DIGESTS = "from tests.chain.test_determinism import digests; print(*digests())"


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_hash_seed_does_not_matter(seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINT_DIGESTS], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": seed, "TZ": "Pacific/Kiritimati", "LC_ALL": "C"},
    )  # fmt: skip
    assert done.stdout.split() == digests()


STEPS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["erp", "lender", "procurement", CONSORTIUM]), st.integers(0, 5), st.sampled_from("789")
        ),
        max_size=5,
    ),
    min_size=1,
    max_size=5,
)


@given(STEPS)
@settings(max_examples=25)
def test_warm_and_cold_caches_give_the_same(steps: list[list[tuple[str, int, str]]]) -> None:
    """One ledger runs through; the other is opened anew before every block, and has executed rival blocks first."""
    warm, cold = Consortium(), Consortium()
    for step in steps:
        cold.ledger = Ledger(cold.ledger.store, cold.network_id)
        transactions = []
        for chain, number, quantity in step:
            made = (
                warm.party(f"p{number}")
                if chain == CONSORTIUM
                else warm.submit(chain, record(f"{chain}-{number}", quantity=quantity))
            )
            transactions.append(made)
        block = warm.seal(*transactions)
        cold.build(cold.party("rival"), *transactions[::-1])
        for made in transactions:
            cold.ledger.simulate(made, block.header.time)
        rebuilt, _ = cold.build(*transactions)
        assert rebuilt.digest == block.digest
        committed = warm.ledger.certificate(block.height)
        assert committed is not None
        commit(cold.ledger, block, committed)
    for chain in (*warm.ledger.chains, CONSORTIUM):
        assert cold.ledger.tree(chain).root == warm.ledger.tree(chain).root


def test_the_order_in_which_chains_are_handed_over_does_not_matter() -> None:
    consortium = Consortium()
    transactions = {chain: [consortium.submit(chain, record("1"))] for chain in ("lender", "erp", "procurement")}
    blocks = [
        consortium.ledger.build(
            proposer="erp",
            time=GENESIS_TIME + 1,
            member_txs={chain: transactions[chain] for chain in order},
            consortium_txs=[],
        )[0]
        for order in (("lender", "erp", "procurement"), ("procurement", "lender", "erp"))
    ]
    assert blocks[0].encoded == blocks[1].encoded


def test_both_stores_give_the_same(tmp_path: Path) -> None:
    memory, level = Consortium(), Consortium(store=LevelStore(tmp_path / "ledger", create=True))
    for consortium in (memory, level):
        consortium.seal(consortium.submit("erp", record("D-1"), record("D-2")), consortium.party("p1"))
        consortium.seal(consortium.submit("erp", record("D-3")))
    assert memory.ledger.head.digest == level.ledger.head.digest
    level.ledger.close()
