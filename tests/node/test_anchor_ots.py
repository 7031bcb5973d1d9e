"""Anchoring through calendars that really run, against a chain served as bitcoind serves it; and the stock client."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from chain.anchor import Trusted, verify_anchor
from chain.bitcoin import MAIN_GENESIS, shown
from chain.checkpoint import Checkpoint
from chain.codec import decode, encode
from chain.ots import OtsProof
from chain.ots_stamp import SHA256, Operation, Stamp, bitcoin, chain_of, decode_file, pending
from contracts import anchor_kinds
from node.anchor_backend import BackendError, Check, Job, State, Verdict
from node.anchor_ots import DEVELOPMENT_PLACE, FILE_NAME, HEADERS_NAME, OtsBackend
from node.bitcoin_rpc import source
from node.ots_calendar import Calendars
from node.ots_progress import MAX_BITCOIN, Placed, Progress
from tests.bitcoin_chain import BitcoinChain, BitcoinServer
from tests.ots_calendar_server import Calendar

NETWORK = bytes(range(32))
JOB = Job("ots", 100, sha256(b"root").digest())
CHECKPOINT = JOB.checkpoint(NETWORK)
DIGEST = sha256(CHECKPOINT.body).digest()
START = 1_800_000_000_000

T = TypeVar("T")


class World:
    """A chain with a node's own source and a second one, two calendars, and a backend over them."""

    def __init__(self) -> None:
        self.chain = BitcoinChain()
        self.chain.mine(count=3)
        self.node = BitcoinServer(self.chain)
        self.other = BitcoinServer(self.chain, "another:secret")
        self.calendars = [Calendar(self.chain, "first"), Calendar(self.chain, "second")]
        self.time = 0

    def close(self) -> None:
        for server in (self.node, self.other):
            server.close()
        for calendar in self.calendars:
            calendar.close()

    def backend(self, sources: Sequence[str] | None = None, **options: Any) -> OtsBackend:
        """As after a start: nothing remembered. Calendars are asked at every round unless said otherwise."""
        urls = [self.node.url, self.other.esplora] if sources is None else sources
        settings: dict[str, Any] = {"poll_seconds": 0, "now": lambda: self.time} | options
        calendars = [each.url for each in self.calendars]
        return OtsBackend(calendars, [source(url) for url in urls], NETWORK, **settings)

    def run(self, use: Callable[[OtsBackend], Awaitable[T]], **options: Any) -> T:
        async def main() -> T:
            backend = self.backend(**options)
            try:
                await backend.begin({}, ())
                return await use(backend)
            finally:
                await backend.close()

        return trio.run(main)

    def step(self, job: Job, **options: Any) -> Job:
        """One step of the runner, by a backend that has just started; what is kept goes through storage."""

        async def use(backend: OtsBackend) -> Job:
            match job.state:
                case State.QUEUED:
                    return await backend.prepare(job, [], START)
                case State.PREPARED:
                    return (await backend.submit(job))[0]
                case State.SENT:
                    return await backend.poll(job)
            found = await backend.poll(job)
            return await backend.finalize(found) if found.state is State.MINED else found

        after = self.run(use, **options)
        return replace(after, data=decode(encode(dict(after.data))))

    def sent(self) -> Job:
        return self.step(self.step(JOB))

    def final(self) -> Job:
        job = self.sent()
        self.calendars[0].stamp()
        self.chain.mine(count=6)
        job = self.step(self.step(job))
        assert job.state is State.FINAL
        return job

    def claim(self, job: Job) -> dict[str, Any]:
        own = self.run(lambda backend: _now(backend.confirmation(job)))
        return {"backend": "ots", "size": job.size, "root": job.root, "proof": job.proof, **own}

    def check(self, claim: dict[str, Any], **options: Any) -> Check:
        return self.run(lambda backend: backend.check(claim, CHECKPOINT), **options)


async def _now(value: T) -> T:
    return value


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def progress(job: Job) -> Progress:
    return Progress.of(job.data)


def test_from_a_digest_to_a_final_anchor(world: World) -> None:
    job = world.sent()
    assert job.state is State.SENT
    assert {uri for _, uri in progress(job).promises()} == {each.url for each in world.calendars}
    assert [each.asked for each in world.calendars] == [[DIGEST]] * 2
    assert world.step(job).state is State.SENT  # nothing yet
    height = world.calendars[1].stamp(world.chain.carrying(b"somebody else's"))
    job = world.step(job)
    assert (job.state, progress(job).placed) == (State.MINED, _placed(world, job, height))
    for _ in range(5):
        assert world.step(job).state is State.MINED  # too few blocks over it
        world.chain.mine()
    job = world.step(job)
    assert job.state is State.FINAL
    proof = OtsProof.decode(job.proof or b"")
    assert len(proof.headers) == 6
    trusted = Trusted(bitcoin_blocks={height: world.chain.hash(height)}, development=True)
    assert verify_anchor("ots", CHECKPOINT, proof.encode(), trusted).block == height
    assert len(proof.encode()) < 1_500


