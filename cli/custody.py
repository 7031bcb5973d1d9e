"""``tally custody``: who keeps this member's documents, whether they have them, and getting them back."""

from __future__ import annotations

import time
from typing import Any, Final

import click

from cli.command import Settings, group
from cli.errors import FAILED, CliError
from cli.output import facts, moment, note, show, table
from cli.session import Session, submit

command = group("custody", "Documents kept by others: status, appoint, check, restore.")

POLL_S: Final = 0.5
SAY_S: Final = 5.0


@command.command("status", reads=True, example="tally custody status --home net --as erp")
@click.pass_obj
def status(settings: Settings) -> None:
    """Show who holds this member's documents, what its node holds for others, and what is wrong."""
    with Session(settings) as session:
        found = session.client.custody_status()
    lines = [f"takes no part: {reason}" for reason in found["no_part"]]
    if found["owner"] is not None:
        lines += _owner_lines(found["owner"])
    if found["custodian"] is not None:
        lines += ["", *_custodian_lines(found["custodian"])]
    if found["held_back"]:
        lines += ["", "slowed down: transactions wait for their blocks, and they come first"]
    show(settings, found, lines)


@command.command(
    "appoint",
    signs=True,
    example="tally custody appoint guarantor lender --home net --as erp\n"
    "tally custody appoint --default --home net --as erp",
)
@click.argument("custodians", nargs=-1, metavar="[MEMBER]…")
@click.option("--default", "default", is_flag=True, help="go back to the members the consortium's rule names")
@click.pass_obj
def appoint(settings: Settings, custodians: tuple[str, ...], default: bool) -> None:
    """Name the members that keep this member's documents from now on; older ones are brought to them too."""
    if default == bool(custodians):
        raise CliError("name the members that are to keep the documents, or give --default")
    with Session(settings) as session:
        session.unlock()
        done = submit(
            session,
            chain="consortium",
            contract="custody",
            method="appoint",
            args={"custodians": sorted(custodians)},
        )
    named = done["receipt"]["result"]["custodians"]
    show(settings, done, [f"kept by {', '.join(named)}: `tally custody status` shows how far they are"])


@command.command("check", reads=True, example="tally custody check --home net --as erp")
@click.option("--timeout", type=click.IntRange(min=1), default=3600, show_default=True, help="seconds to wait")
@click.pass_obj
def check(settings: Settings, timeout: int) -> None:
    """Have every custodian show a chunk of every object, chosen by chance; exit code 4 where one cannot."""
    with Session(settings) as session:
        report = session.client.custody_check(start=True)
        until, said = time.monotonic() + timeout, time.monotonic()
        while report["state"] != "done":
            if time.monotonic() > until:
                raise CliError(
                    f"not done after {timeout} s: it goes on in the node; run `tally custody check` again",
                    code="TIMEOUT",
                )
            time.sleep(POLL_S)
            report = session.client.custody_check()
            if time.monotonic() - said > SAY_S:
                said = time.monotonic()
                note(f"{report['checked']} of {report['deposits']} deposits checked")
    rows = [
        [custodian, f"{row['deposits']} of {report['deposits']}", row["objects"], row["substitutes"], row["missing"]]
        for custodian, row in sorted(report["custodians"].items())
    ]
    lines = facts(
        [
            ("documents", f"{report['objects']} in {report['deposits']} deposits"),
            ("to restore here", report["not_here"] or None),
            ("not deposited yet", report["not_deposited"] or None),
        ]
    )
    lines += ["", *table(["custodian", "deposits", "objects shown", "others' copies", "missing"], rows)]
    lines += [f"{name}: {text}" for name, row in sorted(report["custodians"].items()) for text in row["problems"]]
    if not report["complete"]:
        show(settings, report, lines)
        raise CliError(
            "not every document is everywhere: what is missing heals by itself; look at `tally custody status`",
            code="NOT_COMPLETE",
            exit_code=FAILED,
        )
    show(settings, report, [*lines, "", "complete: every document is here and at every custodian"])


@command.command("restore", reads=True, example="tally custody restore --home net --as erp")
@click.option("--timeout", type=click.IntRange(min=1), default=3600, show_default=True, help="seconds to wait")
@click.pass_obj
def restore(settings: Settings, timeout: int) -> None:
    """Read all documents of this member, and take back from custodians what is missing or damaged."""
    with Session(settings) as session:
        found = session.client.custody_restore()
        until, said = time.monotonic() + timeout, time.monotonic()
        before = found["restored"]
        while found["to_read"] or found["to_restore"]:
            if time.monotonic() > until:
                why = found["problem"] or "look at `tally custody status`"
                raise CliError(
                    f"{found['to_restore']} deposits are still missing after {timeout} s ({why}): the node goes on",
                    code="TIMEOUT",
                )
            time.sleep(POLL_S)
            found = session.client.custody_status()["owner"]
            if time.monotonic() - said > SAY_S:
                said = time.monotonic()
                note(f"{found['to_restore']} deposits to restore; {found['problem'] or 'going on'}")
    taken = found["restored"] - before
    show(settings, found, [f"{taken} deposits taken back; all {found['deposits']} of this member's are here"])


def _owner_lines(owner: dict[str, Any]) -> list[str]:
    lines = facts(
        [
            ("own documents", f"{owner['deposits']} deposits on the chain"),
            ("on their way", owner["waiting"] or None),
            ("to restore", owner["to_restore"] or None),
            ("problem", owner["problem"] or None),
        ]
    )
    rows = [
        [custodian, f"{row['held']} of {owner['deposits']}", "up" if row["connected"] else "down", *_proved(row)]
        for custodian, row in sorted(owner["custodians"].items())
    ]
    lines += ["", *table(["custodian", "holds", "link", "challenges", "failed", "lost", "last proof"], rows)]
    readers = [[kind, ", ".join(ids) or "nobody else"] for kind, ids in sorted(owner["readers"].items())]
    return lines + (["", *table(["kind", "readers"], readers)] if readers else [])


def _custodian_lines(custodian: dict[str, Any]) -> list[str]:
    rows = [
        [chain, f"{row['here']} of {row['deposits']}", row["to_pull"], row["substitutes"], *_proved(row)]
        for chain, row in sorted(custodian["chains"].items())
    ]
    lines = facts([("PAUSED", custodian["paused"] or None), ("problem", custodian["problem"] or None)])
    head = ["keeps for", "has", "to take", "others' copies", "challenges", "failed", "lost", "last proof"]
    return lines + table(head, rows)


def _proved(row: dict[str, Any]) -> list[Any]:
    record = row["challenges"]
    if record is None:
        return [0, 0, 0, "none yet"]
    last = "none yet" if record["last_ok"] is None else moment(record["last_ok"])
    return [record["rounds"], record["failed"], record["lost"], f"{last}{' FAILING' if record['failing'] else ''}"]
