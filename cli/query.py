"""``tally query``: read a node. ``--at HEIGHT`` reads the past, ``--prove -o FILE`` takes a proof of it along."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from cli import records
from cli.command import FILE, Settings, group
from cli.errors import CliError, not_found
from cli.output import facts, moment, plain, show, table, write_file
from cli.session import Session
from cli.tx import show_state
from cli.values import digest, is_digest, key_part

command = group("query", "Read a node: block, tx, record, state, history, chains, members.")

_AT: Final = click.option("--at", type=click.IntRange(min=0), metavar="HEIGHT", help="as of this consortium block")
_PROVE: Final = click.option("--prove", is_flag=True, help="also fetch a proof that `tally verify` checks offline")
_OUTPUT: Final = click.option("-o", "--output", type=FILE, help="where the proof goes (with --prove)")


@command.command("block", reads=True, example="tally query block 12")
@click.argument("height", required=False, type=click.IntRange(min=0))
@click.pass_obj
def block(settings: Settings, height: int | None) -> None:
    """Show a consortium block (the newest without HEIGHT): time, chains, transactions with their outcomes."""
    with Session(settings) as session:
        at = session.client.status()["height"] if height is None else height
        found = session.client.block(at)
    lines = facts(
        [
            ("block", found["height"]),
            ("time", moment(found["time"])),
            ("hash", found["digest"]),
            ("proposer", found.get("proposer")),
            ("signed by", _signed_by(found.get("certificate"))),
        ]
    )
    if "transactions" in found:
        rows = [
            [
                row["id"],
                row["chain"],
                f"{row['contract']}.{row['method']}",
                row["records"] or "",
                _outcome(row["receipt"]),
            ]
            for row in found["transactions"]
        ]
        lines += ["", *table(["transaction", "chain", "did", "records", "outcome"], rows)]
    show(settings, found, lines)


@command.command("tx", reads=True, example="tally query tx 5f0c… --prove -o tx.proof")
@click.argument("tx_id", metavar="ID")
@_PROVE
@_OUTPUT
@click.pass_obj
def transaction(settings: Settings, tx_id: str, prove: bool, output: Path | None) -> None:
    """Show a transaction with its receipt."""
    wanted = digest(tx_id, "transaction id")
    with Session(settings) as session:
        state = session.client.transaction(wanted)
        if prove and state["state"] == "committed":
            _keep(output, session.client.prove_transaction(wanted))
    show_state(settings, state)


@command.command(
    "record", reads=True,
    example="tally query record invoice KPV-0811\ntally query record 9b1d… --prove -o invoice.proof",
)  # fmt: skip
@click.argument("words", nargs=-1, required=True, metavar="ID | KIND NUMBER")
@click.option("--issuer", help="who issued it, where several did")
@click.option("--chain", help="the member whose chain holds it, where several do")
@_AT
@_PROVE
@_OUTPUT
@click.pass_obj
def record(
    settings: Settings,
    words: tuple[str, ...],
    issuer: str | None,
    chain: str | None,
    at: int | None,
    prove: bool,
    output: Path | None,
) -> None:
    """Show a sealed record by its id, or by kind and number."""
    with Session(settings) as session:
        found = _find(session, words, issuer, chain, at)
        if prove:
            for entry in found[1:]:
                raise CliError(f"chain {entry['chain']} holds one too: choose with --chain or --issuer")
            _keep(output, session.client.prove_record(bytes.fromhex(found[0]["id"])))
    lines: list[str] = []
    for entry in found:
        lines += [*records.describe(entry), ""]
    show(settings, found, lines[:-1])


@command.command("state", reads=True, example="tally query state consortium gov parameters")
@click.argument("chain")
@click.argument("contract")
@click.argument("key", nargs=-1, required=True, metavar="KEY…")
@_AT
@_PROVE
@_OUTPUT
@click.pass_obj
def state(
    settings: Settings,
    chain: str,
    contract: str,
    key: tuple[str, ...],
    at: int | None,
    prove: bool,
    output: Path | None,
) -> None:
    """Show a contract's entry. A part of KEY is text; n:5 is a number, x:ab12 bytes, 64 digits a hash."""
    parts = [key_part(text) for text in key]
    with Session(settings) as session:
        value = session.client.state(chain, contract, *parts, at=at)
        if prove:
            _keep(output, session.client.prove_state(chain, contract, *parts, at=at))
    answer = {"chain": chain, "contract": contract, "key": parts, "at": at, "value": value}
    if isinstance(value, dict):
        lines = facts([(name, plain(item)) for name, item in value.items()])
    else:
        lines = ["absent" if value is None else str(plain(value))]
    show(settings, answer, lines)


