"""Conformity of a draft under the general-trade template, and the same from a hand count; a fuzzer of files."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Collection
from typing import Any, Final

from chain.crypto import sha256
from contracts.template import check_fields, compiled
from genesis import library
from node.connectors import ConnectorError, Provenance, RecordDraft, detect, read, to_record

TEMPLATE: Final[dict[str, Any]] = library.template("general-trade")
B: Final = 10_000
SECRET: Final = bytes(range(32))


def by_hand(kind: str, present: Collection[str]) -> int:
    """B · present // asked, where present are the names that somebody counted in the file."""
    fields = TEMPLATE["kinds"][kind]["fields"]
    weights = {name: rule["weight"] for name, rule in fields.items() if rule.get("open", True)}
    assert set(present) <= set(weights), f"the template asks {sorted(weights)} of {kind}"
    assert all(weights[name] > 0 for name in present), "count only what has a weight"
    counted, asked = (sum(weights[name] for name in names) for names in (present, weights))
    return int(B * counted // asked)


def as_record(draft: RecordDraft, data: bytes) -> int:
    """The same by the record that the draft becomes: prepared and checked as the records contract does."""
    prepared = to_record(
        draft, lambda _: TEMPLATE, detect(data, "f"), Provenance("test", sha256(data), 1_795_500_000_000), SECRET
    )
    kind = compiled(TEMPLATE).kinds[draft.kind]
    return B * check_fields(kind, prepared.record[12]) // kind.asked


_TOKEN: Final = re.compile(rb"(<[^>]*>|['+:\n])")
_NASTY: Final = (
    b"", b"-1", b"***", b"1e9", b"99999999999999999999999999999999999999", b"0", b"19690101", b"2026-02-30", b"NaN",
    "发票".encode(), b"x" * 3_000, b"&#0;", b"?", b"\x00", b"\xff",
)  # fmt: skip


def mutated(data: bytes, seed: int) -> bytes:
    """A file with some of its bytes, or of its elements and texts, changed, cut, doubled or moved."""
    chance = random.Random(seed)
    return _other_tokens(data, chance) if seed % 2 else _other_bytes(data, chance)


def _other_bytes(data: bytes, chance: random.Random) -> bytes:
    result = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(result) + 1)
        end = min(len(result), at + chance.choice([1, 1, 2, 8, 64, 512]))
        match chance.randrange(5):
            case 0:
                result[at:end] = bytes(chance.randrange(256) for _ in range(end - at))
            case 1:
                del result[at:end]
            case 2:
                result[at:at] = result[at:end] * chance.choice([1, 2, 50])
            case 3:
                del result[at:]
            case _:
                result[at:end] = b"9" * (end - at)
    return bytes(result)


def _other_tokens(data: bytes, chance: random.Random) -> bytes:
    tokens = _TOKEN.split(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(tokens))
        match chance.randrange(4):
            case 0:
                tokens[at] = b""
            case 1:
                tokens[at : at + 1] = [tokens[at], tokens[at]]
            case 2:
                tokens[at] = tokens[chance.randrange(len(tokens))]
            case _:
                texts = [index for index in range(0, len(tokens), 2) if tokens[index].strip()]
                tokens[chance.choice(texts)] = chance.choice(_NASTY)
    return b"".join(tokens)


def survives(data: bytes, count: int) -> tuple[int, int]:
    """(read, refused) of mutated copies. Anything but a draft or a one-line ConnectorError fails the test."""
    accepted = 0
    lines: list[str] = []
    for seed in range(count):
        started = time.monotonic()
        try:
            assert read(mutated(data, seed), "f")
            accepted += 1
        except ConnectorError as error:
            lines.append(str(error))
        assert time.monotonic() - started < 20
    assert all(line.startswith("f: ") and line.isprintable() for line in lines)
    return accepted, len(lines)
