"""Credit: application, corroboration, assessment ([10], [19], DOMAIN 1-6), and the whole contract's methods and hook.

Runs on the consortium chain and reads every member's chain at the block being executed, so every node computes
the same ratings and the same limit. The lender decides, always: lending.py holds what follows an assessment.

State, on the consortium chain (beside that of adoption.py, book.py, lending.py and what these name):
    ("application", id)           -> {id, enterprise, contract, lender, amount, state, assessments, ...}
    ("applied", hash)             -> id of the newest application of an enterprise for a contract to a lender
    ("assessment", id)            -> the whole assessment (assessment.py) with its application, height and model
    ("enterprise", party)         -> ids of its newest assessments, oldest first
    ("confirmation", record id)   -> [{owner, id, fields, height}]
"""

from __future__ import annotations

from typing import Any, Final

from contracts import (
    access,
    adoption,
    applications,
    arguments,
    book,
    collateral,
    decimal_text,
    disputing,
    lending,
    lines,
    notices,
    periods,
    pledges,
    progress,
    repayments,
    standing,
    verdicts,
)
from contracts import assessment as assessments
from contracts import model as credit_model
from contracts.applications import APPLIED, ASSESSED, MAX_ASSESSMENTS
from contracts.assessment import Bill, Inputs
from contracts.context import Args, Context, Method, Value
from contracts.decimal_text import add
from contracts.documents import Document, name
from contracts.errors import ContractError
from contracts.evidence import Enterprise, Reader, corroborated_fields
from contracts.lending import MAX_AMOUNT
from contracts.record import MAX_FIELDS
from contracts.standing import Facts
from contracts.verdicts import Truth

MAX_CONFIRMATIONS: Final = 16
PAPERS: Final = ("contract", "process", "bill")  # categories whose confirmation may change a trade's verdict


def begin_block(ctx: Context) -> None:
    """Judge new papers, take back what no longer stands, then close the period if it is over, line by line."""
    reader = Reader(ctx)
    lines.begin_block(ctx, reader, book.run(ctx, reader))
    closed = periods.close_if_over(ctx)
    if closed is not None:
        lines.close(ctx, closed)
    lines.continue_closing(ctx, reader)
    _tell_whether_behind(ctx)


def _tell_whether_behind(ctx: Context) -> None:
    """("behind",) stands while work is left over, so that nodes make the next block at once and not when idle."""
    behind = book.is_behind(ctx) or ctx.get("closing") is not None
    if behind and ctx.get("behind") is None:
        ctx.put("behind", value=True)
    elif not behind and ctx.get("behind") is not None:
        ctx.delete("behind")


def genesis(ctx: Context, doc: dict[str, Value]) -> None:
    """Write the founding templates and models, and open the first period. Raises ContractError."""
    adoption.write_genesis(ctx, doc)
    periods.open_first(ctx, ctx.time, doc["parameters"].get(periods.PARAMETER, 0))


def apply(ctx: Context, args: Args) -> Value:
    """Ask for credit on a contract: {enterprise, contract, lender (optional), amount (optional, minor units)}.

    enterprise: party id or identifier. contract: [issuer, number], or [kind, issuer, number] to name an order.
    Without a lender the application waits for credit.choose; it can be assessed before. By the enterprise's own key,
    or by a procurement or erp member while the enterprise has none. Gives {id}.
    """
    arguments.expect(args, "enterprise", "contract", optional=("lender", "amount"))
    actor = access.authorise(ctx, "credit.apply")
    reader = Reader(ctx)
    enterprise = applications.enterprise(reader, arguments.text(args["enterprise"], "enterprise"))
    applications.require_may_apply(ctx, actor, enterprise)
    lender = applications.lender(ctx, args["lender"]) if args.get("lender", "") != "" else ""
    contract = applications.contract(reader, applications.contract_key(args["contract"]))
    applications.require_contract_of(reader, enterprise, contract)
    applications.require_no_framework(reader, contract)
    applications.claim(ctx, ctx.tx_id, enterprise.id, contract.key, lender)
    application = {
        "id": ctx.tx_id,
        "enterprise": enterprise.id,
        "contract": list(contract.key),
        "contract_chain": contract.chain,
        "lender": lender,
        "amount": arguments.integer(args.get("amount", 0), "amount", 0, MAX_AMOUNT),
        "by": [actor.owner, actor.id],
        "height": ctx.height,
        "time": ctx.time,
        "state": APPLIED,
        "assessments": [],
        "approved": 0,
        "disbursed": 0,
    }
    ctx.put("application", ctx.tx_id, value=application)
    said = {"id": ctx.tx_id, "enterprise": enterprise.id, "lender": lender}
    notices.notify(ctx, "applied", (lender, actor.id, enterprise.id), said)
    return {"id": ctx.tx_id}


