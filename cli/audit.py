"""``tally audit``: proof files that stand on their own, for an auditor, a lender or a court."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, Final

import click

from cli import anchored, bundle
from cli.bundle import Item
from cli.command import EXISTING_FILE, FILE, Settings, group
from cli.errors import CliError, not_found
from cli.output import show, write_file
from cli.session import Session
from cli.values import digest, key_part
from cli.verify import DEVELOPMENT
from cli.verify import verify as verify_path

command = group("audit", "Proof files for an auditor: export, verify.")

CREDIT: Final = ("application", "assessment", "decision", "disbursement")
WHAT: Final = ("record", "tx", *CREDIT, "preservation", "state")
MAX_EVIDENCE: Final = 256

_EXAMPLE: Final = """\
tally audit export record 9b1d… -o invoice.proof
tally audit export assessment 77aa… --with-evidence -o limit.bundle
tally audit export state consortium gov parameters -o parameters.proof"""


@command.command("export", reads=True, example=_EXAMPLE)
@click.argument("what", type=click.Choice(WHAT))
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option("--with-evidence", is_flag=True, help="of an assessment: also the records it names, in one bundle")
@click.option("--anchored", "with_anchors", is_flag=True, help="also what ties each block to a public chain")
@click.option("--at", type=click.IntRange(min=1), metavar="HEIGHT", help="of a state: as of this block")
@click.option("-o", "--output", type=FILE, required=True, help="file to write; several proofs make a bundle")
@click.pass_obj
def export(
    settings: Settings,
    what: str,
    ids: tuple[str, ...],
    with_evidence: bool,
    with_anchors: bool,
    at: int | None,
    output: Path,
) -> None:
    """Write a proof of records, transactions, assessments … that `tally verify` checks without any node.

    For state, ID… is CHAIN CONTRACT KEY…, as in `tally query state`. With --anchored, what is read from the state
    is proved as of the newest block that is anchored.
    """
    if with_evidence and what != "assessment":
        raise CliError("--with-evidence goes with an assessment")
    if at is not None and what != "state":
        raise CliError("--at goes with a state: everything else has its own block")
    with Session(settings) as session:
        if with_anchors and at is None:
            at = session.client.state("consortium", "anchor", "anchored") or None
        proofs = [_state(session, ids, at)] if what == "state" else [_one(session, what, text, at) for text in ids]
        if with_evidence:
            for text in ids:
                proofs += _evidence(session, digest(text, "assessment id"))
        network_id = session.client.network_id
        ties = anchored.ties(session, proofs) if with_anchors else []
    for number, proof in enumerate(proofs, 1):
        bundle.check(Item(f"proof {number} of the node", proof), network_id)  # a node may be wrong: never pass it on
    write_file(output, bundle.pack(proofs, ties) if ties or len(proofs) > 1 else proofs[0])
    value = {"path": str(output), "proofs": len(proofs), "anchors": len(ties), "network_id": network_id}
    lines = [f"{len(proofs)} proof{'s' if len(proofs) > 1 else ''} written to {output}"]
    lines += [f"Check it offline: tally verify {output} --genesis HASH (this node says {network_id.hex()})"]
    show(settings, value, lines)


@command.command("verify", example="tally audit verify limit.bundle --genesis f1f734db…")
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--genesis", "genesis_hash", required=True, metavar="HASH", help="64 digits, from outside the file")
@click.option(
    "--trust", "trust_file", type=EXISTING_FILE, help="JSON file: public hashes, senders, roots and witnesses"
)
@DEVELOPMENT
@click.pass_obj
def verify(settings: Settings, path: Path, genesis_hash: str, trust_file: Path | None, development: bool) -> None:
    """Check a proof or bundle offline; the same as `tally verify`."""
    verify_path(settings, path, genesis_hash, trust_file, development=development)


def _one(session: Session, what: str, text: str, at: int | None) -> bytes:
    identity = digest(text, f"{what} id")
    client = session.client
    if what == "record":
        return client.prove_record(identity)
    if what == "tx":
        return client.prove_transaction(identity)
    contract = "notary" if what == "preservation" else "credit"
    if client.state("consortium", contract, what, identity) is None:
        raise not_found(f"there is no {what} {text}: check the id")
    if at is not None and client.state("consortium", contract, what, identity, at=at) is None:
        raise CliError(
            f"{what} {text} is not anchored yet, only blocks up to {at} are: see `tally anchor status`",
            code="NOT_ANCHORED",
            exit_code=3,
        )
    return client.prove_state("consortium", contract, what, identity, at=at)


def _state(session: Session, words: tuple[str, ...], at: int | None) -> bytes:
    if len(words) < 3:
        raise CliError("a state is named by CHAIN CONTRACT KEY…, for example: state consortium gov parameters")
    chain, contract, *key = words
    return session.client.prove_state(chain, contract, *map(key_part, key), at=at)


def _evidence(session: Session, assessment_id: bytes) -> list[bytes]:
    """Proofs of contract, guarantees, what the reasons name, and of each bill with the papers behind it."""
    from cli.explain import evidence_of

    found: dict[str, Any] = session.client.state("consortium", "credit", "assessment", assessment_id)
    ids = [found["contract_id"], *found["guarantees"]]
    for reason in found["reasons"]:
        ids += reason["evidence"]
    ids += islice(evidence_of(session.client, found), MAX_EVIDENCE)
    return [session.client.prove_record(record) for record in list(dict.fromkeys(ids))[:MAX_EVIDENCE]]
