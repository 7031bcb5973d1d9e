"""What the forms can name: every fact of a case as text of one language, in a tree of values for template.py.

Leaves are text; true and false say whether a part of a form stands; lists are repeated. Nothing is computed here but
words: the amounts are those of the claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from contracts import claims
from tallystick.litigation import figures
from tallystick.litigation.facts import ENFORCEMENT, CaseFacts, Collateral, Evidence, Guarantor, Party
from tallystick.litigation.wording import Wording, days_between

CHOSEN: Final = "■"
NOT_CHOSEN: Final = "□"
_GROUPS: Final = {
    "principal": (claims.PRINCIPAL, claims.ACCELERATED),
    "interest": (claims.INTEREST, claims.ACCRUED),
    "penalty": (claims.PENALTY,),
    "compound": (claims.COMPOUND,),
}


def values(facts: CaseFacts, wording: Wording) -> dict[str, Any]:
    """All that a form can name, in the wording's language. Raises LitigationError where an amount has no words."""
    enforcement = facts.route == ENFORCEMENT
    respondents = _respondents(facts, wording, enforcement)
    word = wording.language.word
    return {
        "reading_copy": wording.language.words.get("reading_copy", ""),
        "case_id": facts.case.hex(),
        "enforcement": enforcement,
        "suit": not enforcement,
        "court": facts.court or word("court_blank"),
        "currency": wording.currency(),
        "unit": wording.unit(),
        "date": wording.day(facts.claim.as_of),
        "zone": wording.zone(),
        "creditor": _party(facts.creditor, wording, ""),
        "debtor": _party(facts.debtor, wording, word("roles", "debtor")),
        "respondents": respondents,
        "opponents": wording.joined([respondent["name"] for respondent in respondents]),
        "guarantors": [_guarantor(one, wording) for one in facts.guarantors],
        "collateral": [_collateral(one, wording) for one in facts.collateral],
        "loan": _loan(facts, wording),
        "terms": {
            "penalty": figures.rate(facts.agreed.penalty_bp),
            "compound": figures.rate(facts.agreed.compound_bp),
            "day_count": str(facts.agreed.day_count),
        },
        "deed": _deed(facts, wording),
        "claim": _claim(facts, wording),
        "summary": _summary(facts, wording),
        "lines": {name: _lines(facts, wording, rules) for name, rules in _GROUPS.items()},
        "has_acceleration": bool(facts.accelerated_on),
        "accelerated_on": wording.day(facts.accelerated_on),
        "has_costs": facts.claim.costs > 0,
        "costs": _costs(facts, wording),
        "other_claims": [{"text": text} for text in facts.other_claims],
        "other_text": "\n".join(facts.other_claims),
        "preservation": facts.preservation,
        "facts_text": facts.facts_text,
        "copies": str(facts.copies),
        "mediation": {name: _box(facts.mediation == name) for name in ("yes", "no", "undecided")},
        "electronic_service": {name: _box(facts.electronic_service == name) for name in ("yes", "no")},
        "doubled_interest": facts.doubled_interest,
        "box": _boxes(facts),
        "extra": dict(facts.extra),
        **_money_moved(facts, wording),
        **_happened(facts, wording),
        **_long_texts(facts, wording),
    }


def _respondents(facts: CaseFacts, wording: Wording, enforcement: bool) -> list[dict[str, Any]]:
    """The debtor and the guarantors: in enforcement those alone who consented to it themselves."""
    role = wording.language.word
    named = [(facts.debtor, "debtor")]
    named += [(one.party, "guarantor") for one in facts.guarantors if one.covered or not enforcement]
    against = facts.against
    return [
        _party(party, wording, role("roles", as_what))
        for party, as_what in named
        if not against or party.chain_id in against
    ]


def _party(party: Party, wording: Wording, role: str) -> dict[str, Any]:
    agent, account = party.agent, party.account
    return {
        "name": party.name,
        "role": role,
        "organisation": party.kind == "organisation",
        "person": party.kind == "person",
        "identifier": party.identifier,
        "address": party.address,
        "has_representative": party.kind == "organisation" and party.representative != "",
        "needs_representative": party.kind == "organisation" and party.representative == "",
        "representative": party.representative,
        "position": party.position or wording.language.word("none"),
        "phone": party.phone,
        "chain_id": party.chain_id,
        "has_agent": agent is not None,
        "agent": {
            "name": agent.name if agent else "",
            "organisation": agent.organisation if agent else "",
            "position": agent.position if agent else "",
            "phone": agent.phone if agent else "",
            "power": wording.language.word("power", agent.power) if agent else "",
        },
        "has_account": account is not None,
        "account": {
            "holder": account.holder if account else "",
            "bank": account.bank if account else "",
            "number": account.number if account else "",
        },
    }


