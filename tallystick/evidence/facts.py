"""What a bundle states, as JSON: made from the dossier alone, at export and again at every check.

``case.json`` is this value. Whoever edits it states something that the proofs do not give, and the check
``statement`` says so. Bytes are hex; amounts are minor units; times of the chain are ms, days are of the deed's zone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from contracts import claims
from contracts.court_case import OPENED
from contracts.court_route import Route, View, route
from tallystick.evidence.contents import Sealed
from tallystick.evidence.view import Source
from tallystick.evidence.walk import MOST, DeedFile, Dossier, Paper, PaperName, Step, walk

FORMAT: Final = "tally/case/1"
_RECORD: Final = (
    "tag", "version", "kind", "issuer", "number", "enterprise", "counterparty", "template", "template_version",
    "occurred_at", "links", "source", "fields", "sealed_root", "corrects",
)  # fmt: skip
_SOURCE: Final = ("system", "connector", "connector_version", "raw_hash", "captured_at")


@dataclass(frozen=True)
class Chosen:
    """What the claimant decides on a bundle: everything else follows from the chain.

    case: id of the court's case, b"" for none; papers: records added to those of the loan; opened: (record id, names
    of sealed fields) shown to this court;
    as_of, terms, accelerated_on, costs: of the claim where no execution certificate gives them ("" and None: none).
    """

    application: bytes
    papers: tuple[PaperName, ...] = ()
    opened: tuple[tuple[bytes, tuple[str, ...]], ...] = ()
    as_of: str = ""
    terms: claims.Terms | None = None
    accelerated_on: str = ""
    costs: tuple[claims.Cost, ...] = ()
    case: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """Its part of case.json."""
        return {
            "application": self.application.hex(),
            "papers": [list(name) for name in self.papers],
            "opened": {record.hex(): list(names) for record, names in self.opened},
            "as_of": self.as_of,
            "terms": None if self.terms is None else self.terms._asdict(),
            "accelerated_on": self.accelerated_on,
            "costs": [cost._asdict() for cost in self.costs],
            "case": self.case.hex(),
        }

    @classmethod
    def from_json(cls, value: Any) -> Chosen:
        """The choices of a case.json. Raises ValueError, KeyError or TypeError where they are none."""
        terms = value["terms"]
        if max(len(value[part]) for part in ("papers", "opened", "costs")) > MOST:
            raise ValueError(f"a case has at most {MOST} papers of the claimant's choice")
        found = cls(
            application=bytes.fromhex(value["application"]),
            papers=tuple(PaperName(*map(_text, name)) for name in value["papers"]),
            opened=tuple(
                (bytes.fromhex(record), tuple(map(_text, names))) for record, names in sorted(value["opened"].items())
            ),
            as_of=_text(value["as_of"]),
            terms=None if terms is None else claims.terms(terms),
            accelerated_on=_text(value["accelerated_on"]),
            costs=tuple(claims.Cost(**cost) for cost in value["costs"]),
            case=bytes.fromhex(value["case"]),
        )
        if found.to_json() != value:
            raise ValueError("the choices in case.json are not in their one form")
        if not found.as_of and (found.accelerated_on or found.costs):
            raise ValueError("case.json names a calling in or costs of a claim that it does not make")
        return found


@dataclass(frozen=True)
class Attached:
    """What a bundle holds of one version of a record, beside the state's entry.

    number: of its files; opened: disclosed fields; original: name of the file it was read from, "" where it is not
    in the bundle, with its size and SHA-256.
    """

    number: str
    sealed: Sealed
    opened: Mapping[str, Any]
    original: str = ""
    size: int = 0
    sha256: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """Its part of a paper in case.json."""
        done = self.sealed.done
        return {
            "number": self.number,
            "id": self.sealed.id.hex(),
            "record": plain(record_of(self.sealed.array)),
            "sealed": {
                "height": done.block.height,
                "time": done.block.time,
                "transaction": done.id.hex(),
                "signers": [key.hex() for key in done.signers],
            },
            "opened": plain(self.opened),
            "original": {"name": self.original, "size": self.size, "sha256": self.sha256.hex()},
        }


@dataclass(frozen=True)
class Stated:
    """A dossier with what follows from it.

    route: of the chosen case's respondents, else of all; routes: as the state leaves them now, of the cases that wait
    to be filed, by id; claim: None where nothing says by which terms.
    """

    dossier: Dossier
    chosen: Chosen
    route: Route
    claim: claims.Claim | None
    facts: dict[str, Any]
    routes: Mapping[bytes, Route] = field(default_factory=dict)


def state(
    source: Source,
    chosen: Chosen,
    claimant: bytes,
    attached: Callable[[Sequence[tuple[str, bytes]]], Sequence[Attached]],
    documents: Sequence[Mapping[str, Any]] = (),
) -> Stated:
    """Walk the case and state its facts.

    attached: gives what the bundle holds of these (chain, record id), in this order. documents: name, size and sha256
    of the route's papers. Raises KeyError, TypeError or ValueError for entries that are none.
    """
    found = walk(source, chosen.application, chosen.papers, claimant)
    case = next((case for case in found.cases if case["id"] == chosen.case), None)
    if chosen.case and case is None:
        raise ValueError(f"the application has no case {chosen.case.hex()[:16]}")
    view = cast(View, source)
    way = route(view, chosen.application, None if case is None else case["respondents"])
    routes = {
        case["id"]: route(view, chosen.application, case["respondents"])
        for case in found.cases
        if case["state"] == OPENED
    }
    claim = claim_of(found, chosen)
    versions = attached([(paper.name.chain, identity) for paper in found.papers for identity in paper.versions])
    facts = {
        "format": FORMAT,
        "network_id": source.network_id.hex(),
        "height": source.height,
        "time": source.time,
        "claimant": claimant.hex(),
        "chosen": chosen.to_json(),
        "route": plain(way._asdict()),
        "people": [_person(owner, identity, entry) for (owner, identity), entry in found.people.items()],
        "keys": [{"key": key.hex(), **plain(entry or {})} for key, entry in found.keys.items()],
        "application": plain(found.application),
        "line": plain(_line(found.line)),
        "decisions": plain(found.decisions),
        "disbursements": plain(found.disbursements),
        "repayments": plain(found.repayments),
        "unpaid": [
            dict(zip(("due", "deadline", "disbursement", "principal", "interest", "principal_paid", "interest_paid"),
                     plain(row), strict=True))
            for row in found.unpaid
        ],
        "pledges": plain(found.pledges),
        "deeds": [_deed(file) for file in found.deeds],
        "cases": plain(found.cases),
        "papers": [_paper(paper, versions) for paper in found.papers],
        "steps": [_step(step) for step in sorted(found.steps, key=_order)],
        "claim": None if claim is None else plain(claims.as_value(claim)),
        "repaid_since": 0 if claim is None else _repaid_since(found, claim),
        "documents": [dict(row) for row in documents],
    }  # fmt: skip
    return Stated(found, chosen, way, claim, facts, routes)


def _repaid_since(found: Dossier, claim: claims.Claim) -> int:
    """What was repaid after the claim was computed, which it does not deduct; minor units."""
    repaid: int = sum(row["amount"] for row in found.repayments)
    return repaid - claim.paid_interest - claim.paid_principal


def claim_of(found: Dossier, chosen: Chosen) -> claims.Claim | None:
    """What is claimed: the certificate's, else by the claimant's own day and the deed's or his terms."""
    deed = found.deed
    if deed is not None and deed.certificate is not None and not chosen.as_of:
        return certified(found, deed)
    terms = chosen.terms if deed is None else claims.terms(deed.deed["terms"])
    if terms is None or not chosen.as_of:
        return None
    return claims.claim(
        None, found.disbursements, found.repayments, terms, chosen.as_of, found.zone,
        accelerated_on=chosen.accelerated_on or None, costs=chosen.costs,
    )  # fmt: skip


