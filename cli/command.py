"""How a command of ``tally`` is made: every one has ``--json``, an example in its help, and the options it needs to
reach a node or a key; groups load their commands only when one of them runs, so that ``tally --help`` is quick.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from cli.errors import DONE, Problem, problem_of, say

FILE: Final = click.Path(path_type=Path, dir_okay=False)
EXISTING_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True)
FOLDER: Final = click.Path(path_type=Path, file_okay=False)


@dataclass
class Settings:
    """What the options and the environment say, for one invocation."""

    json: bool = False
    node: str | None = None
    keys: tuple[Path, ...] = ()
    home: Path | None = None
    acting: str | None = None


class TallyCommand(click.Command):
    """A command with ``--json`` and an example. ``reads``: it asks a node; ``signs``: it also needs a key."""

    def __init__(
        self, *arguments: Any, example: str = "", reads: bool = False, signs: bool = False, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.example = example
        taken = {name for parameter in self.params for name in parameter.opts}
        self.params += [
            option for option in _common(reads=reads or signs, signs=signs) if not taken & set(option.opts)
        ]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The example, its lines as they are."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Example"):
            for line in self.example.splitlines():
                formatter.write(f"  {line}\n")


class TallyGroup(click.Group):
    """A group whose commands are TallyCommands; ``lazy`` names modules whose ``command`` is loaded when needed."""

    command_class = TallyCommand
    group_class = type

    def __init__(self, *arguments: Any, lazy: Mapping[str, tuple[str, str]] | None = None, **options: Any) -> None:
        """``lazy``: command name → (module, one-line help)."""
        super().__init__(*arguments, **options)
        self.lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted, without loading anything."""
        return sorted({*super().list_commands(ctx), *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, its module imported now."""
        if cmd_name in self.lazy:
            loaded: click.Command = importlib.import_module(self.lazy[cmd_name][0]).command
            return loaded
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands; the lazy ones from their line here."""
        if not self.lazy:
            super().format_commands(ctx, formatter)
            return
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.lazy[name][1]) for name in self.list_commands(ctx)])


class RootGroup(TallyGroup):
    """``tally`` itself: whatever a command raises becomes one line on standard error and an exit code."""

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *more: Any, **extra: Any) -> Any:
        """Run and exit the process (SystemExit), whatever ``standalone_mode`` says."""
        settings = Settings()
        extra |= {"standalone_mode": False, "obj": settings}
        try:
            result = super().main(args, prog_name or "tally", *more, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_stdout()
            sys.exit(DONE)
        except Exception as error:
            sys.exit(_report(problem_of(error), settings))
        except KeyboardInterrupt as error:
            sys.exit(_report(problem_of(error), settings))
        sys.exit(result if type(result) is int else DONE)


def group(name: str, text: str) -> TallyGroup:
    """A group of commands with its help text."""
    return TallyGroup(name, help=text, short_help=text.partition(".")[0])


def _common(*, reads: bool, signs: bool) -> list[click.Option]:
    """The options every command of a kind takes; they are stored in the Settings, not passed on."""
    options = [_stored(["--json"], "json", "print one JSON value instead of text", is_flag=True, default=None)]
    if reads:
        options += connection_options()
    if signs:
        options.append(key_option())
    return options


def connection_options(*, environment: bool = False) -> list[click.Option]:
    """``--node``, ``--home``, ``--as``. Environment variables are read at the root only, so that an option wins."""

    def variable(name: str) -> str | None:
        return name if environment else None

    return [
        _stored(["--node"], "node", "API address of the node to ask", metavar="URL", envvar=variable("TALLY_NODE")),
        _stored(["--home"], "home", "folder of a development consortium", type=FOLDER, envvar=variable("TALLY_HOME")),
        _stored(["--as"], "acting", "member or party of --home to act as", metavar="ID", envvar=variable("TALLY_AS")),
    ]


def key_option(*, environment: bool = False) -> click.Option:
    """``--key``, repeated where several keys must sign."""
    return _stored(
        ["--key"], "keys", "key file that signs; repeat for several", type=FILE, multiple=True,
        envvar="TALLY_KEY" if environment else None,
    )  # fmt: skip


def json_option() -> click.Option:
    """``--json``."""
    return _common(reads=False, signs=False)[0]


def _stored(flags: list[str], name: str, text: str, **options: Any) -> click.Option:
    return click.Option([*flags, f"_{name}"], help=text, expose_value=False, callback=_store(name), **options)


def _store(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def store(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value is not None and value != ():
            setattr(ctx.ensure_object(Settings), name, value)

    return store


def _report(problem: Problem, settings: Settings) -> int:
    say(problem)
    if settings.json:
        error = {"code": problem.code, "message": problem.message, "exit": problem.exit_code}
        click.echo(json.dumps({"error": error, **problem.data}, ensure_ascii=False))
    return problem.exit_code


def _forget_stdout() -> None:
    """The reader went away (``| head``): keep Python from complaining when it flushes at exit."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
