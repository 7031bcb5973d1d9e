"""Alerts: what looks false is told to those concerned in the block that shows it (DOMAIN 3, Truth).

An alert is raised once under its rule and mark, stored, and told as the notice "alert" to the members whose chains
hold what shows it, to the lenders with a line of that enterprise, and to the enterprise itself.

State, on the consortium chain, in the credit contract's namespace:
    ("alert", n) -> {number, height, time, enterprise, bill, id, chain, status, rule, text, ours, theirs, evidence,
        to}; see `raise_alert`
    ("alert_count",), ("alerted", hash) -> number of the alert
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from contracts import decimal_text, notices
from contracts.context import Context, Value
from contracts.documents import Document, name
from contracts.evidence import Enterprise, Reader
from contracts.findings import Finding
from contracts.goods import FIGURES
from contracts.template import Range, compiled
from contracts.truth import INELIGIBLE, Verdict

ALERTS_PER_BILL: Final = 4
LENDERS_TOLD: Final = 16


class Alarm:
    """The alerts of one transaction or hook, of which there may be only so many: each is an event of its receipt."""

    def __init__(self, ctx: Context, reader: Reader, most: int) -> None:
        self._ctx = ctx
        self._reader = reader
        self._left = most
        self.missed = False  # whether one was due that found no room

    @property
    def is_full(self) -> bool:
        """Whether no further alert has room."""
        return self._left <= 0

    def raise_about(
        self,
        docs: tuple[Document, ...],
        *,
        rule: str,
        text: str,
        mark: Value,
        evidence: Iterable[bytes] = (),
        status: str = "",
        ours: str = "",
        theirs: str = "",
    ) -> None:
        """Raise an alert about the first of these papers; it is told to whoever holds one of them."""
        ids = tuple(dict.fromkeys((*(doc.id for doc in docs), *evidence)))
        if self.is_full:
            self.missed = self.missed or not is_raised(self._ctx, rule, mark)
            return
        enterprise = self._reader.universe(docs[0].record.enterprise)
        number = raise_alert(
            self._ctx,
            rule=rule,
            text=text,
            enterprise=enterprise.id,
            to=concerned(self._ctx, self._reader, docs),
            evidence=ids,
            bill=docs[0],
            status=status,
            ours=ours,
            theirs=theirs,
            mark=mark,
        )
        if number is not None:
            self._left -= 1


def raise_alert(
    ctx: Context,
    *,
    rule: str,
    text: str,
    enterprise: str,
    to: Iterable[str],
    evidence: Iterable[bytes] = (),
    bill: Document | None = None,
    status: str = "",
    ours: str = "",
    theirs: str = "",
    mark: Value,
) -> int | None:
    """Store an alert and tell it to those concerned; gives its number, None when raised before under this mark.

    enterprise: party id. to: members and parties by id. evidence: record ids. bill: what it is about, if about one
    paper, and status its verdict. ours, theirs: the two values compared. mark: any value; alerts of equal rule and
    mark are one.
    """
    if is_raised(ctx, rule, mark):
        return None
    number: int = ctx.get("alert_count") or 0
    alert = {
        "number": number,
        "height": ctx.height,
        "time": ctx.time,
        "enterprise": enterprise,
        "bill": [] if bill is None else list(bill.key),
        "id": b"" if bill is None else bill.id,
        "chain": "" if bill is None else bill.chain,
        "status": status,
        "rule": rule,
        "text": text,
        "ours": ours,
        "theirs": theirs,
        "evidence": list(evidence),
    }
    told = sorted({recipient for recipient in to if recipient})
    ctx.put("alerted", _mark(ctx, rule, mark), value=number)
    ctx.put("alert", number, value={**alert, notices.TO: told})
    ctx.put("alert_count", value=number + 1)
    notices.notify(ctx, "alert", told, alert)
    return number


def is_raised(ctx: Context, rule: str, mark: Value) -> bool:
    """Whether an alert of this rule was raised under this mark."""
    return ctx.get("alerted", _mark(ctx, rule, mark)) is not None


def concerned(ctx: Context, reader: Reader, docs: Iterable[Document]) -> set[str]:
    """Who is told: members that hold these papers, the enterprises they are of, and lenders with a line of one."""
    to: set[str] = set()
    for doc in docs:
        enterprise = reader.universe(doc.record.enterprise)
        to |= {doc.chain, *lenders_of(ctx, enterprise)}
        if enterprise.registered:
            to.add(enterprise.id)
    return to


def lenders_of(ctx: Context, enterprise: Enterprise) -> set[str]:
    """Lenders with a line of an enterprise, of its newest LENDERS_TOLD lines (lines.py keeps them)."""
    newest = (ctx.get("lines_of", enterprise.id) or [])[-LENDERS_TOLD:]
    lines = (ctx.get("line", application) for application in newest)
    return {line["lender"] for line in lines if line is not None}


def of_verdict(alarm: Alarm, verdict: Verdict, documents: dict[bytes, Document]) -> None:
    """What contradicts a false bill, and a bill's own figures that do not add up to what it asks for.

    documents: papers by id, from which the holders of the evidence are read.
    """
    if verdict.status in INELIGIBLE:
        found = [finding for finding in verdict.findings if finding.contradicts]
    else:
        found = [finding for finding in verdict.findings if _asks_too_much(finding, verdict.bill)]
    for finding in found[:ALERTS_PER_BILL]:
        shown = tuple(documents[record] for record in finding.evidence if record in documents)
        alarm.raise_about(
            (verdict.bill, *(doc for doc in shown if doc is not verdict.bill)),
            rule=finding.rule,
            text=finding.text,
            mark=[verdict.bill.chain, verdict.bill.id, finding.ours, finding.theirs],
            evidence=finding.evidence,
            status=verdict.status,
            ours=finding.ours,
            theirs=finding.theirs,
        )


def implausible(alarm: Alarm, doc: Document) -> None:
    """A ranged value outside its template's range, sealed as it is: the first one is named."""
    template = compiled(doc.template)
    for bounds in template.kinds[doc.kind].ranges:
        for text in _values(doc, bounds):
            value = decimal_text.parse_or_none(text)
            if value is None:
                continue
            low, high = (
                None if end is None else decimal_text.Scaled(end, bounds.scale) for end in (bounds.low, bounds.high)
            )
            bound = low if low is not None and _below(value, low) else high
            if bound is not None and (bound is low or _below(bound, value)):
                said = "below" if bound is low else "above"
                edge = decimal_text.render(bound)
                alarm.raise_about(
                    (doc,),
                    rule="IMPLAUSIBLE",
                    text=f"value: {name(doc)} says {bounds.field} {text}, {said} {edge}",
                    mark=[doc.chain, doc.id],
                    ours=text,
                    theirs=edge,
                )
                return


def _asks_too_much(finding: Finding, bill: Document) -> bool:
    """A doubt that comes from the bill's own figures, where it asks for more than they come to."""
    if finding.rule not in FIGURES or finding.evidence[:1] != (bill.id,):
        return False
    ours, theirs = decimal_text.reread(finding.ours), decimal_text.reread(finding.theirs)
    return decimal_text.exceeds(ours, theirs, 0)


def _values(doc: Document, bounds: Range) -> list[str]:
    value = doc.record.fields.get(bounds.field, "")
    if isinstance(value, str):
        return [value]
    return [row[bounds.column or 0] for row in value]


def _below(left: decimal_text.Scaled, right: decimal_text.Scaled) -> bool:
    return decimal_text.exceeds(right, left, 0)


def _mark(ctx: Context, rule: str, mark: Value) -> bytes:
    return ctx.hash(["tally/alert", 1, rule, mark])
