"""Re-executing one block of a followed chain: with the chain's own state, and the consortium's values as witnesses.

A run is tried with the consortium values last seen here, asks for proofs of exactly what it read, and is tried again
where a proof shows another value. It is over when every value it read is proven at height h - 1; its roots
must then be those of the certified member block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from chain import merkle
from chain.block import CONSORTIUM, BlockError, Head, MemberBlock, genesis_member_hash
from chain.codec import encode
from chain.execution import BlockScope, ChainExecution, run_member_chain
from chain.ledger import version_at
from chain.parts import ChainBlock, PartError
from chain.state import ProofError, StateTree
from chain.transaction import Transaction, TransactionError, check_signatures, parse
from chain.transition import GOV_PARAMETERS
from chain.validity import DEFAULT_TX_WINDOW_MS
from chain.witness import WitnessReader

if TYPE_CHECKING:
    from chain.partial import PartialLedger
    from chain.partial_view import Pending

DEFAULT_CHARGE: Final = 1_000_000


class ContradictionError(RuntimeError):
    """A quorum certified what cannot be: the operator must look. ``code``: FORKED, CERTIFIED_INVALID, WRONG_ROOTS."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Run:
    """The execution of the next block of a followed chain."""

    def __init__(self, ledger: PartialLedger, coming: Pending, block: ChainBlock) -> None:
        """Check block and transactions against the chain's head under the header. Raises PartError."""
        self._ledger = ledger
        self.chain = coming.head.chain
        self.header = ledger.header(coming.height)
        self.block = _member_block(block, coming)
        self.transactions = _transactions(block, self.block)
        before = ledger.header(coming.height - 1)
        self.reader = WitnessReader(before.state_root, ledger.known)
        self.reader.read.update(dict.fromkeys(self._sure_to_be_read()))
        self._done: tuple[ChainExecution, StateTree] | None = None
        self._over = False

    def wanted(self) -> list[bytes]:
        """Execute as far as the values here reach; the state keys to prove (``prove``) before that counts.

        Nothing: it is done. Raises ContradictionError where the certified block is not what its transactions give.
        """
        if self._done is None or self.reader.changed:
            self.reader.changed = False
            self._done = self._execute(self.transactions)
            if any(key not in self._ledger.known for key in self.reader.unproven()):
                self._look_ahead()
        missing = self.reader.unproven()
        if not missing:
            self._check(*self._done)
            self._over = True
        return missing

    def prove(
        self, keys: Iterable[bytes], opening: Any, values: Iterable[bytes | None], sent: Mapping[bytes, bytes | None]
    ) -> None:
        """Take consortium values in; ``sent``: those the other side was told are known here. Raises PartError."""
        try:
            self.reader.prove(keys, opening, values, sent)
        except (ProofError, ValueError) as error:
            raise PartError("WRONG_WITNESS", f"block {self.header.height}: {error}") from None

    def outcome(self) -> tuple[ChainExecution, StateTree]:
        """Receipts, writes and the state tree, once ``wanted`` answered with nothing."""
        if self._done is None or not self._over:
            raise ValueError("the run is not over: prove what it wants first")
        return self._done

    # -- inside -------------------------------------------------------------------------------------------

    def _sure_to_be_read(self) -> Iterator[bytes]:
        """What every transaction needs, asked for at the first question instead of one by one."""
        yield GOV_PARAMETERS
        for name in sorted({transaction.contract for transaction in self.transactions}):
            yield encode(["gov", "contract", name])
        for signer in sorted({signer for transaction in self.transactions for signer in transaction.signers}):
            yield encode(["registry", "key", signer])
        yield encode(["registry", "member", self.chain])

    def _look_ahead(self) -> None:
        """Run each record alone, for what it reads: in a batch, the first that fails by a guess hides the others."""
        for transaction in self.transactions:
            for record in transaction.records if len(transaction.records) > 1 else ():
                self._execute([replace(transaction, records=(record,))])

    def _execute(self, transactions: list[Transaction]) -> tuple[ChainExecution, StateTree]:
        """As ``chain.transition.apply`` does for one business chain."""
        ledger, height = self._ledger, self.header.height
        parameters = self.reader.shared(GOV_PARAMETERS) or {}
        scope = BlockScope(
            network_id=ledger.network_id,
            height=height,
            parent_hash=self.header.parent_hash,
            time=self.header.time,
            chains=ledger.chains_at(height),
            charge_limit=int(parameters.get("max_charge", DEFAULT_CHARGE)),
            hook_charge_limit=0,
        )
        state = ledger.states[self.chain]
        heads = _HeadsBefore(ledger, height)
        done, _ = run_member_chain(scope, self.chain, transactions, state, self.reader, heads, self._active)
        return done, state.tree.updated(done.writes.items())

    def _active(self, name: str) -> int | None:
        return version_at(self.reader.shared(encode(["gov", "contract", name])), self.header.height)

    def _check(self, done: ChainExecution, tree: StateTree) -> None:
        """The block is certified; this says whether it may be: valid transactions, and the roots of this run."""
        window = int((self.reader.shared(GOV_PARAMETERS) or {}).get("tx_window_ms", DEFAULT_TX_WINDOW_MS))
        seen: set[bytes] = set()
        for transaction in self.transactions:
            problem = self._problem(transaction, window, seen)
            if problem:
                raise ContradictionError("CERTIFIED_INVALID", f"{self._where()}: {transaction.id.hex()}: {problem}")
            seen.add(transaction.id)
        receipts = merkle.root([receipt.encoded for receipt in done.receipts])
        wrong = [
            name
            for name, own, given in (
                ("receipt_root", receipts, self.block.receipt_root),
                ("state_root", tree.root, self.block.state_root),
            )
            if own != given
        ]
        if wrong:
            raise ContradictionError("WRONG_ROOTS", f"{self._where()}: re-execution differs in {', '.join(wrong)}")

    def _problem(self, transaction: Transaction, window: int, seen: set[bytes]) -> str:
        """Why a transaction may not stand in this block (``chain.validity``), or nothing."""
        time = self.header.time
        if transaction.network_id != self._ledger.network_id or transaction.chain != self.chain:
            return "it is of another network or chain"
        if not time < transaction.valid_until <= time + window:
            return "it had expired, or was valid for too long"
        if transaction.id in seen or self._ledger.seen(transaction.id):
            return "it is in a block already"
        try:
            check_signatures(transaction)
        except TransactionError as error:
            return str(error)
        return ""

    def _where(self) -> str:
        return f"block {self.block.height} of chain {self.chain} in certified block {self.header.height}"


