"""``tally credit``: from application to disbursement, in the lender's words. The lender decides, always."""

from __future__ import annotations

from typing import Any, Final

import click

from cli import credit_words, loans, party, records
from cli.command import Settings, group
from cli.errors import REJECTED, CliError, not_found
from cli.output import facts, money, show, table
from cli.session import Session, submit
from cli.values import digest, is_digest, minor_units

command = group("credit", "Credit: apply, choose, confirm, assess, decide, disburse, show, explain.")

STORED: Final = ("assessment", "application", "decision", "disbursement")

_TEMPLATE = click.option("--template", default="general-trade", show_default=True, help="template of the loan record")


@command.command(
    "apply",
    signs=True,
    example="tally credit apply kestrel --contract MVW-2026-014-C1 --lender lender --home net --as kestrel",
)
@click.argument("enterprise", metavar="PARTY")
@click.option("--contract", "number", required=True, help="number of the contract (or order) as sealed")
@click.option("--kind", type=click.Choice(["contract", "order"]), default="contract", show_default=True)
@click.option("--issuer", help="who issued it, where several did")
@click.option("--lender", help="member that is asked; without it the application waits for `tally credit choose`")
@click.option("--amount", help="how much is asked for, for example 50000.00, in the contract's currency")
@click.pass_obj
def apply(
    settings: Settings,
    enterprise: str,
    number: str,
    kind: str,
    issuer: str | None,
    lender: str | None,
    amount: str | None,
) -> None:
    """Apply for credit on a contract: the enterprise with its key, or procurement or erp while it has none."""
    with Session(settings) as session:
        found = _record(session, kind, number, issuer, None)
        args: dict[str, Any] = {"enterprise": enterprise, "contract": [kind, found["issuer"], number]}
        if lender is not None:
            args["lender"] = lender
        if amount is not None:
            args["amount"] = minor_units(amount, _scale(session, found), "--amount")
        state = submit(session, chain="consortium", contract="credit", method="apply", args=args)
    identity = state["receipt"]["result"]["id"]
    lines = facts([("application", identity), ("enterprise", enterprise), ("contract", number), ("lender", lender)])
    show(settings, {"id": identity, "transaction": state}, [*lines, f"Next: tally credit assess {identity}"])


@command.command("choose", signs=True, example="tally credit choose 5f0c… lender --home net --as kestrel")
@click.argument("application", metavar="APPLICATION")
@click.argument("lender", metavar="LENDER")
@click.pass_obj
def choose(settings: Settings, application: str, lender: str) -> None:
    """Name the lender of an application that was made without one (`tally match lender` finds one)."""
    args = {"application": digest(application, "application"), "lender": lender}
    with Session(settings) as session:
        state = submit(session, chain="consortium", contract="credit", method="choose", args=args)
    lines = facts([("application", application), ("lender", lender)])
    show(settings, {**args, "transaction": state}, [*lines, f"Next: tally credit assess {application}"])


@command.command(
    "confirm",
    signs=True,
    example="tally credit confirm contract MVW-2026-014-C1 --home net --as guarantor",
)
@click.argument("kind")
@click.argument("number")
@click.option("--issuer", help="who issued it, where several did")
@click.option("--chain", help="the member whose chain holds it, where several do")
@click.option("--field", "fields", multiple=True, help="stand for this field only; repeat; default all")
@click.pass_obj
def confirm(
    settings: Settings, kind: str, number: str, issuer: str | None, chain: str | None, fields: tuple[str, ...]
) -> None:
    """Stand for a record as an independent signer: its counterparty, or a member that did not seal it."""
    with Session(settings) as session:
        found = _record(session, kind, number, issuer, chain)
        args: dict[str, Any] = {
            "kind": kind,
            "issuer": found["issuer"],
            "number": number,
            "id": bytes.fromhex(found["id"]),
        }
        if fields:
            args["fields"] = list(fields)
        state = submit(session, chain="consortium", contract="credit", method="confirm", args=args)
    known = state["receipt"]["result"]["known"]
    said = "was confirmed before" if known else "confirmed"
    show(
        settings,
        {"record": found["id"], "known": known, "transaction": state},
        [f"{kind} {number}, {', '.join(fields) or 'all fields'}: {said} ({found['id']})"],
    )