def _placed(world: World, job: Job, height: int) -> Placed:
    stamp = progress(job).stamp
    assert stamp is not None
    return Placed(height, world.chain.hash(height), stamp.bitcoin()[0][0])


def test_the_confirmation_is_what_the_contract_takes(world: World) -> None:
    job = world.final()
    claim = world.claim(job)
    assert set(anchor_kinds.KINDS["ots"].fields) | {"public_time"} == set(claim) - {
        "backend",
        "size",
        "root",
        "proof",
    }
    found = anchor_kinds.fields(claim, "ots")
    assert anchor_kinds.place("ots", found) == DEVELOPMENT_PLACE
    existed = verify_anchor(
        "ots", CHECKPOINT, claim["proof"], Trusted(bitcoin_blocks={4: claim["block_hash"]}, development=True)
    )
    assert (existed.block, existed.time) == (claim["block_number"], claim["public_time"])
    assert world.check(claim).verdict is Verdict.MATCH


def test_the_chain_is_known_by_its_first_block(world: World) -> None:
    async def use(backend: OtsBackend) -> tuple[str | None, dict[str, Any]]:
        return backend.place, backend.status()

    place, status = world.run(use)
    assert place == DEVELOPMENT_PLACE
    assert status["note"] == "DEV-ANCHOR: proves nothing"
    assert status["endpoint"] == "127.0.0.1"
    assert "password" not in str(status)
    assert OtsBackend([], [], NETWORK).place is None
    assert not OtsBackend([], [source(world.node.url)], NETWORK).writes


def test_a_trial_chain_that_began_anew_takes_its_jobs_along(world: World) -> None:
    job, final = world.sent(), world.final()

    async def use(backend: OtsBackend) -> None:
        memory, jobs = await backend.begin({"genesis": bytes(32)}, [job, final])
        assert memory == {"genesis": world.chain.hash(0)}
        assert jobs == [JOB, final]
        assert await backend.begin(memory, jobs) == (memory, jobs)

    world.run(use)


def test_main_chain_memory_is_not_given_up_for_another(world: World) -> None:
    async def use(backend: OtsBackend) -> None:
        for _ in range(2):
            with pytest.raises(BackendError, match="main chain any more"):
                await backend.begin({"genesis": MAIN_GENESIS}, [])
        assert backend.place is None

    world.run(use)


def test_a_crash_between_sending_and_recording_costs_a_line(world: World) -> None:
    prepared = world.step(JOB)
    world.step(prepared)  # the answers are lost with the process
    job = world.step(prepared)
    assert world.calendars[0].asked == [DIGEST, DIGEST]
    world.calendars[0].stamp()
    assert world.step(job).state is State.MINED


def test_one_calendar_is_enough_and_the_other_is_asked_again(world: World) -> None:
    world.calendars[0].broken = (503, b"")
    job = world.sent()
    assert progress(job).told == (world.calendars[1].url,)
    world.calendars[0].broken = None
    job, refusal = world.run(lambda backend: backend.submit(job))
    assert refusal is None
    assert set(progress(job).told) == {each.url for each in world.calendars}
    assert [len(each.asked) for each in world.calendars] == [1, 1]


def test_with_every_calendar_away_it_waits_and_says_so(world: World) -> None:
    for calendar in world.calendars:
        calendar.broken = (503, b"")
    prepared = world.step(JOB)

    async def use(backend: OtsBackend) -> tuple[Job, str | None, dict[str, Any]]:
        job, refusal = await backend.submit(prepared)
        return await backend.poll(job), refusal, backend.status()

    job, refusal, status = world.run(use)
    assert job.state is State.SENT
    assert refusal is not None
    assert "HTTP status 503" in refusal
    assert "HTTP status 503" in next(iter(status["calendars"].values()))


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", bytes(20_000), b"\x08" * 300, b"\xf0\x01a", b"\x03" + b"\x00" * 20],
    ids=["nothing", "a page", "too much", "endless", "cut short", "another operation"],
)
def test_a_calendar_that_answers_nonsense_is_as_one_away(world: World, answer: bytes) -> None:
    world.calendars[0].broken = (200, answer)
    job = world.sent()
    assert progress(job).told == (world.calendars[1].url,)
    world.calendars[0].broken = None
    job, _ = world.run(lambda backend: backend.submit(job))
    world.calendars[0].broken = (200, answer)
    world.calendars[1].stamp()
    assert world.step(job).state is State.MINED


