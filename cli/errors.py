"""What went wrong, as one line and an exit code: the only place that knows both.

=====  =======================================================================================
0      done
1      a bug of this program, or a node that had to stop
2      usage: an option, a file, a key or a configuration is wrong; nothing was sent
3      rejected before ordering, or not found: nothing has changed
4      ordered but failed: a failed receipt stands on the chain, nothing else has changed
5      outcome unknown: ask again with ``tally tx wait ID``
6      verification failed
=====  =======================================================================================
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final, NamedTuple

import click

DONE: Final = 0
BUG: Final = 1
USAGE: Final = 2
REJECTED: Final = 3
FAILED: Final = 4
UNKNOWN: Final = 5
UNVERIFIED: Final = 6
INTERRUPTED: Final = 130
"""As a shell reports a process that SIGINT ended."""

NODE_EXTRA: Final = "this command needs the node's parts: pip install 'tallystick[node]'"


class CliError(Exception):
    """A command that cannot be done; the message is one line that says what to do."""

    def __init__(
        self, message: str, *, code: str = "USAGE", exit_code: int = USAGE, data: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = exit_code
        self.data = data or {}


class Problem(NamedTuple):
    """An error ready to be shown. ``code`` is stable for programs; ``data`` goes into ``--json``."""

    exit_code: int
    code: str
    message: str
    data: dict[str, Any]


def not_found(message: str) -> CliError:
    """What was asked for does not exist at the node that was asked."""
    return CliError(message, code="NOT_FOUND", exit_code=REJECTED)


def problem_of(error: BaseException) -> Problem:
    """The one line and exit code of whatever a command raised. Re-raises a bug under TALLY_DEBUG=1."""
    match error:
        case CliError():
            return Problem(error.exit_code, error.code, str(error), error.data)
        case click.UsageError():
            return Problem(USAGE, "USAGE", _usage(error), {})
        case click.ClickException():
            return Problem(USAGE, "USAGE", error.format_message(), {})
        case click.Abort() | KeyboardInterrupt():
            return Problem(INTERRUPTED, "INTERRUPTED", "interrupted", {})
        case ModuleNotFoundError() if not _is_ours(error.name):
            return Problem(USAGE, "NOT_INSTALLED", f"{NODE_EXTRA} ({error.name} is missing)", {})
    found = _of_the_client(error) or _of_the_library(error)
    if found is not None:
        return found
    if type(error).__module__.startswith("node."):  # every error class of the node is one line for its operator
        return Problem(USAGE, getattr(error, "code", "NODE"), str(error), {})
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        what = error.strerror or type(error).__name__
        return Problem(USAGE, "FILE", f"cannot use{where} ({what.lower()}): correct its path or its mode", {})
    if os.environ.get("TALLY_DEBUG"):
        raise error
    return Problem(
        BUG, "BUG", f"a bug of this program: {type(error).__name__}: {error} (TALLY_DEBUG=1 shows where)", {}
    )


def say(problem: Problem) -> None:
    """The one line on standard error."""
    click.echo(f"tally: {one_line(problem.message)}", err=True)


def one_line(text: str) -> str:
    """Text without line breaks and control characters, as a terminal may show it."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _of_the_client(error: BaseException) -> Problem | None:
    if "tallystick.client" not in sys.modules:
        return None
    from tallystick import client

    match error:
        case client.TransactionFailedError():
            return Problem(FAILED, error.code, f"{error.code}: {error}", {"transaction": error.state})
        case client.OutcomeUnknownError():
            return Problem(UNKNOWN, error.code, str(error), {"id": error.tx_id.hex()})
        case client.RejectedError():
            return Problem(REJECTED, error.code, f"{error.code}: {error}", {})
        case client.ClientError():
            return Problem(REJECTED, error.code, str(error), {})
    return None


def _of_the_library(error: BaseException) -> Problem | None:
    """Errors of chain and genesis, told apart by name so that nothing heavy is imported to find out."""
    module, name = type(error).__module__, type(error).__name__
    kinds = {(kind.__module__, kind.__name__) for kind in type(error).__mro__}
    if ("chain.evm", "UnanchoredError") in kinds:
        return Problem(UNVERIFIED, "NO_TRUSTED_BLOCK", str(error), {})
    if kinds & {("chain.verification", "VerificationError"), ("chain.evm", "VerificationError")}:
        return Problem(UNVERIFIED, getattr(error, "code", "NOT_PROVED"), str(error), {})
    if (module, name) == ("tallystick.evidence.trust", "TrustError"):
        return Problem(USAGE, getattr(error, "code", "FILE"), str(error), {})
    if (module, name) == ("chain.transaction", "TransactionError"):
        return Problem(REJECTED, getattr(error, "code", "MALFORMED"), str(error), {})
    if module.startswith(("chain.", "genesis.")) and isinstance(error, Exception):
        return Problem(USAGE, "FILE" if module != "chain.keys" else "KEY", str(error), {})
    return None


def _is_ours(module: str | None) -> bool:
    return (module or "").partition(".")[0] in (
        "chain",
        "cli",
        "consensus",
        "contracts",
        "genesis",
        "node",
        "tallystick",
    )


def _usage(error: click.UsageError) -> str:
    where = f" (see `{error.ctx.command_path} --help`)" if error.ctx is not None else ""
    return f"{error.format_message().rstrip('.')}{where}"
