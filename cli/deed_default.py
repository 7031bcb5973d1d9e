"""``tally notary`` after a default: default, answer, verify, issue, refuse, executed.

What is overdue and what is owed is read from the chain by the contract's own functions, shown, and signed for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from cli.command import EXISTING_FILE, Settings, TallyCommand
from cli.deed_words import claim_in_words
from cli.deeds import DAY, DEED, MAX_TEXT, call, deed_of, end, kept, refused_by_contract
from cli.errors import CliError
from cli.loans import today
from cli.output import facts, note, read_file, show
from cli.session import Session
from cli.values import digest, minor_units

_COST = click.option(
    "--cost", "costs", multiple=True, metavar="CODE:AMOUNT[:TEXT]", help="a cost of collection; repeat"
)
_TEXT = click.option("--text", required=True, help="one line")


@click.command(
    "default",
    cls=TallyCommand,
    signs=True,
    example="tally notary default 9b1d… --accelerate --cost lawyer:500.00 --home net --as lender",
)
@DEED
@click.option("--as-of", metavar=DAY, help="day of the computation; default today, by block time")
@click.option("--accelerate", is_flag=True, help="call in what is not due yet, where the terms allow it")
@_COST
@click.pass_obj
def default(settings: Settings, deed: str, as_of: str | None, accelerate: bool, costs: tuple[str, ...]) -> None:
    """Claim default, as the creditor: apply for an execution certificate over what is overdue on the chain."""
    with Session(settings) as session:
        found = deed_of(session, digest(deed, "deed"))
        args = {
            "deed": found["id"],
            "as_of": as_of or today(session, found["zone"]),
            "unpaid": _overdue(session, found),
            "accelerate": accelerate,
            "costs": [_cost(item, found["scale"]) for item in costs],
        }
        state = call(session, "claim_default", args)
        result = state["receipt"]["result"]
        entry = session.client.state("consortium", "notary", "default", found["id"], result["claim"])
    lines = claim_in_words(entry["claim"], found["scale"], found["currency"])
    value = {"deed": found["id"], **result, "transaction": state}
    show(settings, value, [*lines, f"Next: the notary asks the obligors, then tally notary verify {deed}"])


@click.command(
    "answer",
    cls=TallyCommand,
    signs=True,
    example="tally notary answer 9b1d… --denies --text 'paid on 3 March' --home net --as kestrel",
)
@DEED
@click.option("--admits/--denies", required=True, default=None, help="whether what is claimed is owed")
@_TEXT
@click.option("--evidence", type=EXISTING_FILE, help="a document that shows it; its hash goes on the chain")
@click.pass_obj
def answer(settings: Settings, deed: str, admits: bool, text: str, evidence: Path | None) -> None:
    """Answer a claim, as the debtor or a guarantor with its own key."""
    with Session(settings) as session:
        found = deed_of(session, digest(deed, "deed"))
        args: dict[str, Any] = {"deed": found["id"], "admits": admits, "text": text}
        if evidence is not None:
            args["evidence"] = kept(session, read_file(evidence, MAX_TEXT))
        state = call(session, "answer", args)
    result = state["receipt"]["result"]
    lines = facts([("deed", deed), ("answer", "admits" if admits else "denies"), ("text", text)])
    show(settings, {"deed": found["id"], **result, "transaction": state}, lines)


@click.command(
    "verify",
    cls=TallyCommand,
    signs=True,
    example="tally notary verify 9b1d… --outcome unpaid --record work.pdf --text 'no answer' --home net --as office",
)
@DEED
@click.option("--outcome", required=True, type=click.Choice(["unpaid", "paid", "disputed", "unverified"]))
@click.option("--record", type=EXISTING_FILE, required=True, help="the work record: kept in your vault")
@_TEXT
@click.option("--asked-on", metavar=DAY, help="the day all obligors were asked; default the day of the claim")
@click.option("--answered", "answered", multiple=True, metavar="ID", help="who answered in the agreed way; repeat")
@click.option(
    "--objection",
    "objections",
    multiple=True,
    metavar="ID:upheld|dismissed:TEXT",
    help="what an obligor objected and what came of it; repeat",
)
@click.pass_obj
def verify(settings: Settings, /, deed: str, record: Path, **given: Any) -> None:
    """Say what asking the obligors brought, as the notary: the time to answer is over, or all have answered."""
    data = read_file(record, MAX_TEXT)
    with Session(settings) as session:
        session.unlock()
        found = deed_of(session, digest(deed, "deed"))
        who = _obligors(found)
        args = {
            "deed": found["id"],
            "outcome": given["outcome"],
            "text": given["text"],
            "contacts": _contacts(session, found, given["asked_on"], given["answered"]),
            "objections": [_objection(item, who) for item in given["objections"]],
            "record": kept(session, data),
        }
        state = call(session, "verify_performance", args)
    result = state["receipt"]["result"]
    lines = facts([("deed", deed), ("state", result["state"]), ("outcome", result["outcome"])])
    show(settings, {"deed": found["id"], **result, "record": args["record"], "transaction": state}, lines)


@click.command(
    "issue",
    cls=TallyCommand,
    signs=True,
    example="tally notary issue 9b1d… --number 2026-E-4 --home net --as office",
)
@DEED
@click.option("--number", required=True, help="number of the certificate in your register")
@click.option("--as-of", metavar=DAY, help="day of the computation; default today, by block time")
@click.option("--respondent", "respondents", multiple=True, metavar="ID", help="against whom; default every obligor")
@click.option("--total", metavar="AMOUNT", help="refuse unless the chain's amounts add up to this")
@_COST
@click.pass_obj
def issue(
    settings: Settings,
    deed: str,
    number: str,
    as_of: str | None,
    respondents: tuple[str, ...],
    total: str | None,
    costs: tuple[str, ...],
) -> None:
    """Issue the execution certificate, as the notary, over the amounts that the chain gives. Costs only as named."""
    with Session(settings) as session:
        found = deed_of(session, digest(deed, "deed"))
        who = _obligors(found)
        for identity in respondents:
            if identity not in who:
                raise CliError(f"{identity} is no obligor of this deed: {', '.join(who)} are")
        args: dict[str, Any] = {"deed": found["id"], "number": number}
        args["as_of"] = as_of or today(session, found["zone"])
        args["respondents"] = [[who[identity], identity] for identity in respondents or who]
        args["costs"] = [_cost(item, found["scale"]) for item in costs]
        claim = _owed(session, found, args["as_of"], args["costs"])
        if total is not None and minor_units(total, found["scale"], "--total") != claim["total"]:
            raise CliError(f"--total {total} is not what the chain's amounts add up to: {claim['total']} minor units")
        parts = ("principal", "interest", "penalty", "compound", "costs", "total")
        args["amounts"] = {part: claim[part] for part in parts}
        lines = claim_in_words(claim, found["scale"], found["currency"])
        if not settings.json:
            for line in lines:
                note(line)
        state = call(session, "issue", args)
    result = state["receipt"]["result"]
    said = [("certificate", result["id"]), ("number", number), ("court may be asked until", result["apply_by"])]
    value = {"deed": found["id"], **result, "amounts": args["amounts"], "transaction": state}
    show(settings, value, facts(said))


@click.command(
    "refuse",
    cls=TallyCommand,
    signs=True,
    example="tally notary refuse 9b1d… --reason DISPUTED --text 'a receipt was shown' --home net --as office",
)
@DEED
@click.option(
    "--reason",
    required=True,
    type=click.Choice(
        ["CONSENT_DEFECT", "CONTENT_UNCLEAR", "UNLAWFUL", "DISPUTED", "NOT_VERIFIED", "PERFORMED", "OTHER"]
    ),
)
@_TEXT
@click.pass_obj
def refuse(settings: Settings, deed: str, reason: str, text: str) -> None:
    """Refuse to countersign or to certify, as the notary. PERFORMED ends the claim only, any other leaves a suit."""
    end(settings, "refuse", deed, {"reason": reason, "text": text})


@click.command(
    "executed",
    cls=TallyCommand,
    signs=True,
    example="tally notary executed 9b1d… --amount 91204.50 --reference '(2026) 12' --home net --as lender",
)
@DEED
@click.option("--amount", required=True, help="what was obtained, for example 91204.50")
@click.option("--reference", required=True, help="the court's number of the case")
@click.option("--on", "day", metavar=DAY, help="day of it; default today, by block time")
@click.option("--evidence", type=EXISTING_FILE, help="what shows it: kept in your vault")
@click.pass_obj
def executed(
    settings: Settings, deed: str, amount: str, reference: str, day: str | None, evidence: Path | None
) -> None:
    """Record that the certificate was enforced, as the creditor or a court."""
    with Session(settings) as session:
        session.unlock()
        found = deed_of(session, digest(deed, "deed"))
        args: dict[str, Any] = {"deed": found["id"], "amount": minor_units(amount, found["scale"], "--amount")}
        args |= {"on": day or today(session, found["zone"]), "reference": reference}
        if evidence is not None:
            args["evidence"] = kept(session, read_file(evidence, MAX_TEXT))
        state = call(session, "executed", args)
    result = state["receipt"]["result"]
    lines = facts([("deed", deed), ("state", result["state"]), ("reference", reference)])
    show(settings, {"deed": found["id"], **result, "transaction": state}, lines)


COMMANDS: Final = (default, answer, verify, issue, refuse, executed)


def _obligors(deed: dict[str, Any]) -> dict[str, str]:
    """Whether each obligor is a member or a party, by id; the debtor first."""
    return {deed["debtor"]: "party", **{row["id"]: row["owner"] for row in deed["guarantors"]}}


def _overdue(session: Session, deed: dict[str, Any]) -> list[list[Any]]:
    """[due, disbursement] of the instalments whose days of grace are over at the newest block."""
    from contracts.repayments import DEADLINE, DUE, PAID_OUT

    now = session.client.status()["time"]
    rows = session.client.state("consortium", "credit", "schedule", deed["application"]) or []
    return [[row[DUE], row[PAID_OUT]] for row in rows if row[DEADLINE] <= now]


def _owed(session: Session, deed: dict[str, Any], as_of: str, costs: list[dict[str, Any]]) -> dict[str, Any]:
    """The claim as the contract will compute it. Raises CliError with its code where it will refuse."""
    from cli.state_view import StateView
    from contracts import claims
    from contracts.enforceable_default import costs_of, debt
    from contracts.errors import ContractError

    if not deed["claims"]:
        raise CliError("no default was claimed under this deed: tally notary default comes first", code="WRONG_STATE")
    view = StateView(session.client, session.client.status()["height"], contract="notary")
    claimed = view.read("consortium", "notary", "default", deed["id"], deed["claims"])
    try:
        return claims.as_value(debt(view, deed, as_of, claimed["accelerated_on"], costs_of(costs)))
    except ContractError as error:
        raise refused_by_contract(error) from None


def _contacts(
    session: Session, deed: dict[str, Any], asked_on: str | None, answered: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Everybody asked on one day in the deed's way; the note says which way that was."""
    from contracts.enforceable_deed import day_of

    who = _obligors(deed)
    for identity in answered:
        if identity not in who:
            raise CliError(f"--answered {identity}: no obligor of this deed; {', '.join(who)} are")
    if asked_on is None:
        claimed = session.client.state("consortium", "notary", "default", deed["id"], deed["claims"])
        if claimed is None:
            raise CliError(
                "no default was claimed under this deed: tally notary default comes first", code="WRONG_STATE"
            )
        asked_on = day_of(claimed["time"], deed["zone"])
    way = deed["verification"]["method"]
    return [
        {"owner": owner, "id": identity, "asked_on": asked_on, "answered": identity in answered, "note": f"by {way}"}
        for identity, owner in who.items()
    ]


def _objection(text: str, who: dict[str, str]) -> dict[str, Any]:
    parts = text.split(":", 2)
    if len(parts) != 3 or parts[1] not in ("upheld", "dismissed") or parts[0] not in who:
        raise CliError(f"--objection {text!r}: write ID:dismissed:what was said, ID one of {', '.join(who)}")
    return {"owner": who[parts[0]], "id": parts[0], "text": parts[2], "upheld": parts[1] == "upheld"}


def _cost(text: str, scale: int) -> dict[str, Any]:
    code, _, rest = text.partition(":")
    amount, _, words = rest.partition(":")
    return {"code": code, "text": words or code, "amount": minor_units(amount, scale, "--cost")}
