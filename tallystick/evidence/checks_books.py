"""Checks of content: amounts, the papers behind them, sealed fields, original files, and what is for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chain.codec import encode
from chain.disclosure import Disclosure, verify_disclosure
from chain.sealed import RawDocument
from chain.verification import Verdict, VerificationError
from contracts import claims
from contracts.decimal_text import DecimalError, at_scale, parse_or_none
from contracts.enforceable_deed import day_of, statement
from contracts.errors import ContractError
from tallystick.evidence import hand, manifest, readable
from tallystick.evidence.case import Case, original_name
from tallystick.evidence.facts import recomputed
from tallystick.evidence.walk import DeedFile, Dossier
from tallystick.evidence.words import amount

SOURCE, FIELDS = 11, 12
_FACTS: Final = "documents/facts.json"
_PARTICULARS: Final = "documents/particulars.json"
RAW_HASH: Final = 3
"""Places in the record array (contracts/record.py)."""


def ledger(case: Case) -> list[str]:
    """What was lent and paid adds up to what the chain says is owed: no disbursement or repayment is left out."""
    found = case.anew.dossier
    line, ids = found.line, [row["id"] for row in (*found.disbursements, *found.repayments)]
    if len(set(ids)) != len(ids) or any(row["application"] != line["application"] for row in _entries(found)):
        raise VerificationError("a disbursement or repayment stands twice, or is of another loan")
    sums = (
        ("paid out", line["drawn"], sum(row["amount"] for row in found.disbursements)),
        ("repaid", line["repaid"], sum(row["principal"] for row in found.repayments)),
        ("outstanding", line["outstanding"], line["drawn"] - line["repaid"]),
    )
    for what, says, adds in sums:
        if says != adds:
            raise VerificationError(f"the line says {says} minor units {what}, its entries add up to {adds}")
    today = day_of(case.view.time, found.zone)
    try:
        flat = claims.Terms(0, 0, 365, False)
        claims.claim(found.unpaid, found.disbursements, found.repayments, flat, today, found.zone)
    except ContractError as error:
        raise VerificationError(error.message) from None
    scale, currency = found.scale, line["currency"]
    return [
        f"{len(found.disbursements)} disbursements of {amount(line['drawn'], scale, currency)} less "
        f"{len(found.repayments)} repayments leave {amount(line['outstanding'], scale, currency)} of principal"
    ]


def amounts(case: Case) -> list[str]:
    """What is claimed and certified is what the loan's books give under the deed's terms, line by line."""
    found = case.anew.dossier
    lines = []
    for file in found.deeds:
        for entry in (*file.defaults, *([file.certificate] if file.certificate else [])):
            _require_amounts(found, file, entry)
        if file.certificate is not None:
            total, scale = file.certificate["claim"]["total"], file.certificate["scale"]
            said = amount(total, scale, file.certificate["currency"])
            lines.append(f"the certificate's {said} is what the chain's disbursements and repayments give")
    claim = case.anew.claim
    if claim is not None:
        _require_claimable(case, claim)
        lines.append(f"claimed as of {claim.as_of}: {amount(claim.total, found.scale, found.line['currency'])}")
        if found.deed is None:
            lines.append("by terms that the claimant states: the chain holds none without a deed")
    return lines or ["nothing is claimed yet"]


def vouchers(case: Case) -> list[str]:
    """Each disbursement and repayment says what the lender's sealed record of it says."""
    found = case.anew.dossier
    rows = [(row, row["loan_id"], "disbursed_on") for row in found.disbursements]
    rows += [(row, row["record_id"], "paid_on") for row in found.repayments]
    for entry, identity, day in rows:
        record = case.sealed.get(identity)
        if record is None:
            continue  # that it is missing is for `complete`
        fields = record.array[FIELDS]
        value = parse_or_none(fields.get("amount", ""))
        try:
            units = None if value is None else at_scale(value, found.scale)
        except DecimalError:
            units = None
        if (units, fields.get("currency"), fields.get(day)) != (entry["amount"], entry["currency"], entry[day]):
            raise VerificationError(f"record {record.natural_key[2]} says otherwise than the loan's books")
    return [f"{len(rows)} entries of the loan's books say what the lender's sealed records say"]


def disclosures(case: Case) -> list[str]:
    """Opened fields were sealed with these values in these records; just those that the case names are opened."""
    opened: dict[bytes, tuple[str, ...]] = {}
    for name, data in case.folder("disclosures").items():
        number = name.removeprefix("disclosures/").removesuffix(".disclosure")
        record = case.records.get(number)
        if record is None or name != f"disclosures/{number}.disclosure":
            raise VerificationError(f"{name} is a disclosure of no record of the bundle")
        found = Disclosure.decode(data)
        if found.encode() != data or found.proof != case.files[f"records/{number}.proof"]:
            raise VerificationError(f"{name} is not of records/{number}.proof")
        opened[record.id] = tuple(_opened(data, record.array))
    named = {identity: names for identity, names in case.anew.chosen.opened if names}
    if {identity: names for identity, names in opened.items() if names} != named:
        raise VerificationError("other sealed fields are opened than case.json names for this case")
    count = sum(map(len, opened.values()))
    return [f"{count} sealed fields opened for this case, each as it was sealed"]