@command.command("history", reads=True, example="tally query history invoice KPV-0811")
@click.argument("words", nargs=-1, required=True, metavar="ID | KIND NUMBER")
@click.option("--issuer", help="who issued it, where several did")
@click.option("--chain", help="the member whose chain holds it, where several do")
@click.pass_obj
def history(settings: Settings, words: tuple[str, ...], issuer: str | None, chain: str | None) -> None:
    """Show every version of a record, the newest first: what each one corrected, and when."""
    with Session(settings) as session:
        found = _find(session, words, issuer, chain, None)
        for other in found[1:]:
            raise CliError(f"chains {found[0]['chain']} and {other['chain']} hold one: choose with --chain")
        versions = records.versions(session.client, found[0])
    rows = [
        [len(versions) - place, entry["id"], entry["height"], moment(entry["time"]), ", ".join(entry["changed"])]
        for place, entry in enumerate(versions)
    ]
    show(settings, versions, table(["version", "record", "block", "sealed", "changed"], rows))


@command.command("chains", reads=True, example="tally query chains")
@click.pass_obj
def chains(settings: Settings) -> None:
    """Show the head of every business chain."""
    with Session(settings) as session:
        found = session.client.chains()
    rows = [[row["chain"], row["height"], row["hash"]] for row in found]
    show(settings, found, table(["chain", "blocks", "head"], rows))


@command.command("members", reads=True, example="tally query members")
@click.pass_obj
def members(settings: Settings) -> None:
    """Show the members and their roles."""
    with Session(settings) as session:
        found = session.client.members()
        voting = set(session.client.status()["validators"])
    rows = [[row["id"], row["role"], row["id"] in voting, row["since"]] for row in found]
    value = [{**row, "votes": row["id"] in voting} for row in found]
    show(settings, value, table(["member", "role", "votes", "since block"], rows))


def _find(
    session: Session, words: tuple[str, ...], issuer: str | None, chain: str | None, at: int | None
) -> list[dict[str, Any]]:
    """The records named on the command line, at least one. Raises CliError."""
    if len(words) == 1 and is_digest(words[0]):
        found = records.by_id(session.client, digest(words[0], "record id"), at)
        what = f"record {words[0]}"
    elif len(words) == 2:
        found = session.client.records(words[0], words[1], issuer=issuer, at=at)
        what = f"{words[0]} {words[1]}"
    else:
        raise CliError("name a record by its id (64 digits), or by KIND NUMBER, for example: invoice KPV-0811")
    found = [entry for entry in found if chain in (None, entry["chain"])]
    if not found:
        raise not_found(f"no chain has {what}: check kind, number and --issuer, or whether it was ingested")
    return found


def _keep(output: Path | None, proof: bytes) -> None:
    from cli.output import note

    if output is None:
        raise CliError("where should the proof go? add -o FILE")
    write_file(output, proof)
    note(f"proof written to {output}: check it with `tally verify {output} --genesis HASH`")


def _signed_by(certificate: Any) -> str | None:
    return None if certificate is None else ", ".join(str(row[0]) for row in certificate[6])


def _outcome(receipt: dict[str, Any]) -> str:
    return "done" if receipt["status"] == 0 else f"failed: {receipt['code']}"
