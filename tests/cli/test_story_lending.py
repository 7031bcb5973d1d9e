"""The lender's desk at the command line, on the network of test_story.py: from an approval to a dispute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "genesis/example/documents"
CONTRACT = "ocds-7k2vzq-MVW-2026-014-C1"
BILL = "KPV-0811"


@dataclass(frozen=True)
class Desk:
    """A network and an application whose line is open, 20 000.00 approved."""

    network: Any
    application: str
    loan: str


def approved(network: Any, amount: str) -> tuple[str, str]:
    """An application of kestrel that the lender has approved, and the number of its loan."""
    applied = network.done("kestrel", "credit", "apply", "kestrel", "--contract", CONTRACT, "--lender", "lender")
    network.done("lender", "credit", "assess", applied["id"])
    terms = ("--term-days", "90", "--rate-bp", "650")
    done = network.done("lender", "credit", "decide", applied["id"], "--approve", amount, *terms)
    return applied["id"], done["loan"][1]


@pytest.fixture(scope="module")
def desk(network: Any) -> Desk:
    network.done("erp", "ingest", EXAMPLE, "--all-members")
    network.done("marlow", "credit", "confirm", "contract", CONTRACT)
    network.done("guarantor", "credit", "confirm", "qualification", "MVW-Q-2026-031")
    return Desk(network, *approved(network, "20000.00"))


def test_extending_paying_out_and_being_repaid(desk: Desk) -> None:
    network, application = desk.network, desk.application
    over = network.tally("lender", "credit", "extend", application, "--approve", "99999999.00")
    assert (over.code, "of the limit is not approved yet" in over.err) == (3, True)
    assert network.tally("lender", "credit", "extend", application, "--decline").code == 4
    assert network.tally("lender", "credit", "extend", application).code == 2
    more = network.done("lender", "credit", "extend", application, "--approve", "500.00")
    assert more["approved"] == 2_050_000

    wrong = ("--loan-number", desk.loan, "--instalment", "2099-07-01:1.00:0.00")
    unequal = network.tally("lender", "credit", "disburse", application, *wrong)
    assert (unequal.code, "add up to 1.00 GBP where 20,000.00 GBP" in unequal.err) == (2, True)
    parts = ("--instalment", "2099-07-01:15000.00:400.00", "--instalment", "2099-10-01:5000.00:100.00")
    malformed = network.tally("lender", "credit", "disburse", application, "--instalment", "2099-07-01")
    assert malformed.code == 2
    paid = network.done("lender", "credit", "disburse", application, "--loan-number", desk.loan, *parts)
    assert paid["schedule"] == [["2099-07-01", 1_500_000, 40_000], ["2099-10-01", 500_000, 10_000]]
    rest = network.done("lender", "credit", "disburse", application)
    assert (rest["amount"], len(rest["schedule"])) == (50_000, 1)
    assert rest["schedule"][0][2] > 0  # interest of 90 days at 6.5 %, as the first loan's terms say

    too_much = network.tally("lender", "credit", "repay", application, "99999999.00")
    assert (too_much.code, "is owed" in too_much.err) == (3, True)
    back = network.done("lender", "credit", "repay", application, "600.00", "--reference", "BACS 1")
    assert (back["amount"], back["state"]) == (60_000, "open")
    twice = network.tally("lender", "credit", "repay", application, "600.00")
    assert (twice.code, "was taken already" in twice.err) == (3, True)
    assert network.tally("erp", "credit", "repay", application, "1.00").code in (3, 4)

    shown = network.tally("auditor", "credit", "line", application)
    assert shown.code == 0, shown.err
    for text in ("initial limit", "borrowing base", "milestone", "2099-10-01", "available"):
        assert text in shown.out
    found = network.done("auditor", "credit", "line", application)
    assert found["outstanding"] == 2_050_000 - back["principal"]


def test_pledging_assigning_and_pledging_again(desk: Desk) -> None:
    network, application = desk.network, desk.application
    missing = network.tally("lender", "credit", "pledge", application, "NO-SUCH")
    assert (missing.code, "no chain has" in missing.err) == (3, True)
    done = network.done("lender", "credit", "pledge", application, BILL, "--registration", "ZD-1")
    assert (done["pledged"], done["known"]) == (True, False)
    assert network.done("lender", "credit", "pledge", application, BILL)["known"] is True

    other, _ = approved(network, "100.00")
    double = network.tally("lender", "credit", "pledge", other, BILL)
    assert (double.code, "backs another loan already" in double.err) == (4, True)

    assert network.tally("lender", "credit", "notify", BILL, "--date", "2026-01-02").code == 2
    notice = EXAMPLE / "contract-MVW-2026-014.json"
    network.done("lender", "credit", "notify", BILL, "--date", "2026-01-02", "--text", notice)
    assert network.tally("kestrel", "credit", "acknowledge", BILL).code == 4
    assert network.done("marlow", "credit", "acknowledge", BILL)["known"] is False
    words = network.tally("auditor", "credit", "line", application).out
    assert "acknowledged by marlow" in words
    network.done("lender", "credit", "release", BILL)
    assert network.tally("lender", "credit", "release", BILL).code == 4


def test_disputing(desk: Desk) -> None:
    network = desk.network
    assert network.tally("kestrel", "credit", "dispute", "KPV-0826", "--reason", "mine").code == 4
    assert network.done("marlow", "credit", "dispute", "KPV-0826", "--reason", "late")["status"] == "open"
    assert network.tally("lender", "credit", "pledge", desk.application, "KPV-0826").code == 4
    assert network.tally("marlow", "credit", "resolve", "KPV-0826").code == 2
    ended = network.tally("marlow", "credit", "resolve", "KPV-0826", "--dismissed", "--note", "settled")
    assert (ended.code, "dispute dismissed" in ended.out) == (0, True)
