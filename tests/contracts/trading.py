"""A supplier, its buyer and their papers for the credit tests: the shipped template and model, small documents."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chain.codec import decode
from contracts import credit, gov, records, registry
from contracts.documents import Document, document
from contracts.evidence import Reader
from tests.contracts.memory_context import CONSORTIUM, START, Ledger, MemoryContext, Receipt, decode_args, key
from tests.contracts.small_consortium import record, record_id, submit

ROOT = Path(__file__).resolve().parents[2]
SUPPLIER = "GB-COH:1"
BUYER = "GB-COH:2"
GUARANTOR = "GB-COH:3"
BANK = "GB-COH:4"
HOUR = 3_600_000
DAY = 24 * HOUR
VALIDATORS = ("erp", "guarantor", "lender", "procurement")
MEMBERS = ("erp", "erp-two", "guarantor", "lender", "procurement", "regulator")


def template(name: str = "general-trade") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "genesis" / "templates" / f"{name}.json").read_text())
    return found


def model(name: str = "standard") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "genesis" / "models" / f"{name}-1.json").read_text())
    return found


def genesis_document(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": "trading",
        "time": START,
        "members": [
            {
                "id": member,
                "role": member.removesuffix("-two"),
                "validator": key(f"{member} validator") if member in VALIDATORS else None,
                "network": None,
                "signers": [{"key": key(member), "rights": ["*"]}],
            }
            for member in MEMBERS
        ],
        "parties": [{"id": "buyer", "name": "Buyer", "identifiers": [BUYER], "keys": [key("buyer")]}],
        "parameters": {"t0_ms": 1_000, "max_idle_ms": 30_000},
        "templates": [template(), template("bench"), template("construction")],
        "models": [model(), model("construction")],
        "contracts": dict.fromkeys(("records", "registry", "credit", "gov"), 1),
    }
    return {**base, **changes}


def ledger(*, register: bool = True, **changes: Any) -> Ledger:
    """A consortium whose supplier has just been onboarded, unless told otherwise."""
    modules: dict[str, Any] = {"credit": credit, "gov": gov, "records": records, "registry": registry}
    found = Ledger(modules, genesis_document(**changes))
    found.next_block()
    if register:
        register_supplier(found)
        found.next_block()
    return found


def register_supplier(on: Ledger, keys: Iterable[bytes] = ()) -> None:
    args = {"id": "supplier", "name": "Supplier", "identifiers": [SUPPLIER], "keys": list(keys)}
    ok(on.call(CONSORTIUM, "registry.register_party", args, [key("procurement")]))


def ok(receipt: Receipt) -> Any:
    assert receipt.ok, f"{receipt.code}: {receipt.message}"
    return receipt.result


def paper(kind: str, number: str, by: str, fields: dict[str, Any], linked: Any = (), **changes: Any) -> bytes:
    """Record bytes; changes replace parts of the record, issuer and links included."""
    parts: dict[str, Any] = {
        "issuer": by,
        "enterprise": SUPPLIER,
        "counterparty": BUYER,
        "template": "general-trade",
        "occurred_at": "2025-12-20",
        "links": sorted(list(link) for link in linked),
        **changes,
    }
    return record(kind, number, fields, **parts)


def line(
    quantity: str, price: str = "", amount: str = "", item: str = "W-1", number: str = "1", unit: str = "KGM"
) -> list[str]:
    return [number, item, quantity, unit, price, amount]


def contract(**fields: str) -> bytes:
    said = {
        "title": "Wax for a year",
        "status": "active",
        "value": "120000.00",
        "currency": "GBP",
        "prepayment": "20000.00",
        "date_signed": "2025-11-30",
        "buyer_name": "Buyer",
        "supplier_name": "Supplier",
    }
    return paper("contract", "C-1", BUYER, {**said, **fields}, occurred_at="2025-11-30")


def order(
    quantity: str = "100", price: str = "10.00", amount: str = "1000.00", number: str = "O-1", **changes: Any
) -> bytes:
    fields = {
        "issue_date": "2025-12-01",
        "currency": "GBP",
        "total": amount,
        "delivery_date": "2025-12-15",
        "buyer_name": "Buyer",
        "seller_name": "Supplier",
        "lines": [line(quantity, price, amount)],
    }
    fields |= changes.pop("fields", {})
    changes = {"occurred_at": "2025-12-01", **changes}
    return paper("order", number, BUYER, fields, [("contract", BUYER, "C-1")], **changes)


def despatch(quantity: str = "100", number: str = "D-1", order_number: str = "O-1", **changes: Any) -> bytes:
    fields = {"issue_date": "2025-12-10", "lines": [line(quantity)]}
    fields |= changes.pop("fields", {})
    changes = {"occurred_at": "2025-12-10", **changes}
    return paper("despatch", number, SUPPLIER, fields, [("order", BUYER, order_number)], **changes)


def receipt(quantity: str = "100", number: str = "R-1", despatch_number: str = "D-1", **changes: Any) -> bytes:
    fields = {"issue_date": "2025-12-12", "received_date": "2025-12-12", "lines": [line(quantity)]}
    fields |= changes.pop("fields", {})
    changes = {"occurred_at": "2025-12-12", **changes}
    return paper("receipt", number, BUYER, fields, [("despatch", "", despatch_number)], **changes)


def invoice(
    quantity: str = "100",
    price: str = "10.00",
    amount: str = "1000.00",
    tax: str = "200.00",
    total: str = "1200.00",
    number: str = "I-1",
    **changes: Any,
) -> bytes:
    fields = {
        "issue_date": "2025-12-12",
        "currency": "GBP",
        "total_excl_tax": amount,
        "tax": tax,
        "total": total,
        "buyer_name": "Buyer",
        "seller_name": "Supplier",
        "lines": [line(quantity, price, amount)],
    }
    fields |= changes.pop("fields", {})
    changes = {"occurred_at": "2025-12-12", "links": [["order", "", "O-1"]], **changes}
    return paper("invoice", number, SUPPLIER, fields, **changes)


def credit_note(quantity: str, amount: str, number: str = "N-1", **changes: Any) -> bytes:
    fields = {
        "issue_date": "2025-12-14",
        "currency": "GBP",
        "total": amount,
        "lines": [line(quantity, "10.00", amount)],
    }
    changes = {"occurred_at": "2025-12-14", "links": [["invoice", SUPPLIER, "I-1"]], **changes}
    return paper("credit_note", number, SUPPLIER, fields, **changes)


def qualification(**fields: str) -> bytes:
    said = {
        "registered_name": "Supplier Ltd",
        "registration_number": "1",
        "country": "GB",
        "industry": "20.59",
        "established_on": "2001-02-03",
        "legal_form": "Ltd",
    }
    return paper("qualification", "Q-1", "GB-COH", {**said, **fields}, counterparty="", occurred_at="2025-06-01")


def guarantee(amount: str = "5000.55", grade: str = "A", number: str = "G-1", **changes: Any) -> bytes:
    fields = {"amount": amount, "currency": "GBP", "grade": grade, "expiry_date": "2026-12-01"}
    fields |= changes.pop("fields", {})
    return paper("guarantee", number, GUARANTOR, fields, counterparty=BANK, occurred_at="2025-12-01", **changes)


def loan(amount: str, number: str = "L-1", **fields: str) -> bytes:
    said = {"amount": amount, "currency": "GBP", "term_days": "90", "rate_bp": "600", **fields}
    return paper("loan", number, BANK, said, counterparty="", occurred_at="2026-01-01")


def seal(on: Ledger, chain: str, *papers: bytes) -> None:
    ok(submit(on, papers, chain=chain))


def confirm(on: Ledger, paper_bytes: bytes, by: str, fields: Iterable[str] = ()) -> Receipt:
    array = decode_record(paper_bytes)
    args: dict[str, Any] = {"kind": array[2], "issuer": array[3], "number": array[4], "id": record_id(paper_bytes)}
    if fields:
        args["fields"] = list(fields)
    return on.call(CONSORTIUM, "credit.confirm", args, [key(by)])


def decode_record(paper_bytes: bytes) -> list[Any]:
    array = decode(paper_bytes)
    assert isinstance(array, list)
    return array


def documents(*papers: tuple[str, bytes], height: int = 1) -> tuple[Document, ...]:
    """Documents of the general-trade template as the credit contract would read them: (chain, record bytes)."""
    spec = decode_args(template())
    found = []
    for chain, data in papers:
        entry = {"id": record_id(data), "height": height, "since": height, "time": START, "period": 1}
        entry["record"] = decode_record(data)
        found.append(document(chain, entry, spec))
    return tuple(found)


def reader(on: Ledger) -> Reader:
    return Reader(MemoryContext(on, CONSORTIUM, "credit"))
