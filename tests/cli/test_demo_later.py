"""The later part of ``tally demo`` without processes: what its documents say, its claims, its schedules."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from cli.errors import FAILED, CliError
from cli.story import MAPPING
from cli.story_cast import cast_of
from cli.story_credit import RATE_BP, Desk
from cli.story_later import ALTERED, BILL, CREDIT_NOTE, DROPPED, RETURN, Later
from cli.story_teller import typed
from genesis.library import example_documents, example_later, example_market, template
from node.connectors import RecordDraft, read
from node.intake.reading import mapping_of

FOLDERS = (
    "period-1",
    f"period-1-{DROPPED}",
    "period-2",
    f"period-2-{ALTERED}",
    f"period-2-{BILL}",
    RETURN,
    CREDIT_NOTE,
)


def drafts(folder: Path) -> list[RecordDraft]:
    mapping = mapping_of(str(example_later() / MAPPING))
    return [draft for path in sorted(folder.iterdir()) for draft in read(path.read_bytes(), path.name, mapping)]


@pytest.fixture(scope="module")
def later() -> dict[str, list[RecordDraft]]:
    return {name: drafts(example_later() / name) for name in FOLDERS}


def goods(listed: list[RecordDraft], kind: str) -> Counter[str]:
    """Quantities by item over all papers of a kind."""
    found: Counter[str] = Counter()
    for draft in listed:
        if draft.kind == kind:
            for row in cast("list[list[str]]", draft.fields["lines"]):
                found[row[1]] += int(row[2])
    return found


class TestDocuments:
    def test_each_folder_and_no_other_is_there(self) -> None:
        assert sorted(path.name for path in example_later().iterdir() if path.is_dir()) == sorted(FOLDERS)

    def test_formats_of_many_kinds_of_systems(self) -> None:
        endings = Counter(path.suffix for name in FOLDERS for path in (example_later() / name).iterdir())
        assert endings == {".xml": 8, ".edi": 3, ".csv": 2, ".xlsx": 1}

    def test_orders_receipts_and_bills_come_to_the_contract(self, later: dict[str, list[RecordDraft]]) -> None:
        before = [draft for path in example_documents().iterdir() for draft in read(path.read_bytes(), path.name)]
        true = [*before, *(draft for name in FOLDERS if name != f"period-2-{ALTERED}" for draft in later[name])]
        whole = {"KP-210": 90, "KV-080": 250}
        for kind in ("order", "despatch", "receipt", "invoice"):
            assert goods(true, kind) == whole, kind
        assert goods(true, "return") == goods(true, "credit_note") == {"KP-210": 18}
        (contract,) = (draft for draft in true if draft.kind == "contract")
        billed = sum(Decimal(cast("str", d.fields["total_excl_tax"])) for d in true if d.kind == "invoice")
        assert billed == Decimal(cast("str", contract.fields["value"])) == 226_500

    def test_every_bill_adds_up(self, later: dict[str, list[RecordDraft]]) -> None:
        for draft in (draft for listed in later.values() for draft in listed):
            if draft.kind in ("invoice", "credit_note"):
                net, tax, total = (Decimal(cast("str", draft.fields[n])) for n in ("total_excl_tax", "tax", "total"))
                rows = cast("list[list[str]]", draft.fields["lines"])
                assert sum(Decimal(row[5]) for row in rows) == net, draft.number
                assert all(Decimal(row[2]) * Decimal(row[4]) == Decimal(row[5]) for row in rows), draft.number
                assert (tax * 5, net + tax) == (net, total), draft.number

    def test_no_field_that_counts_is_missing_and_nothing_is_noted_but_the_mapping(
        self, later: dict[str, list[RecordDraft]]
    ) -> None:
        kinds = template("general-trade")["kinds"]
        for draft in (draft for listed in later.values() for draft in listed):
            asked = [name for name, field in kinds[draft.kind]["fields"].items() if field["weight"] and field["open"]]
            assert [name for name in asked if not draft.fields.get(name)] == [], draft.number
            assert all("mapping" in note or "the member's word" in note for note in draft.notes), draft.notes

    def test_the_altered_bill_differs_in_one_quantity_and_what_follows_from_it(
        self, later: dict[str, list[RecordDraft]]
    ) -> None:
        (altered,), (true,) = later[f"period-2-{ALTERED}"], later[f"period-2-{BILL}"]
        assert (altered.number, altered.issuer, altered.links) == (true.number, true.issuer, true.links)
        differing = {name for name in true.fields if altered.fields[name] != true.fields[name]}
        assert differing == {"lines", "total", "total_excl_tax", "tax"}
        assert goods([altered], "invoice") - goods([true], "invoice") == {"KP-210": 10}

    def test_parties_are_one_under_the_bare_numbers_of_edifact_too(self, later: dict[str, list[RecordDraft]]) -> None:
        before = [draft for path in example_documents().iterdir() for draft in read(path.read_bytes(), path.name)]
        cast_ = cast_of([*before, *(draft for listed in later.values() for draft in listed)], ())
        assert cast_.by_identifier["99900217"] is cast_.by_identifier["GB-COH:99900217"]
        assert cast_.by_identifier["99900101"] is cast_.by_identifier["GB-COH:99900101"]
        assert len(cast_.people) == 4


class TestMarket:
    @pytest.mark.parametrize("name", ["lending.csv", "underwriting.csv", "products.json"])
    def test_what_the_regulator_publishes_stands(self, tally: Any, name: str) -> None:
        path = example_market() / name
        mapping = () if path.suffix == ".json" else ("--mapping", path.with_suffix(".json"))
        done = tally("match", "publish", path, *mapping, "--dry-run")
        assert (done.code, "could be published" in done.out) == (0, True), done.err

    def test_it_is_said_to_be_made_up(self) -> None:
        assert "made up" in (example_market() / "README.md").read_text(encoding="utf-8")
        assert json.loads((example_market() / "products.json").read_text(encoding="utf-8"))["currency"] == "GBP"


class _Stage:
    """A chain that stands at one moment."""

    def time(self) -> int:
        return 1_793_188_800_000  # 2026-10-28T12:00:00Z


class TestTelling:
    @pytest.mark.parametrize("amount", [2, 3, 15_144_100, 2_379_600])
    def test_instalments_add_up_to_the_payment_and_ascend(self, amount: int) -> None:
        desk = Desk(cast("Any", _Stage()), *cast("Any", (None, None, None, {}, None)))
        rows = [text.split(":") for text in desk._schedule(amount, 2)]
        assert [row[0] for row in rows] == ["2026-12-12", "2027-01-26"]
        assert sum(int(Decimal(row[1]) * 100) for row in rows) == amount
        first = -(-amount * RATE_BP * 45 // (10_000 * 365))
        assert int(Decimal(rows[0][2]) * 100) == first

    def test_a_claim_that_does_not_hold_ends_the_story(self) -> None:
        Later._require(True, "anything")
        with pytest.raises(CliError, match="this does not hold: the limit rises") as raised:
            Later._require(False, "the limit rises")
        assert (raised.value.code, raised.value.exit_code) == ("STORY_FAILED", FAILED)

    def test_paths_as_they_are_typed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert typed(tmp_path / "a/b.xml") == "a/b.xml"
        assert typed(tmp_path.parent) == str(tmp_path.parent)
