"""A claim on its way into a court, for the tests of contract "court": every step by its own party's key.

Built on the notary's desk: a loan of 20 000.00, overdue, with a deed and its certificate or without. The court has a
key that really signs (COURT), for answers on paper, and an encryption key to read bundles with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chain.crypto import SigningKey
from contracts import court, court_answer, custody
from tests.contracts import notary_desk as notary
from tests.contracts import trading
from tests.contracts.memory_context import CONSORTIUM, NETWORK_ID, Ledger, Receipt, key
from tests.contracts.small_consortium import record, submit
from tests.contracts.trading import ok

COURT = SigningKey(b"c" * 32)
BUNDLE, SUPPLEMENT = b"b" * 32, b"s" * 32
SIZE = 1_234
KIND = "court:court"
NAME = "Shanghai Financial Court"


def desk() -> Ledger:
    on = notary.desk()
    modules: Any = on.modules
    modules |= {"court": court, "custody": custody}
    on.seed(CONSORTIUM, "credit", "template", "court", 1, value=trading.template("court"))
    keys = {"key": COURT.public, "purpose": "signer", "rights": ["*"]}, {"key": key("box"), "purpose": "encryption"}
    for entry in keys:
        ok(on.call(CONSORTIUM, "registry.add_key", entry, [key("court")]))
    on.next_block()
    return on


def do(on: Ledger, method: str, by: str, /, **args: Any) -> Receipt:
    return on.call(CONSORTIUM, f"court.{method}", args, [key(by)])


def case_of(on: Ledger, case: bytes) -> dict[str, Any]:
    found = on.read(CONSORTIUM, "court", "case", case)
    assert isinstance(found, dict)
    return found


def overdue(on: Ledger) -> bytes:
    """A loan whose first half is overdue, without a deed; gives its application."""
    application = notary.lent(on)
    notary.to_day(on, notary.DEFAULT_DAY)
    return application


def certified(on: Ledger) -> bytes:
    """The same with a deed and its execution certificate; gives its application."""
    application: bytes = notary.deed_of(on, notary.certified(on))["application"]
    return application


def opened(on: Ledger, application: bytes | None = None, **more: Any) -> bytes:
    of = certified(on) if application is None else application
    case: bytes = ok(do(on, "open", "lender", application=of, **more))["case"]
    return case


def readable(on: Ledger) -> None:
    ok(on.call(CONSORTIUM, "custody.name_readers", {"rules": {KIND: ["court"]}}, [key("lender")]))


def filing(case: bytes, /, **changes: Any) -> dict[str, Any]:
    return {"case": case, "bundle": BUNDLE, "size": SIZE, "delivery": "custody", "court": "court", **changes}


def by_hand(case: bytes, /, **changes: Any) -> dict[str, Any]:
    return {"case": case, "bundle": BUNDLE, "size": SIZE, "delivery": "hand_in", "court": "court", **changes}


def filed(on: Ledger, application: bytes | None = None) -> bytes:
    case = opened(on, application)
    readable(on)
    ok(do(on, "file", "lender", **filing(case)))
    return case


def handed_in(on: Ledger, **changes: Any) -> bytes:
    case = opened(on)
    ok(do(on, "file", "lender", **by_hand(case, **changes)))
    return case


def enter(on: Ledger, case: bytes, number: str, bundle: bytes = BUNDLE, /, **changes: Any) -> None:
    """Seal the court's own record of a filing."""
    said = {
        "case": case.hex(),
        "bundle": bundle.hex(),
        "size": str(SIZE),
        "filing": "0",
        "route": "A",
        "application": "00",
        "creditor": "lender",
        "respondents": "supplier",
        "received_on": "2026-02-16",
        **changes,
    }
    data = record("case", number, said, issuer="court", template="court", occurred_at="2026-02-01")
    receipt = submit(on, [data], chain="court", signer="court")
    assert receipt.ok, receipt.message


def acknowledged(on: Ledger, application: bytes | None = None) -> bytes:
    case = filed(on, application)
    enter(on, case, "1")
    ok(do(on, "acknowledge", "court", case=case, bundle=BUNDLE, record="1"))
    return case


def asked(on: Ledger) -> bytes:
    case = acknowledged(on)
    ok(do(on, "ask", "court", case=case, text="the delivery notes"))
    return case


def accepted(on: Ledger) -> bytes:
    case = acknowledged(on)
    ok(do(on, "accept", "court", case=case, number="(2026) 1"))
    return case


def rejected(on: Ledger, code: str = "NOT_COMPETENT") -> bytes:
    case = acknowledged(on)
    ok(do(on, "reject", "court", case=case, code=code, text="elsewhere"))
    return case


def withdrawn(on: Ledger) -> bytes:
    case = acknowledged(on)
    ok(do(on, "withdraw", "lender", case=case, reason="paid"))
    return case


REACH: dict[str, Callable[[Ledger], bytes]] = {
    "opened": opened,
    "filed": filed,
    "acknowledged": acknowledged,
    "asked": asked,
    "accepted": accepted,
    "rejected": rejected,
    "withdrawn": withdrawn,
}


def answer(on: Ledger, case: bytes, *, signer: SigningKey = COURT, **said: str) -> dict[str, Any]:
    """Arguments of an answer on paper to the newest filing, signed."""
    base = {"answer": "received", "number": "", "code": "", "text": "", "day": "2026-02-17"}
    parts: dict[str, Any] = {**base, **said}
    entry = case_of(on, case)
    text = court_answer.paper(NETWORK_ID, entry, len(entry["filings"]) - 1, court_answer.Answer(**parts))
    return {"case": case, **parts, "key": signer.public, "signature": signer.sign(text.encode())}
