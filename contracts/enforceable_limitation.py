"""The period for applying to the court: two years, watched by block time (民诉法 art. 250, 法释〔2018〕18号 art. 9).

It runs from the last day of performance, of instalments from the last one; called in (accelerated), from the day of
that, unless the claim ends as performed. A recorded demand and the creditor's application to the notary
(claim_default) interrupt it: it starts anew on that day. It ends with the last day's end in the deed's time zone;
that day may be pushed on by holidays, which the chain does not know: whoever waits until then asks a lawyer.

90 days before the end the parties are told (notice limitation_near), at the end again (limitation_passed). From then
on nothing interrupts it and no certificate is issued. A deed that is not countersigned, or is refused, revoked or
executed, is not watched, nor is a line on which nothing is owed, nor a deed whose enforcement was applied for
(contract court).

State, on the consortium chain, in the namespace "notary":
    ("limitation", deed) -> {interrupted: [day, demand | claim, transaction] of the latest, or [], accelerated_on:
        day | "", told: last day that limitation_near was told for, passed: the same for limitation_passed}
    ("deadlines",), ("deadline", n) -> heap of [ms, deed] (deadlines.py): when a deed is looked at next
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from contracts import access, arguments, deadlines
from contracts.access import CONSORTIUM
from contracts.context import Args, Context, Method, Reads, Value
from contracts.enforceable_deed import (
    APPLIED_FOR,
    ENFORCEABLE,
    cases,
    load,
    past_day,
    require_creditor,
    require_state,
    save,
    signed,
    tell,
)
from contracts.errors import ContractError
from contracts.record import moment

YEARS: Final = 2
NEAR_DAYS: Final = 90
MS: Final = 1_000
MS_PER_DAY: Final = 86_400_000
LOOK_MS: Final = (YEARS * 365 - NEAR_DAYS) * MS_PER_DAY  # nothing that is lent later can be near its end sooner
DEEDS_PER_BLOCK: Final = 32
LAST_YEAR: Final = 9999  # that the calendar of records has
MAX_TEXT: Final = 1_024

DUE: Final = "due"
ACCELERATED: Final = "accelerated"
DEMAND: Final = "demand"
CLAIM: Final = "claim"


class Limitation(NamedTuple):
    """The period of a deed as it stands."""

    start: str  # day it runs from, "" when nothing is lent: it does not run then
    cause: str  # DUE, ACCELERATED, DEMAND or CLAIM
    last_day: str  # last day on which the court may be asked, "" when it does not run
    ends: int  # ms: the end of that day; 0 when it does not run

    def passed(self, time_ms: int) -> bool:
        """Whether the period is over at a block time."""
        return bool(self.ends) and time_ms >= self.ends


def of(reads: Reads, deed: dict[str, Any]) -> Limitation:
    """The period of a deed, from the state of its height."""
    line = reads.read(CONSORTIUM, "credit", "line", deed["application"])
    entry = reads.read(CONSORTIUM, "notary", "limitation", deed["id"]) or _EMPTY
    start, cause = line["last_due"], DUE
    if not start:
        return Limitation("", DUE, "", 0)
    if entry["accelerated_on"] and entry["accelerated_on"] < start:
        start, cause = entry["accelerated_on"], ACCELERATED
    if entry["interrupted"] and entry["interrupted"][0] >= start:
        start, cause, _ = entry["interrupted"]
    last_day = years_after(start)
    return Limitation(start, cause, last_day, moment(last_day, deed["zone"]).last * MS)


def years_after(day: str) -> str:
    """The same day YEARS later; of 29 February the 28th where there is none, and never past the calendar's last."""
    year, rest = int(day[:4]) + YEARS, day[4:]
    if year > LAST_YEAR:
        return f"{LAST_YEAR}-12-31"
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return f"{year:04d}{'-02-28' if rest == '-02-29' and not leap else rest}"


def demand(ctx: Context, args: Args) -> Value:
    """The creditor has demanded performance: {deed, on, text, evidence*}. Gives {number, last_day}.

    on: the day, at most today; the period starts anew from it. evidence: sha256 of what shows it. The obligors are
    told. Raises ContractError LIMITATION_PASSED where there is nothing left to interrupt.
    """
    arguments.expect(args, "deed", "on", "text", optional=("evidence",))
    actor = access.authorise(ctx, "notary.demand")
    deed = load(ctx, args["deed"])
    require_creditor(actor, deed)
    require_state(deed, *ENFORCEABLE)
    before = require_running(ctx, deed)
    if not before.start:
        raise ContractError("NOTHING_LENT", "nothing is disbursed under this deed: there is nothing to demand")
    day = past_day(ctx, args["on"], "on", deed["zone"])
    evidence = None if args.get("evidence") is None else arguments.binary(args["evidence"], "evidence")
    number = deed["demands"]
    entry = {"on": day, "text": arguments.text(args["text"], "text", MAX_TEXT), "evidence": evidence}
    ctx.put("demand", deed["id"], number, value={**entry, **signed(ctx, actor)})
    interrupt(ctx, deed, day, DEMAND)
    deed = save(ctx, deed, demands=number + 1)
    last_day = of(ctx, deed).last_day
    tell(ctx, "deed_demanded", deed, on=day, text=entry["text"], last_day=last_day)
    return {"number": number, "last_day": last_day}


