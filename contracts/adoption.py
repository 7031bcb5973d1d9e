"""Templates and models: what either must hold, and how one comes into force by the members' vote.

A document is approved by its hash (gov.propose, kind approve) and then entered by any voting member. A version once
entered stays for ever: an old record is held against the template it names, an old assessment replays under the model
it names. Everything that would divide by zero later is refused here, by the name of the element.

State, on the consortium chain, in the credit contract's namespace: ("template", id, version), and that of model.py.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from contracts import access, arguments
from contracts import model as credit_model
from contracts.access import CONSORTIUM
from contracts.context import Args, Context, Value
from contracts.errors import ContractError
from contracts.findings import tolerances, watch
from contracts.statistics import B
from contracts.template import Template, compile_template

STAGES: Final = ("ordered", "accepted", "despatched", "received", "invoiced", "confirmed", "paid")
MAX_MILESTONES: Final = 16
MAX_WEIGHT: Final = 1_000
MAX_SCALE: Final = 4
RATED: Final = ("contract", "process", "bill", "qualification")  # categories whose completeness is a denominator

_MILESTONE: Final = frozenset(("id", "stage", "share_bp", "weight"))


class Milestone(NamedTuple):
    """Attained while the contract's progress at a stage is at least share_bp of C'. weight: its part of M ([20])."""

    id: str
    stage: str  # one of STAGES
    share_bp: int
    weight: int


def write_genesis(ctx: Context, doc: dict[str, Value]) -> None:
    """Enter the founding templates and models. Raises ContractError for one that does not hold together."""
    for document in doc["models"]:
        _enter_model(ctx, credit_model.parse(document), document)
    for template in doc["templates"]:
        check_template(template)
        _require_model(ctx, template)
        ctx.put("template", template["id"], template["version"], value=template)


def check_template(document: Value) -> None:
    """All that a template must hold for records and credit. Raises ContractError WRONG_TEMPLATE."""
    compiled = compile_template(document)
    tolerances(document)
    watch(document)
    model_of(document)
    _check_currencies(document.get("currencies", {}))
    _check_weights(compiled)
    milestones(document)


def model_of(template: dict[str, Any]) -> str:
    """Id of the model that a template's contracts are judged by. Raises ContractError WRONG_TEMPLATE."""
    model = template.get("model")
    if type(model) is not str or not 0 < len(model) <= 32:
        raise _wrong("model is the id of a credit model, text of 1 to 32 characters")
    return model


def milestones(template: dict[str, Any]) -> tuple[Milestone, ...]:
    """A template's milestones, () for none. Raises ContractError WRONG_TEMPLATE naming the one that is wrong."""
    rows = template.get("milestones", [])
    if type(rows) is not list or len(rows) > MAX_MILESTONES:
        raise _wrong(f"milestones is a list of at most {MAX_MILESTONES}")
    found = [_milestone(index, row) for index, row in enumerate(rows, 1)]
    if len({milestone.id for milestone in found}) != len(found):
        raise _wrong("milestones: each id stands once")
    if found and not any(milestone.weight for milestone in found):
        raise _wrong("milestones: their weights add up to 0, which nothing can be divided by")
    return tuple(found)


def adopt_template(ctx: Context, args: Args) -> Value:
    """Enter a template that the consortium has approved (gov, kind approve): {document}. Gives {id, version}."""
    arguments.expect(args, "document")
    access.authorise(ctx, "credit.adopt_template")
    document = arguments.mapping(args["document"], "document")
    check_template(document)
    _require_model(ctx, document)
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
    current: int = ctx.get("model_current", model.id) or 0
    if model.version <= current:
        raise ContractError(
            "MODEL_EXISTS", f"model {model.id!r} is at version {current}: a new one has a higher version"
        )
    _enter_model(ctx, model, document)
    ctx.emit("model_adopted", {"id": model.id, "version": model.version})
    return {"id": model.id, "version": model.version}


def _enter_model(ctx: Context, model: credit_model.Model, document: Value) -> None:
    ctx.put("model", model.id, model.version, value=document)
    ctx.put("model_current", model.id, value=max(model.version, ctx.get("model_current", model.id) or 0))


def _require_model(ctx: Context, template: dict[str, Any]) -> None:
    if ctx.get("model_current", model_of(template)) is None:
        raise ContractError(
            "MODEL_MISSING", f"template {template['id']!r} names model {model_of(template)!r}: adopt that model first"
        )


def _require_approval(ctx: Context, document: dict[str, Value]) -> None:
    if ctx.read(CONSORTIUM, "gov", "approved", ctx.hash(document)) is None:
        raise ContractError("NOT_APPROVED", "the members have not voted for this document: gov.propose, kind approve")


def _check_currencies(currencies: Value) -> None:
    if type(currencies) is not dict or any(
        type(scale) is not int or not 0 <= scale <= MAX_SCALE for scale in currencies.values()
    ):
        raise _wrong(f"currencies maps codes to their minor-unit scale, 0 to {MAX_SCALE}")


def _check_weights(template: Template) -> None:
    """Completeness divides by the open fields' weights: a kind that asks for nothing cannot be rated."""
    for name in sorted(template.kinds):
        kind = template.kinds[name]
        if kind.category in RATED and kind.asked == 0:
            raise _wrong(f"kind {name}: the weights of its open fields add up to 0, which nothing can be divided by")


def _milestone(index: int, row: Value) -> Milestone:
    where = f"milestone {index}"
    if type(row) is not dict or row.keys() != _MILESTONE:
        raise _wrong(f"{where} names exactly {', '.join(sorted(_MILESTONE))}")
    if type(row["id"]) is not str or not 0 < len(row["id"]) <= 32:
        raise _wrong(f"{where}: id is text of 1 to 32 characters")
    if row["stage"] not in STAGES:
        raise _wrong(f"{where}: stage is one of {', '.join(STAGES)}")
    for part, low, high in (("share_bp", 1, B), ("weight", 0, MAX_WEIGHT)):
        if type(row[part]) is not int or not low <= row[part] <= high:
            raise _wrong(f"{where}: {part} is an integer from {low} to {high}")
    return Milestone(row["id"], row["stage"], row["share_bp"], row["weight"])


def _wrong(rule: str) -> ContractError:
    return ContractError("WRONG_TEMPLATE", rule)