class _HeadsBefore(Mapping[str, Head]):
    """The chain heads as of h - 1, looked up as they are asked for: few transactions ask."""

    def __init__(self, ledger: PartialLedger, height: int) -> None:
        self._ledger, self._height = ledger, height

    def __getitem__(self, chain: str) -> Head:
        if chain == CONSORTIUM or self._ledger.since.get(chain, self._height + 1) > self._height:
            raise KeyError(chain)
        head = self._ledger.head_at(chain, self._height - 1)
        if head is None:  # counted for the first time in this block: still empty
            head = Head(chain, 0, genesis_member_hash(self._ledger.network_id, chain), StateTree.empty().root)
        return head

    def __iter__(self) -> Iterator[str]:
        return iter(self._ledger.chains_at(self._height))

    def __len__(self) -> int:
        return len(self._ledger.chains_at(self._height))


def _member_block(given: ChainBlock, coming: Pending) -> MemberBlock:
    """The member block that the head commits to. Raises PartError WRONG_BLOCK."""
    try:
        block = MemberBlock.decode(given.header)
    except BlockError as error:
        raise PartError("WRONG_BLOCK", str(error)) from None
    head = coming.head
    if block.hash != head.hash:
        raise PartError("WRONG_BLOCK", f"this is not block {head.height} of chain {head.chain} under the header")
    if (block.chain, block.height, block.consortium_height) != (head.chain, head.height, coming.height):
        raise ContradictionError("CERTIFIED_INVALID", f"block {coming.height} seals what is no next block")
    return block


def _transactions(given: ChainBlock, block: MemberBlock) -> list[Transaction]:
    """The transactions that the member block commits to, with their records. Raises PartError WRONG_TRANSACTIONS."""
    try:
        transactions = [parse(wire) for wire in given.transactions]
    except TransactionError as error:
        raise PartError("WRONG_TRANSACTIONS", f"block {block.height} of chain {block.chain}: {error}") from None
    if len(transactions) != block.tx_count or merkle.root([each.leaf for each in transactions]) != block.tx_root:
        raise PartError("WRONG_TRANSACTIONS", f"not the transactions of block {block.height} of {block.chain}")
    return transactions
