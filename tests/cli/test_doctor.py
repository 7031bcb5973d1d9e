"""``tally node doctor`` on a stopped node: every check can fail, says what to do, and nothing is written."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from genesis import ceremony
from genesis.dev import make_dev
from node import config as configuration
from node.peer import load_keys, open_store
from node.processes import free_ports

PASSPHRASE = "correct horse"


def checks(result: Any) -> dict[str, tuple[bool, str]]:
    return {row["check"]: (row["ok"], row["text"]) for row in result.json}


def doctor(tally: Any, home: Path, **environment: str) -> Any:
    return tally("node", "doctor", "--home", home, "--as", "erp", "--json", **environment)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A development folder whose erp node has run once: its ledger and journal are there."""
    folder = tmp_path_factory.mktemp("doctor") / "net"
    make_dev(folder, members=2, observers=(), passphrase=PASSPHRASE, base_port=free_ports(4))
    config = configuration.load(folder / "erp/node.toml")
    document = ceremony.load_sealed(config.genesis).document
    signer, ledger = open_store(config, load_keys(config, PASSPHRASE), document)
    ledger.close()
    assert signer is not None
    signer.close()
    return folder


@pytest.fixture
def home(once: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(once, tmp_path / "net"))


def test_a_stopped_node_in_order_but_for_its_peers(home: Path, tally: Any) -> None:
    before = snapshot(home)
    done = doctor(tally, home)
    found = checks(done)
    assert found["ledger"] == (True, "opens at block 0, the roots of every chain match")
    assert found["journal"][0]
    assert found["peer procurement"][0] is False
    assert [name for name, (ok, _) in found.items() if not ok] == ["peer procurement"]
    assert done.code == 6
    assert snapshot(home) == before
    lines = tally("node", "doctor", home / "erp/node.toml").out.splitlines()
    assert lines[0].startswith("ok    configuration")
    assert any(line.startswith("FAIL  peer procurement") for line in lines)


def test_a_wrong_configuration_is_the_only_finding(home: Path, tally: Any) -> None:
    path = home / "erp/node.toml"
    path.write_text(path.read_text().replace('"data"', "5"))
    found = checks(doctor(tally, home))
    assert list(found) == ["configuration"]
    assert found["configuration"][0] is False
    assert "data" in found["configuration"][1]


def test_a_wrong_passphrase(home: Path, tally: Any) -> None:
    found = checks(doctor(tally, home, TALLY_PASSPHRASE="wrong"))
    assert found["keys"][0] is False
    assert "wrong passphrase" in found["keys"][1]


def test_keys_open_to_others_and_of_another_member(home: Path, tally: Any) -> None:
    key = home / "erp/keys/validator.json"
    key.chmod(0o644)
    assert "chmod 600" in checks(doctor(tally, home))["keys"][1]
    key.chmod(0o600)
    (home / "erp/keys/network.json").write_bytes((home / "procurement/keys/network.json").read_bytes())
    found = checks(doctor(tally, home))["membership"]
    assert found == (False, "the network key is not erp's in the genesis file: point keys.network at it")


def test_an_altered_genesis(home: Path, tally: Any) -> None:
    path = home / "genesis.json"
    path.write_text(path.read_text().replace("Development", "Other"))
    found = checks(doctor(tally, home))
    assert found["genesis"][0] is False
    assert "was altered" in found["genesis"][1]


def test_a_ledger_of_another_network(home: Path, tally: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_dev(other, members=2, observers=(), passphrase=PASSPHRASE)
    os.replace(other / "genesis.json", home / "genesis.json")
    for member in ("network", "validator", "signer"):
        os.replace(other / f"erp/keys/{member}.json", home / f"erp/keys/{member}.json")
    found = checks(doctor(tally, home))
    assert found["ledger"][0] is False
    assert "the ledger is of network" in found["ledger"][1]


def test_a_damaged_ledger(home: Path, tally: Any) -> None:
    for path in (home / "erp/data/ledger").glob("*"):
        if path.suffix in (".ldb", ".log"):
            data = bytearray(path.read_bytes())
            for place in range(len(data) // 3, len(data), 97):
                data[place] ^= 0xFF
            path.write_bytes(bytes(data))
    found = checks(doctor(tally, home))
    assert found["ledger"][0] is False
    assert "/.doctor." not in found["ledger"][1]


def test_a_missing_and_a_damaged_journal(home: Path, tally: Any) -> None:
    journal = home / "erp/data/votes.journal"
    data = journal.read_bytes()
    journal.unlink()
    found = checks(doctor(tally, home))["journal"]
    assert found[0] is False
    assert "must not vote without it" in found[1]
    journal.write_bytes(data[:20] + b"\xff" + data[21:])
    found = checks(doctor(tally, home))["journal"]
    assert found[0] is False
    assert str(journal) in found[1]


def test_a_port_in_use(home: Path, tally: Any) -> None:
    config = configuration.load(home / "erp/node.toml")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((config.p2p.listen.host, config.p2p.listen.port))
        other.listen()
        found = checks(doctor(tally, home))
    assert found["p2p.listen"][0] is False
    assert "in use by another process" in found["p2p.listen"][1]
    assert found["api.listen"][0] is True


def test_a_full_disk(home: Path, tally: Any) -> None:
    path = home / "erp/node.toml"
    path.write_text(path.read_text() + f"\n[limits]\nmin_free_disk_bytes = {2**60}\n")
    found = checks(doctor(tally, home))["disk"]
    assert found[0] is False
    assert "free some space" in found[1]


def test_which_node(tally: Any, tmp_path: Path) -> None:
    assert "which node?" in tally("node", "doctor").err
    done = tally("node", "doctor", tmp_path / "none.toml")
    assert done.code == 6
    assert "no configuration at" in done.out
