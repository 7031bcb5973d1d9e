"""Credit: application, corroboration, assessment, decision and disbursement ([10], [19], DOMAIN 1-6).

Runs on the consortium chain and reads every member's chain at the block being executed, so every node computes
the same ratings and the same limit. The lender decides, always; a decision to lend and a disbursement cite a loan
record on the lender's own chain.

State, on the consortium chain (beside that of alerts.py):
    ("template", id, version), ("model", version), ("model_current",)
    ("application", id)           -> {id, enterprise, contract, lender, amount, state, assessments, ...}
    ("assessment", id)            -> the whole assessment (assessment.py) with its application, height and model
    ("enterprise", party)         -> ids of its newest assessments, oldest first
    ("confirmation", record id)   -> [{owner, id, fields, height}]
    ("decision", id), ("disbursement", id)
    ("approved", kind, issuer party, number) -> minor units approved on a contract
    ("guarantee_used", record id) -> application; ("loan_cited", lender, issuer, number) -> {application, disbursed}
"""

from __future__ import annotations

from typing import Any, Final

from contracts import access, alerts, applications, arguments, lending, periods, standing
from contracts import assessment as assessments
from contracts import model as credit_model
from contracts.access import CONSORTIUM
from contracts.applications import APPLIED, ASSESSED, MAX_ASSESSMENTS
from contracts.context import Args, Context, Method, Value
from contracts.documents import Document, name
from contracts.errors import ContractError
from contracts.evidence import Evidence, Reader, corroborated_fields
from contracts.findings import tolerances
from contracts.lending import MAX_AMOUNT
from contracts.matching import Book
from contracts.record import MAX_FIELDS
from contracts.series import thresholds
from contracts.standing import Facts
from contracts.template import compile_template
from contracts.truth import judge, within_window

MAX_CONFIRMATIONS: Final = 16
INPUTS_SHOWN: Final = 256


def begin_block(ctx: Context) -> None:
    """Judge new papers, then close the period if it is over."""
    alerts.begin_block(ctx)
    periods.close_if_over(ctx)


def genesis(ctx: Context, doc: dict[str, Value]) -> None:
    """Write the founding templates and the model. Raises ContractError for one that does not hold together."""
    for template in doc["templates"]:
        check_template(template)
        ctx.put("template", template["id"], template["version"], value=template)
    model = credit_model.parse(doc["model"])
    ctx.put("model", model.version, value=doc["model"])
    ctx.put("model_current", value=model.version)
    periods.open_first(ctx, ctx.time, doc["parameters"].get(periods.PARAMETER, 0))


def check_template(template: Value) -> None:
    """All that a template must hold for records and credit. Raises ContractError WRONG_TEMPLATE."""
    compile_template(template)
    tolerances(template)
    for kind in sorted(template["kinds"]):
        thresholds(template["kinds"][kind])
    currencies = template.get("currencies", {})
    if type(currencies) is not dict or any(type(s) is not int or not 0 <= s <= 4 for s in currencies.values()):
        raise ContractError("WRONG_TEMPLATE", "currencies maps codes to their minor-unit scale, 0 to 4")


def apply(ctx: Context, args: Args) -> Value:
    """Ask a lender for credit on a contract: {enterprise, contract, lender, amount (optional, minor units)}.

    enterprise: party id or identifier. contract: [issuer, number], or [kind, issuer, number] to name an order. By
    the enterprise's own key, or by a procurement or erp member while the enterprise has none. Gives {id}.
    """
    arguments.expect(args, "enterprise", "contract", "lender", optional=("amount",))
    actor = access.authorise(ctx, "credit.apply")
    reader = Reader(ctx)
    enterprise = applications.enterprise(reader, arguments.text(args["enterprise"], "enterprise"))
    applications.require_may_apply(ctx, actor, enterprise)
    lender = arguments.member_id(args["lender"], "lender")
    if access.member(ctx, lender)["role"] != "lender":
        raise ContractError("NOT_A_LENDER", f"{lender} is no lender: see `tally query members`")
    contract = applications.contract(reader, applications.contract_key(args["contract"]))
    if reader.enterprise(contract.record.enterprise).id != enterprise.id:
        raise ContractError(
            "WRONG_ENTERPRISE",
            f"{name(contract)} is of {contract.record.enterprise}, not of {enterprise.id}: register the identifier "
            "if they are one (registry.add_identifiers)",
        )
    mark = ctx.hash([enterprise.id, list(contract.key), lender])
    earlier = ctx.get("applied", mark)
    if earlier is not None and ctx.get("application", earlier)["state"] in (APPLIED, ASSESSED):
        raise ContractError("APPLICATION_OPEN", f"application {earlier.hex()} is open for this contract: assess it")
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
    ctx.put("applied", mark, value=ctx.tx_id)
    ctx.emit("applied", {"id": ctx.tx_id, "enterprise": enterprise.id, "lender": lender})
    return {"id": ctx.tx_id}


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
    ctx.emit("confirmed", {"id": record_id, "kind": key[0], "issuer": key[1], "number": key[2], "by": actor.id})
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
    version: int = ctx.get("model_current")
    model = credit_model.parse(ctx.get("model", version))
    evidence = reader.gather(enterprise, model.max_records)
    verdicts = within_window(judge(Book(evidence.documents, reader.party_of)), evidence.cut)
    raised = alerts.raise_alerts(ctx, verdicts, evidence.documents, enterprise)
    guarantees = evidence.of("guarantee")
    used = frozenset(
        doc.id for doc in guarantees if ctx.get("guarantee_used", doc.id) not in (None, application["id"])
    )
    now = ctx.time // 1_000
    result = assessments.assess(
        assessments.Inputs(
            model=model,
            contract=_facts(ctx, reader, contract),
            qualification=_qualification(ctx, reader, evidence, now),
            guarantees=guarantees,
            used_guarantees=used,
            evidence=evidence,
            verdicts=verdicts,
            now=now,
        )
    )
    stored = {
        **result,
        "id": ctx.tx_id,
        "application": application["id"],
        "enterprise": enterprise.id,
        "contract": list(contract.key),
        "contract_id": contract.id,
        "lender": application["lender"],
        "model": [model.id, version],
        "height": ctx.height,
        "time": ctx.time,
        "inputs": _inputs_digest(ctx, evidence, contract),
        "alerts": raised,
    }
    _store_assessment(ctx, application, stored)
    shown = ("limit", "currency", "scale", "grade", "no_limit")
    ctx.emit("assessed", {"id": ctx.tx_id, "application": application["id"], "limit": result["limit"]})
    return {"id": ctx.tx_id, **{field: result[field] for field in shown}}


