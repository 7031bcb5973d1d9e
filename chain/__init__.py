"""The ledger: types, canonical codec, hashes, Merkle and state trees, execution, store, verification."""
