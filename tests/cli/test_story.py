"""The whole way at the command line, against four validators and an observer that run as processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli import by_hand
from tests.cli.by_hand import Printout

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "genesis/example/documents"
CONTRACT = "ocds-7k2vzq-MVW-2026-014-C1"


@dataclass(frozen=True)
class Story:
    """What the steps before have made."""

    network: Any
    ingested: Any
    application: str
    assessment: dict[str, Any]


@pytest.fixture(scope="module")
def story(network: Any) -> Story:
    """Example documents taken in, contract and qualification confirmed, credit applied for and assessed."""
    ingested = network.done("erp", "ingest", EXAMPLE, "--all-members")
    network.done("marlow", "credit", "confirm", "contract", CONTRACT)
    network.done("guarantor", "credit", "confirm", "qualification", "MVW-Q-2026-031")
    applied = network.done(
        "kestrel", "credit", "apply", "kestrel", "--contract", CONTRACT, "--lender", "lender", "--amount", "150000.00"
    )
    assessed = network.done("lender", "credit", "assess", applied["id"])
    return Story(network, ingested, applied["id"], assessed)


def test_every_document_is_sealed_on_its_members_chain(story: Story) -> None:
    assert story.ingested["counts"] == {"sealed": 14}
    chains = {row["chain"]: row["height"] for row in story.network.done("auditor", "query", "chains")}
    assert min(chains["procurement"], chains["erp"], chains["guarantor"]) >= 1
    assert chains["auditor"] == 0


def test_taking_them_in_again_changes_nothing(story: Story) -> None:
    before = story.network.done("erp", "query", "chains")
    again = story.network.done("erp", "ingest", EXAMPLE, "--all-members")
    assert again["counts"] == {"known": 14}
    assert story.network.done("erp", "query", "chains") == before


def test_raw_files_lie_in_the_members_document_store(story: Story) -> None:
    from chain.sealed import decode_raw
    from tallystick import Client

    found = story.network.done("auditor", "query", "record", "invoice", "KPV-0811")
    digest = bytes.fromhex(found[0]["record"][11][3])
    node = story.network.nodes.nodes["erp"]
    with Client(node.api) as client:
        kept = decode_raw(client.document(digest))
    assert kept.file == (EXAMPLE / "invoice-KPV-0811.xml").read_bytes()


def test_the_assessment_in_words(story: Story) -> None:
    identity = story.assessment["id"]
    assert story.assessment["limit"] > 0
    shown = story.network.tally("auditor", "credit", "show", identity)
    assert shown.code == 0, shown.err
    for text in ("initial limit", "conformity", "truth", "Reasons:", "GBP"):
        assert text in shown.out
    listed = story.network.tally("auditor", "credit", "show", "GB-COH:99900217")
    assert identity in listed.out


def test_the_explanation_can_be_redone_by_hand_from_the_printout(story: Story) -> None:
    for what in (story.assessment["id"], story.application, "GB-COH:99900217"):
        explained = story.network.tally("auditor", "credit", "explain", what, "--records")
        assert explained.code == 0, explained.err
        printout = Printout(explained.out)
        said = {name: int(value) for name, value in printout.facts("Sums at block").items()}
        assert said == by_hand.sums(printout.table("Records in force"))
        assert by_hand.initial_limit(printout) == story.assessment["limit"]
        assert {row["status"] for row in printout.table("Bills:")} == {"matched"}
        assert ": gives the same." in explained.out
    (found,) = story.network.done("auditor", "credit", "explain", story.application)["explained"]
    assert found["assessment"]["steps"][-1]["value"] == story.assessment["limit"]
    early = story.network.tally("auditor", "credit", "explain", "GB-COH:99900217", "--at", "1")
    assert early.code == 3


def test_deciding_and_disbursing(story: Story) -> None:
    network, application = story.network, story.application
    over = network.tally("lender", "credit", "decide", application, "--approve", "999999999")
    assert (over.code, "the limit is" in over.err) == (3, True)
    early = network.tally("lender", "credit", "disburse", application)
    assert early.code == 3
    assert "has no decision yet" in early.err
    other = network.tally("erp", "credit", "decide", application, "--approve", "1.00")
    assert other.code == 3
    assert "that member decides" in other.err
    assert network.tally("lender", "credit", "decide", application).code == 2
    assert network.tally("lender", "credit", "decide", application, "--approve", "1.001").code == 2

    done = network.done("lender", "credit", "decide", application, "--approve", "24000.00", "--term-days", "90")
    assert done["state"] == "approved"
    paid = network.done("lender", "credit", "disburse", application, "--amount", "10000.00", "--on", "2026-11-01")
    assert (paid["amount"], paid["disbursed"]) == (1_000_000, 1_000_000)
    versions = network.done("auditor", "query", "history", "loan", done["loan"][1])["rows"]
    assert [row["changed"] for row in versions] == [["amount", "disbursed_on"], ["first version"]]
    assert versions[0]["record"][12]["term_days"] == "90"
    again = network.tally("lender", "credit", "disburse", application)
    assert (again.code, "is paid out already" in again.err) == (3, True)
    more = network.tally("lender", "credit", "disburse", application, "--amount", "14000.01", "--loan-number", "X")
    assert (more.code, "14,000.00 GBP of what was approved is left" in more.err) == (3, True)
    assert network.done("auditor", "query", "history", "loan", done["loan"][1])["rows"] == versions
    rest = network.done(
        "lender", "credit", "disburse", application, "--amount", "14000.00", "--loan-number", f"{done['loan'][1]}-2"
    )
    assert rest["disbursed"] == 2_400_000
    assert network.tally("lender", "credit", "disburse", application).code == 3
    kinds = {network.done("auditor", "credit", "show", row["id"])["kind"] for row in (done, paid)}
    assert kinds == {"decision", "disbursement"}
    asked = network.done("auditor", "credit", "show", application)
    assert asked["state"] == "disbursed"


def test_preserving(story: Story) -> None:
    network = story.network
    record = network.done("auditor", "query", "record", "contract", CONTRACT)[0]["id"]
    subjects = (record, f"assessment:{story.assessment['id']}")
    done = network.done("procurement", "notary", "preserve", *subjects, "--contract", "MVW-2026-014")
    assert done["known"] is False
    again = network.done("erp", "notary", "preserve", *subjects, "--contract", "MVW-2026-014")
    assert (again["id"], again["known"]) == (done["id"], True)
    for wanted in (done["id"], record, story.assessment["id"]):
        assert [row["id"] for row in network.done("auditor", "notary", "show", wanted)] == [done["id"]]
    assert network.tally("erp", "notary", "preserve", "00" * 32, "--contract", "x").code == 3
    assert network.tally("erp", "notary", "preserve", "decision:" + "00" * 32, "--contract", "x").code == 4
    assert network.tally("erp", "notary", "preserve", "poem:" + "00" * 32, "--contract", "x").code == 2
    assert network.tally("erp", "notary", "show", "00" * 32).code == 3


def test_an_auditor_takes_the_evidence_home(story: Story, tally: Any, tmp_path: Path) -> None:
    network = story.network
    path = tmp_path / "limit.bundle"
    done = network.done(
        "auditor", "audit", "export", "assessment", story.assessment["id"], "--with-evidence", "-o", path
    )
    assert done["proofs"] >= 12
    checked = tally("verify", path, "--genesis", network.genesis)
    assert checked.code == 0, checked.err
    for text in ("This assessment stood after", "initial limit", "KPV-0811", "GR-30457", "PO-88121", "proofs stand"):
        assert text in checked.out
    assert tally("verify", path, "--genesis", "00" * 32).code == 6

    record = network.done("auditor", "query", "record", "invoice", "KPV-0811")[0]["id"]
    one = tmp_path / "one.proof"
    assert network.tally("auditor", "query", "record", record, "--prove", "-o", one).code == 0
    assert "KPV-0811" in tally("audit", "verify", one, "--genesis", network.genesis).out
    for words in (
        ("application", story.application),
        ("state", "consortium", "gov", "parameters"),
        ("tx", story.application),
    ):
        assert network.tally("auditor", "audit", "export", *words, "-o", one).code == 0
        assert tally("verify", one, "--genesis", network.genesis).code == 0
    for words, code in (
        (("record", "00" * 32), 3),
        (("decision", "00" * 32), 3),
        (("record", "xy"), 2),
        (("state", "x"), 2),
    ):
        assert network.tally("auditor", "audit", "export", *words, "-o", tmp_path / "none").code == code
    assert not (tmp_path / "none").exists()
    late = network.tally("auditor", "audit", "export", "record", record, "--anchored", "-o", tmp_path / "none")
    assert late.code == 3
    assert "is not anchored yet" in late.err
