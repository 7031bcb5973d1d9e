"""``tally query``: read a node. ``--at HEIGHT`` reads the past, ``--prove -o FILE`` takes a proof of it along.

Without what names one block, transaction or record, a command lists them by pages that stay as they are while blocks
arrive: ``--after CURSOR`` goes on in the list as it was at its first page.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click

from cli import bundle, listing, records
from cli.command import FILE, Settings, group
from cli.errors import CliError, not_found
from cli.listing import AT, list_options
from cli.output import facts, moment, note, plain, show, table, write_file
from cli.session import Session
from cli.tx import show_state
from cli.values import digest, is_digest, key_part

command = group("query", "Read a node: block, tx, record, state, history, chains, members.")

_PROVE: Final = click.option("--prove", is_flag=True, help="also fetch a proof that `tally verify` checks offline")
_OUTPUT: Final = click.option("-o", "--output", type=FILE, help="where the proof goes (with --prove)")
_ISSUER: Final = click.option("--issuer", help="who issued it, where several did")
_CHAIN: Final = click.option("--chain", help="the member whose chain holds it, where several do")
_CONSORTIUM: Final = "consortium"


@command.command(
    "block", reads=True,
    example="tally query block 12 --prove -o block.proof\ntally query block --from 2026-11-24 --limit 20",
)  # fmt: skip
@click.argument("height", required=False, type=click.IntRange(min=0))
@click.option("--list", "listed", is_flag=True, help="list blocks; so do the options of lists")
@AT
@list_options
@_PROVE
@_OUTPUT
@click.pass_obj
def block(
    settings: Settings,
    /,
    height: int | None,
    listed: bool,
    at: int | None,
    prove: bool,
    output: Path | None,
    **page: Any,
) -> None:
    """Show a consortium block, the newest without HEIGHT: time, chains, transactions, outcomes; or list blocks."""
    if listed or _is_list(page) or (height is None and at is not None):
        _no_proof_of_a_list(prove)
        if height is not None:
            raise CliError("a HEIGHT names one block: leave it out to list blocks, or give --from-block and --at")
        listing.show_blocks(settings, **listing.filters(at=at, **page))
        return
    with Session(settings) as session:
        number = session.client.status()["height"] if height is None else height
        found = session.client.block(number)
        if prove:
            _keep(output, [session.client.prove_head(_CONSORTIUM, at=number)])
    show(settings, found, _block_lines(found))


@command.command(
    "tx", reads=True,
    example="tally query tx 5f0c… --prove -o tx.proof\ntally query tx --method credit --from 2026-11-01",
)  # fmt: skip
@click.argument("tx_id", metavar="[ID]", required=False)
@click.option("--chain", "chains", multiple=True, help="list those of this chain (a member id, or consortium)")
@click.option("--method", metavar="CONTRACT[.METHOD]", help="list those that called this")
@AT
@list_options
@_PROVE
@_OUTPUT
@click.pass_obj
def transaction(
    settings: Settings,
    /,
    tx_id: str | None,
    chains: tuple[str, ...],
    method: str | None,
    at: int | None,
    prove: bool,
    output: Path | None,
    **page: Any,
) -> None:
    """Show a transaction with its receipt, or list transactions."""
    if tx_id is None:
        _no_proof_of_a_list(prove)
        wanted = {"chain": list(chains) or None, "method": method}
        listing.show_transactions(settings, **wanted, **listing.filters(at=at, **page))
        return
    if chains or method or at is not None or _is_list(page):
        raise CliError("an ID names one transaction: leave it out to list transactions")
    name = digest(tx_id, "transaction id")
    with Session(settings) as session:
        state = session.client.transaction(name)
        if prove:
            if state["state"] != "committed":
                raise CliError(f"{tx_id} is in no block: there is nothing to prove", code="NOT_PROVABLE", exit_code=3)
            _keep(output, [session.client.prove_transaction(name)])
    show_state(settings, state)


@command.command(
    "record", reads=True,
    example="tally query record invoice KPV-0811\ntally query record 9b1d… --prove -o invoice.proof\n"
    "tally query record invoice KPV-0812 --issuer GB-COH:1 --chain erp --prove -o none.proof\n"
    "tally query record --enterprise GB-COH:99900217 --kind invoice --from 2026-11-01",
)  # fmt: skip
@click.argument("words", nargs=-1, metavar="[ID | KIND NUMBER]")
@_ISSUER
@_CHAIN
@click.option("--enterprise", help="list those of this enterprise")
@click.option("--kind", help="list those of this kind")
@AT
@list_options
@_PROVE
@_OUTPUT
@click.pass_obj
def record(
    settings: Settings,
    /,
    words: tuple[str, ...],
    issuer: str | None,
    chain: str | None,
    enterprise: str | None,
    kind: str | None,
    at: int | None,
    prove: bool,
    output: Path | None,
    **page: Any,
) -> None:
    """Show a sealed record by its id, or by kind and number; or list record versions in the order they were sealed.

    With --prove, --issuer and --chain the absence of a record is proved where there is none. KIND NUMBER with --at
    proves what was in force at that height.
    """
    if not words:
        _no_proof_of_a_list(prove)
        if issuer is not None:
            raise CliError("--issuer goes with KIND NUMBER: to list records use --enterprise, --kind or --chain")
        wanted = {"chain": None if chain is None else [chain], "enterprise": enterprise, "kind": kind}
        listing.show_records(settings, **wanted, **listing.filters(at=at, **page))
        return
    if enterprise or kind or _is_list(page):
        raise CliError("an ID or KIND NUMBER names one record: leave it out to list records")
    with Session(settings) as session:
        found = _find(session, words, issuer, chain, at)
        if not found and prove and len(words) == 2 and issuer and chain:
            _keep(output, [session.client.prove_state(chain, "records", "record", words[0], issuer, words[1], at=at)])
            said = f"chain {chain} has no {words[0]} {words[1]} of {issuer}"
            show(settings, [], [said if at is None else f"{said} at block {at}"])
            return
        _require(found, words, prove)
        if prove:
            for entry in found[1:]:
                raise CliError(f"chain {entry['chain']} holds one too: choose with --chain or --issuer")
            _keep(output, [_prove_record(session, found[0], at if len(words) == 2 else None)])
    lines: list[str] = []
    for entry in found:
        lines += [*records.describe(entry), ""]
    show(settings, found, lines[:-1])


@command.command(
    "state", reads=True,
    example="tally query state consortium gov parameters --at 120\n"
    "tally query state consortium gov parameters --history --prove -o parameters.proof",
)  # fmt: skip
@click.argument("chain")
@click.argument("contract")
@click.argument("key", nargs=-1, required=True, metavar="KEY…")
@AT
@click.option("--history", "past", is_flag=True, help="what it held before, newest first")
@click.option("--limit", type=click.IntRange(1, 500), default=listing.ROWS, show_default=True, help="with --history")
@click.option("--after", metavar="CURSOR", help="with --history: the page behind one shown before")
@_PROVE
@_OUTPUT
@click.pass_obj
def state(
    settings: Settings,
    chain: str,
    contract: str,
    key: tuple[str, ...],
    at: int | None,
    past: bool,
    limit: int,
    after: str | None,
    prove: bool,
    output: Path | None,
) -> None:
    """Show a contract's entry. A part of KEY is text; n:5 is a number, x:ab12 bytes, 64 digits a hash."""
    parts = [key_part(text) for text in key]
    name = {"chain": chain, "contract": contract, "key": parts}
    with Session(settings) as session:
        client = session.client
        if past:
            page = client.state_history(chain, contract, *parts, at=at, after=after, limit=limit)
            if prove:
                heights = [max(row["height"], page["pruned_below"], 1) for row in page["rows"]]
                _keep(output, (client.prove_state(chain, contract, *parts, at=height) for height in heights))
            rows = [[row["height"], moment(row["time"]), _short(row["value"])] for row in page["rows"]]
            listing.show_page(settings, {**name, **page}, ["from block", "time", "value"], rows)
            return
        if after is not None:
            raise CliError("--after goes on in a history: add --history")
        value = client.state(chain, contract, *parts, at=at)
        if prove:
            _keep(output, [client.prove_state(chain, contract, *parts, at=at)])
    if isinstance(value, dict):
        lines = facts([(name, plain(item)) for name, item in value.items()])
    else:
        lines = ["absent" if value is None else str(plain(value))]
    show(settings, {**name, "at": at, "value": value}, lines)


