"""A credit line: what an approved application has become, its limit and what of it is available (DOMAIN 7, 8).

    available = max(0, min(limit - lent on the contract, borrowing base - outstanding)), 0 while overdue or closed
    limit     = L0 + sum(g)

With one line on a contract, "lent on the contract" is the line's outstanding and this is DOMAIN 8; with several, all
of them together stay within the limit. A line keeps the milestones and the model it was approved under.

State, on the consortium chain, in the credit contract's namespace (and that of collateral.py):
    ("line", application)      -> the line, see `opened`
    ("lines_of", enterprise)   -> applications of its lines that are not closed, oldest first
    ("disbursement_of", application, n) -> id of the nth disbursement, from 0; the line says how many there are, and
        in last_due the last day on which any instalment is due, paid or not
    ("line_count",), ("line_at", n) -> applications of all lines that are not closed, n from 0
    ("lent", kind, issuer party, number)     -> outstanding principal on a contract, over all its lines
    ("approved", kind, issuer party, number) -> approved on a contract less principal repaid, over all its lines
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from contracts import base, collateral, increments, progress, standing
from contracts import model as credit_model
from contracts.base import Collateral
from contracts.context import Context
from contracts.documents import Document, party_key
from contracts.errors import ContractError
from contracts.evidence import Reader, keys_of
from contracts.explained import Steps
from contracts.increments import Grant, Ladder
from contracts.model import Model

MAX_LINES: Final = 64  # of one enterprise, not closed
MAX_PLEDGES: Final = 512  # of one line
MAX_STAGE: Final = 2**60  # minor units that a stage counts at most

OPEN: Final = "open"
OVERDUE: Final = "overdue"
CLOSED: Final = "closed"


class Deal(NamedTuple):
    """The contract of a line as it stands now. net: C' in minor units, 0 when it is ended or unusable."""

    contract: Document
    net: int
    stages: dict[str, int]  # progress, minor units


class Room(NamedTuple):
    """What of a line can be drawn now, minor units, with the steps that led there (explained.py)."""

    limit: int
    base: int
    outstanding: int
    lent: int  # on the contract, over all its lines
    available: int
    steps: list[dict[str, Any]]


def load(ctx: Context, application: bytes) -> dict[str, Any]:
    """The line of an application. Raises ContractError NO_LINE."""
    found: dict[str, Any] | None = ctx.get("line", application)
    if found is None:
        raise ContractError(
            "NO_LINE", f"application {application.hex()} has no line: credit.decide approves it first"
        )
    return found


def save(ctx: Context, line: dict[str, Any]) -> None:
    """Write a line."""
    ctx.put("line", line["application"], value=line)


def ids_of(ctx: Context, enterprise: str) -> list[bytes]:
    """Applications with a line that is not closed, of an enterprise by party id; oldest first."""
    found: list[bytes] = ctx.get("lines_of", enterprise) or []
    return found


def opened(
    ctx: Context, reader: Reader, asked: dict[str, Any], assessed: dict[str, Any], amount: int
) -> dict[str, Any]:
    """Open the line of an approved application, and give it. amount: approved, minor units.

    L0 is the assessment's limit, M = max(0, min(C', obligor cap) - L0) with the contract as it stands now.
    """
    ids = ids_of(ctx, asked["enterprise"])
    if len(ids) >= MAX_LINES:
        raise ContractError("TOO_MANY_LINES", f"{asked['enterprise']} has {len(ids)} open lines: that is the most")
    contract = _contract(reader, asked)
    model = credit_model.at(ctx, *assessed["model"])
    net, cap = net_of(contract), model.obligor_caps.get(assessed["currency"])
    if net < assessed["limit"]:
        raise ContractError("ASSESSMENT_STALE", "the contract has been cut to less than the limit: assess again")
    guarantees = collateral.guarantees_of(reader, asked, assessed, model)
    holders = {doc.chain for doc in reader.find(contract.key)} | {doc.chain for doc, _ in guarantees}
    line = {
        "application": asked["id"],
        "enterprise": asked["enterprise"],
        "contract": asked["contract"],
        "contract_chain": asked["contract_chain"],
        "lender": asked["lender"],
        "concerned": sorted({asked["lender"], asked["enterprise"], asked["by"][1], *holders}),
        "template": [contract.template["id"], contract.template["version"]],
        "zone": contract.template["time_zone_minutes"],
        "model": assessed["model"],
        "assessment": assessed["id"],
        "currency": assessed["currency"],
        "scale": assessed["scale"],
        "L0": assessed["limit"],
        "M": increments.headroom(net, cap, assessed["limit"]),
        "cap": cap,
        "net": net,
        "milestones": [
            {**milestone, "granted": None, "period": 0, "credibility": 0}
            for milestone in contract.template.get("milestones", [])
        ],
        "granted": 0,
        "guarantees": [[doc.id, *value, doc.chain, *doc.key] for doc, value in guarantees],
        "approved": amount,
        "drawn": 0,
        "repaid": 0,
        "outstanding": 0,
        "disbursements": 0,
        "repayments": 0,
        "last_due": "",
        "state": OPEN,
        "silent": 0,
        "undecided": 0,
        "closed_period": 0,
        "place": ctx.get("line_count") or 0,
        "height": ctx.height,
        "time": ctx.time,
    }
    ctx.put("lines_of", asked["enterprise"], value=[*ids, asked["id"]])
    ctx.put("line_at", line["place"], value=asked["id"])
    ctx.put("line_count", value=line["place"] + 1)
    save(ctx, line)
    return line


