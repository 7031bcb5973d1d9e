"""Opening and resolving a dispute over a bill ([20]); what is stored: disputes.py.

Who may say that a bill is not owed: its counterparty, and every member whose chain holds a paper of its trade or that
lends on it; never the enterprise that issued it. Several may join. It is resolved by

    dismissed   all who opened it withdraw, or a regulator, court or notary says so
    upheld      the enterprise concedes, or a regulator, court or notary says so

Upheld is final for the paper: what is owed after all is billed anew. One that was withdrawn may be opened again, one
that an authority dismissed may not.
"""

from __future__ import annotations

from typing import Any, Final

from contracts import access, arguments, book, disputes, notices, pledges
from contracts.access import MEMBER, PARTY, Actor
from contracts.applications import natural_key
from contracts.context import Args, Context, Method, Value
from contracts.disputes import DISMISSED, OPEN, UPHELD
from contracts.documents import Document, name, party_key, seal_order
from contracts.errors import ContractError
from contracts.evidence import Reader
from contracts.record import NaturalKey

AUTHORITIES: Final = ("regulator", "court", "notary")
MAX_OPENERS: Final = 16


class _Bill:
    """A disputed bill: its copies, the first sealed first, and its key in the state."""

    def __init__(self, ctx: Context, args: Args) -> None:
        self.reader = Reader(ctx)
        self.key: NaturalKey = natural_key([args["kind"], args["issuer"], args["number"]])
        self.copies: tuple[Document, ...] = tuple(sorted(self.reader.find(self.key), key=seal_order))
        kind, issuer, number = self.key
        if not self.copies:
            raise ContractError(
                "UNKNOWN_BILL", f"no chain has {kind} {number!r} of {issuer!r}: check kind and issuer"
            )
        self.first = self.copies[0]
        if self.first.category != "bill":
            raise ContractError("NOT_A_BILL", f"{name(self.first)} is no bill: a bill is what can be disputed")
        if self.reader.party_of(issuer) is None:
            raise ContractError("UNKNOWN_PARTY", f"{issuer!r} is no registered party: registry.register_party first")
        self.place = (kind, party_key(issuer, self.reader.party_of), number)
        self.enterprise = self.reader.party_of(self.first.record.enterprise) or ""
        self.debtor = self.reader.party_of(self.first.record.counterparty) or ""

    def concerned(self, ctx: Context, entry: dict[str, Any]) -> set[str]:
        pledged = pledges.held(ctx, self.reader, self.key)
        lender = "" if pledged is None else pledged.pledge["lender"]
        openers = (opener for _, opener in entry["by"])
        return {self.enterprise, self.debtor, lender, *(doc.chain for doc in self.copies), *openers}

    def judge_again(self, ctx: Context) -> None:
        """Let the book look at the bill's trade in the next block, on each chain that holds it."""
        for doc in self.copies:
            book.touch(ctx, doc.chain, self.key)


def dispute(ctx: Context, args: Args) -> Value:
    """Say that a bill is not owed: {kind, issuer, number, reason}. Gives {status, known}.

    known: whether the caller had said so before. Raises ContractError NOT_INVOLVED, or DISPUTE_DECIDED when an
    authority has dismissed one, or it was upheld.
    """
    arguments.expect(args, "kind", "issuer", "number", "reason")
    actor = access.authorise(ctx, "credit.dispute")
    reason = arguments.text(args["reason"], "reason")
    bill = _Bill(ctx, args)
    _require_may_open(ctx, actor, bill)
    known = disputes.entry_of(ctx, *bill.place)
    me = [actor.owner, actor.id]
    if known is not None and (known["status"] == UPHELD or known["final"]):
        raise ContractError("DISPUTE_DECIDED", f"the dispute over {name(bill.first)} was {known['status']}")
    if known is not None and known["status"] == OPEN:
        if me in known["by"]:
            return {"status": OPEN, "known": True}
        if len(known["by"]) >= MAX_OPENERS:
            raise ContractError("TOO_MANY_DISPUTING", f"{len(known['by'])} dispute it already: that is enough")
        entry = {**known, "by": [*known["by"], me]}
    else:
        rounds = 1 if known is None else known["rounds"] + 1
        entry = {"status": OPEN, "bill": list(bill.key), "by": [me], "reason": reason, "note": "", "final": False}
        entry |= {"opened": ctx.height, "height": ctx.height, "time": ctx.time, "rounds": rounds}
    disputes.store(ctx, *bill.place, entry)
    bill.judge_again(ctx)
    said = {"bill": list(bill.key), "enterprise": bill.enterprise, "by": actor.id, "reason": reason}
    notices.notify(ctx, "disputed", bill.concerned(ctx, entry), said)
    return {"status": OPEN, "known": False}


