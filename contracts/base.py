"""The borrowing base (DOMAIN 8): what a line's collateral carries, stage by stage, in minor units of one currency.

    base = max(0, sum(eligible_s * advance_s // B) + guarantees - reserves)

Stages repay each other, so each unit of the contract counts in one of them only:

    order       what of C' is not delivered yet
    in_transit  on its way: despatched, neither received nor billed
    receivable  bills pledged to this line, as far as they are eligible

What was received and is not billed, or whose bill does not stand, carries nothing. What is not billed yet stands
behind all lines of its contract: it carries what the loans of the others leave.

A bill drops out when it is not matched, disputed, unconfirmed (where the model asks for it) or too long past due;
when too much of its debtor's bills is past due (cross-aging); for what exceeds what its contract has open, billed
less credit notes and payments; and for what exceeds one debtor's share of all (concentration). Returns are the
dilution that is deducted as a reserve. Pure: contracts/credit_line.py reads the state for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from contracts.explained import Steps
from contracts.model import Eligibility
from contracts.statistics import B

DAY_MS: Final = 86_400_000

# Why a receivable does not count; a receivable has the first that holds.
UNMATCHED: Final = "not_matched"
DISPUTED: Final = "disputed"
UNCONFIRMED: Final = "unconfirmed"
PAST_DUE: Final = "past_due"
CROSS_AGED: Final = "cross_aged"
EXCLUSIONS: Final = (UNMATCHED, DISPUTED, UNCONFIRMED, PAST_DUE, CROSS_AGED)


class Receivable(NamedTuple):
    """A pledged bill as it stands now. amount: minor units, >= 0; due_ms: end of its due day."""

    debtor: str
    contract: str  # any text that tells contracts apart; "" when the bill has none
    amount: int
    due_ms: int
    matched: bool
    disputed: bool
    confirmed: bool


class Collateral(NamedTuple):
    """Everything that stands behind a line. Minor units.

    net: C' of the line's contract, 0 when it is ended. is_order: the contract is a single order, which is worth no
    more than what of it is still ordered. stages: progress of the contract (progress.py: despatched, received and
    invoiced are less what came back or was credited). open_by_contract: billed less credit notes and payments, of
    each contract that a receivable names. guarantees: those in force, after haircuts.
    """

    net: int
    is_order: bool
    stages: Mapping[str, int]
    receivables: Sequence[Receivable]
    open_by_contract: Mapping[str, int]
    guarantees: int
    owed_elsewhere: int = 0  # on the contract, over its other lines: the goods stand behind those loans first


def exclusions(receivables: Sequence[Receivable], rules: Eligibility, now_ms: int) -> list[str]:
    """Why each receivable is out, "" where it counts; in the order given."""
    found = [_own_exclusion(item, rules, now_ms) for item in receivables]
    totals: dict[str, int] = {}
    aged: dict[str, int] = {}
    for item, why in zip(receivables, found, strict=True):
        if why in ("", PAST_DUE):
            totals[item.debtor] = totals.get(item.debtor, 0) + item.amount
            aged[item.debtor] = aged.get(item.debtor, 0) + (item.amount if why == PAST_DUE else 0)
    return [
        CROSS_AGED if why == "" and aged[item.debtor] * B > rules.cross_aging_bp * totals[item.debtor] else why
        for item, why in zip(receivables, found, strict=True)
    ]


def borrowing_base(
    collateral: Collateral, advance: Mapping[str, int], rules: Eligibility, now_ms: int, steps: Steps
) -> int:
    """The base in minor units, with a step for each number. advance: rate of each stage in basis points."""
    stages = {"order": _order(collateral, steps), "in_transit": _in_transit(collateral, steps)}
    eligible = _eligible(collateral, rules, now_ms, steps)
    stages["receivable"] = eligible
    carried = 0
    for stage in ("order", "in_transit", "receivable"):
        value = stages[stage] * advance[stage] // B
        formula = "eligible * advance // B"
        steps.add(f"base_{stage}", formula, "minor", value, eligible=stages[stage], advance=advance[stage])
        carried += value
        if stage == "in_transit":
            carried = _own_goods(collateral, carried, steps)
    dilution = _dilution(collateral, eligible * advance["receivable"] // B, steps)
    base = max(0, carried + collateral.guarantees - dilution)
    steps.add(
        "borrowing_base",
        "max(0, order + in_transit + receivable + guarantees - dilution)",
        "minor",
        base,
        stages=carried,
        guarantees=collateral.guarantees,
        dilution=dilution,
    )
    return base


def _own_goods(collateral: Collateral, carried: int, steps: Steps) -> int:
    """What goods not billed yet carry for this line: all lines of a contract share them."""
    value = max(0, carried - collateral.owed_elsewhere)
    formula = "max(0, order + in_transit - lent on the contract by its other lines)"
    steps.add("base_goods", formula, "minor", value, goods=carried, elsewhere=collateral.owed_elsewhere)
    return value


def _own_exclusion(item: Receivable, rules: Eligibility, now_ms: int) -> str:
    if not item.matched:
        return UNMATCHED
    if item.disputed:
        return DISPUTED
    if rules.confirmed_only and not item.confirmed:
        return UNCONFIRMED
    return PAST_DUE if now_ms >= item.due_ms + rules.past_due_days * DAY_MS else ""


def _order(collateral: Collateral, steps: Steps) -> int:
    stages = collateral.stages
    worth = min(collateral.net, stages["ordered"]) if collateral.is_order else collateral.net
    delivered = max(stages["despatched"], stages["received"], stages["invoiced"])
    value = max(0, worth - delivered - stages["returned"])
    steps.add(
        "order_open",
        "max(0, C' - max(despatched, received, invoiced) - returned)",
        "minor",
        value,
        C=worth,
        despatched=stages["despatched"],
        received=stages["received"],
        invoiced=stages["invoiced"],
        returned=stages["returned"],
    )
    return value


def _in_transit(collateral: Collateral, steps: Steps) -> int:
    stages = collateral.stages
    arrived = max(stages["received"], stages["invoiced"])
    value = max(0, min(stages["despatched"], collateral.net) - arrived)
    inputs = {"despatched": stages["despatched"], "C": collateral.net}
    inputs |= {"received": stages["received"], "invoiced": stages["invoiced"]}
    formula = "max(0, min(despatched, C') - max(received, invoiced)), all less what came back"
    steps.add("in_transit_open", formula, "minor", value, **inputs)
    return value


def _eligible(collateral: Collateral, rules: Eligibility, now_ms: int, steps: Steps) -> int:
    """Eligible receivables after exclusions, what their contracts have open, and concentration."""
    why = exclusions(collateral.receivables, rules, now_ms)
    out = dict.fromkeys(EXCLUSIONS, 0)
    groups: dict[tuple[str, str], int] = {}
    for item, reason in zip(collateral.receivables, why, strict=True):
        if reason:
            out[reason] += item.amount
        else:
            place = (item.debtor, item.contract)
            groups[place] = groups.get(place, 0) + item.amount
    pledged = sum(item.amount for item in collateral.receivables)
    counted = sum(groups.values())
    formula = "pledged - not_matched - disputed - unconfirmed - past_due - cross_aged"
    steps.add("receivables_counted", formula, "minor", counted, pledged=pledged, **out)
    by_debtor: dict[str, int] = {}
    for (debtor, contract), amount in groups.items():
        still_open = min(amount, max(0, collateral.open_by_contract[contract])) if contract else amount
        by_debtor[debtor] = by_debtor.get(debtor, 0) + still_open
    unpaid = sum(by_debtor.values())
    formula = "of each contract at most: billed less credit notes and payments"
    steps.add("receivables_open", formula, "minor", unpaid, counted=counted, contracts=len(groups))
    most = unpaid * rules.concentration_bp // B
    value = sum(min(amount, most) for amount in by_debtor.values())
    formula = "of each debtor at most: open * concentration // B"
    inputs = {"open": unpaid, "concentration": rules.concentration_bp, "debtors": len(by_debtor)}
    steps.add("receivables_eligible", formula, "minor", value, **inputs)
    return value


def _dilution(collateral: Collateral, carried: int, steps: Steps) -> int:
    """Reserve: the share of what was delivered that came back, of what the receivables carry; rounded up."""
    returned = collateral.stages["returned"]
    delivered = max(collateral.stages["received"], collateral.stages["invoiced"]) + returned
    value = 0 if delivered == 0 else -(-carried * returned // delivered)
    formula = "ceil(receivable * returned / (max(received, invoiced) + returned))"
    steps.add("dilution", formula, "minor", value, receivable=carried, returned=returned, delivered=delivered)
    return value