def certified(found: Dossier, file: DeedFile) -> claims.Claim:
    """The certificate's claim, computed anew from what was lent and paid before it was issued."""
    certificate = file.certificate or {}
    return recomputed(found, file, certificate, tuple(claims.Cost(**cost) for cost in certificate["costs"]))


def recomputed(
    found: Dossier, file: DeedFile, entry: Mapping[str, Any], costs: Sequence[claims.Cost]
) -> claims.Claim:
    """The claim of a certificate or default: from the disbursements and repayments that were there before it."""
    before = found.places.get(entry["transaction"], (entry["height"], 0))

    def earlier(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row for row in rows if found.places.get(row["id"], (row["height"], 0)) < before]

    return claims.claim(
        None,
        earlier(found.disbursements),
        earlier(found.repayments),
        claims.terms(file.deed["terms"]),
        entry["as_of"],
        file.deed["zone"],
        accelerated_on=entry["accelerated_on"] or None,
        costs=costs,
    )


def plain(value: Any) -> Any:
    """A chain's value for JSON: bytes as hex, tuples as lists."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def record_of(array: Sequence[Any]) -> dict[str, Any]:
    """A record array by names."""
    named = dict(zip(_RECORD, array, strict=True))
    return {**named, "source": dict(zip(_SOURCE, named["source"], strict=True))}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text is wanted")
    return value


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "enterprise", "lender", "contract", "contract_chain", "currency", "scale", "zone", "L0", "approved", "drawn",
        "repaid", "outstanding", "disbursements", "repayments", "last_due", "state", "guarantees",
    )  # fmt: skip
    return {name: line[name] for name in names}


def _person(owner: str, identity: str, entry: Mapping[str, Any] | None) -> dict[str, Any]:
    known = entry or {}
    shown = {name: plain(known[name]) for name in ("role", "name", "identifiers", "since") if name in known}
    return {"owner": owner, "id": identity, "registered": entry is not None, **shown}


def _deed(file: DeedFile) -> dict[str, Any]:
    return {
        "deed": plain(file.deed),
        "consents": [plain(file.consents[who]) for who in sorted(file.consents)],
        "countersignature": plain(file.countersignature),
        "demands": plain(file.demands),
        "answers": plain(file.answers),
        "defaults": plain(file.defaults),
        "verifications": plain(file.verifications),
        "refusals": plain(file.refusals),
        "certificate": plain(file.certificate),
        "execution": plain(file.execution),
        "revocation": plain(file.revocation),
        "limitation": plain(file.limitation),
    }


def _paper(paper: Paper, versions: Sequence[Attached]) -> dict[str, Any]:
    entry = paper.entry
    shown: dict[str, Any] = {
        "chain": paper.name.chain,
        "kind": paper.name.kind,
        "issuer": paper.name.issuer,
        "number": paper.name.number,
        "in_force": None,
        "versions": [
            version.to_json()
            for version in versions
            if version.sealed.done.chain == paper.name.chain and version.sealed.id in paper.versions
        ],
        "confirmations": [[identity.hex(), plain(rows)] for identity, rows in paper.confirmations],
        "disputes": plain(paper.disputes),
        "pledges": plain(paper.pledges),
        "preservations": plain(paper.preservations),
    }
    if entry is not None:
        shown["in_force"] = {
            "id": entry["id"].hex(),
            "height": entry["height"],
            "time": entry["time"],
            "since": entry["since"],
            "superseded": plain(entry["superseded"]),
            "historical": entry["historical"],
        }
    return shown


def _step(step: Step) -> dict[str, Any]:
    return {
        "method": step.method,
        "by": list(step.by),
        "height": step.height,
        "time": step.time,
        "transaction": step.transaction.hex(),
    }


def _order(step: Step) -> tuple[int, str, bytes]:
    return step.height, step.method, step.transaction
