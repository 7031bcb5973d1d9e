"""Proofs a court can check: of records, transactions and state, offline, against a genesis hash brought along.

The other half of the promise is what is refused: another consortium's proof, and a proof with any part changed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.block import CONSORTIUM
from chain.certificate import ValidatorSet
from chain.codec import decode, encode
from chain.crypto import sha256
from chain.identity import IdentityError, check_statement, genesis_statement
from chain.index import Place, by_enterprise, by_id, by_kind, issuers, kinds
from chain.proof import (
    ProofUnavailableError,
    prove_head,
    prove_record,
    prove_record_by_id,
    prove_state,
    prove_transaction,
)
from chain.verification import Verdict, VerificationError, verify_proof
from tests.chain.chain_builder import Consortium, key_of, record, record_key, vote_in

ROOT = Path(__file__).resolve().parents[2]
RECORDS = [record(f"D-{index}") for index in range(3)]
CORRECTION = record("D-1", corrects=sha256(RECORDS[1]), quantity="13")
PARTY_KEY = encode(["registry", "party", "p1"])
ALL = (Place(0, 0), Place(2**32, 0))


class Story(NamedTuple):
    """A consortium in its third epoch, and what stands where."""

    consortium: Consortium
    batch: bytes
    correction: bytes
    party: bytes
    refused: bytes
    late: bytes
    handovers: list[int]


def tell(label: str = "test") -> Story:
    """Records and a correction, two changes of validators, records after them; every certificate of a bare quorum."""
    consortium = Consortium(label)
    batch, party = consortium.submit("erp", *RECORDS), consortium.party("p1")
    consortium.seal(batch, party, consortium.submit("lender", record("L-1")))
    correction = consortium.submit("erp", CORRECTION)
    refused = consortium.submit("erp", record("D-2", quantity="7"))
    consortium.seal(correction, refused, consortium.party("p1"))
    handovers = []
    for members in (["erp", "guarantor", "lender"], ["erp", "guarantor", "lender", "procurement"]):
        rows = [[member, key_of(label, member, "validator").public] for member in members]
        handovers.append(vote_in(consortium, {"kind": "validators", "set": rows}).height + 1)
        consortium.seal()
        consortium.seal()
    late = consortium.submit("procurement", record("P-1"))
    consortium.seal(late, consortium.party("p2"))
    consortium.seal()
    return Story(consortium, batch.id, correction.id, party.id, refused.id, late.id, handovers)


@pytest.fixture(scope="module")
def story() -> Story:
    return tell()


PROOFS: dict[str, Callable[[Story], bytes]] = {
    "record of a batch": lambda s: prove_record(s.consortium.ledger, s.batch, sha256(RECORDS[1])),
    "only record of its batch": lambda s: prove_record_by_id(s.consortium.ledger, sha256(CORRECTION)),
    "record after two epochs": lambda s: prove_record_by_id(s.consortium.ledger, sha256(record("P-1"))),
    "transaction on a business chain": lambda s: prove_transaction(s.consortium.ledger, s.batch),
    "transaction of the consortium": lambda s: prove_transaction(s.consortium.ledger, s.party),
    "refused transaction": lambda s: prove_transaction(s.consortium.ledger, s.refused),
    "state of a business chain": lambda s: prove_state(s.consortium.ledger, "erp", record_key("D-1")),
    "state of a business chain at block 1": lambda s: prove_state(s.consortium.ledger, "erp", record_key("D-1"), 1),
    "absence from a business chain": lambda s: prove_state(s.consortium.ledger, "erp", record_key("none")),
    "absence from an empty chain": lambda s: prove_state(s.consortium.ledger, "office", record_key("D-1"), 3),
    "state of the consortium": lambda s: prove_state(s.consortium.ledger, CONSORTIUM, PARTY_KEY),
    "state of the consortium at block 2": lambda s: prove_state(s.consortium.ledger, CONSORTIUM, PARTY_KEY, 2),
    "absence from the consortium at block 1": lambda s: prove_state(
        s.consortium.ledger, CONSORTIUM, encode(["registry", "party", "p2"]), 1
    ),
}
PROOFS |= {
    "head of a business chain": lambda s: prove_head(s.consortium.ledger, "erp"),
    "head of an empty chain at block 3": lambda s: prove_head(s.consortium.ledger, "office", 3),
    "block 2 of the consortium": lambda s: prove_head(s.consortium.ledger, CONSORTIUM, 2),
}
EACH = pytest.mark.parametrize("name", PROOFS)


def verified(story: Story, name: str) -> Verdict:
    return verify_proof(PROOFS[name](story), story.consortium.network_id)


# -- what is proved ---------------------------------------------------------------------------------------


@EACH
def test_every_proof_stands_against_the_genesis_hash(story: Story, name: str) -> None:
    verdict = verified(story, name)
    ledger = story.consortium.ledger
    assert verdict.time == ledger.header(verdict.height).time
    assert verdict.chain in name or verdict.chain in (*ledger.chains, CONSORTIUM)
    assert verdict.steps[0].startswith(
        f"genesis: the file's statement hashes to {story.consortium.network_id.hex()[:16]}"
    )
    assert all(step and "\n" not in step for step in verdict.steps)
    changes = [step for step in verdict.steps if step.startswith("validators:")]
    assert len(changes) == sum(height < verdict.height for height in story.handovers)


def test_a_record_with_its_transaction_and_outcome(story: Story) -> None:
    verdict = verified(story, "record of a batch")
    assert (verdict.kind, verdict.height, verdict.chain) == ("record", 1, "erp")
    assert verdict.subject["record_id"] == sha256(RECORDS[1]).hex()
    assert encode(verdict.subject["record"]) == RECORDS[1]
    assert verdict.subject["tx"] == story.batch.hex()
    assert (verdict.subject["status"], verdict.subject["result"]["sealed"]) == (0, 3)
    assert verdict.subject["signers"] == [story.consortium.signer("erp").public.hex()]


def test_a_transaction_with_its_outcome_done_or_refused(story: Story) -> None:
    done = verified(story, "transaction of the consortium")
    assert (done.subject["contract"], done.subject["method"]) == ("registry", "register_party")
    assert (done.subject["args"]["id"], done.subject["status"]) == ("p1", 0)
    refused = verified(story, "refused transaction")
    assert (refused.subject["status"], refused.subject["code"]) == (1, "CONFLICTING_RECORD")
    assert "failed (CONFLICTING_RECORD" in refused.steps[-1]


def test_state_as_it_was_and_as_it_is(story: Story) -> None:
    now = verified(story, "state of a business chain")
    then = verified(story, "state of a business chain at block 1")
    assert (now.height, then.height) == (story.consortium.ledger.height, 1)
    assert now.subject["value"]["id"] == sha256(CORRECTION)
    assert then.subject["value"]["id"] == sha256(RECORDS[1])
    assert now.subject["key"] == then.subject["key"] == ["records", "record", "delivery", "GB-COH:1", "D-1"]
    assert verified(story, "state of the consortium").subject["value"]["name"] == "p1"


@pytest.mark.parametrize("name", [name for name in PROOFS if name.startswith("absence")])
def test_absence_is_proved_too(story: Story, name: str) -> None:
    verdict = verified(story, name)
    assert verdict.subject["value"] is None
    assert "is absent from" in verdict.steps[-1]


def test_where_a_chain_stood(story: Story) -> None:
    ledger = story.consortium.ledger
    for height in range(1, ledger.height + 1):
        for head in ledger.heads(height):
            verdict = verify_proof(prove_head(ledger, head.chain, height), story.consortium.network_id)
            assert (verdict.kind, verdict.height, verdict.chain) == ("head", height, head.chain)
            assert verdict.subject == {"height": head.height, "hash": head.hash, "state_root": head.state_root}
        block = verify_proof(prove_head(ledger, CONSORTIUM, height), story.consortium.network_id)
        assert block.subject["hash"] == ledger.header(height).digest


def test_every_key_of_every_chain_at_every_height(story: Story) -> None:
    ledger = story.consortium.ledger
    keys = [record_key(f"D-{index}") for index in range(4)] + [PARTY_KEY, encode(["gov", "validators"])]
    for height in range(1, ledger.height + 1):
        for chain in ("erp", "office", CONSORTIUM):
            for key in keys:
                verdict = verify_proof(prove_state(ledger, chain, key, height), story.consortium.network_id)
                assert verdict.subject["value"] == ledger.state(chain, key, height)


# -- what there is no proof of ----------------------------------------------------------------------------


def test_what_cannot_be_proved_is_said_in_one_line(story: Story) -> None:
    ledger = story.consortium.ledger
    attempts: list[Callable[[], bytes]] = [
        lambda: prove_state(ledger, "erp", record_key("D-1"), 0),
        lambda: prove_transaction(ledger, bytes(32)),
        lambda: prove_record(ledger, story.batch, bytes(32)),
        lambda: prove_record_by_id(ledger, bytes(32)),
        lambda: prove_record_by_id(ledger, sha256(RECORDS[0]), "lender"),
        lambda: prove_head(ledger, "erp", 0),
        lambda: prove_head(ledger, "nobody", 1),
        lambda: prove_record(ledger, story.party, sha256(RECORDS[0])),
    ]
    for attempt in attempts:
        with pytest.raises(ProofUnavailableError) as refusal:
            attempt()
        assert "\n" not in str(refusal.value)
    with pytest.raises(LookupError, match="not kept here"):
        prove_state(ledger, "erp", record_key("D-1"), ledger.height + 1)


def test_a_record_of_a_refused_transaction_is_not_proved(story: Story) -> None:
    """It was signed and ordered, and never sealed."""
    conflicting = sha256(record("D-2", quantity="7"))
    with pytest.raises(VerificationError, match="did not succeed"):
        verify_proof(prove_record(story.consortium.ledger, story.refused, conflicting), story.consortium.network_id)
    assert by_id(story.consortium.ledger.store, conflicting) == []


def test_records_are_found_by_id_number_and_enterprise(story: Story) -> None:
    store = story.consortium.ledger.store
    [found] = by_id(store, sha256(CORRECTION))
    assert (found.chain, found.kind, found.issuer, found.number) == ("erp", "delivery", "GB-COH:1", "D-1")
    assert found.tx_id == story.correction
    assert issuers(store, "erp", "delivery", "D-1") == issuers(store, "erp", "delivery", "D-0") == ["GB-COH:1"]
    for chain, kind, number in (("lender", "delivery", "D-0"), ("erp", "invoice", "D-0"), ("erp", "delivery", "D-")):
        assert issuers(store, chain, kind, number) == []
    for read, name, prefix in ((by_enterprise, "GB-COH:1", "GB-COH:"), (by_kind, "delivery", "deliver")):
        batches = list(read(store, "erp", name, *ALL))
        assert [[row.record.record_id for row in rows] for _, rows in batches] == [
            [sha256(data) for data in RECORDS],
            [sha256(CORRECTION)],
        ]
        assert list(read(store, "erp", name, *ALL, newest_first=True)) == batches[::-1]
        first, second = (place for place, _ in batches)
        assert list(read(store, "erp", name, first, first)) == batches[:1]
        assert list(read(store, "erp", name, second, ALL[1])) == batches[1:]
        assert list(read(store, "erp", name, ALL[1], ALL[1])) == list(read(store, "erp", name, second, first)) == []
        assert list(read(store, "erp", prefix, *ALL)) == list(read(store, "guarantor", name, *ALL)) == []
    assert kinds(store, "erp") == ["delivery"]
    assert kinds(store, "guarantor") == []


# -- another consortium -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stranger() -> Story:
    """A second, freshly made consortium: the same members by name, the same documents, other keys."""
    return tell("stranger")


@EACH
def test_a_self_made_consortium_with_the_same_documents_is_refused_by_name(
    story: Story, stranger: Story, name: str
) -> None:
    proof = PROOFS[name](stranger)
    verify_proof(proof, stranger.consortium.network_id)
    with pytest.raises(
        VerificationError, match=r"^the genesis statement is of another consortium than the given genesis hash$"
    ):
        verify_proof(proof, story.consortium.network_id)


@EACH
def test_the_right_statement_does_not_help_the_strangers_blocks(story: Story, stranger: Story, name: str) -> None:
    ours, theirs = decode(PROOFS[name](story)), decode(PROOFS[name](stranger))
    for part in ("statement", "header", "certificate", "claim", "epochs"):
        if ours[part] == theirs[part]:
            continue
        for base, other in ((ours, theirs), (theirs, ours)):
            mixed = encode({**base, part: other[part]})
            for network_id in (story.consortium.network_id, stranger.consortium.network_id):
                with pytest.raises(VerificationError):
                    verify_proof(mixed, network_id)


def test_a_handover_nobody_voted_for_is_refused(story: Story, stranger: Story) -> None:
    """The stranger's validators as successors of the real ones, in a header the real ones never signed."""
    proof = decode(PROOFS["record after two epochs"](story))
    raw, certificate, _ = proof["epochs"][0]
    foreign = ValidatorSet(1, stranger.consortium.ledger.validators().members)
    for handover in (
        [raw, certificate, foreign.to_value()],
        decode(PROOFS["record after two epochs"](stranger))["epochs"][0],
    ):
        with pytest.raises(VerificationError):
            verify_proof(encode({**proof, "epochs": [handover, *proof["epochs"][1:]]}), story.consortium.network_id)
        with pytest.raises(VerificationError):
            verify_proof(encode({**proof, "epochs": [*proof["epochs"], handover]}), story.consortium.network_id)


