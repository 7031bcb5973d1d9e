"""Conformity of a draft under the general-trade template, and the same from a hand count; a fuzzer of files."""

from __future__ import annotations

import copy
import random
import re
import time
from collections.abc import Collection, Iterator
from typing import Any, Final

from lxml import etree

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
    if data.startswith(b"<") and seed % 3 == 0:
        return _other_elements(data, chance)
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


def _other_elements(data: bytes, chance: random.Random) -> bytes:
    """XML that stays well-formed: elements dropped, doubled, moved, emptied or filled with what is not expected."""
    root = etree.fromstring(data)
    for _ in range(chance.randint(1, 3)):
        elements = [element for element in root.iter(etree.Element) if element is not root]
        if not elements:
            break
        element = chance.choice(elements)
        parent = element.getparent()
        match chance.randrange(4):
            case 0 if parent is not None:
                parent.remove(element)
            case 1 if parent is not None:
                parent.append(copy.deepcopy(element))
            case 2:
                element.append(copy.deepcopy(chance.choice(elements)))
            case _:
                element.text = chance.choice(
                    ("", "-1", "***", "1e9", "9" * 40, "0", "19690101", "2026-02-30", "x" * 3_000)
                )
    return etree.tostring(root, encoding="utf-8", xml_declaration=True)


def without_each_element(data: bytes) -> Iterator[bytes]:
    """The XML as often as it has elements below the root, each time without one of them."""
    count = len(list(etree.fromstring(data).iter(etree.Element)))
    for index in range(1, count):
        root = etree.fromstring(data)
        element = list(root.iter(etree.Element))[index]
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)
        yield etree.tostring(root, encoding="utf-8", xml_declaration=True)


def made_up(draft: RecordDraft, data: bytes) -> list[str]:
    """What stands in the draft but nowhere in the file; dates are looked for by their digits."""
    text = " ".join("".join(map(str, etree.fromstring(data).itertext())).split())
    attributes = {
        value for element in etree.fromstring(data).iter(etree.Element) for value in element.attrib.values()
    }
    digits = re.sub(r"\D", "", text)
    found: list[str] = []
    for value in draft.fields.values():
        for cell in [value] if isinstance(value, str) else [cell for row in value for cell in row]:
            known = cell in text or cell in attributes or re.sub(r"[^0-9]", "", cell[:10]) in digits
            if cell and not known:
                found.append(cell)
    return found


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
