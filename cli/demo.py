"""``tally demo``: four validators, and the whole job on real documents, told step by step. Made to be watched."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.command import Settings, TallyCommand
from cli.output import percent, plain, show, table
from cli.story_teller import Teller

if TYPE_CHECKING:
    from cli.story import Story
    from cli.story_credit import Deal
    from cli.story_evidence import Audit
    from cli.story_later import Later
    from cli.story_stage import Stage

DEFAULT_FOLDER: Final = Path("demo-run")
KEPT_VARIABLES: Final = ("TALLY_ANVIL", "TALLY_DEBUG")

_EXAMPLE: Final = """\
tally demo
tally demo --input invoices/ --keep"""


@click.command("demo", cls=TallyCommand, example=_EXAMPLE)
@click.option(
    "--input",
    "inputs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="folder of documents; default the example documents that come with tally",
)
@click.option(
    "--later",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="folder of what comes in afterwards (period-1, period-2, return …, see docs/demo.md); without --input the "
    "example's own",
)
@click.option("--keep", is_flag=True, help="leave nodes and public chain running at the end")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="folder to play in; what an earlier demo left there is replaced",
)
@click.pass_obj
def command(settings: Settings, inputs: Path | None, later: Path | None, keep: bool, directory: Path) -> None:
    """Play the whole story on this machine: consortium, documents, limit, loan, notary, anchor, audit, offline check.

    Four validators run as four processes on loopback, a public-chain node beside them. At the end everything is
    stopped and the evidence is verified without any node. A document is sealed or refused with a reason; an
    enterprise without a limit is told why. Exit code 0 if the story held.
    """
    from cli.story_stage import claim
    from genesis.library import example_documents, example_later
    from tallystick.client import ClientError

    begun = time.monotonic()
    for name in [name for name in os.environ if name.startswith("TALLY_") and name not in KEPT_VARIABLES]:
        del os.environ[name]  # the story's own folder says which node, key and passphrase
    for number in (signal.SIGTERM, signal.SIGHUP):  # like ^C: a terminal that is closed leaves nothing running
        signal.signal(number, _interrupt)
    teller = Teller(aside=settings.json)
    documents = inputs or example_documents()
    following = later or (example_later() if inputs is None else None)
    stage = claim(directory, documents, *([following] if following else []))
    kept = False
    try:
        story, audit = _play(stage, teller, documents, following, keep)
        kept = keep
    except ClientError:
        stage.check()  # a process that has ended explains it better
        raise
    finally:
        if not kept:
            stage.stop()
        stage.release()
    seconds = time.monotonic() - begun
    teller.plain(["", *table(["what", "outcome"], _rows(story, audit, seconds, kept))])
    if kept:
        teller.plain(_how_to_go_on(stage))
    if settings.json:
        show(settings, _value(story, audit, seconds), [])


def _play(stage: Stage, teller: Teller, documents: Path, later: Path | None, keep: bool) -> tuple[Story, Audit]:
    """All steps. Whatever goes wrong is raised; the caller stops the nodes."""
    from cli.story import Story
    from cli.story_evidence import Audit

    story = Story(stage, teller, documents, later)
    audit = Audit(story)
    with teller.step("A consortium of four, and a public chain"):
        stage.open(teller.say)
        teller.say(f"Procurement platform, ERP, guarantor and lender, founded in {stage.home}.")
        teller.say(f"Genesis hash: {stage.genesis}")
        stage.wait_ready()
        teller.show(_processes(stage))
    with teller.step("A regulator, an insurer, a second lender, a notary and a court join"):
        story.admission.admit_all()
        story.market.publish()
    with teller.step("Whom the documents are about"):
        story.look()
        story.onboard()
    with teller.step("The documents go in"):
        story.take_in()
    with teller.step("Kept by several, read by whom it concerns"):
        story.custody.keep(story.papers)
        story.custody.disclose(story.papers)
    with teller.step("Credit: application, assessment, decision, disbursement"):
        story.lend()
    story.go_on()
    with teller.step("The notary contract preserves it"):
        story.preserve()
    with teller.step("Anchored on the public chain"):
        story.anchor()
    with teller.step("An auditor asks at another node"):
        audit.ask()
        audit.export()
    if story.recovery.case:
        with teller.step("The bundle goes to court"):
            story.recovery.export()
            story.recovery.hand_in()
    with teller.step("What a verifier brings along"):
        audit.bring_along()
    if keep:
        with teller.step("The evidence is checked offline (the nodes are kept running, and are not asked)"):
            audit.check()
            _check_case(story, audit)
        return story, audit
    with teller.step("Everything is stopped, and the evidence still stands"):
        stage.stop()
        _require_silence(stage)
        teller.say("All four nodes and the public chain have been stopped: nothing answers at their addresses.")
        audit.check()
        _check_case(story, audit)
    return story, audit


def _check_case(story: Story, audit: Audit) -> None:
    if story.recovery.case:
        story.recovery.check(audit)


def _require_silence(stage: Stage) -> None:
    from cli.errors import CliError

    for url in stage.listening():
        raise CliError(f"{url} still answers after all was stopped: another program may have taken that port")


def _processes(stage: Stage) -> list[str]:
    rows: list[list[Any]] = [
        [node.member, node.process.pid if node.process else "", node.api] for node in stage.nodes.nodes.values()
    ]
    rows.append([f"public chain ({stage.public.kind})", stage.public.process.pid, stage.public.url])
    return table(["process", "pid", "answers at"], rows)


def _rows(story: Story, audit: Audit, seconds: float, kept: bool) -> list[list[str]]:
    """The table at the end."""
    rows = [
        ["documents", ", ".join(f"{count} {outcome}" for outcome, count in story.counts.items())],
        ["  in custody", f"{story.custody.documents} files and bodies, each at {story.custody.custodians} others"],
        *([["  disclosed", story.custody.opened]] if story.custody.opened else []),
    ]
    for deal in story.deals:
        ratings = deal.assessment["ratings"]
        grades = ", ".join(f"{name} {rating['grade'] or 'none'}" for name, rating in ratings.items())
        match = " (target of the match)" if deal.lender_match.get("target") else ""
        insurer = deal.insurer_match.get("target")
        why = "; ".join(deal.assessment["no_limit"])
        rows += [
            [deal.enterprise.label, deal.paper.name],
            ["  ratings", grades],
            [
                "  initial limit",
                f"{deal.limit}, grade {deal.assessment['grade'] or 'none'}{f': {why}' if why else ''}",
            ],
            ["  lender", f"{deal.lender}{match}: {deal.decision['state']}"],
            *([["  insurer", f"{insurer} (target of the match, on made-up data)"]] if insurer else []),
            *(
                [["  paid out", ", ".join(deal.money(paid["amount"]) for paid in deal.payments)]]
                if deal.payments
                else []
            ),
            *_course_rows(story, deal),
            ["  preserved", f"block {deal.preservation['height']}"],
            *_case_rows(story, deal),
        ]
    newest = story.newest_anchor
    rows += [
        ["anchored", f"blocks 1 to {newest['size']}, in public block {newest['block_number']}"],
        ["", story.anchor_note],
        [
            "verified offline",
            f"{len(audit.verified)} evidence files, {'no node asked' if kept else 'no node running'}",
        ],
        ["time", f"{seconds:.1f} s"],
    ]
    return rows


def _course_rows(story: Story, deal: Deal) -> list[list[str]]:
    """What became of a deal's line."""
    course = story.course
    if course is None or course.deal is not deal:
        return []
    money = deal.money
    rows = []
    for rise in course.rises:
        said = f"{money(rise.before)} -> {money(rise.after)} (E {percent(rise.credibility)})"
        rows.append([f"  limit, period {rise.period}", said])
    if course.fall is not None:
        before, after = course.fall
        rows.append(["  limit, goods back", f"{money(before)} -> {money(after)}, exactly as granted"])
    for alert in course.alerts:
        if alert["rule"] == "DOUBLE_PLEDGE":
            rows.append(["  second pledge", f"refused; alert in block {alert['height']} to both lenders"])
        else:
            values = f"{alert['ours']} against {alert['theirs']}"
            rows.append(["  altered bill", f"alert {alert['rule']} in block {alert['height']}: {values}"])
    return rows


