"""The credit contract on a ledger in memory: ratings and limit from sealed papers, by the text of DOMAIN 1-6."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import reasons
from contracts.credit import METHODS
from contracts.statistics import B
from contracts.truth import STATUSES
from tests.contracts import trading
from tests.contracts.credit_story import apply, assess, assessed, codes, step, tell_story
from tests.contracts.memory_context import CONSORTIUM, key
from tests.contracts.small_consortium import record_id
from tests.contracts.trading import BUYER, DAY, ROOT, SUPPLIER, confirm, ok, seal

# the golden example ----------------------------------------------------------------------------------------------


def test_golden_example_recomputed_by_hand() -> None:
    """Every figure below is worked out by hand from DOMAIN 1-6, the general-trade template and standard-1."""
    on = trading.ledger()
    tell_story(on)
    found = assessed(on)
    # Conformity. Weights asked: order 14 (two of them), despatch 8, receipt 8, invoice 18 = 62. Present: both
    # orders all 14; despatch lacks delivery_date (1): 7; receipt 8; invoice lacks due_date (1): 17. In all 60.
    # N = 10 000 * 60 // 62 = 9 677 -> AA, 10 000 points
    assert step(found, "conformity")["inputs"] == {"present": 60, "asked": 62, "B": 10_000}
    assert found["ratings"]["conformity"] == {"value": 9_677, "grade": "AA", "points": 10_000, "fallback": False}
    # Timeliness. All papers are of 2025, before onboarding on 2026-01-01, and were sealed within 30 days: historical.
    # NO_DATA -> the model's fallback, B, 7 000 points
    assert found["ratings"]["timeliness"] == {"value": None, "grade": "B", "points": 7_000, "fallback": True}
    # Accuracy. In range: both orders, despatch, receipt: V1 = 10 000 * 4 // 4. Series of two orders: total 1 000 to
    # 1 950 (95 % <= 200 %), quantity 100 to 150 (50 % <= 200 %), price 10 to 13 (30 % > 25 %):
    # V2 = 10 000 * 2 // 3 = 6 666
    # A = (2 * 10 000 + 1 * 6 666) // 3 = 26 666 // 3 = 8 888 -> A, 9 000 points
    assert step(found, "in_range")["value"] == 10_000
    assert step(found, "fluctuation")["value"] == 6_666
    assert found["ratings"]["accuracy"] == {"value": 8_888, "grade": "A", "points": 9_000, "fallback": False}
    # Truth. The one invoice, 1 200.00, is matched: V = 10 000 -> AA
    assert found["ratings"]["truth"] == {"value": 10_000, "grade": "AA", "points": 10_000, "fallback": False}
    # R = (25 * 10 000 + 20 * 7 000 + 25 * 9 000 + 30 * 10 000) // 100 = 915 000 // 100 = 9 150 -> A, advance 70 %
    assert (found["composite"], found["grade"]) == (9_150, "A")
    # Contract: present 12 of 14 (both period dates missing): 8 571; the buyer confirms all: 8 571 * 10 000 // 10 000
    assert found["contract_strength"] == 8_571
    # q: present 3+3+1+1+2+1 = 11 of 15: 7 333; confirmed 3+3+1 = 7 of 11: 6 363; 7 333 * 6 363 // 10 000 = 4 665
    assert found["qualification"] == 4_665
    # C' = 120 000.00 - 20 000.00 = 10 000 000 pence; * 7 000 * 4 665 // 100 000 000 = 3 265 500
    # guarantee 5 000.55 at grade A, 80 %: 500 055 * 8 000 // 10 000 = 400 044
    # L0 = min(3 265 500 + 400 044, 10 000 000, 500 000 000) = 3 665 544
    assert step(found, "from_contract")["value"] == 3_265_500
    assert step(found, "from_guarantees")["value"] == 400_044
    assert (found["limit"], found["bound"], found["currency"]) == (3_665_544, "formula", "GBP")
    assert found["no_limit"] == []
    assert codes(found) == ["QUALIFICATION_UNCORROBORATED", "HISTORICAL", "ACCURACY"]
    assert found["limit_without"] == []


def test_one_altered_quantity_is_named_with_its_rule_and_the_changed_limit() -> None:
    on = trading.ledger()
    tell_story(on, receipt=trading.receipt("90"))
    found = assessed(on)
    # V = 0 -> D, 0 points: R = (250 000 + 140 000 + 225 000 + 0) // 100 = 6 150 -> C, advance 35 %
    # 10 000 000 * 3 500 * 4 665 // 100 000 000 = 1 632 750; + 400 044 = 2 032 794
    assert found["limit"] == 2_032_794
    first = found["reasons"][0]
    assert first["code"] == "CONTRADICTED"
    assert first["text"] == "quantity: invoice I-1 line 1 says 100, receipt R-1 says 90"
    bill = found["bills"][0]
    assert (bill["bill"], bill["status"]) == (["invoice", SUPPLIER, "I-1"], "contradicted")
    assert bill["id"] == record_id(trading.invoice())
    assert bill["findings"][0]["rule"] == "QUANTITY_RECEIVED"
    full, this = found["limit_without"]
    assert (full["truth"], full["composite"], full["limit"]) == (10_000, 9_150, 3_665_544)
    assert (this["bill"], this["limit"]) == (["invoice", SUPPLIER, "I-1"], 3_665_544)


def test_the_steps_alone_recompute_the_limit() -> None:
    """A reader with pencil and paper: each step's value follows from its own inputs."""
    on = trading.ledger()
    tell_story(on, receipt=trading.receipt("90"))
    found = assessed(on)
    said = {entry["name"]: (entry["inputs"], entry["value"]) for entry in found["steps"]}
    inputs, value = said["conformity"]
    assert value == B * inputs["present"] // inputs["asked"]
    inputs, value = said["accuracy"]
    assert value == (inputs["w1"] * inputs["V1"] + inputs["w2"] * inputs["V2"]) // (inputs["w1"] + inputs["w2"])
    inputs, value = said["composite"]
    rated = ("conformity", "timeliness", "accuracy", "truth")
    total = sum(inputs[f"w_{name}"] * inputs[f"p_{name}"] for name in rated)
    assert value == total // sum(inputs[f"w_{name}"] for name in rated)
    inputs, value = said["qualification"]
    assert value == inputs["completeness"] * inputs["corroboration"] // B
    inputs, value = said["from_contract"]
    assert value == inputs["C_net"] * inputs["adv"] * inputs["q"] // B**2
    inputs, value = said["guarantee"]
    assert value == inputs["G"] * inputs["gamma"] // B
    inputs, value = said["initial_limit"]
    assert value == min(inputs["from_contract"] + inputs["from_guarantees"], inputs["C_net"], inputs["obligor_cap"])
    assert said["limit"][1] == value == found["limit"]


