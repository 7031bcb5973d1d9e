"""``tally verify``: offline, with the genesis hash from outside; whatever does not stand ends with exit code 6."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain.checkpoint import Checkpoint, Log, leaf
from chain.codec import decode, encode
from cli import bundle
from cli.bundle import AnchorItem
from genesis.dev import make_dev
from node.anchor_key import EvmKey
from node.devchain import call
from node.devchain_blocks import CHAIN_ID, DevChain
from node.evm_block import build_proof

ALLOWED = "--allow-development-chain"
KINDS = ("record", "transaction", "failed", "present", "absent")


@pytest.fixture
def folder(tmp_path: Path, proofs: Any) -> Path:
    """A folder with one file for each kind of proof."""
    made = tmp_path / "proofs"
    made.mkdir()
    for kind in KINDS:
        (made / f"{kind}.proof").write_bytes(getattr(proofs, kind))
    return made


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("record", ["This record stood on the chain of erp", "INV-1", "120.00", "number 1 of 2", "order PO-1"]),
        ("transaction", ["registry.register_party", "outcome      done"]),
        ("failed", ["registry.register_party", "failed: MISSING_ARGUMENT"]),
        ("present", ["registry party third", "Third"]),
        ("absent", ["had no entry records record invoice GB-COH:99900217 INV-9"]),
    ],
)
def test_a_proof_is_checked_and_said_in_words(
    kind: str, said: list[str], folder: Path, proofs: Any, tally: Any
) -> None:
    done = tally("verify", folder / f"{kind}.proof", "--genesis", proofs.genesis)
    assert done.code == 0, done.err
    for text in said:
        assert text in done.out
    assert "3 of 4 validators signed block 1" in done.out or "3 of 4 validators signed block 2" in done.out
    assert done.out.splitlines()[-1] == f"Verified: 1 proof stands under genesis {proofs.genesis}."
    assert tally("audit", "verify", folder / f"{kind}.proof", "--genesis", proofs.genesis).out == done.out


def test_as_json(folder: Path, proofs: Any, tally: Any) -> None:
    done = tally("verify", folder / "record.proof", "--genesis", proofs.genesis, "--json")
    found = done.json
    assert found["verified"] is True
    assert found["proofs"][0]["kind"] == "record"
    assert found["proofs"][0]["subject"]["record"][4] == "INV-1"


def test_a_folder_and_a_file_are_bundles(folder: Path, proofs: Any, tally: Any, tmp_path: Path) -> None:
    done = tally("verify", folder, "--genesis", proofs.genesis)
    assert done.code == 0, done.err
    assert "all 5 proofs stand" in done.out
    packed = tmp_path / "all.bundle"
    packed.write_bytes(bundle.pack(getattr(proofs, kind) for kind in KINDS))
    assert decode(packed.read_bytes())["format"] == ["tally/bundle", 1]
    assert "all 5 proofs stand" in tally("verify", packed, "--genesis", proofs.genesis).out


def test_another_consortium_with_the_same_documents_is_refused_by_name(
    folder: Path, tally: Any, tmp_path: Path
) -> None:
    other = make_dev(tmp_path / "other", members=1)
    for path in (folder, folder / "record.proof"):
        done = tally("verify", path, "--genesis", other.network_id.hex(), "--json")
        assert done.code == 6
        assert "this proof is from another consortium" in done.err
        assert done.err.count("\n") == 1
        assert done.json["error"]["code"] == "ANOTHER_CONSORTIUM"


def test_the_genesis_hash_comes_from_outside(folder: Path, tally: Any, dev: Any) -> None:
    done = tally("verify", folder / "record.proof", "--genesis", dev.directory / "genesis.json")
    assert done.code == 2
    assert "over another channel" in done.err
    assert tally("verify", folder / "record.proof", "--genesis", "abc").code == 2
    assert tally("verify", folder / "record.proof").code == 2


@pytest.mark.parametrize("kind", KINDS)
def test_no_bit_of_a_proof_can_be_changed(kind: str, proofs: Any, tally: Any, tmp_path: Path) -> None:
    data: bytes = getattr(proofs, kind)
    for place in range(0, len(data), max(1, len(data) // 40)):
        (tmp_path / "p").write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        done = tally("verify", tmp_path / "p", "--genesis", proofs.genesis)
        if kind == "absent" and done.code == 0:  # the altered key is as absent: another claim, and a true one
            assert "entry records record invoice GB-COH:99900217 INV-9" not in done.out
            continue
        assert done.code == 6, f"byte {place}: {done.out}"
        assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-1], lambda data: data + b"\0", lambda _: b"", lambda _: b"<xml/>", lambda _: encode({})],
)
def test_what_is_no_whole_proof_is_refused(change: Any, proofs: Any, tally: Any, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(change(proofs.record))
    done = tally("verify", tmp_path / "p", "--genesis", proofs.genesis)
    assert done.code == 6
    assert done.err.startswith("tally: ")
    assert done.err.count("\n") == 1


def test_one_bad_proof_spoils_the_bundle_by_name(folder: Path, proofs: Any, tally: Any, tmp_path: Path) -> None:
    (folder / "absent.proof").write_bytes(b"nothing")
    done = tally("verify", folder, "--genesis", proofs.genesis)
    assert done.code == 6
    assert "absent.proof" in done.err
    (tmp_path / "empty").mkdir()
    assert tally("verify", tmp_path / "empty", "--genesis", proofs.genesis).code == 6
    good = [proofs.record]
    damages: tuple[dict[str, Any], ...] = (
        {}, {"proofs": [1]}, {"proofs": []}, {"proofs": good, "more": 1}, {"proofs": good, "anchors": [[1]]},
    )  # fmt: skip
    for damage in damages:
        (tmp_path / "b").write_bytes(encode({"format": bundle.FORMAT, **damage}))
        assert tally("verify", tmp_path / "b", "--genesis", proofs.genesis).code == 6


class Anchored:
    """The record's block, anchored on a development chain: what a bundle and a trust file hold."""

    def __init__(self, proofs: Any, folder: Path) -> None:
        from chain.block import Header
        from chain.certificate import Certificate

        network_id = bytes.fromhex(proofs.genesis)
        proof = decode(proofs.record)
        header = Header.decode(proof["header"])
        log = Log()
        log.append(leaf(network_id, 1, header.digest, Certificate.from_value(proof["certificate"]).hash))
        checkpoint = Checkpoint(network_id, 1, log.root(1))
        key = EvmKey.development(0, folder)
        chain = DevChain(lambda: 1_800_000_000)
        fields = {
            "chainId": CHAIN_ID,
            "nonce": 0,
            "to": key.address,
            "value": 0,
            "data": checkpoint.payload,
            "gas": 60_000,
        }
        chain.submit(key.sign({**fields, "maxFeePerGas": 2 * 10**9, "maxPriorityFeePerGas": 10**9})[0])
        block = chain.mine()
        found = call(chain, "eth_getBlockByNumber", [hex(block.number), True])
        evm = build_proof(CHAIN_ID, found, 0)
        self.tie = AnchorItem(0, 1, checkpoint.root, evm.encode(), tuple(log.inclusion(0, 1)))
        self.trust = {
            "block_hashes": {str(CHAIN_ID): {str(block.number): f"0x{block.hash.hex()}"}},
            "senders": [f"0x{key.address.hex()}"],
        }
        from chain.anchor import DEVELOPMENT_NOTE, Anchor

        self.document = Anchor(checkpoint, "evm", evm.encode(), DEVELOPMENT_NOTE).to_json()


