"""Making a bundle: the walk over a node, a proof of all that it touched, the anchors, and the claimant's signature.

A node is asked for nothing that is not checked: whoever exports verifies the bundle before it goes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from chain.checkpoint import Checkpoint, Log
from chain.crypto import SigningKey, sha256
from chain.disclosure import Disclosure
from contracts.context import KeyPart, Value
from tallystick.evidence import anchors, archive, hand, manifest, readable
from tallystick.evidence.case import attach, original_name
from tallystick.evidence.contents import Done, Sealed, State, open_proof
from tallystick.evidence.facts import Attached, Chosen, Stated, state
from tallystick.evidence.view import Entry


class ExportError(ValueError):
    """A bundle that cannot be made; ``code`` for programs, one line that says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Prover(Protocol):
    """Who makes proofs: a node's API (tallystick.Client), or a ledger in the same process."""

    @property
    def network_id(self) -> bytes:
        """The genesis hash."""

    def prove_state(self, chain: str, contract: str, *key: KeyPart, at: int | None = None) -> bytes:
        """Proof of an entry or its absence after block ``at``."""

    def prove_transaction(self, tx_id: bytes) -> bytes:
        """Proof of a transaction with its outcome."""

    def prove_record(self, record_id: bytes, *, chain: str | None = None) -> bytes:
        """Proof of a sealed record."""


class Opened(NamedTuple):
    """A record's disclosure for this case, and the file it was read from, None where it is not shown."""

    disclosure: Disclosure | None
    original: bytes | None


class AnchorRow(NamedTuple):
    """A confirmed anchor as the chain keeps it. time: seconds, the outside's own."""

    kind: str
    size: int
    root: bytes
    proof: bytes
    time: int


Discloser = Callable[[str, Sealed, bytes, Sequence[str]], Opened]
"""(chain, record, its proof, names of the sealed fields to open) to what the bundle shows of it."""


@dataclass
class _Recorder:
    """A node as a source; keeps the proof of everything that was read."""

    prover: Prover
    height: int
    time: int = 0
    states: dict[Entry, bytes] = field(default_factory=dict)
    transactions: dict[bytes, tuple[Done, bytes]] = field(default_factory=dict)
    _values: dict[Entry, Any] = field(default_factory=dict)

    @property
    def network_id(self) -> bytes:
        return self.prover.network_id

    def read(self, chain: str, contract: str, *key: KeyPart) -> Value:
        place = (chain, (contract, *key))
        if place not in self.states:
            proof = self.prover.prove_state(chain, contract, *key, at=self.height)
            found = open_proof(proof)
            if not isinstance(found, State) or (found.chain, found.key) != place:
                raise ExportError("BAD_ANSWER", "the node proved another entry than was asked for: ask another node")
            self.states[place], self._values[place] = proof, found.value
            self.time = found.block.time
        return self._values[place]

    def transaction(self, tx_id: bytes) -> Done | None:
        if tx_id not in self.transactions:
            proof = self.prover.prove_transaction(tx_id)
            found = open_proof(proof)
            if not isinstance(found, Done) or found.id != tx_id:
                raise ExportError(
                    "BAD_ANSWER", "the node proved another transaction than asked for: ask another node"
                )
            self.transactions[tx_id] = (found, proof)
        return self.transactions[tx_id][0]


def assemble(
    prover: Prover,
    chosen: Chosen,
    key: SigningKey,
    claimant: str,
    height: int,
    *,
    disclose: Discloser | None = None,
    anchored: Sequence[AnchorRow] = (),
    log: Log | None = None,
    documents: Callable[[Stated], Mapping[str, bytes]] | None = None,
) -> bytes:
    """The bytes of a bundle of an application's claim as of a block.

    key: the claimant's signer key; disclose: see `Discloser`; anchored, log: the confirmed anchors and the log of all
    blocks, up to the largest of them; documents: the route's papers, by file name. Raises ExportError, ArchiveError,
    and what the prover raises.
    """
    source = _Recorder(prover, height)
    files: dict[str, bytes] = {}
    names = dict(chosen.opened)

    def attached(wanted: Sequence[tuple[str, bytes]]) -> list[Attached]:
        return [
            _attach(prover, f"{number:04d}", chain, identity, names.get(identity, ()), disclose, files)
            for number, (chain, identity) in enumerate(wanted, start=1)
        ]

    source.read("consortium", "credit", "application", chosen.application)  # so that the source knows its time
    first = state(source, chosen, key.public, attached)
    made = {} if documents is None else documents(first)
    papers = {f"documents/{name}": data for name, data in made.items()}
    facts = {**first.facts, "documents": manifest.rows(papers)}
    files |= papers
    files |= _numbered("states", [source.states[place] for place in sorted(source.states, key=_state_order)])
    done = sorted(source.transactions.values(), key=lambda row: (row[0].block.height, row[0].index))
    files |= _numbered("transactions", [proof for _, proof in done])
    files |= _anchor_files(prover.network_id, files, anchored, log)
    files["case.json"] = manifest.to_json(facts)
    files |= readable.render(facts) | hand.render(files)
    return archive.pack(manifest.seal(files, key, network_id=prover.network_id, height=height, claimant=claimant))


