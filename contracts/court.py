"""Court: a claim's way into a court and back. What is stored: court_case.py; which way it goes: court_route.py.

    open -> file -> acknowledge -> accept | reject
                 \\-> ask -> supplement -> acknowledge …      withdraw by the creditor until it is accepted

A court with a node reads the bundle out of custody and acknowledges with a "case" record on its own chain. One
without signs its answer on paper, which the creditor takes back to the chain (court_answer.py).
"""

from __future__ import annotations

from typing import Any, Final

from contracts import access, arguments, court_answer, court_case, registry
from contracts.access import CONSORTIUM, MEMBER
from contracts.context import Args, Context, Method, Value
from contracts.court_case import (
    ACCEPTED,
    ACKNOWLEDGED,
    ASKED,
    CUSTODY,
    FILED,
    HAND_IN,
    NOT_ENFORCEABLE,
    OPENED,
    REJECTED,
    REJECTIONS,
    WITHDRAWN,
)
from contracts.court_route import ENFORCEMENT, Route, route
from contracts.custody_rules import readers_of
from contracts.errors import ContractError
from contracts.record import parse

MAX_TEXT: Final = 1_000
MAX_RESPONDENTS: Final = 32
MAX_BUNDLE: Final = 2**31  # bytes
RECORD_KIND: Final = "case"


def open_case(ctx: Context, args: Args) -> Value:
    """Open a case over what is owed: {application, respondents: [ids] (optional)}. Gives {case, route, reasons}.

    By the application's lender. The route follows from the state (court_route.py); without respondents it is that of
    all whom deed or loan binds. Raises ContractError CERTIFICATE_FIRST, NOTHING_OWED,
    NOT_OVERDUE, CASE_OPEN, CASE_ACCEPTED.
    """
    arguments.expect(args, "application", optional=("respondents",))
    actor = access.authorise(ctx, "court.open")
    application = arguments.binary(args["application"], "application")
    asked = ctx.read(CONSORTIUM, "credit", "application", application)
    if asked is None:
        raise ContractError("UNKNOWN_APPLICATION", f"no application {application.hex()}: use one credit.apply gave")
    if asked["lender"] != actor.id:
        raise ContractError("NOT_YOUR_APPLICATION", f"the loan is {asked['lender']}'s, not {actor.id}'s: it sues")
    found = route(ctx, application, _respondents(args))
    if not found.open_now:
        raise ContractError("CERTIFICATE_FIRST", f"{found.reasons[0][1]}: notary.claim_default asks for one")
    _require_owed(ctx, application, found)
    already = ctx.get("open_case", application, found.letter)
    if already is not None:
        raise ContractError("CASE_OPEN", f"case {already.hex()} over this claim is not over: go on with it")
    cases = ctx.get("cases", application) or []
    _require_unaccepted(ctx, cases, found)
    if len(cases) >= court_case.MAX_CASES:
        raise ContractError("TOO_MANY_CASES", f"{len(cases)} cases were opened over this claim: that is the most")
    case = {
        "id": ctx.tx_id,
        "application": application,
        "creditor": actor.id,
        "enterprise": asked["enterprise"],
        "respondents": list(found.respondents),
        "route": found.letter,
        "reasons": [list(reason) for reason in found.reasons],
        "deed": found.deed,
        "certificate": found.certificate,
        "court": "",
        "court_name": "",
        "delivery": "",
        "state": OPENED,
        "number": "",
        "filings": [],
        "steps": [],
        **court_case.stamp(ctx, actor),
    }
    ctx.put("open_case", application, found.letter, value=ctx.tx_id)
    ctx.put("cases", application, value=[*cases, ctx.tx_id])
    court_case.enter_docket(ctx, actor.id, ctx.tx_id)
    court_case.advance(ctx, case, actor, "open", OPENED, found.reasons[0][1])
    return {"case": ctx.tx_id, "route": found.letter, "reasons": case["reasons"]}


