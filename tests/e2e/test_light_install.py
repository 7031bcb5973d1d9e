"""`pip install tallystick` without extras signs, queries and verifies without a compiler, LevelDB or libp2p."""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from chain.proof import prove_transaction
from chain.verification import compact
from node.headers_api import headers_after
from tallystick.headers import sync
from tests.chain.chain_builder import Consortium, record

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("chain", "cli", "consensus", "contracts", "genesis", "node", "tallystick")
FILES = ("pyproject.toml", "README.md", "LICENSE")
HEAVY = ("libp2p", "plyvel", "numpy", "trio", "fastapi", "lxml", "eth_account", "typst", "pyhanko")

pytestmark = pytest.mark.slow


def run(*command: str | Path) -> str:
    """Standard output of a command; its standard error is the message when it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of executables of a fresh environment with the light install, from a copy of the sources."""
    folder = tmp_path_factory.mktemp("light")
    source = folder / "source"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    venv.create(folder / "venv", with_pip=True)
    executables = folder / "venv" / "bin"
    # Dependencies as wheels only: nothing may need a compiler.
    options = ("--disable-pip-version-check", "--no-input", "-q", "--only-binary", ":all:")
    run(executables / "python", "-m", "pip", "install", *options, "-c", ROOT / "constraints.txt", source)
    return executables


def python(light: Path, code: str) -> str:
    return run(light / "python", "-I", "-W", "error", "-c", code)


def test_the_heavy_parts_are_not_there(light: Path) -> None:
    found = python(light, f"import importlib.util as u; print([n for n in {HEAVY!r} if u.find_spec(n)])")
    assert found.strip() == "[]"


def test_the_library_imports_without_them(light: Path) -> None:
    loaded = python(light, "import sys, tallystick; print(*sorted(sys.modules))").split()
    assert "chain.transaction" in loaded
    assert not {"chain.store", "node", "consensus"} & set(loaded)


def test_keys_are_made_and_sign_without_them(light: Path, tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from chain import keys
from chain.crypto import verify
path = Path({str(tmp_path)!r}) / "key.json"
keys.create(path, "light", "party", cost=keys.INTERACTIVE)
key = keys.load(path, "light")
print(verify(key.public, b"message", key.sign(b"message")))
"""
    assert python(light, code).strip() == "True"


def test_a_shipped_template_is_in_the_package(light: Path) -> None:
    code = "from genesis import library; print(library.template('general-trade')['id'])"
    assert python(light, code).strip() == "general-trade"


def test_the_command_starts_without_them(light: Path) -> None:
    assert "Usage: tally" in run(light / "tally", "--help")


def test_it_checks_a_receipt_from_headers_alone(light: Path, tmp_path: Path) -> None:
    network = Consortium()
    sealed = network.submit("erp", record("1"))
    network.seal(sealed)
    network.seal()
    path, receipt = tmp_path / "consortium.headers", tmp_path / "receipt"
    sync(path, network.network_id, [lambda after: headers_after(network.ledger, after, 500).encode()])
    receipt.write_bytes(compact(prove_transaction(network.ledger, sealed.id)))
    options = ("--headers", path, "--genesis", network.network_id.hex())
    said = run(light / "tally", "verify", receipt, *options)
    assert "records.submit" in said
    assert "outcome      done" in said
    shown = run(light / "tally", "headers", "show", path, "--genesis", network.network_id.hex())
    assert network.ledger.head.digest.hex() in shown