@pytest.fixture(scope="module")
def anchored(proofs: Any, tmp_path_factory: pytest.TempPathFactory) -> Anchored:
    return Anchored(proofs, tmp_path_factory.mktemp("anchor"))


def test_an_anchored_bundle(anchored: Anchored, proofs: Any, tally: Any, tmp_path: Path) -> None:
    path, trust = tmp_path / "b", tmp_path / "trust.json"
    path.write_bytes(bundle.pack([proofs.record], [anchored.tie]))
    trust.write_text(json.dumps(anchored.trust))
    refused = tally("verify", path, "--genesis", proofs.genesis, "--trust", trust)
    assert refused.code == 6
    assert "DEVELOPMENT_CHAIN" in refused.err
    done = tally("verify", path, "--genesis", proofs.genesis, "--trust", trust, ALLOWED)
    assert done.code == 0, done.err
    assert "block 1 stood on public chain 31338 no later than 2027-01-15" in done.out
    assert "DEV-ANCHOR: proves nothing" in done.out
    without = tally("verify", path, "--genesis", proofs.genesis)
    assert without.code == 0
    assert "1 anchors not checked" in without.out


def test_an_anchor_needs_what_is_trusted(anchored: Anchored, proofs: Any, tally: Any, tmp_path: Path) -> None:
    path, trust = tmp_path / "b", tmp_path / "trust.json"
    path.write_bytes(bundle.pack([proofs.record], [anchored.tie]))
    wrong = {str(CHAIN_ID): {"1": "0x" + "00" * 32}}
    for change, said in (
        ({"block_hashes": {}}, "UNANCHORED"),
        ({"senders": []}, "is not among the trusted senders"),
        ({"block_hashes": wrong}, "hash is not the trusted one"),
    ):
        trust.write_text(json.dumps({**anchored.trust, **change}))
        done = tally("verify", path, "--genesis", proofs.genesis, "--trust", trust, ALLOWED)
        assert done.code == 6
        assert said in done.err
    trust.write_text(json.dumps(anchored.trust))
    for tie in (
        replace(anchored.tie, place=1),
        replace(anchored.tie, path=(bytes(32),)),
        replace(anchored.tie, proof=b""),
    ):
        path.write_bytes(bundle.pack([proofs.record], [tie]))
        assert tally("verify", path, "--genesis", proofs.genesis, "--trust", trust).code == 6
    for text in ("[]", '{"senders": ["0x00"]}', '{"block_hashes": 5}', '{"other": 1}', "{"):
        trust.write_text(text)
        assert tally("verify", path, "--genesis", proofs.genesis, "--trust", trust).code == 2


def test_an_anchor_document(anchored: Anchored, proofs: Any, tally: Any, tmp_path: Path) -> None:
    path, trust = tmp_path / "anchor.json", tmp_path / "trust.json"
    path.write_text(json.dumps(anchored.document))
    trust.write_text(json.dumps(anchored.trust))
    command = ("anchor", "verify", path, "--genesis")
    refused = tally(*command, proofs.genesis, "--trust", trust)
    assert refused.code == 6
    assert "DEVELOPMENT_CHAIN" in refused.err
    done = tally(*command, proofs.genesis, "--trust", trust, "--allow-development-chain")
    assert done.code == 0, done.err
    assert "blocks 1 to 1 of the consortium stood at evm:31338 no later than 2027-01-15" in done.out
    assert "DEV-ANCHOR: proves nothing" in done.out
    assert tally(*command, proofs.genesis).code == 6
    other = tally(*command, "00" * 32, "--trust", trust)
    assert other.code == 6
    assert "another network" in other.err
    path.write_text("nonsense")
    assert tally(*command, proofs.genesis, "--trust", trust).code == 2
    path.write_text("{}")
    assert tally(*command, proofs.genesis, "--trust", trust).code == 6
