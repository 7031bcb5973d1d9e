"""What happened, in order, from what the chain's entries say: the events that a case's chronology lists.

Each has the time, block and transaction of the step that made it. An instalment's first day of delay has none: it
follows from the schedule and the payments (contracts/claims.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from contracts import claims
from contracts.access import CONSORTIUM
from contracts.record import SECONDS_PER_DAY, civil_from_days, moment
from tallystick.litigation.facts import Event

if TYPE_CHECKING:
    from tallystick.evidence.facts import Stated
    from tallystick.evidence.walk import DeedFile, Paper

MS: Final = 1_000
_COURT_STEPS: Final = {
    "open": "case",
    "file": "filed",
    "supplement": "supplemented",
    "acknowledge": "acknowledged",
    "ask": "asked",
    "accept": "accepted",
    "reject": "rejected",
    "withdraw": "withdrawn",
    "hand_in_acknowledged": "answered",
}
"""Steps of a case (contracts/court_case.py), each with its code in the forms' words."""


EVENTS: Final = frozenset(
    {
        *("application", "approved", "extended", "disbursement", "repayment", "overdue", "record", "pledged"),
        *("deed", "agreement", "consent", "countersign", "demand", "default", "answer", "verified", "refused"),
        *("certificate", "executed", "revoked", "disputed", "dispute_resolved", *_COURT_STEPS.values()),
    }
)
"""Every code; the forms' words have a text for each."""


def chronology(stated: Stated, names: Mapping[str, str]) -> tuple[Event, ...]:
    """The events of a case, the earliest first. names: how members and parties are called, by id."""
    found = stated.dossier
    events = [
        *_loan(stated, names),
        *(event for file in found.deeds for event in _deed(file, names)),
        *(event for case in found.cases for event in _court(case, names)),
        *(event for paper in found.papers for event in _paper(paper, names)),
        *_overdue(stated),
    ]
    places = found.places

    def order(event: Event) -> tuple[int, int, int]:
        return event.at, event.height, places.get(event.transaction, (0, 0))[1]

    return tuple(sorted(events, key=order))


def _loan(stated: Stated, names: Mapping[str, str]) -> Iterator[Event]:
    found = stated.dossier
    lender = ("lender", _name(found.line["lender"], names))
    enterprise = ("enterprise", _name(found.line["enterprise"], names))
    yield _event("application", found.application, found.application["id"], enterprise, lender)
    for entry in found.decisions:
        code = "approved" if entry["decides"] == "application" else "extended"
        yield _event(code, entry, entry["id"], lender, ("amount", entry["amount"]))
    for entry in found.disbursements:
        day = claims.day_of(entry["disbursed_on"], found.zone)
        values = (lender, ("number", entry["loan"][2]), ("amount", entry["amount"]), ("day", day))
        yield _event("disbursement", entry, entry["id"], *values, record=entry["loan_id"])
    for entry in found.repayments:
        interest = sum(part[2] for part in entry["allocated"])
        amounts = (("amount", entry["amount"]), ("interest", interest), ("principal", entry["amount"] - interest))
        day = claims.day_of(entry["paid_on"], found.zone)
        yield _event("repayment", entry, entry["id"], ("day", day), *amounts, record=entry["record_id"])


def _deed(file: DeedFile, names: Mapping[str, str]) -> Iterator[Event]:
    yield _step("deed", file.deed, names)
    for (_, identity), entry in file.consents.items():
        yield _step("agreement" if identity == file.deed["creditor"] else "consent", entry, names)
    if file.countersignature is not None:
        yield _step("countersign", file.countersignature, names)
    for entry in file.demands:
        yield _step("demand", entry, names)
    for entry in file.defaults:
        yield _step("default", entry, names, ("as_of", entry["as_of"]))
    for entry in file.answers:
        yield _step("answer", entry, names, ("text", entry["text"]))
    for entry in file.verifications:
        yield _step("verified", entry, names, ("outcome", entry["outcome"]))
    for entry in file.refusals:
        yield _step("refused", entry, names, ("text", entry["text"]))
    if file.certificate is not None:
        yield _step("certificate", file.certificate, names, ("amount", file.certificate["claim"]["total"]))
    if file.execution is not None:
        yield _step("executed", file.execution, names)
    if file.revocation is not None:
        yield _step("revoked", file.revocation, names)


def _court(case: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[Event]:
    for step in case["steps"]:
        code = _COURT_STEPS.get(step["step"])
        if code is not None:
            yield _step(code, step, names, ("text", step["text"]))


def _paper(paper: Paper, names: Mapping[str, str]) -> Iterator[Event]:
    """A record's sealing, and what others said of a bill."""
    entry, number = paper.entry, paper.name.number
    if entry is None:
        return
    occurred = entry["record"][9]
    values = (
        ("issuer", _name(paper.name.issuer, names)),
        ("kind", paper.name.kind),
        ("number", number),
        ("occurred", occurred[:10]),
    )
    place = {"chain": paper.name.chain, "height": entry["height"], "record": entry["id"]}
    yield Event(at=entry["time"], code="record", values=values, **place)
    for pledge in paper.pledges:
        held = (("number", number), ("lender", _name(pledge["lender"], names)), ("amount", pledge["amount"]))
        yield Event(pledge["time"], "pledged", held, CONSORTIUM, pledge["height"])
    for dispute in paper.disputes:
        if dispute["status"] == "open":
            by = ("by", _name(dispute["by"][0][1], names))
            yield Event(dispute["time"], "disputed", (("number", number), by), CONSORTIUM, dispute["height"])
        else:
            said = (("number", number), ("outcome", dispute["status"]))
            yield Event(dispute["time"], "dispute_resolved", said, CONSORTIUM, dispute["height"])


def _overdue(stated: Stated) -> Iterator[Event]:
    """The end of the due day of each instalment that was paid late or not at all."""
    if stated.claim is None:
        return
    zone = stated.dossier.zone
    for due in sorted({line.due for line in stated.claim.lines if _shows_delay(line)}):
        yield Event(at=moment(due, zone).last * MS, code="overdue", values=(("due", due),))


def _shows_delay(line: claims.Line) -> bool:
    """Whether an instalment of its own due day was late, not only called in early."""
    if line.rule in (claims.PENALTY, claims.COMPOUND):
        return line.days > 0 and moment(line.first).first == moment(line.due).last  # no days: a sum set off
    return line.rule in (claims.PRINCIPAL, claims.INTEREST)


def _event(
    code: str, entry: Mapping[str, Any], transaction: bytes, *values: tuple[str, str | int], record: bytes = b""
) -> Event:
    return Event(entry["time"], code, values, CONSORTIUM, entry["height"], transaction, record)


def _step(code: str, entry: Mapping[str, Any], names: Mapping[str, str], *values: tuple[str, str | int]) -> Event:
    by = ("by", _name(entry["by"], names))
    return Event(entry["time"], code, (by, *values), CONSORTIUM, entry["height"], entry["transaction"])


def _name(identity: str, names: Mapping[str, str]) -> str:
    return names.get(identity, identity)


def day_of_time(time_ms: int, zone: int) -> str:
    """The day YYYY-MM-DD of a block time in a zone, minutes east of UTC."""
    year, month, day = civil_from_days((time_ms // MS + zone * 60) // SECONDS_PER_DAY)
    return f"{year:04d}-{month:02d}-{day:02d}"