def test_epochs_can_be_neither_left_out_nor_repeated_nor_reordered(story: Story) -> None:
    proof = decode(PROOFS["record after two epochs"](story))
    first, second = proof["epochs"]
    for epochs in ([], [first], [second], [second, first], [first, first, second], [first, second, second]):
        with pytest.raises(VerificationError):
            verify_proof(encode({**proof, "epochs": epochs}), story.consortium.network_id)


def test_a_statement_is_a_genesis_statement(story: Story) -> None:
    """Whatever else of four parts hashes to the id that was given: only the tagged structure names a network."""
    statement = genesis_statement(story.consortium.document)
    assert check_statement(statement, sha256(encode(statement))).ids == ("erp", "guarantor", "lender", "procurement")
    wrongs: list[Any] = [
        ["tally/other", *statement[1:]],
        [statement[0], 2, *statement[2:]],
        [statement[0], True, *statement[2:]],
        [*statement, None],
        statement[:3],
        [*statement[:2], [], statement[3]],
        [*statement[:3], bytes(31)],
        {"a": 1},
        None,
    ]
    for wrong in wrongs:
        with pytest.raises(IdentityError):
            check_statement(wrong, sha256(encode(wrong)))


# -- tampering --------------------------------------------------------------------------------------------


def variants(value: Any) -> Iterator[Any]:
    """Other values of about the same shape."""
    match value:
        case bool() | None:
            yield from (1, b"", "", [], {})
        case int():
            yield from (value + 1, -value - 1, value + 2**40, str(value), None)
            if value in (0, 1):
                yield bool(value)
        case bytes():
            if value:
                yield from (bytes([value[0] ^ 1]) + value[1:], value[:-1] + bytes([value[-1] ^ 128]), value[:-1])
            yield from (value + b"\x00", b"" if value else b"\x00", value.hex(), None)
        case str():
            yield from (value + "x", value[:-1], value.encode(), None)
        case list():
            yield from (value[:-1], [*value, None], [*value, value[-1]] if value else [[]], value[::-1], None, {})
        case dict():
            yield from ({**value, "more": 1}, list(value), None)
            for key in value:
                yield {other: item for other, item in value.items() if other != key}


