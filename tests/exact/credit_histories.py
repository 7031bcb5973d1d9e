"""Random histories for `tests.exact.credit`: a template, a model, papers sealed through the real contracts.

What is true of each bill is decided here, when its trade is made: matched (every paper agrees), partial (a required
paper is missing), unmatched (no order), contradicted (quantity or price altered), duplicate (the same bill on another
member's chain). Everything else is left to chance: fields left out, dates with and without a time of day, delays,
what is historical, ranges and thresholds, the order of sealing, corrections, confirmations, guarantees, prepayment,
caps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from random import Random
from typing import Any

from tests.contracts import trading
from tests.contracts.memory_context import CONSORTIUM, START, key
from tests.contracts.small_consortium import record, record_id, submit
from tests.contracts.trading import BANK, BUYER, DAY, GUARANTOR, SUPPLIER, ok
from tests.exact.credit_by_fractions import RATINGS, Case, Paper

B = 10_000
REQUIRABLE = ("order", "despatch", "receipt")
ITEMS = (("W-1", "KGM"), ("W-2", "EA"), ("W-3", "KGM"))
KEPT = {  # what matching compares stays in: what is true of a bill must not depend on chance
    "order": {"issue_date", "total", "lines"},
    "despatch": {"issue_date", "lines"},
    "receipt": {"issue_date", "lines"},
    "invoice": {"issue_date", "total", "total_excl_tax", "tax", "lines"},
    "event": {"activity"},
    "contract": {"value", "currency"},
    "qualification": {"registered_name"},
    "guarantee": {"amount", "currency"},
}
CHAINS = {"despatch": "erp", "invoice": "erp", "guarantee": "guarantor"}
GRADES = ("D", "C", "B", "A", "AA")


@dataclass
class Draft:
    """A paper before it is sealed."""

    kind: str
    number: str
    issuer: str
    fields: dict[str, Any]
    occurred: str
    links: list[list[str]]
    chain: str
    fate: str = ""
    twice: bool = False  # sealed on another member's chain as well, at the end


class History:
    """One random history, sealed on a ledger in memory; `case` is what the other side computes from."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.template = random_template(chance)
        self.model = random_model(chance)
        self.on = trading.ledger(register=False, templates=[self.template], models=[self.model])
        self.sealed: dict[tuple[str, str, str], Paper] = {}
        self.currency = chance.choice(("GBP", "GBP", "JPY", "KWD"))
        self.onboarded = 0  # ms; 0 while the enterprise is unknown

    def play(self) -> Case:
        """Seal everything, confirm some of it; gives the case."""
        chance, on = self.chance, self.on
        drafts = self._drafts()
        early = [draft for draft in drafts if chance.random() < 0.1]
        self._seal_all(early)
        trading.register_supplier(on)
        self.onboarded = on.time
        on.next_block()
        self._seal_all([draft for draft in drafts if draft not in early])
        for bill in [draft for draft in drafts if draft.twice]:
            on.next_block(after_ms=chance.choice((1_000, DAY)))
            self._seal(replace(bill, chain="erp-two", fate="duplicate"), None)
        for paper in [paper for paper in self.sealed.values() if paper.kind in ("contract", "qualification")]:
            self._confirm(paper)
        on.next_block(after_ms=chance.choice((1_000, DAY)))
        contract = self.sealed[("procurement", "contract", "C-1")]
        return Case(self.template, self.model, self.onboarded, on.time, contract, "C-1", tuple(self.sealed.values()))

    def assessed(self) -> dict[str, Any]:
        """The contract's own assessment at this block."""
        args = {"enterprise": "supplier", "contract": [BUYER, "C-1"], "lender": "lender"}
        application = ok(self.on.call(CONSORTIUM, "credit.apply", args, [key("procurement")]))["id"]
        result = ok(self.on.call(CONSORTIUM, "credit.assess", {"application": application}, [key("erp")]))
        found: dict[str, Any] = self.on.read(CONSORTIUM, "credit", "assessment", result["id"])
        return found

    def _drafts(self) -> list[Draft]:
        chance = self.chance
        drafts = [self._contract()]
        for trade in range(chance.choice((0, 1, 2, 2, 3, 4))):
            drafts += self._trade(trade)
        drafts += [self._event(index) for index in range(chance.choice((0, 0, 1, 3)))]
        drafts += [self._qualification(index) for index in range(chance.choice((0, 1, 1, 1, 1, 1, 2, 2)))]
        drafts += [self._guarantee(index) for index in range(chance.choice((0, 0, 1, 2, 3)))]
        for draft in drafts:
            self._leave_out(draft)
        chance.shuffle(drafts)
        return drafts

    def _seal_all(self, drafts: list[Draft]) -> None:
        for draft in drafts:
            if self.chance.random() < 0.4:
                self.on.next_block(after_ms=self.chance.choice((1_000, 7_777, DAY, 3 * DAY + 1, 12 * DAY)))
            window = self.onboarded + self.model["import_window_days"] * DAY
            if self.onboarded and self.on.time < window and self.chance.random() < 0.1:
                self.on.next_block(time=window + self.chance.choice((0, 0, 1)))  # the last moment of history
            paper = self._seal(draft, None)
            if self.chance.random() < 0.15:
                self.on.next_block(after_ms=self.chance.choice((1_000, 2 * DAY)))
                self._leave_out(draft)
                draft.occurred = (
                    self._date() if draft.kind in ("order", "despatch", "receipt", "event") else draft.occurred
                )
                if draft.fields != paper.fields or draft.occurred != paper.occurred:
                    self._seal(draft, paper.id)

    def _seal(self, draft: Draft, corrects: bytes | None) -> Paper:
        parts = {
            "issuer": draft.issuer,
            "enterprise": SUPPLIER,
            "counterparty": "" if draft.kind == "qualification" else BUYER,
            "template": self.template["id"],
            "occurred_at": draft.occurred,
            "links": sorted(draft.links),
            "corrects": corrects,
        }
        data = record(draft.kind, draft.number, draft.fields, **parts)
        ok(submit(self.on, [data], chain=draft.chain))
        contracts = [(issuer, number) for kind, issuer, number in sorted(draft.links) if kind == "contract"]
        paper = Paper(
            id=record_id(data),
            chain=draft.chain,
            kind=draft.kind,
            fields=dict(draft.fields),
            occurred=draft.occurred,
            sealed_ms=self.on.time,
            counterparty=parts["counterparty"],
            contract=contracts[0] if contracts else None,
            covers=tuple(number for _, number in contracts),
            fate=draft.fate,
        )
        self.sealed[(draft.chain, draft.kind, draft.number)] = paper
        return paper

    def _confirm(self, paper: Paper) -> None:
        if self.chance.random() < 0.15:
            return
        known = sorted(paper.fields)
        fields = [] if self.chance.random() < 0.5 else self.chance.sample(known, self.chance.randint(1, len(known)))
        (place,) = (place for place, other in self.sealed.items() if other is paper)
        issuer = BUYER if paper.kind == "contract" else "GB-COH"
        args: dict[str, Any] = {"kind": paper.kind, "issuer": issuer, "number": place[2], "id": paper.id}
        if fields:
            args["fields"] = fields
        ok(self.on.call(CONSORTIUM, "credit.confirm", args, [key("guarantor")]))
        self.sealed[place] = replace(paper, backed=frozenset(fields or known))

    # papers ------------------------------------------------------------------------------------------------------

    def _date(self) -> str:
        """Some day of the quarter before the founding, or its time of day; never after the block that seals it."""
        second = START // 1_000 - self.chance.randint(2 * 86_400, 90 * 86_400)
        if self.on.time > START + 20 * DAY and self.chance.random() < 0.5:
            second = self.on.time // 1_000 - self.chance.randint(2 * 86_400, 9 * 86_400)
        if self.onboarded and self.chance.random() < 0.05:
            return datetime.fromtimestamp(self.onboarded // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        moment = datetime.fromtimestamp(second, UTC)
        return moment.strftime("%Y-%m-%d" if self.chance.random() < 0.6 else "%Y-%m-%dT%H:%M:%SZ")

    def _leave_out(self, draft: Draft) -> None:
        for name in sorted(draft.fields.keys() - KEPT[draft.kind]):
            if self.chance.random() < 0.2:
                del draft.fields[name]

    def _decimal(self, low: int, high: int, places: int) -> str:
        """Decimal text between two whole numbers."""
        units = self.chance.randint(low * 10**places, high * 10**places)
        return text_of(Fraction(units, 10**places))

    def _contract(self) -> Draft:
        fields = {
            "title": "A year of goods",
            "status": self.chance.choice(("active",) * 9 + ("cancelled",)),
            "value": self._decimal(0, 900_000, 4),
            "currency": self.currency if self.chance.random() < 0.97 else "XXX",
            "prepayment": self._decimal(0, 300_000, 4),
            "date_signed": "2025-09-01",
            "period_start": "2025-09-01",
            "period_end": "2026-12-31",
            "buyer_name": "Buyer",
            "supplier_name": "Supplier",
        }
        return Draft("contract", "C-1", BUYER, fields, "2025-09-01", [], "procurement")

    def _trade(self, index: int) -> list[Draft]:
        chance = self.chance
        number, deal = f"-{index}", [["contract", BUYER, "C-1"]] if chance.random() < 0.8 else []
        rows = [
            [str(line), *item, self._decimal(1, 400, 2), self._decimal(0, 50, 2)]
            for line, item in enumerate(chance.sample(ITEMS, chance.choice((1, 1, 2, 3))), 1)
        ]
        lines = [[row[0], row[1], row[3], row[2], row[4], product(row[3], row[4])] for row in rows]
        moved = [[row[0], row[1], row[3], row[2], "", ""] for row in rows]
        fate = chance.choice(("matched", "matched", "matched", "partial", "unmatched", "contradicted", "duplicate"))
        required = [kind for kind in ("despatch", "receipt") if kind in self.template["tolerances"]["required"]]
        missing = chance.choice(required) if fate == "partial" and required else ""
        made = "matched" if fate == "duplicate" or (fate == "partial" and not missing) else fate
        order = {"currency": self.currency, "total": added(lines), "buyer_name": "Buyer", "seller_name": "Supplier"}
        order |= {"delivery_date": "2026-02-01"}
        movement = {"delivery_date": "2026-02-01"}
        to_order = [["order", BUYER, f"order{number}"]]
        papers = [
            self._draft("order", number, BUYER, {**order, "lines": lines}, deal),
            self._draft("despatch", number, SUPPLIER, {**movement, "lines": moved}, to_order),
            self._draft("receipt", number, BUYER, {"received_date": "2026-02-01", "lines": moved}, to_order),
        ]
        absent = {missing, "order" if made == "unmatched" else ""}
        bill = self._bill(number, [list(line) for line in lines], made)
        bill.twice = fate == "duplicate"
        return [*(draft for draft in papers if draft.kind not in absent), bill]

    def _bill(self, number: str, lines: list[list[str]], fate: str) -> Draft:
        if fate == "contradicted":
            row = self.chance.choice(lines)
            row[2] = text_of(Fraction(row[2]) + self.chance.randint(1, 50))
            if self.chance.random() < 0.5:
                row[4] = text_of(Fraction(row[4]) + self.chance.randint(1, 9))
            row[5] = product(row[2], row[4])
        net, tax = Fraction(added(lines)), Fraction(self.chance.randint(0, 9_999), 100)
        fields = {
            "currency": self.currency if fate != "unmatched" or self.chance.random() < 0.7 else "USD",
            "total_excl_tax": text_of(net),
            "tax": text_of(tax),
            "total": text_of(net + tax),
            "due_date": "2026-03-01",
            "type_code": "380",
            "buyer_name": "Buyer",
            "seller_name": "Supplier",
            "lines": lines,
        }
        return self._draft("invoice", number, SUPPLIER, fields, [["order", BUYER, f"order{number}"]], fate)

    def _draft(
        self, kind: str, number: str, issuer: str, fields: dict[str, Any], links: list[list[str]], fate: str = ""
    ) -> Draft:
        occurred = self._date()
        fields = {"issue_date": occurred[:10], **fields}
        return Draft(kind, f"{kind}{number}", issuer, fields, occurred, links, CHAINS.get(kind, "procurement"), fate)

    def _event(self, index: int) -> Draft:
        fields = {
            "activity": self.chance.choice(("cast", "pack")),
            "event_type": "ObjectEvent",
            "location": "Line 1",
            "object_id": f"lot {index}",
            "quantity": self._decimal(0, 90, 3),
            "unit": "EA",
        }
        links = self.chance.choice(([], [["contract", BUYER, "C-1"]]))
        return Draft("event", f"E-{index}", SUPPLIER, fields, self._date(), links, "erp")

    def _qualification(self, index: int) -> Draft:
        fields = {
            "registered_name": "Supplier Ltd",
            "registration_number": "1",
            "country": "GB",
            "industry": "20.59",
            "established_on": "2001-02-03",
            "valid_until": "2025-12-31" if self.chance.random() < 0.15 else "2026-12-31",
            "legal_form": "Ltd",
            "capital": "100000",
            "employees": "12",
        }
        return Draft("qualification", f"Q-{index}", "GB-COH", fields, self._date(), [], "procurement")

    def _guarantee(self, index: int) -> Draft:
        fields = {
            "amount": self._decimal(0, 90_000, 4),
            "currency": self.currency if self.chance.random() < 0.8 else "CHF",
            "grade": self.chance.choice(("AAA", "A", "BB", "unrated")),
            "expiry_date": self.chance.choice(("2027-01-01", "2027-01-01", "2025-12-30")),
            "guarantor_name": "Guarantor",
            "beneficiary_name": BANK,
        }
        deal = self.chance.choice(([], [], [["contract", BUYER, "C-1"]], [["contract", BUYER, "C-9"]]))
        return Draft("guarantee", f"G-{index}", GUARANTOR, fields, self._date(), deal, "guarantor")


def text_of(value: Fraction) -> str:
    """Plain decimal text of a number with at most four places."""
    units = value * 10_000
    assert units.denominator == 1
    whole, rest = divmod(units.numerator, 10_000)
    return f"{whole}.{rest:04}".rstrip("0").rstrip(".") if rest else str(whole)


def product(quantity: str, price: str) -> str:
    return text_of(Fraction(quantity) * Fraction(price))


def added(lines: list[list[str]]) -> str:
    return text_of(sum((Fraction(line[5]) for line in lines), Fraction(0)))


def random_template(chance: Random) -> dict[str, Any]:
    """The general-trade template with other weights, ranges, thresholds, time zone; nothing tolerated but dates."""
    found = trading.template()
    required = [kind for kind in REQUIRABLE if chance.random() < 0.6]
    found["time_zone_minutes"] = chance.choice((0, 0, 60, 480, -330))
    found["tolerances"] = {"quantity_bp": 0, "price_bp": 0, "amount_bp": 0, "amount_slack": "0", "date_days": 3_650}
    found["tolerances"]["required"] = required
    for kind in found["kinds"].values():
        for name, rule in kind["fields"].items():
            rule["weight"] = chance.choice((0, 1, 1, 2, 3, 7)) if name not in ("issue_date", "value") else 2
        if kind["category"] == "qualification":
            kind["fields"]["registered_name"]["weight"] = 3
    for kind_name in REQUIRABLE:
        columns = found["kinds"][kind_name]["fields"]["lines"]["columns"]
        for rule in columns.values():
            rule["max"] = str(chance.choice((20, 100, 300, 1_000_000)))
            rule["min"] = chance.choice(("0", "0.01", "3.5"))
            rule["fluctuation_bp"] = chance.choice((0, 500, 5_000, 20_000))
            rule["epsilon"] = chance.choice(("0", "0.01", "1.5", "90.25"))
    quantity = found["kinds"]["event"]["fields"]["quantity"]
    quantity |= {
        "min": "0",
        "max": str(chance.choice((10, 60, 100))),
        "fluctuation_bp": chance.choice((1_000, 9_000)),
    }
    total = found["kinds"]["order"]["fields"]["total"]
    total |= {"max": str(chance.choice((500, 5_000, 1_000_000))), "fluctuation_bp": chance.choice((100, 10_000))}
    return found


def random_model(chance: Random) -> dict[str, Any]:
    """The standard model with other weights, bands, rates, caps, fallbacks."""
    found = trading.model()
    found["weights"] = {name: chance.choice((0, 1, 17, 30)) for name in RATINGS}
    found["weights"][chance.choice(RATINGS)] = 25
    for name in RATINGS:
        ends = sorted(chance.sample(range(1, 40 * 86_400 if name == "timeliness" else B), 4))
        points = sorted(chance.sample(range(B + 1), 5), reverse=name == "timeliness")
        grades = GRADES if name != "timeliness" else GRADES[::-1]
        rows = zip(grades, [0, *ends], [*ends, None], points, strict=True)
        found["bands"][name] = [{"grade": g, "low": a, "high": b, "points": p} for g, a, b, p in rows]
    ends = sorted(chance.sample(range(1, B), 4))
    rates = sorted(chance.sample(range(B + 1), 5))
    rows = zip(GRADES, [0, *ends], [*ends, None], rates, strict=True)
    found["composite"] = [{"grade": g, "low": a, "high": b, "advance_bp": r} for g, a, b, r in rows]
    found["fallback"] = {name: chance.choice(GRADES) for name in RATINGS if chance.random() < 0.6}
    found["delay_weights"] = chance.choice(
        ({"process": 1, "bill": 1}, {"process": 3, "bill": 2}, {"process": 0, "bill": 1})
    )
    found["accuracy_weights"] = chance.choice(({"range": 2, "fluctuation": 1}, {"range": 0, "fluctuation": 5}))
    found["haircuts"] = {"AAA": chance.randint(0, B), "A": chance.randint(0, B), "BB": chance.randint(0, B)}
    found["contract_floor_bp"] = chance.choice((0, 1_000, 6_000))
    found["obligor_caps"] = {name: chance.randint(1, 60_000_000) for name in ("GBP", "JPY") if chance.random() < 0.5}
    found["import_window_days"] = chance.choice((0, 5, 30, 90))
    return found