def file(ctx: Context, args: Args) -> Value:
    """File the bundle: {case, bundle: 32 B sha256, size, delivery, court | court_name}. Gives {case, filing: 0}.

    delivery "custody": the bundle lies in the creditor's vault as a document of kind court_case.document_kind(court),
    which custody's rules let that court member read. "hand_in": it is handed over on a medium, to a court member or
    to a court that is none, by name. By the creditor; who filed the wrong one withdraws and opens the case anew.

    Raises ContractError ROUTE_CHANGED, NOT_A_COURT, NOT_A_READER, NO_ENCRYPTION_KEY.
    """
    arguments.expect(args, "case", "bundle", "size", "delivery", optional=("court", "court_name"))
    actor = access.authorise(ctx, "court.file")
    case = court_case.load(ctx, args["case"])
    court_case.require_creditor(actor, case)
    court_case.require_state(case, OPENED)
    _require_same_route(ctx, case)
    if ("court" in args) == ("court_name" in args):
        raise ContractError("WRONG_ARGUMENT", "give either court, a member's id, or court_name: it goes to one court")
    court = _court(ctx, args["court"]) if "court" in args else ""
    name = "" if court else court_answer.one_line(args["court_name"], "court_name", arguments.MAX_TEXT)
    if args["delivery"] == CUSTODY:
        _require_reader(ctx, case["creditor"], court)
    elif args["delivery"] != HAND_IN:
        raise ContractError("WRONG_ARGUMENT", f"delivery must be {CUSTODY} or {HAND_IN}")
    if court:
        court_case.enter_docket(ctx, court, case["id"])
    changes = {"court": court, "court_name": name, "delivery": args["delivery"], "filings": [_filing(ctx, args)]}
    court_case.advance(ctx, case, actor, "file", FILED, **changes)
    return {"case": case["id"], "filing": 0}


def supplement(ctx: Context, args: Args) -> Value:
    """File another bundle, which the court asked for: {case, bundle, size}. Gives {case, filing: its number}."""
    arguments.expect(args, "case", "bundle", "size")
    actor = access.authorise(ctx, "court.supplement")
    case = court_case.load(ctx, args["case"])
    court_case.require_creditor(actor, case)
    court_case.require_state(case, ASKED)
    _require_same_route(ctx, case)
    filing = _filing(ctx, args)
    if any(filing["bundle"] == earlier["bundle"] for earlier in case["filings"]):
        raise ContractError("ALREADY_FILED", "this bundle was filed before: export one with what the court asked for")
    if len(case["filings"]) >= court_case.MAX_FILINGS:
        raise ContractError("TOO_MANY_FILINGS", f"{len(case['filings'])} bundles are filed: that is the most")
    if case["delivery"] == CUSTODY:
        _require_reader(ctx, case["creditor"], case["court"])
    court_case.advance(ctx, case, actor, "supplement", FILED, filings=[*case["filings"], filing])
    return {"case": case["id"], "filing": len(case["filings"])}


def withdraw(ctx: Context, args: Args) -> Value:
    """Take the case back: {case, reason}. Gives {case, state}. Once accepted, that is the court's to allow."""
    arguments.expect(args, "case", "reason")
    actor = access.authorise(ctx, "court.withdraw")
    case = court_case.load(ctx, args["case"])
    court_case.require_creditor(actor, case)
    court_case.require_state(case, OPENED, FILED, ACKNOWLEDGED, ASKED)
    court_case.advance(ctx, case, actor, "withdraw", WITHDRAWN, arguments.text(args["reason"], "reason", MAX_TEXT))
    return {"case": case["id"], "state": WITHDRAWN}


def acknowledge(ctx: Context, args: Args) -> Value:
    """The court has the newest bundle: {case, bundle: its sha256 as received, record: number}. Gives {case, state}.

    record: of a record of kind "case" that the court sealed on its own chain, which states case and bundle. Raises
    ContractError WRONG_BUNDLE, NOT_ENTERED, ALREADY_ACKNOWLEDGED.
    """
    arguments.expect(args, "case", "bundle", "record")
    actor = access.authorise(ctx, "court.acknowledge")
    case = court_case.load(ctx, args["case"])
    court_case.require_court(actor, case)
    court_case.require_state(case, FILED)
    filing = court_case.unanswered(case)
    bundle = arguments.binary(args["bundle"], "bundle")
    if bundle != case["filings"][filing]["bundle"]:
        filed = case["filings"][filing]["bundle"].hex()
        raise ContractError("WRONG_BUNDLE", f"the bundle filed is {filed}: fetch that one and look at it again")
    number = arguments.text(args["record"], "record")
    record = _entered(ctx, case, bundle, number)
    said = {"way": "record", "record": record, "number": number, **court_case.stamp(ctx, actor)}
    filings = court_case.acknowledged(case, filing, said)
    court_case.advance(ctx, case, actor, "acknowledge", ACKNOWLEDGED, filings=filings)
    return {"case": case["id"], "state": ACKNOWLEDGED}


def ask(ctx: Context, args: Args) -> Value:
    """The court asks for more evidence: {case, text}. Gives {case, state}."""
    arguments.expect(args, "case", "text")
    return _decided(ctx, args, "ask", ASKED, (ACKNOWLEDGED,))


