"""``tally court``: which way a claim goes, filing it, and what the court says; for creditor and court alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli import court_inbox, court_work
from cli.command import EXISTING_FILE, FILE, Settings, group
from cli.court_documents import COMMANDS as DOCUMENT_COMMANDS
from cli.court_paper import COMMANDS as PAPER_COMMANDS
from cli.errors import CliError
from cli.output import facts, moment, show, table, write_file
from cli.session import Session
from cli.values import digest

command = group("court", "A claim before a court: route, open, file, fetch, acknowledge, decide, hand in, take back.")

_APPLICATION = click.argument("application", metavar="APPLICATION")
_CASE = click.argument("case_id", metavar="CASE")
_BUNDLE = click.argument("bundle", type=EXISTING_FILE)
_RESPONDENTS = click.option(
    "--respondent", "respondents", multiple=True, metavar="ID", help="against whom; default all bound; repeat"
)


@command.command("route", reads=True, example="tally court route 5f0c… --home net --as lender")
@_APPLICATION
@_RESPONDENTS
@click.pass_obj
def route(settings: Settings, application: str, respondents: tuple[str, ...]) -> None:
    """Say which way a claim goes, enforcement or suit, and why; from the state of the newest block."""
    from cli.state_view import StateView
    from contracts import court_route
    from contracts.errors import ContractError

    identity = digest(application, "application")
    with Session(settings) as session:
        view = StateView(session.client, session.client.status()["height"], contract="court")
        try:
            found = court_route.route(view, identity, respondents or None)
        except ContractError as error:
            raise CliError(error.message, code=error.code, exit_code=3) from None
    lines = court_work.route_lines(found.letter, found.reasons, found.respondents)
    if not found.open_now:
        lines.append("the notary's execution certificate comes first: tally notary default")
    show(settings, {"application": identity, **found._asdict(), "open_now": found.open_now}, lines)


@command.command("open", signs=True, example="tally court open 5f0c… --home net --as lender")
@_APPLICATION
@_RESPONDENTS
@click.pass_obj
def open_case(settings: Settings, application: str, respondents: tuple[str, ...]) -> None:
    """Open a case over what is owed on a loan, as its lender. The contract finds the route."""
    args: dict[str, Any] = {"application": digest(application, "application")}
    args |= {"respondents": sorted(respondents)} if respondents else {}
    with Session(settings) as session:
        state = court_work.call(session, "open", args)
        result = state["receipt"]["result"]
        case = court_work.case_of(session, result["case"])
    lines = [
        f"case {result['case']} is open",
        *court_work.route_lines(case["route"], case["reasons"], case["respondents"]),
    ]
    lines.append(f"next: tally evidence export {result['case']} -o bundle.zip")
    show(settings, {**result, "respondents": case["respondents"], "transaction": state}, lines)


@command.command("file", signs=True, example="tally court file 8a31… bundle.zip --court court --home net --as lender")
@_CASE
@_BUNDLE
@click.option(
    "--court", required=True, metavar="MEMBER", help="the court, a member with a node; else: tally court hand-in"
)
@click.pass_obj
def file(settings: Settings, case_id: str, bundle: Path, court: str) -> None:
    """File the bundle with a court that has a node: it lies in your vault, for that court alone to read."""
    data = court_work.bundle_of(bundle)
    court_work.files_of(data)
    with Session(settings) as session:
        session.unlock()
        case = court_work.case_of(session, case_id)
        court_work.make_readable(session, court)
        name = court_work.put_bundle(session, court, data)
        args = {"case": case["id"], "bundle": name, "size": len(data), "delivery": "custody", "court": court}
        state = court_work.call(session, "file", args)
    value = {**state["receipt"]["result"], "bundle": name, "size": len(data), "court": court, "transaction": state}
    lines = facts([("case", case_id), ("bundle", name), ("bytes", len(data)), ("court", court)])
    show(settings, value, [f"filed with {court}, which is told and can fetch it", *lines])


@command.command("supplement", signs=True, example="tally court supplement 8a31… more.zip --home net --as lender")
@_CASE
@_BUNDLE
@click.pass_obj
def supplement(settings: Settings, case_id: str, bundle: Path) -> None:
    """File a further bundle, which a court with a node has asked for."""
    data = court_work.bundle_of(bundle)
    court_work.files_of(data)
    with Session(settings) as session:
        session.unlock()
        case = court_work.case_of(session, case_id)
        if case["delivery"] == "hand_in":
            raise CliError("the case was handed in: tally court hand-in writes the next folder", code="HANDED_IN")
        court_work.make_readable(session, case["court"])
        name = court_work.put_bundle(session, case["court"], data)
        state = court_work.call(session, "supplement", {"case": case["id"], "bundle": name, "size": len(data)})
    result = state["receipt"]["result"]
    value = {**result, "bundle": name, "size": len(data), "transaction": state}
    show(settings, value, facts([("case", case_id), ("filing", result["filing"]), ("bundle", name)]))


@command.command("fetch", reads=True, example="tally court fetch 8a31… -o bundle.zip --home net --as court")
@_CASE
@click.option("-o", "--output", type=FILE, required=True, help="where the bundle goes")
@click.option("--filing", type=click.IntRange(min=0), help="which bundle; default the newest")
@click.pass_obj
def fetch(settings: Settings, case_id: str, output: Path, filing: int | None) -> None:
    """Fetch a bundle at the court's node, or the creditor's: taken over custody, held against the chain."""
    with Session(settings) as session:
        case = court_work.case_of(session, case_id)
        data = court_work.fetch(session, case, filing)
    write_file(output, data, private=True)
    number = len(case["filings"]) - 1 if filing is None else filing
    value = {"case": case["id"], "filing": number, "bundle": case["filings"][number]["bundle"], "file": str(output)}
    lines = [
        f"{output}: {len(data)} bytes, as filed",
        f"check it with: tally verify {output} --genesis HASH --trust FILE",
    ]
    show(settings, value, lines)


@command.command("acknowledge", signs=True, example="tally court acknowledge 8a31… --home net --as court")
@_CASE
@click.option("--file", "path", type=EXISTING_FILE, help="the bundle, where it was fetched already")
@click.option("--template", default=court_work.TEMPLATE, show_default=True, help="template of the court's record")
@click.pass_obj
def acknowledge(settings: Settings, case_id: str, path: Path | None, template: str) -> None:
    """Acknowledge the newest bundle as the court: it is entered on the court's own chain, and kept in its vault."""
    with Session(settings) as session:
        session.unlock()
        case = court_work.case_of(session, case_id)
        _require_court(session, case)
        number, filing = court_work.newest_filing(case)
        data = court_work.fetch(session, case) if path is None else court_work.bundle_of(path)
        court_work.require_filed(filing, data)
        record = court_work.seal_record(session, case, number, data, template)
        args = {"case": case["id"], "bundle": filing["bundle"], "record": record}
        state = court_work.call(session, "acknowledge", args)
    result = state["receipt"]["result"]
    value = {**result, "record": record, "bundle": filing["bundle"], "transaction": state}
    pairs = [
        ("case", case_id),
        ("state", result["state"]),
        ("record", f"case {record}"),
        ("bundle", filing["bundle"]),
    ]
    show(settings, value, facts(pairs))