def choose(ctx: Context, args: Args) -> Value:
    """Name the lender of an application that has none yet: {application, lender}. By whoever may apply.

    Gives {application, lender}.
    """
    arguments.expect(args, "application", "lender")
    actor = access.authorise(ctx, "credit.choose")
    application = applications.application(ctx, args["application"])
    enterprise = applications.enterprise(Reader(ctx), application["enterprise"])
    applications.require_may_apply(ctx, actor, enterprise)
    if application["lender"]:
        raise ContractError("LENDER_CHOSEN", f"the application is to {application['lender']}: make another one")
    lender = applications.lender(ctx, args["lender"])
    kind, issuer, number = application["contract"]
    applications.claim(ctx, application["id"], enterprise.id, (kind, issuer, number), lender)
    ctx.put("application", application["id"], value={**application, "lender": lender})
    said = {"application": application["id"], "enterprise": enterprise.id, "lender": lender}
    notices.notify(ctx, "lender_chosen", (lender, actor.id, enterprise.id), said)
    return {"application": application["id"], "lender": lender}


def confirm(ctx: Context, args: Args) -> Value:
    """Stand for a record as an independent signer: {kind, issuer, number, id, fields (optional, else all)}.

    By a member that does not hold the record on its own chain, or by the record's counterparty; never by the
    enterprise itself. id: record id, 32 bytes: it is this version that is confirmed. Gives {known}.
    """
    arguments.expect(args, "kind", "issuer", "number", "id", optional=("fields",))
    actor = access.authorise(ctx, "credit.confirm")
    key = applications.natural_key([args["kind"], args["issuer"], args["number"]])
    record_id = arguments.binary(args["id"], "id")
    given = arguments.sequence(args.get("fields", []), "fields", 0, MAX_FIELDS)
    fields = [arguments.text(field, "a field") for field in given]
    reader = Reader(ctx)
    copies = reader.find(key)
    doc = next((copy for copy in copies if copy.id == record_id), None)
    if doc is None:
        current = ", ".join(copy.id.hex() for copy in copies) or "none"
        raise ContractError("NOT_CURRENT", f"record {record_id.hex()} is not in force under this key: {current} is")
    applications.require_independent(reader, actor, doc)
    unknown = sorted(set(fields) - set(doc.record.fields))
    if unknown:
        raise ContractError("UNKNOWN_FIELD", f"{name(doc)} has no field {unknown[0]!r}: confirm fields it has")
    known = ctx.get("confirmation", record_id) or []
    entry = {"owner": actor.owner, "id": actor.id, "fields": sorted(set(fields)), "height": ctx.height}
    others = [other for other in known if (other["owner"], other["id"]) != (actor.owner, actor.id)]
    mine = [other for other in known if (other["owner"], other["id"]) == (actor.owner, actor.id)]
    if mine and (not mine[0]["fields"] or mine[0]["fields"] == entry["fields"]):
        return {"known": True}
    if mine and entry["fields"]:
        entry["fields"] = sorted({*mine[0]["fields"], *fields})
    if len(others) >= MAX_CONFIRMATIONS:
        raise ContractError("TOO_MANY_CONFIRMATIONS", f"{name(doc)} is confirmed by {len(others)}: that is enough")
    ctx.put("confirmation", record_id, value=[*others, entry])
    if doc.category in PAPERS:
        book.touch(ctx, doc.chain, doc.key)
    said = {"id": record_id, "kind": key[0], "issuer": key[1], "number": key[2], "by": actor.id}
    notices.notify(ctx, "confirmed", (doc.chain, actor.id, *_parties_of(reader, doc)), said)
    return {"known": False}


def assess(ctx: Context, args: Args) -> Value:
    """Compute ratings and limit for an application, over every chain at this block: {application}.

    By any member, the enterprise or its contract's counterparty. Gives {id, limit (minor units), currency, scale,
    grade, no_limit}; the whole, with every number and reason, is in the state under ("assessment", id).
    """
    arguments.expect(args, "application")
    actor = access.authorise(ctx, "credit.assess")
    application = applications.application(ctx, args["application"])
    reader = Reader(ctx)
    kind, issuer, number = application["contract"]
    contract = applications.contract(reader, (kind, issuer, number))
    enterprise = reader.enterprise(application["enterprise"])
    applications.require_involved(reader, actor, enterprise, contract)
    book.settle(ctx, reader, enterprise)
    inputs = gather(ctx, reader, enterprise, contract, application["id"])
    result = assessments.assess(inputs)
    stored = {
        **result,
        "id": ctx.tx_id,
        "application": application["id"],
        "enterprise": enterprise.id,
        "contract": list(contract.key),
        "contract_id": contract.id,
        "lender": application["lender"],
        "template": [contract.record.template, contract.record.template_version],
        "model": [inputs.model.id, inputs.model.version],
        "height": ctx.height,
        "time": ctx.time,
        "inputs": _inputs_digest(ctx, inputs),
    }
    _store_assessment(ctx, application, stored)
    shown = ("limit", "currency", "scale", "grade", "no_limit")
    said = {"id": ctx.tx_id, "application": application["id"], **{field: result[field] for field in shown}}
    notices.notify(ctx, "assessed", (application["lender"], application["by"][1], enterprise.id), said)
    return {"id": ctx.tx_id, **{field: result[field] for field in shown}}


