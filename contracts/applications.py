"""Applications for credit: finding them, their enterprise and their contract, and who may act on them."""

from __future__ import annotations

from typing import Any, Final

from contracts import access, arguments
from contracts.access import MEMBER, PARTY, Actor
from contracts.context import Context, Value
from contracts.documents import Document, name, seal_order
from contracts.errors import ContractError
from contracts.evidence import Enterprise, Reader
from contracts.record import NaturalKey

CONTRACT_KINDS: Final = ("contract", "order")  # an order is a contract where no framework stands behind it
MAX_ASSESSMENTS: Final = 64  # ids kept by enterprise and by application; every assessment stays by its id

APPLIED, ASSESSED, APPROVED, DECLINED, DISBURSED = "applied", "assessed", "approved", "declined", "disbursed"


def application(ctx: Context, application_id: Value) -> dict[str, Any]:
    """An application by id. Raises ContractError UNKNOWN_APPLICATION."""
    wanted = arguments.binary(application_id, "application")
    found: dict[str, Any] | None = ctx.get("application", wanted)
    if found is None:
        raise ContractError("UNKNOWN_APPLICATION", f"no application {wanted.hex()}: use an id that credit.apply gave")
    return found


def enterprise(reader: Reader, identifier: str) -> Enterprise:
    """A registered enterprise. Raises ContractError UNKNOWN_ENTERPRISE."""
    found = reader.enterprise(identifier)
    if not found.registered:
        raise ContractError(
            "UNKNOWN_ENTERPRISE", f"{identifier[:80]!r} is no registered party: use registry.register_party first"
        )
    return found


def contract_key(value: Value) -> NaturalKey:
    """[issuer, number] of a contract, or [kind, issuer, number] with kind contract or order."""
    parts = arguments.sequence(value, "contract", 2, 3)
    found = natural_key(parts if len(parts) == 3 else ["contract", *parts])
    if found[0] not in CONTRACT_KINDS:
        raise ContractError("WRONG_ARGUMENT", f"contract must be of kind {' or '.join(CONTRACT_KINDS)}")
    return found


def natural_key(parts: list[Value]) -> NaturalKey:
    """(kind, issuer, number) of three texts."""
    kind, issuer, number = parts
    return arguments.text(kind, "kind", 32), arguments.text(issuer, "issuer"), arguments.text(number, "number")


def contract(reader: Reader, key: NaturalKey) -> Document:
    """The contract record, from the chain that sealed it first. Raises ContractError CONTRACT_NOT_SEALED."""
    copies = reader.find(key)
    if not copies:
        raise ContractError(
            "CONTRACT_NOT_SEALED", f"no chain has {key[0]} {key[2]!r} of {key[1]!r}: have procurement ingest it"
        )
    return min(copies, key=seal_order)


def lender(ctx: Context, member_id: Value) -> str:
    """The member that is asked. Raises ContractError UNKNOWN_MEMBER or NOT_A_LENDER."""
    asked = arguments.member_id(member_id, "lender")
    if access.member(ctx, asked)["role"] != "lender":
        raise ContractError("NOT_A_LENDER", f"{asked} is no lender: see `tally query members`")
    return asked


def require_contract_of(reader: Reader, of: Enterprise, deal: Document) -> None:
    """The contract is the enterprise's own. Raises ContractError WRONG_ENTERPRISE."""
    if reader.party_of(deal.record.enterprise) != of.id:
        raise ContractError(
            "WRONG_ENTERPRISE",
            f"{name(deal)} is of {deal.record.enterprise}, not of {of.id}: register the identifier if they are one "
            "(registry.add_identifiers)",
        )


def require_no_framework(reader: Reader, deal: Document) -> None:
    """An order is a contract where none stands behind it. Raises ContractError CONTRACT_OF_ORDER."""
    if deal.kind != "order":
        return
    for relation, issuer, number in deal.record.links:
        sides = [issuer] if issuer else [deal.record.issuer, deal.record.counterparty, deal.record.enterprise]
        issuers = dict.fromkeys(other for side in sides if side for other in reader.identifiers_of(side))
        if relation == "contract" and any(reader.find(("contract", other, number)) for other in issuers):
            raise ContractError(
                "CONTRACT_OF_ORDER", f"{name(deal)} is of contract {number}, which is sealed: apply for that one"
            )


def claim(ctx: Context, application_id: bytes, of: str, key: NaturalKey, asked: str) -> None:
    """One open application of an enterprise for a contract to a lender ("" while none is chosen).

    Raises ContractError APPLICATION_OPEN.
    """
    mark = ctx.hash([of, list(key), asked])
    earlier = ctx.get("applied", mark)
    if earlier is not None:
        known = ctx.get("application", earlier)
        if known["lender"] == asked and known["state"] in (APPLIED, ASSESSED):
            raise ContractError(
                "APPLICATION_OPEN", f"application {earlier.hex()} is open for this contract: assess it"
            )
    ctx.put("applied", mark, value=application_id)


def require_may_apply(ctx: Context, actor: Actor, of: Enterprise) -> None:
    """The enterprise applies with its own key; a member does it only while the enterprise has none."""
    if actor.owner == PARTY:
        if actor.id != of.id:
            raise ContractError("NOT_YOUR_APPLICATION", f"{actor.id} cannot apply for {of.id}: that is for {of.id}")
        return
    if actor.role not in ("procurement", "erp"):
        raise ContractError(
            "ROLE_NOT_ALLOWED", f"{actor.id} is {actor.role}: a procurement or erp member applies for an enterprise"
        )
    keys = ctx.read(access.CONSORTIUM, "registry", "keys", PARTY, of.id) or []
    entries = (ctx.read(access.CONSORTIUM, "registry", "key", key) for key in keys)
    if any(entry["purpose"] == "signer" and access.is_valid_at(entry, ctx.height) for entry in entries):
        raise ContractError("PARTY_HAS_KEY", f"{of.id} has a key of its own: it applies with that")


def require_independent(reader: Reader, actor: Actor, doc: Document) -> None:
    """A confirmation comes from someone else than who sealed the record and whom it favours."""
    if actor.owner == MEMBER:
        if actor.id == doc.chain:
            raise ContractError("NOT_INDEPENDENT", f"{actor.id} sealed {name(doc)} itself: ask another member")
        return
    if actor.id == reader.party_of(doc.record.enterprise):
        raise ContractError("NOT_INDEPENDENT", f"{name(doc)} is {actor.id}'s own: its counterparty confirms it")
    if reader.party_of(doc.record.counterparty) != actor.id:
        raise ContractError("NOT_INVOLVED", f"{name(doc)} does not name {actor.id} as counterparty")


def require_involved(reader: Reader, actor: Actor, of: Enterprise, deal: Document) -> None:
    """Members may assess; of the parties, the enterprise and its contract's counterparty."""
    if actor.owner == MEMBER or actor.id == of.id:
        return
    if reader.party_of(deal.record.counterparty) != actor.id:
        raise ContractError("NOT_INVOLVED", f"{actor.id} is no party to this application")


def require_lender(actor: Actor, of: dict[str, Any]) -> None:
    """Only the lender that was asked decides and disburses."""
    if actor.id != of["lender"]:
        raise ContractError("NOT_YOUR_APPLICATION", f"the application is to {of['lender']}, not to {actor.id}")
