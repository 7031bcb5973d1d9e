"""``tally evidence``: everything that a court needs of one claim, in one file that proves itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.command import EXISTING_FILE, FILE, Settings, group
from cli.errors import REJECTED, UNVERIFIED, CliError, not_found
from cli.output import facts, note, show, write_file
from cli.session import Session
from cli.values import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chain.checkpoint import Log
    from chain.sealed import Opening
    from tallystick.client import Client
    from tallystick.evidence.assemble import AnchorRow, Discloser
    from tallystick.evidence.contents import Sealed
    from tallystick.evidence.facts import Chosen, Stated

command = group("evidence", "A case's evidence as one file that proves itself: export.")

CONSORTIUM: Final = "consortium"
_EXAMPLE: Final = """\
tally evidence export 8a31… -o bundle.zip --home net --as lender
tally evidence export 8a31… -o bundle.zip --record 9b1d… --open 9b1d…=payee_account --key keys/signer.json"""


@command.command("export", signs=True, example=_EXAMPLE)
@click.argument("case")
@click.option("-o", "--output", type=FILE, required=True, help="file to write, a ZIP file")
@click.option("--record", "records", multiple=True, metavar="ID", help="a further record: an order, a bill, …")
@click.option("--open", "opened", multiple=True, metavar="ID=FIELD,…", help="sealed fields to disclose to this court")
@click.option("--originals/--no-originals", default=True, help="the files that the records were read from")
@click.option(
    "--particulars", type=EXISTING_FILE, help="JSON: what the court's forms ask and the chain does not know"
)
@click.option("--documents/--no-documents", default=True, help="the papers of the route, set as PDF/A")
@click.option("--document", "papers", type=EXISTING_FILE, multiple=True, help="a paper of your own to put beside")
@click.option("--as-of", default="", metavar="DAY", help="of a suit: the day that the claim is computed for")
@click.option(
    "--terms", metavar="PENALTY,COMPOUND,DAYS", help="of a suit without a deed: basis points and 360 or 365"
)
@click.option("--unanchored", is_flag=True, help="as of the newest block, though nothing public shows it yet")
@click.pass_obj
def export(
    settings: Settings,
    case: str,
    output: Path,
    records: tuple[str, ...],
    opened: tuple[str, ...],
    originals: bool,
    particulars: Path | None,
    documents: bool,
    papers: tuple[Path, ...],
    as_of: str,
    terms: str | None,
    unanchored: bool,
) -> None:
    """Write the evidence of a CASE (or of an application), as its creditor, and verify it before it goes out.

    The loan's own records are in it anyway; --record adds others, --open discloses single sealed fields of them for
    this case only. All states are as of the newest anchored block.
    """
    from contracts.errors import ContractError
    from tallystick.evidence import FAIL, verify_bundle
    from tallystick.evidence.archive import ArchiveError
    from tallystick.evidence.assemble import ExportError, assemble

    own = {path.name: path.read_bytes() for path in papers}
    with Session(settings) as session:
        session.unlock()
        client = session.client
        chosen = _chosen(client, case, records, opened, as_of, terms)
        _require_creditor(session, chosen.application)
        anchored, log = anchored_log(client, unanchored)
        height = client.status()["height"] if unanchored else max(row.size for row in anchored)
        try:
            data = assemble(
                client, chosen, session.key, session.owner["id"], height,
                disclose=_discloser(client, originals), anchored=anchored, log=log,
                documents=lambda stated: (_papers(stated, chosen.case, particulars) if documents else {}) | own,
            )  # fmt: skip
        except ContractError as error:
            raise CliError(error.message, code=error.code, exit_code=REJECTED) from None
        except (KeyError, ValueError) as error:
            if isinstance(error, ExportError | ArchiveError):
                raise CliError(str(error), code=error.code, exit_code=REJECTED) from None
            said = f"{error} (as of block {height}: is all of the case anchored? see `tally anchor status`)"
            raise CliError(said, code="NOT_WHOLE", exit_code=REJECTED) from None
        network_id = client.network_id
    from chain.anchor import Trusted

    verdict = verify_bundle(data, network_id, Trusted())  # a node may be wrong: never pass it on
    if verdict.status == FAIL:
        failed = next(outcome for outcome in verdict.outcomes if outcome.name == verdict.failed[0])
        said = f"what the node gave does not stand: check {failed.name!r}: {failed.lines[0]}"
        raise CliError(said, code="NOT_PROVED", exit_code=UNVERIFIED)
    write_file(output, data, private=True)
    _tell(settings, output, data, verdict.facts, height, len(anchored), network_id)


def _tell(
    settings: Settings,
    output: Path,
    data: bytes,
    stated: dict[str, Any],
    height: int,
    anchors: int,
    network_id: bytes,
) -> None:
    count = sum(len(paper["versions"]) for paper in stated["papers"])
    value = {
        "path": str(output), "bytes": len(data), "height": height, "records": count, "anchors": anchors,
        "route": stated["route"]["letter"], "network_id": network_id,
    }  # fmt: skip
    lines = facts([("bundle", str(output)), ("bytes", len(data)), ("as of block", height), ("records", count)])
    show(settings, value, [*lines, f"Check it offline: tally verify {output} --genesis HASH --trust FILE"])


def _chosen(
    client: Client, text: str, records: tuple[str, ...], opened: tuple[str, ...], as_of: str, terms: str | None
) -> Chosen:
    """What the claimant decides on the bundle of a case, or of an application. Raises CliError."""
    from contracts import claims
    from contracts.errors import ContractError
    from tallystick.evidence.facts import Chosen
    from tallystick.evidence.walk import PaperName

    names = dict(_opened(text) for text in opened)
    if len(names) != len(opened):
        raise CliError("a record's fields are opened twice: name them in one --open ID=FIELD,FIELD")
    agreed = None
    if terms is not None:
        penalty, compound, days = _numbers(terms)
        asked = claims.Terms(penalty, compound, days, False)
        try:
            agreed = claims.terms(asked._asdict())
        except ContractError as error:
            raise CliError(f"--terms {terms}: {error.message}") from None
    identity = digest(text, "case")
    case: dict[str, Any] | None = client.state(CONSORTIUM, "court", "case", identity)
    if case is None and client.state(CONSORTIUM, "credit", "application", identity) is None:
        raise not_found(f"there is no case or application {text}: `tally court show` lists yours")
    papers = set()
    for record in dict.fromkeys([*(digest(text, "record") for text in records), *names]):
        places = client.record_places(record)
        if not places:
            raise not_found(f"no record {record.hex()} is sealed: check the id (tally query record)")
        papers |= {PaperName(row["chain"], row["kind"], row["issuer"], row["number"]) for row in places}
    return Chosen(
        application=identity if case is None else case["application"],
        papers=tuple(sorted(papers)),
        opened=tuple(sorted(names.items())),
        as_of=as_of,
        terms=agreed,
        case=b"" if case is None else identity,
    )


def _require_creditor(session: Session, application: bytes) -> None:
    """A bundle is signed by the lender whose claim it is. Raises CliError NOT_YOUR_CASE."""
    lender = session.client.state(CONSORTIUM, "credit", "application", application)["lender"]
    if session.owner["id"] != lender:
        said = f"the claim is {lender}'s, the key is {session.owner['id']}'s: its creditor exports the evidence"
        raise CliError(said, code="NOT_YOUR_CASE", exit_code=REJECTED)


def _opened(text: str) -> tuple[bytes, tuple[str, ...]]:
    record, _, fields = text.partition("=")
    names = tuple(sorted({name.strip() for name in fields.split(",") if name.strip()}))
    if not names:
        raise CliError(f"--open {text[:80]!r} opens nothing: write RECORD=FIELD,FIELD")
    return digest(record, "record"), names


def _numbers(text: str) -> tuple[int, int, int]:
    try:
        penalty, compound, days = (int(part) for part in text.split(","))
    except ValueError:
        raise CliError(f"--terms {text[:40]!r} is not PENALTY,COMPOUND,DAYS: for example 1500,1500,365") from None
    return penalty, compound, days


def _papers(stated: Stated, case: bytes, path: Path | None) -> dict[str, bytes]:
    """The papers of the case's route, with what they were set from. Raises CliError."""
    from tallystick.litigation import particulars as claimants
    from tallystick.litigation.documents import files_of
    from tallystick.litigation.facts import LitigationError
    from tallystick.litigation.gather import case_facts

    if not case:
        note("an application has no court: no papers are set (export the case that `tally court open` gave)")
        return {}
    try:
        data = b"{}" if path is None else path.read_bytes()
        found = case_facts(stated, claimants.parse(data, str(path)), case)
        return {**files_of(found), "particulars.json": data}
    except LitigationError as error:
        raise CliError(f"{error}, or export with --no-documents", code=error.code, exit_code=REJECTED) from None