@command.command("assess", signs=True, example="tally credit assess 5f0c… --home net --as lender")
@click.argument("application", metavar="APPLICATION")
@click.pass_obj
def assess(settings: Settings, application: str) -> None:
    """Compute ratings and initial limit from every chain, and show them with their reasons."""
    args = {"application": digest(application, "application")}
    with Session(settings) as session:
        state = submit(session, chain="consortium", contract="credit", method="assess", args=args, timeout_s=60)
        found = _stored(session, "assessment", bytes.fromhex(state["id"]))
    show(settings, {**found, "transaction": state}, credit_words.assessment(found))


@command.command(
    "decide",
    signs=True,
    example="tally credit decide 5f0c… --approve 90000.00 --term-days 90 --rate-bp 650 --home net --as lender",
)
@click.argument("application", metavar="APPLICATION")
@click.option("--approve", metavar="AMOUNT", help="amount to lend, for example 90000.00; at most the limit")
@click.option("--decline", is_flag=True, help="lend nothing")
@click.option("--note", "remark", help="why, one line")
@click.option("--loan-number", help="number of the loan record; default made from the application")
@click.option("--term-days", type=click.IntRange(min=1), help="for the loan record")
@click.option("--rate-bp", type=click.IntRange(min=0), help="interest a year in basis points, for the loan record")
@_TEMPLATE
@click.pass_obj
def decide(
    settings: Settings,
    application: str,
    approve: str | None,
    decline: bool,
    remark: str | None,
    loan_number: str | None,
    term_days: int | None,
    rate_bp: int | None,
    template: str,
) -> None:
    """Decide as the lender. An approval seals the loan record on the lender's own chain first, and cites it."""
    if (approve is None) is not decline:
        raise CliError("a decision is either --approve AMOUNT or --decline")
    identity = digest(application, "application")
    with Session(settings) as session:
        asked = _stored(session, "application", identity)
        assessed = _assessment_of(session, asked)
        args: dict[str, Any] = {"application": identity, "assessment": assessed["id"]}
        args |= {"decision": "decline" if decline else "approve"} | ({"note": remark} if remark else {})
        if approve is not None:
            amount = minor_units(approve, assessed["scale"], "--approve")
            _require_room(session, asked, assessed, amount)
            number = loan_number or loans.number_of(identity)
            fields = loans.fields_of(assessed, amount, term_days, rate_bp, None)
            loans.seal(session, assessed, number, fields, template)
            args |= {"amount": amount, "loan": [asked["lender"], number]}
        state = submit(session, chain="consortium", contract="credit", method="decide", args=args)
    result = state["receipt"]["result"]
    pairs = [("application", application), ("decision", result["id"]), ("state", result["state"])]
    if approve is not None:
        pairs += [
            ("amount", money(args["amount"], assessed["scale"], assessed["currency"])),
            ("loan", args["loan"][1]),
        ]
    value = {"application": identity, **result, "loan": args.get("loan"), "transaction": state}
    show(settings, value, facts(pairs))


