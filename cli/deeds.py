"""``tally notary`` for a deed: draft, consent, countersign, demand, revoke, and showing one.

Who signs sees what is signed: the content is printed, hashed here and held against the digest on the chain.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import click

from cli.command import EXISTING_FILE, FILE, Settings, TallyCommand
from cli.deed_words import content_in_words, deed_in_words
from cli.errors import REJECTED, CliError, not_found
from cli.loans import stored, today
from cli.output import facts, note, read_file, show, write_file
from cli.session import Session, submit
from cli.values import digest, minor_units

MAX_TEXT: Final = 16 * 1024 * 1024
MAX_CERTIFICATE: Final = 64 * 1024
DOCUMENT_KIND: Final = "deed"

DEED = click.argument("deed", metavar="DEED")
DAY: Final = "YYYY-MM-DD"


@click.command(
    "draft",
    cls=TallyCommand,
    signs=True,
    example="tally notary draft 5f0c… --notary office --ceiling 90000.00 --text deed.pdf --address '1 Mill Lane' "
    "--guarantor aunt:joint:5000.00:'2 Mill Lane' --home net --as lender",
)
@click.argument("application", metavar="APPLICATION")
@click.option("--notary", required=True, metavar="MEMBER", help="the notary that countersigns")
@click.option("--ceiling", required=True, metavar="AMOUNT", help="most principal that the deed covers")
@click.option(
    "--text", type=EXISTING_FILE, required=True, help="the deed's text: kept in your vault, hash on the chain"
)
@click.option("--language", default="zh", show_default=True, help="of the text")
@click.option("--penalty-bp", type=click.IntRange(0, 10_000), default=0, help="a year, on overdue principal")
@click.option("--compound-bp", type=click.IntRange(0, 10_000), default=0, help="a year, on overdue interest")
@click.option("--day-count", type=click.Choice(["360", "365"]), default="365", show_default=True)
@click.option("--acceleration/--no-acceleration", default=False, help="whether what is not due may be called in")
@click.option(
    "--way",
    type=click.Choice(["letter", "telephone", "message", "email", "visit", "chain"]),
    default="letter",
    show_default=True,
    help="how the notary asks the debtor whether it paid",
)
@click.option("--address", default="", help="where the debtor is asked; nothing with --way chain")
@click.option("--answer-days", type=click.IntRange(1, 60), default=7, show_default=True)
@click.option(
    "--guarantor",
    "guarantors",
    multiple=True,
    metavar="ID:joint|general:AMOUNT|all[:ADDRESS]",
    help="a guarantor whom the deed binds; repeat",
)
@click.option("--record", "records", multiple=True, metavar="RECORD", help="id of a record it rests on; repeat")
@click.pass_obj
def draft(settings: Settings, /, application: str, text: Path, **given: Any) -> None:
    """Draft an enforceable deed over an approved loan, as its lender. Every party then consents with its own key."""
    identity = digest(application, "application")
    data = read_file(text, MAX_TEXT)
    with Session(settings) as session:
        session.unlock()
        scale = stored(session, "line", identity)["scale"]
        args = {
            "application": identity,
            "notary": given["notary"],
            "ceiling": minor_units(given["ceiling"], scale, "--ceiling"),
            "terms": {
                "penalty_bp": given["penalty_bp"],
                "compound_bp": given["compound_bp"],
                "day_count": int(given["day_count"]),
                "acceleration": given["acceleration"],
            },
            "verification": {
                "method": given["way"],
                "address": given["address"],
                "answer_days": given["answer_days"],
            },
            "text_hash": kept(session, data),
            "language": given["language"],
            "guarantors": [_guarantor(session, item, scale) for item in given["guarantors"]],
            "records": [_record(session, item) for item in given["records"]],
        }
        state = call(session, "draft", args)
        deed = deed_of(session, bytes.fromhex(state["receipt"]["result"]["id"]))
    lines = content_in_words(deed)
    lines.append(f"Next: every party gives tally notary consent {deed['id'].hex()}")
    show(settings, {**state["receipt"]["result"], "transaction": state}, lines)


@click.command(
    "consent",
    cls=TallyCommand,
    signs=True,
    example="tally notary consent 9b1d… --text deed.pdf --home net --as kestrel",
)
@DEED
@click.option("--text", type=EXISTING_FILE, help="your copy of the deed's text: it must be the one drafted")
@click.option("--digest", "expected", metavar="HASH", help="refuse unless the content has this digest")
@click.option(
    "--ca-algorithm", type=click.Choice(["cms", "ed25519", "ecdsa-sha256", "rsa-pkcs1-sha256", "rsa-pss-sha256"])
)
@click.option(
    "--ca-certificate", "certificates", type=EXISTING_FILE, multiple=True, help="the signer's first; repeat"
)
@click.option("--ca-signature", type=EXISTING_FILE, help="over the bytes of `tally notary deed DEED --bytes FILE`")
@click.pass_obj
def consent(
    settings: Settings,
    deed: str,
    text: Path | None,
    expected: str | None,
    ca_algorithm: str | None,
    certificates: tuple[Path, ...],
    ca_signature: Path | None,
) -> None:
    """Consent to a deed: to enforcement without a suit, and to the way in which the notary verifies performance."""
    with Session(settings) as session:
        found = deed_of(session, digest(deed, "deed"))
        show_content(found, settings)
        if text is not None and hashlib.sha256(read_file(text, MAX_TEXT)).digest() != found["text_hash"]:
            raise CliError(f"{text} is not the text of this deed: its hash differs; ask the creditor for the text")
        if expected is not None and digest(expected, "--digest") != found["digest"]:
            raise CliError(f"the deed's digest is {found['digest'].hex()}, not the one given: read it again")
        args = {"deed": found["id"], "digest": found["digest"], "enforcement": True, "verification": True}
        if ca_algorithm or certificates or ca_signature:
            args["ca"] = _ca(ca_algorithm, certificates, ca_signature)
        state = call(session, "consent", args)
    result = state["receipt"]["result"]
    waits = ", ".join(result["missing"]) or "nobody: the notary countersigns"
    lines = facts([("deed", deed), ("state", result["state"]), ("still to consent", waits)])
    show(settings, {"deed": found["id"], **result, "transaction": state}, lines)


@click.command(
    "countersign",
    cls=TallyCommand,
    signs=True,
    example="tally notary countersign 9b1d… --number 2026-017 --home net --as office",
)
@DEED
@click.option("--number", required=True, help="number of the notarial deed in your register")
@click.pass_obj
def countersign(settings: Settings, deed: str, number: str) -> None:
    """Make a deed enforceable, as its notary, once every party has consented."""
    with Session(settings) as session:
        found = deed_of(session, digest(deed, "deed"))
        show_content(found, settings)
        state = call(session, "countersign", {"deed": found["id"], "digest": found["digest"], "number": number})
    result = state["receipt"]["result"]
    lines = facts([("deed", deed), ("state", result["state"]), ("number", number)])
    show(settings, {"deed": found["id"], **result, "transaction": state}, lines)


@click.command(
    "demand",
    cls=TallyCommand,
    signs=True,
    example="tally notary demand 9b1d… --text 'pay what is due' --evidence letter.pdf --home net --as lender",
)
@DEED
@click.option("--text", required=True, help="what was demanded, one line")
@click.option("--on", "day", metavar=DAY, help="the day of the demand; default today, by block time")
@click.option("--evidence", type=EXISTING_FILE, help="what shows it: kept in your vault, hash on the chain")
@click.pass_obj
def demand(settings: Settings, deed: str, text: str, day: str | None, evidence: Path | None) -> None:
    """Record that performance was demanded, as the creditor: the limitation period starts anew."""
    with Session(settings) as session:
        session.unlock()
        found = deed_of(session, digest(deed, "deed"))
        args: dict[str, Any] = {"deed": found["id"], "on": day or today(session, found["zone"]), "text": text}
        if evidence is not None:
            args["evidence"] = kept(session, read_file(evidence, MAX_TEXT))
        state = call(session, "demand", args)
    result = state["receipt"]["result"]
    lines = facts([("deed", deed), ("demanded on", args["on"]), ("court may be asked until", result["last_day"])])
    show(settings, {"deed": found["id"], **result, "transaction": state}, lines)


@click.command(
    "revoke",
    cls=TallyCommand,
    signs=True,
    example="tally notary revoke 9b1d… --reason OTHER --text 'a wrong address' --home net --as lender",
)
@DEED
@click.option("--reason", required=True, help="a word of your own, for example UNLAWFUL")
@click.option("--text", required=True, help="why, one line")
@click.pass_obj
def revoke(settings: Settings, deed: str, reason: str, text: str) -> None:
    """End a deed: the creditor its draft, the notary what it countersigned, a court a certificate."""
    end(settings, "revoke", deed, {"reason": reason, "text": text})


@click.command("deed", cls=TallyCommand, reads=True, example="tally notary deed 9b1d… --home net --as lender")
@click.argument("wanted", metavar="DEED | APPLICATION")
@click.option("--bytes", "output", type=FILE, help="write what consents are about, for a signature by a CA's key")
@click.pass_obj
def show_deed(settings: Settings, wanted: str, output: Path | None) -> None:
    """Show a deed, or the newest of an application: content, consents, steps, and the limitation period."""
    identity = digest(wanted, "id")
    with Session(settings) as session:
        ids = session.client.state("consortium", "notary", "deeds_of", identity)
        found = deed_of(session, ids[-1] if ids else identity)
        steps = _steps(session, found)
        limitation = _limitation(session, found)
    if output is not None:
        write_file(output, statement_bytes(found))
    lines = [*content_in_words(found), "", *deed_in_words(found, steps, limitation)]
    show(settings, {**found, "steps": steps, "limitation": limitation}, lines)


COMMANDS: Final = (draft, consent, countersign, demand, revoke, show_deed)


def call(session: Session, method: str, args: dict[str, Any]) -> dict[str, Any]:
    """One step of a deed as a transaction; gives its state with the receipt."""
    return submit(session, chain="consortium", contract="notary", method=method, args=args)


def end(settings: Settings, method: str, deed: str, args: dict[str, Any]) -> None:
    """A step that ends something: its state is all there is to show."""
    with Session(settings) as session:
        found = deed_of(session, digest(deed, "deed"))
        state = call(session, method, {"deed": found["id"], **args})
    result = state["receipt"]["result"]
    value = {"deed": found["id"], **result, "transaction": state}
    show(settings, value, facts([("deed", deed), ("state", result["state"])]))


def deed_of(session: Session, identity: bytes) -> dict[str, Any]:
    """A deed by its id; one whose content is not what its digest says is refused. Raises CliError."""
    found: dict[str, Any] | None = session.client.state("consortium", "notary", "deed", identity)
    if found is None:
        raise not_found(f"there is no deed {identity.hex()}: check the id")
    found = {**found, "network": session.client.network_id}
    if hashlib.sha256(statement_bytes(found)).digest() != found["digest"]:
        raise CliError(
            "the node shows a deed that is not the one of its digest: ask another node", code="DEED_DIFFERS"
        )
    return found


def statement_bytes(deed: dict[str, Any]) -> bytes:
    """What consents are about, in its canonical encoding."""
    from chain.codec import encode
    from contracts.enforceable_deed import statement

    return encode(statement(deed["network"], deed))


def show_content(deed: dict[str, Any], settings: Settings) -> None:
    """Say on standard error what is about to be signed."""
    if not settings.json:
        for line in content_in_words(deed):
            note(line)


def kept(session: Session, data: bytes) -> bytes:
    """The sha256 of a file; a member's node keeps the file in its vault. A party hands it to the notary itself."""
    if session.owner["owner"] == "member":
        return session.client.put_document(data, [DOCUMENT_KIND])
    return hashlib.sha256(data).digest()


