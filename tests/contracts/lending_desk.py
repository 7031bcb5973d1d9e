"""A lender's desk for the tests of lines: a sealed contract, an application with an assessment of a chosen limit.

The assessment's limit is put in the state, and so is the progress of a contract where a test wants a certain one;
records, verdicts, periods, decisions and everything after them are the contracts' own.
"""

from __future__ import annotations

from typing import Any

from chain.crypto import hash_value
from contracts import credit_line, lines
from contracts.evidence import Reader
from tests.contracts import trading
from tests.contracts.memory_context import CONSORTIUM, START, Ledger, MemoryContext, Receipt, key
from tests.contracts.trading import BANK, BUYER, DAY, SUPPLIER, ok, seal

PERIOD_DAYS = 10
L0 = 2_000_000  # minor units; C' of trading.contract() is 10 000 000, so M is 8 000 000
MILESTONES = [
    {"id": "despatched", "stage": "despatched", "share_bp": 5_000, "weight": 1},
    {"id": "received", "stage": "received", "share_bp": 9_000, "weight": 3},
]


def desk(*, milestones: list[dict[str, Any]] | None = None, model: dict[str, Any] | None = None) -> Ledger:
    """A consortium with two lenders and a court; supplier and buyer have keys; periods of ten days."""
    document = trading.genesis_document()
    for member, role in (("lender-two", "lender"), ("court", "court")):
        entry = {"id": member, "role": role, "validator": None, "network": None}
        document["members"].append({**entry, "signers": [{"key": key(member), "rights": ["*"]}]})
    document["members"].sort(key=lambda member: member["id"])
    document["parameters"] |= {"credit_period_s": PERIOD_DAYS * 86_400}
    document["templates"][0] |= {"milestones": MILESTONES if milestones is None else milestones}
    document["models"][0] |= {"stage_advance": {"order": 10_000, "in_transit": 10_000, "receivable": 10_000}}
    document["models"][0] |= model or {}
    modules: dict[str, Any] = dict(trading.ledger(register=False).modules)
    on = Ledger(modules, document)
    on.next_block()
    trading.register_supplier(on, [key("supplier")])
    on.next_block()
    seal(on, "procurement", trading.contract())
    on.next_block()
    return on


def assessed(
    on: Ledger,
    *,
    limit: int = L0,
    lender: str = "lender",
    guarantees: tuple[bytes, ...] = (),
    contract: str = "C-1",
) -> bytes:
    """An application of the supplier to a lender, assessed at a limit; gives its id."""
    args = {"enterprise": "supplier", "contract": [BUYER, contract], "lender": lender}
    application: bytes = ok(on.call(CONSORTIUM, "credit.apply", args, [key("supplier")]))["id"]
    assessment = hash_value(["test/assessment", 1, application])
    stored = {
        "id": assessment,
        "application": application,
        "limit": limit,
        "currency": "GBP",
        "scale": 2,
        "model": ["standard", 1],
        "guarantees": list(guarantees),
        "time": on.time,
    }
    on.seed(CONSORTIUM, "credit", "assessment", assessment, value=stored)
    asked = on.read(CONSORTIUM, "credit", "application", application)
    asked |= {"state": "assessed", "assessments": [assessment]}
    on.seed(CONSORTIUM, "credit", "application", application, value=asked)
    return application


def loan(on: Ledger, amount: int, number: str, lender: str = "lender", **fields: str) -> None:
    """Seal a loan record of so many minor units, paid out on 2026-01-01 and due in 90 days, without interest."""
    said = {"amount": decimal(amount), "currency": "GBP", "term_days": "90", "rate_bp": "0"}
    said |= {"disbursed_on": "2026-01-01", **fields}
    said = {name: value for name, value in said.items() if value}
    seal(on, lender, trading.paper("loan", number, BANK, said, counterparty="", occurred_at="2026-01-01"))


def approve(on: Ledger, application: bytes, amount: int, number: str = "L-1") -> Receipt:
    """Decide to lend, as the application's lender."""
    asked = on.read(CONSORTIUM, "credit", "application", application)
    args = {"application": application, "assessment": asked["assessments"][-1], "decision": "approve"}
    args |= {"amount": amount, "loan": [BANK, number]}
    return on.call(CONSORTIUM, "credit.decide", args, [key(asked["lender"])])


def opened(on: Ledger, *, lender: str = "lender", limit: int = L0, approved: int | None = None) -> bytes:
    """An application with an open line, all of its limit approved unless told otherwise."""
    application = assessed(on, limit=limit, lender=lender)
    amount = limit if approved is None else approved
    loan(on, amount, "L-1", lender)
    ok(approve(on, application, amount))
    return application


def disburse(on: Ledger, application: bytes, number: str = "L-1", **more: Any) -> Receipt:
    lender = on.read(CONSORTIUM, "credit", "application", application)["lender"]
    args = {"application": application, "loan": [BANK, number], **more}
    return on.call(CONSORTIUM, "credit.disburse", args, [key(lender)])


def extend(on: Ledger, application: bytes, amount: int, number: str, **more: Any) -> Receipt:
    lender = on.read(CONSORTIUM, "credit", "application", application)["lender"]
    args = {"application": application, "decision": "approve", "amount": amount, "loan": [BANK, number], **more}
    return on.call(CONSORTIUM, "credit.extend", args, [key(lender)])