def require_running(ctx: Context, deed: dict[str, Any]) -> Limitation:
    """The period, not over yet. Raises ContractError LIMITATION_PASSED."""
    found = of(ctx, deed)
    if found.passed(ctx.time):
        raise ContractError(
            "LIMITATION_PASSED", f"the period for enforcement ended on {found.last_day}: two years from {found.start}"
        )
    return found


def interrupt(ctx: Context, deed: dict[str, Any], day: str, cause: str, accelerated_on: str = "") -> None:
    """Let the period start anew on a day; looked at again in time."""
    entry = ctx.get("limitation", deed["id"]) or _EMPTY
    latest = entry["interrupted"]
    changed: dict[str, Value] = {} if latest and day < latest[0] else {"interrupted": [day, cause, ctx.tx_id]}
    if accelerated_on and not entry["accelerated_on"]:
        changed["accelerated_on"] = accelerated_on
    ctx.put("limitation", deed["id"], value={**entry, **changed})
    if accelerated_on:  # the end may have come nearer than when it is looked at next
        watch(ctx, deed)


def call_in_no_more(ctx: Context, deed: dict[str, Any]) -> None:
    """A claim has ended as performed: what it called in is due by the schedule again."""
    entry = ctx.get("limitation", deed["id"]) or _EMPTY
    if entry["accelerated_on"]:
        ctx.put("limitation", deed["id"], value={**entry, "accelerated_on": ""})


def watch(ctx: Context, deed: dict[str, Any]) -> None:
    """Have the hook look at a deed when its period may be near its end."""
    found = of(ctx, deed)
    deadlines.put(ctx, _look(ctx, found), deed["id"])


def begin_block(ctx: Context) -> None:
    """Look at the deeds whose time has come, at most so many a block; the rest follow in the next."""
    for _ in range(DEEDS_PER_BLOCK):
        identity = deadlines.take_due(ctx, ctx.time)
        if identity is None:
            return
        deed = load(ctx, identity)
        if deed["state"] in ENFORCEABLE:
            _look_at(ctx, deed)


def _look_at(ctx: Context, deed: dict[str, Any]) -> None:
    found = of(ctx, deed)
    if found.ends and _owed(ctx, deed) and not _is_applied_for(ctx, deed):
        entry = ctx.get("limitation", deed["id"]) or _EMPTY
        said = {"last_day": found.last_day, "start": found.start, "cause": found.cause}
        if found.passed(ctx.time) and entry["passed"] != found.last_day:
            ctx.put("limitation", deed["id"], value={**entry, "passed": found.last_day})
            tell(ctx, "limitation_passed", deed, **said)
        elif _near(found) <= ctx.time < found.ends and entry["told"] != found.last_day:
            ctx.put("limitation", deed["id"], value={**entry, "told": found.last_day})
            tell(ctx, "limitation_near", deed, **said)
    deadlines.put(ctx, _look(ctx, found), deed["id"])


def _look(ctx: Context, found: Limitation) -> int:
    """When to look next, ms, after now."""
    times = (_near(found), found.ends) if found.ends else ()
    return min((time for time in times if time > ctx.time), default=ctx.time + LOOK_MS)


def _near(found: Limitation) -> int:
    return found.ends - NEAR_DAYS * MS_PER_DAY


def _is_applied_for(ctx: Context, deed: dict[str, Any]) -> bool:
    """Whether a case with the certificate is filed, and neither rejected nor withdrawn."""
    return any(case["state"] in APPLIED_FOR for case in cases(ctx, deed))


def _owed(ctx: Context, deed: dict[str, Any]) -> bool:
    return ctx.read(CONSORTIUM, "credit", "schedule", deed["application"]) is not None


_EMPTY: Final[dict[str, Any]] = {"interrupted": [], "accelerated_on": "", "told": "", "passed": ""}

METHODS: Final[dict[str, Method]] = {"demand": demand}
