"""A deed of enforceable notarization: its content, its parties, its states; what the steps share.

Pure reads and checks. What consents are about is `statement`: the same value is hashed (digest), shown, and encoded
for a signature by a certificate authority's key (the bytes are the canonical encoding, whose sha256 is the digest).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from contracts import arguments, notices
from contracts.access import CONSORTIUM, MEMBER, PARTY, Actor
from contracts.context import Context, Reads, Value
from contracts.errors import ContractError
from contracts.record import SECONDS_PER_DAY, civil_from_days
from contracts.repayments import date

DRAFT: Final = "draft"  # consents are collected
CONSENTED: Final = "consented"  # by every party; the notary is next
NOTARIZED: Final = "notarized"  # enforceable; nothing is claimed
CLAIMED: Final = "claimed"  # the creditor has claimed default; the notary verifies performance
VERIFIED: Final = "verified"  # with a work record
CERTIFIED: Final = "certified"  # the execution certificate is issued: route A stands
REFUSED: Final = "refused"  # by the notary: route B
EXECUTED: Final = "executed"
REVOKED: Final = "revoked"
STATES: Final = (DRAFT, CONSENTED, NOTARIZED, CLAIMED, VERIFIED, CERTIFIED, REFUSED, EXECUTED, REVOKED)
STANDING: Final = (DRAFT, CONSENTED, NOTARIZED, CLAIMED, VERIFIED, CERTIFIED)
ENFORCEABLE: Final = (NOTARIZED, CLAIMED, VERIFIED, CERTIFIED)  # the limitation period is watched
APPLIED_FOR: Final = ("filed", "acknowledged", "asked", "accepted")  # of a case (court_case.py): it is before a court

DEBTOR: Final = "debtor"
JOINT: Final = "joint"  # 连带责任保证: liable beside the debtor
GENERAL: Final = "general"  # 一般保证: liable for what the debtor's assets do not pay
GUARANTEES: Final = (JOINT, GENERAL)

CHAIN: Final = "chain"  # the way of verification by the parties' own keys and inboxes

CONTENT: Final = (
    "application",
    "creditor",
    "debtor",
    "notary",
    "guarantors",
    "contract",
    "records",
    "currency",
    "scale",
    "zone",
    "ceiling",
    "terms",
    "verification",
    "text_hash",
    "language",
)


class Obligor(NamedTuple):
    """Somebody the deed can be enforced against."""

    owner: str  # MEMBER or PARTY
    id: str
    kind: str  # DEBTOR, JOINT or GENERAL
    covers: int | None  # minor units of the claim's total at most; None: all of it
    address: str  # where the notary asks, by the deed's method


def statement(network_id: bytes, deed: dict[str, Any]) -> Value:
    """What every consent and the countersignature are about: this deed, and no later one with the same content."""
    return ["tally/deed", 1, network_id, deed["id"], {name: deed[name] for name in CONTENT}]


def load(ctx: Reads, identity: Value) -> dict[str, Any]:
    """A deed by id. Raises ContractError UNKNOWN_DEED."""
    wanted = arguments.binary(identity, "deed")
    found: dict[str, Any] | None = ctx.read(CONSORTIUM, "notary", "deed", wanted)
    if found is None:
        raise ContractError("UNKNOWN_DEED", f"no deed {wanted.hex()}: use an id that notary.draft gave")
    return found


def save(ctx: Context, deed: dict[str, Any], **changes: Value) -> dict[str, Any]:
    """Write a deed with changes; gives it."""
    changed = {**deed, **changes}
    ctx.put("deed", deed["id"], value=changed)
    return changed


def require_state(deed: dict[str, Any], needed: str, *others: str) -> None:
    """Raises ContractError WRONG_STATE."""
    allowed = (needed, *others)
    if deed["state"] not in allowed:
        raise ContractError("WRONG_STATE", f"the deed is {deed['state']}: this step is for {' or '.join(allowed)}")


def require_creditor(actor: Actor, deed: dict[str, Any]) -> None:
    """Raises ContractError NOT_YOUR_DEED."""
    if actor.id != deed["creditor"]:
        raise ContractError("NOT_YOUR_DEED", f"{deed['creditor']} is the creditor of this deed, not {actor.id}")


def require_notary(actor: Actor, deed: dict[str, Any]) -> None:
    """Raises ContractError NOT_YOUR_DEED."""
    if actor.id != deed["notary"]:
        raise ContractError("NOT_YOUR_DEED", f"{deed['notary']} is the notary of this deed, not {actor.id}")


def require_case(ctx: Context, actor: Actor, deed: dict[str, Any]) -> None:
    """A court acts on what is before it. Raises ContractError NOT_YOUR_DEED."""
    if all(case["court"] != actor.id or case["state"] not in APPLIED_FOR for case in cases(ctx, deed)):
        raise ContractError(
            "NOT_YOUR_DEED", f"no case over this deed is before {actor.id}: court.file brings it there"
        )


def cases(ctx: Context, deed: dict[str, Any]) -> list[dict[str, Any]]:
    """Cases over the deed that were opened with its certificate, oldest first."""
    ids = ctx.read(CONSORTIUM, "court", "cases", deed["application"]) or []
    found = [ctx.read(CONSORTIUM, "court", "case", identity) for identity in ids]
    return [case for case in found if case["deed"] == deed["id"] and case["certificate"]]


def obligors(deed: dict[str, Any]) -> tuple[Obligor, ...]:
    """The debtor, then the guarantors in the deed's order."""
    debtor = Obligor(PARTY, deed["debtor"], DEBTOR, None, deed["verification"]["address"])
    rows = deed["guarantors"]
    return (debtor, *(Obligor(row["owner"], row["id"], row["kind"], row["covers"], row["address"]) for row in rows))


