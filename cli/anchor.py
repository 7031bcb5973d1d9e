"""``tally anchor``: what of the consortium's log stands outside it, where, and whether it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cli import trust as trusted
from cli.command import EXISTING_FILE, Settings, group
from cli.errors import CliError
from cli.output import facts, moment, note, read_file, show, table
from cli.session import Session

command = group("anchor", "Anchors outside the consortium: status, now, verify.")

MAX_ANCHOR = 4 * 1024 * 1024


@command.command("status", reads=True, example="tally anchor status")
@click.option("--last", type=click.IntRange(min=1, max=100), default=5, show_default=True, help="how many to list")
@click.pass_obj
def status(settings: Settings, last: int) -> None:
    """Show the last confirmed anchors and alarms of the consortium, and what this node is doing about the next."""
    from tallystick.client import RejectedError

    with Session(settings) as session:
        client = session.client
        anchored = client.state("consortium", "anchor", "anchored") or 0
        anchors = _newest(session, "anchor", last)
        alarms = _newest(session, "alarm", last)
        height = client.status()["height"]
        try:
            own: dict[str, Any] | None = client.anchor_status()
        except RejectedError as error:
            if error.code != "NO_ANCHORING":
                raise
            own = None
    lines = facts([("blocks anchored", f"{anchored} of {height}")])
    lines += ["this node does not anchor: set [anchor] in its node.toml"] if own is None else _own(own)
    rows = [
        [a["number"], f"1..{a['size']}", _short(a["place"]), moment(a["public_time"] * 1000), _where(a), a["by"]]
        for a in anchors
    ]
    lines += ["", *table(["anchor", "blocks", "place", "no later than", "there", "by"], rows)]
    if alarms:
        rows = [
            [a["kind"], a.get("class", ""), a["interval"], moment(a["time"]), a.get("member", a.get("duty", ""))]
            for a in alarms
        ]
        lines += ["", *table(["alarm", "class", "interval", "time", "member"], rows)]
    show(settings, {"anchored": anchored, "height": height, "node": own, "anchors": anchors, "alarms": alarms}, lines)


@command.command("now", reads=True, example="tally anchor now --home net --as erp")
@click.pass_obj
def now(settings: Settings) -> None:
    """Ask the node to anchor what there is at its next round, whosever turn it is."""
    with Session(settings) as session:
        answer = session.client.anchor_now()
    said = (
        "asked for: see `tally anchor status`"
        if answer["requested"]
        else "nothing to anchor now: each block is anchored, on its way, or waits for the one after it"
    )
    show(settings, answer, [said])


@command.command(
    "verify",
    example="tally anchor verify anchor.json --genesis f1f7… --trust trust.json",
)
@click.argument("path", type=EXISTING_FILE)
@click.option("--genesis", "genesis_hash", required=True, metavar="HASH", help="64 digits, from outside the file")
@click.option("--trust", type=EXISTING_FILE, help="JSON file: public block hashes, senders, roots, keys you trust")
@click.option("--allow-development-chain", is_flag=True, help="let pass what proves nothing, for trying things out")
@click.pass_obj
def verify(
    settings: Settings, path: Path, genesis_hash: str, trust: Path | None, allow_development_chain: bool
) -> None:
    """Check an anchor document offline, of any kind: the log's checkpoint stood outside, by what you trust."""
    from chain.anchor import Anchor
    from tallystick.evidence import trust as trust_file

    network_id = trusted.genesis_hash(genesis_hash)
    known = trust_file.load(trust, development=allow_development_chain)
    try:
        anchor = Anchor.from_json(json.loads(read_file(path, MAX_ANCHOR)))
    except (ValueError, RecursionError) as error:
        if type(error).__name__ == "VerificationError":
            raise
        raise CliError(f"{path} is not JSON: give the anchor document a node wrote") from None
    if anchor.kind == "evm":
        trusted.require_anchor_extra()
    found = anchor.verify(network_id, known)
    if found.note:
        note(found.note)
    value = {
        "network_id": network_id,
        "blocks": anchor.checkpoint.size,
        "root": anchor.checkpoint.root,
        "kind": found.kind,
        "where": found.where,
        "block_number": found.block,
        "time": found.time,
        "development": found.development,
        "note": found.note,
    }
    when = moment(found.time * 1000)
    size = anchor.checkpoint.size
    lines = facts(
        [
            ("proved", f"blocks 1 to {size} of the consortium stood at {found.where} no later than {when}"),
            ("public block", found.block),
            ("note", found.note or None),
        ]
    )
    show(settings, value, lines)


def _own(own: dict[str, Any]) -> list[str]:
    """What this node does and sees: the policy's classes, its places, and what it found wrong."""
    classes = [[name, row["anchored"], _age(row["age_seconds"])] for name, row in own["classes"].items()]
    places = [
        [
            row["backend"],
            _short(row["place"] or ""),
            "anchors" if row["writes"] else "re-checks",
            row["confirmed"],
            len(row["queue"]),
            row["problem"] or row["note"],
        ]
        for row in own["backends"]
    ]
    return [
        *facts([("re-checked", own["checked"]), ("to be re-checked", own["unchecked"] or None)]),
        *(f"ALARM: {alarm}" for alarm in own["alarms"]),
        "",
        *table(["class", "blocks", "age"], classes),
        "",
        *table(["backend", "place", "does", "blocks", "under way", "note"], places),
    ]


def _age(seconds: int | None) -> str:
    return "never" if seconds is None else f"{seconds} s"


def _short(place: str) -> str:
    """A place for a table: keys and roots cut."""
    kind, _, name = place.partition(":")
    name, _, trial = name.partition(":")
    return f"{kind}:{name[:16]}" + (" (trial)" if trial else "") if kind else ""


def _where(anchor: dict[str, Any]) -> str:
    """What finds it there: the public block, and the transaction where there is one of its own."""
    block = anchor.get("block_number")
    transaction = anchor.get("tx_hash")
    return " ".join(
        [*([] if block is None else [f"block {block}"]), *([] if transaction is None else [f"0x{transaction.hex()}"])]
    )


def _newest(session: Session, what: str, most: int) -> list[dict[str, Any]]:
    """The newest entries of a numbered list of the anchor contract, newest first."""
    count = session.client.state("consortium", "anchor", f"{what}_count") or 0
    numbers = range(count - 1, max(-1, count - 1 - most), -1)
    return [{"number": n, **session.client.state("consortium", "anchor", what, n)} for n in numbers]
