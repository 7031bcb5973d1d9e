"""``tally credit`` for single bills: pledge, release, notify and acknowledge an assignment, dispute and resolve."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import click

from cli.command import EXISTING_FILE, Settings, TallyCommand
from cli.errors import FAILED, CliError, not_found
from cli.loans import require_lender, stored
from cli.output import facts, money, read_file, show
from cli.session import Session, submit
from cli.values import digest

MAX_NOTICE: Final = 16 * 1024 * 1024

_NUMBER = click.argument("number", metavar="NUMBER")
_KIND = click.option("--kind", default="invoice", show_default=True, help="kind of the bill")
_ISSUER = click.option("--issuer", help="who issued it, where several did")


@click.command(
    "pledge", cls=TallyCommand, signs=True, example="tally credit pledge 5f0c… MVW-INV-77 --home net --as lender"
)
@click.argument("application", metavar="APPLICATION")
@_NUMBER
@_KIND
@_ISSUER
@click.option("--registration", help="its number in the public register of pledges")
@click.pass_obj
def pledge(
    settings: Settings, application: str, number: str, kind: str, issuer: str | None, registration: str | None
) -> None:
    """Pledge a matched bill to a line. One that backs another loan is refused (exit code 4) and alerted to."""
    identity = digest(application, "application")
    with Session(settings) as session:
        require_lender(session, stored(session, "application", identity))
        args = {"application": identity, **_bill(session, kind, number, issuer)}
        args |= {"registration": registration} if registration else {}
        state = submit(session, chain="consortium", contract="credit", method="pledge", args=args)
        line = stored(session, "line", identity)
    result = state["receipt"]["result"]
    if result["held_by_other"]:
        raise CliError(
            f"{kind} {number} backs another loan already: it is not pledged, and both lenders have been alerted",
            code="DOUBLE_PLEDGE",
            exit_code=FAILED,
            data={"transaction": state},
        )
    said = "was pledged before" if result["known"] else "pledged"
    lines = facts(
        [("bill", f"{kind} {number}"), ("amount", money(result["amount"], line["scale"], line["currency"]))]
    )
    show(settings, {**args, **result, "transaction": state}, [*lines, said])


@click.command(
    "release", cls=TallyCommand, signs=True, example="tally credit release MVW-INV-77 --home net --as lender"
)
@_NUMBER
@_KIND
@_ISSUER
@click.pass_obj
def release(settings: Settings, number: str, kind: str, issuer: str | None) -> None:
    """Give a pledged bill back: it may then back another loan."""
    _on_bill(settings, "release", kind, number, issuer, {}, "released")


@click.command(
    "notify",
    cls=TallyCommand,
    signs=True,
    example="tally credit notify MVW-INV-77 --date 2026-03-02 --text notice.pdf --home net --as lender",
)
@_NUMBER
@_KIND
@_ISSUER
@click.option("--date", required=True, metavar="YYYY-MM-DD", help="the day the debtor was told")
@click.option("--text", type=EXISTING_FILE, help="the notice: its sha256 is stored, not the file")
@click.option("--registration", help="its number in the public register")
@click.pass_obj
def notify(
    settings: Settings,
    number: str,
    kind: str,
    issuer: str | None,
    date: str,
    text: Path | None,
    registration: str | None,
) -> None:
    """Say that the debtor was told of the assignment, by a notice or by an entry in the public register."""
    if text is None and not registration:
        raise CliError("an assignment is notified by --text FILE, --registration NUMBER, or both")
    more: dict[str, Any] = {"date": date}
    more |= {} if text is None else {"text_hash": hashlib.sha256(read_file(text, MAX_NOTICE)).digest()}
    more |= {"registration": registration} if registration else {}
    _on_bill(settings, "notify_assignment", kind, number, issuer, more, f"assignment notified on {date}")


@click.command(
    "acknowledge", cls=TallyCommand, signs=True, example="tally credit acknowledge MVW-INV-77 --home net --as marlow"
)
@_NUMBER
@_KIND
@_ISSUER
@click.pass_obj
def acknowledge(settings: Settings, number: str, kind: str, issuer: str | None) -> None:
    """Take note, as the debtor with its own key, that a bill is assigned and will be paid to the lender."""
    _on_bill(settings, "acknowledge", kind, number, issuer, {}, "assignment acknowledged")


@click.command(
    "dispute",
    cls=TallyCommand,
    signs=True,
    example='tally credit dispute MVW-INV-77 --reason "half of it never came" --home net --as marlow',
)
@_NUMBER
@_KIND
@_ISSUER
@click.option("--reason", required=True, help="why it is not owed, one line")
@click.pass_obj
def dispute(settings: Settings, number: str, kind: str, issuer: str | None, reason: str) -> None:
    """Say that a bill is not owed: its counterparty, or a member with a paper of its trade."""
    _on_bill(settings, "dispute", kind, number, issuer, {"reason": reason}, "disputed")


@click.command(
    "resolve",
    cls=TallyCommand,
    signs=True,
    example="tally credit resolve MVW-INV-77 --upheld --home net --as kestrel",
)
@_NUMBER
@_KIND
@_ISSUER
@click.option("--upheld", "outcome", flag_value="upheld", help="it is not owed: the enterprise concedes")
@click.option("--dismissed", "outcome", flag_value="dismissed", help="it is owed: who disputes withdraws")
@click.option("--note", "remark", help="one line")
@click.pass_obj
def resolve(
    settings: Settings, number: str, kind: str, issuer: str | None, outcome: str | None, remark: str | None
) -> None:
    """End a dispute: withdraw, concede, or decide it as regulator, court or notary."""
    if outcome is None:
        raise CliError("say how the dispute ends: --upheld or --dismissed")
    more = {"outcome": outcome} | ({"note": remark} if remark else {})
    _on_bill(settings, "resolve", kind, number, issuer, more, f"dispute {outcome}")


COMMANDS: Final = (pledge, release, notify, acknowledge, dispute, resolve)


def _on_bill(
    settings: Settings, method: str, kind: str, number: str, issuer: str | None, more: dict[str, Any], said: str
) -> None:
    """Call a method that names a bill, and say what came of it."""
    with Session(settings) as session:
        args = {**_bill(session, kind, number, issuer), **more}
        state = submit(session, chain="consortium", contract="credit", method=method, args=args)
    result = state["receipt"]["result"]
    status = result.get("status")
    before = " (it was before)" if result.get("known") else ""
    still = " (others still dispute it)" if method == "resolve" and status == "open" else ""
    show(settings, {**args, **result, "transaction": state}, [f"{kind} {number}: {said}{before}{still}"])


def _bill(session: Session, kind: str, number: str, issuer: str | None) -> dict[str, str]:
    """The natural key of the one bill meant. Raises CliError where there is none, or several issued it."""
    issuers = sorted({row["issuer"] for row in session.client.records(kind, number, issuer=issuer)})
    if not issuers:
        raise not_found(f"no chain has {kind} {number!r}: check the number, or have it ingested first")
    if len(issuers) > 1:
        raise CliError(f"{kind} {number!r} was issued by several: choose with --issuer")
    return {"kind": kind, "issuer": issuers[0], "number": number}
