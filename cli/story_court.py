"""What becomes of a loan that is not paid: a deed made enforceable beforehand, default, certificate, case.

The demonstration cannot wait ninety days. So one payment out is booked as of a day in the past, and says so; every
other date is the machine's.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.errors import DONE, UNVERIFIED, CliError
from cli.output import table, write_file
from cli.story_credit import RATE_BP, Deal, Paper
from cli.story_members import COURT, NOTARY
from cli.story_teller import typed
from cli.values import decimal_text

if TYPE_CHECKING:
    from cli.story import Story
    from cli.story_evidence import Audit

FOLDER: Final = "court"
BUNDLE: Final = "case.zip"
HANDED_IN: Final = "handed-in"
PAID_OUT_DAYS: Final = 120
DUE_DAYS: Final = (75, 30)
"""How many days ago the payment that is not repaid was made, and its two instalments fell due."""
PENALTY_BP, COMPOUND_BP = RATE_BP * 3 // 2, RATE_BP * 3 // 2
"""Half as much again as the loan's rate."""
ANSWER_DAYS: Final = 7
FIRST, LAST = 12, 24
"""Lines of the verification that the terminal shows."""
ADDRESS: Final = "Unit 4, Foundry Lane (made up)"
READABLE_S: Final = 60.0
DOCKET: Final = "(2026) Enf. 12"

DEED: Final = """\
赋强公证债权文书 (演示)
Deed of an enforceable debt (made up for the demonstration)

债权人 Creditor: {creditor}
债务人 Debtor: {debtor}
合同 Contract: {contract}
最高债权本金 Ceiling of principal: {ceiling}
逾期罚息 Penalty interest: {penalty} % a year; 复利 compound interest: {compound} % a year

债务人承诺: 不履行或者不完全履行债务时, 愿意接受强制执行。
The debtor agrees to be enforced against without a suit if it does not perform, or not in full.
双方同意公证机构以信函方式核实债务履行情况, 债务人应在 {days} 日内答复。
Both sides agree that the notary asks the debtor by letter whether it has performed; it answers within {days} days.
"""
WORK_RECORD: Final = """\
核实债务履行情况工作记录 (演示)
Record of the notary's verification (made up for the demonstration)

The debtor was asked by letter in the way the deed says. It answered that the instalments are not paid.
On the chain no repayment is booked on them.
"""