def gather(ctx: Context, reader: Reader, enterprise: Enterprise, contract: Document, application: bytes) -> Inputs:
    """Everything an assessment at this block depends on: a bounded number of reads, however long the history.

    Reads only, once the book is settled: on the state of a past height it gives what the assessment then went by.
    """
    now = ctx.time // 1_000
    documents = reader.standing(enterprise)
    model = credit_model.current(ctx, adoption.model_of(contract.template))
    guarantees, copies = standing.each_once(
        (doc for doc in documents if doc.category == "guarantee"), model, reader.party_of
    )
    qualification = standing.current_qualification(
        tuple(doc for doc in documents if doc.category == "qualification"), now
    )
    used = (doc.id for doc in guarantees if collateral.backed_by(ctx, reader, doc.key) not in (None, application))
    samples = reader.samples(enterprise)
    return Inputs(
        model=model,
        contract=_facts(ctx, reader, contract),
        qualification=None if qualification is None else _facts(ctx, reader, qualification),
        guarantees=guarantees,
        guarantee_copies=copies,
        used_guarantees=frozenset(used),
        sums=reader.sums(enterprise),
        samples={measure: tuple(sample.id for sample in samples[measure]) for measure in sorted(samples)},
        truth=_truth(ctx, enterprise, contract.text("currency")),
        bills=_bills(ctx, enterprise),
        progress=progress.of_contract(ctx, reader, contract),
        now=now,
    )


def _truth(ctx: Context, enterprise: Enterprise, currency: str) -> Truth:
    """Totals over the bills in a currency, and over those that name none: they may be in it."""
    found = verdicts.truth_of(ctx, enterprise, currency)
    if not currency:
        return found
    unnamed = verdicts.truth_of(ctx, enterprise, "")
    counts = {status: count + unnamed.counts[status] for status, count in found.counts.items()}
    return Truth(add(found.all, unnamed.all), add(found.matched, unnamed.matched), counts)


def _bills(ctx: Context, enterprise: Enterprise) -> tuple[Bill, ...]:
    found = []
    for place in (*verdicts.false_bills(ctx, enterprise), *verdicts.doubtful_bills(ctx, enterprise)):
        chain, *key = place
        verdict = verdicts.verdict_of(ctx, chain, (key[0], key[1], key[2]))
        if verdict is not None:
            found.append(Bill(place, verdict))
    return tuple(found)


def _facts(ctx: Context, reader: Reader, doc: Document) -> Facts:
    return Facts(doc, corroborated_fields(doc, reader.find(doc.key), ctx.get("confirmation", doc.id) or []))


def _parties_of(reader: Reader, doc: Document) -> tuple[str, ...]:
    """Ids of the registered parties on both sides of a paper."""
    sides = (doc.record.enterprise, doc.record.counterparty)
    return tuple(party for side in sides if (party := reader.party_of(side)) is not None)


def _inputs_digest(ctx: Context, inputs: Inputs) -> dict[str, Value]:
    """What went in: how many records, and the hash of the sums and totals they add up to."""
    truth = [decimal_text.render(inputs.truth.all), decimal_text.render(inputs.truth.matched)]
    statement = ["tally/assessment_inputs", 1, inputs.sums, truth, inputs.truth.counts, inputs.progress.stages]
    count = inputs.sums["process_count"] + inputs.sums["bill_count"]
    return {"records": count, "hash": ctx.hash(statement)}


def _store_assessment(ctx: Context, application: dict[str, Any], stored: dict[str, Any]) -> None:
    ctx.put("assessment", stored["id"], value=stored)
    ids = [*application["assessments"], stored["id"]][-MAX_ASSESSMENTS:]
    state = ASSESSED if application["state"] == APPLIED else application["state"]
    ctx.put("application", application["id"], value={**application, "assessments": ids, "state": state})
    newest = [*(ctx.get("enterprise", stored["enterprise"]) or []), stored["id"]][-MAX_ASSESSMENTS:]
    ctx.put("enterprise", stored["enterprise"], value=newest)


METHODS: Final[dict[str, Method]] = {
    "apply": apply,
    "choose": choose,
    "confirm": confirm,
    "assess": assess,
    **lending.METHODS,
    **repayments.METHODS,
    **pledges.METHODS,
    **disputing.METHODS,
    "adopt_template": adoption.adopt_template,
    "adopt_model": adoption.adopt_model,
}
