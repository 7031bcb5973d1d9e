"""What a demonstration plays on: a folder of its own, a public chain, and four validators as four processes."""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TextIO

import httpx

from cli.errors import CliError
from contracts.access import CONSORTIUM
from genesis.dev import CONFIG_FILE, DevNetwork, make_dev
from node.processes import ROOT, LocalNodes, ProcessError, free_ports
from node.public_chain import PublicChain, start_public_chain
from tallystick.client import Client

MARK: Final = ".tally-demo"
"""Made by a demonstration, and locked while one plays; says which processes run for it."""
HOME, PUBLIC = "net", "public-chain"
VALIDATORS: Final = 4
READY_S: Final = 180.0
SETTLE_S: Final = 60.0
POLL_S: Final = 0.05
INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# An idle chain still makes a block a second, so that the newest one that matters soon has a child: the anchored log
# ends before the newest block. Members sign their chains' heads every 25 blocks.
PARAMETERS: Final = {"max_idle_ms": 1_000, "anchor_interval_blocks": 25}
PERIOD_S: Final = 8
"""A credit period lasts a calendar month; here some seconds, so that two of them pass while somebody watches."""
OUTBOX: Final = "erp-outbox"
OUTBOX_OF: Final = "erp"
_WATCHED: Final = f"""
[intake]
poll_s = 1
[[intake.folders]]
name = "{OUTBOX}"
path = "../{OUTBOX}"
still_s = 0
"""
ANCHORING: Final = {"poll_s": 1}


