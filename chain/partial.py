"""The ledger of a node that reads only some business chains: what it keeps, and what it checks before it does.

Of every consortium block it keeps the header, the certificate, the chain heads, and the consortium's transactions and
receipts; those are checked against the header's roots, **not** re-executed. Each chain it follows it re-executes from
that chain's first block on, to the same roots as the head under the header. The consortium values that those
transactions read come as witnesses under the state root of header h - 1 (``chain/witness.py``). Of the other chains
it has heads and nothing else.

So a certified block that does not follow from a chain's own transactions is noticed here as at a full node, while
the consortium's own contracts are taken from its validators' word: a quorum of them signed the roots.

Headers run ahead; each followed chain catches up with its head at its own pace, and one that is not served does not
hold up the others. Rows of its own beside those of ``chain/store.py`` (``h c M t s v n d``, the derived ones and, for
the consortium alone, ``r`` are as there):

===========================  =======================================================================
``m:validators``             the set that certifies the next block
``m:chains``                 [[chain, first height whose header counts it], …]
``V`` height                 the set that took over after a height
``K`` chain 0 ~height        a chain's head leaf at each height that changed it
``p`` height                 the consortium's transactions of a block
``P`` chain 0 own height     a followed chain's transactions of a block
``R`` chain 0 own height     their receipts
``f`` chain                  [own height, consortium height] up to which the chain is executed
``w`` state key              the consortium value that a witness last showed here, or genesis (empty: absent)
``g`` state key              likewise of registry and gov, as of the newest block that this node asked about
===========================  =======================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chain import merkle, transition
from chain import store as rows
from chain.block import CONSORTIUM, BlockError, Head, Header, Receipt
from chain.certificate import Certificate, CertificateError, SignatureCheck, ValidatorSet
from chain.chainstate import ChainState
from chain.codec import decode, encode, load, pack
from chain.crypto import verify
from chain.execution import ChainExecution
from chain.identity import genesis_hash, genesis_validators
from chain.index import index_rows
from chain.ledger import META_HEAD, META_NETWORK, genesis_state
from chain.notices import notice_rows
from chain.partial_run import ContradictionError, Run
from chain.partial_view import META_CHAINS, META_VALIDATORS, NotFollowedError, PartialReads, PartialView
from chain.parts import ChainBlock, Part, PartError
from chain.store import KeyValue, StoreError
from chain.transaction import Transaction, TransactionError, parse
from chain.transition import Transition
from chain.view import META_GENESIS, LedgerError, needed

META_PARTIAL: Final = b"m:partial"
PARTIAL_FORMAT: Final = 1
WATCHED: Final = frozenset({"registry", "gov"})


class PartialLedger(PartialReads):
    """What one node keeps of a network of which it reads some chains. Not thread-safe: one loop owns it."""

    store: KeyValue

    def __init__(
        self, store: KeyValue, network_id: bytes, follow: Sequence[str], signature_check: SignatureCheck = verify
    ) -> None:
        """Open one. ``follow``: the chains to execute, which may come to be later; what is here of others stays.

        Raises LedgerError.
        """
        if store.get(META_PARTIAL) is None or store.get(META_NETWORK) != network_id:
            raise LedgerError(
                "this folder holds no partial ledger of this network: point `data` at another folder, or move it away"
            )
        self.store = store
        self.network_id = network_id
        self.signature_check = signature_check
        self.head = Header.decode(needed(store, rows.by_height(b"h", int(decode(needed(store, META_HEAD))))))
        self._validators = super().validators()
        self._since = super().since
        self._heads = {chain: self._newest_head(chain) for chain in self._since}
        self.follow = tuple(sorted(set(follow)))
        self.states = {chain: ChainState(store, chain) for chain in self.follow}
        self.known = self._values(b"w")
        """Consortium values that witnesses showed by state key, each the last one seen; at first those of genesis."""
        self.registry = self._values(b"g")
        """Those of registry and gov that this node itself needs, as of the newest block it asked about."""
        self.registry_height = self.head.height
        """The newest block with a transaction of registry or gov: what they hold may be another since."""
        self._check_states()

    @classmethod
    def create(
        cls,
        store: KeyValue,
        document: Mapping[str, Any],
        follow: Sequence[str],
        signature_check: SignatureCheck = verify,
    ) -> PartialLedger:
        """Write block 0 of a genesis document into an empty store and open it. Raises LedgerError."""
        if store.get(META_NETWORK) is not None:
            raise LedgerError("this folder already holds a ledger: open it, or choose an empty folder")
        header, values, heads = genesis_state(document)
        network_id = genesis_hash(document)
        store.write(
            [
                (META_PARTIAL, encode(PARTIAL_FORMAT)),
                (META_NETWORK, network_id),
                (META_GENESIS, encode(dict(document))),
                (META_VALIDATORS, encode(genesis_validators(document).to_value())),
                (META_CHAINS, encode([[head.chain, 0] for head in heads])),
                (rows.by_height(b"h", 0), header.encoded),
                *((_head_key(head.chain, 0), head.leaf()) for head in heads),
                *_witnessed(values),
                (META_HEAD, encode(0)),
            ]
        )
        return cls(store, network_id, follow, signature_check)

    @property
    def since(self) -> dict[str, int]:
        """Every chain, and the first height whose header counts it."""
        return self._since

    def validators(self) -> ValidatorSet:
        """The set that certifies the next height (R11)."""
        return self._validators

    def newest(self, chain: str) -> Head:
        """A chain's head under the newest header. Raises LedgerError for a chain there is none of."""
        head = self._heads.get(chain)
        if head is None:
            raise LedgerError(self._no_chain(chain))
        return head

    def view(self) -> PartialView:
        """The ledger as it is now, for another thread."""
        return PartialView(self.store.snapshot(), self)

    def simulate(self, transaction: Transaction, _time: int) -> Receipt:
        """Nothing can be tried without the consortium's state. Raises NotFollowedError."""
        raise NotFollowedError(
            f"this node cannot try {transaction.contract}.{transaction.method}: it has no state of the consortium;"
            " ask a node that follows all chains"
        )

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    # -- consortium blocks --------------------------------------------------------------------------------

    def take(self, parts: Iterable[Part]) -> int:
        """Check the parts that follow the head and keep them in one synced batch; how many were kept.

        Raises PartError for the first that does not stand (those before it are kept), ContradictionError for what a
        quorum certified and cannot be.
        """
        batch: list[tuple[bytes, bytes | None]] = []
        step = _Step(self.head, self._validators, dict(self._heads), dict(self._since))
        taken = 0
        try:
            for part in parts:
                batch += self._checked(step, part)
                taken += 1
        finally:
            if taken:
                batch.append((META_HEAD, encode(step.head.height)))
                batch.append((META_VALIDATORS, encode(step.validators.to_value())))
                batch.append((META_CHAINS, encode([[chain, step.since[chain]] for chain in sorted(step.since)])))
                self.store.write(batch)
                self.head, self._validators = step.head, step.validators
                self._heads, self._since = step.heads, step.since
        return taken

    def take_certificate(self, raw: bytes) -> None:
        """Keep the certificate that header h + 1 commits to as that of h (PROTOCOL.md); leave anything else alone."""
        try:
            certificate = Certificate.decode(raw)
        except CertificateError:
            return  # the header above names one that is well formed
        key = rows.by_height(b"c", certificate.height)
        if not 0 < certificate.height < self.height or self.store.get(key) == raw:
            return
        if self.header(certificate.height + 1).parent_certificate_hash == certificate.hash:
            self.store.write([(key, raw)])

    # -- blocks of followed chains ------------------------------------------------------------------------

    def begin(self, chain: str, block: ChainBlock) -> Run:
        """Check the next block of a followed chain against its head and make it ready to run.

        Raises PartError (WRONG_BLOCK, WRONG_TRANSACTIONS), LedgerError where nothing is pending.
        """
        coming = self.pending(chain)
        if coming is None:
            raise LedgerError(f"chain {chain} is executed up to its head: there is no next block")
        return Run(self, coming, block)

    def commit(self, run: Run) -> None:
        """Keep an executed block of a followed chain in one synced batch."""
        chain, block = run.chain, run.block
        done, tree = run.outcome()
        own_height = rows.by_height(rows.chain_prefix(b"", chain), block.height)
        batch: list[tuple[bytes, bytes | None]] = [
            (b"M" + own_height, block.encoded),
            (b"P" + own_height, encode([transaction.wire for transaction in run.transactions])),
            (b"R" + own_height, encode([receipt.encoded for receipt in done.receipts])),
            (b"f" + chain.encode(), encode([block.height, block.consortium_height])),
        ]
        for index, transaction in enumerate(run.transactions):
            batch.append((b"t" + transaction.id, pack([block.consortium_height, chain, index])))
        batch.extend(self.states[chain].rows(block.consortium_height, tree, done.writes))
        whole = Transition(run.header, {chain: done}, {chain: tree}, {chain: block}, {})
        batch.extend(index_rows(block.consortium_height, whole))
        news = {key: value for key, value in run.reader.proven.items() if self.known.get(key, b"") != value}
        batch.extend((b"w" + key, value or b"") for key, value in news.items())
        self.store.write(batch)
        self.known.update(news)
        self.states[chain].advance(block.consortium_height, tree, done.writes)

    def remember(self, values: Mapping[bytes, bytes | None]) -> None:
        """Keep values of ``registry`` and ``gov`` that were proven under the newest header."""
        news = {key: value for key, value in values.items() if self.registry.get(key, b"") != value}
        if news:
            self.store.write([(b"g" + key, value or b"") for key, value in news.items()])
            self.registry.update(news)

    # -- inside -------------------------------------------------------------------------------------------
    def _checked(self, step: _Step, part: Part) -> list[tuple[bytes, bytes | None]]:
        """The rows of the part that follows a step, once all of it stands; moves the step."""
        try:
            header = Header.decode(part.header)
            certificate = Certificate.decode(part.certificate)
        except (BlockError, CertificateError) as error:
            raise PartError("MALFORMED", str(error)) from None
        self._check_header(step, header, certificate)
        coming = _handover(header, part.validators)
        heads, changed = _heads_after(step.heads, header, part.heads)
        transactions = _own_transactions(header, part.transactions)
        receipts = _own_receipts(header, transactions, part.receipts)
        height = header.height
        batch: list[tuple[bytes, bytes | None]] = [
            (rows.by_height(b"h", height), header.encoded),
            (rows.by_height(b"c", height), certificate.encode()),
            (rows.by_height(b"p", height), encode(list(part.transactions))),
            (rows.by_height(b"r", height), encode(list(part.receipts))),
        ]
        batch.extend((_head_key(head.chain, height), head.leaf()) for head in changed)
        for index, transaction in enumerate(transactions):
            batch.append((b"t" + transaction.id, pack([height, CONSORTIUM, index])))
        said = Transition(header, {CONSORTIUM: ChainExecution(receipts=receipts)}, {}, {}, {})
        batch.extend(notice_rows(height, header.time, said))
        if coming is not None:
            batch.append((rows.by_height(b"V", height), encode(coming.to_value())))
            step.validators = coming
        for chain in heads.keys() - step.since.keys():
            step.since[chain] = height
        if any(transaction.contract in WATCHED for transaction in transactions):
            self.registry_height = height
        step.head, step.heads = header, heads
        return batch

    def _check_header(self, step: _Step, header: Header, certificate: Certificate) -> None:
        """Links and certificate: the header is the one that a quorum of this height's set signed."""
        before = step.head
        if header.network_id != self.network_id:
            raise PartError("WRONG_NETWORK", "the header is of another network")
        if header.height != before.height + 1:
            raise PartError("NOT_NEXT", f"header {header.height} does not follow header {before.height}")
        if header.validators_hash != step.validators.hash or header.epoch != step.validators.epoch:
            raise PartError("WRONG_VALIDATORS", f"header {header.height} names other validators than it should")
        if certificate.digest != header.digest or certificate.height != header.height:
            raise PartError("WRONG_CERTIFICATE", f"the certificate is not of header {header.height}")
        try:
            certificate.check(step.validators, self.network_id, self.signature_check)
        except CertificateError as error:
            raise PartError("WRONG_CERTIFICATE", f"header {header.height}: {error}") from None
        if header.parent_hash != before.digest:
            raise ContradictionError(
                "FORKED",
                f"a quorum certified header {header.height} ({header.digest.hex()[:16]}…) on another block"
                f" {before.height} than the certified {before.digest.hex()[:16]}…: stop, and ask the members",
            )
        if header.time <= before.time:
            raise ContradictionError("CERTIFIED_INVALID", f"header {header.height} is not later than its parent")

    def _values(self, prefix: bytes) -> dict[bytes, bytes | None]:
        return {key[1:]: value or None for key, value in self.store.scan(prefix, rows.successor(prefix))}

    def _newest_head(self, chain: str) -> Head:
        head = self.head_at(chain, self.head.height)
        if head is None:
            raise StoreError(f"the head of chain {chain} is missing: move the folder away and start again")
        return head

    def _check_states(self) -> None:
        """The stored state of each followed chain must have the root of the head it was executed to."""
        for chain in self.follow:
            done = self.executed(chain)
            if done.own:
                head = self.head_at(chain, done.height)
                if head is None or self.states[chain].tree.root != head.state_root:
                    raise LedgerError(
                        f"the state of chain {chain} does not match its block {done.own}: the ledger is damaged; move"
                        " its folder away and start again"
                    )