@command.command("ask", signs=True, example='tally court ask 8a31… "the delivery note of May" --home net --as court')
@_CASE
@click.argument("text")
@click.pass_obj
def ask(settings: Settings, case_id: str, text: str) -> None:
    """Ask for more evidence, as the court."""
    _step(settings, case_id, "ask", {"text": text})


@command.command(
    "accept", signs=True, example="tally court accept 8a31… --number '(2026)执123号' --home net --as court"
)
@_CASE
@click.option("--number", required=True, help="the court's own number of the case")
@click.option("--text", help="what there is to say")
@click.pass_obj
def accept(settings: Settings, case_id: str, number: str, text: str | None) -> None:
    """Take the case on, as the court."""
    _step(settings, case_id, "accept", {"number": number, **({"text": text} if text else {})})


@command.command(
    "reject", signs=True, example='tally court reject 8a31… --code NOT_COMPETENT --text "…" --home net --as court'
)
@_CASE
@click.option(
    "--code",
    required=True,
    help="NOT_ENFORCEABLE (then the creditor may sue), NOT_COMPETENT, INCOMPLETE, NO_CLAIM or OTHER",
)
@click.option("--text", required=True, help="why")
@click.pass_obj
def reject(settings: Settings, case_id: str, code: str, text: str) -> None:
    """Reject the case, as the court."""
    _step(settings, case_id, "reject", {"code": code, "text": text})


@command.command("withdraw", signs=True, example='tally court withdraw 8a31… "paid" --home net --as lender')
@_CASE
@click.argument("reason")
@click.pass_obj
def withdraw(settings: Settings, case_id: str, reason: str) -> None:
    """Take the case back, as its creditor, before the court has accepted it."""
    _step(settings, case_id, "withdraw", {"reason": reason})


@command.command(
    "show", reads=True, example="tally court show --home net --as court\ntally court show 8a31… --home net"
)
@click.argument("case_id", metavar="[CASE]", required=False)
@click.pass_obj
def show_case(settings: Settings, case_id: str | None) -> None:
    """Show a case with its steps, or list the cases of the creditor or court that --as names, newest first."""
    with Session(settings) as session:
        if case_id is not None:
            case = court_work.case_of(session, case_id)
            show(settings, case, court_work.case_lines(case))
            return
        if settings.acting is None:
            raise CliError("whose cases? give a case's id, or --as MEMBER")
        cases = court_inbox.cases_of(session.client, settings.acting)
    rows = [
        [
            case["id"],
            case["state"],
            case["route"],
            case["creditor"],
            case["court"] or case["court_name"],
            case["number"],
            moment(case["steps"][-1]["time"]),
        ]
        for case in cases
    ]
    show(settings, cases, table(["case", "state", "route", "creditor", "court", "number", "last step"], rows))


for _command in (*DOCUMENT_COMMANDS, *PAPER_COMMANDS):
    command.add_command(_command)


def _step(settings: Settings, case_id: str, method: str, args: dict[str, Any]) -> None:
    """A step that is one transaction."""
    with Session(settings) as session:
        session.unlock()
        case = court_work.case_of(session, case_id)
        state = court_work.call(session, method, {"case": case["id"], **args})
    result = state["receipt"]["result"]
    show(settings, {**result, "transaction": state}, facts([("case", case_id), ("state", result["state"])]))


def _require_court(session: Session, case: dict[str, Any]) -> None:
    """Refuse before anything is sealed on another court's behalf."""
    if session.owner["id"] != case["court"]:
        filed = case["court"] or case["court_name"] or "no court yet"
        raise CliError(
            f"the case is filed with {filed}, not with {session.owner['id']}", code="NOT_YOUR_CASE", exit_code=3
        )
