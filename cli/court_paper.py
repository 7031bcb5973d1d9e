"""``tally court`` for a court without a node: hand in, answer (the court's side, offline), take back."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any, Final

import click

from cli import court_folder, court_work
from cli.command import EXISTING_FILE, FOLDER, Settings, TallyCommand
from cli.errors import REJECTED, UNVERIFIED, CliError
from cli.output import facts, read_file, show, write_file
from cli.session import Session

SIGNATURE_SIZE: Final = 64
MAX_SIGNATURE: Final = 16_384
MAX_CERTIFICATE: Final = 65_536
_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)

_CASE = click.argument("case_id", metavar="CASE")


@click.command(
    "hand-in",
    cls=TallyCommand,
    signs=True,
    example="tally court hand-in 8a31… bundle.zip -o to-court --court-name 上海金融法院 --home net --as lender",
)
@_CASE
@click.argument("bundle", type=EXISTING_FILE)
@click.option("-o", "--output", type=FOLDER, required=True, help="folder to hand over; new or empty")
@click.option("--court", metavar="MEMBER", help="a court that is a member")
@click.option("--court-name", help="the name of any other court")
@click.pass_obj
def hand_in(
    settings: Settings, case_id: str, bundle: Path, output: Path, court: str | None, court_name: str | None
) -> None:
    """File the bundle with a court without a node: on the chain, and as a folder to hand over.

    A case that the court answered by asking for more takes a further bundle the same way; the folder of a bundle
    that is filed already is written again.
    """
    data = court_work.bundle_of(bundle, court_work.MAX_BY_HAND)
    with Session(settings) as session:
        case = court_work.case_of(session, case_id)
        court_folder.require_bundle(data, output)
        case = _filed(session, case, data, court, court_name)
        names = court_folder.write(output, session.client.network_id, case, data)
    value = {"case": case["id"], "folder": str(output), "files": names, "filing": len(case["filings"]) - 1}
    lines = [f"{output}: hand it over whole; `tally court take-back` brings the signed answer in", *names]
    show(settings, value, lines)


@click.command(
    "answer",
    cls=TallyCommand,
    example="tally court answer to-court --answer accepts --number '(2026)沪74执12号' --day 2026-11-24 --key k.json",
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--answer", "answer", required=True, type=click.Choice(["received", "asks", "accepts", "rejects"]))
@click.option("--number", default="", help="the docket number; wanted with accepts")
@click.option(
    "--code", default="", help="why it rejects: NOT_ENFORCEABLE, NOT_COMPETENT, INCOMPLETE, NO_CLAIM, OTHER"
)
@click.option("--text", default="", help="what is asked for, or why; one line")
@click.option("--day", required=True, metavar="YYYY-MM-DD", help="day of the answer")
@click.option(
    "--key", "key_file", type=EXISTING_FILE, help="the court's registered key; else sign answer.txt yourself"
)
@click.pass_obj
def answer(
    settings: Settings, folder: Path, answer: str, number: str, code: str, text: str, day: str, key_file: Path | None
) -> None:
    """Complete the answer in a handed-in folder and sign it, as the court; needs no node and no network."""
    path = folder / court_folder.ANSWER
    said = {"answer": answer, "number": number, "code": code, "text": text, "day": day}
    completed = court_folder.completed(read_file(path, court_folder.MAX_ANSWER), said)
    _require_sums(folder, completed)
    write_file(path, completed.encode())
    value: dict[str, Any] = {"answer": str(path), **said}
    lines = [f"{path}: {answer}"]
    if key_file is not None:
        from chain import keys

        with Session(settings) as session:
            key = keys.load(key_file, session.passphrase(key_file), purpose="signer")
        signature = path.with_name(f"{path.name}.sig")
        write_file(signature, key.sign(completed.encode()))
        value |= {"signature": str(signature), "key": key.public}
        lines.append(f"{signature}: signed with key {key.public.hex()}; give both files back")
    show(settings, value, lines)


@click.command(
    "take-back",
    cls=TallyCommand,
    signs=True,
    example="tally court take-back 8a31… to-court/answer.txt --home net --as lender\n"
    "tally court take-back 8a31… answer.txt --certificate court.pem --trust trust.json --home net --as lender",
)
@_CASE
@click.argument("answer_file", type=EXISTING_FILE, metavar="ANSWER")
@click.option("--signature", type=EXISTING_FILE, help="signature over its bytes; default ANSWER.sig")
@click.option("--certificate", "certificates", type=EXISTING_FILE, multiple=True, help="the signer's first; repeat")
@click.option("--algorithm", default="cms", show_default=True, help="of a signature by a certificate")
@click.option("--trust", "trust_file", type=EXISTING_FILE, help="trust file with ca_roots, for a certificate")
@click.pass_obj
def take_back(
    settings: Settings,
    case_id: str,
    answer_file: Path,
    signature: Path | None,
    certificates: tuple[Path, ...],
    algorithm: str,
    trust_file: Path | None,
) -> None:
    """Bring a court's signed answer to the chain, as the case's creditor; checked before anything is sent."""
    data = read_file(answer_file, court_folder.MAX_ANSWER)
    signed = read_file(signature or answer_file.with_name(f"{answer_file.name}.sig"), MAX_SIGNATURE)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise CliError(
            f"{answer_file} is no text: give the answer that the court signed", code="WRONG_ANSWER"
        ) from None
    with Session(settings) as session:
        session.unlock()
        case = court_work.case_of(session, case_id)
        filing, found = court_folder.read_answer(text, session.client.network_id, case)
        if filing != len(case["filings"]) - 1:
            raise CliError(
                f"the answer is to filing {filing}; the newest, {len(case['filings']) - 1}, waits for an answer",
                code="WRONG_ANSWER",
                exit_code=REJECTED,
            )
        args: dict[str, Any] = {"case": case["id"], **found._asdict()}
        if certificates or trust_file is not None:
            at = session.client.status()["time"] // 1_000
            args["ca"], who = _by_certificate(data, signed, certificates, algorithm, trust_file, at)
        else:
            args |= {"key": _registered_key(session, case, data, signed), "signature": signed}
            who = case["court"]
        state = court_work.call(session, "hand_in_acknowledged", args)
    result = state["receipt"]["result"]
    value = {**result, "answer": found._asdict(), "signed_by": who, "transaction": state}
    pairs = [("case", case_id), ("answer", found.answer), ("signed by", who), ("state", result["state"])]
    show(settings, value, facts([*pairs, ("number", found.number or None), ("says", found.text or None)]))


COMMANDS: Final = (hand_in, answer, take_back)


def _filed(
    session: Session, case: dict[str, Any], data: bytes, court: str | None, court_name: str | None
) -> dict[str, Any]:
    """The case with these bytes as its newest filing. Raises CliError."""
    from chain.crypto import sha256

    bundle = sha256(data)
    if case["filings"] and case["filings"][-1]["bundle"] == bundle and case["delivery"] == "hand_in":
        return case
    args: dict[str, Any] = {"case": case["id"], "bundle": bundle, "size": len(data)}
    if case["state"] == "asked":
        if case["delivery"] != "hand_in":
            raise CliError(
                f"{case['court']} has a node: tally court supplement", code="NOT_HANDED_IN", exit_code=REJECTED
            )
        court_work.call(session, "supplement", args)
    else:
        if (court is None) == (court_name is None):
            raise CliError("which court? give --court MEMBER, or --court-name NAME for one that is no member")
        args |= {"delivery": "hand_in", **({"court": court} if court else {"court_name": court_name})}
        court_work.call(session, "file", args)
    return court_work.case_of(session, case["id"].hex())


def _require_sums(folder: Path, answer: str) -> None:
    """The bundle in the folder is what the answer names: a court signs for what it has."""
    from chain.crypto import sha256

    data = read_file(folder / court_folder.BUNDLE, court_work.MAX_BY_HAND)
    if f"\nbundle: {sha256(data).hex()}\nsize: {len(data)}\n" not in answer:
        raise CliError(
            f"{folder / court_folder.BUNDLE} is not the bundle that the answer names: ask the claimant for it again",
            code="WRONG_BUNDLE",
            exit_code=UNVERIFIED,
        )


def _registered_key(session: Session, case: dict[str, Any], data: bytes, signature: bytes) -> bytes:
    """The court's registered key that signed. Raises CliError WRONG_SIGNATURE, KEY_NEEDED."""
    from chain.crypto import verify

    if not case["court"]:
        raise CliError(
            f"{case['court_name']} is no member and signs with a certificate: give --trust FILE with its ca_roots",
            code="CERTIFICATE_NEEDED",
        )
    if len(signature) == SIGNATURE_SIZE:
        for key in session.client.state("consortium", "registry", "keys", "member", case["court"]) or []:
            if verify(key, data, signature):
                return bytes(key)
    raise CliError(
        f"no registered key of {case['court']} signed this answer: take file and signature as the court gave them",
        code="WRONG_SIGNATURE",
        exit_code=UNVERIFIED,
    )


