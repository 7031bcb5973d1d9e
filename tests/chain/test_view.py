"""A view is what the ledger was when it was taken: every read, at every height, whatever is committed afterwards."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.block import CONSORTIUM
from chain.chainstate import ChainState, PastState
from chain.codec import encode
from chain.crypto import sha256
from chain.ledger import Ledger
from chain.proof import prove_head, prove_record_by_id, prove_state, prove_transaction
from chain.store import KeyValue, LevelStore, MemoryStore, SnapshotClosedError, chain_prefix, successor
from chain.view import LedgerError, PrunedError, Reads, View
from tests.chain.chain_builder import Consortium, key_of, record, transactions_of, vote_in

KEYS = [bytes([65 + number]) * (1 + number % 3) for number in range(40)]
CHANGES = st.lists(
    st.dictionaries(st.sampled_from(KEYS), st.one_of(st.none(), st.binary(min_size=1, max_size=3)), max_size=25),
    min_size=1, max_size=8,
)  # fmt: skip


def made_store(kind: str, folder: Path) -> KeyValue:
    return MemoryStore() if kind == "memory" else LevelStore(folder, create=True)


@given(changes=CHANGES, cached=st.booleans())
@settings(max_examples=25)
@pytest.mark.parametrize("kind", ["memory", "level"])
def test_the_state_of_a_snapshot_is_that_of_its_height_and_all_before(
    kind: str, changes: list[dict[bytes, bytes | None]], cached: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Writes, deletions, keys that come back: against plain maps, in the newest snapshot and in every older one."""
    store = made_store(kind, tmp_path_factory.mktemp("store") / "state")
    state = ChainState(store, "erp")
    model: list[dict[bytes, bytes]] = [{}]
    taken = [store.snapshot()]
    trees = [state.tree]
    for height, writes in enumerate(changes, 1):
        if cached:
            for key in KEYS[::3]:
                state.get(key)
        tree = state.tree.updated(writes.items())
        store.write(state.rows(height, tree, writes))
        state.advance(height, tree, writes)
        after = {**model[-1], **{key: value for key, value in writes.items() if value is not None}}
        model.append({key: value for key, value in after.items() if writes.get(key, b"") is not None})
        taken.append(store.snapshot())
        trees.append(state.tree)
    for newest, snapshot in enumerate(taken):
        past = PastState(snapshot, "erp")
        for height in range(newest + 1):
            tree = past.tree_at(height)
            assert tree.root == trees[height].root
            for key in KEYS:
                assert past.get_at(key, height) == model[height].get(key)
                assert tree.prove(key) == trees[height].prove(key)
        for key in KEYS:
            written = [height for height in range(1, newest + 1) if key in changes[height - 1]]
            found = list(past.versions(key, newest, 0))
            values = {height: model[height].get(key) for height in written}
            assert {height: value for height, value in found if height in values} == dict(found)
            assert all(values[height] == value for height, value in found)
            assert [height for height, _ in found] == sorted((height for height, _ in found), reverse=True)
            kept = {height for height, _ in found}  # a deletion of what was not there may leave no row
            assert all(height in kept or values[height] is None for height in written)
    for snapshot in taken:
        snapshot.close()
    store.close()


def told(store: KeyValue) -> Consortium:
    """Twelve blocks: records, corrections, parties, a refused transaction, votes that leave and remove state."""
    made = Consortium("viewed", store=store)
    first = record("D-1")
    made.seal(made.submit("erp", first, record("D-2")), made.party("p1"))
    made.seal(made.submit("erp", record("D-1", corrects=sha256(first), quantity="13")))
    made.seal(made.submit("lender", record("L-1")), made.submit("erp", record("D-2", quantity="8")))
    rows = [[member, key_of("viewed", member, "validator").public] for member in ("erp", "guarantor", "lender")]
    vote_in(made, {"kind": "validators", "set": rows})
    made.seal()
    made.seal(made.submit("procurement", *(record(f"P-{number}") for number in range(40))))
    made.seal(made.party("p2"), made.submit("erp", record("D-3")))
    return made


def keys_of(ledger: Ledger) -> dict[str, list[bytes]]:
    """Every key that any chain's state has or had, and one that none has."""
    found = {}
    for chain in (*ledger.chains, CONSORTIUM):
        prefix = chain_prefix(b"s", chain)
        found[chain] = [key[len(prefix) :] for key, _ in ledger.store.scan(prefix, successor(prefix))]
        found[chain].append(encode(["records", "record", "delivery", "GB-COH:1", "none"]))
    return found