def _discloser(client: Client, originals: bool) -> Discloser:
    """What the bundle shows of a record: the fields named, and the raw file where this node may read it."""
    from chain.disclosure import Disclosure
    from chain.sealed import SealingError
    from tallystick.client import ClientError
    from tallystick.disclosure import DisclosureError, body_of, raw_of
    from tallystick.evidence.assemble import Opened

    def disclose(chain: str, record: Sealed, proof: bytes, names: Sequence[str]) -> Opened:
        raw, names_proof = None, None
        openings: tuple[Opening, ...] = ()
        try:
            if names:
                body = body_of(client, chain, record.array)
                openings, names_proof = tuple(body.open(name) for name in sorted(names)), body.names()
        except (DisclosureError, SealingError, ClientError) as error:
            said = f"{' '.join(record.natural_key)}: {error}"
            raise CliError(said, code=error.code, exit_code=REJECTED) from None
        try:
            raw = raw_of(client, chain, record.array) if originals else None
        except (SealingError, ClientError) as error:
            note(f"without the original of {' '.join(record.natural_key)}: {error}")
        if raw is None and not names:
            return Opened(None, None)
        made = Disclosure(proof, names_proof, openings, None if raw is None else raw.salt)
        return Opened(made, None if raw is None else raw.file)

    return disclose


def anchored_log(client: Client, unanchored: bool) -> tuple[list[AnchorRow], Log | None]:
    """The confirmed anchors, and the log of the blocks they cover. Raises CliError NOT_ANCHORED."""
    from chain.checkpoint import Log, leaf
    from tallystick.evidence.assemble import AnchorRow
    from tallystick.headers import sync

    count = client.state(CONSORTIUM, "anchor", "anchor_count") or 0
    entries = client.states(CONSORTIUM, "anchor", [["anchor", number] for number in range(count)])
    rows = [AnchorRow(row["backend"], row["size"], row["root"], row["proof"], row["public_time"]) for row in entries]
    if not rows:
        if unanchored:
            return [], None
        said = "nothing is anchored yet: see `tally anchor status`, or export with --unanchored"
        raise CliError(said, code="NOT_ANCHORED", exit_code=REJECTED)
    log = Log()
    with tempfile.TemporaryDirectory() as folder:
        headers, _ = sync(Path(folder) / "headers", client.network_id, [client.headers])
        for height, block_hash, certificate_hash in headers.log_entries(max(row.size for row in rows)):
            log.append(leaf(client.network_id, height, block_hash, certificate_hash))
    return rows, log