def changed(value: Any) -> Iterator[Any]:
    """The value with one part, at any depth, replaced by another."""
    yield from variants(value)
    if isinstance(value, list):
        for place, item in enumerate(value):
            for other in changed(item):
                yield [*value[:place], other, *value[place + 1 :]]
    elif isinstance(value, dict):
        for key, item in value.items():
            for other in changed(item):
                yield {**value, key: other}


@EACH
def test_no_part_of_a_proof_can_be_changed(story: Story, name: str) -> None:
    original = PROOFS[name](story)
    tried = 0
    for other in changed(decode(original)):
        data = encode(other)
        if data == original:
            continue
        tried += 1
        with pytest.raises(VerificationError) as refusal:
            verify_proof(data, story.consortium.network_id)
        assert "\n" not in str(refusal.value)
    assert tried > 200


def test_one_kind_of_claim_is_not_another(story: Story) -> None:
    for name in PROOFS:
        proof = decode(PROOFS[name](story))
        for kind in ("record", "transaction", "state", "head", "other", "", None, 1):
            if kind != proof["claim"]["kind"]:
                with pytest.raises(VerificationError):
                    verify_proof(
                        encode({**proof, "claim": {**proof["claim"], "kind": kind}}), story.consortium.network_id
                    )


def only_if_true(story: Story, proof: dict[str, Any]) -> None:
    """Refused, or about a state that has not changed between the two blocks."""
    try:
        verdict = verify_proof(encode(proof), story.consortium.network_id)
    except VerificationError:
        return
    claim, ledger = proof["claim"], story.consortium.ledger
    if verdict.kind == "head":
        hashes = {head.chain: head.hash for head in ledger.heads(verdict.height)}
        hashes[CONSORTIUM] = ledger.header(verdict.height).digest
        assert verdict.subject["hash"] == hashes[verdict.chain]
        return
    assert verdict.kind == "state"
    assert story.consortium.ledger.state_bytes(claim["chain"], claim["key"], verdict.height) == claim["value"]


