"""The API's own thread: calls into the node's loop and back, views that are published and let go, a real node whose
loop is busy."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from fastapi.routing import APIRoute

from chain.block import CONSORTIUM
from chain.codec import encode
from chain.store import LevelStore, SnapshotClosedError, StoreError
from genesis.dev import make_dev
from node import config as configuration
from node import logs, service
from node.api import make_api
from node.api_errors import ApiError
from node.peer import Peer, load_keys
from node.processes import free_ports
from node.service import ServiceError
from node.threads import MOST_VIEWS, Newest, OwnLoop
from tests.chain.chain_builder import Consortium


def between(loop: OwnLoop, caller: Callable[[], Awaitable[Any]], then: Callable[[], None] = lambda: None) -> Any:
    """Run the node's loop here and ``caller`` in a loop of another thread; its result. ``then`` runs in the first."""

    async def here() -> Any:
        async with trio.open_nursery() as nursery:
            await nursery.start(loop.run)
            done = await trio.to_thread.run_sync(trio.run, caller)
            then()
            nursery.cancel_scope.cancel()
            return done

    return trio.run(here)


def test_a_call_runs_in_the_nodes_loop_and_its_outcome_comes_back() -> None:
    loop, main = OwnLoop(), threading.get_ident()

    async def slowly(value: int) -> tuple[int, int]:
        await trio.sleep(0.01)
        return value, threading.get_ident()

    def refused() -> None:
        raise ApiError(404, "NOT_FOUND", "there is none")

    async def caller() -> None:
        assert threading.get_ident() != main
        assert await loop.call(threading.get_ident) == main
        assert await loop.call(slowly, 7) == (7, main)
        with pytest.raises(ApiError, match="there is none"):
            await loop.call(refused)
        with pytest.raises(TypeError):
            await loop.call(slowly)

    between(loop, caller)


def test_in_that_loop_itself_and_before_it_runs_a_call_is_just_made() -> None:
    loop = OwnLoop()

    async def here() -> None:
        assert await loop.call(len, "abc") == 3
        async with trio.open_nursery() as nursery:
            await nursery.start(loop.run)
            assert await loop.call(threading.get_ident) == threading.get_ident()
            nursery.cancel_scope.cancel()

    trio.run(here)


def test_a_caller_that_gives_up_cancels_what_it_asked_for() -> None:
    loop = OwnLoop()
    ended = threading.Event()

    async def endless() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async def caller() -> None:
        with trio.move_on_after(0.05) as patience:
            await loop.call(endless)
        assert patience.cancelled_caught
        assert await loop.call(len, "the loop goes on") == 16

    between(loop, caller, lambda: None)
    assert ended.wait(1)


def test_when_the_node_stops_calls_are_answered_with_stopping() -> None:
    loop = OwnLoop()
    asked, codes = threading.Event(), []

    async def endless() -> None:
        asked.set()
        await trio.sleep_forever()

    async def caller() -> None:
        for function in (endless, len):
            with pytest.raises(ApiError) as refusal:
                await loop.call(function, *(() if function is endless else ("",)))
            codes.append((refusal.value.status, refusal.value.code))

    async def here() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(loop.run)
            thread = threading.Thread(target=trio.run, args=(caller,))
            thread.start()
            await trio.to_thread.run_sync(asked.wait)
            nursery.cancel_scope.cancel()
        await trio.to_thread.run_sync(thread.join)

    trio.run(here)
    assert codes == [(503, "STOPPING")] * 2


@pytest.mark.parametrize("grouped", [False, True])
def test_what_is_fatal_is_told_to_the_caller_and_ends_the_nodes_loop(grouped: bool) -> None:
    loop = OwnLoop()

    async def damaged() -> None:
        error = StoreError("the ledger is damaged")
        raise ExceptionGroup("two tasks", [ValueError("another"), error]) if grouped else error

    async def caller() -> None:
        with pytest.raises((StoreError, ExceptionGroup)):
            await loop.call(damaged)

    async def here() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(loop.run)
            nursery.start_soon(trio.to_thread.run_sync, trio.run, caller)

    with pytest.raises(ExceptionGroup) as ended:
        trio.run(here)
    assert ended.group_contains(StoreError, match="damaged")


def test_a_new_view_wakes_whoever_waits_in_either_loop(tmp_path: Path) -> None:
    consortium = Consortium(store=LevelStore(tmp_path / "ledger", create=True))
    newest = Newest(consortium.ledger.view())
    heights: list[int] = []

    async def wait_for(height: int) -> None:
        heights.append((await newest.above(height)).height)

    async def here() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, trio.run, wait_for, 1)
            nursery.start_soon(wait_for, 0)
            for _ in range(2):
                await trio.sleep(0.05)
                consortium.seal()
                newest.publish(consortium.ledger.view())
        await wait_for(1)

    trio.run(here)
    assert heights == [1, 2, 2]
    newest.close()
    consortium.ledger.close()


