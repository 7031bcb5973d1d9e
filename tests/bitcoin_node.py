"""A real Bitcoin node in regtest: ``bitcoind`` where there is one, and bcoin, another full node, from npm.

Blocks are made here and handed in with ``submitblock``, so that the node's own rules judge headers, Merkle roots,
heights and the coins that are spent. No wallet is needed: rewards go to anybody, and mature after a hundred blocks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from chain.bitcoin import double_sha256
from node.processes import free_ports
from tests.bitcoin_chain import SPACING, BitcoinChain, compact_size, op_return

MATURITY: Final = 100
BCOIN: Final = "bcoin@1.0.2"
BCOIN_HOME: Final = Path(__file__).resolve().parents[1] / ".bcoin"
START_S: Final = 30.0
INSTALL_S: Final = 120
# bcoin's compiled add-ons are optional, but two are asked for without a way around: one keeps data on disk, which a
# chain in memory does not, the other is a hash that there is in JavaScript as well.
_PRELOAD: Final = """
const Module = require('module');
const load = Module._load;
Module._load = function (name, parent, main) {
  if (name === 'leveldown') return {};
  if (name === './binding' && parent && /mrmr.lib/.test(parent.filename)) throw new Error('not compiled');
  return load(name, parent, main);
};
"""


class NoNodeError(Exception):
    """The node cannot be had here; one line that says why."""


class NodeChain(BitcoinChain):
    """The chain of a real node; what is mined here is known there as soon as the node took it."""

    def __init__(self, url: str) -> None:
        super().__init__(start=int(time.time()) - 500 * SPACING)
        self._rpc = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def close(self) -> None:
        self._rpc.close()

    def ask(self, method: str, *params: Any) -> Any:
        answer = self._rpc.post("/", json={"id": 1, "method": method, "params": params}).json()
        assert answer["error"] is None, answer["error"]
        return answer["result"]

    def carrying(self, data: bytes) -> bytes:
        """Spends the reward of the lowest block whose reward is not spent."""
        self.carried += 1
        assert len(self.headers) > self.carried + MATURITY, "no reward is mature yet"
        return op_return(data, self.ids[self.carried][0] + bytes(4))

    def accept(self, header: bytes, transactions: list[bytes]) -> None:
        block = header + compact_size(len(transactions)) + b"".join(transactions)
        refusal = self.ask("submitblock", block.hex())
        assert refusal is None, refusal
        super().accept(header, transactions)
        assert self.ask("getbestblockhash") == double_sha256(header)[::-1].hex()


@contextmanager
def running(kind: str, folder: Path) -> Iterator[str]:
    """A node in regtest while the block runs; its URL with user and password. Raises NoNodeError."""
    port = free_ports(2)
    peers = port + 1
    folder.mkdir(parents=True, exist_ok=True)
    command, environment = (_bitcoind if kind == "bitcoind" else _bcoin)(folder, port, peers)
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment}
        )
    try:
        url = f"http://user:password@127.0.0.1:{port}"
        _wait(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _bitcoind(folder: Path, port: int, peers: int) -> tuple[list[str], dict[str, str]]:
    binary = os.environ.get("TALLY_BITCOIND") or shutil.which("bitcoind")
    if binary is None:
        raise NoNodeError(
            "no bitcoind: Debian has no package of it; set TALLY_BITCOIND to one, or put it on the PATH"
        )
    options = ["-regtest", "-server", "-listen=0", "-rpcuser=user", "-rpcpassword=password", "-disablewallet"]
    return [binary, *options, f"-datadir={folder}", f"-rpcport={port}", f"-port={peers}"], {}


def _bcoin(folder: Path, port: int, _peers: int) -> tuple[list[str], dict[str, str]]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NoNodeError("no bcoin: install nodejs and npm")
    program = BCOIN_HOME / "node_modules/bcoin/bin/node"
    if not program.exists():
        BCOIN_HOME.mkdir(exist_ok=True)
        quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        install = [npm, "install", "--prefix", str(BCOIN_HOME), BCOIN, *quiet]
        done = subprocess.run(install, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode:
            raise NoNodeError(
                f"no bcoin: npm could not fetch it: {(done.stderr.splitlines() or ['no reason given'])[0]}"
            )
    preload = folder / "preload.js"
    preload.write_text(_PRELOAD)
    options = ["--network=regtest", "--memory=true", "--no-auth=true", "--listen=false", "--no-wallet=true"]
    command = [node, "-r", str(preload), str(program), *options, "--workers=false"]
    return [*command, f"--http-port={port}", f"--prefix={folder}"], {"NODE_BACKEND": "js"}


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            answer = httpx.post(url, json={"id": 1, "method": "getblockcount", "params": []}, trust_env=False)
            if answer.json()["result"] == 0:
                return
        except (httpx.HTTPError, ValueError, KeyError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"the node did not start: {log.read_text(errors='replace')[-500:]}")
