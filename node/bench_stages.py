"""What each stage of a replica costs, in one process: the table beside the bench's figures."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from chain import keys
from chain.block import Block
from chain.certificate import Certificate, VoteKind, vote_message
from chain.crypto import SigningKey
from chain.ledger import Ledger
from chain.store import LevelStore
from chain.transaction import check_signatures, parse
from genesis import ceremony
from genesis.dev import make_dev

MEMBER = "erp"


def measure(transactions: int, blocks: int, batch: int = 1) -> dict[str, float]:
    """Medians in microseconds a record, over ``blocks`` blocks of so many transactions of ``batch`` records each.

    Processor time, so that what else the machine does disturbs it little.
    """
    from node.bench import sample_batch, sample_transaction

    with tempfile.TemporaryDirectory(prefix="tally-stages-") as name:
        folder = Path(name)
        network = make_dev(folder / "network", observers=(), parties=())
        passphrase = (network.directory / "passphrase").read_text().strip()
        document = ceremony.load_sealed(network.directory / "genesis.json").document
        ledger = Ledger.create(LevelStore(folder / "ledger", create=True), document)
        signer = keys.load(network.directory / MEMBER / "keys" / "signer.json", passphrase)
        validators = {
            member.id: keys.load(network.directory / member.id / "keys" / "validator.json", passphrase)
            for member in network.members
        }
        rows: dict[str, list[float]] = {}
        for number in range(blocks):
            first = number * transactions * batch
            wires = [
                sample_transaction(ledger.network_id, MEMBER, signer, sample_batch(first + place * batch, batch)).wire
                for place in range(transactions)
            ]
            for stage, seconds in _one_block(ledger, validators, wires).items():
                rows.setdefault(stage, []).append(seconds / (transactions * batch) * 1e6)
        ledger.close()
    costs = {stage: round(statistics.median(values), 1) for stage, values in rows.items()}
    return {**costs, "total": round(sum(costs.values()), 1)}


def _one_block(ledger: Ledger, validators: dict[str, SigningKey], wires: list[bytes]) -> dict[str, float]:
    clock = time.process_time
    start = clock()
    parsed = [parse(wire) for wire in wires]
    decoded = clock()
    for transaction in parsed:
        check_signatures(transaction)
    verified = clock()
    at = max(ledger.head.time + 1, time.time_ns() // 1_000_000)
    block, outcome = ledger.build(proposer=MEMBER, time=at, member_txs={MEMBER: parsed}, consortium_txs=[])
    executed = clock()
    Block.decode(block.encoded)
    read = clock()
    group = ledger.validators()
    message = vote_message(ledger.network_id, group.epoch, VoteKind.COMMIT, block.height, 0, block.digest)
    seals = tuple((member, validators[member].sign(message)) for member in group.ids)
    certificate = Certificate(block.height, 0, block.digest, group.epoch, seals)
    before = clock()
    ledger.commit(block, certificate, outcome, parsed)
    return {
        "decode and canonical check": decoded - start,
        "signature": verified - decoded,
        "execute, roots and header": executed - verified,
        "block encode and decode": read - executed,
        "commit (one synced batch)": clock() - before,
    }
