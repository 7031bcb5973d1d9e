"""Random changes to a bundle: bytes, values at any depth of its proofs, JSON, whole files, parts of other bundles.

A proof is canonical data whose byte strings are canonical data in turn (headers, transactions, values): a change goes
as deep as chance takes it and is encoded again all the way up, so that mutants are well formed and not just noise.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from chain.codec import CodecError, decode, encode
from tallystick.evidence import manifest
from tests.evidence.forger import Forger

MAX_SIZE: Final = 16 * 1024 * 1024
_DEEPER: Final = 0.75
"""Of byte strings that hold canonical data, the share that is changed inside."""
_SPECIAL: Final[tuple[Any, ...]] = (0, 1, -1, 2**31, 2**53, 2**63 - 1, True, False, None, "", b"", [], {})


class Mutator:
    """Mutants of one bundle. others: bundles that parts are taken from (older, of other cases, of a stranger)."""

    def __init__(self, honest: Forger, others: Sequence[Forger], chance: random.Random) -> None:
        self._honest = honest
        self._others = others
        self._chance = chance
        self._ways: tuple[tuple[str, int, Callable[[Forger], Forger]], ...] = (
            ("value", 40, self._value),
            ("bytes", 10, self._bytes),
            ("json", 15, self._json),
            ("splice", 15, self._splice),
            ("file of another", 10, self._foreign),
            ("swap", 4, self._swap),
            ("drop", 3, self._drop),
            ("copy", 3, self._copy),
            ("manifest", 2, self._manifest),
        )

    def mutant(self) -> tuple[str, Forger]:
        """One to three changes: (what was done, the bundle)."""
        made, done = self._honest, []
        for _ in range(self._chance.choices((1, 2, 3), (8, 2, 1))[0]):
            name, _, way = self._chance.choices(self._ways, [weight for _, weight, _ in self._ways])[0]
            made = way(made)
            done.append(name)
        return " + ".join(done), made

    # -- one change ---------------------------------------------------------------------------------------------

    def _file(self, of: Forger, *endings: str) -> str:
        names = sorted(name for name in of.files if not endings or name.endswith(endings))
        return self._chance.choice(names or sorted(of.files))

    def _value(self, of: Forger) -> Forger:
        name = self._file(of, ".proof", ".disclosure", ".evm", ".ots")
        return of.with_file(name, self._inside(of.files[name]))

    def _bytes(self, of: Forger) -> Forger:
        name = self._file(of)
        return of.with_file(name, self._flipped(of.files[name]))

    def _json(self, of: Forger) -> Forger:
        name = self._file(of, ".json")
        try:
            value = json.loads(of.files[name])
        except ValueError:
            return self._bytes(of)
        return of.with_file(name, manifest.to_json(self._changed(value, bytes_too=False)))

    def _splice(self, of: Forger) -> Forger:
        """A part of another bundle's proof at the same place of ours."""
        name = self._file(of, ".proof", ".disclosure")
        other = self._chance.choice(self._others)
        source = other.files.get(name) or other.files[self._file(other, ".proof")]
        try:
            ours, theirs = _decoded(of.files[name]), _decoded(source)
        except CodecError:
            return self._bytes(of)
        return of.with_file(name, _encoded(self._spliced(ours, theirs), of.files[name]))

    def _foreign(self, of: Forger) -> Forger:
        other = self._chance.choice(self._others)
        name = self._file(of)
        if name in other.files and self._chance.random() < 0.5:
            return of.with_file(name, other.files[name])
        return of.with_file(name, other.files[self._file(other, "." + name.rpartition(".")[2])])

    def _swap(self, of: Forger) -> Forger:
        one = self._file(of)
        two = self._file(of, "." + one.rpartition(".")[2])
        return replace(of, files={**of.files, one: of.files[two], two: of.files[one]})

    def _drop(self, of: Forger) -> Forger:
        return of.without(self._file(of))

    def _copy(self, of: Forger) -> Forger:
        name = self._file(of)
        folder, _, ending = name.rpartition("/")[0], *name.rpartition(".")[1:]
        target = f"{folder}/{self._chance.randrange(10_000):04}.{ending}" if folder else "README.txt"
        return of.with_file(target, of.files[name])

    def _manifest(self, of: Forger) -> Forger:
        match self._chance.randrange(3):
            case 0:
                return replace(of, height=max(1, of.height + self._chance.choice((-1, 1, -10, 10, 2**40))))
            case 1:
                return replace(of, claimant=self._chance.choice(("notary", "court", "erp", "nobody", "", "银行")))
            case _:
                return replace(of, network_id=self._flipped(of.network_id))

    # -- values -------------------------------------------------------------------------------------------------

    def _inside(self, data: bytes) -> bytes:
        """Canonical bytes with one value in them changed; plain bytes with some changed."""
        try:
            value = _decoded(data)
        except CodecError:
            return self._flipped(data)
        return _encoded(self._changed(value), data)

    def _changed(self, value: Any, *, bytes_too: bool = True) -> Any:
        chance = self._chance
        if isinstance(value, bytes):
            nested = _is_canonical(value) and chance.random() < _DEEPER
            return self._inside(value) if nested else self._flipped(value)
        if isinstance(value, list) and value and chance.random() < 0.9:
            place = chance.randrange(len(value))
            row = list(value)
            match chance.randrange(12):
                case 0:
                    del row[place]
                case 1:
                    row.insert(place, row[chance.randrange(len(row))])
                case 2:
                    chance.shuffle(row)
                case _:
                    row[place] = self._changed(row[place], bytes_too=bytes_too)
            return row
        if isinstance(value, dict) and value and chance.random() < 0.9:
            name = chance.choice(sorted(value, key=str))
            if chance.random() < 0.05:
                return {other: part for other, part in value.items() if other != name}
            return {**value, name: self._changed(value[name], bytes_too=bytes_too)}
        return self._scalar(value, bytes_too=bytes_too)

    def _scalar(self, value: Any, *, bytes_too: bool) -> Any:
        chance = self._chance
        if chance.random() < 0.15:
            return chance.choice([part for part in _SPECIAL if bytes_too or not isinstance(part, bytes)])
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return value + chance.choice((-1, 1, 10, -100, 1 << chance.randrange(40)))
        if isinstance(value, str):
            return self._text(value)
        return value

    def _text(self, text: str) -> str:
        chance = self._chance
        if text and all(letter in "0123456789abcdef" for letter in text) and len(text) % 2 == 0:
            return self._flipped(bytes.fromhex(text)).hex()
        place = chance.randrange(len(text) + 1)
        return text[:place] + chance.choice(("", "0", "9", "x", "元", "\u202e")) + text[place + chance.randrange(2) :]

    def _flipped(self, data: bytes) -> bytes:
        chance = self._chance
        if not data:
            return b"\0"
        place = chance.randrange(len(data))
        match chance.randrange(8):
            case 0:
                return data[:place]
            case 1:
                return data + bytes([chance.randrange(256)])
            case 2:
                return data[:place] + data[place + 1 :]
            case _:
                return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]

    def _spliced(self, ours: Any, theirs: Any) -> Any:
        """Ours with theirs at one place both have."""
        chance = self._chance
        if isinstance(ours, dict) and isinstance(theirs, dict) and chance.random() < 0.9:
            shared = sorted(name for name in ours if name in theirs and ours[name] != theirs[name])
            if shared:
                name = chance.choice(shared)
                return {**ours, name: self._spliced(ours[name], theirs[name])}
        if isinstance(ours, list) and isinstance(theirs, list) and chance.random() < 0.7:
            places = [place for place in range(min(len(ours), len(theirs))) if ours[place] != theirs[place]]
            if places:
                place = chance.choice(places)
                return [*ours[:place], self._spliced(ours[place], theirs[place]), *ours[place + 1 :]]
        nested = isinstance(ours, bytes) and isinstance(theirs, bytes) and chance.random() < 0.7
        if nested and _is_canonical(ours) and _is_canonical(theirs):
            return _encoded(self._spliced(_decoded(ours), _decoded(theirs)), ours)
        return theirs


def _decoded(data: bytes) -> Any:
    return decode(data, max_size=MAX_SIZE)


def _encoded(value: Any, otherwise: bytes) -> bytes:
    try:
        return encode(value)
    except CodecError:
        return otherwise[:-1]


def _is_canonical(data: bytes) -> bool:
    """Whether bytes hold canonical data that has parts."""
    try:
        return isinstance(_decoded(data), list | dict)
    except CodecError:
        return False