def _case_rows(story: Story, deal: Deal) -> list[list[str]]:
    """What became of a loan that was not paid."""
    recovery = story.recovery
    if not recovery.case or recovery.deal is not deal:
        return []
    amounts = recovery.certificate["amounts"]
    return [
        ["  not paid", f"execution certificate over {deal.money(amounts['total'])}"],
        *([["  opened to the court", recovery.opened]] if recovery.opened else []),
        ["  court", f"accepted as {recovery.docket}"],
        ["  bundle", recovery.verdict],
    ]


def _how_to_go_on(stage: Stage) -> list[str]:
    pids = " ".join(str(pid) for pid in stage.pids())
    return [
        "",
        "Everything keeps running. Look around with:",
        f"  export TALLY_HOME={stage.home}",
        "  tally query block",
        "  tally --as lender credit show ID",
        f"End it with: kill {pids}",
    ]


def _value(story: Story, audit: Audit, seconds: float) -> Any:
    """The whole for --json."""
    deals = [
        {
            "enterprise": deal.enterprise.id,
            "contract": [deal.paper.kind, deal.paper.draft.issuer, deal.paper.number],
            "application": deal.application,
            "assessment": deal.assessment,
            "decision": deal.decision,
            "lender": deal.lender,
            "lender_match": deal.lender_match or None,
            "insurer_match": deal.insurer_match or None,
            "disbursements": deal.payments,
            "preservation": deal.preservation,
        }
        for deal in story.deals
    ]
    return plain(
        {
            "directory": str(story.stage.directory),
            "genesis": story.stage.genesis,
            "public_chain": story.stage.public.kind,
            "parties": [person._asdict() for person in story.cast.people],
            "documents": dict(story.counts),
            "custody": {"documents": story.custody.documents, "custodians": story.custody.custodians},
            "disclosed": story.custody.opened,
            "deals": deals,
            "joined": story.admission.joined,
            "course": None if story.course is None else _course_value(story.course),
            "case": story.recovery.value(),
            "anchors": story.anchors,
            "verified": [str(path) for path in audit.verified],
            "seconds": {"all": round(seconds, 1), **{title: round(spent, 1) for title, spent in story.teller.steps}},
        }
    )


def _course_value(course: Later) -> dict[str, Any]:
    return {
        "application": course.deal.application,
        "rises": [rise._asdict() for rise in course.rises],
        "fall": course.fall,
        "alerts": course.alerts,
        "pledged_once": None if course.twice is None else course.twice.number,
    }


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt
