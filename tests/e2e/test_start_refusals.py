"""A node that must not start, or not go on, ends with its documented exit code and one line that says what to do.

Each case takes a copy of a member's folder as a stopped node left it, spoils one thing, and starts the node: 2 for
what its operator has to put right (docs/cli.md), 1 for a node that had to stop. The data is left as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chain.ledger import Ledger
from chain.store import LevelStore
from genesis import ceremony
from genesis.dev import make_dev
from node.main import EXIT_FATAL, EXIT_USAGE
from node.processes import LocalNodes, free_ports
from tallystick import RejectedError
from tests.live_network import Live, run_node, wait

pytestmark = pytest.mark.slow

MEMBER = "lender"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a file system that fills up needs a mount, so root")
OWN_NOTES = ("LOG", "LOG.old", "LOCK", "votes.journal.lock")
"""Files that say nothing about blocks or votes: LevelDB's diary, and locks."""


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A network whose nodes ran twice, agreed on blocks each time, and were stopped.

    So a ledger has tables (LevelDB makes one of its log at the second start) and a log.
    """
    with Live(tmp_path_factory.mktemp("refusals")) as live:
        for _ in range(2):
            live.start()
            for _ in range(3):
                live.commit(MEMBER)
            live.level()
            live.nodes.stop()
        yield live


@dataclass
class Site:
    """One member's folder, its to spoil."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / MEMBER / "node.toml"

    @property
    def data(self) -> Path:
        return self.folder / MEMBER / "data"

    @property
    def genesis(self) -> Path:
        return self.folder / "genesis.json"

    def ledger_file(self, suffix: str) -> Path:
        """The largest file of a kind in the ledger's folder."""
        found = sorted((self.data / "ledger").glob(f"*{suffix}"), key=lambda path: path.stat().st_size)
        assert found, f"no {suffix} in the ledger"
        assert found[-1].stat().st_size > 2_000
        return found[-1]

    def contents(self) -> dict[str, str]:
        """A digest of every file that counts, by its path in the data folder."""
        return {
            str(path.relative_to(self.data)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.data.rglob("*"))
            if path.is_file() and path.name not in OWN_NOTES
        }


@pytest.fixture
def site(left_behind: Live, tmp_path: Path) -> Site:
    folder = tmp_path / "site"
    shutil.copytree(left_behind.folder / MEMBER, folder / MEMBER)
    for name in ("genesis.json", "passphrase"):
        shutil.copy2(left_behind.folder / name, folder)
    return Site(folder)


