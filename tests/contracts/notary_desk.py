"""A lent and notarized debt for the tests of enforceable notarization: every step by its own party's key.

A loan of 20 000.00 in two halves, the first with interest of 100.00 due 2026-02-01, the second with 50.00 due
2026-03-01; three days of grace. A party and a member guarantee it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts import notary
from contracts.record import moment
from tests.contracts import lending_desk as at
from tests.contracts import trading
from tests.contracts.memory_context import CONSORTIUM, Ledger, Receipt, key
from tests.contracts.trading import ok

ADDED = {
    "lender-two": "lender",
    "court": "court",
    "office": "notary",
    "office-two": "notary",
    "watcher": "observer",
}
HALVES: list[dict[str, Any]] = [
    {"due": "2026-02-01", "principal": 1_000_000, "interest": 10_000},
    {"due": "2026-03-01", "principal": 1_000_000, "interest": 5_000},
]
TERMS: dict[str, Any] = {
    "penalty_bp": 1_095,
    "compound_bp": 730,
    "day_count": 365,
    "acceleration": True,
}  # 3 and 2 bp a day
VERIFICATION: dict[str, Any] = {"method": "letter", "address": "1 Mill Lane, Leeds", "answer_days": 5}
GUARANTORS: list[dict[str, Any]] = [
    {"owner": "party", "id": "aunt", "kind": "joint", "covers": 500_000, "address": "2 Mill Lane, Leeds"},
    {"owner": "member", "id": "guarantor", "kind": "general", "covers": None, "address": "3 Mill Lane, Leeds"},
]
TEXT = b"t" * 32
RECORD = b"w" * 32
DEFAULT_DAY = "2026-02-10"  # 9 days after the first half was due


def desk() -> Ledger:
    """Two lenders, two notaries, a court, an observer; supplier, buyer and the guarantor's aunt have keys."""
    document = trading.genesis_document()
    for member, role in ADDED.items():
        entry = {"id": member, "role": role, "validator": None, "network": None}
        document["members"].append({**entry, "signers": [{"key": key(member), "rights": ["*"]}]})
    document["members"].sort(key=lambda member: member["id"])
    document["parties"].append(
        {"id": "aunt", "name": "Aunt", "identifiers": [trading.GUARANTOR], "keys": [key("aunt")]}
    )
    document["parameters"] |= {"credit_period_s": at.PERIOD_DAYS * 86_400}
    document["templates"][0] |= {"milestones": at.MILESTONES}
    document["models"][0] |= {"stage_advance": {"order": 10_000, "in_transit": 10_000, "receivable": 10_000}}
    modules: dict[str, Any] = {**trading.ledger(register=False).modules, "notary": notary}
    on = Ledger(modules, document)
    on.next_block()
    trading.register_supplier(on, [key("supplier")])
    on.next_block()
    trading.seal(on, "procurement", trading.contract())
    on.next_block()
    return on


def do(on: Ledger, method: str, by: str, /, **args: Any) -> Receipt:
    return on.call(CONSORTIUM, f"notary.{method}", args, [key(by)])


def to_day(on: Ledger, day: str) -> list[tuple[str, dict[str, Any]]]:
    """Move to noon (UTC) of a day; gives the events of the hooks."""
    return on.next_block(time=(moment(day).first + 43_200) * 1_000)


def deed_of(on: Ledger, deed: bytes) -> dict[str, Any]:
    found = on.read(CONSORTIUM, "notary", "deed", deed)
    assert isinstance(found, dict)
    return found


def kept(on: Ledger, *place: str | int | bytes) -> dict[str, Any]:
    found = on.read(CONSORTIUM, "notary", *place)
    assert isinstance(found, dict)
    return found


def only_deed(on: Ledger) -> bytes:
    found: bytes = on.read(CONSORTIUM, "notary", "deeds_of", at.only_line(on))[-1]
    return found


def drafted_args(application: bytes, /, **changes: Any) -> dict[str, Any]:
    base = {
        "application": application,
        "notary": "office",
        "ceiling": 2_000_000,
        "terms": TERMS,
        "verification": VERIFICATION,
        "text_hash": TEXT,
        "language": "zh",
        "guarantors": GUARANTORS,
    }
    return {**base, **changes}


def consent_args(on: Ledger, deed: bytes, /, **changes: Any) -> dict[str, Any]:
    base = {"deed": deed, "digest": deed_of(on, deed)["digest"], "enforcement": True, "verification": True}
    return {**base, **changes}


def overdue_of(on: Ledger, deed: bytes) -> list[list[Any]]:
    """What is overdue on the chain, as a claim names it."""
    rows = on.read(CONSORTIUM, "credit", "schedule", deed_of(on, deed)["application"]) or []
    return [[row[0], row[2]] for row in rows if row[1] <= on.time]


def claim_args(on: Ledger, deed: bytes, **changes: Any) -> dict[str, Any]:
    base = {"deed": deed, "as_of": at.day_of(on), "unpaid": overdue_of(on, deed), "accelerate": False, "costs": []}
    return {**base, **changes}


