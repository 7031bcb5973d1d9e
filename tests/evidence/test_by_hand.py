"""docs/verify-by-hand.md: its commands, run as they stand, accept a real bundle and refuse altered ones.

No program of tally takes part: bash, unzip, sha256sum, openssl, and the stock OpenTimestamps client.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick.evidence import archive, manifest
from tests.evidence_bundle import Publics, anchor, bundle, told
from tests.evidence_case import CaseWorld

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/verify-by-hand.md"
STEPS = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
FILES, HELPERS, BLOCKS, ITEMS, ORIGINALS, FIELDS, STATES, LOG, TOKENS, STAMPS = range(10)
Change = Callable[[dict[str, bytes]], dict[str, bytes]]


class Scene:
    """A bundle and what the court brings along."""

    def __init__(self) -> None:
        self.publics = Publics()
        self.world: CaseWorld = told(self.publics)
        checkpoint = anchor(self.world, self.publics)
        self.bundle = bundle(self.world, checkpoint.size)
        self.files = archive.unpack(self.bundle)
        headers = next(data for name, data in self.files.items() if "headers-" in name)
        self.bitcoin_root = headers[36:68][::-1].hex()

    def run(
        self, folder: Path, steps: list[int], bundle_bytes: bytes | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """The page's steps on a bundle, in a folder of their own."""
        (folder / "bundle.zip").write_bytes(self.bundle if bundle_bytes is None else bundle_bytes)
        root = base64.encodebytes(self.publics.root.der).decode()
        (folder / "tsa-root.pem").write_text(f"-----BEGIN CERTIFICATE-----\n{root}-----END CERTIFICATE-----\n")
        brought = {"GENESIS": self.world.network_id.hex(), "BITCOIN_ROOT": self.bitcoin_root, **environment}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return subprocess.run(
            ["bash", "-c", "\n".join(STEPS[step] for step in steps)],
            cwd=folder,
            env={**os.environ, **brought, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def altered(self, change: Change) -> bytes:
        """A bundle with files changed, every list and signature made anew by the creditor."""
        height = manifest.read(self.files)["height"]
        key = self.world.key("bank", "signer")
        files = manifest.seal(
            change(dict(self.files)), key, network_id=self.world.network_id, height=height, claimant="bank"
        )
        return archive.pack(files)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def test_the_page_has_the_steps_and_the_programs_are_there() -> None:
    assert len(STEPS) == STAMPS + 1
    for program in ("bash", "unzip", "sha256sum", "openssl"):
        assert shutil.which(program), f"{program} is not installed: .ci/setup.sh says what is needed"


def test_a_real_bundle_stands(scene: Scene, tmp_path: Path) -> None:
    done = scene.run(tmp_path, list(range(len(STEPS))))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^hand/states-\d+\.txt$", done.stdout, re.MULTILINE), "whose key it is"
    assert "Time stamp: Jun 22 02:" in done.stdout
    assert f"block 840000 has merkleroot {scene.bitcoin_root}" in done.stdout


def flipped(data: bytes, place: int = -2) -> bytes:
    """One byte changed."""
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


def digit(data: bytes, word: str) -> bytes:
    """The last hexadecimal digit of the first line of a word changed."""
    lines = data.decode().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith(f"{word} "))
    lines[place] = lines[place][:-1] + ("0" if lines[place][-1] != "0" else "1")
    return ("\n".join(lines) + "\n").encode()


ALTERED: dict[str, tuple[list[int], str, Callable[[bytes], bytes]]] = {
    "an original": ([ORIGINALS], "originals/0001", flipped),
    "a statement": ([BLOCKS], "hand/block-", lambda data: digit(data, "statement")),
    "a header": ([BLOCKS], "hand/block-", lambda data: digit(data, "header")),
    "a validator's signature": ([BLOCKS], "hand/block-", lambda data: digit(data, "seal")),
    "a record": ([ITEMS], "hand/records-0001", lambda data: digit(data, "hash")),
    "a transaction's signature": ([ITEMS], "hand/records-0001", lambda data: digit(data, "signature")),
    "a state's key": ([STATES], "hand/states-", lambda data: digit(data, "key")),
    "a state's value": ([STATES], "hand/states-", lambda data: digit(data, "hash")),
    "a checkpoint": ([LOG], r"checkpoint.txt$", lambda data: flipped(data, -5)),
    "a time stamp": ([TOKENS], ".tsr", lambda data: flipped(data, -40)),
    "a Bitcoin proof": ([STAMPS], "checkpoint.txt.ots$", lambda data: flipped(data, 80)),
}


@pytest.mark.parametrize("what", ALTERED)
def test_an_altered_bundle_does_not(scene: Scene, tmp_path: Path, what: str) -> None:
    """Checksums and the creditor's signature are made anew: it is the step itself that refuses."""
    steps, wanted, change = ALTERED[what]

    def altered(files: dict[str, bytes]) -> dict[str, bytes]:
        name = next(
            name for name in sorted(files) if re.search(wanted, name) and not files[name].count(b"\nabsent\n")
        )
        return {**files, name: change(files[name])}

    done = scene.run(tmp_path, [FILES, HELPERS, *steps], scene.altered(altered))
    assert done.returncode != 0, done.stdout


def test_lists_and_outside_sources_decide(scene: Scene, tmp_path: Path) -> None:
    """A file without a checksum; another creditor's key; another consortium; another Bitcoin block."""
    files = dict(scene.files)
    cases: list[tuple[list[int], dict[str, bytes], dict[str, str]]] = [
        ([FILES], {"originals/9999.bin": b"?"}, {}),
        ([FILES], {"case.json": flipped(files["case.json"])}, {}),
        ([FILES, HELPERS], {"manifest.sig": flipped(files["manifest.sig"])}, {}),
        ([FILES, HELPERS, BLOCKS], {}, {"GENESIS": "00" * 32}),
        ([FILES, HELPERS, STAMPS], {}, {"BITCOIN_ROOT": "00" * 32}),
    ]
    for number, (steps, changed, environment) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = scene.run(folder, steps, archive.pack({**files, **changed}), **environment)
        assert done.returncode != 0, number
