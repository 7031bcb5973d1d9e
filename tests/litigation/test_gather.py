"""Documents of a real case: a loan, its default and its notarization on a ledger of this process, put on paper."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chain.codec import encode
from chain.proof import prove_record_by_id, prove_state, prove_transaction
from contracts import claims, court
from contracts.claims import Terms
from tallystick.evidence import archive
from tallystick.evidence.assemble import assemble
from tallystick.evidence.contents import Done, open_proof
from tallystick.evidence.facts import Chosen, Stated
from tallystick.litigation import CaseFacts, LitigationError, Particulars, case_facts, files_of
from tallystick.litigation.chronology import EVENTS, chronology
from tallystick.litigation.particulars import PartyEntry
from tests import certificates
from tests.evidence_case import CERTIFICATE_NUMBER, DEED_NUMBER, CaseWorld, signatory
from tests.evidence_world import LABEL
from tests.litigation import pages


class Prover:
    """The ledger as the node that an export asks."""

    def __init__(self, world: CaseWorld) -> None:
        self.ledger = world.ledger
        self.network_id: bytes = world.ledger.network_id

    def prove_state(self, chain: str, contract: str, *key: Any, at: int | None = None) -> bytes:
        return prove_state(self.ledger, chain, encode([contract, *key]), at)

    def prove_transaction(self, tx_id: bytes) -> bytes:
        return prove_transaction(self.ledger, tx_id)

    def prove_record(self, record_id: bytes, *, chain: str | None = None) -> bytes:
        return prove_record_by_id(self.ledger, record_id, chain)


def stated(world: CaseWorld, **chosen: Any) -> Stated:
    """What a bundle of the case states."""
    found: list[Stated] = []

    def keep(said: Stated) -> dict[str, bytes]:
        found.append(said)
        return {}

    choice = Chosen(application=world.application, **chosen)
    assemble(Prover(world), choice, world.signer("bank"), "bank", world.ledger.height, documents=keep)
    return found[0]


@pytest.fixture(scope="module")
def world() -> CaseWorld:
    told = CaseWorld(LABEL, signatory(certificates.root("Test CA")))
    told.until_case()
    return told


@pytest.fixture(scope="module")
def facts(world: CaseWorld) -> CaseFacts:
    return case_facts(stated(world), Particulars(parties={"bank": PartyEntry(name="江海银行", phone="021")}))


def test_the_facts_are_the_chains(world: CaseWorld, facts: CaseFacts) -> None:
    certificate = world.state("notary", "certificate", world.deed)
    assert claims.as_value(facts.claim) == certificate["claim"]
    assert (facts.route, facts.case, facts.network) == ("A", world.case, world.network_id)
    assert (facts.creditor.name, facts.creditor.phone) == ("江海银行", "021")
    assert (facts.debtor.name, facts.debtor.identifier) == ("供应商有限公司", "GB-COH:1")
    assert [(one.party.name, one.ceiling, one.covered) for one in facts.guarantors] == [("王某", 1_000_000, True)]
    assert facts.deed is not None
    assert (facts.deed.number, facts.deed.certificate_number) == (DEED_NUMBER, CERTIFICATE_NUMBER)
    assert (facts.deed.signed_on, facts.deed.issued_on) == ("2026-01-02", "2026-06-22")
    assert facts.deed.time_limit == certificate["apply_by"]
    assert [(paid.day, paid.amount) for paid in facts.disbursements] == [("2026-01-03", 3_000_000)]
    assert (facts.loan.amount, facts.loan.rate_bp, facts.zone) == (3_000_000, 600, 480)
    assert (facts.loan.number, facts.loan.signed_on) == ("", "")  # what nobody said is not made up


def test_the_chronology_tells_every_step_in_order(world: CaseWorld, facts: CaseFacts) -> None:
    codes = [event.code for event in facts.events]
    assert set(codes) <= EVENTS
    for earlier, later in (
        ("application", "approved"),
        ("approved", "deed"),
        ("deed", "agreement"),
        ("consent", "countersign"),
        ("countersign", "disbursement"),
        ("disbursement", "repayment"),
        ("repayment", "overdue"),
        ("overdue", "default"),
        ("default", "verified"),
        ("verified", "certificate"),
        ("certificate", "case"),
    ):
        assert codes.index(earlier) < codes.index(later)
    assert (codes.count("consent"), codes.count("agreement"), codes.count("repayment")) == (2, 1, 2)
    assert [dict(event.values)["due"] for event in facts.events if event.code == "overdue"] == [
        "2026-03-03",
        "2026-04-03",
    ]
    for event in facts.events:
        if event.transaction:
            done = open_proof(prove_transaction(world.ledger, event.transaction))
            assert isinstance(done, Done)
            assert (done.block.height, done.block.time) == (event.height, event.at)
    assert [event.at for event in facts.events] == sorted(event.at for event in facts.events)


def test_every_step_of_a_case_is_told(world: CaseWorld) -> None:
    """Also those that come after the documents were first set: a bundle filed later tells of them."""
    said = stated(world)
    case = said.dossier.cases[-1]
    steps = [{**case["steps"][0], "step": step, "text": "text"} for step in court.METHODS if step != "open"]
    more = replace(said.dossier, cases=[{**case, "steps": [*case["steps"], *steps]}])
    codes = [event.code for event in chronology(replace(said, dossier=more), {})]
    assert codes.count("answered") == codes.count("acknowledged") == codes.count("rejected") == 1
    told = [
        event for event in chronology(replace(said, dossier=more), {}) if dict(event.values).get("text") == "text"
    ]
    assert len(told) == len(court.METHODS) - 1


def test_the_evidence_names_hashes_and_places(world: CaseWorld, facts: CaseFacts) -> None:
    by_kind = {item.kind: item for item in facts.evidence}
    assert by_kind.keys() >= {"deed", "agreement", "consent", "verification", "certificate", "loan", "repayment"}
    loan = by_kind["loan"]
    assert (loan.name, loan.record) == ("L-1", world.originals["loan L-1"].id)
    assert loan.sha256 == world.originals["loan L-1"].raw.hash
    assert by_kind["certificate"].transaction == world.transactions["issue"]


@pytest.mark.slow
def test_the_documents_say_so(facts: CaseFacts) -> None:
    files = files_of(facts)
    application = pages.text_of(files["enforcement-application.zh.pdf"])
    for said in ("15,443.66元", "供应商有限公司", CERTIFICATE_NUMBER, "王某", "2028年6月15日"):
        assert "".join(said.split()) in application
    assert facts.claim.total == 1_544_366
    listed = pages.text_of(files["evidence-list.zh.pdf"])
    assert all(item.sha256.hex() in listed for item in facts.evidence if item.sha256)
    told = pages.text_of(files["chronology.zh.pdf"])
    assert "单据I-1" not in told  # no paper was added that the loan's books do not name
    assert "执行证书有效" in told
    assert all(event.transaction.hex() in told for event in facts.events if event.transaction)


@pytest.mark.slow
def test_a_bundle_takes_them_in(world: CaseWorld) -> None:
    choice = Chosen(application=world.application)
    data = assemble(
        Prover(world), choice, world.signer("bank"), "bank", world.ledger.height,
        documents=lambda said: files_of(case_facts(said, Particulars())),
    )  # fmt: skip
    names = {name for name in archive.unpack(data) if name.startswith("documents/")}
    assert names >= {"documents/enforcement-application.zh.pdf", "documents/facts.json"}


@pytest.mark.slow
def test_a_suit_is_computed_by_chosen_terms(world: CaseWorld) -> None:
    """Without a deed the claimant says to which day and by which terms."""
    said = stated(world)
    bare = replace(said.dossier, deeds=[], cases=[{**said.dossier.cases[-1], "route": "B"}])
    terms = Terms(1_000, 0, 365, False)
    claim = claims.claim(None, bare.disbursements, bare.repayments, terms, "2026-06-30", bare.zone)
    chosen = replace(said.chosen, as_of="2026-06-30", terms=terms)
    facts = case_facts(replace(said, dossier=bare, chosen=chosen, claim=claim), Particulars())
    assert (facts.route, facts.deed, facts.agreed) == ("B", None, terms)
    assert "statement-of-claim.zh.pdf" in files_of(facts)


def test_what_is_missing_is_said(world: CaseWorld) -> None:
    said = stated(world)
    for code, changed, case in (
        ("CLAIM_MISSING", replace(said, claim=None), b""),
        ("CASE_MISSING", replace(said, dossier=replace(said.dossier, cases=[])), b""),
        ("CASE_MISSING", said, b"\x07" * 32),
    ):
        with pytest.raises(LitigationError) as raised:
            case_facts(changed, Particulars(), case)
        assert raised.value.code == code