def test_claims_of_two_proofs_do_not_mix(story: Story) -> None:
    """Each part comes from a sound proof; only together they claim what never was."""
    proofs = {name: decode(make(story)) for name, make in PROOFS.items()}
    for name, proof in proofs.items():
        for other_name, other in proofs.items():
            if other["header"] != proof["header"]:
                only_if_true(story, {**proof, "claim": other["claim"]})
            if name != other_name and proof["claim"]["kind"] == other["claim"]["kind"]:
                for part in proof["claim"]:
                    mixed = {**proof["claim"], part: other["claim"].get(part)}
                    if mixed not in (proof["claim"], other["claim"]):
                        only_if_true(story, {**proof, "claim": mixed})


def refused_or_another_absence(story: Story, data: bytes) -> None:
    """A proof of absence is one for every other absent key that would stand in the same bucket: still the truth."""
    try:
        verdict = verify_proof(data, story.consortium.network_id)
    except VerificationError:
        return
    claim = decode(data)["claim"]
    assert (verdict.kind, claim["value"]) == ("state", None)
    assert story.consortium.ledger.state_bytes(claim["chain"], claim["key"], verdict.height) is None


@given(st.data())
@settings(max_examples=150)
def test_no_byte_of_a_file_can_be_changed(story: Story, data: st.DataObject) -> None:
    proof = bytearray(PROOFS[data.draw(st.sampled_from(sorted(PROOFS)))](story))
    place = data.draw(st.integers(0, len(proof) - 1))
    proof[place] ^= data.draw(st.integers(1, 255))
    refused_or_another_absence(story, bytes(proof))