@dataclass(slots=True)
class _Step:
    """Where the ledger stands while parts are taken in."""

    head: Header
    validators: ValidatorSet
    heads: dict[str, Head]
    since: dict[str, int]


def _handover(header: Header, value: Any) -> ValidatorSet | None:
    """The set of the next height where the header names another than its own."""
    if header.next_validators_hash == header.validators_hash:
        if value is not None:
            raise PartError("WRONG_VALIDATORS", f"header {header.height} hands over to nobody, yet a set came along")
        return None
    try:
        coming = ValidatorSet.from_value(value)
    except CertificateError as error:
        raise PartError("WRONG_VALIDATORS", f"header {header.height} hands over: {error}") from None
    if coming.hash != header.next_validators_hash:
        raise PartError("WRONG_VALIDATORS", f"header {header.height} hands over to another set than the one sent")
    return coming


def _heads_after(
    before: Mapping[str, Head], header: Header, leaves: tuple[bytes, ...]
) -> tuple[dict[str, Head], list[Head]]:
    """All heads after a block, and those that changed. Raises PartError WRONG_HEADS."""
    try:
        changed = [Head.decode(leaf) for leaf in leaves]
    except BlockError as error:
        raise PartError("WRONG_HEADS", f"header {header.height}: {error}") from None
    heads = dict(before)
    for head in changed:
        known = heads.get(head.chain)
        if known is not None and head.height != known.height + 1:
            raise PartError("WRONG_HEADS", f"chain {head.chain} leaps from {known.height} to {head.height}")
        heads[head.chain] = head
    if len(heads) != header.chain_count or transition.heads_root(heads, list(heads)) != header.heads_root:
        raise PartError("WRONG_HEADS", f"the chain heads are not those under header {header.height}")
    return heads, changed