def _by_certificate(
    data: bytes, signature: bytes, files: tuple[Path, ...], algorithm: str, trust_file: Path | None, at: int
) -> tuple[dict[str, Any], str]:
    """(slot, who signed) of a signature by a certificate, held against the trust file's roots. Raises CliError."""
    from chain import cms, x509
    from tallystick.evidence import trust

    if trust_file is None:
        raise CliError("whose roots? give --trust FILE with ca_roots: a certificate alone proves nothing")
    try:
        trusted = trust.load(trust_file)
    except trust.TrustError as error:
        raise CliError(str(error), code=error.code) from None
    certificates = [der for path in files for der in _certificates(path)]
    try:
        found = x509.verify_detached(
            data, signature, certificates, trusted.ca_roots, at, algorithm=algorithm, crls=trusted.crls
        )
        if algorithm == x509.CMS and not certificates:
            certificates = list(cms.parse(signature).certificates)
    except x509.CertificateError as error:
        raise CliError(str(error), code=error.code, exit_code=UNVERIFIED) from None
    slot = {"algorithm": algorithm, "certificates": certificates, "signature": signature}
    return slot, found.subject


def _certificates(path: Path) -> list[bytes]:
    data = read_file(path, MAX_CERTIFICATE)
    try:
        pems = [base64.b64decode(match) for match in _PEM.findall(data)]
    except ValueError:
        pems = []
    if not pems and not data.startswith(b"\x30"):
        raise CliError(f"{path} holds no certificate, PEM or DER: give the signer's")
    return pems or [data]