@pytest.mark.slow
@EACH
def test_no_byte_at_all(story: Story, name: str) -> None:
    original = PROOFS[name](story)
    for place in range(len(original)):
        proof = bytearray(original)
        proof[place] ^= 1 << place % 8
        refused_or_another_absence(story, bytes(proof))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"not a proof", encode(None), encode([]), encode({}), encode({"format": ["tally/proof", 1]})],
)
def test_files_that_are_no_proof(story: Story, data: bytes) -> None:
    for wrong in (data, data + b"\x00" + PROOFS["state of the consortium"](story)):
        with pytest.raises(VerificationError) as refusal:
            verify_proof(wrong, story.consortium.network_id)
        assert "\n" not in str(refusal.value)


def test_the_genesis_hash_is_the_callers(story: Story) -> None:
    proof = PROOFS["record of a batch"](story)
    network_id = story.consortium.network_id
    for wrong in (bytes(32), network_id[:-1], network_id + b"\x00", b"", sha256(network_id)):
        with pytest.raises(VerificationError):
            verify_proof(proof, wrong)


# -- offline ----------------------------------------------------------------------------------------------

BARE = """
import sys
blocked = ("plyvel", "trio", "libp2p", "numpy", "fastapi", "hypercorn", "fsspec", "lxml", "socket", "chain.store",
           "chain.ledger", "node", "consensus", "genesis", "cli")
for name in blocked:
    sys.modules[name] = None
from chain.verification import verify_proof
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        print(verify_proof(file.read(), bytes.fromhex(sys.argv[1])).kind)
"""


def test_verification_needs_neither_store_nor_network_nor_node(story: Story, tmp_path: Path) -> None:
    """Everything else blocked, as on a clerk's machine with the light install."""
    files = []
    for index, make in enumerate(PROOFS.values()):
        path = tmp_path / f"{index}.proof"
        path.write_bytes(make(story))
        files.append(str(path))
    done = subprocess.run(
        [sys.executable, "-c", BARE, story.consortium.network_id.hex(), *files],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [decode(make(story))["claim"]["kind"] for make in PROOFS.values()]
