"""What a connector gives back: a draft of each record a document holds, before any template or secret.

A connector never fills a field that the file lacks: an absent field is absent from ``fields``, an absent cell of
a line is ``""``. The rules that choose between several elements are in ``docs/data-exchange.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from contracts.record import MAX_IDENTIFIER, MAX_LINES, FieldValue
from node.connectors.errors import ConnectorError, shown

Link: TypeAlias = tuple[str, str, str]
"""(relation, issuer or "" where unknown, number)."""


@dataclass(frozen=True, slots=True)
class Party:
    """A party of a document.

    id: the identifier records carry (docs/data-exchange.md, "Party identifiers"); name: "" where the file gives
    none; identifiers: every other identifier the file gives for it, as "scheme:id" or "id", in the file's order.
    """

    id: str
    name: str = ""
    identifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordDraft:
    """One record as read from a file.

    kind, issuer, number: the natural key. enterprise: the seller, the borrower. counterparty: the buyer or
    beneficiary, None where the document names none. occurred_at: "YYYY-MM-DD" or "YYYY-MM-DDTHH:MM:SSZ".
    fields: name → text, or rows for "lines". notes: what a reader of the record should know about how it was
    read, one line each ("zone dropped from …").
    """

    kind: str
    issuer: str
    number: str
    enterprise: Party
    counterparty: Party | None
    occurred_at: str
    links: tuple[Link, ...]
    fields: Mapping[str, FieldValue]
    notes: tuple[str, ...] = ()


def identifier(text: str, what: str) -> str:
    """A party, document or item identifier: not empty, at most 256 characters. Raises ConnectorError."""
    if not text:
        raise ConnectorError("MISSING", f"{what} is missing", "ask the sender for a complete document")
    if len(text) > MAX_IDENTIFIER:
        raise ConnectorError(
            "BAD_VALUE", f"{what} {shown(text)} has {len(text)} characters", f"shorten it to {MAX_IDENTIFIER}"
        )
    return text


def sorted_links(links: list[Link]) -> tuple[Link, ...]:
    """Each link once, in the order a record keeps them."""
    return tuple(sorted(set(links)))


def check_lines(lines: list[list[str]]) -> list[list[str]]:
    """The rows, or ConnectorError TOO_LARGE past what one record may hold."""
    if len(lines) > MAX_LINES:
        raise ConnectorError("TOO_LARGE", f"{len(lines)} lines", f"split the document: at most {MAX_LINES} a record")
    return lines
