"""What a limit stands on beside the ratings: the contract, the qualification q and the guarantees (DOMAIN 3, 6).

Each function adds its steps and the reasons for what it leaves out or finds wanting.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from contracts import decimal_text, reasons
from contracts.decimal_text import MAX_DIGITS, NOTHING, ceil_at_scale, floor_at_scale
from contracts.documents import Document, PartyOf, event_order, name, party_key, seal_order
from contracts.errors import ContractError
from contracts.evidence import weight_asked, weights
from contracts.explained import Steps
from contracts.limits import Guarantee
from contracts.model import Model
from contracts.reasons import Reason, Severity
from contracts.record import moment
from contracts.statistics import B

MAX_MONEY = 2**53  # minor units of one contract or guarantee: sums of many stay within the codec's integers
ENDED = ("cancelled", "terminated", "unsuccessful", "withdrawn")


class Facts(NamedTuple):
    """A record whose completeness and corroboration count: the contract, or the qualification."""

    document: Document
    corroborated: set[str]  # names of fields


class Money(NamedTuple):
    """The contract's currency, its minor-unit scale, and C' in minor units; net None: no limit can come of it."""

    currency: str
    scale: int
    net: int | None


def contract_money(contract: Document, steps: Steps, found: list[Reason]) -> Money:
    """C': the amount rounded down, less the prepayment rounded up, never below 0."""
    currency = contract.text("currency")
    scale = contract.template.get("currencies", {}).get(currency)
    evidence = (contract.id,)
    if contract.text("status") in ENDED:
        text = f"{name(contract)} is {contract.text('status')}: it earns nothing more"
        found.append(Reason(Severity.FORBIDS, B, reasons.CONTRACT_NOT_ACTIVE, text, evidence))
    if scale is None:
        text = f"{name(contract)}: the template has no currency {currency!r}; add it there with its minor units"
        found.append(Reason(Severity.FORBIDS, B, reasons.CURRENCY_UNKNOWN, text, evidence))
        return Money(currency, 0, None)
    amount = contract.decimal("value") or contract.decimal("total")
    prepaid = contract.decimal("prepayment") or NOTHING
    net = None if amount is None else max(0, floor_at_scale(amount, scale) - ceil_at_scale(prepaid, scale))
    if amount is None or net is None or net > MAX_MONEY:
        text = f"{name(contract)} names no amount that can be used"
        found.append(Reason(Severity.FORBIDS, B, reasons.CONTRACT_WITHOUT_VALUE, text, evidence))
        return Money(currency, scale, None)
    steps.add(
        "contract_net",
        "C' = max(0, floor(amount) - ceil(prepayment)), in minor units",
        "minor",
        net,
        amount=decimal_text.render(amount),
        prepayment=decimal_text.render(prepaid),
        currency=currency,
        scale=scale,
    )
    return Money(currency, scale, net)


def contract_strength(facts: Facts, floor: int, steps: Steps, found: list[Reason]) -> int:
    """Completeness times corroboration of the contract, in basis points; below the model's floor: no limit."""
    strength = _share_of_facts(facts, "contract_strength", steps)
    if strength < floor:
        contract = facts.document
        text = (
            f"{name(contract)}: completeness times corroboration is {strength} bp where the model asks for {floor}; "
            "an independent signer (buyer, guarantor, regulator) can confirm it"
        )
        band = {"grade": "accepted", "threshold": floor, "rule": f"at least {floor}", "points": B}
        code = reasons.CONTRACT_BELOW_FLOOR
        found.append(Reason(Severity.FORBIDS, B, code, text, (contract.id,), strength, floor, band))
    return strength


def qualification(facts: Facts | None, steps: Steps, found: list[Reason]) -> int | None:
    """q: completeness times corroboration of the qualification, in basis points; None without a record."""
    if facts is None:
        text = "the enterprise has no qualification record in force: have one sealed"
        found.append(Reason(Severity.FORBIDS, B, reasons.QUALIFICATION_MISSING, text))
        steps.add("qualification", "q: NO_DATA", "bp", None)
        return None
    q = _share_of_facts(facts, "qualification", steps)
    if q < B:
        doc = facts.document
        unbacked = len(set(doc.record.fields) - facts.corroborated)
        absent = sum(
            1
            for field, rule in doc.kind_spec["fields"].items()
            if rule["weight"] and rule.get("open", True) and field not in doc.record.fields
        )
        code = reasons.QUALIFICATION_UNCORROBORATED if unbacked else reasons.QUALIFICATION_INCOMPLETE
        text = f"{name(doc)}: q is {q} bp; {unbacked} facts are not confirmed, {absent} are absent"
        band = {"grade": "full", "threshold": B, "rule": "every fact present and confirmed", "points": B}
        # q multiplies the whole advance, as much as all ratings together can take away.
        found.append(Reason(Severity.LOWERS, 100 * (B - q), code, text, (doc.id,), q, B, band))
    return q


