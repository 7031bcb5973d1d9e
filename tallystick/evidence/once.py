"""A property that is worked out once, its failure too.

Two dozen checks ask for the same parts of a bundle. ``functools.cached_property`` forgets a failure, so that a bundle
made to fail late and slowly would be read through again by each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801  # used as a decorator, as property is
    """See the module. What was raised is raised again, the very same."""

    def __init__(self, work: Callable[[Any], T]) -> None:
        self._work = work
        self._name = work.__name__
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> once[T]: ...

    @overload
    def __get__(self, owner: object, kind: type) -> T: ...

    def __get__(self, owner: object | None, kind: type) -> once[T] | T:
        if owner is None:
            return self
        known = vars(owner)
        failures: dict[str, Exception] = known.setdefault("_failures", {})
        if self._name in failures:
            raise failures[self._name].with_traceback(None)
        try:
            found = self._work(owner)
        except Exception as error:
            failures[self._name] = error
            raise
        known[self._name] = found  # found there before this descriptor from now on
        return found
