"""Who may do what: from the keys that signed a transaction to a member or party, its role and its rights.

A transaction is done by one owner, a member or a party. Each of its keys must be valid at the block's height and
hold the right to the method, and there must be as many of them as the member asks for that method (m of n).
Transactions that need several owners (consents) look at `signers` themselves.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from contracts.context import Context, Value
from contracts.errors import ContractError

CONSORTIUM: Final = "consortium"
MEMBER: Final = "member"
PARTY: Final = "party"

ROLES: Final = ("procurement", "erp", "guarantor", "lender", "regulator", "insurer", "court", "notary", "observer")

_ACTIVE: Final = ROLES[:-1]  # an observer reads
_DATA: Final = ("procurement", "erp", "guarantor", "lender")

# The (method -> roles) table. PARTY stands for parties that run no node: the enterprise, its buyer, a director.
METHOD_ROLES: Final[dict[str, tuple[str, ...]]] = {
    "records.submit": _ACTIVE,
    "registry.register_party": _DATA,
    "registry.add_identifiers": _DATA,
    "registry.add_key": (*ROLES, PARTY),
    "registry.rotate_key": (*ROLES, PARTY),
    "registry.revoke_key": (*ROLES, PARTY),
    "registry.set_threshold": ROLES,
    "registry.open_chain": ROLES,
    "registry.admit_member": _ACTIVE,
    "registry.dismiss_member": _ACTIVE,
    "gov.propose": _ACTIVE,
    "gov.vote": _ACTIVE,
    "notary.preserve": _ACTIVE,
    "notary.draft": ("lender",),
    "notary.consent": (*ROLES, PARTY),
    "notary.countersign": ("notary",),
    "notary.demand": ("lender",),
    "notary.claim_default": ("lender",),
    "notary.answer": (*ROLES, PARTY),
    "notary.verify_performance": ("notary",),
    "notary.issue": ("notary",),
    "notary.refuse": ("notary",),
    "notary.executed": ("lender", "court"),
    "notary.revoke": ("lender", "notary", "court"),
    "anchor.sign_head": ROLES,
    "anchor.confirm": _ACTIVE,
    "credit.apply": (*_DATA, PARTY),
    "credit.choose": (*_DATA, PARTY),
    "credit.confirm": (*_ACTIVE, PARTY),
    "credit.assess": (*_ACTIVE, PARTY),
    "credit.decide": ("lender",),
    "credit.disburse": ("lender",),
    "credit.extend": ("lender",),
    "credit.repay": ("lender",),
    "credit.pledge": ("lender",),
    "credit.release": ("lender",),
    "credit.notify_assignment": ("lender",),
    "credit.acknowledge": (PARTY,),
    "credit.dispute": (*_ACTIVE, PARTY),
    "credit.resolve": (*_ACTIVE, PARTY),
    "credit.adopt_template": _ACTIVE,
    "credit.adopt_model": _ACTIVE,
    "custody.appoint": _ACTIVE,
    "custody.name_readers": _ACTIVE,
    "custody.deposit": _ACTIVE,
    "custody.add_copies": _ACTIVE,
    "custody.hold": ROLES,
    "custody.lost": ROLES,
    "custody.answer": ROLES,
    "court.open": ("lender",),
    "court.file": ("lender",),
    "court.supplement": ("lender",),
    "court.withdraw": ("lender",),
    "court.hand_in_acknowledged": ("lender",),
    "court.acknowledge": ("court",),
    "court.ask": ("court",),
    "court.accept": ("court",),
    "court.reject": ("court",),
    "market.publish": ("regulator",),
    "match.lender": (*_ACTIVE, PARTY),
    "match.insurer": (*_ACTIVE, PARTY),
}


class Signer(NamedTuple):
    """One signing key, resolved."""

    key: bytes
    owner: str  # MEMBER or PARTY
    id: str
    role: str  # a member's role, or PARTY
    rights: list[str]


class Actor(NamedTuple):
    """The owner on whose behalf a transaction is done."""

    owner: str  # MEMBER or PARTY
    id: str
    role: str  # a member's role, or PARTY
    rights: tuple[list[str], ...]  # of each signing key, in key order

    def holds(self, method: str) -> bool:
        """Whether every signing key has the right to a method: what they lack they cannot pass on."""
        return all(covers(rights, method) for rights in self.rights)


def signers(ctx: Context) -> tuple[Signer, ...]:
    """Every signing key of the transaction, resolved, in key order.

    Raises ContractError UNKNOWN_SIGNER, KEY_NOT_VALID or WRONG_KEY_PURPOSE.
    """
    return tuple(_resolve(ctx, key) for key in ctx.signers)


def authorise(ctx: Context, method: str) -> Actor:
    """The one owner behind a transaction, allowed to call "contract.method".

    Raises ContractError: those of `signers`, and MIXED_SIGNERS, RIGHT_MISSING, ROLE_NOT_ALLOWED,
    MORE_SIGNATURES_NEEDED.
    """
    entries = [_entry(ctx, key) for key in ctx.signers]
    owner, owner_id = entries[0]["owner"], entries[0]["id"]
    for key, entry in zip(ctx.signers, entries, strict=True):
        if entry["id"] != owner_id or entry["owner"] != owner:
            raise ContractError(
                "MIXED_SIGNERS",
                f"{method} is signed by {owner_id} and {entry['id']}: sign with the keys of one of them",
            )
        if not covers(entry["rights"], method):
            raise ContractError(
                "RIGHT_MISSING", f"key {key.hex()[:16]} of {owner_id} has no right to {method}: use another key"
            )
    role, needed = PARTY, 1
    if owner == MEMBER:
        profile = member(ctx, owner_id)
        role = profile["role"]
        needed = profile["thresholds"].get(method) or profile["thresholds"].get("*", 1)
    roles = METHOD_ROLES[method]
    if role not in roles:
        raise ContractError(
            "ROLE_NOT_ALLOWED", f"{method} is for {', '.join(roles)}; {owner_id} is {role}: ask one of them"
        )
    if len(entries) < needed:
        raise ContractError(
            "MORE_SIGNATURES_NEEDED", f"{method} by {owner_id} needs {needed} of its keys to sign; {len(entries)} did"
        )
    return Actor(owner, owner_id, role, tuple(entry["rights"] for entry in entries))


def covers(rights: list[str], method: str) -> bool:
    """Whether a list of rights ("*" or "contract.method") includes a method."""
    return "*" in rights or method in rights


def member(ctx: Context, member_id: str) -> dict[str, Value]:
    """Registry entry of a member. Raises ContractError UNKNOWN_MEMBER."""
    entry: dict[str, Value] | None = ctx.read(CONSORTIUM, "registry", "member", member_id)
    if entry is None:
        raise ContractError("UNKNOWN_MEMBER", f"{member_id[:40]!r} is no member: see `tally query members`")
    return entry


def member_ids(ctx: Context) -> list[str]:
    """Ids of all members, sorted."""
    ids: list[str] = ctx.read(CONSORTIUM, "registry", "members")
    return ids


def is_valid_at(entry: dict[str, Value], height: int) -> bool:
    """Whether a key's registry entry is valid in the block of this height."""
    until = entry["until"]
    return bool(entry["from"] <= height and (until is None or height < until))


def _resolve(ctx: Context, key: bytes) -> Signer:
    entry = _entry(ctx, key)
    role = member(ctx, entry["id"])["role"] if entry["owner"] == MEMBER else PARTY
    return Signer(key, entry["owner"], entry["id"], role, entry["rights"])


def _entry(ctx: Context, key: bytes) -> dict[str, Value]:
    entry: dict[str, Value] | None = ctx.read(CONSORTIUM, "registry", "key", key)
    if entry is None:
        raise ContractError(
            "UNKNOWN_SIGNER", f"key {key.hex()[:16]} is not registered: register it or use another key"
        )
    if entry["purpose"] != "signer":
        raise ContractError(
            "WRONG_KEY_PURPOSE", f"key {key.hex()[:16]} is a {entry['purpose']} key: sign with a signer key"
        )
    if not is_valid_at(entry, ctx.height):
        raise ContractError(
            "KEY_NOT_VALID",
            f"key {key.hex()[:16]} of {entry['id']} is not valid at height {ctx.height}: sign with its current key",
        )
    return entry