def test_a_lying_calendar_gains_nothing(world: World) -> None:
    """It names a block that has nothing to do with the stamp; the other one's answer still comes through."""
    job = world.sent()
    message = next(message for message, uri in progress(job).promises() if uri == world.calendars[0].url)
    world.calendars[0].stamped[message] = chain_of(message, [Operation(SHA256)], bitcoin(2)).encode()
    job = world.step(job)
    assert job.state is State.SENT
    assert [height for _, height in (progress(job).stamp or Stamp(b"")).bitcoin()] == []
    height = world.calendars[1].stamp()
    job = world.step(job)
    assert progress(job).placed == _placed(world, job, height)


def test_a_calendar_can_not_flood_a_stamp(world: World) -> None:
    job = world.sent()
    message = next(message for message, uri in progress(job).promises() if uri == world.calendars[0].url)
    many = Stamp(
        message, tuple(sorted((bitcoin(10_000 + place) for place in range(500)), key=lambda each: each.order))
    )
    world.calendars[0].stamped[message] = many.encode()
    before = world.node.calls
    job = world.step(job)
    assert world.node.calls - before <= MAX_BITCOIN + 4
    world.calendars[1].stamp()
    assert world.step(job).state is State.MINED


def test_calendars_named_by_a_stamp_are_asked_only_where_known(world: World) -> None:
    stranger = Calendar(world.chain, "stranger")
    world.calendars[0].broken = (200, chain_of(DIGEST, [Operation(SHA256)], pending(stranger.url)).encode())
    job = world.sent()
    world.step(job)
    stranger.close()
    assert stranger.fetched == 0
    calendars = Calendars([world.calendars[0].url + "/"])
    for uri, known in {
        world.calendars[0].url: True,
        world.calendars[0].url + "/": True,
        "https://alice.btc.calendar.opentimestamps.org": True,
        "http://alice.btc.calendar.opentimestamps.org": False,
        "https://alice.btc.calendar.opentimestamps.org:8443": False,
        "https://calendar.opentimestamps.org.evil.example": False,
        "https://evil.example/x.calendar.opentimestamps.org": False,
        "http://169.254.169.254": False,
    }.items():
        assert calendars.knows(uri) is known, uri


def test_calendars_are_left_in_peace_between_two_rounds(world: World) -> None:
    job = world.sent()

    async def use(backend: OtsBackend) -> list[int]:
        counts = []
        for second in (0, 1, 599, 600, 601):
            world.time = second * 1000
            await backend.poll(job)
            counts.append(world.calendars[0].fetched)
        return counts

    assert world.run(use, poll_seconds=600) == [1, 1, 1, 2, 2]


def test_a_digest_that_a_calendar_lost_is_handed_in_again(world: World) -> None:
    job = world.sent()
    for calendar in world.calendars:
        calendar.forget()
    assert world.step(job).state is State.SENT

    async def late(backend: OtsBackend) -> Job:
        assert await backend.press(job, [], START + 12 * 3_600_000 - 1) == job
        pressed = await backend.press(job, [], START + 12 * 3_600_000)
        assert pressed.prepared_at == START + 12 * 3_600_000
        return (await backend.submit(pressed))[0]

    job = world.run(late)
    assert len(progress(job).promises()) == 4  # the old promises stay
    world.calendars[1].stamp()
    assert world.step(job).state is State.MINED


def test_a_reorganisation_takes_the_block_away_and_the_calendar_brings_another(world: World) -> None:
    job = world.sent()
    first = world.calendars[0].stamp()
    world.chain.mine(count=2)
    job = world.step(job)
    assert job.state is State.MINED
    world.chain.rewind(3)
    world.calendars[0].stamped.clear()
    world.chain.mine(count=4)
    job = world.step(job)
    assert (job.state, progress(job).placed) == (State.SENT, None)
    second = world.calendars[0].stamp()
    world.chain.mine(count=5)
    job = world.step(job)
    assert progress(job).placed == _placed(world, job, second)
    assert second != first
    assert world.step(job).state is State.FINAL


def test_a_reorganisation_that_turns_back_is_found_again(world: World) -> None:
    job = world.sent()
    world.calendars[0].stamp()
    kept = world.chain.headers[-1], world.chain.ids[-1]
    job = world.step(job)
    world.chain.rewind(1)
    world.chain.mine()
    job = world.step(job)
    assert job.state is State.SENT
    world.chain.headers[-1], world.chain.ids[-1] = kept
    assert world.step(job).state is State.MINED


