"""Anchoring killed with SIGKILL at every step, again and again: no range lost, nothing final unknown to the chain.

    python -m tests.anchor_kills --times 20 [--kind evm|rfc3161|witness] [--anvil]

What is outside is a process of its own: the public chain, the time-stamp authority (``openssl ts``), or the witness.
Each case is a process too: it opens the consortium's ledger from disk, seals blocks until an anchor is due, and
anchors as a node does, until the kernel kills it at the chosen step: before or after a call of the backend, a write
to disk, a block of the consortium. Then another process goes on, which may be killed as well, or finds the public
chain reorganised, and a last one finishes. Afterwards the parent holds ledger, journals, exported files and what is
outside against each other. ``tests.ots_kills`` does the same with OpenTimestamps, whose steps wait for blocks.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import httpx
import structlog
import trio

from chain.anchor import Anchor, Trusted
from chain.block import CONSORTIUM
from chain.certificate import Certificate, VoteKind, vote_message
from chain.codec import encode
from chain.crypto import SigningKey, sha256
from chain.identity import genesis_hash
from chain.ledger import META_NETWORK, Ledger
from chain.store import LevelStore
from chain.transaction import Transaction, parse
from node import anchor_line
from node.anchor_backend import Backend
from node.anchor_journal import AnchorJournal, write_synced
from node.anchor_key import DEVELOPMENT_ACCOUNTS, EvmKey
from node.anchor_ledger import Submit, open_anchorer
from node.config import Anchor as AnchorSettings
from node.mempool import Admission
from node.public_chain import anvil_command, find_anvil, install_anvil
from tests.anchor_bench import ANVIL_HOME, free_port
from tests.contracts.small_consortium import document
from tests.outside import LocalAuthority, LocalWitness

MEMBER: Final = "erp"
INTERVAL: Final = 5
WITNESS: Final = "witness.example"
SHARE: Final = 0.25
"""Of the cases that are reorganised, and of those that are killed twice."""
BLOCK_SECONDS: Final = 0.02
ROUNDS: Final = 2_000
"""Most rounds of a process until it must be done."""
CALLS: Final = ("begin", "prepare", "submit", "poll", "press", "finalize", "export", "confirmation")
DONE: Final = 0
MODEL: Final = Path(__file__).resolve().parents[1] / "genesis/models/standard-1.json"
SETTINGS: Final = {"resend_s": 1}


def key(name: str) -> SigningKey:
    """The same key in every process."""
    return SigningKey.from_seed(sha256(name.encode()))


VOTE: Final = key("vote")


class Steps:
    """Where a process is; it is killed at the step with this name, or tells all names it came by."""

    def __init__(self, fatal: str | None, told: Path | None = None) -> None:
        self._fatal = fatal
        self._told = told
        self._seen: dict[str, None] = {}

    def reach(self, name: str) -> None:
        """Come by a step; the end of the process where it is the fatal one."""
        if name == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._told is not None and name not in self._seen:
            self._seen[name] = None
            self._told.write_text("\n".join(self._seen))

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with a step before and one after it."""

        def stepped(*arguments: Any) -> Any:
            self.reach(f"before {name}")
            result = function(*arguments)
            self.reach(f"after {name}")
            return result

        return stepped

    def around_async(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same for a coroutine function."""

        async def stepped(*arguments: Any) -> Any:
            self.reach(f"before {name}")
            result = await function(*arguments)
            self.reach(f"after {name}")
            return result

        return stepped


def founding() -> dict[str, Any]:
    """The genesis document, with one validator."""
    base = document()
    for member in base["members"]:
        member["signers"] = [{"key": key(member["id"]).public, "rights": ["*"]}]
        member["validator"] = VOTE.public if member["id"] == MEMBER else None
    base["parameters"] = {**base["parameters"], "anchor_development": 1}
    base["models"] = [json.loads(MODEL.read_text())]
    return base


class Home:
    """The ledger on disk of the only validator: what is submitted is in the next block, and its turn is always."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        store = self._store = LevelStore(folder / "ledger", create=True)
        self.waiting: list[Transaction] = []
        known = store.get(META_NETWORK)
        self.ledger = Ledger.create(store, founding()) if known is None else Ledger(store, known)

    def close(self) -> None:
        """Give the folder free for the next process."""
        self._store.close()

    def submit(self, wire: bytes) -> Admission:
        """Take a transaction into memory, where a kill loses it."""
        transaction = parse(wire)
        self.waiting.append(transaction)
        return Admission(transaction.id, "accepted")

    def seal(self) -> None:
        """The next block, with everything submitted."""
        ledger, own = self.ledger, self.waiting
        self.waiting = []
        now = max(time.time_ns() // 1_000_000, ledger.head.time + 1)
        block, outcome = ledger.build(proposer=MEMBER, time=now, member_txs={}, consortium_txs=own)
        validators = ledger.validators()
        message = vote_message(
            ledger.network_id, validators.epoch, VoteKind.COMMIT, block.header.height, 0, block.digest
        )
        seals = ((MEMBER, VOTE.sign(message)),)
        certificate = Certificate(block.header.height, 0, block.digest, validators.epoch, seals)
        ledger.commit(block, certificate, outcome, own)
        failed = [receipt.message for receipt in outcome.receipts(CONSORTIUM) if receipt.status]
        if failed:
            raise AssertionError(f"a confirmation failed: {failed}")

    def read(self, *parts: Any) -> Any:
        """A value of the anchor contract."""
        return self.ledger.state(CONSORTIUM, encode(["anchor", *parts]))


@contextmanager
def stepped(steps: Steps) -> Iterator[None]:
    """Steps around everything that a crash may come before or after."""
    kept: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, made: Any) -> None:
        kept.append((owner, name, getattr(owner, name)))
        setattr(owner, name, made)

    for backend in every_backend(Backend):
        for call in CALLS:
            own = backend.__dict__.get(call)
            if own is not None:
                wrap = steps.around if call in ("export", "confirmation") else steps.around_async
                put(backend, call, wrap(f"{backend.__name__}.{call}", own))
    save = AnchorJournal.save

    def saved(self: AnchorJournal, book: Any) -> None:
        states = "+".join(f"{job.backend} {job.state}" for job in book.jobs) or "nothing"
        steps.around(f"journal of {states}", save)(self, book)

    put(AnchorJournal, "save", saved)
    put(os, "replace", steps.around("replacing a file", os.replace))
    put(anchor_line, "write_synced", steps.around("writing an export", write_synced))
    put(Home, "submit", steps.around("submitting a confirmation", Home.submit))
    put(Ledger, "commit", committed(steps, Ledger.commit))
    try:
        yield
    finally:
        for owner, name, value in reversed(kept):
            setattr(owner, name, value)


@contextmanager
def patched(owner: Any, name: str, made: Any) -> Iterator[None]:
    """Deriving accounts from their words takes half a second, in each process: they are inherited."""
    kept = getattr(owner, name)
    setattr(owner, name, made)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def committed(steps: Steps, commit: Callable[..., Any]) -> Callable[..., Any]:
    """Blocks that hold a confirmation are steps."""

    def stepped_commit(self: Ledger, block: Any, certificate: Any, outcome: Any, own: Any) -> None:
        name = "a block with a confirmation" if own else "a block"
        steps.around(name, commit)(self, block, certificate, outcome, own)

    return stepped_commit


def every_backend(base: type[Any]) -> Iterator[type[Any]]:
    """All backend classes there are."""
    for kind in base.__subclasses__():
        yield kind
        yield from every_backend(kind)


async def anchor(home: Home, settings: dict[str, Any], submit: Submit) -> None:
    """Anchor as a node does, until all that is due here is final and confirmed."""
    anchorer = open_anchorer(
        home.ledger,
        submit,
        member=MEMBER,
        signer=key(MEMBER),
        settings=AnchorSettings.model_validate({**SETTINGS, **settings}),
        passphrase="",
        directory=home.folder / "anchors",
    )
    if anchorer is None:
        raise AssertionError("the settings name no place")
    for _ in range(INTERVAL + 1):
        home.seal()
    for _ in range(ROUNDS):
        due = home.read("interval")["height"]
        await anchorer.step()
        if home.waiting or home.ledger.height <= due:  # the log reaches to the block before the newest
            home.seal()
        status = anchorer.status()
        if not status["queue"] and all(row["confirmed"] >= due for row in status["backends"]):
            await anchorer.close()
            return
        await trio.sleep(BLOCK_SECONDS)
    raise AssertionError(f"not done after {ROUNDS} rounds: {anchorer.status()}")


def run_process(folder: Path, settings: dict[str, Any], fatal: str | None, told: Path | None = None) -> bool:
    """One process; whether it came to its end, False where it was killed. Raises AssertionError where it failed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
            home = Home(folder)
            with stepped(Steps(fatal, told)):
                trio.run(anchor, home, settings, home.submit)
            code = DONE
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) != signal.SIGKILL:
            raise AssertionError(f"a process ended by signal {os.WTERMSIG(status)}")
        return False
    if os.WEXITSTATUS(status) != DONE:
        raise AssertionError(f"a process failed after it had been killed at: {fatal}")
    return True


class Public:
    """The public chain's process. settings: of ``[anchor]``, with it in them."""

    def __init__(self, anvil: bool) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.settings: dict[str, Any] = {"rpc_urls": [self.url], "development_account": 0, "confirmations": 2}
        if anvil:
            command = anvil_command(find_anvil(ANVIL_HOME) or install_anvil(ANVIL_HOME), port)
            command[command.index("--block-time") + 1] = "0.05"
        else:
            command = [sys.executable, "-m", "node.devchain", "--port", str(port)]
            command += ["--block-time", str(BLOCK_SECONDS)]
        self._anvil = anvil
        self._client = httpx.Client(trust_env=False, timeout=30)
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(500):
            try:
                self.call("eth_chainId")
                return
            except httpx.HTTPError:
                time.sleep(0.02)
        raise AssertionError("the public chain did not start")

    def close(self) -> None:
        """End it."""
        self._client.close()
        self._process.kill()
        self._process.wait()

    def call(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._client.post(self.url, json=request).json()
        if "error" in answer:
            raise AssertionError(answer)
        return answer["result"]

    def reorganise(self) -> None:
        """Take the newest block away again."""
        if self._anvil:
            self.call("anvil_reorg", 1, [])
        else:
            self.call("tally_rewind", hex(1))

    def payloads(self) -> Counter[str]:
        """How often each calldata stands on the chain."""
        found: Counter[str] = Counter()
        for number in range(int(self.call("eth_blockNumber"), 16) + 1):
            block = self.call("eth_getBlockByNumber", hex(number), True)
            found.update(transaction["input"] for transaction in block["transactions"])
        return found

    def block_hash(self, number: int) -> bytes:
        """As the chain has it now."""
        return bytes.fromhex(self.call("eth_getBlockByNumber", hex(number), False)["hash"][2:])


class Service:
    """What the parent knows of the process with authority and witness; otherwise as ``Public``."""

    def __init__(self, kind: str, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.anchor_kills", "--serve", str(folder)]
        # Whoever is killed leaves a connection behind, which the server would complain about.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self.settings: dict[str, Any] = json.loads(self._process.stdout.readline())[kind]
        root = ssl.PEM_cert_to_DER_cert((folder / "root.pem").read_text())
        self.trusted = Trusted(tsa_roots=(root,), witnesses={WITNESS: key(WITNESS).public}, development=True)

    def close(self) -> None:
        """End it: it reads to the end of its input."""
        self._process.communicate()

    def reorganise(self) -> None:
        """What a service has given is given."""


def serve(folder: Path) -> None:
    """The process with authority and witness: tells the settings, then serves until its input ends."""
    network = genesis_hash(founding())
    keys = {f"tally/{network.hex()}": [key(MEMBER).public]}
    with LocalAuthority(folder) as authority, LocalWitness(WITNESS, key(WITNESS), keys) as witness:
        tsa = {"name": "authority", "root": str(folder / "root.pem"), "url": authority.url}
        other = {"name": "witness", "key": witness.verifier_key, "url": witness.url}
        print(json.dumps({"rfc3161": {"tsa": [tsa]}, "witness": {"witness": [other]}}), flush=True)
        sys.stdin.read()


def check(folder: Path, public: Public | Service | None) -> int:
    """Hold everything against everything after a last process; how many final anchors there are.

    No range lost: all that is due is anchored. Nothing final is unknown: each exported anchor is confirmed, and each
    confirmation is exported here or made by nobody. Each verifies by what is outside, where that is given.
    """
    home = Home(folder)
    try:
        due = home.read("interval")["height"]
        assert home.read("reached"), "nothing is anchored"
        behind = {place: size for place, (size, _) in home.read("reached").items() if size < due}
        assert not behind, f"blocks to {due} are due, and there is less at: {behind}"
        rows = [home.read("anchor", number) for number in range(home.read("anchor_count"))]
        exported = set()
        for path in sorted(folder.glob("anchors/final/*/*.json")):
            anchor = Anchor.from_json(json.loads(path.read_bytes()))
            [row] = [each for each in rows if each["proof"] == anchor.proof]
            exported.add(row["proof"])
            if isinstance(public, Public):
                blocks = {row["chain_id"]: {row["block_number"]: public.block_hash(row["block_number"])}}
                trusted = Trusted(blocks, frozenset({row["sender"]}), development=True)
                assert anchor.verify(home.ledger.network_id, trusted).time == row["public_time"]
            elif public is not None:
                assert anchor.verify(home.ledger.network_id, public.trusted).time == row["public_time"]
        assert exported == {row["proof"] for row in rows}, "a confirmation has no exported anchor"
        assert len(exported) == len(rows), "an anchor is confirmed twice"
        for path in folder.glob("anchors/*.journal"):
            assert not AnchorJournal(path).book.jobs, f"{path.name} has unfinished anchors"
        return len(rows)
    finally:
        home.close()


def steps_of(folder: Path, settings: dict[str, Any]) -> list[str]:
    """The names of all steps that one anchor's way comes by, in order."""
    told = folder / "steps"
    assert run_process(folder / "traced", settings, None, told)
    return told.read_text().split("\n")


def run(times: int, kind: str = "evm", anvil: bool = False, *, every: int = 1) -> dict[str, int]:
    """The measurement. every: only each so-manieth step, for a small instance. Raises AssertionError."""
    chooser = random.Random(5)
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        accounts = [EvmKey.development(index, base) for index in range(DEVELOPMENT_ACCOUNTS)]
        stack.enter_context(patched(EvmKey, "development", lambda index, _folder: accounts[index]))
        chain = stack.enter_context(closing(Public(anvil))) if kind == "evm" else None
        with closing(Service(kind, base / "traced service")) if chain is None else nullcontext(chain) as outside:
            names = steps_of(base, outside.settings)
        for number in range(times):
            folder = base / f"time {number}"
            # A service remembers the consortium that it served, and each time is another one's history.
            outside = chain or stack.enter_context(closing(Service(kind, base / f"service {number}")))
            for fatal in names[number % every :: every]:
                counts["killed"] += not run_process(folder, outside.settings, fatal)
                if chooser.random() < SHARE:
                    outside.reorganise()
                    counts["reorganised"] += chain is not None
                if chooser.random() < SHARE:
                    counts["killed again"] += not run_process(folder, outside.settings, chooser.choice(names))
                assert run_process(folder, outside.settings, None)
            counts["anchors"] += check(folder, outside)
        if chain is not None:
            payloads = chain.payloads()
            assert max(payloads.values()) == 1, "a checkpoint was sent twice"
            counts["public transactions"] = sum(payloads.values())
    return {"steps": len(names), **counts}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--kind", choices=("evm", "rfc3161", "witness"), default="evm")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--anvil", action="store_true", help="a real anvil instead of node.devchain")
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve)
        return
    began = time.monotonic()
    counts = run(arguments.times, arguments.kind, arguments.anvil)
    print(", ".join(f"{name}: {count}" for name, count in counts.items()), f"in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
