"""From what the chain says of a case, and the claimant's particulars, to the facts that its documents state.

Pure: the chain's part is a `Stated` (tallystick/evidence/facts.py), read from a node or out of a bundle's proofs, so
that the documents say what the bundle proves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from contracts import claims
from contracts.access import CONSORTIUM, MEMBER, PARTY
from tallystick.litigation.chronology import chronology, day_of_time
from tallystick.litigation.facts import (
    CaseFacts,
    Collateral,
    Deed,
    Disbursement,
    Evidence,
    Guarantor,
    LitigationError,
    Loan,
    Party,
)
from tallystick.litigation.particulars import GuaranteeEntry, Particulars

if TYPE_CHECKING:
    from tallystick.evidence.facts import Stated
    from tallystick.evidence.walk import DeedFile, Dossier, Paper

_PROVES: Final = {
    "loan": "disbursement",
    "repayment": "repayment",
    "guarantee": "guarantee",
    "qualification": "identity",
}
"""What a kind of record proves; any other: that the trade is real."""
_SOURCE, _FIELDS, _RAW_HASH = 11, 12, 3  # places in the record array, and in its source


def case_facts(stated: Stated, particulars: Particulars, case: bytes = b"") -> CaseFacts:
    """The facts of a case's documents.

    case: its id, b"" for the newest of the application. Raises LitigationError CASE_MISSING, or CLAIM_MISSING where
    nothing says to which day and by which terms the claim is computed.
    """
    found, chosen = stated.dossier, stated.chosen
    if stated.claim is None:
        raise LitigationError(
            "CLAIM_MISSING", "no certificate states the claim: give the day it is computed to, and the terms agreed"
        )
    entry = _case(found, case)
    names = _names(found, particulars)
    line, file = found.line, found.deed
    certified = file is not None and file.certificate is not None and not chosen.as_of
    called_in = (
        file.certificate["accelerated_on"] if certified and file and file.certificate else chosen.accelerated_on
    )
    guarantors = tuple(_guarantors(found, file, particulars, names))
    respondents = tuple(entry["respondents"])
    opponents = particulars.copies if particulars.copies is not None else len(respondents)
    return CaseFacts(
        route=_letter(entry["route"]),
        case=entry["id"],
        network=bytes.fromhex(stated.facts["network_id"]),
        application=found.application["id"],
        court=particulars.court or names.get(entry["court"], entry["court_name"]),
        creditor=_party(found, MEMBER, line["lender"], particulars, names),
        debtor=_party(found, PARTY, line["enterprise"], particulars, names),
        loan=_loan(found, particulars),
        claim=stated.claim,
        agreed=_terms(stated),
        currency=line["currency"],
        scale=found.scale,
        zone=found.zone,
        guarantors=guarantors,
        collateral=tuple(Collateral(**one.model_dump()) for one in particulars.collateral),
        disbursements=tuple(_disbursement(paid, found.zone) for paid in found.disbursements),
        deed=None if file is None else _deed(file, names),
        accelerated_on=called_in,
        against=respondents,
        reasons=tuple((code, text) for code, text in entry["reasons"]),
        events=chronology(stated, names),
        evidence=(*_deed_evidence(file, names), *_records(found, names), *_added(particulars)),
        other_claims=tuple(particulars.other_claims),
        preservation=particulars.preservation,
        mediation=particulars.mediation,
        electronic_service=particulars.electronic_service,
        doubled_interest=particulars.doubled_interest,
        facts_text=particulars.facts_text,
        copies=opponents,
    )


def _case(found: Dossier, wanted: bytes) -> dict[str, Any]:
    for entry in reversed(found.cases):
        if not wanted or entry["id"] == wanted:
            return dict(entry)
    raise LitigationError("CASE_MISSING", "no case is opened over this application: tally court open")


def _letter(text: str) -> Literal["A", "B"]:
    return "A" if text == "A" else "B"


def _names(found: Dossier, particulars: Particulars) -> dict[str, str]:
    """How members and parties are called: by the particulars, else by the registry, else by their id."""
    names = {identity: (entry or {}).get("name") or identity for (_, identity), entry in found.people.items()}
    names |= {identity: entry.name for identity, entry in particulars.parties.items() if entry.name}
    for (_, identity), entry in found.people.items():
        for identifier in (entry or {}).get("identifiers", ()):
            names.setdefault(identifier, names[identity])
    return names


def _party(found: Dossier, owner: str, identity: str, particulars: Particulars, names: Mapping[str, str]) -> Party:
    """A party as the particulars have it; what they leave out of name and identifier is the registry's."""
    said = particulars.party(identity, names.get(identity, identity))
    registered = (found.people.get((owner, identity)) or {}).get("identifiers", ())
    return said if said.identifier or not registered else replace(said, identifier=registered[0])


def _terms(stated: Stated) -> claims.Terms:
    file = stated.dossier.deed
    if file is not None:
        return claims.terms(file.deed["terms"])
    return cast(claims.Terms, stated.chosen.terms)  # without a deed there is a claim only by terms that were chosen


