"""A story of one contract for the credit tests: its papers sealed and confirmed, applied for, assessed, decided."""

from __future__ import annotations

from typing import Any

from tests.contracts import trading
from tests.contracts.memory_context import CONSORTIUM, Ledger, Receipt, key
from tests.contracts.trading import BANK, BUYER, confirm, ok, seal

LOAN_AMOUNT = "36655.44"


def tell_story(on: Ledger, **changed: bytes) -> None:
    """Seal and confirm what a limit needs; papers may be replaced by name or left out (b"")."""
    papers = {
        "contract": trading.contract(),
        "order": trading.order(),
        "order2": trading.order("150", price="13.00", amount="1950.00", number="O-2", occurred_at="2025-12-02"),
        "despatch": trading.despatch(),
        "receipt": trading.receipt(),
        "invoice": trading.invoice(),
        "qualification": trading.qualification(),
        "guarantee": trading.guarantee(),
        **changed,
    }
    chains = {"despatch": "erp", "invoice": "erp", "guarantee": "guarantor"}
    for name, data in papers.items():
        if data:
            seal(on, chains.get(name, "procurement"), data)
    if papers["contract"]:
        ok(confirm(on, papers["contract"], "buyer"))
    if papers["qualification"]:
        ok(
            confirm(
                on,
                papers["qualification"],
                "guarantor",
                ["registered_name", "registration_number", "country"],
            )
        )
    on.next_block()


def apply(on: Ledger, by: str = "procurement", **changes: Any) -> Receipt:
    args = {"enterprise": "supplier", "contract": [BUYER, "C-1"], "lender": "lender", **changes}
    return on.call(CONSORTIUM, "credit.apply", args, [key(by)])


def assess(on: Ledger, application: bytes, by: str = "erp") -> dict[str, Any]:
    result = ok(on.call(CONSORTIUM, "credit.assess", {"application": application}, [key(by)]))
    found = on.read(CONSORTIUM, "credit", "assessment", result["id"])
    assert isinstance(found, dict)
    return found


def assessed(on: Ledger) -> dict[str, Any]:
    return assess(on, ok(apply(on))["id"])


def decide(on: Ledger, assessment: dict[str, Any], by: str = "lender", **changes: Any) -> Receipt:
    args = {
        "application": assessment["application"],
        "assessment": assessment["id"],
        "decision": "approve",
        "amount": assessment["limit"],
        "loan": [BANK, "L-1"],
        **changes,
    }
    return on.call(CONSORTIUM, "credit.decide", args, [key(by)])


def disburse(on: Ledger, assessment: dict[str, Any], number: str = "L-1") -> Receipt:
    args = {"application": assessment["application"], "loan": [BANK, number]}
    return on.call(CONSORTIUM, "credit.disburse", args, [key("lender")])


def step(assessment: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (entry for entry in assessment["steps"] if entry["name"] == name)
    assert isinstance(found, dict)
    return found


def codes(assessment: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in assessment["reasons"]]
