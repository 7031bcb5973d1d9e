"""The lending part of the story: confirmation, application, assessment, decision and disbursement, deal by deal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cli import credit_words
from cli.output import money
from cli.story_cast import Cast, Person
from cli.story_teller import Tally, Teller
from cli.values import decimal_text

if TYPE_CHECKING:
    from node.connectors import RecordDraft

LENDER, PROCUREMENT, GUARANTOR = "lender", "procurement", "guarantor"
TERM_DAYS: Final = 90
RATE_BP: Final = 650

Key = tuple[str, str, str]
"""Kind, issuer and number of a record."""


@dataclass(frozen=True)
class Paper:
    """A sealed record: where it lies, and what its document said."""

    kind: str
    number: str
    chain: str
    id: str
    draft: RecordDraft

    @property
    def name(self) -> str:
        """As people say it."""
        return f"{self.kind.replace('_', ' ')} {self.number}"


@dataclass
class Deal:
    """A contract (or an order, where there is no contract) that an enterprise wants credit on."""

    enterprise: Person
    buyer: Person | None
    paper: Paper
    application: str = ""
    assessment: dict[str, Any] = field(default_factory=dict)
    bills: list[dict[str, Any]] = field(default_factory=list)
    decision: dict[str, Any] = field(default_factory=dict)
    paid: dict[str, Any] = field(default_factory=dict)
    preservation: dict[str, Any] = field(default_factory=dict)

    @property
    def limit(self) -> str:
        """The initial limit with its currency."""
        return self.money(self.assessment["limit"])

    def money(self, minor: int) -> str:
        """An amount in the currency of the contract."""
        return money(minor, self.assessment["scale"], self.assessment["currency"])


class Desk:
    """Brings every enterprise with a contract (else an order) from application to decision."""

    def __init__(self, tally: Tally, teller: Teller, cast: Cast, papers: Mapping[Key, Paper]) -> None:
        """papers: all that is sealed, by natural key."""
        self._tally = tally
        self._teller = teller
        self._cast = cast
        self._papers = papers
        self.deals: list[Deal] = []

    def handle(self) -> list[Deal]:
        """Who has a contract applies; every other enterprise is told why not."""
        for person in self._cast.people:
            theirs = [paper for paper in self._papers.values() if self._is(paper.draft.enterprise.id, person)]
            for paper in self._to_apply_on(person, theirs):
                counterparty = paper.draft.counterparty
                buyer = self._cast.by_identifier.get(counterparty.id) if counterparty else None
                deal = Deal(person, buyer if buyer is not person else None, paper)
                self._confirm(deal)
                self._apply(deal)
                self._assess(deal)
                self._decide(deal)
                self.deals.append(deal)
        return self.deals

    def _to_apply_on(self, person: Person, theirs: list[Paper]) -> list[Paper]:
        """All contracts; without one the newest order."""
        contracts = [paper for paper in theirs if paper.kind == "contract"]
        orders = sorted((p for p in theirs if p.kind == "order"), key=lambda p: (p.draft.occurred_at, p.number))
        if contracts or not theirs:
            return contracts
        if orders:
            self._teller.say(f"{person.label} has no contract; its newest order stands in for one.")
            return orders[-1:]
        names = ", ".join(paper.name for paper in theirs[:4])
        self._teller.say(f"{person.label} does not apply: no contract and no order of it is sealed, only {names}.")
        return []

    def _is(self, identifier: str, person: Person) -> bool:
        return self._cast.by_identifier.get(identifier) is person

    def _confirm(self, deal: Deal) -> None:
        """Independent signers stand for the contract and the qualification: what is not confirmed counts little."""
        if deal.buyer is not None:
            self._teller.say(f"{deal.buyer.label}, the buyer, confirms the {deal.paper.name} with its own key.")
            self._stand_for(deal.buyer.id, deal.paper)
        for paper in self._papers.values():
            if paper.kind == "qualification" and self._is(paper.draft.enterprise.id, deal.enterprise):
                who = GUARANTOR if paper.chain != GUARANTOR else PROCUREMENT
                self._teller.say(
                    f"The {who} confirms the {paper.name}. Its office would have looked the company up in the "
                    "register; the demo supposes that it did, and that all is right."
                )
                self._stand_for(who, paper)

    def _stand_for(self, who: str, paper: Paper) -> None:
        self._tally.do(who, "credit confirm", paper.kind, paper.number, issuer=paper.draft.issuer, chain=paper.chain)

    def _apply(self, deal: Deal) -> None:
        person, paper = deal.enterprise, deal.paper
        self._teller.say(f"{person.label} applies for credit on the {paper.name}, with its own key.")
        done = self._tally.do(
            person.id, "credit apply", person.id,
            contract=paper.number, kind=paper.kind, issuer=paper.draft.issuer, lender=LENDER,
        )  # fmt: skip
        deal.application = done["id"]

    def _assess(self, deal: Deal) -> None:
        deal.assessment = self._tally.do(LENDER, "credit assess", deal.application)
        self._teller.say("Every node has computed this from all chains; the lender's shows it:")
        self._teller.show(credit_words.assessment(deal.assessment), deeper="  ")
        explained = self._tally.do(LENDER, "credit explain", deal.application, records=True)["explained"]
        deal.bills = explained[0]["bills"]
        for bill in deal.assessment["bills"]:
            for finding in bill["findings"]:
                if finding["contradicts"]:
                    name = f"{bill['bill'][0]} {bill['bill'][2]}"
                    self._teller.say(f"FALSE: {name} is {bill['status']}: rule {finding['rule']}: {finding['text']}.")
        self._tell_without(deal)

    def _tell_without(self, deal: Deal) -> None:
        """What falsehood costs."""
        rows = [row for row in deal.assessment["limit_without"] if row["limit"] != deal.assessment["limit"]]
        single = [row for row in rows if "bill" in row]
        for row in single if len(single) == 1 else rows:
            what = f"{row['bill'][0]} {row['bill'][2]}" if "bill" in row else "every bill"
            self._teller.say(f"The limit is {deal.limit}. Were {what} true, it would be {deal.money(row['limit'])}.")

    def _decide(self, deal: Deal) -> None:
        """The lender of the demonstration lends the whole limit, once the buyer has confirmed what is owed."""
        if self._shares_guarantee(deal):
            self._teller.say("A guarantee has come to back another application since: assessed again.")
            self._assess(deal)
        assessed = deal.assessment
        if not assessed["limit"]:
            codes = assessed["no_limit"] or [row["code"] for row in assessed["reasons"]]
            why = f"initial limit {deal.limit}: {', '.join(codes)}"
            self._teller.say(f"The lender declines: {why}.")
            deal.decision = self._tally.do(LENDER, "credit decide", deal.application, decline=True, note=why)
            return
        self._confirm_bills(deal)
        self._teller.say(
            f"The lender decides, always. This one lends the whole limit, {deal.limit}, for {TERM_DAYS} days at "
            f"{RATE_BP / 100:.2f} % a year: a loan record on its own chain, then the decision that cites it."
        )
        deal.decision = self._tally.do(
            LENDER, "credit decide", deal.application,
            approve=decimal_text(assessed["limit"], assessed["scale"]), term_days=TERM_DAYS, rate_bp=RATE_BP,
        )  # fmt: skip
        self._pay_out(deal)

    def _pay_out(self, deal: Deal) -> None:
        """What the collateral carries today; the rest follows with the evidence."""
        line = self._tally.do(LENDER, "credit line", deal.application)
        amount = min(line["approved"], line["room"]["available"])
        if amount < line["approved"]:
            base = deal.money(line["room"]["base"])
            self._teller.say(f"The collateral carries {base} today; more can be drawn as goods and bills move.")
        if amount == 0:
            return
        paid = decimal_text(amount, line["scale"])
        deal.paid = self._tally.do(LENDER, "credit disburse", deal.application, amount=paid)
        self._teller.say(f"Paid out: {deal.money(deal.paid['amount'])}, loan {deal.paid['loan'][1]}.")

    def _shares_guarantee(self, deal: Deal) -> bool:
        used = {guarantee for other in self.deals if other.paid for guarantee in other.assessment["guarantees"]}
        return bool(used & set(deal.assessment["guarantees"]))

    def _confirm_bills(self, deal: Deal) -> None:
        """Each buyer stands for the bills that agree with what it ordered and received."""
        true = [bill for bill in deal.bills if bill["status"] == "matched"]
        for bill in true:
            paper = self._papers.get((bill["kind"], bill["issuer"], bill["number"]))
            party = paper.draft.counterparty if paper is not None else None
            debtor = self._cast.by_identifier.get(party.id) if party is not None else None
            if paper is not None and debtor is not None and debtor is not deal.enterprise:
                owed = f"{bill['amount']} {bill['currency']}"
                self._teller.say(f"{debtor.label} confirms that it owes {owed}, {paper.name}.")
                self._stand_for(debtor.id, paper)
