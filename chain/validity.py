"""When a block is valid: plain functions that end in comparing roots.

A block with an expired, repeated or badly signed transaction is invalid; a contract's refusal is a failed
receipt inside a valid block. Timestamps are judged against a clock elsewhere (R15: only fresh proposals);
here only ``parent < t``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from chain import transition
from chain.block import CONSORTIUM, Block
from chain.certificate import CertificateError, SignatureCheck, ValidatorSet
from chain.crypto import ZERO_HASH, verify
from chain.transaction import Transaction, TransactionError, check_signatures, parse
from chain.transition import Parent, Transition

DEFAULT_MAX_BLOCK_BYTES: Final = 1024 * 1024
DEFAULT_MAX_BLOCK_TXS: Final = 2000
DEFAULT_TX_WINDOW_MS: Final = 3_600_000

Lookup = Callable[[bytes], Transaction | None]
"""Wire bytes → the transaction that this node parsed, whose signatures it checked and which is in no block of its
ledger; or None. The mempool holds exactly such."""


class InvalidBlockError(ValueError):
    """A block no honest leader makes. ``code`` for programs, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


def check_block(
    parent: Parent,
    block: Block,
    *,
    parent_validators: ValidatorSet | None,
    lookup: Lookup = lambda _wire: None,
    signature_check: SignatureCheck = verify,
) -> Transition:
    """Check a block in full and return what it changes. Raises InvalidBlockError.

    ``parent_validators`` is the set that certified the parent; None when the parent is genesis.
    """
    check_header(parent, block)
    check_parent_certificate(parent, block, parent_validators, signature_check)
    check_size(parent.parameters, block)
    member_txs, consortium_txs = check_transactions(parent, block, lookup)
    outcome = transition.apply(
        parent,
        time=block.header.time,
        proposer=block.header.proposer,
        parent_certificate=block.parent_certificate,
        member_txs=member_txs,
        consortium_txs=consortium_txs,
    )
    compare_roots(block, outcome)
    return outcome


def check_header(parent: Parent, block: Block) -> None:
    """Links: network, height, parent, time after the parent's, epoch, and a proposer who is a validator."""
    header = block.header
    if header.network_id != parent.header.network_id:
        raise InvalidBlockError("WRONG_NETWORK", "the block is of another network")
    if header.height != parent.height:
        raise InvalidBlockError("WRONG_HEIGHT", f"the block has height {header.height}, not {parent.height}")
    if header.parent_hash != parent.header.digest:
        raise InvalidBlockError("WRONG_PARENT", "the block stands on another parent")
    if header.time <= parent.header.time:
        raise InvalidBlockError("TIME_NOT_AFTER_PARENT", f"{header.time} is not after {parent.header.time}")
    if header.proposer not in parent.validators.keys:
        raise InvalidBlockError("WRONG_PROPOSER", f"{header.proposer!r} is not a validator of this height")
    if header.epoch != parent.validators.epoch:
        raise InvalidBlockError("WRONG_EPOCH", f"the block has epoch {header.epoch}, not {parent.validators.epoch}")


def check_parent_certificate(
    parent: Parent, block: Block, validators: ValidatorSet | None, signature_check: SignatureCheck
) -> None:
    """The certificate that header h commits to is the canonical one of h-1: it must stand (PROTOCOL.md)."""
    certificate = block.parent_certificate
    if validators is None:
        if certificate is not None or block.header.parent_certificate_hash != ZERO_HASH:
            raise InvalidBlockError("PARENT_CERTIFICATE", "genesis has no certificate")
        return
    if certificate is None or certificate.hash != block.header.parent_certificate_hash:
        raise InvalidBlockError("PARENT_CERTIFICATE", "the header commits to another parent certificate")
    if certificate.height != parent.header.height or certificate.digest != parent.header.digest:
        raise InvalidBlockError("PARENT_CERTIFICATE", "the parent certificate is of another block")
    try:
        certificate.check(validators, parent.header.network_id, signature_check)
    except CertificateError as error:
        raise InvalidBlockError("PARENT_CERTIFICATE", str(error)) from None


def check_size(parameters: Any, block: Block) -> None:
    """Bytes and transactions within the consortium's parameters."""
    most_bytes = int(parameters.get("max_block_bytes", DEFAULT_MAX_BLOCK_BYTES))
    most_txs = int(parameters.get("max_block_txs", DEFAULT_MAX_BLOCK_TXS))
    if len(block.encoded) > most_bytes:
        raise InvalidBlockError("TOO_LARGE", f"{len(block.encoded)} bytes where {most_bytes} are allowed")
    if block.tx_count > most_txs:
        raise InvalidBlockError("TOO_LARGE", f"{block.tx_count} transactions where {most_txs} are allowed")


def check_transactions(
    parent: Parent, block: Block, lookup: Lookup
) -> tuple[dict[str, list[Transaction]], list[Transaction]]:
    """Every transaction: form, network, chain, expiry, signatures, and that it was never in a block before."""
    ids: set[bytes] = set()
    members: dict[str, list[Transaction]] = {}
    for chain, wires in block.member_txs:
        if chain not in parent.heads or chain == CONSORTIUM:
            raise InvalidBlockError("UNKNOWN_CHAIN", f"there is no business chain {chain!r}")
        members[chain] = [_checked(parent, block, chain, wire, ids, lookup) for wire in wires]
    own = [_checked(parent, block, CONSORTIUM, wire, ids, lookup) for wire in block.consortium_txs]
    return members, own


def _checked(parent: Parent, block: Block, chain: str, wire: bytes, ids: set[bytes], lookup: Lookup) -> Transaction:
    transaction = lookup(wire)
    is_new = transaction is not None
    try:
        if transaction is None:
            transaction = parse(wire)
            check_signatures(transaction)
    except TransactionError as error:
        raise InvalidBlockError(error.code, str(error)) from None
    if transaction.chain != chain:
        raise InvalidBlockError("WRONG_CHAIN", f"a transaction of {transaction.chain!r} stands under {chain!r}")
    problem = includable(parent, block.header.time, transaction)
    if problem is not None:
        raise InvalidBlockError(problem, f"transaction {transaction.id.hex()}")
    if transaction.id in ids or (not is_new and parent.seen(transaction.id)):
        raise InvalidBlockError("REPEATED", f"transaction {transaction.id.hex()} is already in a block")
    ids.add(transaction.id)
    return transaction


def includable(parent: Parent, time: int, transaction: Transaction) -> str | None:
    """Why a checked transaction may not stand in a block of this time (a code), or None. Repeats apart."""
    if transaction.network_id != parent.header.network_id:
        return "WRONG_NETWORK"
    if transaction.chain != CONSORTIUM and transaction.chain not in parent.heads:
        return "UNKNOWN_CHAIN"
    if transaction.valid_until <= time:
        return "EXPIRED"
    if transaction.valid_until > time + int(parent.parameters.get("tx_window_ms", DEFAULT_TX_WINDOW_MS)):
        return "VALID_TOO_LONG"
    return None


def compare_roots(block: Block, outcome: Transition) -> None:
    """The header must be the one execution gives, field by field."""
    if block.header == outcome.header:
        return
    given, own = block.header.to_value()[2:], outcome.header.to_value()[2:]
    names = list(type(block.header).__dataclass_fields__)
    wrong = [name for name, a, b in zip(names, given, own, strict=True) if a != b]
    raise InvalidBlockError("ROOT_MISMATCH", f"re-execution differs in {', '.join(wrong)}")
