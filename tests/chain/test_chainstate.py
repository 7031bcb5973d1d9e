"""Committed state of one chain: what a key held at every past height, deletions included."""

from __future__ import annotations

from chain.chainstate import ChainState
from chain.store import MemoryStore

KEY = b"key"


def write(state: ChainState, store: MemoryStore, height: int, value: bytes | None) -> None:
    """Commit one write as the ledger does."""
    writes = {KEY: value}
    tree = state.tree.updated(writes.items())
    store.write(state.rows(height, tree, writes))
    state.advance(height, tree, writes)


def test_a_key_deleted_and_made_again_was_absent_in_between() -> None:
    """The deletion's own row must move to the history: absence from the map does not mean that there is no row."""
    for reopened, read in ((False, False), (True, False), (False, True)):
        store = MemoryStore()
        state = ChainState(store, "erp")
        for height, value in ((1, b"one"), (3, None), (5, b"five"), (7, None), (9, b"nine")):
            if reopened:
                state = ChainState(store, "erp")
            if read:
                state.get(KEY)
            write(state, store, height, value)
        found = [state.get_at(KEY, height) for height in range(11)]
        assert found == [None, b"one", b"one", None, None, b"five", b"five", None, None, b"nine", b"nine"]
        assert state.get(KEY) == b"nine"
