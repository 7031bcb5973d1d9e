"""Templates and models: adopted by vote, versioned, and refused where something would divide by zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chain.crypto import hash_value
from contracts.adoption import check_template, milestones
from contracts.errors import ContractError
from tests.contracts import trading
from tests.contracts.credit_story import assessed, tell_story
from tests.contracts.memory_context import CONSORTIUM, Ledger, Receipt, key
from tests.contracts.trading import ROOT, ok

TEMPLATES = sorted(path.stem for path in (ROOT / "genesis" / "templates").glob("*.json"))
Change = Callable[[dict[str, Any]], object]


def approve(on: Ledger, document: dict[str, Any]) -> None:
    change = {"kind": "approve", "hash": hash_value(document), "title": "credit"}
    proposal = ok(on.call(CONSORTIUM, "gov.propose", {"change": change}, [key("erp")]))["id"]
    for member in ("guarantor", "lender"):
        ok(on.call(CONSORTIUM, "gov.vote", {"proposal": proposal, "accept": True}, [key(member)]))


def adopt(on: Ledger, what: str, document: dict[str, Any]) -> Receipt:
    return on.call(CONSORTIUM, f"credit.adopt_{what}", {"document": document}, [key("erp")])


def test_templates_and_models_are_adopted_by_quorum_and_raise_their_version() -> None:
    on = trading.ledger()
    template = {**trading.template(), "version": 2}
    assert adopt(on, "template", template).code == "NOT_APPROVED"
    approve(on, template)
    assert ok(adopt(on, "template", template)) == {"id": "general-trade", "version": 2}
    assert adopt(on, "template", template).code == "TEMPLATE_EXISTS"
    model = {**trading.model(), "version": 2, "contract_floor_bp": 9_000}
    approve(on, model)
    assert ok(adopt(on, "model", model)) == {"id": "standard", "version": 2}
    assert adopt(on, "model", model).code == "MODEL_EXISTS"
    tell_story(on)
    found = assessed(on)
    assert (found["model"], found["no_limit"]) == (["standard", 2], ["CONTRACT_BELOW_FLOOR"])


def test_a_template_of_a_new_industry_needs_its_model_first() -> None:
    on = trading.ledger()
    template = {**trading.template("manufacturing"), "id": "tooling", "model": "tooling"}
    approve(on, template)
    assert adopt(on, "template", template).code == "MODEL_MISSING"
    model = {**trading.model("manufacturing"), "id": "tooling", "version": 3}
    approve(on, model)
    assert ok(adopt(on, "model", model)) == {"id": "tooling", "version": 3}
    assert ok(adopt(on, "template", template)) == {"id": "tooling", "version": 1}
    assert on.read(CONSORTIUM, "credit", "model_current", "standard") == 1
    assert on.read(CONSORTIUM, "credit", "model_current", "tooling") == 3


def without_weights(kind: str) -> Change:
    return lambda doc: [rule.update(weight=0) for rule in doc["kinds"][kind]["fields"].values() if rule["open"]]


@pytest.mark.parametrize(
    ("change", "element"),
    [
        (lambda doc: doc.update(tolerances={}), "tolerances.required"),
        (lambda doc: doc.update(currencies={"GBP": 9}), "currencies"),
        (lambda doc: doc.update(currencies={"GBP": True}), "currencies"),
        (lambda doc: doc.update(kinds={}), "kinds"),
        (lambda doc: doc["alerts"].update(phantom_days=-1), "alerts.phantom_days"),
        (lambda doc: doc["kinds"]["order"]["fields"]["total"].update(fluctuation_bp=-1), "fluctuation_bp of total"),
        (lambda doc: doc.pop("model"), "model"),
        (lambda doc: doc.update(model=7), "model"),
        (without_weights("order"), "kind order: the weights of its open fields add up to 0"),
        (without_weights("invoice"), "kind invoice: the weights"),
        (without_weights("contract"), "kind contract: the weights"),
        (without_weights("qualification"), "kind qualification: the weights"),
        (lambda doc: [row.update(weight=0) for row in doc["milestones"]], "milestones: their weights add up to 0"),
        (lambda doc: doc["milestones"][1].update(id=doc["milestones"][0]["id"]), "milestones: each id"),
        (lambda doc: doc["milestones"][2].update(stage="sold"), "milestone 3: stage"),
        (lambda doc: doc["milestones"][0].update(share_bp=0), "milestone 1: share_bp"),
        (lambda doc: doc["milestones"][0].update(share_bp=10_001), "milestone 1: share_bp"),
        (lambda doc: doc["milestones"][0].update(weight=-1), "milestone 1: weight"),
        (lambda doc: doc["milestones"][0].update(weight=True), "milestone 1: weight"),
        (lambda doc: doc["milestones"][0].pop("weight"), "milestone 1 names exactly"),
        (lambda doc: doc.update(milestones={}), "milestones is a list"),
    ],
)
def test_a_template_that_does_not_hold_together_is_refused(change: Change, element: str) -> None:
    document = trading.template()
    document["version"] = 2
    change(document)
    with pytest.raises(ContractError, match=element) as refusal:
        check_template(document)
    assert refusal.value.code == "WRONG_TEMPLATE"
    assert adopt(trading.ledger(), "template", document).code == "WRONG_TEMPLATE"


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_shipped_template_is_sound(name: str) -> None:
    check_template(trading.template(name))


def test_every_industry_has_its_own_model_and_milestones() -> None:
    industries = [trading.template(name) for name in TEMPLATES if name not in ("bench", "court")]
    assert len(industries) >= 3
    assert len({template["model"] for template in industries}) == len(industries)
    for template in industries:
        assert milestones(template)
        found = trading.model(template["model"])
        assert found["id"] == template["model"]
