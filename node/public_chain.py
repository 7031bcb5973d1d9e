"""A public-chain node on this machine, for the demo and for trying things: real ``anvil``, else the devchain.

``anvil`` is Foundry's Ethereum node; the npm package carries its binary, so nothing is compiled and no
installer script is run. Where there is neither npm nor anvil, ``node.devchain`` stands in. Either way the chain
is this machine's own, and what is anchored there says ``DEV-ANCHOR: proves nothing``.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import httpx

ANVIL_PACKAGE: Final = "@foundry-rs/anvil"
ANVIL_VERSION: Final = "1.7.1"
INSTALL_SECONDS: Final = 120
START_SECONDS: Final = 15
BLOCK_SECONDS: Final = 1
LOG_NAME: Final = "public-chain.log"


class PublicChainError(Exception):
    """No public-chain node could be had; one line that says what to do."""


class PublicChain(NamedTuple):
    """A running node. kind: ``anvil`` or ``devchain``; the caller ends the process."""

    url: str
    kind: str
    process: subprocess.Popen[bytes]


def find_anvil(directory: Path) -> Path | None:
    """The anvil binary: ``$TALLY_ANVIL``, else on the PATH, else below ``directory/node_modules``."""
    named = os.environ.get("TALLY_ANVIL")
    if named:
        return Path(named) if os.access(named, os.X_OK) else None
    found = shutil.which("anvil")
    if found is not None:
        return Path(found)
    # The platform package's binary itself, not the JavaScript launcher around it: one process to end.
    binaries = sorted(directory.glob("node_modules/@foundry-rs/anvil-*/bin/anvil*"))
    return next((path for path in binaries if os.access(path, os.X_OK)), None)


def install_anvil(directory: Path) -> Path:
    """Put anvil below ``directory/node_modules`` with npm; its path. Raises PublicChainError."""
    npm = shutil.which("npm")
    if npm is None:
        raise PublicChainError("npm is not installed: install nodejs and npm, or set TALLY_ANVIL to an anvil binary")
    directory.mkdir(parents=True, exist_ok=True)
    package = f"{ANVIL_PACKAGE}@{ANVIL_VERSION}"
    # No install scripts: the binary is in the platform package, nothing needs to run.
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    command = [npm, "install", "--prefix", str(directory), package, *quiet]
    try:
        done = subprocess.run(command, capture_output=True, timeout=INSTALL_SECONDS, check=False, text=True)
    except subprocess.TimeoutExpired:
        raise PublicChainError(f"npm did not fetch {package} within {INSTALL_SECONDS} s: try again") from None
    except OSError as error:
        raise PublicChainError(f"npm cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise PublicChainError(f"npm could not fetch {package}: {lines[0]}")
    found = find_anvil(directory)
    if found is None:
        raise PublicChainError(f"{package} has no binary for this machine: set TALLY_ANVIL to an anvil binary")
    return found


def start_public_chain(
    directory: Path,
    port: int,
    *,
    cache: Path | None = None,
    install: bool = True,
    say: Callable[[str], None] = lambda _line: None,
) -> PublicChain:
    """Start anvil, or the devchain where there is none, on 127.0.0.1:port, and wait until it answers.

    directory: for the log file; cache: for ``node_modules``, the same folder without it; install: fetch anvil with
    npm where it is missing; say: told in one line why it is not anvil. Raises PublicChainError.
    """
    _need_free(port)
    directory.mkdir(parents=True, exist_ok=True)
    kept = directory if cache is None else cache
    try:
        anvil = find_anvil(kept)
        if anvil is None and install:
            anvil = install_anvil(kept)
        if anvil is None:
            raise PublicChainError("anvil is not installed")
        return _start("anvil", anvil_command(anvil, port), directory, port)
    except PublicChainError as error:
        say(f"no anvil ({error}); a development chain stands in")
    return _start("devchain", devchain_command(port), directory, port)


def anvil_command(anvil: Path, port: int) -> list[str]:
    """How anvil is run. First come, first served: under its default order, by fees, an account's pooled
    transactions with unequal fees vanish."""
    network = ("--host", "127.0.0.1", "--port", str(port))
    return [str(anvil), "--silent", "--order", "fifo", "--block-time", str(BLOCK_SECONDS), *network]


def devchain_command(port: int) -> list[str]:
    """How the development chain is run."""
    return [sys.executable, "-m", "node.devchain", "--port", str(port), "--block-time", str(BLOCK_SECONDS)]


def _start(kind: str, command: list[str], directory: Path, port: int) -> PublicChain:
    source = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    try:
        with open(directory / LOG_NAME, "wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # a ^C at the terminal reaches the caller, which ends it in order
            )
    except OSError as error:
        raise PublicChainError(f"{command[0]} cannot be run: {error.strerror}") from None
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if _answers(url):
            return PublicChain(url, kind, process)
        time.sleep(0.05)
    process.kill()
    process.wait()
    lines = (directory / LOG_NAME).read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    raise PublicChainError(f"{kind} did not start on port {port}: {lines[-1][:200]}")


def _answers(url: str) -> bool:
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    try:
        with httpx.Client(trust_env=False, timeout=2) as client:
            return "result" in client.post(url, json=request).json()
    except (httpx.HTTPError, ValueError):
        return False


def _need_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise PublicChainError(f"port {port} is in use: end what listens there, or choose another") from None
