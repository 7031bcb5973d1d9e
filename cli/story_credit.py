"""The lending part of the story: confirmation, application, assessment, decision and disbursement, deal by deal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from cli import credit_words
from cli.output import money
from cli.story_cast import Cast, Person
from cli.story_teller import Tally, Teller
from cli.values import decimal_text

if TYPE_CHECKING:
    from cli.story_market import Market
    from cli.story_stage import Stage
    from node.connectors import RecordDraft

MATCHED: Final = "matched"
LENDER, PROCUREMENT, GUARANTOR = "lender", "procurement", "guarantor"
TERM_DAYS: Final = 90
RATE_BP: Final = 650

Dated = Callable[[int, int], tuple[str, tuple[str, ...]]]
"""(amount, scale) to the day of a payment out and its instalments."""
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
    lender: str = ""
    pledged: list[Paper] = field(default_factory=list)
    booked: set[str] = field(default_factory=set)
    payments: list[dict[str, Any]] = field(default_factory=list)
    lender_match: dict[str, Any] = field(default_factory=dict)
    insurer_match: dict[str, Any] = field(default_factory=dict)

    @property
    def limit(self) -> str:
        """The initial limit with its currency."""
        return self.money(self.assessment["limit"])

    def money(self, minor: int) -> str:
        """An amount in the currency of the contract."""
        return money(minor, self.assessment["scale"], self.assessment["currency"])


class Desk:
    """Brings every enterprise with a contract (else an order) from application to decision."""

    def __init__(
        self, stage: Stage, tally: Tally, teller: Teller, cast: Cast, papers: Mapping[Key, Paper], market: Market
    ) -> None:
        """papers: all that is sealed, by natural key; it may grow. market: where lenders and insurers are found."""
        self._stage = stage
        self._confirmed: set[str] = set()
        self._tally = tally
        self._teller = teller
        self._cast = cast
        self._papers = papers
        self._market = market
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
                self._market.choose_lender(deal)
                self._market.name_insurer(deal)
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
        self._teller.say(
            f"{person.label} applies for credit on the {paper.name}, with its own key, to no lender yet."
        )
        done = self._tally.do(
            person.id, "credit apply", person.id,
            contract=paper.number, kind=paper.kind, issuer=paper.draft.issuer,
        )  # fmt: skip
        deal.application = done["id"]

    def _assess(self, deal: Deal) -> None:
        deal.assessment = self._tally.do(deal.enterprise.id, "credit assess", deal.application)
        self._teller.say("Every node has computed this from all chains:")
        self._teller.show(credit_words.assessment(deal.assessment), deeper="  ")
        explained = self._tally.ask(LENDER, "credit explain", deal.application, records=True, told=False)["explained"]
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
            deal.decision = self._tally.do(deal.lender, "credit decide", deal.application, decline=True, note=why)
            return
        bills = self.confirm_bills(deal)
        self._teller.say(
            f"The lender decides, always. This one lends the whole limit, {deal.limit}, for {TERM_DAYS} days at "
            f"{RATE_BP / 100:.2f} % a year: a loan record on its own chain, then the decision that cites it."
        )
        deal.decision = self._tally.do(
            deal.lender, "credit decide", deal.application,
            approve=decimal_text(assessed["limit"], assessed["scale"]), term_days=TERM_DAYS, rate_bp=RATE_BP,
        )  # fmt: skip
        self.pledge(deal, bills)
        self.pay_out(deal)

    def pledge(self, deal: Deal, bills: list[Paper]) -> None:
        """Bills that the buyer has confirmed back the line: each once, over all lenders."""
        if bills:
            self._teller.say(f"{deal.lender} has {', '.join(bill.name for bill in bills)} pledged to it.")
        for bill in bills:
            self._tally.do(
                deal.lender, "credit pledge", deal.application, bill.number,
                kind=bill.kind, issuer=bill.draft.issuer,
            )  # fmt: skip
            deal.pledged.append(bill)

    def pay_out(self, deal: Deal, dated: Dated | None = None) -> None:
        """What limit and collateral carry today, in two instalments; the rest follows with the evidence.

        dated: gives another day than today and the schedule that goes with it.
        """
        line = self._tally.ask(deal.lender, "credit line", deal.application, told=False)
        amount = min(line["approved"] - line["drawn"], line["room"]["available"])
        if amount < line["approved"] - line["drawn"]:
            base = deal.money(line["room"]["base"])
            self._teller.say(f"The collateral carries {base} today; more can be drawn as goods and bills move.")
        if amount <= 0:
            return
        scale = line["scale"]
        day, schedule = (None, self._schedule(amount, scale)) if dated is None else dated(amount, scale)
        paid = self._tally.do(
            deal.lender, "credit disburse", deal.application, amount=decimal_text(amount, line["scale"]),
            instalment=schedule, on=day,
        )  # fmt: skip
        deal.paid = deal.paid or paid
        deal.payments.append(paid)
        self._teller.say(f"Paid out: {deal.money(paid['amount'])}, loan {paid['loan'][1]}, due in two instalments.")

    def _schedule(self, amount: int, scale: int) -> tuple[str, ...]:
        """Two instalments, half of the principal each, with simple interest on what is still owed."""
        if amount < 2:
            return ()
        today = datetime.fromtimestamp(self._stage.time() // 1_000, UTC).date()
        rows, left = [], amount
        for days, principal in ((TERM_DAYS // 2, amount - amount // 2), (TERM_DAYS, amount // 2)):
            interest = -(-left * RATE_BP * (TERM_DAYS // 2) // (10_000 * 365))
            left -= principal
            parts = (decimal_text(value, scale) for value in (principal, interest))
            rows.append(":".join([str(today + timedelta(days=days)), *parts]))
        return tuple(rows)

    def verdict_of(self, paper: Paper) -> dict[str, Any] | None:
        """What the book says of a bill now, None while it says nothing."""
        found: dict[str, Any] | None = self._stage.state(
            "verdict", paper.chain, paper.kind, paper.draft.issuer, paper.number
        )
        return found

    def _shares_guarantee(self, deal: Deal) -> bool:
        used = {guarantee for other in self.deals if other.paid for guarantee in other.assessment["guarantees"]}
        return bool(used & set(deal.assessment["guarantees"]))

    def confirm_bills(self, deal: Deal) -> list[Paper]:
        """Each buyer stands for the bills that agree with what it ordered and received; gives those it stood for."""
        stood = []
        for paper in self._papers.values():
            mine = paper.kind == "invoice" and self._is(paper.draft.enterprise.id, deal.enterprise)
            verdict = self.verdict_of(paper) if mine and paper.id not in self._confirmed else None
            party = paper.draft.counterparty
            debtor = self._cast.by_identifier.get(party.id) if party is not None else None
            if verdict is None or verdict["status"] != MATCHED or debtor is None or debtor is deal.enterprise:
                continue
            owed = f"{verdict['amount']} {verdict['currency']}"
            self._teller.say(f"{debtor.label} confirms that it owes {owed}, {paper.name}.")
            self._stand_for(debtor.id, paper)
            self._confirmed.add(paper.id)
            stood += [paper] if verdict["currency"] == deal.assessment["currency"] else []
        return stood
