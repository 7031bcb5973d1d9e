"""The process beside a node that takes documents in: reading them must not delay a vote, nor end the node.

Started by ``node.intake.supervisor`` with one line on standard input (``Order``), which stays open as long as the
node lives: when it closes, this process ends at once, whatever it is doing. It speaks to the node through the node's
API like any client. It runs at a low priority, in an address space of bounded size, one thread for each way in.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from chain import keys
from node import logs
from node.config_intake import Intake
from node.intake.desk import Desk, Marks, Means, Status
from node.intake.pulling import Puller
from node.intake.pushing import PushTaker
from node.intake.spool import Spool
from node.intake.watching import FolderWatch

NICENESS: Final = 10
STATUS_S: Final = 1.0
STATUS_FILE: Final = "status.json"
LOCK_FILE: Final = "lock"
JOBS_FOLDER: Final = "jobs"
PULLS_FOLDER: Final = "pulls"
MARKS_FOLDER: Final = "reading"
EXIT_FAILED: Final = 1


class Order(BaseModel):
    """What the node tells the process. ``folder``: for its own files; ``after_crash``: the last one died."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    passphrase: str
    member: str
    api: str
    folder: Path
    signer: Path
    sealing_key: Path | None
    encryption: list[Path]
    intake: Intake
    log_level: str
    log_format: str
    log_file: Path | None
    after_crash: bool


def main() -> None:
    """Read the order and work until standard input closes."""
    order = Order.model_validate(json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_the_node, daemon=True).start()
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (order.intake.memory_bytes, order.intake.memory_bytes))
    log = logs.configure(order.log_level, order.log_format, order.log_file, order.member)
    order.folder.mkdir(parents=True, exist_ok=True)
    lock = (order.folder / LOCK_FILE).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # until a process that a killed node has left is gone
    status = Status()
    tasks = _tasks(order, status)
    log.info("intake ready", ways=len(order.intake.feeds))
    for name, task in tasks:
        threading.Thread(target=_guarded, args=(task, order.intake.poll_s, name), name=name, daemon=True).start()
    while True:
        _write_status(order.folder / STATUS_FILE, status)
        time.sleep(STATUS_S)


def _tasks(order: Order, status: Status) -> list[tuple[str, Callable[[float], None]]]:
    """A step to be made again and again, for each way in."""
    signer = keys.load(order.signer, order.passphrase, purpose="signer")
    sealing = None if order.sealing_key is None else keys.load(order.sealing_key, order.passphrase)
    means = Means(order.api, signer, sealing, order.intake.timeout_s)
    marks = Marks(order.folder / MARKS_FOLDER, after_crash=order.after_crash)
    turns = threading.Semaphore(1)
    """Folders and pulls take turns; pushes have their own thread: a large file does not keep a job waiting."""

    def in_turn(step: Callable[[float], None]) -> Callable[[float], None]:
        def taking_turns(now: float) -> None:
            with turns:
                step(now)

        return taking_turns

    def desk() -> Desk:
        return Desk(means, marks, status)

    tasks: dict[str, Callable[[float], None]] = {}
    for folder in order.intake.folders:
        tasks[folder.name] = in_turn(FolderWatch(folder, desk(), status).step)
    for pull in order.intake.pulls:
        puller = Puller(pull, desk(), status, order.folder / PULLS_FOLDER / pull.name)
        puller.sweep(order.intake.keep_days)
        tasks[pull.name] = in_turn(puller.step)
    if order.intake.pushes:
        opening = [keys.load(path, order.passphrase, purpose="encryption") for path in order.encryption]
        spool = Spool(order.folder / JOBS_FOLDER, opening[0].public, opening)
        tasks["pushes"] = PushTaker(order.intake.pushes, desk(), status, spool, order.intake.keep_days).step
    for feed in order.intake.feeds:
        status.say(feed.name, problem="")
    return list(tasks.items())


def _guarded(step: Callable[[float], None], every_s: float, name: str) -> None:
    """One way in, until the process ends. Whatever is not foreseen ends the process: the node starts another."""
    try:
        while True:
            step(time.monotonic())
            time.sleep(every_s)
    except BaseException:
        print(f"tally: taking documents in failed ({name}):", file=sys.stderr)
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(EXIT_FAILED)


def _end_with_the_node() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


def _write_status(path: Path, status: Status) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    value = {
        "pid": os.getpid(),
        "time": time.time_ns() // 1_000_000,
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "max_rss_bytes": usage.ru_maxrss * 1024,
        "ways": status.to_json(),
    }
    beside = path.with_name(f".{path.name}")
    beside.write_text(json.dumps(value))
    beside.replace(path)


if __name__ == "__main__":
    main()
