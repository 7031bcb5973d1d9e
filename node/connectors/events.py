"""What the readers of event logs (EPCIS, OCEL, XES) share: one event being read, and whose it is.

An event log often names no party at all. Then the member says in a mapping file (``mapping.py``) whose it is; without
that such a log is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.record import FieldValue
from node.connectors.draft import Link, Party, RecordDraft, check_lines, identifier
from node.connectors.errors import ConnectorError
from node.connectors.values import FIRST_YEAR


@dataclass(frozen=True, slots=True)
class Identity:
    """Parties that the member names because the file cannot: "" where it names none."""

    issuer: str = ""
    enterprise: str = ""
    counterparty: str = ""


class Log:
    """One event being read: its fields so far and notes. what: names it in errors."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.fields: dict[str, FieldValue] = {}
        self.notes: list[str] = []

    def put(self, name: str, value: str) -> None:
        """Fill a field, unless the file lacks it."""
        if value:
            self.fields[name] = value

    def put_lines(self, rows: list[list[str]], name: str = "lines") -> None:
        """Fill a field with rows, unless there are none."""
        if rows:
            self.fields[name] = check_lines(rows)


def event_draft(
    log: Log,
    *,
    number: str,
    occurred_at: str,
    links: tuple[Link, ...],
    identity: Identity,
    enterprise: Party | None,
    counterparty: Party | None,
    fallback: Party | None = None,
) -> RecordDraft:
    """The record of one event.

    The enterprise: the file's own, else the one the member names, else ``fallback`` (for EPCIS the party at whose
    place it was captured). The issuer: whom the member names, else the enterprise. Raises ConnectorError.
    """
    if int(occurred_at[:4]) < FIRST_YEAR:
        raise ConnectorError(
            "BAD_VALUE", f"{log.what} is of {occurred_at[:10]}", f"ask for its time, from {FIRST_YEAR}"
        )
    named = _named(identity.enterprise, "enterprise", log) if enterprise is None else enterprise
    chosen = named or fallback
    if chosen is None:
        raise ConnectorError(
            "MISSING",
            f"{log.what} names no enterprise",
            "say whose log it is in a mapping file: --mapping",
        )
    if counterparty is None:
        counterparty = _named(identity.counterparty, "counterparty", log)
    return RecordDraft(
        kind="event",
        issuer=identity.issuer or chosen.id,
        number=identifier(number, f"the identifier of {log.what}"),
        enterprise=chosen,
        counterparty=counterparty,
        occurred_at=occurred_at,
        links=links,
        fields=log.fields,
        notes=tuple(log.notes),
    )


def _named(party: str, role: str, log: Log) -> Party | None:
    if not party:
        return None
    log.notes.append(f"the {role} is the member's word: the file names none")
    return Party(party)