def resolve(ctx: Context, args: Args) -> Value:
    """End a dispute: {kind, issuer, number, outcome: upheld|dismissed, note (optional)}. Gives {status}.

    Who disputes withdraws (dismissed); the enterprise concedes (upheld); a regulator, court or notary decides either.
    With several disputing, it stays open until the last of them has withdrawn.
    """
    arguments.expect(args, "kind", "issuer", "number", "outcome", optional=("note",))
    actor = access.authorise(ctx, "credit.resolve")
    outcome = args["outcome"]
    if outcome not in (UPHELD, DISMISSED):
        raise ContractError("WRONG_ARGUMENT", f"outcome must be {UPHELD} or {DISMISSED}")
    note = arguments.text(args["note"], "note") if "note" in args else ""
    bill = _Bill(ctx, args)
    known = disputes.entry_of(ctx, *bill.place)
    if known is None or known["status"] != OPEN:
        raise ContractError("NOT_DISPUTED", f"no dispute over {name(bill.first)} is open")
    authority = actor.owner == MEMBER and actor.role in AUTHORITIES
    me = [actor.owner, actor.id]
    left = [] if authority or outcome == UPHELD else [other for other in known["by"] if other != me]
    if not authority:
        _require_may_resolve(actor, bill, known, outcome)
    status = OPEN if left else outcome
    entry = {**known, "status": status, "note": note, "final": authority, "height": ctx.height, "time": ctx.time}
    if left:
        entry["by"] = left
    disputes.store(ctx, *bill.place, entry)
    bill.judge_again(ctx)
    said = {"bill": list(bill.key), "enterprise": bill.enterprise, "by": actor.id, "status": status, "note": note}
    notices.notify(ctx, "dispute_resolved", bill.concerned(ctx, known), said)
    return {"status": status}


def _require_may_open(ctx: Context, actor: Actor, bill: _Bill) -> None:
    if actor.owner == PARTY:
        if actor.id != bill.debtor or actor.id == bill.enterprise:
            raise ContractError("NOT_INVOLVED", f"{name(bill.first)} does not name {actor.id} as counterparty")
        return
    if actor.id not in _holders(ctx, bill):
        raise ContractError("NOT_INVOLVED", f"{actor.id} holds no paper of the trade of {name(bill.first)}")


def _holders(ctx: Context, bill: _Bill) -> set[str]:
    """Members with a paper of the bill's trade on their chain, and the one that lends on it."""
    found = {doc.chain for doc in bill.copies}
    for doc in bill.copies:
        verdict = book.verdict_of(ctx, doc.chain, bill.key) or {}
        for part in ("orders", "despatches", "receipts"):
            found |= {place[0] for place in verdict.get(part, [])}
    pledged = pledges.held(ctx, bill.reader, bill.key)
    return found if pledged is None else found | {pledged.pledge["lender"]}


def _require_may_resolve(actor: Actor, bill: _Bill, known: dict[str, Any], outcome: str) -> None:
    if outcome == DISMISSED and [actor.owner, actor.id] not in known["by"]:
        raise ContractError("NOT_YOUR_DISPUTE", f"{actor.id} did not open it: who disputes withdraws")
    if outcome == UPHELD and (actor.owner != PARTY or actor.id != bill.enterprise):
        raise ContractError(
            "NOT_YOUR_BILL", f"only {bill.enterprise} can concede, or a regulator, court or notary say"
        )


METHODS: Final[dict[str, Method]] = {"dispute": dispute, "resolve": resolve}