@command.command("disburse", signs=True, example="tally credit disburse 5f0c… --home net --as lender")
@click.argument("application", metavar="APPLICATION")
@click.option("--amount", help="what was paid out, for example 40000.00; default all that was approved")
@click.option("--on", "paid_on", metavar="YYYY-MM-DD", help="day of the payment; default today, by block time")
@click.option("--loan-number", help="record of this payment; default the one of the decision")
@_TEMPLATE
@click.pass_obj
def disburse(
    settings: Settings,
    application: str,
    amount: str | None,
    paid_on: str | None,
    loan_number: str | None,
    template: str,
) -> None:
    """Say that the lender has paid out. The loan record gets its date of payment first, then it is cited.

    A further payment on the same approval needs a --loan-number of its own.
    """
    identity = digest(application, "application")
    with Session(settings) as session:
        asked = _stored(session, "application", identity)
        _require_lender(session, asked)
        if asked.get("decision") is None:
            raise _too_early(f"application {application} has no decision yet: tally credit decide")
        decision = _stored(session, "decision", asked["decision"])
        assessed = _stored(session, "assessment", decision["assessment"])
        number = loan_number or (decision["loan"][-1] if "loan" in decision else "")  # kind, issuer, number
        left = asked["approved"] - asked["disbursed"]
        paid = left if amount is None else minor_units(amount, assessed["scale"], "--amount")
        _require_open(session, asked, assessed, number, paid)
        fields = loans.fields_of(assessed, paid, None, None, paid_on or loans.today(session))
        before = loans.find(session, asked["lender"], number)
        fields = fields if before is None else {**before["record"][records.FIELDS], **fields}
        loans.seal(session, assessed, number, fields, template)
        args = {"application": identity, "loan": [asked["lender"], number]}
        state = submit(session, chain="consortium", contract="credit", method="disburse", args=args)
    result = state["receipt"]["result"]
    lines = facts(
        [
            ("application", application),
            ("disbursement", result["id"]),
            ("paid out", money(result["amount"], assessed["scale"], assessed["currency"])),
            ("in all", money(result["disbursed"], assessed["scale"], assessed["currency"])),
            ("on", fields["disbursed_on"]),
            ("loan", number),
        ]
    )
    show(settings, {"application": identity, **result, "loan": args["loan"], "transaction": state}, lines)


@command.command("show", reads=True, example="tally credit show GB-COH:99900217\ntally credit show 77aa…")
@click.argument("what", metavar="ENTERPRISE | ID")
@click.pass_obj
def show_credit(settings: Settings, what: str) -> None:
    """Show an enterprise's assessments, or one assessment, application, decision or disbursement by its id."""
    with Session(settings) as session:
        if is_digest(what):
            kind, found = _any(session, digest(what, "id"))
            show(settings, {"kind": kind, **found}, _words(kind, found))
            return
        entry = party.find(session, what)
        if entry is None:
            raise not_found(f"no enterprise is or has identifier {what!r}: see `tally party show`")
        ids = session.client.state("consortium", "credit", "enterprise", entry["id"]) or []
        assessed = [_stored(session, "assessment", identity) for identity in ids]
    rows = [
        [
            row["id"],
            row["contract"][2],
            money(row["limit"], row["scale"], row["currency"]),
            row["grade"],
            row["height"],
        ]
        for row in reversed(assessed)
    ]
    lines = facts([("enterprise", entry["id"]), ("name", entry["name"]), ("identifiers", entry["identifiers"])])
    lines += ["", *table(["assessment", "contract", "initial limit", "grade", "block"], rows)]
    show(settings, {"enterprise": entry, "assessments": assessed}, lines)


_EXPLAIN: Final = """\
tally credit explain GB-COH:99900217
tally credit explain 77aa… --records --at 1200"""


@command.command("explain", reads=True, example=_EXPLAIN)
@click.argument("what", metavar="ENTERPRISE | APPLICATION | ASSESSMENT")
@click.option("--at", type=click.IntRange(min=1), metavar="HEIGHT", help="as of this block; default the newest")
@click.option("--records", "with_records", is_flag=True, help="also each record and bill that the sums add up")
@click.pass_obj
def explain(settings: Settings, what: str, at: int | None, with_records: bool) -> None:
    """Show every number from record to limit, increments, what is available; it can be redone by hand."""
    from cli.explain import explain as explain_all

    explain_all(settings, what, at, with_records)