def _guarantor(session: Session, text: str, scale: int) -> dict[str, Any]:
    parts = text.split(":", 3)
    if len(parts) < 3 or parts[1] not in ("joint", "general"):
        raise CliError(f"--guarantor {text!r}: write ID:joint:5000.00:address, or all in place of the amount")
    identity, kind, amount = parts[:3]
    is_member = session.client.state("consortium", "registry", "member", identity) is not None
    return {
        "owner": "member" if is_member else "party",
        "id": identity,
        "kind": kind,
        "covers": None if amount == "all" else minor_units(amount, scale, "--guarantor"),
        "address": parts[3] if len(parts) == 4 else "",
    }


def _record(session: Session, text: str) -> dict[str, Any]:
    identity = digest(text, "record")
    places = session.client.record_places(identity)
    if not places:
        raise not_found(f"no chain has record {text}: ingest it first")
    return {**{part: places[0][part] for part in ("chain", "kind", "issuer", "number")}, "record": identity}


def _ca(algorithm: str | None, certificates: tuple[Path, ...], signature: Path | None) -> dict[str, Any]:
    if algorithm is None or not certificates or signature is None:
        raise CliError("a CA signature is --ca-algorithm, --ca-certificate and --ca-signature together")
    return {
        "algorithm": algorithm,
        "certificates": [_der(path) for path in certificates],
        "signature": read_file(signature, MAX_CERTIFICATE),
    }