def adopt_template(ctx: Context, args: Args) -> Value:
    """Enter a template that the consortium has approved (gov, kind approve): {document}. Gives {id, version}."""
    arguments.expect(args, "document")
    access.authorise(ctx, "credit.adopt_template")
    document = arguments.mapping(args["document"], "document")
    check_template(document)
    _require_approval(ctx, document)
    template, version = document["id"], document["version"]
    if ctx.get("template", template, version) is not None:
        raise ContractError("TEMPLATE_EXISTS", f"template {template!r} version {version} stands: raise the version")
    ctx.put("template", template, version, value=document)
    ctx.emit("template_adopted", {"id": template, "version": version})
    return {"id": template, "version": version}


def adopt_model(ctx: Context, args: Args) -> Value:
    """Enter a credit model that the consortium has approved and make it current: {document}. Gives {id, version}."""
    arguments.expect(args, "document")
    access.authorise(ctx, "credit.adopt_model")
    document = arguments.mapping(args["document"], "document")
    model = credit_model.parse(document)
    _require_approval(ctx, document)
    current: int = ctx.get("model_current")
    if model.version <= current:
        raise ContractError("MODEL_EXISTS", f"model version {current} is current: a new one has a higher version")
    ctx.put("model", model.version, value=document)
    ctx.put("model_current", value=model.version)
    ctx.emit("model_adopted", {"id": model.id, "version": model.version})
    return {"id": model.id, "version": model.version}


def _require_approval(ctx: Context, document: dict[str, Value]) -> None:
    if ctx.read(CONSORTIUM, "gov", "approved", ctx.hash(document)) is None:
        raise ContractError("NOT_APPROVED", "the members have not voted for this document: gov.propose, kind approve")


def _facts(ctx: Context, reader: Reader, doc: Document) -> Facts:
    return Facts(doc, corroborated_fields(doc, reader.find(doc.key), ctx.get("confirmation", doc.id) or []))


def _qualification(ctx: Context, reader: Reader, evidence: Evidence, now: int) -> Facts | None:
    doc = standing.current_qualification(evidence.of("qualification"), now)
    return None if doc is None else _facts(ctx, reader, doc)


def _inputs_digest(ctx: Context, evidence: Evidence, contract: Document) -> dict[str, Value]:
    """Which record versions went in: all of them by hash, the first ones by id."""
    ids = sorted({contract.id, *(doc.id for doc in evidence.documents)})
    return {"count": len(ids), "hash": ctx.hash(["tally/assessment_inputs", 1, ids]), "ids": ids[:INPUTS_SHOWN]}


def _store_assessment(ctx: Context, application: dict[str, Any], stored: dict[str, Any]) -> None:
    ctx.put("assessment", stored["id"], value=stored)
    ids = [*application["assessments"], stored["id"]][-MAX_ASSESSMENTS:]
    state = ASSESSED if application["state"] == APPLIED else application["state"]
    ctx.put("application", application["id"], value={**application, "assessments": ids, "state": state})
    newest = [*(ctx.get("enterprise", stored["enterprise"]) or []), stored["id"]][-MAX_ASSESSMENTS:]
    ctx.put("enterprise", stored["enterprise"], value=newest)


METHODS: Final[dict[str, Method]] = {
    "apply": apply,
    "confirm": confirm,
    "assess": assess,
    "decide": lending.decide,
    "disburse": lending.disburse,
    "adopt_template": adopt_template,
    "adopt_model": adopt_model,
}