def _attach(
    prover: Prover,
    number: str,
    chain: str,
    identity: bytes,
    names: Sequence[str],
    disclose: Discloser | None,
    files: dict[str, bytes],
) -> Attached:
    """Fetch a record's proof with its disclosure and original into ``files``."""
    proof = prover.prove_record(identity, chain=chain)
    record = open_proof(proof)
    if not isinstance(record, Sealed) or record.id != identity:
        raise ExportError("BAD_ANSWER", "the node proved another record than was asked for: ask another node")
    files[f"records/{number}.proof"] = proof
    shown = Opened(None, None) if disclose is None else disclose(chain, record, proof, names)
    data = original = None
    if shown.disclosure is not None:
        data = shown.disclosure.encode()
        files[f"disclosures/{number}.disclosure"] = data
    if shown.original is not None:
        original = original_name(number, shown.original)
        files[original] = shown.original
    return attach(number, record, data, original, files)


def heights_of(files: Mapping[str, bytes]) -> list[int]:
    """The heights of the blocks that a bundle's proofs lead to."""
    found = set()
    for name, data in files.items():
        if name.endswith(".proof") and not name.startswith("anchors/"):
            entry = open_proof(data)
            found.add((entry.done if isinstance(entry, Sealed) else entry).block.height)
    return sorted(found)


def _anchor_files(
    network_id: bytes, files: Mapping[str, bytes], rows: Sequence[AnchorRow], log: Log | None
) -> dict[str, bytes]:
    """For each block the earliest anchor of each kind that covers it, with the paths."""
    if log is None:
        return {}
    heights = heights_of(files)
    wanted: dict[AnchorRow, list[int]] = {}
    for kind in anchors.FILES:
        usable = [row for row in rows if row.kind == kind and row.size <= len(log) and log.root(row.size) == row.root]
        for height in heights:
            covering = [row for row in usable if row.size >= height]
            if covering:
                wanted.setdefault(min(covering, key=lambda row: (row.size, row.time, row.proof)), []).append(height)
    ordered = sorted(wanted, key=lambda row: (row.size, row.kind, sha256(row.proof)))
    found: dict[str, bytes] = {}
    inclusion: list[dict[str, Any]] = []
    for number, row in enumerate(ordered, start=1):
        name = f"{number:03d}"
        found |= anchors.files_of(name, row.kind, Checkpoint(network_id, row.size, row.root), row.proof)
        inclusion += [
            {"anchor": name, "height": height, "path": _hex(log.inclusion(height - 1, row.size))}
            for height in wanted[row]
        ]
    consistency = [
        {
            "older": f"{number:03d}",
            "newer": f"{number + 1:03d}",
            "path": [] if older.size == newer.size else _hex(log.consistency(older.size, newer.size)),
        }
        for number, (older, newer) in enumerate(pairwise(ordered), start=1)
    ]
    found[anchors.PATHS] = manifest.to_json({"inclusion": inclusion, "consistency": consistency})
    return found


def _hex(path: Iterable[bytes]) -> list[str]:
    return [node.hex() for node in path]


def _numbered(folder: str, proofs: Sequence[bytes]) -> dict[str, bytes]:
    return {f"{folder}/{number:04d}.proof": proof for number, proof in enumerate(proofs, start=1)}


def _state_order(place: Entry) -> tuple[str, str]:
    return place[0], repr(place[1])
