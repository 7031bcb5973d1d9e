"""Is a bill true? Every bill is held against its order, despatches and receipts ([3], [10], DOMAIN 3).

A rule that fails beyond the template's tolerance contradicts the bill; a rule that cannot be checked, or that
only points at a document's own arithmetic, leaves a doubt. So a bill comes out as

    matched        all required documents found, every rule holds, no doubt
    partial        order found, nothing contradicts, but a document or a figure to check it with is missing
    unmatched      no order found
    contradicted   at least one rule fails; the finding names both values
    duplicate      its natural key was sealed before it on another member's chain

Rules: parties, currency and dates here; item, quantity, price and amount in goods.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from contracts.decimal_text import Scaled, exceeds, render
from contracts.documents import Document, PartyOf, bill_amount, name, party_key, same_name, same_party
from contracts.findings import Finding, contradiction, doubt, tolerances
from contracts.goods import Count
from contracts.matching import Book, Copies, Trade
from contracts.record import SECONDS_PER_DAY

MATCHED = "matched"
PARTIAL = "partial"
UNMATCHED = "unmatched"
CONTRADICTED = "contradicted"
DUPLICATE = "duplicate"

STATUSES = (CONTRADICTED, DUPLICATE, UNMATCHED, PARTIAL, MATCHED)
INELIGIBLE = (CONTRADICTED, DUPLICATE)

SHARED = 8  # findings about a trade's other papers that each of its bills carries

# Whether a dispute over a bill was upheld.
Upheld: TypeAlias = Callable[[Document], bool]


class Verdict(NamedTuple):
    """What became of one bill. amount None: the bill names none that can be read."""

    bill: Document
    status: str
    amount: Scaled | None
    findings: tuple[Finding, ...]
    trade: Trade


def no_dispute(_bill: Document) -> bool:
    """Nobody disputes anything."""
    return False


def judge(book: Book, upheld: Upheld = no_dispute) -> tuple[Verdict, ...]:
    """A verdict on every bill, copies included, whatever order the documents came in."""
    verdicts: list[Verdict] = []
    for trade in book.trades():
        verdicts.extend(judge_trade(trade, book, upheld))
    return tuple(verdicts)


def judge_trade(trade: Trade, book: Book, upheld: Upheld) -> list[Verdict]:
    """A verdict on every bill of one trade of the book."""
    verdicts: list[Verdict] = []
    shared = _shared_findings(trade, book) if trade.orders and trade.bills else []
    count = Count(trade, book) if trade.orders and trade.bills else None
    for bill in trade.bills:
        copies = book.copies_of(bill)
        findings = _copies_differ(copies) + _missing(bill, trade) + _disputed(bill, upheld)
        if count is not None:
            order = trade.orders[0]
            findings += [*_parties(bill, order, book.party_of), *_currency(bill, order), *_billed_after(bill, order)]
            findings += [*_cancelled(bill, trade, book), *count.take(bill), *shared]
        verdicts.append(_verdict(bill, findings, trade))
        verdicts.extend(_duplicates(copies, trade))
    for credit_note in trade.credit_notes:
        copies = book.copies_of(credit_note)
        findings = _copies_differ(copies) + _credit_note(credit_note, book)
        verdicts.append(_verdict(credit_note, findings, trade))
        verdicts.extend(_duplicates(copies, trade))
    return verdicts


def too_large(bill: Document, papers: int) -> Verdict:
    """The verdict on a bill whose trade has more papers than can be judged."""
    text = f"trade: {name(bill)} hangs together with more than {papers} papers, or too many lines: bill by order"
    finding = doubt("TRADE_TOO_LARGE", text, "", str(papers), bill)
    trade = Trade((), (), (), (), (), (), (bill,), ())
    return Verdict(bill, PARTIAL, bill_amount(bill), (finding,), trade)


def buyers_receipts(trade: Trade, party_of: PartyOf) -> tuple[Document, ...]:
    """Receipts that the buyer issued: who issued an order, or whom orders, else bills, name as counterparty."""
    papers = trade.orders or trade.bills
    sides = [*(order.record.issuer for order in trade.orders), *(doc.record.counterparty for doc in papers)]
    buyers = {party_key(side, party_of) for side in sides if side}
    sellers = {party_key(doc.record.enterprise, party_of) for doc in papers}
    return tuple(
        receipt for receipt in trade.receipts if party_key(receipt.record.issuer, party_of) in buyers - sellers
    )


def _verdict(bill: Document, findings: list[Finding], trade: Trade) -> Verdict:
    amount = bill_amount(bill)
    if amount is None:
        findings.append(doubt("AMOUNT", f"amount: {name(bill)} names no total", "", "", bill))
    # What contradicts comes first, so that whoever shows only a few findings shows those.
    findings = sorted(findings, key=lambda finding: not finding.contradicts)
    if any(finding.contradicts for finding in findings):
        status = CONTRADICTED
    elif any(finding.rule in ("ORDER_MISSING", "INVOICE_MISSING") for finding in findings):
        status = UNMATCHED
    else:
        status = PARTIAL if findings else MATCHED
    return Verdict(bill, status, amount, tuple(findings), trade)


def _duplicates(copies: Copies, trade: Trade) -> list[Verdict]:
    verdicts = []
    for copy in copies.others:
        text = f"duplicate: {name(copy)} on chain {copy.chain} is already sealed on chain {copies.original.chain}"
        finding = contradiction("DUPLICATE", text, copy.chain, copies.original.chain, copy, copies.original)
        verdicts.append(Verdict(copy, DUPLICATE, bill_amount(copy), (finding,), trade))
    return verdicts


def _copies_differ(copies: Copies) -> list[Finding]:
    """Members hold different versions of one bill: at most one is true, and nobody here can tell which."""
    if copies.agree():
        return []
    bill = copies.original
    other = copies.others[0]
    ours, theirs = (render(amount) if (amount := bill_amount(doc)) else "" for doc in (bill, other))
    text = f"copies: {name(bill)} says {ours} on chain {bill.chain}, {theirs} on chain {other.chain}"
    if ours == theirs:
        text = f"copies: {name(bill)} reads differently on chains {bill.chain} and {other.chain}"
    return [contradiction("COPIES_DIFFER", text, ours, theirs, bill, other)]


def _disputed(bill: Document, upheld: Upheld) -> list[Finding]:
    if not upheld(bill):
        return []
    return [contradiction("DISPUTE_UPHELD", f"dispute: {name(bill)} is not owed, it was disputed", "", "", bill)]


def _cancelled(bill: Document, trade: Trade, book: Book) -> list[Finding]:
    """A cancelled order that is billed: false where the bill came after and the buyer received nothing."""
    cancelled = cancellations(trade, book)
    findings = []
    for order in trade.orders:
        for cancellation in cancelled.get(order.id, ())[:1]:
            later = bill.occurred.first > cancellation.occurred.last
            make = contradiction if later and not trade.receipts else doubt
            ours, theirs = bill.record.occurred_at, cancellation.record.occurred_at
            text = f"order: {name(order)} was cancelled on {theirs}, {name(bill)} is of {ours}"
            findings.append(make("CANCELLED", text, ours, theirs, bill, order, cancellation))
    return findings


def cancellations(trade: Trade, book: Book) -> dict[bytes, list[Document]]:
    """Order id -> its cancellations, in event order. Only a side of the order can cancel it."""
    found: dict[bytes, list[Document]] = {}
    for cancellation in trade.cancellations:
        by = party_key(cancellation.record.issuer, book.party_of)
        for order in book.linked(cancellation, "order"):
            sides = (order.record.issuer, order.record.counterparty, order.record.enterprise)
            if by in {party_key(side, book.party_of) for side in sides if side}:
                found.setdefault(order.id, []).append(cancellation)
    return found


def _missing(bill: Document, trade: Trade) -> list[Finding]:
    found = {"order": trade.orders, "despatch": trade.despatches, "receipt": trade.receipts}
    needed = dict.fromkeys(("order", *tolerances(bill.template).required))
    return [
        doubt(f"{kind.upper()}_MISSING", f"{kind}: none found for {name(bill)}", "", "", bill)
        for kind in needed
        if not found[kind]
    ]


def _parties(doc: Document, other: Document, party_of: PartyOf) -> list[Finding]:
    """Both name the same enterprise and counterparty: by registered party, else by identifier, else by name.

    Different identifiers of which one is unregistered may still be one party: without two names to compare, that
    is a doubt and no contradiction.
    """
    findings = []
    for role, field in (("enterprise", "seller_name"), ("counterparty", "buyer_name")):
        ours, theirs = getattr(doc.record, role), getattr(other.record, role)
        if not ours or not theirs:
            side = other if ours else doc
            findings.append(doubt("PARTY", f"party: {name(side)} names no {role}", ours, theirs, doc, other))
        elif not same_party(ours, theirs, party_of) and not same_name(doc.text(field), other.text(field)):
            text = f"party: {name(doc)} names {role} {ours}, {name(other)} names {theirs}"
            both_known = party_of(ours) is not None and party_of(theirs) is not None
            settled = both_known or bool(doc.text(field) and other.text(field))
            findings.append((contradiction if settled else doubt)("PARTY", text, ours, theirs, doc, other))
    return findings


def _currency(doc: Document, other: Document) -> list[Finding]:
    ours, theirs = doc.text("currency"), other.text("currency")
    if not ours or not theirs or ours == theirs:
        return []
    text = f"currency: {name(doc)} is in {ours}, {name(other)} in {theirs}"
    return [contradiction("CURRENCY", text, ours, theirs, doc, other)]


def _billed_after(later: Document, earlier: Document) -> list[Finding]:
    """What follows from a document may not be dated before it, but for the template's tolerance."""
    if later.occurred.last + tolerances(later.template).date_days * SECONDS_PER_DAY >= earlier.occurred.first:
        return []
    ours, theirs = later.record.occurred_at, earlier.record.occurred_at
    text = f"date: {name(later)} is of {ours}, before {name(earlier)} of {theirs}"
    return [contradiction("DATE", text, ours, theirs, later, earlier)]