def _guarantor(guarantor: Guarantor, wording: Wording) -> dict[str, Any]:
    joint = guarantor.liability == "joint"
    return {
        "name": guarantor.party.name,
        "contract": guarantor.contract or wording.language.word("none"),
        "signed_on": wording.day(guarantor.signed_on) or wording.language.word("none"),
        "ceiling": wording.ceiling(guarantor.ceiling),
        "liability": wording.language.word("liability", guarantor.liability),
        "enforced_joint": guarantor.covered and joint,
        "enforced_general": guarantor.covered and not joint,
    }


def _collateral(one: Collateral, wording: Wording) -> dict[str, Any]:
    return {
        "kind": wording.language.word("collateral", one.kind),
        "description": one.description,
        "contract": one.contract or wording.language.word("none"),
        "ceiling": wording.ceiling(one.ceiling),
        "registration": one.registration or wording.language.word("none"),
        "registered_on": wording.day(one.registered_on) or wording.language.word("none"),
    }


def _loan(facts: CaseFacts, wording: Wording) -> dict[str, Any]:
    loan, word = facts.loan, wording.language.word
    first = min((paid.day for paid in facts.disbursements), default="")
    actual = wording.say(word("actual_term"), first=wording.day(first), last=wording.day(facts.claim.ends))
    title, rate = loan.title or word("loan_title"), loan.rate_bp
    numbered = wording.text("loan", title=title, number=loan.number)
    return {
        "contract": numbered if loan.number else wording.text("loan_unnumbered", title=title),
        "signed_on": wording.day(loan.signed_on),
        "on": wording.text("on", day=wording.day(loan.signed_on)) if loan.signed_on else "",
        "at": "" if rate is None else wording.text("at_rate", rate=figures.rate(rate)),
        "amount": wording.money(loan.amount),
        "rate": word("not_stated") if rate is None else figures.rate(rate),
        "term": loan.term or (actual if first and facts.claim.ends else word("none")),
        "purpose": loan.purpose,
        "repayment_method": loan.repayment_method or word("by_schedule"),
        "jurisdiction": loan.jurisdiction,
    }


def _deed(facts: CaseFacts, wording: Wording) -> dict[str, str]:
    deed = facts.deed
    if deed is None:
        names = ("id", "number", "notary", "signed_on", "certificate_number", "certificate_id", "issued_on")
        return dict.fromkeys((*names, "time_limit", "operative", "verification"), "")
    return {
        "id": figures.grouped(deed.id),
        "number": deed.number,
        "notary": deed.notary,
        "signed_on": wording.day(deed.signed_on),
        "certificate_number": deed.certificate_number,
        "certificate_id": figures.grouped(deed.certificate_id),
        "issued_on": wording.day(deed.issued_on),
        "time_limit": wording.day(deed.time_limit),
        "operative": deed.operative_text or _operative(facts, wording),
        "verification": deed.verification,
    }


def _operative(facts: CaseFacts, wording: Wording) -> str:
    claim = facts.claim
    amounts = {name: wording.money(getattr(claim, name)) for name in ("principal", "interest", "penalty", "compound")}
    return wording.text("operative", as_of=wording.day(claim.as_of), **amounts)


def _claim(facts: CaseFacts, wording: Wording) -> dict[str, Any]:
    claim = facts.claim
    amounts: dict[str, Any] = {}
    for name in ("principal", "interest", "penalty", "compound", "costs", "total", "daily"):
        amounts[name] = wording.money(getattr(claim, name))
    for name in ("paid_principal", "paid_interest", "undue_principal", "undue_interest"):
        amounts[name] = wording.money(getattr(claim, name))
    for name in ("total", "costs", "paid_principal", "paid_interest"):
        amounts[f"{name}_number"] = wording.number(getattr(claim, name))
    overdue = bool(claim.overdue_since)
    return amounts | {
        "principal_capitals": wording.capitals(claim.principal),
        "total_capitals": wording.capitals(claim.total),
        "has_interest": claim.interest > 0,
        "has_undue": claim.undue_principal + claim.undue_interest > 0,
        "as_of": wording.day(claim.as_of),
        "next_day": wording.next_day(claim.as_of),
        "is_overdue": overdue,
        "overdue_since": wording.day(claim.overdue_since),
        "overdue_days": str(days_between(claim.overdue_since, claim.as_of)) if overdue else "0",
    }


