"""The forger's tools: a bundle opened, any part of it changed, every list, checksum and signature made anew.

The forger is the strongest there is: the claimant, whose own signer key seals the manifest, unless a forgery says
otherwise; who also has every other bundle, every older height, and every key of its own making.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from chain.anchor import Trusted
from chain.checkpoint import Log
from chain.codec import decode, encode
from chain.crypto import SigningKey
from chain.verification import VerificationError
from contracts.errors import ContractError
from tallystick.evidence import archive, hand, manifest, readable
from tallystick.evidence.assemble import heights_of
from tallystick.evidence.case import Case
from tallystick.litigation.documents import as_json
from tallystick.litigation.facts import LitigationError
from tallystick.litigation.gather import case_facts
from tallystick.litigation.particulars import parse
from tests.evidence.zip_maker import files_of

Change = Callable[[Any], Any]
FACTS: Final = "documents/facts.json"
PARTICULARS: Final = "documents/particulars.json"
UNREADABLE: Final = (
    VerificationError, ContractError, LitigationError, KeyError, TypeError, ValueError, IndexError, AttributeError,
    ArithmeticError,
)  # fmt: skip
"""What reading a bundle raises that no longer says a case."""


@dataclass(frozen=True)
class Forger:
    """An opened bundle. key: seals it again; the other parts stand in the manifest."""

    files: dict[str, bytes]
    key: SigningKey
    network_id: bytes
    height: int
    claimant: str

    @classmethod
    def of(cls, bundle: bytes, key: SigningKey) -> Forger:
        """Open a bundle."""
        files = files_of(bundle)
        said = manifest.read(files)
        content = {name: data for name, data in files.items() if name not in manifest.OWN}
        return cls(content, key, bytes.fromhex(said["network_id"]), said["height"], said["claimant"])

    def sealed(self) -> bytes:
        """The bundle's bytes, with manifest, signature and checksums made anew."""
        return archive.pack(self.whole())

    def whole(self) -> dict[str, bytes]:
        """All files, with manifest, signature and checksums."""
        return manifest.seal(
            self.files, self.key, network_id=self.network_id, height=self.height, claimant=self.claimant
        )

    # -- changes, each giving another forger ------------------------------------------------------------------

    def by(self, key: SigningKey, claimant: str | None = None) -> Forger:
        """Sealed by another key."""
        return replace(self, key=key, claimant=self.claimant if claimant is None else claimant)

    def with_file(self, name: str, data: bytes) -> Forger:
        """A file put in or replaced."""
        return replace(self, files={**self.files, name: data})

    def without(self, *names: str) -> Forger:
        """Files left out."""
        assert set(names) <= self.files.keys(), names
        return replace(self, files={name: data for name, data in self.files.items() if name not in names})

    def json(self, name: str, change: Change) -> Forger:
        """A JSON file changed; change alters the value in place, or gives another."""
        value = json.loads(self.files[name])
        changed = change(value)
        return self.with_file(name, manifest.to_json(value if changed is None else changed))

    def proof(self, name: str, change: Change) -> Forger:
        """A proof (or disclosure) changed; change alters the decoded map in place, or gives another."""
        value = decode(self.files[name], max_size=len(self.files[name]))
        changed = change(value)
        return self.with_file(name, encode(value if changed is None else changed))

    def text(self, name: str, old: str, new: str) -> Forger:
        """A text file changed."""
        data = self.files[name].decode()
        assert old in data, f"{name} does not say {old!r}"
        return self.with_file(name, data.replace(old, new).encode())

    def restated(self, *, papers: bool = True) -> Forger:
        """case.json and the pages made anew from what the proofs say now, where they still say a case.

        papers: also the facts that the route's papers are set from.
        """
        try:
            ours = self._with_papers() if papers and FACTS in self.files else self
            return ours.with_file("case.json", manifest.to_json(ours._case().anew.facts)).repaged()
        except UNREADABLE:
            return self

    def _with_papers(self) -> Forger:
        entry = bytes.fromhex(json.loads(self.files[FACTS])["case"])
        particulars = parse(self.files[PARTICULARS], PARTICULARS)
        return self.with_file(FACTS, as_json(case_facts(self._case().anew, particulars, entry)))

    def _case(self) -> Case:
        return Case(b"", self.whole(), self.network_id, Trusted())

    def repaged(self) -> Forger:
        """The pages for people made anew from case.json and the proofs as they stand."""
        facts = json.loads(self.files["case.json"])
        kept = {name: data for name, data in self.files.items() if not name.startswith(("rules/", "hand/"))}
        return replace(self, files={**kept, **readable.render(facts), **hand.render(kept)})

    def covering(self, log: Log, size: int) -> Forger:
        """Paths in a log of one's own for every block of the proofs, to each anchor."""
        names = sorted({name.split("/")[1] for name in self.folder("anchors")} - {"paths.json"})
        rows = [
            {"anchor": name, "height": height, "path": [node.hex() for node in log.inclusion(height - 1, size)]}
            for name in names
            for height in heights_of(self.files)
        ]
        return self.json("anchors/paths.json", lambda paths: {**paths, "inclusion": rows})

    # -- finding ----------------------------------------------------------------------------------------------

    def folder(self, name: str) -> dict[str, bytes]:
        """Files under a folder."""
        return {file: data for file, data in self.files.items() if file.startswith(f"{name}/")}

    def states(self) -> Iterator[tuple[str, str, list[Any], Any]]:
        """(file, chain, key, value) of every state proof."""
        for name, data in self.folder("states").items():
            claim = decode(data)["claim"]
            value = None if claim["value"] is None else decode(claim["value"])
            yield name, claim["chain"], decode(claim["key"]), value

    def state(self, *start: Any) -> str:
        """The one file that proves a key beginning so, (contract, part …)."""
        found = [name for name, _, key, _ in self.states() if tuple(key[: len(start)]) == start]
        assert len(found) == 1, (start, found)
        return found[0]

    def transaction(self, method: str, **args: Any) -> str:
        """The one file that proves a transaction of "contract.method" with these arguments."""
        found = []
        for name, data in self.folder("transactions").items():
            body = decode(decode(decode(data)["claim"]["transaction"][0])[2])
            if f"{body[4]}.{body[5]}" == method and args.items() <= body[6].items():
                found.append(name)
        assert len(found) == 1, (method, args, found)
        return found[0]

    def record(self, kind: str, number: str, place: int = -1) -> str:
        """The file that proves a record; of several versions the last."""
        found = [
            name
            for name, data in self.folder("records").items()
            if decode(decode(data)["claim"]["record"][0])[2:5:2] == [kind, number]
        ]
        assert found, (kind, number)
        return sorted(found)[place]
