"""The development chain as its clients see it: rules, determinism, bad requests, and as a process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chain.evm import DEVELOPMENT_NOTE, decode_header
from node.anchor_key import EvmKey
from node.devchain import CLIENT_VERSION, MAX_REQUEST_BYTES, DevServer, call
from node.devchain_blocks import CHAIN_ID, KEEP_MINING_DEPTH, DevChain, RefusedError
from node.evm_block import EvmDataError, build_proof, encode_header, encode_transaction
from node.public_chain import PublicChainError, start_public_chain

GWEI = 10**9


@pytest.fixture
def key(tmp_path: Path) -> EvmKey:
    return EvmKey.development(0, tmp_path)


def transfer(key: EvmKey, nonce: int, **changes: Any) -> bytes:
    fields = {
        "chainId": CHAIN_ID,
        "nonce": nonce,
        "to": key.address,
        "value": 0,
        "data": b"payload",
        "gas": 40_000,
        "maxFeePerGas": 2 * GWEI,
        "maxPriorityFeePerGas": GWEI,
        **changes,
    }
    return key.sign({name: value for name, value in fields.items() if value is not None})[0]


def fixed_chain() -> DevChain:
    return DevChain(lambda: 1_700_000_000)


def test_the_same_transactions_give_the_same_hashes(key: EvmKey) -> None:
    def run() -> list[bytes]:
        chain = fixed_chain()
        for nonce in range(3):
            chain.submit(transfer(key, nonce))
            chain.mine()
        return [block.hash for number in range(4) if (block := chain.block(number)) is not None]

    first = run()
    assert first == run()
    assert len(set(first)) == 4


def test_every_block_says_what_it_is(key: EvmKey) -> None:
    chain = fixed_chain()
    chain.submit(transfer(key, 0))
    chain.mine()
    shown = call(chain, "eth_getBlockByNumber", ["latest", True])
    assert bytes.fromhex(shown["extraData"][2:]).decode() == DEVELOPMENT_NOTE
    assert encode_header(shown) == chain.head.header
    assert decode_header(chain.head.header).hash == chain.head.hash
    assert call(chain, "eth_chainId", []) == hex(CHAIN_ID)
    assert call(chain, "web3_clientVersion", []) == CLIENT_VERSION


def test_transactions_go_in_by_nonce_and_wait_for_gaps(key: EvmKey) -> None:
    chain = fixed_chain()
    for nonce in (2, 1):
        chain.submit(transfer(key, nonce))
    assert chain.mine().transactions == ()
    chain.submit(transfer(key, 0))
    address = f"0x{key.address.hex()}"
    assert call(chain, "eth_getTransactionCount", [address, "pending"]) == "0x3"
    assert call(chain, "eth_getTransactionCount", [address, "latest"]) == "0x0"
    assert [found.nonce for _, found in chain.mine().transactions] == [0, 1, 2]
    assert call(chain, "eth_getTransactionCount", [address, "latest"]) == "0x3"
    assert call(chain, "eth_getTransactionCount", [address, "0x1"]) == "0x0"


def test_it_refuses_what_a_public_chain_would(key: EvmKey) -> None:
    chain = fixed_chain()
    chain.submit(transfer(key, 0))
    refused = [
        (transfer(key, 0, maxFeePerGas=2 * GWEI + 1), "a tenth more in both fees"),
        (transfer(key, 0, maxFeePerGas=3 * GWEI), "a tenth more in both fees"),
        (transfer(key, 1, chainId=1), f"chain id is {CHAIN_ID}, the transaction says 1"),
        (transfer(key, 1)[:-1], "not a transaction"),
        (b"", "not a transaction"),
        (b"\x03\xc0", "blob"),
    ]
    for raw, reason in refused:
        with pytest.raises(RefusedError, match=reason):
            chain.submit(raw)
    raised = transfer(key, 0, maxFeePerGas=3 * GWEI, maxPriorityFeePerGas=2 * GWEI)
    kept = chain.submit(raised)
    assert [found.hash for _, found in chain.mine().transactions] == [kept]
    with pytest.raises(RefusedError, match="nonce 0 is used"):
        chain.submit(transfer(key, 0))


def test_a_rewind_gives_the_transactions_back_and_other_hashes(key: EvmKey) -> None:
    chain = fixed_chain()
    transaction = chain.submit(transfer(key, 0))
    dropped = chain.mine().hash
    call(chain, "tally_rewind", ["0x1"])
    assert call(chain, "eth_getTransactionReceipt", [f"0x{transaction.hex()}"]) is None
    assert call(chain, "eth_getBlockByHash", [f"0x{dropped.hex()}", True]) is None
    again = chain.mine()
    assert [found.hash for _, found in again.transactions] == [transaction]
    assert again.hash != dropped
    with pytest.raises(RefusedError, match="blocks above the first"):
        chain.rewind(5)


def test_it_rests_when_all_is_deep_enough(key: EvmKey) -> None:
    chain = fixed_chain()
    assert not chain.wants_block()
    chain.submit(transfer(key, 0))
    made = 0
    while chain.wants_block():
        chain.mine()
        made += 1
    assert made == KEEP_MINING_DEPTH + 1


@pytest.fixture
def url() -> Iterator[str]:
    with DevServer(fixed_chain(), block_time=3600) as server:
        yield server.url


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"[]", -32700),
        (b"7", -32700),
        (b'{"id":1}', -32700),
        (b'{"id":1,"method":7,"params":[]}', -32700),
        (b'{"id":1,"method":"eth_chainId","params":{}}', -32700),
        pytest.param(b"[" * 100_000, -32700, id="deep"),
        (b"\xff\xfe", -32700),
        (b'{"id":1,"method":"eth_mine","params":[]}', -32601),
        (b'{"id":1,"method":"eth_chainId","params":[1]}', -32602),
        (b'{"id":1,"method":"eth_getBlockByNumber","params":["newest"]}', -32602),
        (b'{"id":1,"method":"eth_getBlockByHash","params":["0x0"]}', -32602),
        (b'{"id":1,"method":"eth_getTransactionReceipt","params":[null]}', -32602),
        (b'{"id":1,"method":"eth_sendRawTransaction","params":["0xc0"]}', -32602),
    ],
)
def test_bad_requests_get_an_error_and_disturb_nothing(url: str, body: bytes, code: int) -> None:
    with httpx.Client(trust_env=False) as client:
        answer = client.post(url, content=body).json()
        assert answer["error"]["code"] == code
        good = {"jsonrpc": "2.0", "id": 2, "method": "eth_blockNumber", "params": []}
        assert client.post(url, json=good).json() == {"jsonrpc": "2.0", "id": 2, "result": "0x0"}


@pytest.mark.parametrize("length", [str(MAX_REQUEST_BYTES + 1), "-1", "many"])
def test_a_request_without_a_sane_length_is_cut_off(url: str, length: str) -> None:
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            assert b" 413 " in answer.readline()


def test_altered_block_answers_are_never_proved(key: EvmKey) -> None:
    chain = fixed_chain()
    for nonce in range(3):
        chain.submit(transfer(key, nonce))
    chain.mine()
    block = call(chain, "eth_getBlockByNumber", ["latest", True])
    assert build_proof(CHAIN_ID, block, 1).index == 1
    first, *rest = block["transactions"]
    altered = [
        {**block, "timestamp": "0x1"},
        {**block, "hash": "0x" + "00" * 32},
        {**block, "number": None},
        {**block, "number": 7},
        {**block, "logsBloom": "0xzz"},
        {**block, "transactions": rest},
        {**block, "transactions": [*rest, first]},
        {**block, "transactions": [{**first, "input": "0x00"}, *rest]},
        {**block, "transactions": [{**first, "type": "0x7e"}, *rest]},
        {**block, "transactions": [{**first, "accessList": 5}, *rest]},
        {**block, "transactions": [None, *rest]},
        {**block, "transactions": ["0x", *rest]},
        {**block, "transactions": None},
        {name: value for name, value in block.items() if name != "stateRoot"},
    ]
    for answer in altered:
        with pytest.raises(EvmDataError):
            build_proof(CHAIN_ID, answer, 1)
    with pytest.raises(EvmDataError, match="none at 3"):
        build_proof(CHAIN_ID, block, 3)
    for transaction in block["transactions"]:
        for name in transaction.keys() - {"blockHash", "blockNumber", "from", "transactionIndex", "v"}:
            cut = {key: value for key, value in transaction.items() if key != name}
            with pytest.raises(EvmDataError):
                encode_transaction({**cut, "v": "0x5"})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_it_stands_in_for_anvil_as_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLY_ANVIL", str(tmp_path / "none"))
    said: list[str] = []
    url, kind, process = start_public_chain(tmp_path, free_port(), install=False, say=said.append)
    try:
        assert kind == "devchain"
        assert said == ["no anvil (anvil is not installed); a development chain stands in"]
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
        assert httpx.post(url, json=request, trust_env=False).json()["result"] == hex(CHAIN_ID)
        port = int(url.rpartition(":")[2])
        with pytest.raises(PublicChainError, match=f"port {port} is in use"):
            start_public_chain(tmp_path, port, install=False)
        second = [sys.executable, "-m", "node.devchain", "--port", str(port)]
        done = subprocess.run(second, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1
        assert done.stderr == f"port {port} cannot be used (Address already in use): choose another with --port\n"
    finally:
        process.terminate()
        process.wait()


def test_a_broken_anvil_is_replaced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "anvil"
    broken.write_text("#!/bin/sh\necho no such instruction >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("TALLY_ANVIL", str(broken))
    said: list[str] = []
    _, kind, process = start_public_chain(tmp_path, free_port(), install=False, say=said.append)
    process.terminate()
    process.wait()
    assert kind == "devchain"
    assert "anvil did not start" in said[0]
    assert "no such instruction" in said[0]


def test_blocks_come_by_themselves() -> None:
    with DevServer(block_time=0.02) as server, httpx.Client(trust_env=False) as client:
        key = EvmKey.development(0, Path("unused"))
        raw = f"0x{transfer(key, 0).hex()}"
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw]}
        found = client.post(server.url, json=request).json()["result"]
        wanted = {"jsonrpc": "2.0", "id": 2, "method": "eth_getTransactionReceipt", "params": [found]}
        for _ in range(200):
            receipt = client.post(server.url, json=wanted).json()["result"]
            if receipt is not None:
                break
            time.sleep(0.02)
        assert json.loads(json.dumps(receipt))["status"] == "0x1"
