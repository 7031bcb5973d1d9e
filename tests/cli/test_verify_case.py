"""``tally verify`` on a case's bundle: exit code, what a lawyer reads, what a program reads."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from chain.crypto import SigningKey
from tallystick.evidence import CHECKS, verify_bundle
from tests.evidence.forger import Forger
from tests.evidence_bundle import WITNESS, Publics, anchor, bundle, told
from tests.evidence_speed import measure

TOTAL = "15443.66 CNY"


class Desk:
    """A bundle on a court's desk, with the trust file that the court wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.publics = folder, Publics()
        self.world = told(self.publics)
        self.data = bundle(self.world, anchor(self.world, self.publics).size)
        self.genesis = self.world.network_id.hex()
        (folder / "tsa.pem").write_text(
            "-----BEGIN CERTIFICATE-----\n"
            + base64.encodebytes(self.publics.root.der).decode()
            + "-----END CERTIFICATE-----\n"
        )

    def file(self, data: bytes | None = None) -> Path:
        path = self.folder / "bundle.zip"
        path.write_bytes(self.data if data is None else data)
        return path

    def trust(self, *parts: str) -> Path:
        """A trust file with these parts of what was really published."""
        known = self.publics.trusted()
        hashes = {str(chain): {str(n): h.hex() for n, h in rows.items()} for chain, rows in known.evm_blocks.items()}
        whole = {
            "block_hashes": hashes,
            "senders": [sender.hex() for sender in known.evm_senders],
            "bitcoin_blocks": {str(height): h[::-1].hex() for height, h in known.bitcoin_blocks.items()},
            "tsa_roots": ["tsa.pem"],
            "witnesses": {WITNESS: known.witnesses[WITNESS].hex()},
        }
        path = self.folder / "trust.json"
        path.write_text(json.dumps({part: whole[part] for part in parts}))
        return path


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


def test_a_verdict_for_a_lawyer_and_one_for_a_program(desk: Desk, tally: Any) -> None:
    given = ("verify", desk.file(), "--genesis", desk.genesis, "--trust", desk.trust("tsa_roots"))
    done = tally(*given)
    assert done.code == 0, done.out
    assert f"{TOTAL} as of 2026-06-22" in done.out
    assert "CONCLUSION: every check passes" in done.out
    assert "结论：全部检验通过" in done.out
    assert "invoice I-2: dispute open" in done.out
    assert done.out.count("[pass]") == len(CHECKS)
    assert "结论" not in tally(*given, "--language", "en").out
    value = tally(*given, "--json").json
    assert (value["verified"], value["evidential"], value["failed"]) == (True, True, [])
    assert [row["name"] for row in value["checks"]] == [check.name for check in CHECKS]
    assert value["facts"]["claim"]["total"] == 1_544_366
    assert all(row["no_later_than"] > 1_780_000_000 for row in value["existed"])


@pytest.mark.parametrize(("parts", "code"), [((), 6), (("witnesses",), 6), (("senders", "block_hashes"), 0)])
def test_who_is_trusted_decides(desk: Desk, tally: Any, parts: tuple[str, ...], code: int) -> None:
    """A witness only says that history was not forked: it is no public time."""
    given = ("verify", desk.file(), "--genesis", desk.genesis, "--trust", desk.trust(*parts), "--json")
    done = tally(*given)
    assert done.code == code
    assert done.json["status"] == ("pass" if code == 0 else "UNANCHORED")
    assert done.json["failed"] == []


def test_a_development_chain_has_no_evidential_value(desk: Desk, tally: Any) -> None:
    given = ("verify", desk.file(), "--genesis", desk.genesis, "--trust", desk.trust("bitcoin_blocks"))
    assert tally(*given, "--json").json["status"] == "UNANCHORED"
    done = tally(*given, "--allow-development-chain")
    assert done.code == 0, done.out
    assert "OF NO EVIDENTIAL VALUE" in done.out
    assert "不具有证据效力" in done.out
    assert tally(*given, "--allow-development-chain", "--json").json["evidential"] is False


def test_a_bundle_that_does_not_stand(desk: Desk, tally: Any) -> None:
    trust = desk.trust("tsa_roots")
    other = tally("verify", desk.file(), "--genesis", "00" * 32, "--trust", trust, "--json")
    assert (other.code, other.json["verified"], other.json["facts"]) == (6, False, {})
    assert "proofs" in other.json["failed"]
    stranger = Forger.of(desk.data, SigningKey.from_seed(bytes(32))).sealed()
    done = tally("verify", desk.file(stranger), "--genesis", desk.genesis, "--trust", trust)
    assert done.code == 6
    assert "the bundle does NOT stand" in done.out
    assert "claimant" in done.out.splitlines()[-1]
    cut = tally("verify", desk.file(desk.data[:-9]), "--genesis", desk.genesis, "--trust", trust)
    assert cut.code == 6
    assert "cut short or damaged" in cut.out


def test_options_of_other_files_are_refused(desk: Desk, tally: Any) -> None:
    path = desk.file()
    assert tally("verify", path, "--genesis", desk.genesis, "--file", path).code == 2
    assert tally("verify", path, "--genesis", "5").code == 2
    unpacked = desk.folder / "unpacked"
    unpacked.mkdir()
    (unpacked / "manifest.json").write_text("{}")
    refused = tally("verify", unpacked, "--genesis", desk.genesis)
    assert refused.code == 2
    assert "give the ZIP file itself" in refused.err


def test_a_block_that_is_to_come(desk: Desk) -> None:
    now = desk.world.now // 1_000
    network_id, trusted = desk.world.network_id, desk.publics.trusted()
    assert verify_bundle(desk.data, network_id, trusted, now).status == "pass"
    assert verify_bundle(desk.data, network_id, trusted, now - 90_000).failed == ("times",)


@pytest.mark.slow
def test_fifty_documents_are_checked_within_a_second() -> None:
    """Of one core; docs/evidence.md has the measured figure."""
    found = measure(rounds=2)
    assert found.documents >= 50
    assert found.cpu_s < 1.0
