"""A real S3 server on loopback for tests: OpenStack Swift with its S3 API, four servers over one temporary folder.

Needs Debian's python3-swift (``.ci/setup.sh node,dev`` installs it as root): the modules only, no service of the
system is started or needed. One replica, one disk, tempauth with one user.
"""

from __future__ import annotations

import getpass
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import httpx

from node.processes import free_ports

PYTHON: Final = "/usr/bin/python3"
"""The system's: Debian's packages are for it."""
ACCESS_KEY: Final = "tally:docs"
SECRET_KEY: Final = "a-secret-for-tests"
BUCKET: Final = "documents"
START_S: Final = 60.0

# Rings say where objects lie; the hash suffix is part of that. What all four servers import is imported once.
_LAUNCHER: Final = """
import os, signal, sys
children = []
home, ports = sys.argv[1], dict(zip(("account", "container", "object"), map(int, sys.argv[2:])))
sys.path.append(home)
from swift.common import utils
utils.SWIFT_CONF_FILE = f"{home}/swift.conf"
from swift.common.ring import RingBuilder
for kind, port in ports.items():
    builder = RingBuilder(2, 1, 0)
    builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "disk", "weight": 1})
    builder.rebalance()
    builder.get_ring().save(f"{home}/{kind}.ring.gz")
from swift.common.wsgi import run_wsgi
from swift.obj import server
import swift.account.server, swift.container.server, swift.proxy.server
for kind in (*ports, "proxy"):
    children.append(os.fork())
    if not children[-1]:
        extra = {"global_conf_callback": server.global_conf_callback} if kind == "object" else {}
        os._exit(run_wsgi(f"{home}/{kind}.conf", f"{kind}-server", verbose=True, **extra))
sys.stdin.read()  # until the tests end, in whatever way
for child in children:
    os.kill(child, signal.SIGKILL)
"""
# tempauth wants memcached for its tokens; the proxy is one process, so a dictionary does as well.
_CACHE: Final = """
class Cache:
    def __init__(self):
        self.known = {}
    def get(self, key, *args, **kwargs):
        return self.known.get(key)
    def set(self, key, value, *args, **kwargs):
        self.known[key] = value
    def delete(self, key, *args, **kwargs):
        self.known.pop(key, None)
def factory(settings, **_):
    cache = Cache()
    def filter(app):
        def wrapped(env, start):
            env["swift.cache"] = cache
            return app(env, start)
        return wrapped
    return filter
"""
_PIPELINE: Final = "catch_errors gatekeeper healthcheck dictionary listing_formats s3api tempauth bulk slo"


@dataclass(frozen=True)
class S3Server:
    """Where it answers. home: its folder; delete objects there to have them lost."""

    endpoint: str
    home: Path

    @property
    def options(self) -> dict[str, Any]:
        """For fsspec: what botocore otherwise finds in the environment."""
        return {"key": ACCESS_KEY, "secret": SECRET_KEY, "endpoint_url": self.endpoint}

    @property
    def environment(self) -> dict[str, str]:
        """For a node's process."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@cache
def installed() -> bool:
    """Whether this machine has Swift."""
    try:
        done = subprocess.run([PYTHON, "-c", "import swift.obj.server"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


@contextmanager
def s3_server(home: Path) -> Iterator[S3Server]:
    """The servers, with an empty bucket BUCKET, until the block ends."""
    first = free_ports(4)
    ports = dict(zip(("account", "container", "object", "proxy"), range(first, first + 4), strict=True))
    (home / "devices" / "disk").mkdir(parents=True)
    _write_settings(home, ports)
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [PYTHON, "-c", _LAUNCHER, str(home), *(str(port) for port in list(ports.values())[:3])],
            stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=home,
        )  # fmt: skip
    try:
        server = S3Server(f"http://127.0.0.1:{ports['proxy']}", home)
        _wait(ports, process, home / "log")
        _make_bucket(server)
        yield server
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def _write_settings(home: Path, ports: dict[str, int]) -> None:
    (home / "dictionary.py").write_text(_CACHE)
    (home / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = tests\n[storage-policy:0]\nname = one\ndefault = yes\n"
    )
    for kind, port in ports.items():
        common = (
            f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 0\nuser = {getpass.getuser()}\n"
            f"swift_dir = {home}\nlog_address = {home}/no-syslog\nlog_level = ERROR\n"
        )
        if kind == "proxy":
            text = f"{common}[pipeline:main]\npipeline = {_PIPELINE} proxy-server\n"
            for name in _PIPELINE.split():
                text += f"[filter:{name}]\n{_FILTERS.get(name, f'use = egg:swift#{name}')}\n"
            text += "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
        else:
            storage = f"devices = {home}/devices\nmount_check = false\nfallocate_reserve = 0\n"
            text = f"{common}{storage}[pipeline:main]\npipeline = {kind}-server\n"
            text += f"[app:{kind}-server]\nuse = egg:swift#{kind}\n"
        (home / f"{kind}.conf").write_text(text)


_FILTERS: Final = {
    "dictionary": "paste.filter_factory = dictionary:factory",
    "s3api": "use = egg:swift#s3api\nlocation = us-east-1",
    "tempauth": f"use = egg:swift#tempauth\nuser_{ACCESS_KEY.replace(':', '_')} = {SECRET_KEY} .admin",
}


def _wait(ports: dict[str, int], process: subprocess.Popen[bytes], log: Path) -> None:
    """Until every server answers a request."""
    deadline = time.monotonic() + START_S
    for kind, port in ports.items():
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"Swift's {kind} server does not answer: {log.read_text()}"
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthcheck", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.05)


def _make_bucket(server: S3Server) -> None:
    import s3fs

    files = s3fs.S3FileSystem(**server.options, skip_instance_cache=True)
    files.mkdir(BUCKET)
