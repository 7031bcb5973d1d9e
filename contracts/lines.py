"""What happens to credit lines from block to block: increments, taking back, overdue, silence (DOMAIN 7, [20]).

In each block, after the book has judged what came in: a milestone that no longer stands takes its grant back at once,
and so does what a corrected contract no longer carries. When a period ends, every line is gone through once: the
period's E over its new records alone, the grants of what has been attained, the completion K, and the result to the
lender, who decides (credit.extend). A closing that is not through when the next period ends is taken over by that
one: what was attained is granted then.

Bounded by block; what does not fit waits in the state:
    ("lines_due",)  -> applications whose lines are to be looked at, in the order they came up
    ("closing",)    -> {period, next}: period being closed, and how many lines of the index are still to do
    ("increment", application, period) -> {credibility, completion, grants, limit, available, steps, ...}
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from contracts import alerts, collateral, credit_line, increments, notices, ratings, repayments
from contracts.context import Context
from contracts.credit_line import CLOSED, Deal, attained, deal_of, headroom_now, ladder_of, room, shown, with_ladder
from contracts.evidence import Reader
from contracts.explained import Steps
from contracts.increments import Grant
from contracts.periods import Period
from contracts.standing import ENDED

WORK_PER_BLOCK: Final = 2_048  # reads of the state, roughly, of each of the two hooks; a line tells at most 2 events
LINE_WORK: Final = 16  # of one line, beside its receivables
PLEDGE_WORK: Final = 6  # of one receivable
GUARANTEE_WORK: Final = 3


def begin_block(ctx: Context, reader: Reader, judged: Collection[str]) -> None:
    """After book.run: take back what no longer stands, and find what is overdue.

    judged: ids of the enterprises of which something was judged since the last block.
    """
    before: list[bytes] = ctx.get("lines_due") or []
    fresh = (application for enterprise in judged for application in credit_line.ids_of(ctx, enterprise))
    due = list(dict.fromkeys([*before, *fresh]))
    work, done = WORK_PER_BLOCK, 0
    while done < len(due) and work > 0:
        line = credit_line.load(ctx, due[done])
        work -= _cost(ctx, line)
        if line["state"] != CLOSED:
            take_back(ctx, reader, line, deal_of(ctx, reader, line))
        done += 1
    if done < len(due):
        ctx.put("lines_due", value=due[done:])
    elif before:
        ctx.delete("lines_due")
    repayments.find_overdue(ctx)


def close(ctx: Context, closed: Period) -> None:
    """A period has ended: every open line is to be closed for it, by `continue_closing`."""
    count: int = ctx.get("line_count") or 0
    if count:
        ctx.put("closing", value={"period": closed.number, "next": count})


def continue_closing(ctx: Context, reader: Reader) -> None:
    """Go on with a closing, newest line first, within the bounds of one block."""
    closing = ctx.get("closing")
    if closing is None:
        return
    left, work = closing["next"], WORK_PER_BLOCK
    while left > 0 and work > 0:
        left -= 1
        line = credit_line.load(ctx, ctx.get("line_at", left))
        work -= _cost(ctx, line)
        _close_line(ctx, reader, line, closing["period"])
    if left:
        ctx.put("closing", value={**closing, "next": left})
    else:
        ctx.delete("closing")


def take_back(ctx: Context, reader: Reader, line: dict[str, Any], deal: Deal) -> dict[str, Any]:
    """Take back grants of milestones undone, and what a contract corrected downwards no longer carries.

    Gives the line as it is then, stored and told to those concerned if it changed.
    """
    changed, taken = credit_line.lowered(line, deal)
    if changed == line:
        return line
    credit_line.save(ctx, changed)
    if changed["granted"] < line["granted"]:
        _tell_lowered(ctx, reader, line, changed, taken, deal)
    return changed


def _close_line(ctx: Context, reader: Reader, line: dict[str, Any], period: int) -> None:
    deal = deal_of(ctx, reader, line)
    line = take_back(ctx, reader, line, deal)
    sums = reader.period_sums(reader.enterprise(line["enterprise"]), period)
    present, asked = sums["weight_present"], sums["weight_total"]
    credibility = ratings.conformity([(present, asked)])
    reached = attained(line, deal)
    ladder = ladder_of(line)
    headroom = headroom_now(line, deal)
    if headroom != ladder.headroom:
        ladder = increments.correct(ladder, headroom)  # upwards: a correction taken back in its turn
    ladder, fresh = increments.close(ladder, reached, period, credibility)
    line = {
        **with_ladder(line, ladder),
        "silent": 0 if credibility is not None else line["silent"] + 1,
        "undecided": period if fresh else line["undecided"],
        "closed_period": period,
    }
    if deal.contract.text("status") in ENDED and not ctx.get("schedule", line["application"]):
        _close_for_good(ctx, reader, line)
        return
    credit_line.save(ctx, line)
    if credibility is None:
        _tell_silent(ctx, line, period)
        return
    steps = Steps()
    formula = "E = B * present // asked, over the new records of the period"
    steps.add("credibility", formula, "bp", credibility, present=present, asked=asked, period=period)
    completion = increments.completion(ladder, reached)
    weights = {f"w_{name}": weight for name, weight in ladder.weights if name in reached}
    steps.add("completion", "K = B * sum(w attained) // sum(w)", "bp", completion, **weights)
    _tell_increment(ctx, reader, line, deal, period, credibility, completion, fresh, steps)


def _close_for_good(ctx: Context, reader: Reader, line: dict[str, Any]) -> None:
    """The contract is ended and nothing is owed: what backed the line, or was approved and not drawn, is free."""
    credit_line.add_on(ctx, reader, "approved", line["contract"], line["repaid"] - line["approved"])
    line = {**line, "state": CLOSED, "approved": line["repaid"]}
    credit_line.save(ctx, line)
    credit_line.drop_from_index(ctx, line)
    for *_, kind, issuer, number in line["guarantees"]:
        collateral.free(ctx, reader, (kind, issuer, number))
    notices.notify(ctx, "line_closed", line["concerned"], shown(line))


def _tell_increment(
    ctx: Context,
    reader: Reader,
    line: dict[str, Any],
    deal: Deal,
    period: int,
    credibility: int,
    completion: int | None,
    fresh: tuple[tuple[str, Grant], ...],
    steps: Steps,
) -> None:
    """Store the period's result with every number, and send it to the lender and the enterprise."""
    weights = dict(ladder_of(line).weights)
    total = sum(weights.values())
    for name, held in fresh:
        inputs = {"M": line["M"], "w": weights[name], "E": credibility, "W": total, "milestone": name}
        steps.add(f"g_{name}", "g = M * w * E // (W * B)", "minor", held.amount, **inputs)
    now = room(ctx, reader, line, deal)
    result = {
        "period": period,
        "credibility": credibility,
        "completion": completion,
        "grants": {name: held.amount for name, held in fresh},
        "increment": sum(held.amount for _, held in fresh),
        "granted": line["granted"],
        "limit": now.limit,
        "base": now.base,
        "outstanding": now.outstanding,
        "available": now.available,
    }
    stored = {**result, "height": ctx.height, "time": ctx.time, "steps": [*steps.entries, *now.steps]}
    ctx.put("increment", line["application"], period, value=stored)
    notices.notify(ctx, "increment", (line["lender"], line["enterprise"]), {**shown(line), **result})


