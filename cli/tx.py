"""``tally tx``: transactions as such. Their id is known, and said, before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.command import EXISTING_FILE, FILE, Settings, group
from cli.errors import UNKNOWN, CliError
from cli.output import facts, moment, note, plain, show, write_file
from cli.session import Session
from cli.values import digest, json_argument

if TYPE_CHECKING:
    from chain.transaction import Transaction

MAX_WIRE: Final = 1024 * 1024

command = group("tx", "Transactions: submit, simulate, show, wait.")

_SUBMIT_EXAMPLE: Final = """\
tally tx submit --key keys/signer.json --contract registry --method register_party \\
    --args '{"id": "kestrel", "name": "Kestrel Pumps", "identifiers": ["GB-COH:99900217"]}'
bytes in --args are written {"$hex": "ab12…"}; --args @file.json reads a file"""


def _content(function: Any) -> Any:
    """The options that say what a transaction does."""
    for option in reversed(
        [
            click.option("--chain", default="consortium", show_default=True, help="member id, or consortium"),
            click.option("--contract", help="contract, for example registry"),
            click.option("--method", help="method, for example register_party"),
            click.option("--args", "arguments", default="{}", help="JSON object, or @FILE", metavar="JSON|@FILE"),
            click.option("--valid-for", type=click.IntRange(min=1), default=600, show_default=True,
                         help="seconds it may wait to be ordered"),
            click.option("--from", "source", type=EXISTING_FILE, help="signed transaction that --save wrote"),
        ]
    ):  # fmt: skip
        function = option(function)
    return function


@command.command("submit", signs=True, example=_SUBMIT_EXAMPLE)
@_content
@click.option("--save", type=FILE, help="write the signed transaction here first, to send it again with --from")
@click.option("--no-send", is_flag=True, help="sign and save only")
@click.option("--no-wait", is_flag=True, help="return when the node has taken it in")
@click.option("--timeout", type=click.IntRange(min=1), default=30, show_default=True, help="seconds to wait")
@click.pass_obj
def submit(
    settings: Settings,
    chain: str,
    contract: str | None,
    method: str | None,
    arguments: str,
    valid_for: int,
    source: Path | None,
    save: Path | None,
    no_send: bool,
    no_wait: bool,
    timeout: int,
) -> None:
    """Sign a transaction, send it and wait for its receipt. Several --key: all of them sign."""
    with Session(settings) as session:
        transaction = _transaction(session, chain, contract, method, arguments, valid_for, source)
        note(f"transaction {transaction.id.hex()}")
        if save is not None:
            write_file(save, transaction.wire)
        if no_send:
            if save is None:
                raise CliError("--no-send without --save would keep nothing: add --save FILE")
            show(settings, {"id": transaction.id, "path": str(save)}, [f"signed, not sent: {save}"])
        elif no_wait:
            _send_only(settings, session, transaction)
        else:
            _show_state(settings, session.client.submit_and_wait(transaction, timeout_s=timeout))


@command.command(
    "simulate", signs=True,
    example="tally tx simulate --key keys/signer.json --contract gov --method vote --args @vote.json",
)  # fmt: skip
@_content
@click.pass_obj
def simulate(
    settings: Settings,
    chain: str,
    contract: str | None,
    method: str | None,
    arguments: str,
    valid_for: int,
    source: Path | None,
) -> None:
    """Ask the node what a transaction would do on its newest block; nothing is written."""
    from tallystick.client import TransactionFailedError

    with Session(settings) as session:
        transaction = _transaction(session, chain, contract, method, arguments, valid_for, source)
        receipt = session.client.simulate(transaction)
    if receipt["status"] != 0:
        raise TransactionFailedError(receipt["code"], receipt["message"], {"receipt": receipt, "simulated": True})
    show(settings, receipt, ["It would succeed; nothing was sent.", *_receipt(receipt)])


@command.command("show", reads=True, example="tally tx show 5f0c…")
@click.argument("tx_id", metavar="ID")
@click.pass_obj
def show_transaction(settings: Settings, tx_id: str) -> None:
    """Show where a transaction stands: unknown, pending, or committed with its receipt."""
    with Session(settings) as session:
        state = session.client.transaction(digest(tx_id, "transaction id"))
    show_state(settings, state)


@command.command("wait", reads=True, example="tally tx wait 5f0c… --timeout 60")
@click.argument("tx_id", metavar="ID")
@click.option("--timeout", type=click.IntRange(min=1), default=30, show_default=True, help="seconds")
@click.pass_obj
def wait(settings: Settings, tx_id: str, timeout: int) -> None:
    """Wait until a transaction is ordered: what to do after exit code 5."""
    with Session(settings) as session:
        _show_state(settings, session.client.wait(digest(tx_id, "transaction id"), timeout_s=timeout))


def show_state(settings: Settings, state: dict[str, Any]) -> None:
    """A transaction's state; exit code 5 where the node does not know it, 4 where it failed."""
    from tallystick.client import TransactionFailedError

    if state["state"] == "unknown":
        raise CliError(
            f"transaction {state['id']} is unknown to this node: it was never sent, has expired, or is still on its "
            f"way; `tally tx wait {state['id']}`",
            code="UNKNOWN_TRANSACTION",
            exit_code=UNKNOWN,
        )
    if state["state"] == "committed" and state["receipt"]["status"] != 0:
        receipt = state["receipt"]
        raise TransactionFailedError(receipt["code"], receipt["message"], state)
    _show_state(settings, state)


def _transaction(
    session: Session,
    chain: str,
    contract: str | None,
    method: str | None,
    arguments: str,
    valid_for: int,
    source: Path | None,
) -> Transaction:
    from chain.transaction import parse
    from cli.output import read_file

    if source is not None:
        return parse(read_file(source, MAX_WIRE))
    if contract is None or method is None:
        raise CliError("what should it do? give --contract and --method, or --from FILE")
    args = json_argument(arguments, "--args")
    return session.client.sign(
        *session.keys, chain=chain, contract=contract, method=method, args=args, valid_for_ms=valid_for * 1000
    )


def _send_only(settings: Settings, session: Session, transaction: Transaction) -> None:
    from tallystick.client import NodeUnreachableError, OutcomeUnknownError, RejectedError

    try:
        answer = session.client.submit(transaction)[0]
    except NodeUnreachableError as error:
        if error.code == "NO_ANSWER":
            raise OutcomeUnknownError(transaction.id) from None
        raise
    if answer["state"] == "rejected":
        raise RejectedError(answer["code"], answer["message"])
    show(settings, answer, [f"{answer['state']}; its outcome: tally tx wait {transaction.id.hex()}"])


def _show_state(settings: Settings, state: dict[str, Any]) -> None:
    if state["state"] != "committed":
        show(settings, state, [f"{state['state']}: not in a block yet; tally tx wait {state['id']}"])
        return
    place = f"block {state['height']}, chain {state['chain']}, number {state['index'] + 1} there"
    done = state["transaction"]
    lines = facts(
        [
            ("transaction", state["id"]),
            ("did", f"{done['contract']}.{done['method']}"),
            ("stands in", place),
            ("at", moment(state["time"])),
        ]
    )
    show(settings, state, lines + _receipt(state["receipt"]))


def _receipt(receipt: dict[str, Any]) -> list[str]:
    outcome = "done" if receipt["status"] == 0 else f"failed: {receipt['code']}: {receipt['message']}"
    events = [(f"event {name}", plain(data)) for name, data in receipt["events"]]
    return facts([("outcome", outcome), ("result", receipt["result"]), *events, ("charged", receipt["charged"])])