def _record(session: Session, kind: str, number: str, issuer: str | None, chain: str | None) -> dict[str, Any]:
    """The one sealed record meant. Raises CliError where there is none, or more than one."""
    found = [row for row in session.client.records(kind, number, issuer=issuer) if chain in (None, row["chain"])]
    if not found:
        raise not_found(f"no chain has {kind} {number!r}: check the number, or have it ingested first")
    if len({row["issuer"] for row in found}) > 1:
        raise CliError(f"{kind} {number!r} was issued by several: choose with --issuer")
    if len({row["id"] for row in found}) > 1:
        raise CliError(
            f"chains {', '.join(row['chain'] for row in found)} hold {kind} {number!r}: choose with --chain"
        )
    return found[0]


def _scale(session: Session, found: dict[str, Any]) -> int:
    """Decimals of the currency of a contract, by its template."""
    record = found["record"]
    template = session.client.state("consortium", "credit", "template", record[7], record[8])
    currency = record[records.FIELDS].get("currency", "")
    scale = (template or {}).get("currencies", {}).get(currency)
    if scale is None:
        raise CliError(f"the template names no decimals for currency {currency!r}: leave --amount out")
    return int(scale)


def _stored(session: Session, kind: str, identity: bytes) -> dict[str, Any]:
    found: dict[str, Any] | None = session.client.state("consortium", "credit", kind, identity)
    if found is None:
        raise not_found(f"there is no {kind} {identity.hex()}: check the id")
    return found


def _assessment_of(session: Session, asked: dict[str, Any]) -> dict[str, Any]:
    """The newest assessment of an application: what a decision follows."""
    if not asked["assessments"]:
        raise CliError(
            f"application {asked['id'].hex()} has no assessment yet: tally credit assess",
            code="WRONG_STATE",
            exit_code=3,
        )
    return _stored(session, "assessment", asked["assessments"][-1])


def _require_room(session: Session, asked: dict[str, Any], assessed: dict[str, Any], amount: int) -> None:
    """Refuse before a loan record is sealed for what the contract would not take anyway."""
    if asked["state"] != "assessed":
        raise _too_early(f"the application is {asked['state']}: a decision follows an assessment")
    if not 0 < amount <= assessed["limit"]:
        limit = money(assessed["limit"], assessed["scale"], assessed["currency"])
        raise CliError(
            f"the limit is {limit}: approve more than 0 and at most that", code="OVER_LIMIT", exit_code=REJECTED
        )
    _require_lender(session, asked)


def _require_open(session: Session, asked: dict[str, Any], assessed: dict[str, Any], number: str, paid: int) -> None:
    """Refuse a payment before the loan record of an earlier one would be changed for it."""
    left = asked["approved"] - asked["disbursed"]
    if not 0 < paid <= left:
        said = money(left, assessed["scale"], assessed["currency"])
        raise CliError(
            f"{said} of what was approved is left to pay out: give an amount up to that",
            code="OVER_APPROVED",
            exit_code=REJECTED,
        )
    cited = session.client.state("consortium", "credit", "loan_cited", asked["lender"], asked["lender"], number)
    if cited is not None and cited["disbursed"]:
        raise CliError(
            f"loan {number} is paid out already: give the record of a further payment a --loan-number",
            code="LOAN_CITED",
            exit_code=REJECTED,
        )


def _require_lender(session: Session, asked: dict[str, Any]) -> None:
    if session.owner["id"] != asked["lender"]:
        raise CliError(
            f"the application is to {asked['lender']}, not to {session.owner['id']}: that member decides",
            code="NOT_YOUR_APPLICATION",
            exit_code=REJECTED,
        )


def _too_early(message: str) -> CliError:
    return CliError(message, code="WRONG_STATE", exit_code=REJECTED)


def _any(session: Session, identity: bytes) -> tuple[str, dict[str, Any]]:
    for kind in STORED:
        found = session.client.state("consortium", "credit", kind, identity)
        if found is not None:
            return kind, found
    raise not_found(f"no {', '.join(STORED)} has id {identity.hex()}: check it")


def _words(kind: str, found: dict[str, Any]) -> list[str]:
    if kind == "assessment":
        return credit_words.assessment(found)
    return credit_words.application(found) if kind == "application" else credit_words.entry(kind, found)