def _summary(facts: CaseFacts, wording: Wording) -> list[dict[str, str]]:
    """One row for each rule that the claim has lines of, in their order."""
    names = list(dict.fromkeys(line.rule for line in facts.claim.lines))
    rows = []
    for rule in names:
        amount = sum(line.amount for line in facts.claim.lines if line.rule == rule)
        rows.append({"name": wording.language.word("rules", rule), "amount": wording.number(amount)})
    return rows


def _lines(facts: CaseFacts, wording: Wording, rules: Sequence[str]) -> dict[str, Any]:
    found = [line for line in facts.claim.lines if line.rule in rules]
    rows = [
        {
            "due": wording.day(line.due),
            "period": _period(line, wording),
            "formula": wording.formula(line),
            "amount": wording.number(line.amount),
            "rule": wording.language.word("rules", line.rule),
        }
        for line in found
    ]
    return {"any": bool(rows), "rows": rows, "sum": wording.number(sum(line.amount for line in found))}


def _period(line: claims.Line, wording: Wording) -> str:
    """The days that a line counts, or that it counts none."""
    if not line.first:
        return wording.language.word("not_on_chain")
    return wording.text("period", first=wording.day(line.first), last=wording.day(line.last))


def _costs(facts: CaseFacts, wording: Wording) -> list[dict[str, str]]:
    return [
        {
            "name": wording.language.word("costs", line.due),
            "text": line.text,
            "amount": wording.money(line.amount),
            "number": wording.number(line.amount),
        }
        for line in facts.claim.lines
        if line.rule == claims.COST
    ]


def _money_moved(facts: CaseFacts, wording: Wording) -> dict[str, Any]:
    """Payments out and payments received."""
    total = sum(paid.amount for paid in facts.disbursements)
    said = [
        wording.text("disbursed", day=wording.day(paid.day), amount=wording.money(paid.amount), number=paid.number)
        for paid in facts.disbursements
    ]
    return {
        "disbursements": [
            {
                "day": wording.day(paid.day),
                "amount": wording.number(paid.amount),
                "number": paid.number,
                "id": figures.grouped(paid.id),
                "record": figures.grouped(paid.record),
            }
            for paid in facts.disbursements
        ],
        "disbursed": {
            "total": wording.money(total),
            "number": wording.number(total),
            "text": wording.joined(said),
        },
        "has_payments": bool(facts.claim.payments),
        "payments": [
            {
                "day": wording.day(payment.day),
                "id": figures.grouped(payment.repayment),
                "interest": wording.number(payment.interest),
                "principal": wording.number(payment.principal),
            }
            for payment in facts.claim.payments
        ],
    }


def _happened(facts: CaseFacts, wording: Wording) -> dict[str, Any]:
    """Chronology and evidence."""
    word = wording.language.word
    return {
        "has_events": bool(facts.events),
        "events": [
            {"time": wording.time(event.at), "text": wording.event(event), "place": wording.place(event)}
            for event in facts.events
        ],
        "has_evidence": bool(facts.evidence),
        "evidence": [
            {
                "name": " ".join(filter(None, (word("kinds", item.kind) if item.kind else "", item.name))),
                "source": _coded(item.source, "sources", wording),
                "proves": _coded(item.proves, "proves", wording),
                "content": item.content,
                "issuer": wording.say(word("issued_by"), by=item.issuer) if item.issuer else "",
                "pages": item.pages or word("not_on_chain"),
                "original": word("original", item.original),
                "file": item.file or word("not_on_chain"),
                "place": _block(item.chain, item.height, wording),
                "hashes": _hashes(item, wording),
            }
            for item in facts.evidence
        ],
    }


def _coded(text: str, words: str, wording: Wording) -> str:
    """The words for a code, "@contract"; any other text is said as it is."""
    return wording.language.word(words, text[1:]) if text.startswith("@") else text