def obligor(actor: Actor, deed: dict[str, Any]) -> Obligor:
    """The obligor that acts. Raises ContractError NOT_AN_OBLIGOR."""
    for found in obligors(deed):
        if (found.owner, found.id) == (actor.owner, actor.id):
            return found
    raise ContractError("NOT_AN_OBLIGOR", f"{actor.id} is neither debtor nor guarantor in this deed")


def parties(deed: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """(owner, id) of everybody whose consent the deed needs: the creditor and every obligor."""
    return ((MEMBER, deed["creditor"]), *((found.owner, found.id) for found in obligors(deed)))


def missing(deed: dict[str, Any]) -> list[str]:
    """Ids of those who have not consented yet."""
    return [identity for owner, identity in parties(deed) if [owner, identity] not in deed["consents"]]


def concerned(deed: dict[str, Any]) -> list[str]:
    """Ids of everybody who is told what happens with the deed."""
    return [deed["notary"], *(identity for _, identity in parties(deed))]


def tell(ctx: Context, name: str, deed: dict[str, Any], **more: Value) -> None:
    """A notice to everybody concerned by a deed."""
    notices.notify(ctx, name, concerned(deed), {"deed": deed["id"], "application": deed["application"], **more})


def signed(ctx: Context, actor: Actor) -> dict[str, Any]:
    """Who did a step, with which keys and when: every stored step begins with it."""
    return {
        "by": actor.id,
        "owner": actor.owner,
        "role": actor.role,
        "signers": list(ctx.signers),
        "height": ctx.height,
        "time": ctx.time,
        "transaction": ctx.tx_id,
    }


def day_of(time_ms: int, zone: int) -> str:
    """The day YYYY-MM-DD of a block time in a time zone, minutes east of UTC."""
    year, month, day = civil_from_days((time_ms // 1_000 + zone * 60) // SECONDS_PER_DAY)
    return f"{year:04d}-{month:02d}-{day:02d}"


def past_day(ctx: Context, value: Value, what: str, zone: int, earliest: str = "") -> str:
    """A day YYYY-MM-DD, not after the block's and not before `earliest`.

    Raises ContractError WRONG_ARGUMENT, DATE_IN_FUTURE or DATE_TOO_EARLY.
    """
    date(value, what, zone)
    today, day = day_of(ctx.time, zone), str(value)
    if day > today:
        raise ContractError("DATE_IN_FUTURE", f"{what} {day} is to come: the block is of {today}")
    if day < earliest:
        raise ContractError("DATE_TOO_EARLY", f"{what} {day} is before {earliest}: give that day or a later one")
    return day