def verify_args(on: Ledger, deed: bytes, **changes: Any) -> dict[str, Any]:
    claimed = kept(on, "default", deed, deed_of(on, deed)["claims"])["time"]
    asked = on.time if claimed is None else claimed
    day = _day(asked)
    who = [("party", "supplier"), *((row["owner"], row["id"]) for row in deed_of(on, deed)["guarantors"])]
    contacts = [
        {"owner": owner, "id": identity, "asked_on": day, "answered": False, "note": "letter by post"}
        for owner, identity in who
    ]
    base = {"deed": deed, "outcome": "unpaid", "record": RECORD, "text": "asked, no answer"}
    return {**base, "contacts": contacts, "objections": [], **changes}


def issue_args(on: Ledger, deed: bytes, **changes: Any) -> dict[str, Any]:
    """The certificate as of today, with the amounts that the contract computes, against everybody."""
    from contracts import claims
    from contracts.enforceable_default import costs_of, debt
    from tests.contracts.memory_context import MemoryContext

    entry = deed_of(on, deed)
    claimed = kept(on, "default", deed, entry["claims"])
    base: dict[str, Any] = {"deed": deed, "number": "E-1", "as_of": at.day_of(on), "costs": claimed["costs"]}
    base["respondents"] = [["party", "supplier"], *([row["owner"], row["id"]] for row in entry["guarantors"])]
    given = {**base, **changes}
    if "amounts" not in given:
        reads = MemoryContext(on, CONSORTIUM, "notary")
        found = claims.as_value(
            debt(reads, entry, given["as_of"], claimed["accelerated_on"], costs_of(given["costs"]))
        )
        given["amounts"] = {
            part: found[part] for part in ("principal", "interest", "penalty", "compound", "costs", "total")
        }
    return given


def lent(on: Ledger, schedule: list[dict[str, Any]] | None = None) -> bytes:
    """The loan paid out; gives its application."""
    application = at.opened(on)
    ok(at.disburse(on, application, schedule=HALVES if schedule is None else schedule))
    return application


def drafted(on: Ledger, application: bytes | None = None, **changes: Any) -> bytes:
    args = drafted_args(lent(on) if application is None else application, **changes)
    deed: bytes = ok(do(on, "draft", "lender", **args))["id"]
    return deed


def consented(on: Ledger, **changes: Any) -> bytes:
    deed = drafted(on, **changes)
    for _, identity in [
        ("", "lender"),
        ("", "supplier"),
        *((0, row["id"]) for row in deed_of(on, deed)["guarantors"]),
    ]:
        ok(do(on, "consent", identity, **consent_args(on, deed)))
    return deed


def notarized(on: Ledger, **changes: Any) -> bytes:
    deed = consented(on, **changes)
    ok(do(on, "countersign", "office", deed=deed, digest=deed_of(on, deed)["digest"], number="D-1"))
    return deed


def claimed(on: Ledger, **changes: Any) -> bytes:
    deed = notarized(on)
    to_day(on, DEFAULT_DAY)
    ok(do(on, "claim_default", "lender", **claim_args(on, deed, **changes)))
    return deed


def verified(on: Ledger, outcome: str = "unpaid", **changes: Any) -> bytes:
    deed = claimed(on, **changes)
    to_day(on, "2026-02-16")
    ok(do(on, "verify_performance", "office", **verify_args(on, deed, outcome=outcome)))
    return deed


def certified(on: Ledger, **changes: Any) -> bytes:
    deed = verified(on, **changes)
    ok(do(on, "issue", "office", **issue_args(on, deed)))
    return deed


def filed(on: Ledger, deed: bytes, court: str = "court", state: str = "filed") -> None:
    """A case over the deed's certificate, filed with a court, as contracts/court_case.py stores it."""
    entry = deed_of(on, deed)
    certificate = entry["certificate"] or b"c" * 32  # of a deed without one: for steps that are refused anyway
    case = {"deed": deed, "certificate": certificate, "court": court, "state": state}
    on.seed(CONSORTIUM, "court", "case", b"case" * 8, value=case)
    on.seed(CONSORTIUM, "court", "cases", entry["application"], value=[b"case" * 8])


def refused(on: Ledger) -> bytes:
    deed = verified(on, "disputed")
    ok(do(on, "refuse", "office", deed=deed, reason="DISPUTED", text="paid, says the debtor"))
    return deed


def executed(on: Ledger) -> bytes:
    deed = certified(on)
    filed(on, deed)
    ok(do(on, "executed", "court", deed=deed, amount=1, on=at.day_of(on), reference="(2026) 1"))
    return deed


def revoked(on: Ledger) -> bytes:
    deed = certified(on)
    filed(on, deed)
    ok(do(on, "revoke", "court", deed=deed, reason="UNLAWFUL", text="not for payment"))
    return deed


REACH: dict[str, Callable[[Ledger], bytes]] = {
    "draft": drafted,
    "consented": consented,
    "notarized": notarized,
    "claimed": claimed,
    "verified": verified,
    "certified": certified,
    "refused": refused,
    "executed": executed,
    "revoked": revoked,
}


def _day(time_ms: int) -> str:
    from contracts.enforceable_deed import day_of

    return day_of(time_ms, 0)