def test_what_calendars_sent_is_kept_while_the_source_is_away(world: World) -> None:
    job = world.sent()
    world.calendars[0].stamp()
    prepared = job

    async def use(backend: OtsBackend) -> Job:
        world.node.broken = (502, b"bad gateway")
        return await backend.poll(prepared)

    job = world.run(use)
    world.node.broken = None
    assert job.state is State.SENT
    assert (progress(job).stamp or Stamp(b"")).bitcoin()
    world.calendars[0].forget()
    assert world.step(job).state is State.MINED


def test_sources_are_left_in_peace_between_two_looks_but_not_their_contradictions(world: World) -> None:
    job = world.sent()
    world.calendars[0].stamp()
    liar = BitcoinChain(1)
    liar.mine(count=20)

    async def use(backend: OtsBackend) -> None:
        placed = await backend.poll(job)
        assert placed.state is State.MINED
        assert (await backend.finalize(placed)).state is State.MINED
        world.chain.mine(count=6)
        before = world.node.calls
        for _ in range(5):
            await backend.begin({"genesis": world.chain.hash(0)}, [])
            assert await backend.finalize(await backend.poll(placed)) == placed
        assert world.node.calls - before <= 1
        world.time += 600_000
        world.other.chain = liar
        for _ in range(2):
            with pytest.raises(BackendError, match="has another Bitcoin block"):
                await backend.finalize(await backend.poll(placed))
        world.other.chain = world.chain
        assert (await backend.finalize(placed)).state is State.FINAL

    world.run(use, poll_seconds=600)


def test_a_source_that_is_away_is_told(world: World) -> None:
    job = world.sent()
    world.calendars[0].stamp()
    mined = world.step(job)

    async def use(backend: OtsBackend) -> None:
        world.node.broken = (502, b"")
        for state in (mined, mined):
            with pytest.raises(BackendError, match="HTTP status 502"):
                await backend.poll(state)
        assert "HTTP status 502" in backend.status()["trouble"]
        world.node.broken = None
        assert await backend.poll(mined) == mined
        assert backend.status()["trouble"] == ""

    world.run(use, poll_seconds=600)


def test_sources_must_agree(world: World) -> None:
    job = world.sent()
    world.calendars[0].stamp()
    world.chain.mine(count=6)
    job = world.step(job)
    liar = BitcoinChain(1)
    liar.mine(count=10)
    world.other.chain = liar
    with pytest.raises(BackendError, match="has another Bitcoin block 4"):
        world.step(job)
    liar.rewind(5)  # a source that lags behind is waited for
    liar.headers[4] = world.chain.headers[4]
    assert world.step(job).state is State.MINED
    world.other.chain = world.chain
    assert world.step(job).state is State.FINAL


def test_an_easy_block_is_none_of_the_main_chain(world: World) -> None:
    """A source that shows the main chain's first block, and blocks of its own making after it."""
    from tests.chain.test_bitcoin import MAIN_GENESIS_HEADER

    world.chain = BitcoinChain(2)
    world.chain.headers[0] = MAIN_GENESIS_HEADER
    world.chain.mine(count=3)
    world.node.chain = world.other.chain = world.chain
    for calendar in world.calendars:
        calendar.chain = world.chain
    job = world.sent()
    world.calendars[0].stamp()
    world.chain.mine(count=6)
    job = world.step(job)
    assert job.state is State.MINED
    with pytest.raises(BackendError, match="that is none"):
        world.step(job)


def test_others_confirmations_are_checked_against_the_own_source(world: World) -> None:
    claim = world.claim(world.final())
    behind = BitcoinChain()
    behind.mine(count=5)
    forged = BitcoinChain(3)
    forged.mine(count=12)

    def checked(change: dict[str, Any], chain: BitcoinChain | None = None) -> Verdict:
        world.node.chain = chain or world.chain
        found = world.check({**claim, **change})
        assert found.reason
        assert "\n" not in found.reason
        return found.verdict

    assert checked({}) is Verdict.MATCH
    assert checked({"block_number": 5}) is Verdict.MISMATCH
    assert checked({"block_hash": bytes(32)}) is Verdict.MISMATCH
    assert checked({"public_time": claim["public_time"] - 1}) is Verdict.MISMATCH
    assert checked({"proof": claim["proof"][:-1]}) is Verdict.MISMATCH
    assert checked({"proof": encode([])}) is Verdict.MISMATCH
    assert checked({}, forged) is Verdict.MISMATCH
    behind.headers[4] = world.chain.headers[4]
    assert checked({}, behind) is Verdict.LATER
    world.node.broken = (503, b"")
    assert (
        world.run(lambda backend: backend.check(claim, CHECKPOINT), sources=[world.other.url]).verdict
        is Verdict.MATCH
    )
    world.node.broken = None
    other = Checkpoint(NETWORK, 101, JOB.root)
    assert world.run(lambda backend: backend.check(claim, other)).verdict is Verdict.MISMATCH
    alone = OtsBackend([], [], NETWORK)
    assert trio.run(alone.check, claim, CHECKPOINT).verdict is Verdict.CANNOT