def flip_every(path: Path, step: int) -> None:
    """Turn a bit of every so many-th byte, from the middle of the file's first stretch on."""
    data = bytearray(path.read_bytes())
    for index in range(step // 2, len(data), step):
        data[index] ^= 0x10
    path.write_bytes(data)


def flip_at(path: Path, index: int) -> None:
    data = bytearray(path.read_bytes())
    data[index] ^= 0x10
    path.write_bytes(data)


def rewrite_json(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    whole = json.loads(path.read_text())
    change(whole)
    path.write_text(json.dumps(whole))


def table_damaged(site: Site) -> None:
    flip_every(site.ledger_file(".ldb"), 512)


def log_damaged(site: Site) -> None:
    flip_at(site.ledger_file(".log"), site.ledger_file(".log").stat().st_size // 2)


def log_cut_off(site: Site) -> None:
    """LevelDB takes a log that ends early for one whose end was never written, and says nothing."""
    os.truncate(site.ledger_file(".log"), 100)


def journal_gone(site: Site) -> None:
    (site.data / "votes.journal").unlink()


def data_gone(site: Site) -> None:
    shutil.rmtree(site.data)
    site.data.mkdir()


def ledger_gone(site: Site) -> None:
    shutil.rmtree(site.data / "ledger")


def journal_altered(site: Site) -> None:
    journal = site.data / "votes.journal"
    flip_at(journal, journal.stat().st_size // 2)


def key_gone(site: Site) -> None:
    (site.folder / MEMBER / "keys" / "validator.json").unlink()


def passphrase_wrong(site: Site) -> None:
    (site.folder / "passphrase").write_text("not this one\n")


def passphrase_unset(site: Site) -> None:
    lines = site.config.read_text().splitlines(keepends=True)
    site.config.write_text("".join(line for line in lines if not line.startswith("passphrase_file")))


def network_key_of_another(site: Site) -> None:
    """The signer's file is a sound key file, for another purpose."""
    keys = site.folder / MEMBER / "keys"
    shutil.copy2(keys / "signer.json", keys / "network.json")


def genesis_altered(site: Site) -> None:
    text = site.genesis.read_text()
    assert "End to end" in text
    site.genesis.write_text(text.replace("End to end", "End to End"))


def genesis_unsealed(site: Site) -> None:
    rewrite_json(site.genesis, lambda whole: whole.update(state="draft", signatures=[]))


def genesis_gone(site: Site) -> None:
    site.genesis.unlink()


def ledger_of_another_network(site: Site) -> None:
    other = make_dev(site.folder / "other", members=1, observers=(), parties=())
    shutil.rmtree(site.data / "ledger")
    store = LevelStore(site.data / "ledger", create=True)
    Ledger.create(store, ceremony.load_sealed(other.directory / "genesis.json").document)
    store.close()


def setting_of_the_wrong_type(site: Site) -> None:
    site.config.write_text(site.config.read_text() + '\n[limits]\nmempool_bytes = "much"\n')


CASES = [
    (table_damaged, EXIT_FATAL, "ledger is damaged"),
    (log_damaged, EXIT_FATAL, "ledger is damaged"),
    (log_cut_off, EXIT_USAGE, "vote journal knows block"),
    (ledger_gone, EXIT_USAGE, "vote journal knows block"),
    (journal_gone, EXIT_USAGE, "this validator key has voted: put the journal back"),
    (data_gone, EXIT_USAGE, "this validator key has voted: put the journal back"),
    (journal_altered, EXIT_USAGE, "vote journal is damaged at byte"),
    (key_gone, EXIT_USAGE, "no key file at"),
    (passphrase_wrong, EXIT_USAGE, "wrong passphrase for"),
    (passphrase_unset, EXIT_USAGE, "set passphrase_file there, or TALLY_PASSPHRASE_FILE"),
    (network_key_of_another, EXIT_USAGE, "is a signer key where a network key is needed"),
    (genesis_altered, EXIT_USAGE, "was altered"),
    (genesis_unsealed, EXIT_USAGE, "is not sealed"),
    (genesis_gone, EXIT_USAGE, "genesis.json"),
    (ledger_of_another_network, EXIT_USAGE, "point `data` and `genesis` in node.toml at the same network"),
    (setting_of_the_wrong_type, EXIT_USAGE, "limits.mempool_bytes"),
]


def refusal(site: Site, code: int, says: str) -> str:
    """Start the node; it must end with the code and one line, without a trace. Returns the line."""
    done = run_node(site.config)
    lines = done.stderr.splitlines()
    said = [line for line in lines if line.startswith("tally: ")]
    assert done.returncode == code, done.stderr
    assert len(said) == 1, done.stderr
    assert says in said[0]
    assert done.stdout == ""
    # Beside it at most the node's log, one JSON object a line: no trace, no library's own words.
    assert all(isinstance(json.loads(line), dict) for line in lines if line not in said)
    return said[0]


@pytest.mark.parametrize(("spoil", "code", "says"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_node_that_must_not_start(site: Site, spoil: Callable[[Site], None], code: int, says: str) -> None:
    """Nothing is lost and nothing "repaired": the same files, and the second start says the same as the first."""
    spoil(site)
    before = site.contents()
    said = refusal(site, code, says)
    if spoil in (table_damaged, log_cut_off, ledger_of_another_network):
        # LevelDB could open its folder, and then puts its log into a table at once; votes and tables stay.
        assert {name: digest for name, digest in before.items() if name.endswith((".ldb", ".journal"))}.items() <= (
            site.contents().items()
        )
        assert refusal(site, code, says) == said
    else:
        assert site.contents() == before


@pytest.mark.parametrize("name", ["p2p.listen", "api.listen"])
def test_a_port_in_use(site: Site, name: str) -> None:
    section, _, setting = name.partition(".")
    text = site.config.read_text().split(f"[{section}]", 1)[1]
    listen = text.split(f'{setting} = "', 1)[1].split('"', 1)[0]
    host, _, port = listen.partition(":")
    journal = site.contents()["votes.journal"]
    with socket.create_server((host, int(port))):
        line = refusal(site, EXIT_USAGE, f"{listen} is in use")
    assert name in line
    assert site.contents()["votes.journal"] == journal


def test_a_data_folder_in_use(site: Site) -> None:
    """A second process with the same data: refused, and the first goes on."""
    second = site.config.with_name("second.toml")
    base = free_ports(2)
    text = site.config.read_text()
    for section, port in (("[p2p]", base), ("[api]", base + 1)):
        head, tail = text.split(section, 1)
        old = tail.split('listen = "', 1)[1].split('"', 1)[0]
        text = head + section + tail.replace(old, f"127.0.0.1:{port}", 1)
    second.write_text(text)
    with LocalNodes(site.folder) as nodes:
        nodes.start()
        wait(lambda: nodes.nodes[MEMBER].status() is not None, "the first process answers")
        done = run_node(second)
        assert done.returncode == EXIT_USAGE, done.stderr
        assert "another process is signing with this key; stop it" in done.stderr
        assert done.stderr.count("tally: ") == 1
        observer = second.with_name("observer.toml")
        observer.write_text("".join(line for line in text.splitlines(True) if not line.startswith("validator")))
        done = run_node(observer)
        assert done.returncode == EXIT_FATAL, done.stderr
        assert "another process has this ledger open: stop it first" in done.stderr
        assert nodes.nodes[MEMBER].status() is not None


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own, in memory, under what the folder holds."""
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"a file system that fills up needs a mount: {done.stderr.decode().strip()}")
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


@needs_root
def test_a_disk_too_small_to_begin_on(site: Site) -> None:
    shutil.rmtree(site.data)
    for mark in (site.folder / MEMBER / "keys").glob("*.has-voted"):
        mark.unlink()
    site.data.mkdir()
    with small_disk(site.data, "4k"):
        refusal(site, EXIT_FATAL, "No space left on device")


@needs_root
def test_a_disk_that_fills_up(left_behind: Live) -> None:
    """Short of space a node takes no transactions and says so; out of space it stops; nothing is lost by it."""
    live = left_behind
    node = live.node(MEMBER)
    with small_disk(live.data(MEMBER), "24m"), live:
        live.start()
        with pytest.raises(RejectedError, match="free space, or submit at another node") as refused:
            live.commit(MEMBER)
        assert refused.value.code == "DISK_LOW"
        live.commit(MEMBER, at="erp")  # the node still votes and keeps blocks

        live.nodes.stop(MEMBER)
        config = node.folder / "node.toml"
        config.write_text(config.read_text() + "\n[limits]\nmin_free_disk_bytes = 0\n")
        live.start(MEMBER)
        before = node.log.read_text().count("tally: ")
        filler = live.data(MEMBER) / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        kept = [live.commit(MEMBER, at="erp") for _ in range(3)]
        wait(lambda: not node.running, f"{MEMBER} stops", 20.0)
        assert node.process is not None
        assert node.process.returncode == EXIT_FATAL
        assert "No space left on device" in node.last_words()
        assert "free" in node.last_words()
        assert node.log.read_text().count("tally: ") == before + 1

        filler.unlink()
        live.start(MEMBER)
        height = live.level()
        with live.client(MEMBER) as client:
            for state in kept:
                assert client.transaction(bytes.fromhex(state["id"])) == state
        live.commit(MEMBER)
        wait(lambda: live.status(MEMBER)["voted_height"] > height, f"{MEMBER} votes again")