# ratings over the chains -----------------------------------------------------------------------------------------


def test_records_after_onboarding_are_timed_to_the_end_of_their_day() -> None:
    on = trading.ledger()
    on.next_block(after_ms=5 * DAY)
    january = {"occurred_at": "2026-01-03"}
    tell_story(on, invoice=trading.invoice(**january, fields={"issue_date": "2026-01-03"}))
    found = assessed(on)
    # Sealed at 2026-01-06T00:00:02Z; 2026-01-03 ends at 2026-01-04T00:00:00Z: 2 days and 2 seconds late.
    # Process records are historical and leave: D = 172 802 s -> A (172 800 <= D < 432 000)
    assert found["ratings"]["timeliness"]["value"] == 172_802
    assert found["ratings"]["timeliness"]["grade"] == "A"
    assert step(found, "timeliness")["inputs"]["historical_left_out"] == 4


def test_history_past_the_import_window_counts_as_late() -> None:
    on = trading.ledger()
    on.next_block(after_ms=31 * DAY)
    tell_story(on)
    found = assessed(on)
    assert found["ratings"]["timeliness"]["grade"] == "D"
    assert not found["ratings"]["timeliness"]["fallback"]


def test_no_data_is_no_rating_and_no_limit() -> None:
    on = trading.ledger()
    tell_story(on, order=b"", order2=b"", despatch=b"", receipt=b"", invoice=b"")
    found = assessed(on)
    assert found["limit"] == 0
    assert found["composite"] is None
    assert found["no_limit"] == ["NO_DATA"]
    assert {name: rating["grade"] for name, rating in found["ratings"].items()} == {
        "conformity": None,
        "timeliness": "B",
        "accuracy": None,
        "truth": None,
    }