@command.command(
    "history", reads=True,
    example="tally query history invoice KPV-0811\ntally query history 9b1d… --prove -o versions.proof",
)  # fmt: skip
@click.argument("words", nargs=-1, required=True, metavar="ID | KIND NUMBER")
@_ISSUER
@_CHAIN
@AT
@click.option("--limit", type=click.IntRange(1, 500), default=listing.ROWS, show_default=True, help="rows of a page")
@click.option("--after", metavar="CURSOR", help="the page behind one shown before")
@_PROVE
@_OUTPUT
@click.pass_obj
def history(
    settings: Settings,
    words: tuple[str, ...],
    issuer: str | None,
    chain: str | None,
    at: int | None,
    limit: int,
    after: str | None,
    prove: bool,
    output: Path | None,
) -> None:
    """Show every version of a record, the newest first: what each one corrected, and when. --prove proves each."""
    with Session(settings) as session:
        found = _find(session, words, issuer, chain, at)
        _require(found, words, False)
        for other in found[1:]:
            raise CliError(f"chains {found[0]['chain']} and {other['chain']} hold one: choose with --chain")
        page = records.versions(session.client, found[0], at=at, after=after, limit=limit)
        if prove:
            on = found[0]["chain"]
            _keep(output, (session.client.prove_record(bytes.fromhex(row["id"]), chain=on) for row in page["rows"]))
    rows = [
        [row["version"], row["id"], row["height"], moment(row["time"]), ", ".join(row["changed"])]
        for row in page["rows"]
    ]
    listing.show_page(settings, page, ["version", "record", "block", "sealed", "changed"], rows)