def test_a_view_is_let_go_when_nobody_holds_it_and_closed_when_it_is_held_too_long(tmp_path: Path) -> None:
    consortium = Consortium(store=LevelStore(tmp_path / "ledger", create=True))
    newest = Newest(consortium.ledger.view())
    held = newest.view
    key = encode(["gov", "validators"])
    before = held.state_bytes(CONSORTIUM, key)
    for count in range(MOST_VIEWS):
        assert held.state_bytes(CONSORTIUM, key) == before, count
        newest.publish(consortium.ledger.view())
    with pytest.raises(SnapshotClosedError, match="read again"):
        held.state_bytes(CONSORTIUM, key)
    with pytest.raises(SnapshotClosedError):
        held.tree(CONSORTIUM)
    last = newest.view
    newest.close()
    with pytest.raises(SnapshotClosedError):
        last.header(0)
    consortium.ledger.close()


# -- a real node ------------------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Peer]:
    """A network of one validator, not running yet."""
    made = make_dev(tmp_path / "net", members=1, observers=(), parties=(), base_port=free_ports(2))
    config = configuration.load(made.members[0].folder / "node.toml")
    passphrase = (made.directory / "passphrase").read_text().strip()
    log = logs.configure("error", "text", None, config.member)
    peer = Peer(config, load_keys(config, passphrase), passphrase, log)
    yield peer
    peer.close()


def test_reads_do_not_wait_for_a_busy_loop_and_what_it_owns_does(node: Peer) -> None:
    answered: list[str] = []
    while_busy: list[str] = []

    def ask(path: str) -> None:
        answer = httpx.get(f"http://{node.config.api.listen}{path}", trust_env=False, timeout=30)
        assert answer.status_code == 200, answer.text
        answered.append(path)

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            await trio.to_thread.run_sync(ask, "/v1/genesis")  # what a first request loads
            threads = [threading.Thread(target=ask, args=(path,)) for path in ("/v1/chains", "/v1/status")]
            for thread in threads[::-1]:
                thread.start()
            limit = time.monotonic() + 20
            while "/v1/chains" not in answered and time.monotonic() < limit:  # a block that executes
                pass
            while_busy.extend(answered)
            for thread in threads:
                await trio.to_thread.run_sync(thread.join)
            nursery.cancel_scope.cancel()

    trio.run(run)
    assert while_busy == ["/v1/genesis", "/v1/chains"]
    assert answered[2:] == ["/v1/status"]


def test_no_answer_is_made_in_a_thread_of_its_own(node: Peer) -> None:
    """Python gives each busy thread its share: with forty askers of headers, agreement would have a fortieth."""
    routes = [route for route in make_api(node).routes if isinstance(route, APIRoute)]
    assert len(routes) > 30
    assert [route.path for route in routes if not inspect.iscoroutinefunction(route.endpoint)] == []


def test_it_stops_at_once_with_a_request_that_waits(node: Peer) -> None:
    asked = threading.Event()

    def ask() -> None:
        asked.set()
        with pytest.raises(httpx.HTTPError):
            httpx.get(
                f"http://{node.config.api.listen}/v1/feed?after=1000000&wait=20", trust_env=False, timeout=30
            ).raise_for_status()

    async def run() -> float:
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            thread = threading.Thread(target=ask)
            thread.start()
            await trio.to_thread.run_sync(asked.wait)
            await trio.sleep(0.1)
            begun = trio.current_time()
            nursery.cancel_scope.cancel()
        return trio.current_time() - begun

    assert trio.run(run) < 1


@pytest.mark.parametrize("probed", [True, False])
def test_a_port_that_is_taken_ends_the_node_with_a_line(
    node: Peer, monkeypatch: pytest.MonkeyPatch, probed: bool
) -> None:
    """Noticed before the thread begins, or in it: its error comes out of the node's own loop."""
    if not probed:
        monkeypatch.setattr(service, "_probe", lambda _address: None)

    async def run() -> None:
        listeners = await trio.open_tcp_listeners(node.config.api.listen.port, host="127.0.0.1")
        async with listeners[0]:
            await node.run()

    with pytest.raises(ExceptionGroup) as refusal:
        trio.run(run)
    assert refusal.group_contains(ServiceError, match=r"in use: choose another api\.listen")
