"""What tests of anchoring share: public-chain nodes under their hand, and a consortium with a clock of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from chain.anchor import Anchor, Trusted
from contracts import anchor_kinds
from contracts.anchor_kinds import Reached
from node.anchor_backend import Backend, Check, Job
from node.anchor_duty import Standing
from node.anchor_evm import EvmBackend, EvmChain
from node.anchor_journal import AnchorJournal
from node.anchor_key import EvmKey
from node.anchor_line import Consortium, Pace
from node.anchoring import Anchorer
from node.devchain import DevServer
from node.devchain_blocks import DevChain
from node.public_chain import anvil_command, find_anvil, install_anvil

NETWORK = bytes(range(32))
ANVIL_HOME = Path(__file__).resolve().parents[1] / ".anvil"
START = 1_800_000_000_000


def block(height: int) -> tuple[int, bytes, bytes]:
    return height, sha256(b"block %d" % height).digest(), sha256(b"certificate %d" % height).digest()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PublicNode:
    """A public-chain node under the test's hand."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def call(self, method: str, *params: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = httpx.post(self.url, json=request, trust_env=False, timeout=30).json()
        assert "error" not in answer, answer
        return answer["result"]

    def sent_by(self, key: EvmKey) -> int:
        return int(self.call("eth_getTransactionCount", f"0x{key.address.hex()}", "latest"), 16)

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def mine(self, count: int = 1) -> None: ...

    def reorganise(self, depth: int) -> None: ...


class Devchain(PublicNode):
    """The development chain; its blocks outlive a stop, as a public chain's do an outage."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = DevChain()
        self.server: DevServer | None = None

    def start(self) -> None:
        self.server = DevServer(self.chain, port=self.port, block_time=3600)
        self.server.__enter__()

    def stop(self) -> None:
        if self.server is not None:
            self.server.__exit__(None, None, None)
            self.server = None

    def mine(self, count: int = 1) -> None:
        for _ in range(count):
            self.chain.mine()

    def reorganise(self, depth: int) -> None:
        self.call("tally_rewind", hex(depth))


class Anvil(PublicNode):
    """Foundry's node; one that is started again begins a new chain."""

    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = anvil_command(find_anvil(ANVIL_HOME) or install_anvil(ANVIL_HOME), self.port)
        timed = command.index("--block-time")
        command[timed : timed + 2] = ["--no-mining"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(500):
            try:
                self.call("eth_chainId")
                return
            except httpx.HTTPError:
                time.sleep(0.02)
        raise AssertionError("anvil did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def mine(self, count: int = 1) -> None:
        self.call("anvil_mine", hex(count))

    def reorganise(self, depth: int) -> None:
        self.call("anvil_reorg", depth, [])


def _has_anvil() -> bool:
    return find_anvil(ANVIL_HOME) is not None or shutil.which("npm") is not None


NODES = [
    Devchain,
    pytest.param(
        Anvil,
        marks=[
            pytest.mark.slow,
            pytest.mark.skipif(not _has_anvil(), reason="neither anvil nor npm to fetch it on this machine"),
        ],
    ),
]


class Loop:
    """One event loop for the length of a test, in a thread, so that connections live from call to call."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._main,))
        self._thread.start()
        assert self._ready.wait(10)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        self._ready.set()
        await self._stop.wait()

    def run(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return trio.from_thread.run(function, *arguments, trio_token=self._token)

    def stop(self) -> None:
        trio.from_thread.run_sync(self._stop.set, trio_token=self._token)
        self._thread.join()


class Bench:
    """A consortium's side of the anchor: blocks, clock, what was confirmed."""

    def __init__(self, folder: Path, loop: Loop) -> None:
        self.loop = loop
        self.made: list[Anchorer] = []
        self.folder = folder
        self.key = EvmKey.development(0, folder)
        self.blocks = [block(height) for height in range(1, 100)]
        self.tip = 10
        self.interval = (1, 8)
        self.rank: int | None = 0
        self.now = START
        self.confirmed: list[dict[str, Any]] = []
        self.refuses = False

    def standing(self) -> Standing:
        reached: dict[str, Reached] = {}
        for claim in self.confirmed:
            place = anchor_kinds.place(claim["backend"], claim)
            reached[place] = max(reached.get(place, Reached(0, 0)), Reached(claim["size"], START))
        size = max((entry.size for entry in reached.values()), default=0)
        return Standing(*self.interval, size, START if size else 0, self.rank, reached, {})

    def source(self, first: int, limit: int) -> list[tuple[int, bytes, bytes]]:
        return self.blocks[first - 1 : min(first - 1 + limit, self.tip)]

    async def confirm(self, claim: dict[str, Any]) -> None:
        if self.refuses:
            raise RuntimeError("the ledger takes nothing now")
        self.confirmed.append({"by": "erp", "time": self.now, **claim})

    def known(self, place: str, proof: bytes) -> bool:
        there = [(anchor_kinds.place(claim["backend"], claim), claim["proof"]) for claim in self.confirmed]
        return (place, proof) in there

    def consortium(self) -> Consortium:
        return Consortium(self.source, self.confirm, self.standing, lambda _number: (), self.known)

    def anchorer(self, *urls: str, takeover_seconds: int = 300, **changes: Any) -> Anchorer:
        settings = {"key": self.key, "senders": frozenset({self.key.address}), "confirmations": 3, **changes}
        return self.runner(EvmBackend("evm", EvmChain(urls, **settings), NETWORK), takeover_seconds=takeover_seconds)

    def runner(self, *backends: Backend, takeover_seconds: int = 300) -> Anchorer:
        anchorer = Anchorer(
            backends,
            self.folder,
            NETWORK,
            self.consortium(),
            pace=Pace(takeover_seconds=takeover_seconds),
            now=lambda: self.now,
        )
        self.made.append(anchorer)
        return anchorer

    def rounds(self, anchorer: Anchorer, count: int = 1) -> None:
        for _ in range(count):
            self.loop.run(anchorer.step)

    def check(self, anchorer: Anchorer, claim: dict[str, Any]) -> Check:
        checked: Check = self.loop.run(anchorer.check, claim)
        return checked

    def job(self, size: int = 8, name: str = "evm") -> Any:
        """The job as the disk has it."""
        return AnchorJournal(self.folder / f"{name}.journal").book.job(size)

    def export(self, size: int = 8, name: str = "evm") -> Anchor:
        return Anchor.from_json(json.loads((self.folder / f"final/{size:012}/{name}.json").read_bytes()))

    def trusted(self, **changes: Any) -> Trusted:
        """What a verifier brings who believes the confirmed block."""
        [claim] = self.confirmed
        blocks = {claim["chain_id"]: {claim["block_number"]: claim["block_hash"]}}
        found = {"evm_blocks": blocks, "evm_senders": frozenset({self.key.address}), "development": True}
        return Trusted(**{**found, **changes})


def mined_hash(job: Job) -> Any:
    return job.data["block_hash"]
