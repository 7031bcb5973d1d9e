"""The ``tally`` command under test, a development folder, a sealed ledger without nodes, and a network that runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chain import keys, proof
from chain.certificate import Certificate, VoteKind, vote_message
from chain.codec import encode
from chain.crypto import SigningKey
from chain.ledger import Ledger
from chain.store import MemoryStore
from chain.transaction import Transaction, batch_args, make_body, sign
from cli.main import main
from genesis import ceremony
from genesis.dev import DevNetwork, Party, make_dev
from node.processes import LocalNodes, free_ports

PASSPHRASE = "correct horse"
KESTREL = Party("kestrel", "Kestrel Pumps & Valves", ("GB-COH:99900217",))
MARLOW = Party("marlow", "Marlow Vale Water", ("GB-COH:99900101",))
BASE_PORT = 19_000
EXAMPLE = Path(__file__).resolve().parents[2] / "genesis/example/documents"


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON value that --json promises."""
        return json.loads(self.out)


Tally = Callable[..., Result]


def run(*arguments: str | Path, **environment: str | None) -> Result:
    """One command; only the TALLY_ variables given here are set."""
    clean: dict[str, str | None] = {name: None for name in os.environ if name.startswith("TALLY_")}
    done = CliRunner().invoke(main, [str(item) for item in arguments], env={**clean, **environment})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Result(done.exit_code, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def tally() -> Tally:
    """Run ``tally`` in this process: ``tally("keys", "show", path, TALLY_PASSPHRASE="…")``."""
    return run


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> DevNetwork:
    """A development folder that is read only: its nodes are never started."""
    folder = tmp_path_factory.mktemp("dev") / "net"
    return make_dev(folder, parties=(KESTREL, MARLOW), base_port=BASE_PORT, passphrase=PASSPHRASE)


class Sealed:
    """A ledger over the dev folder's genesis, certified with that folder's validator keys; no node runs."""

    def __init__(self, dev: DevNetwork) -> None:
        self.document = ceremony.load_sealed(dev.directory / "genesis.json").document
        self.ledger = Ledger.create(MemoryStore(), self.document)
        self.network_id = self.ledger.network_id
        self._dev = dev
        self._keys: dict[tuple[str, str], SigningKey] = {}
        self._serial = 0

    def key(self, member: str, purpose: str = "signer") -> SigningKey:
        """A member's key, opened once."""
        if (member, purpose) not in self._keys:
            path = self._dev.directory / member / "keys" / f"{purpose}.json"
            self._keys[member, purpose] = keys.load(path, PASSPHRASE)
        return self._keys[member, purpose]

    def make(
        self, member: str, chain: str, method: str, args: dict[str, Any], records: tuple[bytes, ...] = ()
    ) -> Transaction:
        """A signed transaction ``contract.method``."""
        self._serial += 1
        contract, name = method.split(".")
        body = make_body(
            network_id=self.network_id,
            chain=chain,
            contract=contract,
            method=name,
            args=batch_args(list(records)) if records else args,
            signers=[self.key(member).public],
            nonce=self._serial.to_bytes(16, "big"),
            valid_until=self.ledger.head.time + 60_000,
        )
        return sign(body, [self.key(member)], list(records))

    def seal(self, *transactions: Transaction) -> None:
        """Put them into the next block."""
        member_txs: dict[str, list[Transaction]] = {}
        for transaction in transactions:
            if transaction.chain != "consortium":
                member_txs.setdefault(transaction.chain, []).append(transaction)
        shared = [transaction for transaction in transactions if transaction.chain == "consortium"]
        block, outcome = self.ledger.build(
            proposer="erp", time=self.ledger.head.time + 1_000, member_txs=member_txs, consortium_txs=shared
        )
        validators = self.ledger.validators()
        message = vote_message(self.network_id, validators.epoch, VoteKind.COMMIT, block.height, 0, block.digest)
        seals = tuple((member, self.key(member, "validator").sign(message)) for member in sorted(validators.ids)[:3])
        certificate = Certificate(block.height, 0, block.digest, validators.epoch, seals)
        ordered = [tx for chain in sorted(member_txs) for tx in member_txs[chain]] + shared
        self.ledger.commit(block, certificate, outcome, ordered)


def invoice(number: str, total: str, template_version: int = 1) -> bytes:
    """An invoice record of the general-trade template, as small as it may be."""
    source = ["test", "test", "1", bytes(32), 1]
    fields = {"issue_date": "2025-05-01", "currency": "GBP", "total": total}
    return encode(
        ["tally/record", 1, "invoice", "GB-COH:99900217", number, "GB-COH:99900217", "GB-COH:99900101",
         "general-trade", template_version, "2025-05-01", [["order", "", "PO-1"]], source, fields, None, None]
    )  # fmt: skip


@dataclass(frozen=True)
class Proofs:
    """Proof bytes from the sealed ledger, and the genesis hash they are checked with."""

    genesis: str
    record: bytes
    transaction: bytes
    failed: bytes
    present: bytes
    absent: bytes


@pytest.fixture(scope="session")
def proofs(dev: DevNetwork) -> Proofs:
    """Proofs of a record, a transaction that succeeded, one that failed, a state entry, an absence."""
    sealed = Sealed(dev)
    record = invoice("INV-1", "120.00")
    batch = sealed.make("erp", "erp", "records.submit", {}, (record, invoice("INV-2", "80.00")))
    party = sealed.make(
        "erp", "consortium", "registry.register_party", {"id": "third", "name": "Third", "identifiers": ["X:3"]}
    )
    failing = sealed.make("erp", "consortium", "registry.register_party", {"id": "third"})
    sealed.seal(batch, party, failing)
    sealed.seal()
    from chain.crypto import sha256

    ledger = sealed.ledger
    return Proofs(
        genesis=sealed.network_id.hex(),
        record=proof.prove_record_by_id(ledger, sha256(record)),
        transaction=proof.prove_transaction(ledger, party.id),
        failed=proof.prove_transaction(ledger, failing.id),
        present=proof.prove_state(ledger, "consortium", encode(["registry", "party", "third"])),
        absent=proof.prove_state(ledger, "erp", encode(["records", "record", "invoice", "GB-COH:99900217", "INV-9"])),
    )


@dataclass(frozen=True)
class Network:
    """Four validators and an observer, running as processes."""

    home: Path
    genesis: str
    nodes: LocalNodes

    def tally(self, member: str, *arguments: str | Path) -> Result:
        """A command as a member or party of this network."""
        return run(*arguments, "--home", self.home, "--as", member)

    def done(self, member: str, *arguments: str | Path) -> Any:
        """The same with --json; it must succeed. Gives its value."""
        result = self.tally(member, *arguments, "--json")
        assert result.code == 0, result.err
        return result.json

    @contextmanager
    def paused(self, *members: str) -> Iterator[None]:
        """These nodes stand still meanwhile (SIGSTOP): two of four, and there is no quorum."""
        running = [self.nodes.nodes[member].process for member in members]
        for process in running:
            assert process is not None
            os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in running:
                assert process is not None
                os.kill(process.pid, signal.SIGCONT)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A network for the whole test run; each test uses names of its own."""
    home = tmp_path_factory.mktemp("network") / "net"
    ports = free_ports(2 * 5)  # four with a vote and the auditor; another run of these tests may be on
    made = make_dev(home, parties=(KESTREL, MARLOW), base_port=ports, passphrase=PASSPHRASE)
    with LocalNodes(home) as nodes:
        nodes.start()
        nodes.wait_ready(timeout_s=120)
        yield Network(home, made.network_id.hex(), nodes)
    shutil.rmtree(home, ignore_errors=True)