def model_of(ctx: Context, line: dict[str, Any]) -> Model:
    """The version of the model that the line was approved under."""
    return credit_model.at(ctx, *line["model"])


def drop_from_index(ctx: Context, line: dict[str, Any]) -> None:
    """Take a line out of the indexes of open ones; in that of all, the last one takes its place."""
    others = [other for other in ids_of(ctx, line["enterprise"]) if other != line["application"]]
    if others:
        ctx.put("lines_of", line["enterprise"], value=others)
    else:
        ctx.delete("lines_of", line["enterprise"])
    count: int = ctx.get("line_count") - 1
    last: bytes = ctx.get("line_at", count)
    ctx.delete("line_at", count)
    if count:
        ctx.put("line_count", value=count)
    else:
        ctx.delete("line_count")
    if last != line["application"]:
        ctx.put("line_at", line["place"], value=last)
        save(ctx, {**load(ctx, last), "place": line["place"]})


def net_of(contract: Document) -> int:
    """C' of a contract in minor units; 0 when it is ended, or names no usable amount."""
    if contract.text("status") in standing.ENDED:
        return 0
    return standing.contract_money(contract, Steps(), []).net or 0


def deal_of(ctx: Context, reader: Reader, line: dict[str, Any]) -> Deal:
    """The line's contract now, and how far it has come."""
    contract = _contract(reader, line)
    reached = progress.of_contract(ctx, reader, contract)
    if reached.currency != line["currency"]:  # corrected since: what it says now are units of another money
        return Deal(contract, 0, dict.fromkeys(progress.STAGES, 0))
    # Papers may name any amount, the state holds 64 bits: what is beyond all measure is enough all the same.
    stages = {stage: min(value, MAX_STAGE) for stage, value in reached.stages.items()}
    return Deal(contract, net_of(contract), stages)


def ladder_of(line: dict[str, Any]) -> Ladder:
    """The line's milestones as increments.py has them."""
    rows = line["milestones"]
    return Ladder(
        line["M"],
        tuple((row["id"], row["weight"]) for row in rows),
        tuple(
            (row["id"], Grant(row["granted"], row["period"], row["credibility"]))
            for row in rows
            if row["granted"] is not None
        ),
    )


def with_ladder(line: dict[str, Any], ladder: Ladder) -> dict[str, Any]:
    """The line with the grants of a ladder."""
    held = dict(ladder.grants)
    nothing = {"granted": None, "period": 0, "credibility": 0}
    rows = []
    for row in line["milestones"]:
        found = held.get(row["id"])
        values = (
            nothing
            if found is None
            else {"granted": found.amount, "period": found.period, "credibility": found.credibility}
        )
        rows.append({**row, **values})
    return {**line, "M": ladder.headroom, "milestones": rows, "granted": ladder.granted}


def attained(line: dict[str, Any], deal: Deal) -> set[str]:
    """Ids of the milestones that the contract's progress reaches now."""
    return {
        row["id"]
        for row in line["milestones"]
        if increments.is_attained(deal.stages[row["stage"]], row["share_bp"], deal.net)
    }


def headroom_now(line: dict[str, Any], deal: Deal) -> int:
    """M by the contract as it stands; a contract corrected upwards earns no more than it was approved for."""
    return increments.headroom(min(deal.net, line["net"]), line["cap"], line["L0"])


class Lowered(NamedTuple):
    """A line less what no longer stands, and the grants that this takes back."""

    line: dict[str, Any]
    taken: tuple[tuple[str, Grant], ...]


