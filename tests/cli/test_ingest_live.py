"""``tally ingest`` on a network that runs: conflicts, corrections, bad records among good ones, breaks."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chain.sealed import decode_body, decode_raw
from node.intake.reading import sealing_secret

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).resolve().parents[2] / "genesis/example/documents/invoice-KPV-0826.xml"
TEXT = SOURCE.read_text(encoding="utf-8").replace("99900217", "88800217")  # nobody else's enterprise


def write(folder: Path, number: str, *, name: str = "", **changes: str) -> Path:
    """An invoice of another number, with some texts exchanged."""
    text = TEXT.replace("KPV-0826", number)
    for old, new in changes.items():
        text = text.replace(_TEXTS[old], new)
    path = folder / f"{name or number}.xml"
    path.write_text(text, encoding="utf-8")
    return path


_TEXTS = {"date": "2026-10-23", "account": "GB", "buyer": "Marlow Vale Water"}


def of(value: Any, name: str) -> dict[str, Any]:
    """The one record of a file of a report."""
    file = next(row for row in value["files"] if Path(row["file"]).stem == name)
    record: dict[str, Any] = file["records"][0]
    return record


def test_one_bad_record_never_blocks_the_others(network: Any, tmp_path: Path) -> None:
    for number in ("B-1", "B-2", "B-4", "B-5"):
        write(tmp_path, number)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    write(tmp_path, "B-3", date=tomorrow)
    done = network.tally("erp", "ingest", tmp_path, "--json")
    assert done.code == 4
    assert done.json["records"] == {"sealed": 4, "refused by the chain": 1}
    refused = of(done.json, "B-3")
    assert refused["code"] == "FUTURE_EVENT"
    assert tomorrow in refused["reason"]
    assert network.tally("erp", "query", "record", "invoice", "B-3").code == 3
    again = network.tally("erp", "ingest", tmp_path, "--json")
    assert again.code == 4
    assert again.json["records"] == {"known": 4, "refused by the chain": 1}
    said = network.tally("erp", "ingest", tmp_path)
    assert "[FUTURE_EVENT]" in said.out
    assert "5 files: 4 known, 1 refused by the chain" in said.out


def test_other_content_is_a_conflict_or_on_request_a_correction(network: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "C-1")
    first = network.done("erp", "ingest", path)
    identity = of(first, "C-1")["id"]
    write(tmp_path, "C-1", date="2026-10-24")
    conflict = network.tally("erp", "ingest", path, "--json")
    assert conflict.code == 4
    record = of(conflict.json, "C-1")
    assert record["code"] == "CONFLICTING_RECORD"
    assert identity in record["reason"]
    corrected = network.done("erp", "ingest", path, "--correct")
    assert of(corrected, "C-1")["outcome"] == "corrected"
    versions = network.done("auditor", "query", "history", "invoice", "C-1")["rows"]
    assert [row["version"] for row in versions] == [2, 1]
    assert versions[1]["id"] == identity
    assert "issue_date" in versions[0]["changed"]
    assert network.done("auditor", "query", "record", identity)[0]["id"] == identity
    again = network.done("erp", "ingest", path, "--correct")
    assert of(again, "C-1")["outcome"] == "known"


def test_two_versions_in_one_run_with_correct_are_sealed_one_after_the_other(network: Any, tmp_path: Path) -> None:
    write(tmp_path, "D-1", name="a")
    write(tmp_path, "D-1", name="b", date="2026-10-24")
    refused = network.tally("erp", "ingest", tmp_path, "--json")
    assert refused.code == 3
    assert [of(refused.json, name)["outcome"] for name in "ab"] == ["sealed", "refused"]
    done = network.done("erp", "ingest", tmp_path, "--correct")
    assert [of(done, name)["outcome"] for name in "ab"] == ["known", "corrected"]
    assert len(network.done("erp", "query", "history", "invoice", "D-1")["rows"]) == 2


def test_sealed_fields_can_be_opened_by_their_member_only_with_its_store(network: Any, tmp_path: Path) -> None:
    from chain import keys
    from chain.crypto import sha256
    from tallystick import Client

    done = network.done("erp", "ingest", write(tmp_path, "S-1"))
    assert of(done, "S-1")["outcome"] == "sealed"
    record = network.done("erp", "query", "record", "invoice", "S-1")[0]["record"]
    root = bytes.fromhex(record[13])
    assert "payee_account" not in record[12]
    from genesis import library
    from node.connectors import detect, to_record
    from node.connectors.prepare import Provenance

    data = (tmp_path / "S-1.xml").read_bytes()
    secret = sealing_secret(keys.load(network.home / "erp/keys/signer.json", "correct horse").seed)
    connector = detect(data, "S-1.xml")
    template = {**library.template("general-trade"), "version": record[8]}
    prepared = to_record(
        connector.read(data, "S-1.xml")[0],
        lambda _kind: template,
        connector,
        Provenance("file", sha256(data), 0),
        secret,
    )
    assert prepared.sealed is not None
    with Client(network.nodes.nodes["erp"].api) as client:
        stored = client.body(root)
        raw = client.document(bytes.fromhex(record[11][3]))
    assert decode_raw(raw).file == data
    assert sha256(data).hex() != record[11][3], "nobody guesses their way to the file"
    assert stored == prepared.sealed.encode()
    opened = decode_body(stored, root).open("payee_account")
    assert opened.verify(root)


def test_a_break_is_made_good_by_running_it_again(network: Any, tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path, f"R-{number}")
    with network.paused("guarantor", "lender"):
        broken = network.tally("erp", "ingest", tmp_path, "--timeout", "2", "--json")
    assert broken.code == 5
    record = of(broken.json, "R-0")
    assert (record["outcome"], record["code"]) == ("unknown", "OUTCOME_UNKNOWN")
    assert network.tally("erp", "tx", "wait", record["transaction"], "--timeout", "60").code == 0
    again = network.done("erp", "ingest", tmp_path)
    assert again["counts"] == {"known": 3}


def test_a_key_rotated_keeps_records_the_same_with_the_old_sealing_key(network: Any, tmp_path: Path) -> None:
    from chain import keys

    path = write(tmp_path, "K-1")
    network.done("erp", "ingest", path)
    other = tmp_path / "second.json"
    half = keys.create(other, "correct horse", "signer", cost=keys.INTERACTIVE)
    add = f'{{"key": {{"$hex": "{half.public.hex()}"}}, "purpose": "signer", "rights": ["*"]}}'
    network.done("erp", "tx", "submit", "--contract", "registry", "--method", "add_key", "--args", add)
    own = network.tally("erp", "ingest", path, "--key", other, "--json")
    assert own.code == 4
    assert of(own.json, "K-1")["code"] == "CONFLICTING_RECORD"
    old = network.home / "erp/keys/signer.json"
    kept = network.done("erp", "ingest", path, "--key", other, "--sealing-key", old)
    assert kept["counts"] == {"known": 1}


def test_many_records_go_in_batches(network: Any, tmp_path: Path) -> None:
    for number in range(530):
        write(tmp_path, f"M-{number:03}")
    done = network.tally("erp", "ingest", tmp_path, "--json")
    assert done.code == 0, done.err
    assert done.json["records"] == {"sealed": 530}
    transactions = {row["transaction"] for file in done.json["files"] for row in file["records"]}
    assert len(transactions) == 2
    assert re.search(r"^530 records \(\d+ a second\), 530 of 530 files$", done.err, re.MULTILINE)


def test_an_unknown_template_of_the_network(network: Any, tmp_path: Path) -> None:
    done = network.tally("erp", "ingest", write(tmp_path, "T-1"), "--template", "steel")
    assert done.code == 2
    assert "unknown template 'steel': use one of bench, construction, court, general-trade" in done.err