def _der(path: Path) -> bytes:
    """A certificate's DER, of a DER or PEM file."""
    import ssl

    data = read_file(path, MAX_CERTIFICATE)
    if not data.lstrip().startswith(b"-----BEGIN"):
        return data
    try:
        return ssl.PEM_cert_to_DER_cert(data.decode("ascii").strip())
    except ValueError:
        raise CliError(f"{path} is no certificate in PEM: give one certificate a file") from None


def _steps(session: Session, deed: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything that was done with a deed, in order."""
    identity, claims = deed["id"], range(1, deed["claims"] + 1)
    places: list[tuple[str, tuple[Any, ...]]] = [
        ("consent", (owner, consenting)) for owner, consenting in deed["consents"]
    ]
    places += [("countersignature", ()), ("certificate", ()), ("execution", ()), ("revocation", ())]
    places += [("demand", (number,)) for number in range(deed["demands"])]
    places += [("answer", (number,)) for number in range(deed["answers"])]
    places += [(name, (number,)) for number in claims for name in ("default", "verification")]
    places += [("refusal", (number,)) for number in (0, *claims)]
    found = session.client.states("consortium", "notary", [(name, identity, *rest) for name, rest in places])
    steps = [{"step": name, **entry} for (name, _), entry in zip(places, found, strict=True) if entry is not None]
    return sorted(steps, key=lambda step: int(step["height"]))


def _limitation(session: Session, deed: dict[str, Any]) -> dict[str, Any]:
    from cli.state_view import StateView
    from contracts import enforceable_limitation

    view = StateView(session.client, session.client.status()["height"], contract="notary")
    period = enforceable_limitation.of(view, deed)
    return {**period._asdict(), "passed": period.passed(view.time)}


def refused_by_contract(error: Any) -> CliError:
    """What the contract's own function refuses, said before anything is sent."""
    return CliError(error.message, code=error.code, exit_code=REJECTED)
