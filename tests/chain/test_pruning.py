"""Pruning: from the mark on every read is what it was, below it every read is refused, wherever a crash falls."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import pruning, query
from chain.block import CONSORTIUM
from chain.crypto import sha256
from chain.ledger import Ledger, LedgerError
from chain.proof import ProofUnavailableError, prove_head, prove_record_by_id, prove_state, prove_transaction
from chain.store import KeyValue, LevelStore, MemoryStore, Rows, StoreError, chain_prefix, successor
from chain.transition import GOV_VALIDATORS
from chain.verification import verify_proof
from chain.view import Reads, StatePrunedError
from tests.chain.chain_builder import Consortium, key_of, record, record_key, vote_in

ALL = (b"", b"\xff" * 16)


class CrashError(Exception):
    """The process ends here."""


class CrashingStore(MemoryStore):
    """A store whose writes fail after so many, as if the process had ended."""

    def __init__(self, rows: dict[bytes, bytes], writes: int) -> None:
        super().__init__()
        self._rows = dict(rows)
        self._left = writes

    def write(self, rows: Rows) -> None:
        """Write, or crash before it."""
        if not self._left:
            raise CrashError
        self._left -= 1
        super().write(rows)


def tell(store: KeyValue) -> Consortium:
    """Fifteen blocks in which the same records and parties change again and again, and the validators twice."""
    made = Consortium("pruned", store=store)
    newest = [record(f"D-{number}") for number in range(24)]
    made.seal(made.submit("erp", *newest), made.party("p0"))
    for turn in range(4):
        for number in range(0, 24, turn + 1):
            newest[number] = record(f"D-{number}", corrects=sha256(newest[number]), quantity=str(turn + 20))
        made.seal(made.submit("erp", *newest[:: turn + 1]), made.party(f"p{turn + 1}"))
        made.seal(made.submit("lender", *(record(f"L-{turn}-{number}") for number in range(12))))
    for members in (["erp", "guarantor", "lender"], ["erp", "guarantor", "lender", "procurement"]):
        rows = [[member, key_of("pruned", member, "validator").public] for member in members]
        vote_in(made, {"kind": "validators", "set": rows})
        made.seal()
    made.seal(made.party("last"))
    return made


@pytest.fixture(scope="module")
def story() -> tuple[Consortium, dict[bytes, bytes]]:
    store = MemoryStore()
    made = tell(store)
    return made, dict(store.scan(*ALL))


def keys_of(ledger: Ledger) -> dict[str, list[bytes]]:
    found = {}
    for chain in (*ledger.chains, CONSORTIUM):
        prefix = chain_prefix(b"s", chain)
        found[chain] = [key[len(prefix) :] for key, _ in ledger.store.scan(prefix, successor(prefix))]
    return found


def at(ledger: Reads, keys: dict[str, list[bytes]], height: int) -> dict[Any, Any]:
    """All state and its proofs at a height."""
    found: dict[Any, Any] = {}
    for chain, listed in keys.items():
        tree = ledger.tree(chain, height)
        found[chain] = tree.root
        for key in listed:
            found[chain, key] = (ledger.state_bytes(chain, key, height), tree.prove(key))
    return found


def store_of(kind: str, rows: dict[bytes, bytes], folder: Path) -> KeyValue:
    store: KeyValue = MemoryStore() if kind == "memory" else LevelStore(folder, create=True)
    store.write(list(rows.items()))
    return store


@pytest.mark.parametrize("kind", ["memory", "level"])
@pytest.mark.parametrize("below", [1, 4, 10, 16])
def test_from_the_mark_on_nothing_changes_and_below_it_everything_is_refused(
    story: tuple[Consortium, dict[bytes, bytes]], kind: str, below: int, tmp_path: Path
) -> None:
    made, rows = story
    keys = keys_of(made.ledger)
    top = made.ledger.height
    assert top == 16
    store = store_of(kind, rows, tmp_path / "ledger")
    done = pruning.prune(Ledger(store, made.network_id), below)
    assert done.below == below
    ledger = Ledger(store, made.network_id)
    for reads in (ledger, ledger.view()):
        assert reads.pruned_below == below
        for height in range(top + 1):
            if height >= below:
                assert at(reads, keys, height) == at(made.ledger, keys, height)
                continue
            for chain, listed in keys.items():
                for key in [key for key in listed if key != GOV_VALIDATORS][:5]:
                    for refused in (reads.state_bytes, reads.state):
                        with pytest.raises(StatePrunedError, match=f"keeps that of block {below} and later"):
                            refused(chain, key, height)
                    with pytest.raises(StatePrunedError if height else ProofUnavailableError):
                        prove_state(reads, chain, key, height)
                with pytest.raises(StatePrunedError):
                    reads.tree(chain, height)
            assert reads.state(CONSORTIUM, GOV_VALIDATORS, height) == made.ledger.state(
                CONSORTIUM, GOV_VALIDATORS, height
            )
    assert (done.values > 0, done.nodes > 0) == (below > 2, True)
    store.close()


def test_blocks_records_and_their_proofs_stay(story: tuple[Consortium, dict[bytes, bytes]], tmp_path: Path) -> None:
    made, rows = story
    store = store_of("level", rows, tmp_path / "ledger")
    pruning.prune(Ledger(store, made.network_id), 14)
    ledger, old = Ledger(store, made.network_id), made.ledger
    for height in range(1, 17):
        assert ledger.block_bytes(height) == old.block_bytes(height)
        assert ledger.receipts(height) == old.receipts(height)
        assert ledger.heads(height) == old.heads(height)
        for chain in ("erp", CONSORTIUM):
            proof = prove_head(ledger, chain, height)
            assert verify_proof(proof, made.network_id).height == height
    first = sha256(record("D-1"))
    assert verify_proof(prove_record_by_id(ledger, first), made.network_id).height == 1
    proof = prove_state(ledger, "erp", record_key("D-1"))
    assert verify_proof(proof, made.network_id).subject["value"]["id"] != first
    filters = query.Filters(enterprise="GB-COH:1")
    assert query.records(ledger, filters, 500) == query.records(old, filters, 500)
    assert query.record_history(ledger, "erp", record_key("D-1"), 10) == query.record_history(
        old, "erp", record_key("D-1"), 10
    )
    with pytest.raises(StatePrunedError):
        query.record_history(ledger, "erp", record_key("D-1"), 10, 5)


def test_a_history_ends_with_what_stood_at_the_first_height_kept(
    story: tuple[Consortium, dict[bytes, bytes]], tmp_path: Path
) -> None:
    made, rows = story
    whole = query.state_history(made.ledger, "erp", record_key("D-0"), 100).rows
    assert [row.height for row in whole] == [8, 6, 4, 2, 1]
    for below, kept in ((1, 5), (2, 4), (3, 4), (5, 3), (7, 2), (8, 1), (12, 1)):
        store = store_of("memory", rows, tmp_path)
        pruning.prune(Ledger(store, made.network_id), below)
        ledger = Ledger(store, made.network_id)
        assert query.state_history(ledger, "erp", record_key("D-0"), 100).rows == whole[:kept]
        with pytest.raises(StatePrunedError):
            query.state_history(ledger, "erp", record_key("D-0"), 100, below - 1)


@given(
    writes=st.integers(0, 12), below=st.integers(2, 16), batch=st.sampled_from([1, 7, 40]), later=st.integers(2, 16)
)
@settings(max_examples=25)
def test_a_crash_at_any_write_leaves_a_ledger_that_is_whole_from_the_mark_on(
    story: tuple[Consortium, dict[bytes, bytes]], writes: int, below: int, batch: int, later: int
) -> None:
    made, rows = story
    keys = {chain: list(islice(listed, 0, None, 3)) for chain, listed in keys_of(made.ledger).items()}
    store = CrashingStore(rows, writes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pruning, "BATCH", batch)
        with suppress(CrashError):
            pruning.prune(Ledger(store, made.network_id), below)
    left = MemoryStore()
    left.write(list(dict(store.scan(*ALL)).items()))
    mark = Ledger(left, made.network_id).pruned_below
    assert mark == (below if writes else 0)
    for height in (mark, (mark + 16) // 2, 16):
        assert at(Ledger(left, made.network_id), keys, height) == at(made.ledger, keys, height)
    done = pruning.prune(Ledger(left, made.network_id), later)
    assert done.below == max(mark, later)
    clean = MemoryStore()
    clean.write(list(rows.items()))
    pruning.prune(Ledger(clean, made.network_id), done.below)
    assert dict(left.scan(*ALL)) == dict(clean.scan(*ALL))  # what the crash left over is gone, and nothing else


def test_a_pruned_ledger_goes_on_and_agrees(story: tuple[Consortium, dict[bytes, bytes]], tmp_path: Path) -> None:
    """Blocks built on a pruned ledger and on a whole one are the same, deletions and new validators included."""
    made, rows = story
    pruned = store_of("level", rows, tmp_path / "ledger")
    pruning.prune(Ledger(pruned, made.network_id), 16)
    one, other = Ledger(pruned, made.network_id), Ledger(store_of("memory", rows, tmp_path), made.network_id)
    for number in range(3):
        txs = [made.submit("lender", record(f"N-{number}"))]
        built = [
            ledger.build(
                proposer="erp", time=ledger.head.time + 1_000, member_txs={"lender": txs}, consortium_txs=[]
            )
            for ledger in (one, other)
        ]
        assert built[0][0].encoded == built[1][0].encoded
        block = built[0][0]
        certificate = made.certify(block, validators=one.validators())
        for ledger in (one, other):
            received = type(block).decode(block.encoded)
            ledger.commit(received, certificate, ledger.execute(received), txs)
    assert one.state("lender", record_key("N-1"), 18) == other.state("lender", record_key("N-1"), 18) is not None
    assert Ledger(pruned, made.network_id).height == 19
    pruned.close()


def test_heights_that_cannot_be_pruned_and_a_ledger_in_use(
    story: tuple[Consortium, dict[bytes, bytes]], tmp_path: Path
) -> None:
    made, rows = story
    store = LevelStore(tmp_path / "ledger", create=True)
    store.write(list(rows.items()))
    for below in (-1, 0, 17, 10**12):
        with pytest.raises(LedgerError, match="give a height from 1 to the newest block's, 16"):
            pruning.prune(Ledger(store, made.network_id), below)
    assert dict(store.scan(*ALL)) == rows
    with pytest.raises(StoreError, match="another process has this ledger open: stop it first"):
        LevelStore(tmp_path / "ledger")
    assert pruning.prune(Ledger(store, made.network_id), 9).below == 9
    again = pruning.prune(Ledger(store, made.network_id), 3)
    assert again == pruning.Pruned(9, 0, 0)
    store.compact()
    assert Ledger(store, made.network_id).pruned_below == 9
    store.close()


def test_transactions_are_proved_below_the_mark(story: tuple[Consortium, dict[bytes, bytes]], tmp_path: Path) -> None:
    made, rows = story
    store = store_of("memory", rows, tmp_path)
    pruning.prune(Ledger(store, made.network_id), 16)
    ledger = Ledger(store, made.network_id)
    for row in query.transactions(ledger, query.Filters(), 500).rows:
        verdict = verify_proof(prove_transaction(ledger, row.transaction.id), made.network_id)
        assert verdict.height == row.place.height
