"""``tally anchor``: what of the consortium's log stands on a public chain, and whether it does."""

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

command = group("anchor", "Public-chain anchors: status, now, verify.")

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
    if own is None:
        lines += ["this node does not anchor: set [anchor] in its node.toml"]
    else:
        lines += facts(
            [
                ("public chain", own["chain_id"]),
                ("endpoint", own["endpoint"]),
                ("note", own["note"] or None),
                ("problem", own["problem"]),
                ("under way", len(own["queue"])),
            ]
        )
    rows = [
        [a["number"], f"1..{a['size']}", a["chain_id"], f"0x{a['tx_hash'].hex()}", a["block_number"], a["by"]]
        for a in anchors
    ]
    lines += ["", *table(["anchor", "blocks", "public chain", "transaction", "public block", "by"], rows)]
    if alarms:
        rows = [[a["kind"], a["interval"], moment(a["time"]), a.get("member", a.get("duty", ""))] for a in alarms]
        lines += ["", *table(["alarm", "interval", "time", "member"], rows)]
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
@click.option("--trust", type=EXISTING_FILE, help="JSON file: public block hashes and senders you trust")
@click.pass_obj
def verify(settings: Settings, path: Path, genesis_hash: str, trust: Path | None) -> None:
    """Check an anchor document offline: the log's checkpoint stands in a public block that you trust."""
    from chain.anchor import Anchor

    trusted.require_anchor_extra()
    network_id = trusted.genesis_hash(genesis_hash)
    known = trusted.load(trust)
    try:
        anchor = Anchor.from_json(json.loads(read_file(path, MAX_ANCHOR)))
    except (ValueError, RecursionError) as error:
        if type(error).__name__ == "VerificationError":
            raise
        raise CliError(f"{path} is not JSON: give the anchor document a node wrote") from None
    from chain.evm import decode_header

    number = decode_header(anchor.proof.header).number
    found = anchor.verify(
        network_id,
        trusted_block_hash=known.block_hash(anchor.proof.chain_id, number),
        senders=known.senders,
    )
    if anchor.note:
        note(anchor.note)
    value = {
        "network_id": network_id,
        "blocks": anchor.checkpoint.size,
        "root": anchor.checkpoint.root,
        "chain_id": found.chain_id,
        "block_number": found.block_number,
        "block_hash": found.block_hash,
        "time": found.time,
        "tx_hash": found.transaction_hash,
        "sender": found.sender,
        "note": anchor.note,
    }
    lines = facts(
        [
            (
                "proved",
                f"blocks 1 to {anchor.checkpoint.size} of the consortium stand on public chain {found.chain_id}",
            ),
            ("public block", f"{found.block_number}, {moment(found.time * 1000)}"),
            ("transaction", f"0x{found.transaction_hash.hex()}"),
            ("sender", f"0x{found.sender.hex()}"),
            ("note", anchor.note or None),
        ]
    )
    show(settings, value, lines)


def _newest(session: Session, what: str, most: int) -> list[dict[str, Any]]:
    """The newest entries of a numbered list of the anchor contract, newest first."""
    count = session.client.state("consortium", "anchor", f"{what}_count") or 0
    numbers = range(count - 1, max(-1, count - 1 - most), -1)
    return [{"number": n, **session.client.state("consortium", "anchor", what, n)} for n in numbers]
