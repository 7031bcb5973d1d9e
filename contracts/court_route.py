"""Which way a claim goes to court, and why (DOMAIN, "Route first").

    A  强制执行   application for enforcement, with the notary's execution certificate
    B  起诉       a suit over the debt: no enforceable deed, or the notary declined, or a court refused enforcement

A notarized enforceable deed excludes the suit, so nobody chooses: the route follows from the state. While the notary
has issued no certificate on such a deed, the way is A and cannot be gone yet. Past the limitation period of two years
enforcement is not ordered any more; a suit is heard, where the debtor may plead it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from contracts import enforceable_deed as deeds
from contracts import enforceable_limitation as limitation
from contracts.access import CONSORTIUM, MEMBER, PARTY
from contracts.context import Reads
from contracts.court_case import OVER
from contracts.errors import ContractError
from contracts.record import moment

ENFORCEMENT: Final = "A"
SUIT: Final = "B"
LETTERS: Final = (ENFORCEMENT, SUIT)

# Why. The first two go with A, the others with B.
CERTIFICATE_STANDS: Final = "CERTIFICATE_STANDS"
CERTIFICATE_FIRST: Final = "CERTIFICATE_FIRST"
NO_DEED: Final = "NO_DEED"
DEED_NOT_ENFORCEABLE: Final = "DEED_NOT_ENFORCEABLE"
CERTIFICATE_REFUSED: Final = "CERTIFICATE_REFUSED"
DEED_REVOKED: Final = "DEED_REVOKED"
DEED_EXECUTED: Final = "DEED_EXECUTED"
ENFORCEMENT_REFUSED: Final = "ENFORCEMENT_REFUSED"
LIMITATION_PASSED: Final = "LIMITATION_PASSED"
NOT_COVERED: Final = "NOT_COVERED"


class View(Reads, Protocol):
    """What it takes to find a route: a transaction's context, or off the chain a view of one height."""

    @property
    def time(self) -> int:
        """Block time in ms, by which limitation is judged."""


class Route(NamedTuple):
    """The way a claim goes. deed and certificate are ids, b"" where there is none.

    reasons: (code, text), the first decided. respondents: sorted ids of those it is brought against.
    """

    letter: str
    reasons: tuple[tuple[str, str], ...]
    deed: bytes
    certificate: bytes
    respondents: tuple[str, ...]

    @property
    def open_now(self) -> bool:
        """Whether it can be gone now: enforcement needs the certificate."""
        return self.letter == SUIT or self.certificate != b""


def route(view: View, application: bytes, respondents: Sequence[str] | None = None) -> Route:
    """The route of an application's claim against these respondents; None: all whom certificate, deed or loan binds.

    Raises ContractError UNKNOWN_APPLICATION, UNKNOWN_RESPONDENT.
    """
    asked = view.read(CONSORTIUM, "credit", "application", application)
    if asked is None:
        raise ContractError("UNKNOWN_APPLICATION", f"no application {application.hex()}: use one credit.apply gave")
    for respondent in respondents or ():
        if all(view.read(CONSORTIUM, "registry", owner, respondent) is None for owner in (PARTY, MEMBER)):
            raise ContractError(
                "UNKNOWN_RESPONDENT", f"{respondent[:40]!r} is neither a party nor a member: name one that is"
            )
    ids = view.read(CONSORTIUM, "notary", "deeds_of", application) or []
    if not ids:
        return _suit(asked, None, respondents, NO_DEED, "there is no notarized deed over this debt")
    deed = view.read(CONSORTIUM, "notary", "deed", ids[-1])  # of several the last: a draft needs the others ended
    state = deed["state"]
    if state in _WHY_NOT:
        return _suit(asked, deed, respondents, *_WHY_NOT[state])
    if state == deeds.CERTIFIED:
        return _of_certificate(view, asked, deed, respondents)
    period = limitation.of(view, deed)
    if period.passed(view.time):
        text = f"no certificate is issued after {period.last_day}: that is two years from {period.start}"
        return _suit(asked, deed, respondents, LIMITATION_PASSED, text)
    covered = {one.id for one in deeds.obligors(deed)}
    outside = sorted(set(respondents or ()) - covered)
    if outside:
        return _suit(asked, deed, outside, NOT_COVERED, f"the deed does not bind {', '.join(outside)}: they are sued")
    text = f"deed {deed['number']} is enforceable: no suit is heard, and the notary has issued no certificate yet"
    return Route(ENFORCEMENT, ((CERTIFICATE_FIRST, text),), deed["id"], b"", tuple(sorted(respondents or covered)))


