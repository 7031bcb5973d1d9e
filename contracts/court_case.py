"""A case before a court as the chain holds it: finding, storing, its steps, and who is told of them.

State, on the consortium chain, in the court contract's namespace:
    ("case", id)                 -> the case:
        {id: tx id of court.open, application, creditor: member, enterprise: party, respondents: sorted ids,
         route: "A"|"B", reasons: [[code, text]], deed: id or b"", certificate: id or b"",
         court: member id or "", court_name: text, both "" before it is filed,
         delivery: "" | "custody" | "hand_in", state: see STATES, number: the court's own docket number or "",
         filings: [{bundle: 32 B sha256, size, height, time, transaction, acknowledged: None or as below}], the first
             and each supplement,
         steps: [{step: name of the method, text, by, height, time, transaction}], all that happened, oldest first,
         height, time, by, transaction: of court.open}
    ("open_case", application, route) -> id of the case that is not over
    ("cases", application)            -> ids of all cases, oldest first
    ("docket_count", member), ("docket", member, n), n from 0 -> ids of the cases of a creditor or court member
    ("enforcement_refused", deed)     -> id of the case in which a court refused to enforce a deed

An acknowledgement is
    {way: "record", record: 32 B id, number: of the record on the court's chain, by, height, time, transaction}, or
    {way: "paper", paper: the transaction that took it back, by: whose that was, height, time, transaction}
and of each paper
    ("paper", transaction) -> {case, filing: its number, text: what was signed, key: 32 B or b"", signature: bytes,
        ca: None or {certificates: [DER], algorithm}}
"""

from __future__ import annotations

from typing import Any, Final

from contracts import arguments
from contracts.access import Actor
from contracts.context import Context, Value
from contracts.errors import ContractError
from contracts.notices import notify

OPENED: Final = "opened"
FILED: Final = "filed"
ACKNOWLEDGED: Final = "acknowledged"
ASKED: Final = "asked"
ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"
WITHDRAWN: Final = "withdrawn"
STATES: Final = (OPENED, FILED, ACKNOWLEDGED, ASKED, ACCEPTED, REJECTED, WITHDRAWN)
OVER: Final = (ACCEPTED, REJECTED, WITHDRAWN)

CUSTODY: Final = "custody"
HAND_IN: Final = "hand_in"

# Why a court rejects. The first of them ends the way of enforcement: the creditor may sue from then on.
NOT_ENFORCEABLE: Final = "NOT_ENFORCEABLE"
REJECTIONS: Final = (NOT_ENFORCEABLE, "NOT_COMPETENT", "INCOMPLETE", "NO_CLAIM", "OTHER")

MAX_CASES: Final = 64  # of one application
MAX_FILINGS: Final = 32
MAX_STEPS: Final = 100  # and one that ends the case

_KIND: Final = "court:"
_KIND_LENGTH: Final = 32


def load(ctx: Context, case_id: Value) -> dict[str, Any]:
    """A case by id. Raises ContractError UNKNOWN_CASE."""
    wanted = arguments.binary(case_id, "case")
    found: dict[str, Any] | None = ctx.get("case", wanted)
    if found is None:
        raise ContractError("UNKNOWN_CASE", f"there is no case {wanted.hex()}: use an id that court.open gave")
    return found


def require_creditor(actor: Actor, case: dict[str, Any]) -> None:
    """Only who opened the case acts for the claim. Raises ContractError NOT_YOUR_CASE."""
    if actor.id != case["creditor"]:
        raise ContractError("NOT_YOUR_CASE", f"the case is {case['creditor']}'s, not {actor.id}'s: its creditor acts")


def require_court(actor: Actor, case: dict[str, Any]) -> None:
    """Only the court it was filed with, through its node, decides. Raises ContractError NOT_YOUR_CASE."""
    if actor.id != case["court"]:
        filed = case["court"] or case["court_name"] or "no court yet"
        raise ContractError("NOT_YOUR_CASE", f"the case is filed with {filed}, not with {actor.id}")


def require_state(case: dict[str, Any], *wanted: str) -> None:
    """The case is where this step follows. Raises ContractError WRONG_STATE."""
    if case["state"] not in wanted:
        raise ContractError(
            "WRONG_STATE", f"the case is {case['state']}: this step follows {' or '.join(wanted)}; see its steps"
        )


def advance(
    ctx: Context, case: dict[str, Any], actor: Actor, step: str, state: str, text: str = "", **changes: Value
) -> dict[str, Any]:
    """The case after a step, stored; both sides and the court are told. Raises ContractError TOO_MANY_STEPS."""
    if len(case["steps"]) >= MAX_STEPS and state not in OVER:
        raise ContractError("TOO_MANY_STEPS", f"a case has at most {MAX_STEPS} steps: withdraw it and open another")
    done = {"step": step, "text": text, **stamp(ctx, actor)}
    after = {**case, **changes, "state": state, "steps": [*case["steps"], done]}
    ctx.put("case", case["id"], value=after)
    if state in OVER:
        ctx.delete("open_case", case["application"], case["route"])
    tell(ctx, step, after, text)
    return after


def tell(ctx: Context, step: str, case: dict[str, Any], text: str) -> None:
    """Notice "case_" + step to creditor, court and respondents."""
    said = {"case": case["id"], "application": case["application"], "route": case["route"], "state": case["state"]}
    said |= {"court": case["court"] or case["court_name"], "docket": case["number"], "text": text}
    notify(ctx, f"case_{step}", [case["creditor"], case["court"], *case["respondents"]], said)


def stamp(ctx: Context, actor: Actor) -> dict[str, Value]:
    """Who did it, and when."""
    return {"by": actor.id, "height": ctx.height, "time": ctx.time, "transaction": ctx.tx_id}


def enter_docket(ctx: Context, member: str, case_id: bytes) -> None:
    """Add a case to a member's list."""
    count: int = ctx.get("docket_count", member) or 0
    ctx.put("docket", member, count, value=case_id)
    ctx.put("docket_count", member, value=count + 1)


def unanswered(case: dict[str, Any]) -> int:
    """Number of the newest filing. Raises ContractError ALREADY_ACKNOWLEDGED."""
    newest = len(case["filings"]) - 1
    if case["filings"][newest]["acknowledged"] is not None:
        raise ContractError("ALREADY_ACKNOWLEDGED", f"filing {newest} of the case is acknowledged: go on from there")
    return newest


def acknowledged(case: dict[str, Any], number: int, acknowledgement: dict[str, Value]) -> list[dict[str, Any]]:
    """The filings, with the acknowledgement of one of them."""
    filings: list[dict[str, Any]] = list(case["filings"])
    filings[number] = {**filings[number], "acknowledged": acknowledgement}
    return filings


def document_kind(court: str, digest: bytes) -> str:
    """Kind under which bundles for a court member lie in the creditor's vault: custody's rules name the court as the
    reader of just these. At most 32 characters, as a document's kind has; digest: SHA-256 of a longer id.
    """
    name = _KIND + court
    return name if len(name) <= _KIND_LENGTH else _KIND + digest.hex()[: _KIND_LENGTH - len(_KIND)]
