"""``tally court papers`` and ``sign``: the documents of a case in a folder, to read, to sign, to put into the bundle.

What they state comes from the chain by the same walk that the bundle is made and checked with
(tallystick/evidence/walk.py), and from the claimant's particulars.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli import court_work
from cli.command import EXISTING_FILE, FILE, FOLDER, Settings, TallyCommand
from cli.errors import REJECTED, CliError
from cli.output import read_file, show, table, write_file
from cli.session import Session

if TYPE_CHECKING:
    from chain.crypto import SigningKey
    from contracts import claims
    from tallystick.client import Client
    from tallystick.evidence.contents import Done
    from tallystick.evidence.facts import Stated
    from tallystick.litigation import CaseFacts

MAX_FILE: Final = 64 * 1024 * 1024
_CACHED: Final = 65_536


class NodeSource:
    """A node's state as of one block, for the walk through a case (tallystick/evidence/view.py); without proofs."""

    def __init__(self, client: Client, height: int) -> None:
        self.height = height
        self.time: int = client.block(height)["time"]
        self.network_id = client.network_id
        self._client = client
        self._read = lru_cache(maxsize=_CACHED)(self._ask)

    def read(self, chain: str, contract: str, *key: str | int | bytes) -> Any:
        """State of a contract after that block, or None."""
        return self._read(chain, contract, key)

    def transaction(self, tx_id: bytes) -> Done | None:
        """A committed transaction, from its proof."""
        from tallystick.evidence.contents import Done, open_proof

        found = open_proof(self._client.prove_transaction(tx_id))
        return found if isinstance(found, Done) else None

    def _ask(self, chain: str, contract: str, key: tuple[str | int | bytes, ...]) -> Any:
        return self._client.state(chain, contract, *key, at=self.height)


@click.command(
    "papers",
    cls=TallyCommand,
    signs=True,
    example="tally court papers 8a31… -o papers --particulars case.json --home net --as lender",
)
@click.argument("case_id", metavar="CASE")
@click.option("-o", "--output", type=FOLDER, required=True, help="folder of the documents; new or empty")
@click.option("--particulars", type=EXISTING_FILE, help="JSON: what the forms ask and the chain does not know")
@click.option("--country", default="cn", show_default=True, help="whose forms: a name, or a folder of forms")
@click.option("--as-of", default="", metavar="DAY", help="of a suit: the day that the claim is computed for")
@click.option("--terms", metavar="PENALTY,COMPOUND,DAYS", help="of a suit without a deed: basis points, 360 or 365")
@click.pass_obj
def papers(
    settings: Settings,
    case_id: str,
    output: Path,
    particulars: Path | None,
    country: str,
    as_of: str,
    terms: str | None,
) -> None:
    """Write the documents of a case's route as PDF/A, with the claim's lines, evidence list and chronology.

    `tally evidence export` sets the same ones into the bundle; a paper that was signed goes in with its --document.
    """
    from tallystick.litigation import LitigationError, write_documents

    if output.exists() and any(output.iterdir()):
        raise CliError(f"{output} is not empty: choose another folder, or remove it first")
    with Session(settings) as session:
        case = court_work.case_of(session, case_id)
        stated = stated_of(session.client, session.key, case, as_of, agreed_terms(terms))
    try:
        written = write_documents(facts_of(stated, case, particulars), output, country)
    except LitigationError as error:
        raise CliError(str(error), code=error.code, exit_code=REJECTED) from None
    rows = [[row.form, row.language, str(row.path), row.sha256] for row in written]
    value = [{"form": form, "language": code, "path": path, "sha256": digest} for form, code, path, digest in rows]
    show(settings, {"case": case["id"], "route": case["route"], "documents": value},
         table(["document", "language", "file", "sha256"], rows))  # fmt: skip


@click.command(
    "sign",
    cls=TallyCommand,
    example="tally court sign papers/evidence-list.zh.pdf --pkcs12 lender.p12 -o signed.pdf --passphrase-file secret",
)
@click.argument("pdf", type=EXISTING_FILE)
@click.option("--pkcs12", type=EXISTING_FILE, required=True, help="key and certificate that sign (PKCS#12)")
@click.option("--passphrase-file", type=EXISTING_FILE, help="its passphrase; else it is asked for")
@click.option("-o", "--output", type=FILE, required=True, help="where the signed document goes")
@click.option("--reason", default="", help="put into the signature")
@click.pass_obj
def sign(
    settings: Settings, pdf: Path, pkcs12: Path, passphrase_file: Path | None, output: Path, reason: str
) -> None:
    """Sign a document with a certificate (PAdES), offline; the document itself stays byte for byte as it was."""
    from tallystick.litigation import LitigationError
    from tallystick.litigation.sign import sign_pdf

    if passphrase_file is None:
        passphrase: str = click.prompt(f"passphrase of {pkcs12}", hide_input=True, err=True)
    else:
        passphrase = read_file(passphrase_file, 4_096).decode(errors="replace").rstrip("\r\n")
    try:
        signed = sign_pdf(read_file(pdf, MAX_FILE), read_file(pkcs12, MAX_FILE), passphrase, reason=reason)
    except LitigationError as error:
        raise CliError(str(error), code=error.code) from None
    write_file(output, signed)
    show(settings, {"file": str(output), "bytes": len(signed)}, [f"{output}: signed, {len(signed)} bytes"])


COMMANDS: Final = (papers, sign)


def stated_of(
    client: Client, key: SigningKey, case: dict[str, Any], as_of: str, terms: claims.Terms | None
) -> Stated:
    """What the chain says of a case at the newest block. Raises CliError."""
    from contracts.court_route import route
    from tallystick.evidence.facts import Chosen, Stated, claim_of
    from tallystick.evidence.walk import walk

    source = NodeSource(client, client.status()["height"])
    chosen = Chosen(application=case["application"], as_of=as_of, terms=terms)
    try:
        dossier = walk(source, chosen.application, (), key.public)
        claim = claim_of(dossier, chosen)
    except (KeyError, ValueError) as error:
        raise CliError(f"the case cannot be read whole: {error}", code="NOT_WHOLE", exit_code=REJECTED) from None
    network = {"network_id": source.network_id.hex()}
    return Stated(dossier, chosen, route(source, chosen.application, case["respondents"]), claim, network)


def facts_of(stated: Stated, case: dict[str, Any], particulars: Path | None) -> CaseFacts:
    """The facts of a case's documents. Raises LitigationError."""
    from tallystick.litigation import Particulars, case_facts
    from tallystick.litigation.particulars import load

    said = Particulars() if particulars is None else load(particulars)
    return case_facts(stated, said, case["id"])


def agreed_terms(text: str | None) -> claims.Terms | None:
    """Terms of ``--terms PENALTY,COMPOUND,DAYS``. Raises CliError."""
    from contracts import claims
    from contracts.errors import ContractError

    if text is None:
        return None
    try:
        penalty, compound, days = (int(part) for part in text.split(","))
    except ValueError:
        raise CliError(f"--terms {text[:40]!r} is not PENALTY,COMPOUND,DAYS: for example 1500,1500,365") from None
    try:
        return claims.terms(claims.Terms(penalty, compound, days, False)._asdict())
    except ContractError as error:
        raise CliError(f"--terms {text[:40]}: {error.message}", code=error.code) from None
