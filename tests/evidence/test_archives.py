"""The bundle's outer form: each other form is refused, by its code, before it costs anything."""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest

from tallystick.evidence import archive
from tests.evidence.bad_archives import BAD, INNER
from tests.evidence.zip_maker import Archive, files_of, like

FILES = {
    "README.txt": b"readme\n",
    INNER: b'{"amount": 1}\n',
    "manifest.json": b"{}\n",
    "originals/0001.bin": bytes(range(256)) * 40,
    "states/0001.proof": b"proof",
}
GROWTH_KB = 100_000
"""More than this a refusal may not take; a bomb of the list unpacks to as much as a gigabyte."""


def test_the_same_files_are_the_same_bytes_and_come_back() -> None:
    packed = archive.pack(FILES)
    assert archive.pack(dict(reversed(FILES.items()))) == packed
    assert archive.unpack(packed) == FILES
    assert files_of(packed) == FILES


def test_what_is_made_by_hand_is_what_the_packer_makes() -> None:
    """Else the forms below would be refused for another reason than their own."""
    packed = archive.pack(FILES)
    assert like(packed).encode() == packed


@pytest.mark.parametrize(("name", "code", "make"), BAD, ids=[name for name, _, _ in BAD])
def test_another_form_is_refused_by_its_code(name: str, code: str, make: Callable[[Archive], bytes]) -> None:
    data = make(like(archive.pack(FILES)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(archive.ArchiveError) as refusal:
        archive.unpack(data)
    assert refusal.value.code == code, name
    assert str(refusal.value).isprintable()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH_KB


def test_cutting_a_bundle_anywhere_is_noticed() -> None:
    packed = archive.pack(FILES)
    for size in range(0, len(packed), 97):
        with pytest.raises(archive.ArchiveError):
            archive.unpack(packed[:size])


def test_no_single_byte_of_the_frame_is_free() -> None:
    """A byte changed anywhere gives other files or no bundle: there is no room for a message."""
    packed = archive.pack({"README.txt": b"r", INNER: b"{}"})
    for place in range(len(packed)):
        changed = packed[:place] + bytes([packed[place] ^ 0x20]) + packed[place + 1 :]
        try:
            files = archive.unpack(changed)
        except archive.ArchiveError:
            continue
        assert archive.pack(files) == changed
