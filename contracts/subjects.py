"""What a notarial act names: records by a version of them, and assessments, decisions and disbursements by id."""

from __future__ import annotations

from typing import Final

from contracts import arguments
from contracts.access import CONSORTIUM
from contracts.context import Context, Value
from contracts.errors import ContractError

CREDIT_SUBJECTS: Final = ("assessment", "decision", "disbursement")


def subject(ctx: Context, entry: Value) -> dict[str, Value]:
    """One subject in its checked form: {chain, record} or {kind, id}. A record must be sealed under the key given.

    Raises ContractError UNKNOWN_CHAIN, UNKNOWN_RECORD or WRONG_ARGUMENT.
    """
    named = arguments.mapping(entry, "a subject")
    if "chain" in named:
        arguments.expect(named, "chain", "kind", "issuer", "number", "record")
        chain = arguments.member_id(named["chain"], "a subject's chain")
        if chain not in ctx.chains():
            raise ContractError("UNKNOWN_CHAIN", f"there is no chain {chain!r}: see `tally query chains`")
        record_id = arguments.binary(named["record"], "a subject's record")
        key = tuple(arguments.text(named[part], f"a subject's {part}") for part in ("kind", "issuer", "number"))
        entry = ctx.read(chain, "records", "record", *key)
        if entry is None or (record_id != entry["id"] and record_id not in entry["superseded"]):
            raise ContractError(
                "UNKNOWN_RECORD",
                f"chain {chain} has no record {record_id.hex()} under {key[0][:32]} {key[2][:64]!r}: submit it first",
            )
        return {"chain": chain, "record": record_id}
    arguments.expect(named, "kind", "id")
    if named["kind"] not in CREDIT_SUBJECTS:
        raise ContractError("WRONG_ARGUMENT", f"kind of a subject must be one of {', '.join(CREDIT_SUBJECTS)}")
    return {"kind": named["kind"], "id": arguments.binary(named["id"], "a subject's id")}


def require_existence(ctx: Context, named: dict[str, Value]) -> None:
    """An assessment, decision or disbursement is there. Raises ContractError UNKNOWN_SUBJECT."""
    if "kind" in named and ctx.read(CONSORTIUM, "credit", named["kind"], named["id"]) is None:
        raise ContractError("UNKNOWN_SUBJECT", f"there is no {named['kind']} {named['id'].hex()}")
