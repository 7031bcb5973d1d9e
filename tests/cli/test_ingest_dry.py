"""``tally ingest --dry-run``: reading, routing and refusing without a node; and what one run does with repeats."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "genesis/example/documents"
DRY = ("ingest", "--dry-run")


def outcomes(result: Any) -> dict[str, str]:
    return {Path(row["file"]).name: row["outcome"] for row in result.json["files"]}


def test_the_example_documents_are_ready_and_routed(tally: Any) -> None:
    done = tally(*DRY, EXAMPLE, "--json")
    assert done.code == 0, done.err
    assert done.json["counts"] == {"ready": 14}
    chains = {row["kind"]: row["chain"] for file in done.json["files"] for row in file["records"]}
    assert chains == {
        "contract": "procurement", "order": "procurement", "receipt": "procurement", "qualification": "procurement",
        "despatch": "erp", "invoice": "erp", "guarantee": "guarantor",
    }  # fmt: skip


def test_only_kinds_of_the_acting_members_role(tally: Any, dev: Any) -> None:
    done = tally(*DRY, EXAMPLE, "--home", dev.directory, "--as", "erp", "--json")
    assert done.code == 3
    assert done.json["counts"] == {"ready": 6, "refused": 8}
    codes = {row["code"] for file in done.json["files"] for row in file["refused"]}
    assert codes == {"NOT_YOURS"}
    assert tally(*DRY, EXAMPLE, "--home", dev.directory, "--all-members").code == 0
    stranger = tally(*DRY, EXAMPLE, "--home", dev.directory, "--as", "kestrel")
    assert stranger.code == 2
    assert "is no member" in stranger.err


@pytest.mark.parametrize("options", [(), ("--genesis",)])
def test_an_unknown_template_names_the_known_ones(tally: Any, dev: Any, options: tuple[str, ...]) -> None:
    source = (*options, dev.directory / "genesis.json") if options else ()
    done = tally(*DRY, EXAMPLE, "--template", "steel", *source)
    assert done.code == 2
    assert "unknown template 'steel': use one of bench, construction, court, general-trade" in done.err
    bench = tally(*DRY, EXAMPLE / "order-PO-88121.xml", "--template", "bench", "--json")
    assert bench.code == 3
    assert bench.json["files"][0]["refused"][0]["code"] == "UNKNOWN_TEMPLATE"


def test_what_cannot_be_read_is_refused_with_its_reason_and_disturbs_nothing(tally: Any, tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "invoice-KPV-0811.xml", tmp_path / "good.xml")
    text = (EXAMPLE / "invoice-KPV-0826.xml").read_text(encoding="utf-8")
    (tmp_path / "dtd.xml").write_text(text.replace("<Invoice", '<!DOCTYPE x [<!ENTITY a "b">]>\n<Invoice', 1))
    (tmp_path / "typed.xml").write_text(text.replace(">7200.00<", ">seven<"))
    (tmp_path / "cut.xml").write_text(text[:500])
    (tmp_path / "empty.xml").write_text("")
    (tmp_path / "scan.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "other.json").write_text('{"hello": 1}')
    (tmp_path / ".hidden").write_text("not read")
    done = tally(*DRY, tmp_path, "--json")
    assert done.code == 3
    found = outcomes(done)
    assert found.pop("good.xml") == "ready"
    assert set(found) == {"dtd.xml", "typed.xml", "cut.xml", "empty.xml", "scan.pdf", "other.json"}
    assert set(found.values()) == {"refused"}
    for file in done.json["files"]:
        for refusal in file["refused"]:
            assert "\n" not in refusal["reason"]
            assert ": " in refusal["reason"]
    said = tally(*DRY, tmp_path)
    assert "7 files: 1 ready, 6 refused" in said.out


def test_of_two_with_one_natural_key_the_first_wins(tally: Any, tmp_path: Path) -> None:
    text = (EXAMPLE / "invoice-KPV-0826.xml").read_text(encoding="utf-8")
    (tmp_path / "a.xml").write_text(text)
    (tmp_path / "b.xml").write_text(text)
    (tmp_path / "c.xml").write_text(text.replace("2026-10-23", "2026-10-24"))
    assert text != (tmp_path / "c.xml").read_text()
    done = tally(*DRY, tmp_path, "--json")
    assert done.code == 3
    assert outcomes(done) == {"a.xml": "ready", "b.xml": "known", "c.xml": "refused"}
    record = done.json["files"][2]["records"][0]
    assert record["code"] == "CONFLICTING_RECORD"
    assert "a.xml holds invoice KPV-0826 with other content" in record["reason"]
    corrected = tally(*DRY, tmp_path, "--correct", "--json")
    assert corrected.code == 0
    assert outcomes(corrected) == {"a.xml": "ready", "b.xml": "known", "c.xml": "ready"}


def test_the_same_file_gives_the_same_record(tally: Any, tmp_path: Path) -> None:
    path = tmp_path / "invoice.xml"
    shutil.copy(EXAMPLE / "invoice-KPV-0811.xml", path)
    os.utime(path, ns=(10**18, 1_700_000_000_123 * 10**6))
    first = tally(*DRY, path, "--json")
    assert tally(*DRY, path, "--json").out == first.out


def test_nothing_to_take_in(tally: Any, tmp_path: Path) -> None:
    assert "no file there" in tally(*DRY, tmp_path).err
    assert tally(*DRY, tmp_path / "none").code == 2
    assert tally("ingest", "--dry-run").code == 2


def test_an_unreadable_file_is_refused_alone(tally: Any, tmp_path: Path) -> None:
    (tmp_path / "link.xml").symlink_to(tmp_path / "gone.xml")
    shutil.copy(EXAMPLE / "invoice-KPV-0811.xml", tmp_path / "good.xml")
    done = tally(*DRY, tmp_path, "--json")
    assert done.code == 0  # a dangling link is no file
    assert json.loads(done.out)["counts"] == {"ready": 1}
