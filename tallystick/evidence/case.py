"""A bundle opened: its files, and what they say once read; each part is read when a check first asks for it.

Files of a bundle::

    case.json                     what the bundle states; recomputed from the proofs and compared
    states/NNNN.proof             state proofs on any chain, all as of the manifest's height, sorted by chain and key
    transactions/NNNN.proof       transactions of the deed, the case and the loan, in their order on the chain
    records/NNNN.proof            the sealed records
    disclosures/NNNN.disclosure   opened sealed fields and raw salts, of the record with the same number
    originals/NNNN.ext            the files that the records were read from, of the record with the same number
    anchors/NN/…, anchors/paths.json    checkpoints, what shows them outside, and the paths to them; see anchors.py
    documents/*.pdf, *.json       the papers of the route, and the data that each was set from
    rules/*.txt, index.html, README.txt, hand/*.txt   for people: rendered from case.json and proofs, and compared
    manifest.json, manifest.sig, SHA256SUMS   see manifest.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from chain.crypto import sha256
from chain.disclosure import Disclosure
from chain.verification import VerificationError
from contracts.errors import ContractError
from tallystick.evidence import anchors, manifest
from tallystick.evidence.anchors import AnchorFile, Outside
from tallystick.evidence.contents import Block, Done, Sealed, State, open_proof
from tallystick.evidence.facts import Attached, Chosen, Stated, state
from tallystick.evidence.once import once
from tallystick.evidence.view import Proved

if TYPE_CHECKING:
    from chain.anchor import Trusted


_SUFFIXES: Final = ((b"%PDF-", "pdf"), (b"PK\x03\x04", "zip"), (b"<", "xml"), (b"{", "json"), (b"[", "json"))


@dataclass
class Case:
    """What a check looks at. network_id and trusted come from outside; data is the file as given."""

    data: bytes
    files: Mapping[str, bytes]
    network_id: bytes
    trusted: Trusted
    now: int | None = None
    """Seconds since 1970, by the verifier's clock; None: not looked at."""

    @once
    def manifest(self) -> dict[str, Any]:
        """manifest.json, checked for form."""
        return manifest.read(self.files)

    @once
    def stated(self) -> dict[str, Any]:
        """case.json: what the bundle says of itself."""
        if "case.json" not in self.files:
            raise VerificationError("the bundle has no case.json: it is not whole, ask for it again")
        found: Any = manifest.from_json(self.files["case.json"], "case.json")
        if not isinstance(found, dict):
            raise VerificationError("case.json is no object: ask for the bundle again")
        return found

    def folder(self, name: str) -> dict[str, bytes]:
        """The files under a folder, by name, sorted."""
        return {file: self.files[file] for file in sorted(self.files) if file.startswith(f"{name}/")}

    @once
    def states(self) -> dict[tuple[str, tuple[Any, ...]], State]:
        """State entries by chain and key. Raises VerificationError where one stands twice."""
        found: dict[tuple[str, tuple[Any, ...]], State] = {}
        for name, data in self.folder("states").items():
            entry = open_proof(data)
            if not isinstance(entry, State):
                raise VerificationError(f"{name} is no proof of a state")
            if (entry.chain, entry.key) in found:
                raise VerificationError(f"{name} proves an entry that another file proves already")
            found[entry.chain, entry.key] = entry
        return found

    @once
    def transactions(self) -> dict[bytes, Done]:
        """Transactions by id, in the bundle's order."""
        found: dict[bytes, Done] = {}
        for name, data in self.folder("transactions").items():
            entry = open_proof(data)
            if not isinstance(entry, Done) or entry.id in found:
                raise VerificationError(f"{name} is no proof of a transaction, or one that is proved already")
            found[entry.id] = entry
        return found

    @once
    def records(self) -> dict[str, Sealed]:
        """Sealed records by the number in their file's name."""
        found: dict[str, Sealed] = {}
        for name, data in self.folder("records").items():
            entry = open_proof(data)
            if not isinstance(entry, Sealed):
                raise VerificationError(f"{name} is no proof of a record")
            found[name.removeprefix("records/").removesuffix(".proof")] = entry
        return found

    @once
    def blocks(self) -> dict[int, list[Block]]:
        """The blocks that the proofs lead to, by height; more than one of a height only where they contradict."""
        found: dict[int, list[Block]] = {}
        blocks = [entry.block for entry in self.states.values()]
        blocks += [entry.block for entry in self.transactions.values()]
        blocks += [entry.done.block for entry in self.records.values()]
        for block in dict.fromkeys(blocks):
            found.setdefault(block.height, []).append(block)
        return found

    # -- what follows from the proofs ---------------------------------------------------------------------

    @once
    def view(self) -> Proved:
        """The proofs as a source, which remembers what was read of them."""
        return Proved(self)

    @once
    def anew(self) -> Stated:
        """The case's facts, made anew from the proofs and the claimant's choices. Raises VerificationError."""
        try:
            chosen = Chosen.from_json(self.stated["chosen"])
            claimant = bytes.fromhex(self.manifest["key"])
            return state(self.view, chosen, claimant, lambda _: self.attached, self.documents)
        except ContractError as error:
            raise VerificationError(f"the chain's entries do not fit together: {error.message}") from None
        except VerificationError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise VerificationError(f"the case cannot be read from the proofs: {error}") from None

    @once
    def attached(self) -> list[Attached]:
        """What the bundle holds of each record, by the number of its files; the opened values are not held yet."""
        names: dict[str, str] = {}
        for name in self.folder("originals"):
            names.setdefault(name.removeprefix("originals/").partition(".")[0], name)
        return [
            attach(number, record, self.files.get(f"disclosures/{number}.disclosure"), names.get(number), self.files)
            for number, record in self.records.items()
        ]

    @once
    def documents(self) -> list[dict[str, Any]]:
        """Name, size and SHA-256 of the route's papers."""
        return manifest.rows(self.folder("documents"))

    @once
    def sealed(self) -> dict[bytes, Sealed]:
        """The sealed records by id."""
        return {record.id: record for record in self.records.values()}

    # -- public time --------------------------------------------------------------------------------------

    @once
    def anchors(self) -> list[AnchorFile]:
        """The anchors, their form read."""
        return anchors.read(self.folder("anchors"))

    @once
    def paths(self) -> dict[str, list[dict[str, Any]]]:
        """anchors/paths.json."""
        return anchors.paths(self.files)

    @once
    def outside(self) -> list[Outside]:
        """Each anchor held against what the verifier trusts."""
        return [anchors.check(anchor, self.network_id, self.trusted) for anchor in self.anchors]

    @once
    def existed(self) -> dict[int, int]:
        """Height of a block to the public time (seconds) by which it existed, one of evidential value first."""
        found: dict[int, tuple[bool, int]] = {}
        public = {row.anchor.name: row.existed for row in self.outside if row.anchor.kind in anchors.PUBLIC}
        for row in self.paths["inclusion"]:
            existed = public.get(row["anchor"])
            if existed is not None:
                rank = (existed.development, existed.time)
                found[row["height"]] = min(rank, found.get(row["height"], rank))
        return {height: time for height, (_, time) in found.items()}

    @once
    def development(self) -> bool:
        """Whether any block's public time is only a development chain's: the bundle has no evidential value then."""
        real = {
            row.anchor.name
            for row in self.outside
            if row.anchor.kind in anchors.PUBLIC and row.existed is not None and not row.existed.development
        }
        covered = {row["height"] for row in self.paths["inclusion"] if row["anchor"] in real}
        return any(height not in covered for height in self.existed)


def attach(
    number: str, record: Sealed, disclosure: bytes | None, original: str | None, files: Mapping[str, bytes]
) -> Attached:
    """What the files of a record's number hold. Raises VerificationError for a disclosure that is none."""
    opened = {} if disclosure is None else {row.name: row.value for row in Disclosure.decode(disclosure).openings}
    if original is None:
        return Attached(number, record, opened)
    data = files[original]
    return Attached(number, record, opened, original, len(data), sha256(data))


def original_name(number: str, data: bytes) -> str:
    """The name of a record's original: how it ends is told by its first bytes."""
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    suffix = next((name for sign, name in _SUFFIXES if start.startswith(sign)), "bin")
    return f"originals/{number}.{suffix}"