class Stage:
    """Folder, public chain and nodes. ``stop`` ends whatever was started, once."""

    network: DevNetwork
    nodes: LocalNodes
    public: PublicChain

    def __init__(self, directory: Path, mark: TextIO) -> None:
        self.directory = directory
        self._mark = mark
        self._chain: Future[PublicChain] | None = None
        self._nodes: LocalNodes | None = None
        self._clients: dict[str, Client] = {}

    @property
    def home(self) -> Path:
        """The consortium's folder."""
        return self.directory / HOME

    @property
    def outbox(self) -> Path:
        """The folder that the ERP's node watches: what is dropped there is taken in."""
        return self.home / OUTBOX

    @property
    def genesis(self) -> str:
        """The genesis hash, 64 digits."""
        return self.network.network_id.hex()

    @property
    def members(self) -> tuple[str, ...]:
        """Their ids, in the order of their roles."""
        return tuple(member.id for member in self.network.members)

    def open(self, say: Callable[[str], None]) -> None:
        """Found the consortium, start the public chain and the nodes; ``wait_ready`` waits for them.

        say: told why the public chain is no anvil. Raises GenesisError, PublicChainError, ProcessError.
        """
        base = free_ports(2 * VALIDATORS + 1)
        port = base + 2 * VALIDATORS
        with ThreadPoolExecutor(1) as pool:  # it may have to be fetched; meanwhile the keys are made
            self._chain = pool.submit(
                start_public_chain, self.directory / PUBLIC, port, cache=anvil_cache(self.directory), say=say
            )
            self.network = make_dev(
                self.home,
                name="Demonstration",
                members=VALIDATORS,
                observers=(),
                parties=(),
                base_port=base,
                parameters=PARAMETERS,
                period_seconds=PERIOD_S,
                anchor_rpc_url=f"http://127.0.0.1:{port}",
                anchor_settings=ANCHORING,
            )
        self.outbox.mkdir()
        with (self.home / OUTBOX_OF / CONFIG_FILE).open("a", encoding="utf-8") as config:
            config.write(_WATCHED)
        self.public = self._chain.result()
        self.nodes = self._nodes = LocalNodes(self.home, self.members)
        self.nodes.start()
        self._write({"genesis": self.genesis, "pids": self.pids()})

    def wait_ready(self) -> None:
        """Until every node is connected to enough others to agree. Raises ProcessError."""
        self.nodes.wait_ready(timeout_s=READY_S)
        self._clients = {member: Client(node.api) for member, node in self.nodes.nodes.items()}

    def pids(self) -> list[int]:
        """The processes that run: the nodes, then the public chain."""
        processes = [node.process for node in self.nodes.nodes.values()]
        return [process.pid for process in processes if process is not None] + [self.public.process.pid]

    def check(self) -> None:
        """Raise CliError when a process has ended."""
        for node in self.nodes.ended():
            raise CliError(f"the node of {node.member} ended: {node.last_words()} (see {node.log})", code="NODE_LOST")
        if self.public.process.poll() is not None:
            raise CliError(f"the public chain ended: see {self.directory / PUBLIC}", code="PUBLIC_CHAIN_LOST")

    def height(self) -> int:
        """The newest block that any node has."""
        return max(int(client.status()["height"]) for client in self._clients.values())

    def time(self) -> int:
        """Block time of the newest block, ms."""
        return max(int(client.status()["time"]) for client in self._clients.values())

    def settle(self) -> None:
        """Until every node has the newest block that any of them has now. Raises CliError."""
        self.check()
        wanted = self.height()
        deadline = time.monotonic() + SETTLE_S
        for member, client in self._clients.items():
            while client.status()["height"] < wanted:
                if time.monotonic() > deadline:
                    log = self.nodes.nodes[member].log
                    raise CliError(f"the node of {member} stays behind block {wanted}: see {log}", code="NODE_BEHIND")
                time.sleep(POLL_S)

    def state(self, *key: str | int | bytes, chain: str = CONSORTIUM, contract: str = "credit") -> Any:
        """An entry of a contract's state at the first node, None where there is none."""
        return next(iter(self._clients.values())).state(chain, contract, *key)

    def until(self, holds: Callable[[], bool], what: str, seconds: float = SETTLE_S) -> None:
        """Wait, then for all nodes. Raises CliError naming what did not come about."""
        deadline = time.monotonic() + seconds
        while not holds():
            self.check()
            if time.monotonic() > deadline:
                raise CliError(f"{what} did not come about within {seconds:.0f} s", code="STORY_FAILED")
            time.sleep(POLL_S)
        self.settle()

    def public_block_hash(self, number: int) -> str:
        """The hash of a public block as the public chain itself tells it, ``0x…``. Raises CliError."""
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": [hex(number), False]}
        try:
            with httpx.Client(trust_env=False, timeout=10) as client:
                return str(client.post(self.public.url, json=request).json()["result"]["hash"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            raise CliError(f"the public chain at {self.public.url} does not tell block {number}") from None

    def release(self) -> None:
        """Give up the folder. What has not been stopped keeps running, and the folder's mark says what that is."""
        self._close()
        self._mark.close()

    def stop(self) -> None:
        """End the nodes, then the public chain; a further ^C has to wait for it."""
        before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTS}
        try:
            self._close()
            if self._nodes is not None:
                self._nodes.stop()
            if self._chain is not None and self._chain.exception() is None:
                _end(self._chain.result().process)
            self._chain = self._nodes = None
            self._write({})
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def listening(self) -> list[str]:
        """Addresses of nodes and public chain at which something still answers."""
        urls = [f"http://{place}" for member in self.network.members for place in (member.p2p, member.api)]
        return [url for url in (*urls, self.public.url) if _answers(url)]

    def _close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients = {}

    def _write(self, value: dict[str, Any]) -> None:
        self._mark.seek(0)
        self._mark.truncate()
        json.dump(value, self._mark)
        self._mark.flush()


def claim(directory: Path, *inputs: Path) -> Stage:
    """The folder for one demonstration, emptied of an earlier one in which nothing runs. Raises CliError."""
    directory = directory.absolute()
    mark = directory / MARK
    for folder in inputs:
        if folder.resolve().is_relative_to(directory.resolve()):
            raise CliError(f"{folder} lies in {directory}, which is made anew: choose another folder with --dir")
    if directory.exists() and not mark.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise CliError(f"{directory} was not made by a demo: choose another folder with --dir, or remove it")
    directory.mkdir(parents=True, exist_ok=True)
    file = mark.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise CliError(f"another demo plays in {directory}: wait, or choose another folder with --dir") from None
    _refuse_running(directory, file)
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != mark:
            path.unlink()
    stage = Stage(directory, file)
    stage._write({})
    return stage


def anvil_cache(directory: Path) -> Path:
    """Where anvil is kept once it is fetched: beside the sources in a clone, else in the demonstration's folder."""
    return ROOT / ".anvil" if (ROOT / "pyproject.toml").exists() else directory / "anvil"


def _answers(url: str) -> bool:
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def _refuse_running(directory: Path, file: TextIO) -> None:
    """Raise CliError while nodes of an earlier demonstration run in a folder."""
    file.seek(0)
    try:
        left = json.loads(file.read() or "{}")
        nodes = LocalNodes(directory / HOME).nodes.values() if left else ()
    except (ValueError, ProcessError):
        return
    for node in nodes:
        status = node.status()
        if status is not None and status["network_id"] == left["genesis"]:
            pids = " ".join(str(pid) for pid in left["pids"])
            raise CliError(
                f"an earlier demo still runs in {directory}: end it with `kill {pids}`, or choose another with --dir"
            )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
