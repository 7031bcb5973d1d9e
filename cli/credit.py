"""``tally credit``: from application to disbursement, in the lender's words. The lender decides, always."""

from __future__ import annotations

from typing import Any, Final

import click

from cli import credit_words, lending, party, receivables, records
from cli.command import Settings, group
from cli.errors import CliError, not_found
from cli.loans import stored
from cli.output import facts, money, show, table
from cli.session import Session, submit
from cli.values import digest, is_digest, minor_units

command = group("credit", "Credit: from application to repayment, receivables pledged, and every number explained.")

STORED: Final = ("assessment", "application", "decision", "disbursement")

for part in (*lending.COMMANDS, *receivables.COMMANDS):
    command.add_command(part)


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
        found = stored(session, "assessment", bytes.fromhex(state["id"]))
    show(settings, {**found, "transaction": state}, credit_words.assessment(found))


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
        assessed = [stored(session, "assessment", identity) for identity in ids]
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