def _shared_findings(trade: Trade, book: Book) -> list[Finding]:
    """What concerns every bill of a trade: whose goods moved, who received them, and that they were sent before."""
    order = trade.orders[0]
    findings = []
    for doc in (*trade.orders[1:], *trade.despatches, *trade.receipts):
        findings += _parties(doc, order, book.party_of)
    if trade.receipts and not buyers_receipts(trade, book.party_of):
        receipt, buyer = trade.receipts[0], order.record.counterparty or order.record.issuer
        text = f"receipt: {name(receipt)} was issued by {receipt.record.issuer}, not by the buyer {buyer}"
        findings.append(doubt("RECEIPT_ISSUER", text, receipt.record.issuer, buyer, receipt, order))
    awaited = any("despatch" in book.dangling(receipt) for receipt in trade.receipts)
    if trade.despatches and trade.receipts and not awaited:
        first_sent = _earliest(trade.despatches)
        first_received = min(trade.receipts, key=lambda doc: (doc.occurred.last, doc.id))
        findings += _billed_after(first_received, first_sent)
    return sorted(findings, key=lambda finding: not finding.contradicts)[:SHARED]


def _earliest(docs: Iterable[Document]) -> Document:
    return min(docs, key=lambda doc: (doc.occurred.first, doc.id))


def _credit_note(credit_note: Document, book: Book) -> list[Finding]:
    """A credit note is held against the invoice it names: parties, currency, date, amount."""
    invoices = book.linked(credit_note, "invoice")
    if not invoices:
        return [doubt("INVOICE_MISSING", f"invoice: none found for {name(credit_note)}", "", "", credit_note)]
    invoice = invoices[0]
    findings = _parties(credit_note, invoice, book.party_of) + _currency(credit_note, invoice)
    findings += _billed_after(credit_note, invoice)
    bound = tolerances(credit_note.template)
    ours, theirs = bill_amount(credit_note), bill_amount(invoice)
    if ours is not None and theirs is not None and exceeds(ours, theirs, bound.amount_bp, bound.amount_slack):
        text = f"amount: {name(credit_note)} says {render(ours)}, {name(invoice)} says {render(theirs)}"
        findings.append(contradiction("AMOUNT", text, render(ours), render(theirs), credit_note, invoice))
    return findings
