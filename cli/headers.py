"""``tally headers``: a light client's copy of the consortium's headers, and proofs cut down to what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli import trust
from cli.command import EXISTING_FILE, FILE, Settings, group
from cli.errors import REJECTED, UNVERIFIED, USAGE, CliError
from cli.output import facts, moment, note, plain, read_file, show, write_file
from cli.session import Session
from cli.values import digest

if TYPE_CHECKING:
    from tallystick.headers import HeaderChain

command = group("headers", "Keep the consortium's headers, to check receipts without certificates: sync, show, …")

MAX_PROOF: Final = 16 * 1024 * 1024
_GENESIS: Final = click.option(
    "--genesis", "genesis_hash", required=True, metavar="HASH", help="64 digits, from outside the file"
)
_OUTPUT: Final = click.option("-o", "--output", type=FILE, required=True, help="where the compact proof goes")
_EXIT: Final = {"FORKED": UNVERIFIED, "FILE": USAGE, "DAMAGED": USAGE, "ANOTHER_NETWORK": UNVERIFIED}


@command.command(
    "sync", reads=True,
    example="tally headers sync consortium.headers --genesis f1f734db… --from http://a:27101 --from http://b:27101",
)  # fmt: skip
@click.argument("path", type=FILE, metavar="FILE")
@_GENESIS
@click.option("--from", "urls", multiple=True, metavar="URL", help="a node to ask; repeat: each completes the others")
@click.pass_obj
def sync(settings: Settings, path: Path, genesis_hash: str, urls: tuple[str, ...]) -> None:
    """Fetch the headers that FILE lacks, checking every one from the genesis hash; makes FILE where there is none.

    A node that lies or is behind is made good by the next one named; what it sent is refused and said.
    """
    from tallystick.client import Client
    from tallystick.headers import sync as bring_up

    network_id = trust.genesis_hash(genesis_hash)
    clients = [Client(url) for url in urls or (Session(settings).url,)]
    try:
        with _stated():
            before = open_chain(path, network_id).height if path.exists() else 0
            chain, failures = bring_up(path, network_id, [client.headers for client in clients])
    finally:
        for client in clients:
            client.close()
    for failure in failures:
        note(f"one of the nodes failed: {failure}")
    value = {**_value(chain), "fetched": chain.height - before, "failures": [str(failure) for failure in failures]}
    show(settings, value, [f"{chain.height - before} headers fetched and checked", *_lines(chain)])


@command.command("show", example="tally headers show consortium.headers --genesis f1f734db… 1200")
@click.argument("path", type=EXISTING_FILE, metavar="FILE")
@click.argument("height", type=click.IntRange(min=1), required=False)
@_GENESIS
@click.pass_obj
def show_headers(settings: Settings, path: Path, height: int | None, genesis_hash: str) -> None:
    """Check a file of headers from the genesis hash and show where it ends, or the header of a HEIGHT."""
    chain = open_chain(path, trust.genesis_hash(genesis_hash))
    if height is None:
        show(settings, _value(chain), _lines(chain))
        return
    header = chain.header(height)
    names = [name for name in header.__dataclass_fields__ if not name.startswith("_")]
    value = {"digest": header.digest, **{name: getattr(header, name) for name in names}}
    shown = {**value, "time": moment(header.time)}
    show(settings, value, facts((name, plain(item)) for name, item in shown.items()))


@command.command("receipt", reads=True, example="tally headers receipt 5f0c… -o payment.receipt")
@click.argument("tx_id", metavar="ID")
@_OUTPUT
@click.pass_obj
def receipt(settings: Settings, tx_id: str, output: Path) -> None:
    """Fetch the proof of a transaction with its receipt, without what who has the headers does not need."""
    with Session(settings) as session:
        proof = session.client.prove_transaction(digest(tx_id, "transaction id"))
    _write(settings, output, proof)


@command.command("compact", example="tally headers compact invoice.proof -o invoice.receipt")
@click.argument("path", type=EXISTING_FILE, metavar="PROOF")
@_OUTPUT
@click.pass_obj
def compact(settings: Settings, path: Path, output: Path) -> None:
    """Cut any proof down to its claim: genesis statement, header and certificates are left out. Asks no node."""
    _write(settings, output, read_file(path, MAX_PROOF))


def open_chain(path: Path, network_id: bytes) -> HeaderChain:
    """A file of headers, checked from the genesis hash. Raises CliError."""
    from tallystick.headers import HeaderChain

    with _stated():
        return HeaderChain(path, network_id)


def _write(settings: Settings, output: Path, proof: bytes) -> None:
    from chain.verification import compact as cut_down

    data = cut_down(proof)
    write_file(output, data)
    value = {"path": str(output), "bytes": len(data), "bytes_of_the_whole_proof": len(proof)}
    show(
        settings,
        value,
        [
            f"{output}: {len(data)} bytes, of {len(proof)} of the whole proof",
            f"check it with: tally verify {output} --headers FILE --genesis HASH",
        ],
    )


def _value(chain: HeaderChain) -> dict[str, Any]:
    return {
        "path": str(chain.path),
        "network_id": chain.network_id,
        "height": chain.height,
        "digest": chain.digest,
        "epoch": chain.validators.epoch,
        "validators": list(chain.validators.ids),
        "bytes": chain.path.stat().st_size,
    }


def _lines(chain: HeaderChain) -> list[str]:
    newest = chain.header(chain.height)
    return facts(
        [
            ("network id", chain.network_id.hex()),
            ("newest block", f"{chain.height}, {moment(newest.time)}"),
            ("its hash", chain.digest.hex()),
            ("next validators", list(chain.validators.ids)),
            ("file", f"{chain.path}, {chain.path.stat().st_size} bytes"),
        ]
    )


@contextmanager
def _stated() -> Iterator[None]:
    """Errors of header files with their own code."""
    from tallystick.headers import HeadersError

    try:
        yield
    except HeadersError as error:
        raise CliError(str(error), code=error.code, exit_code=_EXIT.get(error.code, REJECTED)) from None
