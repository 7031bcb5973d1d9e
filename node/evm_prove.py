"""Building the proof of a mined transaction from what an endpoint answers, at finality, because providers prune."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import trio

from chain.evm import EvmProof
from node.evm_block import (
    TRANSACTION_FIELDS,
    EvmDataError,
    build_proof,
    data,
    encode_header,
    entry,
    quantity,
)
from node.evm_rpc import EvmRpc


async def prove(rpc: EvmRpc, chain_id: int, block_hash: bytes, hashes: Collection[bytes]) -> EvmProof:
    """The proof of whichever of these transactions (by hash) the block holds.

    Raises RpcError where the endpoint cannot be asked, EvmDataError where its answers do not make a proof.
    """
    block = await rpc.block_by_hash(block_hash)
    if block is None:
        raise EvmDataError(f"{rpc.name} no longer has public block 0x{block_hash.hex()}")
    wanted = {f"0x{transaction_hash.hex()}" for transaction_hash in hashes}
    listed = [item.get("hash") for item in entry(block, "transactions")]
    index = next((position for position, found in enumerate(listed) if found in wanted), None)
    if index is None:
        raise EvmDataError(f"public block 0x{block_hash.hex()} does not list the anchor it has a receipt for")
    raw_header, raw_transactions = await _raw_parts(rpc, block)
    return await trio.to_thread.run_sync(
        lambda: build_proof(chain_id, block, index, raw_header=raw_header, raw_transactions=raw_transactions)
    )


async def _raw_parts(rpc: EvmRpc, block: Mapping[str, Any]) -> tuple[bytes | None, dict[int, bytes]]:
    """(raw header, raw transactions by index), asked for only where the JSON alone does not suffice."""
    header: bytes | None = None
    try:
        encode_header(block)
    except EvmDataError:
        header = data(await rpc.call("debug_getRawHeader", entry(block, "number")))
    raws: dict[int, bytes] = {}
    for position, transaction in enumerate(entry(block, "transactions")):
        if quantity(transaction.get("type", "0x0")) not in TRANSACTION_FIELDS:
            raws[position] = data(await rpc.call("debug_getRawTransaction", entry(transaction, "hash")))
    return header, raws