def _hashes(item: Evidence, wording: Wording) -> str:
    word = wording.language.word
    named = (("sha256", item.sha256), ("record", item.record), ("transaction", item.transaction))
    said = [f"{word(name)} {figures.grouped(digest)}" for name, digest in named if digest]
    return "\n".join(said) or word("not_on_chain")


def _block(chain: str, height: int, wording: Wording) -> str:
    word = wording.language.word
    return wording.say(word("place"), chain=chain, height=str(height)) if chain else word("not_on_chain")


def _boxes(facts: CaseFacts) -> dict[str, dict[str, str]]:
    ceilings = [one.ceiling for one in facts.guarantors] + [thing.ceiling for thing in facts.collateral]
    chosen = {
        "acceleration": bool(facts.accelerated_on),
        "security": bool(facts.guarantors or facts.collateral),
        "costs": facts.claim.costs > 0,
        "jurisdiction": bool(facts.loan.jurisdiction),
        "preservation": bool(facts.preservation),
        "matured": facts.claim.undue_principal == 0,
        "overdue": bool(facts.claim.overdue_since),
        "collateral": bool(facts.collateral),
        "ceiling": any(most is not None for most in ceilings),
        "registered": any(thing.registration for thing in facts.collateral),
        "guarantors": bool(facts.guarantors),
        "joint": any(one.liability == "joint" for one in facts.guarantors),
        "general": any(one.liability == "general" for one in facts.guarantors),
    }
    return {name: {"yes": _box(yes), "no": _box(not yes)} for name, yes in chosen.items()}


def _long_texts(facts: CaseFacts, wording: Wording) -> dict[str, str]:
    """The fields that tell of several things, one line for each."""
    text, word = wording.text, wording.language.word
    guarantors = [_guarantor(one, wording) for one in facts.guarantors]
    collateral = [_collateral(one, wording) for one in facts.collateral]
    debtor = facts.debtor.name
    security = [text("collateral_claim", **_only_text(one)) for one in collateral]
    for who, said in zip(facts.guarantors, guarantors, strict=True):
        security.append(text(f"guarantee_claim_{who.liability}", debtor=debtor, **_only_text(said)))
    ceilings = [(who.party.name, who.ceiling) for who in facts.guarantors]
    ceilings += [(thing.description, thing.ceiling) for thing in facts.collateral]
    basis: dict[str, None] = dict.fromkeys(who.liability for who in facts.guarantors)
    basis |= dict.fromkeys(thing.kind for thing in facts.collateral)
    accelerated = facts.accelerated_on
    deed = _deed(facts, wording)
    return {
        "acceleration_text": text("acceleration", day=wording.day(accelerated)) if accelerated else "",
        "security_text": "\n".join(security),
        "costs_text": "\n".join(text("cost", **_only_text(one)) for one in _costs(facts, wording)),
        "guarantee_text": "\n".join(text("guarantee", **_only_text(one)) for one in guarantors),
        "collateral_text": "\n".join(text("collateral", **_only_text(one)) for one in collateral),
        "collateral_contracts": "\n".join(text("collateral_contract", **_only_text(one)) for one in collateral),
        "ceiling_text": "\n".join(
            text("ceiling", name=name, ceiling=wording.money(most)) for name, most in ceilings if most is not None
        ),
        "registered_text": "\n".join(
            text("registered", **_only_text(said))
            for thing, said in zip(facts.collateral, collateral, strict=True)
            if thing.registration
        ),
        "payments_text": "\n".join(
            text(
                "payment",
                day=wording.day(payment.day),
                amount=wording.money(payment.interest + payment.principal),
                interest=wording.money(payment.interest),
                principal=wording.money(payment.principal),
            )
            for payment in facts.claim.payments
        ),
        "deed_text": (text("deed", **deed) if facts.deed else text("no_deed"))
        + "".join(f"\n{reason}" for reason in _reasons(facts, wording)),
        "basis_security": "".join(word("basis", name) for name in basis),
        "route_text": word("routes", facts.route),
        "reasons_text": "\n".join(_reasons(facts, wording)),
    }


def _reasons(facts: CaseFacts, wording: Wording) -> list[str]:
    """Why the route is taken, in the language's words for the code, else as the chain says it."""
    return [wording.language.word_or(text, "reasons", code) for code, text in facts.reasons]


def _only_text(said: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in said.items() if isinstance(value, str)}


def _box(chosen: bool) -> str:
    return CHOSEN if chosen else NOT_CHOSEN