def current_qualification(docs: tuple[Document, ...], now: int) -> Document | None:
    """The latest qualification record that has not run out, of documents in any order."""
    valid = [doc for doc in docs if not _expired(doc, "valid_until", now)]
    return max(valid, key=event_order, default=None)


def guarantees(
    docs: tuple[Document, ...],
    contract: Document,
    used: frozenset[bytes],
    money: Money,
    model: Model,
    now: int,
    steps: Steps,
    found: list[Reason],
) -> tuple[tuple[Document, Guarantee], ...]:
    """Those in force, in the contract's currency, for this contract or for none by name, each used once.

    used: ids of guarantees that back another approved application. now: UTC seconds.
    """
    counted = []
    for doc in docs:
        why = _why_left_out(doc, contract, used, money, now)
        amount, haircut = doc.decimal("amount"), model.haircuts.get(doc.text("grade"))
        if not why and (amount is None or haircut is None):
            why = "it names no amount" if amount is None else f"the model has no grade {doc.text('grade')!r}"
        if why or amount is None or haircut is None:
            found += left_out((doc,), why)
            continue
        guarantee = Guarantee(min(max(0, floor_at_scale(amount, money.scale)), MAX_MONEY), haircut)
        counted.append((doc, guarantee))
        value = guarantee.amount * haircut // B
        said = {"grade": doc.text("grade"), "record": name(doc)}
        steps.add("guarantee", "G * gamma // B", "minor", value, G=guarantee.amount, gamma=haircut, **said)
    return tuple(counted)


def each_once(
    docs: Iterable[Document], model: Model, party_of: PartyOf
) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """Of the copies of each guarantee, on whatever chains, the one that is worth least; and the others."""
    copies: dict[tuple[str, str, str], list[Document]] = {}
    for doc in docs:
        copies.setdefault((doc.kind, party_key(doc.record.issuer, party_of), doc.number), []).append(doc)

    def order(doc: Document) -> tuple[int, int, str, bytes]:
        amount, haircut = doc.decimal("amount") or NOTHING, model.haircuts.get(doc.text("grade"), 0)
        return max(0, floor_at_scale(amount, MAX_DIGITS)) * haircut, *seal_order(doc)

    ranked = [sorted(group, key=order) for group in copies.values()]
    return tuple(group[0] for group in ranked), tuple(doc for group in ranked for doc in group[1:])


def left_out(docs: Iterable[Document], why: str) -> list[Reason]:
    """The reason that guarantees do not count."""
    code = reasons.GUARANTEE_LEFT_OUT
    return [Reason(Severity.NOTES, 0, code, f"{name(doc)} is left out: {why}", (doc.id,)) for doc in docs]


def _why_left_out(doc: Document, contract: Document, used: frozenset[bytes], money: Money, now: int) -> str:
    named = [number for relation, _, number in doc.record.links if relation == contract.kind]
    if doc.text("currency") != money.currency:
        return f"it is in {doc.text('currency')}, the contract in {money.currency}"
    if named and contract.number not in named:
        return f"it covers {contract.kind} {named[0]}"
    if doc.id in used:
        return "it already backs another approved application"
    if _expired(doc, "expiry_date", now):
        return f"it expired on {doc.text('expiry_date')}"
    return ""


def _expired(doc: Document, field: str, now: int) -> bool:
    text = doc.text(field)
    if not text:
        return False
    try:
        return moment(text, doc.template["time_zone_minutes"]).last < now
    except ContractError:
        return True


def _share_of_facts(facts: Facts, what: str, steps: Steps) -> int:
    """Completeness * corroborated share of a record's facts, rounded down at each division."""
    doc = facts.document
    present, asked = weights(doc), weight_asked(doc)
    backed = weights(doc, facts.corroborated)
    complete = 0 if asked == 0 else B * present // asked
    corroborated = 0 if present == 0 else B * backed // present
    said = name(doc)
    steps.add(
        f"{what}_completeness", "B * present // asked", "bp", complete, present=present, asked=asked, record=said
    )
    steps.add(f"{what}_corroboration", "B * backed // present", "bp", corroborated, backed=backed, present=present)
    value = complete * corroborated // B
    formula = "completeness * corroboration // B"
    steps.add(what, formula, "bp", value, completeness=complete, corroboration=corroborated)
    return value