def test_records_of_a_second_identifier_of_the_party_count() -> None:
    on = trading.ledger()
    tell_story(on, invoice=b"")
    other = trading.invoice(enterprise="VAT:77", issuer="VAT:77")
    seal(on, "erp", other)
    before = assessed(on)
    assert before["bill_count"] == 0
    args = {"party": "supplier", "identifiers": ["VAT:77"]}
    ok(on.call(CONSORTIUM, "registry.add_identifiers", args, [key("procurement")]))
    on.next_block()
    after = assess(on, before["application"])
    assert (after["bill_count"], after["ratings"]["truth"]["value"]) == (1, 10_000)


def test_buyers_confirm_what_they_owe_and_that_is_a_number_of_its_own() -> None:
    on = trading.ledger()
    second = trading.invoice("50", amount="500.00", tax="100.00", total="600.00", number="I-2")
    tell_story(on, order=trading.order("150", amount="1500.00"), despatch=trading.despatch("150"),
               receipt=trading.receipt("150"))  # fmt: skip
    seal(on, "erp", second)
    on.next_block()
    before = assessed(on)
    assert (before["ratings"]["truth"]["value"], before["corroboration"]) == (10_000, 0)
    ok(confirm(on, trading.invoice(), "buyer"))
    after = assess(on, before["application"])
    # 1 200.00 of 1 800.00
    assert after["corroboration"] == 6_666
    assert step(after, "corroboration")["inputs"] == {"confirmed": 120_000, "invoiced": 180_000, "B": 10_000}
    ok(confirm(on, second, "buyer", ["issue_date"]))
    assert assess(on, before["application"])["corroboration"] == 6_666, "the amount was not stood for"
    assert after["limit"] == before["limit"]


def test_bills_in_another_currency_leave_truth_and_are_named() -> None:
    on = trading.ledger()
    tell_story(on)
    seal(on, "erp", trading.invoice(number="I-9", links=[], fields={"currency": "USD"}))
    found = assessed(on)
    assert (found["ratings"]["truth"]["value"], found["bill_count"]) == (10_000, 1)
    (reason,) = [row for row in found["reasons"] if row["code"] == "BILLS_IN_OTHER_CURRENCY"]
    assert (reason["value"], len(reason["evidence"])) == (1, 1)


# what a limit stands on ------------------------------------------------------------------------------------------


def test_a_contract_nobody_else_stands_for_gives_no_limit() -> None:
    on = trading.ledger()
    tell_story(on, contract=b"")
    seal(on, "procurement", trading.contract())
    found = assessed(on)
    assert (found["limit"], found["no_limit"]) == (0, ["CONTRACT_BELOW_FLOOR"])
    assert found["formula_limit"] == 3_665_544
    reason = found["reasons"][0]
    assert (reason["value"], reason["threshold"]) == (0, 6_000)
    assert reason["next_band"]["rule"] == "at least 6000"


def test_without_a_qualification_there_is_no_limit_and_without_corroboration_only_the_guarantee() -> None:
    on = trading.ledger()
    tell_story(on, qualification=b"")
    found = assessed(on)
    assert (found["limit"], found["no_limit"]) == (0, ["QUALIFICATION_MISSING"])
    seal(on, "procurement", trading.qualification())
    again = assess(on, found["application"])
    assert (again["qualification"], again["limit"]) == (0, 400_044)


def test_a_copy_on_another_members_chain_corroborates_the_fields_that_agree() -> None:
    on = trading.ledger()
    tell_story(on, qualification=b"")
    seal(on, "procurement", trading.qualification())
    seal(on, "guarantor", trading.qualification(legal_form="plc"))
    # 11 of 15 present, all but legal_form (1) agree: 7 333 * (10 000 * 10 // 11 = 9 090) // 10 000 = 6 665
    assert assessed(on)["qualification"] == 6_665


