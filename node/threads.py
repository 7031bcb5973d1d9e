"""Two threads, two loops: the node's own (agreement, network, custody) and the API's, and what one asks of the other.

The API answers from the newest ``View`` of the ledger, which the node's loop publishes after each commit: a block
that takes 300 ms to execute delays no read. What only the node's loop may touch (pool, network, driver, anchoring) it
is asked for as a call, which runs there between two of its own steps; the result, or the exception, comes back.
"""

from __future__ import annotations

import inspect
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import trio

from chain.state import StateError
from chain.store import StoreError
from chain.view import View
from node.api_errors import ApiError
from node.driver import HaltError
from node.journal import JournalWriteError

FATAL: Final = (StoreError, StateError, HaltError, JournalWriteError)
"""What the node's loop must not survive, whoever asked for it."""
MOST_VIEWS: Final = 64
"""Views that may be open at once: an older one is closed, whoever still holds it (a read then says so)."""


class Newest:
    """The newest view of the ledger. ``publish`` is the node's loop's; the rest is for any thread or loop."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._lock = threading.Lock()
        self._waiting: dict[trio.lowlevel.TrioToken, trio.Event] = {}
        self._open: deque[weakref.ref[View]] = deque([weakref.ref(view)])

    def publish(self, view: View) -> None:
        """Put a newer view in place and wake who waits for one, in whichever loop."""
        with self._lock:
            self.view = view
            waiting, self._waiting = self._waiting, {}
        for token, event in waiting.items():
            with suppress(trio.RunFinishedError):  # that loop has ended, and who waited in it
                token.run_sync_soon(event.set)
        self._open.append(weakref.ref(view))
        while len(self._open) > MOST_VIEWS:
            oldest = self._open.popleft()()
            if oldest is not None:
                oldest.close()

    async def above(self, height: int) -> View:
        """The newest view, once its height is above one."""
        while True:
            with self._lock:
                if self.view.height > height:
                    return self.view
                token = trio.lowlevel.current_trio_token()
                event = self._waiting.setdefault(token, trio.Event())
            await event.wait()

    def close(self) -> None:
        """Let every snapshot go: the store is about to be closed."""
        for reference in self._open:
            view = reference()
            if view is not None:
                view.close()


class _Call:
    """One call on its way: made in one loop, run in the node's own, answered in the first."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.function = function
        self.args = args
        self.value: Any = None
        self.error: BaseException | None = None
        self.scope = trio.CancelScope()
        self._home = trio.lowlevel.current_trio_token()
        self._done = trio.Event()

    def answer(self, value: Any, error: BaseException | None) -> None:
        """In the node's loop: send the outcome home."""
        self.value, self.error = value, error
        with suppress(trio.RunFinishedError):  # nobody is left to hear it
            self._home.run_sync_soon(self._done.set)

    async def outcome(self) -> Any:
        """In the caller's loop: wait for it."""
        await self._done.wait()
        if self.error is not None:
            raise self.error
        return self.value


class OwnLoop:
    """The node's own loop, as other threads ask things of it. ``run`` is its task."""

    def __init__(self) -> None:
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._stopped = False
        self._calls: set[_Call] = set()

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Take calls until cancelled; those still on their way are then answered with STOPPING."""
        self._token = trio.lowlevel.current_trio_token()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                try:
                    await trio.sleep_forever()
                finally:
                    self._stopped = True  # in the pass that cancels the calls, so before any caller asks again
        finally:
            for call in tuple(self._calls):
                self._answer(call, None, _stopping())

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a sync or async function in the node's loop; its result or exception.

        In that loop itself, or before it runs, it is simply called. A caller that is cancelled cancels what runs.
        Raises ApiError STOPPING (503) when the node is stopping.
        """
        if self._stopped:
            raise _stopping()
        token = self._token
        if token is None or token is trio.lowlevel.current_trio_token():
            found = function(*args)
            return await found if inspect.isawaitable(found) else found
        call = _Call(function, args)
        try:
            token.run_sync_soon(self._begin, call)
        except trio.RunFinishedError:
            raise _stopping() from None
        try:
            return await call.outcome()
        except trio.Cancelled:
            with suppress(trio.RunFinishedError):  # it ended with that loop
                token.run_sync_soon(call.scope.cancel)
            raise

    def _begin(self, call: _Call) -> None:
        """In the node's loop: call a sync function at once, or start a task for what an async one gave."""
        if self._stopped or self._nursery is None:
            call.answer(None, _stopping())
            return
        self._calls.add(call)
        try:
            found = call.function(*call.args)
        except Exception as error:
            self._failed(call, error)
            return
        if inspect.isawaitable(found):
            self._nursery.start_soon(self._finish, call, found)
        else:
            self._answer(call, found, None)

    async def _finish(self, call: _Call, waiting: Awaitable[Any]) -> None:
        try:
            with call.scope:
                self._answer(call, await waiting, None)
        except Exception as error:
            self._failed(call, error)
        finally:
            self._answer(call, None, _stopping())  # cancelled: by its caller, who is gone, or with this loop

    def _failed(self, call: _Call, error: Exception) -> None:
        """The caller hears of it; what is fatal ends this loop besides."""
        self._answer(call, None, error)
        if _is_fatal(error) and self._nursery is not None:
            self._nursery.start_soon(_end, error)

    def _answer(self, call: _Call, value: Any, error: BaseException | None) -> None:
        """Once for each call."""
        if call in self._calls:
            self._calls.discard(call)
            call.answer(value, error)


def _is_fatal(error: Exception) -> bool:
    found = error.subgroup(FATAL) if isinstance(error, ExceptionGroup) else error
    return found is not None and isinstance(found, (ExceptionGroup, *FATAL))


async def _end(error: Exception) -> None:
    raise error


def _stopping() -> ApiError:
    return ApiError(503, "STOPPING", "this node is stopping: ask again when it is back, or ask another one")