class Recovery:
    """The deal whose last payment out is not repaid, from its deed to the court."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.deal: Deal | None = None
        self.deed = ""
        self.certificate: dict[str, Any] = {}
        self.case = ""
        self.route: dict[str, Any] = {}
        self.docket = ""
        self.verdict = ""
        self.opened = ""
        """The sealed field that the bundle opens to the court."""

    @property
    def folder(self) -> Path:
        """Where the papers of the case lie."""
        return self.story.stage.directory / FOLDER

    @property
    def bundle(self) -> Path:
        """The evidence bundle of the case."""
        return self.folder / BUNDLE

    def make_deed(self, deal: Deal) -> None:
        """Before anything goes wrong: every party consents with its own key, the notary countersigns."""
        say, tally = self.story.teller.say, self.story.tally
        self.deal = deal
        self.folder.mkdir(exist_ok=True)
        assessed = deal.assessment
        ceiling = decimal_text(2 * assessed["limit"], assessed["scale"])
        text = self.folder / "deed.txt"
        text.write_text(
            DEED.format(
                creditor=deal.lender, debtor=deal.enterprise.label, contract=deal.paper.number,
                ceiling=f"{ceiling} {assessed['currency']}", days=ANSWER_DAYS,
                penalty=f"{PENALTY_BP / 100:.2f}", compound=f"{COMPOUND_BP / 100:.2f}",
            ),
            encoding="utf-8",
        )  # fmt: skip
        say(
            "While all is well, lender and enterprise make the debt enforceable: the enterprise agrees to be "
            f"enforced against without a suit, both agree how {NOTARY} will ask whether it was paid. No step can be "
            "left out."
        )
        drafted = tally.do(
            deal.lender, "notary draft", deal.application, notary=NOTARY, ceiling=ceiling, text=typed(text),
            penalty_bp=PENALTY_BP, compound_bp=COMPOUND_BP, acceleration=True, way="letter",
            address=ADDRESS, answer_days=ANSWER_DAYS,
        )  # fmt: skip
        self.deed = drafted["id"]
        for party in (deal.enterprise.id, deal.lender):
            tally.do(party, "notary consent", self.deed, text=typed(text))
        tally.do(NOTARY, "notary countersign", self.deed, number="2026-017")
        say("The deed stands: consented to by both with their own keys, countersigned by the notary.")

    def default(self) -> None:
        """Nobody pays: the creditor claims, the debtor answers, the notary verifies and certifies."""
        deal = self._the_deal()
        say, tally = self.story.teller.say, self.story.tally
        line = tally.ask(deal.lender, "credit line", deal.application, told=False)
        self._require(line["state"] == "overdue", "the line is overdue")
        say("Two instalments are past due and their grace is over; nothing more is lent. The lender claims default.")
        tally.do(deal.lender, "notary default", self.deed, accelerate=True)
        say("The notary asks in the way that the deed says. The debtor answers with its own key: it owes it.")
        tally.do(deal.enterprise.id, "notary answer", self.deed, admits=True, text="not paid, there is no money")
        record = self.folder / "work-record.txt"
        record.write_text(WORK_RECORD, encoding="utf-8")
        tally.do(
            NOTARY, "notary verify", self.deed, outcome="unpaid", record=typed(record),
            answered=deal.enterprise.id, text="the debtor admits that the instalments are not paid",
        )  # fmt: skip
        issued = tally.do(NOTARY, "notary issue", self.deed, number="2026-E-4")
        self.certificate = issued
        rows = [[name, deal.money(amount)] for name, amount in issued["amounts"].items()]
        self.story.teller.show(table(["execution certificate 2026-E-4", "amount"], rows))
        say(
            "Every node has computed these from the chain's own payments and repayments; a notary who wrote others "
            f"would be refused. A court may be asked until {issued['apply_by']}."
        )

    def open_case(self) -> None:
        """Which way it goes, and why."""
        deal = self._the_deal()
        say, tally = self.story.teller.say, self.story.tally
        opened = tally.do(deal.lender, "court open", deal.application)
        self.case = opened["case"]
        self.route = tally.ask(deal.lender, "court show", self.case)
        self._require(self.route["route"] == "A", "with a certificate that stands the way is enforcement")
        say(f"Route {self.route['route']}, enforcement, not a suit: {self.route['reasons'][0][1]}.")

    def export(self) -> None:
        """The bundle, once its blocks are anchored, and the folder for a court that runs no node."""
        deal = self._the_deal()
        say, tally = self.story.teller.say, self.story.tally
        particulars = self.folder / "particulars.json"
        particulars.write_text(json.dumps(self._particulars(), indent=1, ensure_ascii=False), encoding="utf-8")
        papers = (deal.paper, *deal.pledged)
        tally.do(
            deal.lender, "evidence export", self.case, output=typed(self.bundle), particulars=typed(particulars),
            record=tuple(paper.id for paper in papers), open=self._opened(deal),
        )  # fmt: skip
        say(
            f"{typed(self.bundle)}: originals, records, proofs, the deed and every step of it, the computation, and "
            "the application for enforcement in Chinese with a reading copy in English."
        )

    def hand_in(self) -> None:
        """To a court without a node, and its signed answer back onto the chain."""
        deal = self._the_deal()
        say, tally, folder = self.story.teller.say, self.story.tally, self.folder / HANDED_IN
        say(f"{COURT} runs no node: the bundle goes there in a folder, and the chain notes which.")
        tally.do(deal.lender, "court hand-in", self.case, typed(self.bundle), output=typed(folder), court=COURT)
        day = str(self._today())
        key = self.story.stage.home / "parties" / f"{COURT}.json"
        tally.do(
            COURT, "court answer", typed(folder), answer="accepts", number=DOCKET, day=day, key=typed(key)
        )  # fmt: skip
        tally.do(deal.lender, "court take-back", self.case, typed(folder / "answer.txt"))
        shown = tally.ask(deal.lender, "court show", self.case, told=False)
        self._require((shown["state"], shown["number"]) == ("accepted", DOCKET), "the court's answer is on the chain")
        self.docket = DOCKET
        say(f"Its answer, signed with its own key, is back on the chain: accepted as {DOCKET}.")

    def check(self, audit: Audit) -> None:
        """What a court does: verify the bundle with what it brings along, once without the development chain."""
        from cli.story_evidence import VERIFIED

        say, show = self.story.teller.say, self.story.teller.show
        genesis = self.story.stage.genesis
        code, printed = audit.verify(self.bundle, genesis, language="en")
        whole = self.story.stage.directory / VERIFIED / "case.txt"
        write_file(whole, printed.encode())
        lines = printed.splitlines()
        show([*lines[:FIRST], f"… all {len(lines)} lines are in {typed(whole)}", *lines[-LAST:]], deeper="  ")
        self._require(code == DONE, f"{self.bundle.name} verifies: {lines[-1] if lines else 'it says nothing'}")
        self.verdict = "holds; UNANCHORED without the development chain"
        code, printed = audit.verify(self.bundle, genesis, development=False)
        self._require(code == UNVERIFIED and "UNANCHORED" in printed, "a chain of this machine's own is no anchor")
        say(
            "The bundle holds. Without the flag the verdict is UNANCHORED: this machine's own public chain proves "
            "nothing to a court, and a real case is anchored at real ones."
        )

    def value(self) -> dict[str, Any] | None:
        """For --json; None where nothing went to court."""
        if not self.case:
            return None
        return {
            "deed": self.deed, "certificate": self.certificate, "case": self.case, "route": self.route["route"],
            "docket": self.docket, "bundle": str(self.bundle), "opened": self.opened,
        }  # fmt: skip

    def schedule(self, amount: int, scale: int) -> tuple[str, tuple[str, ...]]:
        """A payment out that is past due: its day, and two instalments of half the principal each."""
        today = self._today()
        paid = today - timedelta(days=PAID_OUT_DAYS)
        rows, left, before = [], amount, PAID_OUT_DAYS
        for days, principal in zip(DUE_DAYS, (amount - amount // 2, amount // 2), strict=True):
            interest = -(-left * RATE_BP * (before - days) // (10_000 * 365))
            parts = (decimal_text(value, scale) for value in (principal, interest))
            rows.append(":".join([str(today - timedelta(days=days)), *parts]))
            left, before = left - principal, days
        return str(paid), tuple(rows)

    def _today(self) -> Any:
        return datetime.fromtimestamp(self.story.stage.time() // 1_000, UTC).date()

    def _the_deal(self) -> Deal:
        assert self.deal is not None
        return self.deal

    def _opened(self, deal: Deal) -> tuple[str, ...]:
        """One sealed field of a pledged bill, for this case only: its owner names the lender as a reader first."""
        say, tally = self.story.teller.say, self.story.tally
        for bill in deal.pledged:
            sealed = tally.ask(bill.chain, "record show", bill.id, told=False)["sealed"] or {}
            name = next((name for name in sorted(sealed) if isinstance(sealed[name], str)), None)
            if name is None:
                continue
            say(f"{bill.chain} lets the lender read its {bill.kind}s; the court alone gets {name.replace('_', ' ')}.")
            tally.do(bill.chain, "record readers set", f"{bill.kind}={deal.lender}")
            self._until_read(deal.lender, bill)
            self.opened = f"{name.replace('_', ' ')} of {bill.name}"
            return (f"{bill.id}={name}",)
        return ()

    def _until_read(self, member: str, bill: Paper) -> None:
        def reads() -> bool:
            return bool(self.story.tally.ask(member, "record show", bill.id, told=False)["sealed"])

        self.story.stage.until(reads, f"{member} reads {bill.name}", READABLE_S)

    def _particulars(self) -> dict[str, Any]:
        """What the forms ask and no chain knows; made up, and says so."""
        deal = self._the_deal()
        return {
            "court": "示范市中级人民法院 (演示)",
            "parties": {
                deal.lender: {
                    "name": "示范银行 (演示)",
                    "address": "示范市金融路1号",
                    "representative": "张三",
                    "position": "行长",
                    "account": {"holder": "示范银行 (演示)", "bank": "示范银行 (演示)", "number": "0000 0000 0000"},
                },
                deal.enterprise.id: {"name": deal.enterprise.name, "address": ADDRESS},
            },
        }

    @staticmethod
    def _require(holds: bool, claim: str) -> None:
        if not holds:
            raise CliError(f"this does not hold: {claim}", code="STORY_FAILED", exit_code=4)