def _loan(found: Dossier, particulars: Particulars) -> Loan:
    """The agreement as the particulars have it; amount and rate else as approved, and as the loan's record says.

    Its number and day are the claimant's to say: the chain knows those of its records only.
    """
    said = particulars.loan.model_dump()
    said["amount"] = said["amount"] or found.line["approved"]
    if said["rate_bp"] is None:
        said["rate_bp"] = _rate(found)
    return Loan(**said)


def _rate(found: Dossier) -> int | None:
    """The yearly rate in an open field of the loan's record, in whole basis points; None where it says none."""
    loans = [paper.entry for paper in found.papers if paper.name.kind == "loan" and paper.entry is not None]
    rates = {entry["record"][_FIELDS].get("rate_bp") for entry in loans}
    text = rates.pop() if len(rates) == 1 else None
    return int(text) if isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < 6 else None


def _disbursement(entry: Mapping[str, Any], zone: int) -> Disbursement:
    day = claims.day_of(entry["disbursed_on"], zone)
    return Disbursement(entry["id"], day, entry["amount"], entry["loan"][2], entry["loan_id"])


def _guarantors(
    found: Dossier, file: DeedFile | None, particulars: Particulars, names: Mapping[str, str]
) -> Iterator[Guarantor]:
    """Those of the deed, then those whose guarantee only the particulars tell of."""
    rows = [] if file is None else file.deed["guarantors"]
    certificate = None if file is None else file.certificate
    enforced = {row["id"] for row in certificate["respondents"]} if certificate else set()
    for row in rows:
        entry = particulars.guarantees.get(row["id"], GuaranteeEntry())
        yield Guarantor(
            party=_party(found, row["owner"], row["id"], particulars, names),
            contract=entry.contract,
            signed_on=entry.signed_on,
            ceiling=row["covers"],
            liability="general" if row["kind"] == "general" else "joint",
            covered=row["id"] in enforced,
        )
    bound = {row["id"] for row in rows}
    for identity, entry in particulars.guarantees.items():
        if identity not in bound:
            yield Guarantor(
                party=_party(found, PARTY, identity, particulars, names),
                contract=entry.contract,
                signed_on=entry.signed_on,
                ceiling=entry.ceiling,
                liability=entry.liability,
                covered=False,
            )


def _deed(file: DeedFile, names: Mapping[str, str]) -> Deed:
    deed, certificate = file.deed, file.certificate or {}
    signed = file.countersignature
    return Deed(
        id=deed["id"],
        number=deed["number"],
        notary=names.get(deed["notary"], deed["notary"]),
        signed_on="" if signed is None else day_of_time(signed["time"], deed["zone"]),
        certificate_number=certificate.get("number", ""),
        certificate_id=certificate.get("id", b""),
        issued_on=day_of_time(certificate["time"], deed["zone"]) if certificate else "",
        time_limit=certificate.get("apply_by", ""),
        verification=file.verifications[-1]["text"] if file.verifications else "",
    )


def _deed_evidence(file: DeedFile | None, names: Mapping[str, str]) -> Iterator[Evidence]:
    """The deed, each consent, the notary's record of verification, and the certificate."""
    if file is None:
        return
    deed = file.deed
    by = names.get(deed["notary"], deed["notary"])
    yield _step_evidence("deed", deed["number"], by, "@deed", deed, deed["text_hash"])
    for (_, identity), entry in file.consents.items():
        called = names.get(identity, identity)
        code = "agreement" if identity == deed["creditor"] else "consent"
        yield _step_evidence(code, called, called, f"@{code}", entry)
    for entry in file.verifications:
        yield _step_evidence("verification", "", by, "@verification", entry, entry["record"])
    if file.certificate is not None:
        yield _step_evidence("certificate", file.certificate["number"], by, "@certificate", file.certificate)


def _step_evidence(
    kind: str, name: str, source: str, proves: str, entry: Mapping[str, Any], sha256: bytes = b""
) -> Evidence:
    return Evidence(
        name=name,
        source=source,
        proves=proves,
        kind=kind,
        sha256=sha256,
        chain=CONSORTIUM,
        height=entry["height"],
        transaction=entry["transaction"],
    )


def _records(found: Dossier, names: Mapping[str, str]) -> Iterator[Evidence]:
    """The sealed records, each under the name that its proof has in the bundle (tallystick/evidence/case.py)."""
    number = 1
    for paper in found.papers:
        if paper.entry is not None:
            yield _record(paper, paper.entry, f"records/{number:04d}.proof", names)
        number += len(paper.versions)


def _record(paper: Paper, entry: Mapping[str, Any], file: str, names: Mapping[str, str]) -> Evidence:
    source = entry["record"][_SOURCE]
    system, connector, version = source[:3]
    member = names.get(paper.name.chain, paper.name.chain)
    return Evidence(
        name=paper.name.number,
        source=f"{member} · {system} · {connector} {version}",
        proves=_PROVES.get(paper.name.kind, "@trade"),
        kind=paper.name.kind,
        issuer=names.get(paper.name.issuer, paper.name.issuer),
        sha256=source[_RAW_HASH],
        chain=paper.name.chain,
        height=entry["height"],
        record=entry["id"],
        file=file,
    )


def _added(particulars: Particulars) -> Iterator[Evidence]:
    for item in particulars.evidence:
        said = item.model_dump()
        yield Evidence(**{**said, "sha256": bytes.fromhex(said["sha256"])})