def accept(ctx: Context, args: Args) -> Value:
    """The court takes the case on: {case, number: its docket number, text (optional)}. Gives {case, state}."""
    arguments.expect(args, "case", "number", optional=("text",))
    number = arguments.text(args["number"], "number")
    return _decided(ctx, args, "accept", ACCEPTED, (ACKNOWLEDGED,), number=number)


def reject(ctx: Context, args: Args) -> Value:
    """The court does not: {case, code: one of court_case.REJECTIONS, text}. Gives {case, state}.

    NOT_ENFORCEABLE of an application for enforcement opens the way of a suit.
    """
    arguments.expect(args, "case", "code", "text")
    code = args["code"]
    if code not in REJECTIONS:
        raise ContractError("WRONG_ARGUMENT", f"code must be one of {', '.join(REJECTIONS)}")
    return _decided(ctx, args, "reject", REJECTED, (ACKNOWLEDGED, ASKED), code=code)


def hand_in_acknowledged(ctx: Context, args: Args) -> Value:
    """Take back what a court without a node answered on paper: {case, answer: "received"|"asks"|"accepts"|"rejects",
    number, code, text, day, and key + signature | ca: {certificates, signature, algorithm}}. Gives {case, state}.

    The signature is over `court_answer.paper`. By the creditor. The first answer to a filing acknowledges it,
    whatever else it says.
    """
    arguments.expect(args, "case", "answer", "number", "code", "text", "day", optional=("key", "signature", "ca"))
    if ("key" in args) != ("signature" in args):
        raise ContractError("MISSING_ARGUMENT", "key and signature belong together: give both")
    actor = access.authorise(ctx, "court.hand_in_acknowledged")
    case = court_case.load(ctx, args["case"])
    court_case.require_creditor(actor, case)
    if case["delivery"] != HAND_IN:
        raise ContractError(
            "NOT_HANDED_IN", f"the case went to {case['court'] or 'nobody'} by node: it answers there"
        )
    answer = court_answer.read(args)
    newest = len(case["filings"]) - 1
    fresh = case["filings"][newest]["acknowledged"] is None
    if answer.answer == court_answer.RECEIVED and not fresh:
        court_case.unanswered(case)
    court_case.require_state(case, FILED, ACKNOWLEDGED, *((ASKED,) if answer.answer == court_answer.REJECTS else ()))
    text = court_answer.paper(ctx.network_id, case, newest, answer)
    signature = court_answer.signed(ctx, case, args, text)
    ctx.put("paper", ctx.tx_id, value={"text": text, **signature, "case": case["id"], "filing": newest})
    said = {"way": "paper", "paper": ctx.tx_id, **court_case.stamp(ctx, actor)}
    filings = court_case.acknowledged(case, newest, said) if fresh else case["filings"]
    state = court_answer.STATE_AFTER[answer.answer]
    _note_refusal(ctx, case, answer.code)
    note = ": ".join(part for part in (answer.answer, answer.code, answer.text) if part)
    changes = {"filings": filings, "number": answer.number or case["number"]}
    court_case.advance(ctx, case, actor, "hand_in_acknowledged", state, note, **changes)
    return {"case": case["id"], "state": state}


METHODS: Final[dict[str, Method]] = {
    "open": open_case,
    "file": file,
    "supplement": supplement,
    "withdraw": withdraw,
    "acknowledge": acknowledge,
    "ask": ask,
    "accept": accept,
    "reject": reject,
    "hand_in_acknowledged": hand_in_acknowledged,
}


def _decided(
    ctx: Context, args: Args, step: str, state: str, after: tuple[str, ...], *, number: str = "", code: str = ""
) -> Value:
    """One of the court's own steps."""
    actor = access.authorise(ctx, f"court.{step}")
    case = court_case.load(ctx, args["case"])
    court_case.require_court(actor, case)
    court_case.require_state(case, *after)
    text = arguments.text(args["text"], "text", MAX_TEXT) if "text" in args else ""
    _note_refusal(ctx, case, code)
    said = f"{code}: {text}" if code else text
    court_case.advance(ctx, case, actor, step, state, said, number=number or case["number"])
    return {"case": case["id"], "state": state}


def _note_refusal(ctx: Context, case: dict[str, Any], code: str) -> None:
    if code == NOT_ENFORCEABLE and case["route"] == ENFORCEMENT:
        ctx.put("enforcement_refused", case["deed"], value=case["id"])


def _respondents(args: Args) -> list[str] | None:
    if "respondents" not in args:
        return None
    listed = arguments.sequence(args["respondents"], "respondents", 1, MAX_RESPONDENTS)
    found = sorted(arguments.text(entry, "a respondent") for entry in listed)
    if len(set(found)) != len(found):
        raise ContractError("WRONG_ARGUMENT", "respondents must name each only once")
    return found