def _of_certificate(
    view: View, asked: dict[str, Any], deed: dict[str, Any], respondents: Sequence[str] | None
) -> Route:
    """The route where a certificate is issued: enforcement, unless something stands against it."""
    certificate = view.read(CONSORTIUM, "notary", "certificate", deed["id"])
    refused = view.read(CONSORTIUM, "court", "enforcement_refused", deed["id"])
    if refused is not None:
        text = f"the court refused enforcement in case {refused.hex()}"
        return _suit(asked, deed, respondents, ENFORCEMENT_REFUSED, text)
    last_day = _last_day(view, deed)
    if last_day and view.time >= _end_of(last_day, deed):
        text = f"enforcement had to be applied for by {last_day}: that is two years"
        return _suit(asked, deed, respondents, LIMITATION_PASSED, text)
    covered = {row["id"] for row in certificate["respondents"]}
    outside = sorted(set(respondents or ()) - covered)
    if outside:
        text = f"the certificate is not against {', '.join(outside)}: they are sued, the others not"
        return _suit(asked, deed, outside, NOT_COVERED, text)
    until = f"may be asked until {last_day}" if last_day else "has been asked in time"
    text = f"execution certificate {certificate['number']} stands; the court {until}"
    bound = tuple(sorted(respondents or covered))
    return Route(ENFORCEMENT, ((CERTIFICATE_STANDS, text),), deed["id"], certificate["id"], bound)


def _last_day(view: View, deed: dict[str, Any]) -> str:
    """The last day for enforcement, YYYY-MM-DD; "" while a case that was filed in time is before a court.

    Applying to a court interrupts the period, which starts anew with that day (法释〔2020〕21号 art. 19 [M]).
    """
    found = limitation.of(view, deed).last_day
    for case_id in view.read(CONSORTIUM, "court", "cases", deed["application"]) or []:
        case = view.read(CONSORTIUM, "court", "case", case_id)
        if case["certificate"] != deed["certificate"] or not case["filings"]:
            continue
        filed = case["filings"][0]["time"]
        if found and filed < _end_of(found, deed):
            if case["state"] not in OVER:
                return ""
            found = max(found, limitation.years_after(deeds.day_of(filed, deed["zone"])))
    return found


def _end_of(day: str, deed: dict[str, Any]) -> int:
    """The end of a day in the deed's zone, ms."""
    return moment(day, deed["zone"]).last * 1_000


def _suit(
    asked: dict[str, Any], deed: dict[str, Any] | None, respondents: Sequence[str] | None, code: str, text: str
) -> Route:
    """Route B against those named, else the debtor and every guarantor who consented to the deed."""
    bound = {asked["enterprise"]}
    if deed is not None:
        bound |= {one.id for one in deeds.obligors(deed) if [one.owner, one.id] in deed["consents"]}
    identity = b"" if deed is None else deed["id"]
    return Route(SUIT, ((code, text),), identity, b"", tuple(sorted(respondents or bound)))


_WHY_NOT: Final = {
    deeds.DRAFT: (DEED_NOT_ENFORCEABLE, "the deed is a draft: not all have consented to it"),
    deeds.CONSENTED: (DEED_NOT_ENFORCEABLE, "no notary has countersigned the deed"),
    deeds.REFUSED: (CERTIFICATE_REFUSED, "the notary declined to issue an execution certificate"),
    deeds.EXECUTED: (DEED_EXECUTED, "the deed has been executed: what is still owed is outside it"),
    deeds.REVOKED: (DEED_REVOKED, "the deed was revoked"),
}