def test_a_check_waits_while_the_own_source_is_away(world: World) -> None:
    claim = world.claim(world.final())

    async def use(backend: OtsBackend) -> Check:
        world.node.broken = (503, b"")
        return await backend.check(claim, CHECKPOINT)

    assert world.run(use).verdict is Verdict.LATER


def test_damaged_progress_is_not_taken_for_one() -> None:
    good = Progress(("a",), chain_of(DIGEST, [], bitcoin(1)), Placed(1, bytes(32), bytes(32)))
    assert Progress.of(decode(encode(good.data()))) == good
    changes: list[dict[str, Any]] = [{"told": None}, {"stamp": b"no"}, {"placed": [1, 2]}, {"placed": [1, b"", ""]}]
    for change in changes:
        with pytest.raises(ValueError, match=r"progress|OTS_"):
            Progress.of({**good.data(), **change})


# What follows runs the stock client.

OTS = shutil.which("ots") or str(Path(sys.executable).with_name("ots"))


def ots(world: World, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The stock client, with this world's Bitcoin node and without a cache."""
    command = [OTS, "--no-cache", "--btc-regtest", "--bitcoin-node", world.node.url]
    for calendar in world.calendars:
        command += ["--whitelist", calendar.url]
    return subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.slow
def test_the_stock_client_accepts_what_is_exported(world: World, tmp_path: Path) -> None:
    job = world.final()
    files = world.run(lambda backend: _now(backend.export(job)))
    assert sorted(files) == [HEADERS_NAME, FILE_NAME]
    (tmp_path / "checkpoint.txt").write_bytes(CHECKPOINT.body)
    (tmp_path / FILE_NAME).write_bytes(files[FILE_NAME])
    done = ots(world, "verify", FILE_NAME, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Success! Bitcoin block 4 attests existence" in done.stderr
    offline = subprocess.run(
        [OTS, "--no-cache", "--no-bitcoin", "verify", FILE_NAME],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    height, block_hash, header = files[HEADERS_NAME].decode().splitlines()[0].split()
    assert (height, block_hash) == ("4", shown(world.chain.hash(4)))
    root = shown(bytes.fromhex(header)[36:68])
    assert f"block {height} has merkleroot {root}" in offline.stderr

    (tmp_path / "checkpoint.txt").write_bytes(CHECKPOINT.body.replace(b"100", b"101"))
    assert ots(world, "verify", FILE_NAME, folder=tmp_path).returncode != 0
    (tmp_path / "checkpoint.txt").write_bytes(CHECKPOINT.body)
    world.chain.rewind(7)
    world.chain.mine(count=7)
    refused = ots(world, "verify", FILE_NAME, folder=tmp_path)
    assert refused.returncode != 0
    assert "Digest does not match merkleroot" in refused.stderr


@pytest.mark.slow
def test_the_stock_client_upgrades_a_stamp_of_ours_and_we_read_it(world: World, tmp_path: Path) -> None:
    """And the other way round: a stamp that the client asked for is one to us."""
    job = world.sent()
    stamp = progress(job).stamp
    assert stamp is not None
    (tmp_path / "checkpoint.txt").write_bytes(CHECKPOINT.body)
    (tmp_path / FILE_NAME).write_bytes(stamp.file())
    (tmp_path / "other.txt").write_bytes(b"stamped by the client")
    calendars = [argument for each in world.calendars for argument in ("-c", each.url)]
    assert ots(world, "stamp", *calendars, "other.txt", folder=tmp_path).returncode == 0
    for calendar in world.calendars:
        calendar.stamp()
    for name in (FILE_NAME, "other.txt.ots"):
        done = ots(world, "upgrade", name, folder=tmp_path)
        assert "Success! Timestamp complete" in done.stderr
        content = (tmp_path / name).read_bytes()
        assert len(decode_file(content).bitcoin()) == 2
        assert decode_file(content).file() == content
    ours = world.step(job)
    assert (progress(ours).stamp or Stamp(b"")).file() == (tmp_path / FILE_NAME).read_bytes()
