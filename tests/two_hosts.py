"""Two hosts on one machine: a network namespace each, joined by a cable (veth). Needs root and `ip`."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

CLONE_NEWNET = 0x4000_0000
ADDRESSES = ("10.213.78.1", "10.213.78.2")

T = TypeVar("T")


def ip(*words: str) -> None:
    """Run `ip`; its words when it fails."""
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


class _Answer(Generic[T]):
    def __init__(self) -> None:
        self.value: list[T] = []
        self.error: BaseException | None = None


@dataclass(frozen=True)
class Host:
    """One of the two; what is run ``inside`` has its network, and so have the processes it starts."""

    namespace: str
    address: str

    def inside(self, task: Callable[[], T]) -> T:
        """Run in a thread of its own that has entered the namespace (`os.setns` comes with Python 3.12 only)."""
        answer: _Answer[T] = _Answer()

        def enter() -> None:
            try:
                descriptor = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY)
                try:
                    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), self.namespace)
                finally:
                    os.close(descriptor)
                answer.value.append(task())
            except BaseException as error:
                answer.error = error

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if answer.error is not None:
            raise answer.error
        return answer.value[0]

    def cable(self, state: str) -> None:
        """Put this end of the cable "up" or "down"."""
        ip("-n", self.namespace, "link", "set", "cable", state)


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """The hosts; their cable goes with them, whatever happens."""
    first, second = (Host(f"tally-{os.getpid()}-{number}", address) for number, address in enumerate(ADDRESSES, 1))
    made: list[Host] = []
    try:
        for host in (first, second):
            ip("netns", "add", host.namespace)
            made.append(host)
        ip("-n", first.namespace, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns",
           second.namespace)  # fmt: skip
        for host in (first, second):
            ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "cable")
            ip("-n", host.namespace, "link", "set", "lo", "up")
            host.cable("up")
        yield first, second
    finally:
        for host in made:
            subprocess.run(["ip", "netns", "delete", host.namespace], check=False, capture_output=True)