def _tell_lowered(
    ctx: Context,
    reader: Reader,
    before: dict[str, Any],
    line: dict[str, Any],
    taken: tuple[tuple[str, Grant], ...],
    deal: Deal,
) -> None:
    now = room(ctx, reader, line, deal)
    why = "milestones undone" if taken else "contract corrected"
    data = {
        "why": why,
        "taken": {name: held.amount for name, held in taken},
        "lowered_by": before["granted"] - line["granted"],
        "granted": line["granted"],
        "limit": now.limit,
        "available": now.available,
        "outstanding": now.outstanding,
    }
    notices.notify(ctx, "limit_lowered", line["concerned"], {**shown(line), **data})


def _tell_silent(ctx: Context, line: dict[str, Any], period: int) -> None:
    """Alert once when a line's enterprise has been silent for as many closed periods as its model allows."""
    allowed = credit_line.model_of(ctx, line).silent_periods
    if line["silent"] != allowed:
        return
    alerts.raise_alert(
        ctx,
        rule="SILENT",
        text=f"no record of {line['enterprise']} came in for {allowed} periods while its line is open",
        enterprise=line["enterprise"],
        to=line["concerned"],
        ours=str(line["silent"]),
        theirs=str(allowed),
        mark=[line["application"], period],
    )


def _cost(ctx: Context, line: dict[str, Any]) -> int:
    pledged = len(ctx.get("pledges", line["application"]) or [])
    return LINE_WORK + PLEDGE_WORK * pledged + GUARANTEE_WORK * len(line["guarantees"])