@command.command("chains", reads=True, example="tally query chains\ntally query chains --at 9 --prove -o heads.proof")
@AT
@_PROVE
@_OUTPUT
@click.pass_obj
def chains(settings: Settings, at: int | None, prove: bool, output: Path | None) -> None:
    """Show the head of every business chain. --prove proves each."""
    with Session(settings) as session:
        height = session.client.status()["height"] if prove and at is None else at
        found = session.client.chains(at=height)
        if prove:
            _keep(output, (session.client.prove_head(row["chain"], at=height) for row in found))
    rows = [[row["chain"], row["height"], row["hash"]] for row in found]
    show(settings, found, table(["chain", "blocks", "head"], rows))


@command.command("members", reads=True, example="tally query members\ntally query members --prove -o members.proof")
@AT
@_PROVE
@_OUTPUT
@click.pass_obj
def members(settings: Settings, at: int | None, prove: bool, output: Path | None) -> None:
    """Show the members and their roles, and who votes on the next block. --prove proves the list and each entry."""
    with Session(settings) as session:
        client = session.client
        height = client.status()["height"] if at is None else at
        found = client.members(at=height)
        if prove:
            names = [["members"], *(["member", row["id"]] for row in found)]
            _keep(output, (client.prove_state(_CONSORTIUM, "registry", *name, at=height) for name in names))
    rows = [[row["id"], row["role"], row["votes"], row["since"]] for row in found]
    show(settings, found, table(["member", "role", "votes", "since block"], rows))


def _find(
    session: Session, words: tuple[str, ...], issuer: str | None, chain: str | None, at: int | None
) -> list[dict[str, Any]]:
    """The records named on the command line. Raises CliError where they name none."""
    if len(words) == 1 and is_digest(words[0]):
        found = records.by_id(session.client, digest(words[0], "record id"), at)
    elif len(words) == 2:
        found = session.client.records(words[0], words[1], issuer=issuer, at=at)
    else:
        raise CliError("name a record by its id (64 digits), or by KIND NUMBER, for example: invoice KPV-0811")
    return [entry for entry in found if chain in (None, entry["chain"])]


def _require(found: list[dict[str, Any]], words: tuple[str, ...], prove: bool) -> None:
    """Raises CliError where nothing was found."""
    if not found:
        hint = "; to prove that there is none, give --issuer and --chain" if prove else ""
        raise not_found(
            f"no chain has {' '.join(words)}: check kind, number and --issuer, or whether it was ingested{hint}"
        )


def _prove_record(session: Session, entry: dict[str, Any], at: int | None) -> bytes:
    """That a version was sealed; as of a height, that it was in force then."""
    if at is None:
        return session.client.prove_record(bytes.fromhex(entry["id"]), chain=entry["chain"])
    key = ("record", entry["kind"], entry["issuer"], entry["number"])
    return session.client.prove_state(entry["chain"], "records", *key, at=at)


def _keep(output: Path | None, proofs: Iterable[bytes]) -> None:
    """Write a proof, or several as one bundle."""
    if output is None:
        raise CliError("where should the proof go? add -o FILE")
    made = list(proofs)
    if not made:
        raise CliError("there is nothing to prove", code="NOT_PROVABLE", exit_code=3)
    write_file(output, made[0] if len(made) == 1 else bundle.pack(made))
    what = "proof" if len(made) == 1 else f"{len(made)} proofs"
    note(f"{what} written to {output}: check with `tally verify {output} --genesis HASH`")


def _is_list(page: dict[str, Any]) -> bool:
    """Whether an option of lists was given."""
    return any(page[name] for name in ("since", "until", "oldest", "after")) or page["from_block"] is not None


def _no_proof_of_a_list(prove: bool) -> None:
    if prove:
        raise CliError("a list is not proved: prove each of its rows by its id")


def _block_lines(found: dict[str, Any]) -> list[str]:
    lines = facts(
        [
            ("block", found["height"]),
            ("time", moment(found["time"])),
            ("hash", found["digest"]),
            ("proposer", found.get("proposer")),
            ("signed by", _signed_by(found.get("certificate"))),
        ]
    )
    if "transactions" not in found:
        return lines
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
    return [*lines, "", *table(["transaction", "chain", "did", "records", "outcome"], rows)]


def _short(value: Any) -> str:
    return "absent" if value is None else str(plain(value))


def _signed_by(certificate: Any) -> str | None:
    return None if certificate is None else ", ".join(str(row[0]) for row in certificate[6])


def _outcome(receipt: dict[str, Any]) -> str:
    return "done" if receipt["status"] == 0 else f"failed: {receipt['code']}"
