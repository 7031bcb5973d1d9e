"""Telling a story at the terminal while it happens: numbered steps with their time, and commands of ``tally`` run
in this process exactly as they would be typed.
"""

from __future__ import annotations

import io
import json
import shlex
import textwrap
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final

import click

from cli.command import Settings
from cli.errors import DONE, CliError
from cli.output import clean
from cli.values import is_digest

INDENT: Final = "   "
WIDTH: Final = 118
HASH_DIGITS: Final = 64


class Teller:
    """Prints the story: on standard output, or on standard error where that belongs to ``--json``."""

    def __init__(self, *, aside: bool) -> None:
        self._aside = aside
        self.steps: list[tuple[str, float]] = []
        """(title, seconds) of each step so far."""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One numbered step; its time is told at the end."""
        self.plain(["", f"{len(self.steps) + 1}. {title}"])
        begun = time.monotonic()
        yield
        self.steps.append((title, time.monotonic() - begun))
        self._print(f"{INDENT}({self.steps[-1][1]:.1f} s)")

    def say(self, text: str) -> None:
        """A sentence, wrapped."""
        for line in textwrap.wrap(text, WIDTH - len(INDENT), break_long_words=False, break_on_hyphens=False):
            self._print(INDENT + line)

    def show(self, lines: Sequence[str], *, deeper: str = "") -> None:
        """Lines as they are: tables, what a command printed."""
        for line in lines:
            self._print(f"{INDENT}{deeper}{line}".rstrip())

    def plain(self, lines: Sequence[str]) -> None:
        """Lines at the margin."""
        for line in lines:
            self._print(line)

    def _print(self, line: str) -> None:
        click.echo(clean(line), err=self._aside)


class Tally:
    """Runs ``tally`` commands as a member or party of one development folder.

    settle: called after each command that signs, so that the next one, at whichever node, sees what it did.
    """

    def __init__(self, home: Path, teller: Teller, settle: Callable[[], None]) -> None:
        self._home = home
        self._teller = teller
        self._settle = settle

    def do(self, acting: str, command: str, *words: str, allow: Collection[int] = (DONE,), **options: Any) -> Any:
        """A command that changes something; gives its JSON value.

        command: for example ``credit apply``; options: ``rate_bp=650`` is ``--rate-bp=650``, a tuple repeats it,
        True is a flag, None leaves it out. allow: exit codes that are no failure here. Raises what the command does.
        """
        self._tell(acting, command, words, options)
        value = self._run(acting, command, words, allow, options)
        self._settle()
        return value

    def ask(self, acting: str, command: str, *words: str, told: bool = True, **options: Any) -> Any:
        """A command that reads, at the node of a member; gives its JSON value."""
        if told:
            self._tell(acting, command, words, options)
        return self._run(acting, command, words, (DONE,), options)

    def words(self, acting: str, command: str, *words: str, **options: Any) -> list[str]:
        """What a command that reads prints for people."""
        self._tell(acting, command, words, options)
        who = (f"--home={self._home}", f"--as={acting}")
        return _invoke([*who, *command.split(), *_flags(options), "--", *words])[1].splitlines()

    def _tell(self, acting: str, command: str, words: Sequence[str], options: dict[str, Any]) -> None:
        words = (*command.split(), *words, *_flags(options))
        self._teller.show([f"$ tally --as {acting} {' '.join(map(_as_typed, words))}"])

    def _run(
        self, acting: str, command: str, words: Sequence[str], allow: Collection[int], options: dict[str, Any]
    ) -> Any:
        who = (f"--home={self._home}", f"--as={acting}", "--json")
        exit_code, printed = _invoke([*who, *command.split(), *_flags(options), "--", *words])
        if exit_code not in allow:
            said = f"`tally {command}` ended with exit code {exit_code}, which the story does not know"
            raise CliError(f"{said}: try it by itself", code="STEP_FAILED", exit_code=exit_code)
        return json.loads(printed)


def typed(path: Path) -> str:
    """A path as people type it: from the working folder where it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _invoke(arguments: list[str]) -> tuple[int, str]:
    """(exit code, standard output) of a command; what it raises passes through. Its notes are left unsaid."""
    from cli.main import main

    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(io.StringIO()):
        try:
            with main.make_context("tally", arguments, obj=Settings()) as context:
                main.invoke(context)
        except click.exceptions.Exit as ended:
            return ended.exit_code, printed.getvalue()
    return DONE, printed.getvalue()


def _flags(options: dict[str, Any]) -> list[str]:
    found = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            found.append(option)
        elif value is not None:
            values = value if isinstance(value, tuple) else (value,)
            found += [f"{option}={item}" for item in values]
    return found


def _as_typed(word: str) -> str:
    """A word as a shell takes it; of a hash only the first digits."""
    digits = word[-HASH_DIGITS:]
    return f"{word[:-HASH_DIGITS]}{digits[:12]}…" if is_digest(digits) else shlex.quote(word)