def originals(case: Case) -> list[str]:
    """Each original is the file that its record was read from."""
    files = case.folder("originals")
    for name, data in files.items():
        number = name.removeprefix("originals/").partition(".")[0]
        record, key = case.records.get(number), f"disclosures/{number}.disclosure"
        if record is None or key not in case.files:
            raise VerificationError(f"{name} belongs to no record whose raw file is disclosed")
        salt = Disclosure.decode(case.files[key]).raw_salt
        if name != original_name(number, data):
            raise VerificationError(f"{name} is not named {original_name(number, data)}, as this original is")
        if salt is None or RawDocument(salt, data).hash != record.array[SOURCE][RAW_HASH]:
            raise VerificationError(f"{name} is not the file that record {record.natural_key[2]} was read from")
    return [f"{len(files)} originals are the files that their records were read from"]


def persons(case: Case) -> list[str]:
    """CA-issued signatures beside consents are over the deed's content, by certificates that the verifier trusts."""
    lines = []
    for file in case.anew.dossier.deeds:
        for (_, identity), entry in file.consents.items():
            if entry["ca"] is not None:
                lines.append(f"{identity}: {_signatory(case, file, entry)}")
    return lines or ["no signature by a CA-issued certificate is in the deed"]


def documents(case: Case) -> list[str]:
    """The route's papers were set from what the proofs give and the claimant's own particulars."""
    files = case.folder("documents")
    if _FACTS not in files:
        return [f"{len(files)} papers of the claimant's own; none is said to be set from the chain"]
    from tallystick.litigation import particulars
    from tallystick.litigation.documents import as_json
    from tallystick.litigation.facts import LitigationError
    from tallystick.litigation.gather import case_facts

    try:
        entry = bytes.fromhex(manifest.loads(files[_FACTS], _FACTS)["case"])
        said = particulars.parse(files.get(_PARTICULARS, b"{}"), _PARTICULARS)
        anew = as_json(case_facts(case.anew, said, entry))
    except LitigationError as error:
        raise VerificationError(f"{_FACTS}: {error}") from None
    if files[_FACTS] != anew:
        raise VerificationError(f"{_FACTS}, from which the papers were set, states otherwise than the proofs")
    return [
        f"{len(files)} papers: the facts they were set from are what the proofs and the claimant's particulars give; "
        "how they are worded is the claimant's"
    ]


def people_text(case: Case) -> list[str]:
    """index.html, README.txt, rules/ and hand/ are what case.json and the proofs give: nothing of the claimant's."""
    wanted = readable.render(case.stated) | hand.render(case.files)
    there = {name for name in case.files if name in readable.NAMES or name.startswith(("rules/", "hand/"))}
    for name in sorted(there | wanted.keys()):
        if case.files.get(name) != wanted.get(name):
            raise VerificationError(f"{name} says otherwise than case.json and the proofs")
    return [f"{len(wanted)} pages for people say what case.json and the proofs say"]


def _opened(disclosure: bytes, array: list[Any]) -> dict[str, Any]:
    """What a disclosure opens of a record whose proof is checked elsewhere. Raises VerificationError."""
    found = verify_disclosure(disclosure, lambda _: Verdict(kind="record", subject={"record": array}))
    opened: dict[str, Any] = found.subject["opened"]
    return opened


def _entries(found: Dossier) -> list[dict[str, Any]]:
    return [*found.disbursements, *found.repayments]


def _require_claimable(case: Case, claim: claims.Claim) -> None:
    """Nobody claims for days whose payments no proof tells of, nor otherwise than the certificate that stands."""
    today = day_of(case.view.time, case.anew.dossier.zone)
    if claim.as_of > today:
        raise VerificationError(f"the claim is as of {claim.as_of}, what the bundle proves ends on {today}")
    if case.anew.route.certificate and case.anew.chosen.as_of:
        raise VerificationError("the claim is the claimant's own computation, while an execution certificate stands")


def _require_amounts(found: Dossier, file: DeedFile, entry: Mapping[str, Any]) -> None:
    costs = tuple(claims.Cost(**cost) for cost in entry["costs"])
    try:
        anew = claims.as_value(recomputed(found, file, entry, costs))
    except ContractError as error:
        raise VerificationError(f"the claim as of {entry['as_of']}: {error.message}") from None
    for part, value in anew.items():
        if part not in entry["claim"] or encode(entry["claim"][part]) != encode(value):
            raise VerificationError(
                f"the claim as of {entry['as_of']} does not add up: its {part} is not what the chain's entries give"
            )
    if anew["principal"] > file.deed["ceiling"]:
        raise VerificationError("more principal is claimed than the deed covers")


def _signatory(case: Case, file: DeedFile, entry: Mapping[str, Any]) -> str:
    ca = entry["ca"]
    if not case.trusted.ca_roots:
        return "its CA-issued signature is not checked: the --trust file names no ca_roots; its chain key stands"
    from chain.x509 import CertificateError, verify_detached

    data = encode(statement(case.network_id, file.deed))
    try:
        found = verify_detached(
            data, ca["signature"], ca["certificates"], case.trusted.ca_roots, entry["time"] // 1_000,
            algorithm=ca["algorithm"], crls=case.trusted.crls,
        )  # fmt: skip
    except CertificateError as error:
        raise VerificationError(f"the CA-issued signature of {entry['by']} does not stand: {error}") from None
    return f"signed with the certificate of {found.subject} as well"