def _require_owed(ctx: Context, application: bytes, found: Route) -> None:
    """Something is owed, and in a suit overdue: a certificate has said so of a claim that is enforced.

    What a certificate charges for delay and costs is owed still when all that was lent is paid back.
    """
    line = ctx.read(CONSORTIUM, "credit", "line", application)
    rows = ctx.read(CONSORTIUM, "credit", "schedule", application) or []
    if line is None or not (rows or _is_charged(ctx, found)):
        raise ContractError("NOTHING_OWED", "nothing is owed on this application: there is no claim to bring")
    if found.letter != ENFORCEMENT and rows[0][1] > ctx.time:
        raise ContractError("NOT_OVERDUE", f"the next instalment is due on {rows[0][0]}: a claim follows a default")


def _require_unaccepted(ctx: Context, cases: list[bytes], found: Route) -> None:
    """One court enforces a certificate. Raises ContractError CASE_ACCEPTED."""
    for identity in cases if found.letter == ENFORCEMENT else ():
        case = ctx.get("case", identity)
        if case["state"] == ACCEPTED and case["certificate"] == found.certificate:
            court = case["court"] or case["court_name"]
            raise ContractError("CASE_ACCEPTED", f"{court} enforces this certificate already, case {case['number']}")


def _is_charged(ctx: Context, found: Route) -> bool:
    """Whether the certificate of an enforcement has more in it than principal and ordinary interest."""
    if found.letter != ENFORCEMENT:
        return False
    claim = ctx.read(CONSORTIUM, "notary", "certificate", found.deed)["claim"]
    return bool(claim["penalty"] + claim["compound"] + claim["costs"])


def _require_same_route(ctx: Context, case: dict[str, Any]) -> None:
    now = route(ctx, case["application"], case["respondents"])
    if (now.letter, now.certificate) != (case["route"], case["certificate"]):
        code, text = now.reasons[0]
        raise ContractError(
            "ROUTE_CHANGED", f"the case was opened for route {case['route']}, now {code}: {text}; withdraw, open anew"
        )


def _court(ctx: Context, value: Value) -> str:
    court = arguments.member_id(value, "court")
    if access.member(ctx, court)["role"] != "court" or court not in access.member_ids(ctx):
        raise ContractError(
            "NOT_A_COURT", f"{court} is no court: see `tally query members`, or name one (court_name)"
        )
    return court


def _require_reader(ctx: Context, creditor: str, court: str) -> None:
    """The court can fetch the bundle: custody's rules name it for its kind, and it has a key to open it with."""
    if not court:
        raise ContractError("NOT_A_COURT", "only a member is reached through custody: hand the bundle in (hand_in)")
    if not registry.encryption_keys(ctx, MEMBER, court):
        raise ContractError("NO_ENCRYPTION_KEY", f"{court} has no valid encryption key: hand the bundle in (hand_in)")
    kind = document_kind(ctx, court)
    rules = (ctx.read(CONSORTIUM, "custody", "readers", creditor) or {"rules": {}})["rules"]
    if court not in readers_of(rules, [kind]):
        raise ContractError("NOT_A_READER", f"name {court} as reader of kind {kind!r} first: custody.name_readers")


def document_kind(ctx: Context, court: str) -> str:
    """Kind of the bundles for a court in the creditor's vault."""
    return court_case.document_kind(court, ctx.hash(["tally/court_kind", 1, court]))


def _filing(ctx: Context, args: Args) -> dict[str, Value]:
    bundle = arguments.binary(args["bundle"], "bundle")
    size = arguments.integer(args["size"], "size", 1, MAX_BUNDLE)
    when = {"height": ctx.height, "time": ctx.time, "transaction": ctx.tx_id}
    return {"bundle": bundle, "size": size, **when, "acknowledged": None}


def _entered(ctx: Context, case: dict[str, Any], bundle: bytes, number: str) -> bytes:
    """Id of the court's own record of the filing. Raises ContractError NOT_ENTERED."""
    court = case["court"]
    entry = ctx.read(court, "records", "record", RECORD_KIND, court, number)
    if entry is not None:
        fields = parse(entry["record"]).fields
        if fields.get("case") == case["id"].hex() and fields.get("bundle") == bundle.hex():
            record: bytes = entry["id"]
            return record
    raise ContractError(
        "NOT_ENTERED",
        f"chain {court} has no record {RECORD_KIND} {number!r} of {court} that states this case and bundle: seal it",
    )