def _own_transactions(header: Header, wires: tuple[bytes, ...]) -> list[Transaction]:
    """The consortium's transactions of a block. Raises PartError WRONG_TRANSACTIONS."""
    try:
        transactions = [parse(wire) for wire in wires]
    except TransactionError as error:
        raise PartError("WRONG_TRANSACTIONS", f"block {header.height}: {error}") from None
    if len(wires) != header.tx_count or merkle.root([each.leaf for each in transactions]) != header.tx_root:
        raise PartError("WRONG_TRANSACTIONS", f"the consortium's transactions are not those of block {header.height}")
    return transactions


def _own_receipts(header: Header, transactions: list[Transaction], raw: tuple[bytes, ...]) -> list[Receipt]:
    """The consortium's receipts of a block, the hooks' first. Raises PartError WRONG_RECEIPTS."""
    if len(raw) != len(transactions) + 1 or merkle.root(raw) != header.receipt_root:
        raise PartError("WRONG_RECEIPTS", f"the consortium's receipts are not those of block {header.height}")
    try:
        return [Receipt.decode(each) for each in raw]
    except BlockError as error:
        raise ContradictionError("CERTIFIED_INVALID", f"block {header.height}: {error}") from None


def _witnessed(genesis_rows: Iterable[tuple[bytes, bytes | None]]) -> Iterator[tuple[bytes, bytes]]:
    """The consortium's values at genesis, which follow from its document, as rows of known values."""
    prefix = rows.chain_prefix(b"s", CONSORTIUM)
    for key, row in genesis_rows:
        if key.startswith(prefix) and row is not None:
            state_key, value = key[len(prefix) :], row[8:]
            yield b"w" + state_key, value
            if load(state_key)[0] in WATCHED:
                yield b"g" + state_key, value


def _head_key(chain: str, height: int) -> bytes:
    return rows.chain_prefix(b"K", chain) + rows.inverse(height)
