"""The node's side of the process that takes documents in: started with the node, started again when it dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio

from chain import keys
from node.config import Config
from node.intake.spool import Spool

if TYPE_CHECKING:
    from node.driver import Log

FOLDER: Final = "intake"
STATUS_FILE: Final = "status.json"
JOBS_FOLDER: Final = "jobs"
MODULE: Final = "node.intake.worker"
ROOT: Final = Path(__file__).resolve().parents[2]
FIRST_PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 60.0
CALM_S: Final = 60.0
"""A process that lived so long was no immediate failure."""


class SupervisorError(RuntimeError):
    """The settings of [intake] cannot be used; one line that says what to do."""


class Supervisor:
    """Runs the process while the node runs, if there is a way in at all. ``spool``: where pushed files wait."""

    def __init__(self, config: Config, passphrase: str, log: Log) -> None:
        """Raises SupervisorError where a key is lacking, KeyFileError, OSError where the folder cannot be made."""
        self.config = config
        self.folder = config.data / FOLDER
        self.starts = 0
        self._pid = 0
        self._passphrase = passphrase
        self._log = log
        if config.intake.feeds and (config.intake.signer or config.keys.signer) is None:
            raise SupervisorError("[intake] has no key to sign with: set intake.signer, or keys.signer")
        if config.intake.feeds and not config.keys.encryption:
            raise SupervisorError("[intake] has no key to keep documents under: set keys.encryption")
        public = keys.inspect(config.keys.encryption[0]).public if config.intake.pushes else b""
        self.spool = Spool(self.folder / JOBS_FOLDER, public) if config.intake.pushes else None

    async def run(self) -> None:
        """Until cancelled; then the process is ended."""
        pause, after_crash = FIRST_PAUSE_S, False
        while self.config.intake.feeds:
            began = trio.current_time()
            code = await self._live(after_crash=after_crash)
            lived, after_crash = trio.current_time() - began, True
            self._log.warning("intake ended", code=code, lived_s=round(lived, 1))
            pause = FIRST_PAUSE_S if lived > CALM_S else min(2 * pause, MAX_PAUSE_S)
            await trio.sleep(pause)

    def status(self) -> dict[str, Any] | None:
        """What the process last said of itself ({pid, time, cpu_s, max_rss_bytes, ways}), nothing where it has said
        nothing yet, and how often one was started; None where there is no way in."""
        if not self.config.intake.feeds:
            return None
        nothing = {"pid": self._pid, "time": 0, "cpu_s": 0.0, "max_rss_bytes": 0, "ways": {}}
        try:
            found: dict[str, Any] = json.loads((self.folder / STATUS_FILE).read_bytes())
        except (OSError, ValueError):
            found = nothing
        return {"starts": self.starts, **(found if found["pid"] == self._pid else nothing)}

    async def _live(self, *, after_crash: bool) -> int:
        """One process from start to end; its exit code, negative for a signal."""
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", MODULE], stdin=subprocess.PIPE, env=_environment()
        )
        self.starts += 1
        self._pid = process.pid
        try:
            assert process.stdin is not None
            await process.stdin.send_all(self._order(after_crash=after_crash))
            return await process.wait()
        except trio.BrokenResourceError:  # it died before it had read that
            return await process.wait()
        finally:
            self._pid = 0
            with trio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()  # nothing is lost: what is sealed is known
                    await process.wait()
                if process.stdin is not None:
                    await process.stdin.aclose()

    def _order(self, *, after_crash: bool) -> bytes:
        from node.processes import local_url

        config = self.config
        signer = config.intake.signer or config.keys.signer
        value = {
            "passphrase": self._passphrase,
            "member": config.member,
            "api": local_url(config.api.listen),
            "folder": str(self.folder),
            "signer": str(signer),
            "sealing_key": None if config.intake.sealing_key is None else str(config.intake.sealing_key),
            "encryption": [str(path) for path in config.keys.encryption],
            "intake": config.intake.model_dump(mode="json"),
            "log_level": config.log.level,
            "log_format": config.log.format,
            "log_file": None if config.log.file is None else str(config.log.file),
            "after_crash": after_crash,
        }
        return json.dumps(value).encode() + b"\n"


def _environment() -> dict[str, str]:
    """The node's own, less what opens keys: the passphrase travels by the pipe only."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_PASSPHRASE")}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])}
