"""The public UBL and OCDS samples through connectors, records and credit: what real papers have and lack.

The samples are not shipped (data/README.md of the design folder says why); this runs where they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.connectors import ConnectorError, Provenance, RecordDraft, detect, read, to_record
from tests.contracts import trading
from tests.contracts.memory_context import CONSORTIUM, START, Ledger, key
from tests.contracts.small_consortium import submit
from tests.contracts.trading import ok

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the public samples are not at {DATA}")

HOLDERS = dict.fromkeys(("contract", "order", "receipt", "qualification"), "procurement")
SUPPLIER = "175 269 2355"
BUYER = "12356478"


def sealed(folder: str, leave_out: str = "-") -> tuple[Ledger, list[RecordDraft]]:
    """Every file of a folder that a connector reads, sealed on its member's chain; one kind of UBL left out."""
    on = trading.ledger(register=False)
    parties = (("farthing", [SUPPLIER]), ("iyt", [BUYER]), ("anycorp", ["GB-COH:11111111", "GB-COH:11111111.0"]))
    for party, identifiers in parties:
        args = {"id": party, "name": party, "identifiers": identifiers, "keys": [key(party)]}
        ok(on.call(CONSORTIUM, "registry.register_party", args, [key("procurement")]))
    on.next_block()
    template = trading.template()
    drafts: list[RecordDraft] = []
    for path in sorted((DATA / folder).iterdir()):
        data = path.read_bytes()
        if leave_out in path.name.replace("-Example", "").removeprefix("UBL-").split("-"):
            continue
        try:
            found = read(data, path.name)
        except ConnectorError:
            continue
        for draft in found:
            provenance = Provenance("sample", bytes(32), START)
            try:
                prepared = to_record(draft, lambda _: template, detect(data, path.name), provenance, bytes(32))
            except ConnectorError:
                continue
            submit(on, [prepared.encoded], chain=HOLDERS.get(draft.kind, "erp"))
            drafts.append(draft)
    on.next_block()
    return on, drafts


def assess(on: Ledger, enterprise: str, contract: list[str]) -> dict[str, Any]:
    args = {"enterprise": enterprise, "contract": contract, "lender": "lender"}
    application = ok(on.call(CONSORTIUM, "credit.apply", args, [key(enterprise)]))["id"]
    result = ok(on.call(CONSORTIUM, "credit.assess", {"application": application}, [key("erp")]))
    found = on.read(CONSORTIUM, "credit", "assessment", result["id"])
    assert isinstance(found, dict)
    return found


def test_the_ubl_story_is_told_apart_in_plain_words() -> None:
    """The sample's invoice asks for 100 at 1.00 where its order says 100.00 each.

    Its receipt says 90 came, and the sample's credit note takes the 100 back: without it the quantity is false too.
    """
    on, _ = sealed("ubl")
    found = assess(on, "farthing", ["order", BUYER, "AEG012345"])
    bills = {bill["bill"][2]: bill for bill in found["bills"] if bill["bill"][0] == "invoice"}
    bill = bills["A00095678"]
    assert bill["status"] == "contradicted"
    texts = [finding["text"] for finding in bill["findings"]]
    assert "price: invoice A00095678 line 1 says 1, order AEG012345 says 100" in texts
    assert not any(text.startswith("quantity") for text in texts)
    assert [number for _, _, _, number in bill["orders"]] == ["AEG012345"]
    assert [number for _, _, _, number in bill["despatches"]] == ["565899"]
    assert found["limit"] == 0
    assert "CONTRACT_BELOW_FLOOR" in found["no_limit"]
    uncredited, _ = sealed("ubl", leave_out="CreditNote")
    again = assess(uncredited, "farthing", ["order", BUYER, "AEG012345"])
    texts = [finding["text"] for bill in again["bills"] for finding in bill["findings"]]
    assert "quantity: invoice A00095678 line 1 says 100, receipt 658398 says 90" in texts
    alerts = [on.read(CONSORTIUM, "credit", "alert", n) for n in range(on.read(CONSORTIUM, "credit", "alert_count"))]
    assert any(alert["id"] == bill["id"] for alert in alerts)


def test_the_ocds_contract_gives_no_limit_and_says_why() -> None:
    on, drafts = sealed("ocds-fictional")
    contracts = [draft for draft in drafts if draft.kind == "contract"]
    assert contracts, "no contract was read"
    draft = contracts[-1]
    found = assess(on, "anycorp", [draft.issuer, draft.number])
    assert found["limit"] == 0
    assert {"NO_DATA", "QUALIFICATION_MISSING", "CONTRACT_BELOW_FLOOR"} <= set(found["no_limit"])
    assert all(reason["text"] for reason in found["reasons"])