def lowered(line: dict[str, Any], deal: Deal) -> Lowered:
    """The line without grants of milestones undone, and without what a contract corrected downwards cannot carry."""
    ladder, taken = increments.undo(ladder_of(line), attained(line, deal))
    headroom = headroom_now(line, deal)
    if headroom < ladder.headroom:
        ladder = increments.correct(ladder, headroom)
    return Lowered(with_ladder(line, ladder), taken)


def limit_now(line: dict[str, Any], deal: Deal) -> int:
    """L0 + sum(g) as the contract stands in this transaction, also before the hook has come round to the line."""
    limit: int = line["L0"] + lowered(line, deal).line["granted"]
    return limit


def room(ctx: Context, reader: Reader, line: dict[str, Any], deal: Deal | None = None) -> Room:
    """Limit, borrowing base and what is available, at this block. Reads the line's pledged receivables."""
    deal = deal or deal_of(ctx, reader, line)
    line = lowered(line, deal).line
    model = model_of(ctx, line)
    steps = Steps()
    limit = line["L0"] + line["granted"]
    grants = {f"g_{row['id']}": row["granted"] or 0 for row in line["milestones"]}
    steps.add("line_limit", "L0 + sum(g)", "minor", limit, L0=line["L0"], **grants)
    lent = lent_on(ctx, reader, line["contract"])
    outstanding = line["outstanding"]
    behind = _collateral(ctx, reader, line, deal, lent - outstanding)
    carried = base.borrowing_base(behind, model.stage_advance, model.eligibility, ctx.time, steps)
    overdue, closed = is_overdue(ctx, line), line["state"] == CLOSED
    free = 0 if overdue or closed else max(0, min(limit - lent, carried - outstanding))
    steps.add(
        "available",
        "max(0, min(limit - lent on the contract, base - outstanding)); 0 while overdue or closed",
        "minor",
        free,
        limit=limit,
        base=carried,
        outstanding=outstanding,
        lent=lent,
        overdue=int(overdue),
        closed=int(closed),
    )
    return Room(limit, carried, outstanding, lent, free, steps.entries)


def is_overdue(ctx: Context, line: dict[str, Any]) -> bool:
    """Whether an instalment is unpaid past its grace days, also before the hook has come round to it."""
    rows = ctx.get("schedule", line["application"]) or []
    return line["state"] == OVERDUE or bool(rows and rows[0][1] <= ctx.time)


def lent_on(ctx: Context, reader: Reader, contract: list[str]) -> int:
    """Outstanding principal on a contract, minor units, over all its lines."""
    return _sum_over_keys(ctx, reader, "lent", contract)


def committed_on(ctx: Context, reader: Reader, contract: list[str]) -> int:
    """Approved on a contract and not repaid, minor units, over all its lines."""
    return _sum_over_keys(ctx, reader, "approved", contract)


def add_on(ctx: Context, reader: Reader, name: str, contract: list[str], change: int) -> None:
    """Add to "lent" or "approved" of a contract."""
    kind, issuer, number = contract
    place = (name, kind, party_key(issuer, reader.party_of), number)
    ctx.put(*place, value=(ctx.get(*place) or 0) + change)


def shown(line: dict[str, Any]) -> dict[str, Any]:
    """The parts of a line that its notices begin with."""
    names = ("application", "enterprise", "contract", "lender", "currency", "scale")
    return {name: line[name] for name in names}


def _sum_over_keys(ctx: Context, reader: Reader, name: str, contract: list[str]) -> int:
    kind, issuer, number = contract
    return sum(ctx.get(name, kind, key, number) or 0 for key in keys_of(reader, issuer))


def _contract(reader: Reader, of: dict[str, Any]) -> Document:
    """The contract of an application or a line, on the chain that had it first. Records are never removed."""
    found = reader.document(of["contract_chain"], _key(of["contract"]))
    assert found is not None, "the contract of an application is sealed"
    return found


def _key(contract: list[str]) -> tuple[str, str, str]:
    kind, issuer, number = contract
    return kind, issuer, number


def _collateral(ctx: Context, reader: Reader, line: dict[str, Any], deal: Deal, owed_elsewhere: int) -> Collateral:
    open_by_contract: dict[str, int] = {}
    return Collateral(
        net=deal.net,
        is_order=line["contract"][0] == "order",
        stages=deal.stages,
        receivables=tuple(collateral.receivables(ctx, reader, line, deal.contract, deal.stages, open_by_contract)),
        open_by_contract=open_by_contract,
        guarantees=collateral.guaranteed(ctx, reader, line, model_of(ctx, line)),
        owed_elsewhere=max(0, owed_elsewhere),
    )
