"""The book: what became of every bill, kept as papers come in; nothing here reads a history (DOMAIN 3, Truth).

State, on the consortium chain, in the credit contract's namespace:
    ("verdict", chain, kind, issuer, number) -> {status, amount, currency, enterprise, findings, orders, despatches,
        receipts, contract, period, confirmed, height} of one bill
    ("truth", enterprise identifier, currency) -> {"all", "matched": decimal text, "counts": {status: bills}}
    ("false", enterprise identifier), ("doubtful", enterprise identifier) -> places, newest first
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

from contracts import decimal_text
from contracts.context import Context
from contracts.decimal_text import NOTHING, Scaled, add
from contracts.evidence import Enterprise, Reader
from contracts.record import NaturalKey
from contracts.truth import STATUSES

Place: TypeAlias = tuple[str, str, str, str]  # chain, kind, issuer, number

FALSE_SHOWN: Final = 32
DOUBTFUL_SHOWN: Final = 8


class Truth(NamedTuple):
    """Bills of an enterprise in one currency: their amounts, those matched, and how many have which status."""

    all: Scaled
    matched: Scaled
    counts: dict[str, int]


def run(ctx: Context, reader: Reader) -> tuple[str, ...]:
    """In begin_block: take in new papers and judge the trades they touch, within bounds.

    Gives the ids of the enterprises of which something was judged since the last block, sorted.
    """
    return ()


def touch(ctx: Context, chain: str, key: NaturalKey) -> None:
    """Something about a paper changed that no record shows (a confirmation, a dispute): judge its trade again."""


def settle(ctx: Context, reader: Reader, enterprise: Enterprise) -> None:
    """Bring an enterprise's verdicts up to this very transaction.

    Raises ContractError NOT_SETTLED when its pending papers exceed the bound of one transaction.
    """


def truth_of(ctx: Context, enterprise: Enterprise, currency: str) -> Truth:
    """The running totals of an enterprise's bills in a currency ("" for those that name none)."""
    everything = matched = NOTHING
    counts = dict.fromkeys(STATUSES, 0)
    for identifier in enterprise.identifiers:
        entry = ctx.get("truth", identifier, currency)
        if entry is None:
            continue
        everything = add(everything, decimal_text.parse(entry["all"]))
        matched = add(matched, decimal_text.parse(entry["matched"]))
        for status, count in entry["counts"].items():
            counts[status] += count
    return Truth(everything, matched, counts)


def verdict_of(ctx: Context, chain: str, key: NaturalKey) -> dict[str, Any] | None:
    """What became of a bill, None for one that is not judged."""
    found: dict[str, Any] | None = ctx.get("verdict", chain, *key)
    return found


def false_bills(ctx: Context, enterprise: Enterprise) -> tuple[Place, ...]:
    """Contradicted and duplicate bills, at most FALSE_SHOWN, newest first for each identifier."""
    return _places(ctx, "false", enterprise, FALSE_SHOWN)


def doubtful_bills(ctx: Context, enterprise: Enterprise) -> tuple[Place, ...]:
    """Unmatched and partial bills, at most DOUBTFUL_SHOWN, newest first for each identifier."""
    return _places(ctx, "doubtful", enterprise, DOUBTFUL_SHOWN)


def _places(ctx: Context, name: str, enterprise: Enterprise, shown: int) -> tuple[Place, ...]:
    found: list[Place] = []
    for identifier in enterprise.identifiers:
        found += [(row[0], row[1], row[2], row[3]) for row in ctx.get(name, identifier) or []]
    return tuple(found[:shown])