def everything(ledger: Reads, keys: dict[str, list[bytes]], ids: list[bytes], records: list[bytes]) -> dict[Any, Any]:
    """All that a ledger answers at its head and below."""
    found: dict[Any, Any] = {
        "head": (ledger.height, ledger.head, ledger.network_id, ledger.chains, ledger.document),
    }
    for height in range(ledger.height + 1):
        found["header", height] = (ledger.header(height), ledger.heads(height))
        if height:
            found["block", height] = (ledger.block_bytes(height), ledger.receipts(height))
            certificate = ledger.certificate(height)
            if height < ledger.height:  # the newest one's is replaced by the canonical one
                found["certificate", height] = certificate
                found |= {("head", height, chain): prove_head(ledger, chain, height) for chain in ledger.chains}
        for chain, listed in keys.items():
            found["root", chain, height] = ledger.tree(chain, height).root
            for key in listed:
                found["state", chain, key, height] = ledger.state_bytes(chain, key, height)
                if 0 < height < ledger.height:
                    found["proof", chain, key, height] = prove_state(ledger, chain, key, height)
    for tx_id in ids:
        place = ledger.locate(tx_id)
        found["place", tx_id] = place
        if place is not None and place.height < ledger.height:
            found["tx", tx_id] = (ledger.receipt(place), ledger.wire(place), prove_transaction(ledger, tx_id))
    for record_id in records:
        try:
            found["record", record_id] = prove_record_by_id(ledger, record_id)
        except LookupError as error:
            found["record", record_id] = str(error)
    return found


@pytest.mark.parametrize("kind", ["memory", "level"])
def test_a_view_answers_what_the_ledger_answers_and_stays_as_it_is(kind: str, tmp_path: Path) -> None:
    consortium = told(made_store(kind, tmp_path / "ledger"))
    ledger = consortium.ledger
    blocks = [ledger.block(height) for height in range(1, ledger.height + 1)]
    ids = [tx.id for block in blocks for tx in transactions_of(block)]
    records = [sha256(record("D-1")), sha256(record("L-1")), bytes(32)]
    keys = keys_of(ledger)
    wanted = everything(ledger, keys, ids, records)
    view = ledger.view()
    assert (view.validators(), dict(view.parameters)) == (ledger.validators(), dict(ledger.parameters))
    assert everything(view, keys, ids, records) == wanted
    consortium.seal(consortium.submit("erp", record("D-1", corrects=sha256(record("D-1")), quantity="99")))
    consortium.seal(consortium.submit("erp", record("D-2", corrects=sha256(record("D-2")), quantity="14")))
    consortium.seal(consortium.party("p3"))
    assert everything(view, keys, ids, records) == wanted
    assert ledger.view().height == view.height + 3
    for height in (-1, view.height + 1):
        with pytest.raises(PrunedError, match=f"block {height} is not kept here"):
            view.state_bytes(CONSORTIUM, b"", height)
    for chain in ("nobody", ""):
        with pytest.raises(LedgerError, match="there is no chain"):
            view.state_bytes(chain, b"")
    ledger.close()


def test_a_view_is_read_in_other_threads_while_blocks_are_committed(tmp_path: Path) -> None:
    consortium = told(LevelStore(tmp_path / "ledger", create=True))
    ledger = consortium.ledger
    keys = keys_of(ledger)
    view = ledger.view()
    wanted = everything(view, keys, [], [])
    found: list[bool] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            found.append(everything(view, keys, [], []) == wanted)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(12):
        consortium.seal(consortium.submit("erp", record(f"T-{number}")), consortium.party(f"t{number}"))
    stop.set()
    for thread in threads:
        thread.join()
    assert found
    assert all(found)
    ledger.close()


@pytest.mark.parametrize("kind", ["memory", "level"])
def test_what_is_closed_says_so(kind: str, tmp_path: Path) -> None:
    consortium = Consortium(store=made_store(kind, tmp_path / "ledger"))
    view: View = consortium.ledger.view()
    view.close()
    view.close()
    for read in (lambda: view.header(0), lambda: view.state(CONSORTIUM, b""), lambda: view.tree(CONSORTIUM)):
        with pytest.raises(SnapshotClosedError, match="read again"):
            read()
    consortium.ledger.close()