@pytest.mark.parametrize(
    ("guarantee", "why"),
    [
        (trading.guarantee(fields={"currency": "EUR"}), "it is in EUR, the contract in GBP"),
        (trading.guarantee(fields={"expiry_date": "2025-12-31"}), "it expired on 2025-12-31"),
        (trading.guarantee(grade="CC"), "the model has no grade 'CC'"),
        (trading.guarantee(linked=[("contract", BUYER, "C-9")]), "it covers contract C-9"),
    ],
)
def test_a_guarantee_that_does_not_count_is_named(guarantee: bytes, why: str) -> None:
    on = trading.ledger()
    tell_story(on, guarantee=guarantee)
    found = assessed(on)
    assert found["limit"] == 3_265_500
    assert f"guarantee G-1 is left out: {why}" in [reason["text"] for reason in found["reasons"]]


def test_the_obligor_cap_of_the_model_binds() -> None:
    capped = {**trading.model(), "obligor_caps": {"GBP": 1_000_000}}
    on = trading.ledger(models=[capped, trading.model("construction")])
    tell_story(on)
    found = assessed(on)
    assert (found["limit"], found["bound"]) == (1_000_000, "obligor_cap")
    assert "CAPPED_BY_OBLIGOR" in codes(found)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"currency": "XXX"}, "CURRENCY_UNKNOWN"),
        ({"status": "cancelled"}, "CONTRACT_NOT_ACTIVE"),
    ],
)
def test_a_contract_that_cannot_carry_a_limit_says_why(fields: dict[str, str], code: str) -> None:
    on = trading.ledger()
    tell_story(on, contract=trading.contract(**fields))
    found = assessed(on)
    assert found["limit"] == 0
    assert code in found["no_limit"]


def test_an_order_serves_where_there_is_no_contract() -> None:
    on = trading.ledger()
    tell_story(on, contract=b"")
    ok(confirm(on, trading.order(), "buyer"))
    found = assess(on, ok(apply(on, contract=["order", BUYER, "O-1"]))["id"])
    # C' = 1 000.00; 100 000 * 7 000 * 4 665 // 100 000 000 = 32 655; + 400 044 > C' -> 100 000
    assert (found["limit"], found["bound"]) == (100_000, "contract")


def test_at_most_four_reasons_lead_and_what_is_false_leads() -> None:
    on = trading.ledger()
    tell_story(on, receipt=trading.receipt("90"), invoice=trading.invoice(price="11.00"))
    found = assessed(on)
    assert len(found["reasons"]) <= 4 <= found["reason_count"]
    assert found["reasons"][0]["code"] == "CONTRADICTED"
    for reason in found["reasons"]:
        assert set(reason) == {
            "code", "value", "threshold", "evidence", "evidence_count", "next_band", "text",
        }  # fmt: skip


amounts = st.sampled_from(["60", "90", "100", "120"])


@settings(max_examples=12, deadline=None)
@given(amounts, amounts, amounts)
def test_the_limit_never_exceeds_the_contract_and_falls_with_truth(ordered: str, received: str, billed: str) -> None:
    on = trading.ledger()
    tell_story(
        on,
        order=trading.order(ordered, amount=f"{ordered}0.00"),
        receipt=trading.receipt(received),
        invoice=trading.invoice(billed, amount=f"{billed}0.00", tax="0", total=f"{billed}0.00"),
    )
    found = assessed(on)
    assert 0 <= found["limit"] <= 10_000_000
    assert all(other["limit"] >= found["limit"] for other in found["limit_without"])


# the whole contract ----------------------------------------------------------------------------------------------


def test_contracts_hold_no_float_and_no_clock() -> None:
    for path in sorted((ROOT / "contracts").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"{path.name}: a float"
            assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)), f"{path.name}: a true division"
            if isinstance(node, ast.Import | ast.ImportFrom):
                named = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"time", "datetime", "random", "secrets", "os"} & set(named), f"{path.name}: {named}"


def test_the_pages_on_credit_name_every_method_reason_and_status() -> None:
    page = "".join((ROOT / "docs" / f"{name}.md").read_text() for name in ("credit", "lending"))
    codes_known = [name for name in vars(reasons) if name.isupper() and name == getattr(reasons, name)]
    assert len(codes_known) > 15
    words = [*codes_known, *STATUSES, *(f"credit.{method}" for method in METHODS)]
    assert [word for word in words if f"`{word}`" not in page] == []
    assert [field for field in (*trading.model(), *trading.template()) if f"`{field}`" not in page] == []