def repay(
    on: Ledger, application: bytes, amount: int | str, number: str = "P-1", lender: str = "lender", **more: Any
) -> Receipt:
    """Seal a repayment record, amount in minor units or as text, and cite it; more: its fields, or links."""
    links = more.pop("links", [])
    enterprise = more.pop("enterprise", SUPPLIER)
    said = {"amount": amount if isinstance(amount, str) else decimal(amount), "currency": "GBP", **more}
    said.setdefault("paid_on", day_of(on))
    changes = {"counterparty": "", "occurred_at": said["paid_on"], "enterprise": enterprise}
    seal(on, lender, trading.paper("repayment", number, BANK, said, links, **changes))
    args = {"application": application, "repayment": [BANK, number]}
    return on.call(CONSORTIUM, "credit.repay", args, [key(lender)])


def activity(on: Ledger, number: str, *, full: bool = False, in_new_block: bool = True) -> None:
    """Seal one process record of the supplier: E of a period of these is 10 000 bp with all fields, else 6 000.

    In a block of its own: what is sealed in the block that closes a period still belongs to that one.
    """
    if in_new_block:
        on.next_block()
    said = {"activity": "packing"} | ({"location": "Hall 1", "object_id": number} if full else {})
    when = day_of(on)
    seal(on, "erp", trading.paper("event", number, SUPPLIER, said, occurred_at=when))


def reach(on: Ledger, contract: str = "C-1", **stages: int) -> None:
    """Put a contract's progress in place, minor units by stage, as the book stores it."""
    said = {stage: decimal(value) for stage, value in stages.items() if value} | {"trades": "1"}
    on.seed(CONSORTIUM, "credit", "progress", "contract", BUYER, contract, SUPPLIER, "", value={"GBP": said})


def judge(on: Ledger) -> list[tuple[str, dict[str, Any]]]:
    """The hook of the lines as if the book had just judged something of the supplier; gives its events."""
    context = MemoryContext(on, CONSORTIUM, "credit")
    lines.begin_block(context, Reader(context), ("supplier",))
    on._commit(context)
    return context.events


def end_period(on: Ledger) -> list[tuple[str, dict[str, Any]]]:
    """Move to the first block of the next period; gives the events of its hooks."""
    end = on.read(CONSORTIUM, "credit", "period")["end"]
    return on.next_block(time=end)


def bill(on: Ledger, number: str, price: str = "120.00", status: str = "matched", **changes: Any) -> bytes:
    """Seal a bill of the supplier for ten pieces, 1 200.00, and the papers that make the book judge it so.

    Gives the bill's bytes. Its order is one under contract C-1; changes replace parts of the bill's record.
    """
    total = f"{10 * int(price.replace('.', ''))}"
    total = f"{total[:-2]}.{total[-2:]}"
    order = trading.order("10", price, total, f"O-{number}", occurred_at="2025-12-01")
    despatch = trading.despatch("10", f"D-{number}", f"O-{number}")
    receipt = trading.receipt("10", f"R-{number}", f"D-{number}")
    asked = {"price": price, "amount": total, "tax": "0.00", "total": total}
    if status == "contradicted":
        asked |= {"price": "150.00", "amount": "1500.00", "total": "1500.00"}
    links = [["order", BUYER, f"O-{number}"]]
    data = trading.invoice("10", number=number, **{**asked, "links": links, **changes})
    if status != "unmatched":
        seal(on, "procurement", order)
    if status not in ("unmatched", "partial"):
        seal(on, "procurement", receipt)
    seal(on, "erp", despatch, data)
    on.next_block()
    on.next_block()
    return data


def verdict(on: Ledger, number: str, chain: str = "erp") -> dict[str, Any]:
    """What the book has made of a bill of the supplier."""
    found = on.read(CONSORTIUM, "credit", "verdict", chain, "invoice", SUPPLIER, number)
    assert isinstance(found, dict)
    return found


def pledge(on: Ledger, application: bytes, number: str, lender: str = "lender", **more: Any) -> Receipt:
    args = {"application": application, "kind": "invoice", "issuer": SUPPLIER, "number": number, **more}
    return on.call(CONSORTIUM, "credit.pledge", args, [key(lender)])


def on_bill(on: Ledger, method: str, number: str, by: str, **more: Any) -> Receipt:
    """Call a method that names a bill of the supplier."""
    args = {"kind": "invoice", "issuer": SUPPLIER, "number": number, **more}
    return on.call(CONSORTIUM, f"credit.{method}", args, [key(by)])


def line_of(on: Ledger, application: bytes) -> dict[str, Any]:
    found = on.read(CONSORTIUM, "credit", "line", application)
    assert isinstance(found, dict)
    return found


def only_line(on: Ledger) -> bytes:
    """The application of the one line there is."""
    found: bytes = on.read(CONSORTIUM, "credit", "line_at", 0)
    return found


def room_of(on: Ledger, application: bytes) -> credit_line.Room:
    """Limit, borrowing base and what is available now."""
    context = MemoryContext(on, CONSORTIUM, "credit")
    return credit_line.room(context, Reader(context), line_of(on, application))


def told(events: list[tuple[str, dict[str, Any]]], name: str) -> list[dict[str, Any]]:
    return [data for event, data in events if event == name]


def decimal(minor: int) -> str:
    sign, value = ("-", -minor) if minor < 0 else ("", minor)
    return f"{sign}{value // 100}.{value % 100:02d}"


def day_of(on: Ledger) -> str:
    """The day of the block, YYYY-MM-DD, in 2026."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(on.time // 1_000, UTC).strftime("%Y-%m-%d")


def days(count: int) -> int:
    """So many days after the start of the chain, ms."""
    return START + count * DAY
