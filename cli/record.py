"""``tally record``: what is sealed in a record. Reading it, opening single fields to others, naming readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli import bundle, records, trust, verify
from cli.command import EXISTING_FILE, FILE, Settings, group
from cli.errors import REJECTED, USAGE, CliError, not_found
from cli.output import facts, note, read_file, show, table, write_file
from cli.session import Session, encryption_keys, submit
from contracts.access import CONSORTIUM

if TYPE_CHECKING:
    from chain.crypto import SigningKey
    from chain.disclosure import Disclosure
    from tallystick.disclosure import Read

command = group("record", "What is sealed in a record: show it, disclose it, open what was disclosed, name readers.")
readers = group("readers", "Who reads sealed fields and raw files of a chain: show, set.")
command.add_command(readers)

EVERY_OTHER: Final = "*"
CLIENT_ERRORS: Final = frozenset({"NOTHING_TO_DISCLOSE", "OPEN_FIELD"})
"""What is wrong with the command; the rest is refused by what the chain or the node holds."""


OWN_KEY: Final = click.option(
    "--key", "key_files", type=EXISTING_FILE, multiple=True,
    help="encryption key of a reader that runs no node: open the copies that the node asked keeps",
)  # fmt: skip


@command.command("show", reads=True, example="tally record show 3f09c1… --home consortium --as erp")
@click.argument("record_id", metavar="ID")
@OWN_KEY
@click.pass_obj
def show_record(settings: Settings, record_id: str, key_files: tuple[Path, ...]) -> None:
    """Show a record with its sealed fields, where the node asked (or --key) may read them, else why it may not."""
    from chain.sealed import SealingError
    from tallystick.client import ClientError
    from tallystick.disclosure import body_of

    identity = record_of(record_id)
    with Session(settings) as session:
        found = records.by_id(session.client, identity, None)
        if not found:
            raise not_found(f"no record {record_id} is sealed at this node: check the id")
        entry = found[0]
        sealed: dict[str, Any] | None = None
        why = None
        array = _array(entry["record"])
        if array[records.SEALED] is not None:
            try:
                read = _reading(session, settings, key_files)
                sealed = body_of(session.client, entry["chain"], array, read).values
            except (ClientError, SealingError) as error:
                why = {"code": error.code, "message": str(error)}
    lines = records.describe(entry)
    if sealed is not None:
        lines += ["", "Sealed fields, not on the chain:", *records.fields(sealed)]
    elif why is not None:
        lines += ["", f"Sealed fields: not readable here ({why['code']}: {why['message']})"]
    show(settings, {**entry, "sealed": sealed, "not_readable": why}, lines)


@command.command("file", reads=True, example="tally record file 3f09c1… -o invoice.xml --home consortium --as erp")
@click.argument("record_id", metavar="ID")
@click.option("-o", "--output", type=FILE, required=True, help="where the file goes")
@OWN_KEY
@click.pass_obj
def raw_file(settings: Settings, record_id: str, output: Path, key_files: tuple[Path, ...]) -> None:
    """Get the file that a record was read from, as it was taken in, where the node asked (or --key) may read it."""
    from chain.sealed import SealingError
    from tallystick.disclosure import raw_of

    identity = record_of(record_id)
    with Session(settings) as session:
        found = records.by_id(session.client, identity, None)
        if not found:
            raise not_found(f"no record {record_id} is sealed at this node: check the id")
        try:
            read = _reading(session, settings, key_files)
            file = raw_of(session.client, found[0]["chain"], _array(found[0]["record"]), read).file
        except SealingError as error:
            raise CliError(str(error), code=error.code, exit_code=REJECTED) from None
    write_file(output, file, private=True)
    value = {"record": identity, "file": str(output), "bytes": len(file)}
    show(settings, value, [f"{output}: {len(file)} bytes, the file that record {record_id[:16]}… was read from"])


@command.command(
    "disclose",
    reads=True,
    example="tally record disclose 3f09c1… --field payee_account --to lender -o account.sealed --home DIR --as erp",
)
@click.argument("record_id", metavar="ID")
@click.option("--field", "fields", multiple=True, metavar="NAME", help="a sealed field to open; repeat for several")
@click.option("--raw", is_flag=True, help="open the raw file's hash too, to whoever is given the file")
@click.option("--to", "recipients", multiple=True, metavar="ID", help="member or party it is for; repeat for several")
@click.option("-o", "--output", type=FILE, help="with --to: where the sealed disclosure goes")
@click.option("--open", "plain_file", type=FILE, help="write it unencrypted instead: whoever gets the file reads it")
@OWN_KEY
@click.pass_obj
def disclose(
    settings: Settings,
    record_id: str,
    fields: tuple[str, ...],
    raw: bool,
    recipients: tuple[str, ...],
    output: Path | None,
    plain_file: Path | None,
    key_files: tuple[Path, ...],
) -> None:
    """Open sealed fields of a record, with the proof that they stood on the chain.

    The other sealed fields stay hidden. What is disclosed cannot be taken back. Who reads the sealed body can
    disclose: its owner, and the readers it named.
    """
    from tallystick.disclosure import DisclosureError, recipient, seal_disclosure
    from tallystick.disclosure import disclose as make

    if (output is None) == (plain_file is None) or bool(recipients) != (output is not None):
        raise CliError("say to whom: --to ID -o FILE writes it for them alone, --open FILE for everybody")
    identity = record_of(record_id)
    with Session(settings) as session:
        try:
            to = [recipient(session.client, name) for name in dict.fromkeys(recipients)]
            read = _reading(session, settings, key_files)
            made = make(session.client, identity, fields, raw=raw, read=read)
            data = seal_disclosure(made, to) if to else made.encode()
        except DisclosureError as error:
            exit_code = USAGE if error.code in CLIENT_ERRORS else REJECTED
            raise CliError(str(error), code=error.code, exit_code=exit_code) from None
    path = output or plain_file
    assert path is not None
    write_file(path, data, private=True)
    names = [opening.name for opening in made.openings]
    value = {"record": identity, "fields": names, "raw": raw, "to": [row.id for row in to], "file": str(path)}
    show(settings, value, [_made(made, [row.id for row in to], path)])


@command.command(
    "open", reads=True, example="tally record open account.sealed --key keys/encryption.json --genesis f1f734db…"
)
@click.argument("path", type=EXISTING_FILE)
@click.option("--key", "key_files", type=EXISTING_FILE, multiple=True, help="encryption key it was made for")
@click.option("--genesis", "genesis_hash", required=True, metavar="HASH", help="64 digits, from outside the file")
@click.option("--file", "raw", type=EXISTING_FILE, help="what is said to be the record's raw file")
@click.option("-o", "--output", type=FILE, help="write the disclosure unencrypted, for `tally verify`")
@click.pass_obj
def open_disclosure(
    settings: Settings,
    path: Path,
    key_files: tuple[Path, ...],
    genesis_hash: str,
    raw: Path | None,
    output: Path | None,
) -> None:
    """Open a disclosure made for you and verify it, offline. With --home and --as the key is taken from there.

    Exit code 6 and one line when it does not prove what it claims.
    """
    from tallystick.disclosure import MAX_SEALED, DisclosureError, unseal_disclosure

    network_id = trust.genesis_hash(genesis_hash)
    data = read_file(path, MAX_SEALED)
    try:
        inside = unseal_disclosure(data, _encryption_keys(settings, key_files))
    except DisclosureError as error:
        raise CliError(str(error), code=error.code, exit_code=REJECTED) from None
    file = None if raw is None else read_file(raw, bundle.MAX_BUNDLE)
    verdict = bundle.check(bundle.Item(str(path), inside), network_id, file)
    if output is not None:
        write_file(output, inside, private=True)
    lines = [f"{path}: proved", *(f"  - {step}" for step in verdict.steps), "", *verify.words(verdict)]
    lines += ["", f"Verified under genesis {network_id.hex()}.", *([f"Written to {output}."] if output else [])]
    value = {
        "verified": True,
        "network_id": network_id,
        "chain": verdict.chain,
        "height": verdict.height,
        "time": verdict.time,
        "subject": verdict.subject,
        "steps": verdict.steps,
    }
    show(settings, value, lines)


@readers.command("show", reads=True, example="tally record readers show --home consortium --as erp")
@click.argument("chain", required=False)
@click.pass_obj
def show_readers(settings: Settings, chain: str | None) -> None:
    """Show who reads sealed fields and raw files of a chain, or of every chain, by kind of record.

    Beside them its own member always reads; a raw file with records of several kinds is read by those who read
    every one of them.
    """
    with Session(settings) as session:
        known = [row["id"] for row in session.client.members()]
        if chain is not None and chain not in known:
            raise not_found(f"no member {chain!r}: use one of {', '.join(known)}")
        chains = known if chain is None else [chain]
        found = session.client.states(CONSORTIUM, "custody", [["readers", name] for name in chains])
    named = {name: entry for name, entry in zip(chains, found, strict=True) if entry is not None}
    rows = [
        [name, _kind(kind), ", ".join(ids) or "nobody", entry["height"]]
        for name, entry in named.items()
        for kind, ids in sorted(entry["rules"].items(), reverse=True)
    ]
    show(settings, named, table(["chain", "kind", "readers", "since block"], rows))


@readers.command(
    "set",
    signs=True,
    example="tally record readers set invoice=lender,kestrel '*=auditor' --home consortium --as erp",
)
@click.argument("rules", nargs=-1, metavar="KIND=ID,ID…")
@click.option("--nobody", is_flag=True, help="no readers at all but the member itself")
@click.pass_obj
def set_readers(settings: Settings, rules: tuple[str, ...], nobody: bool) -> None:
    """Name the readers of your own chain, by kind of record; '*' is every kind not named. Replaces what was named.

    Every custodian serves by it from the next block on, and what was deposited before is sealed anew to the readers
    named. A reader that is left out reads nothing more; what it has read it keeps.
    """
    if bool(rules) == nobody:
        raise CliError("name readers as KIND=ID,ID, or give --nobody")
    wanted = dict(_rule(text) for text in rules)
    if len(wanted) != len(rules):
        raise CliError("the same kind is named twice: name its readers in one rule, KIND=ID,ID")
    with Session(settings) as session:
        session.unlock()
        _note_unknown_kinds(session, wanted)
        args = {"rules": wanted}
        state = submit(session, chain="consortium", contract="custody", method="name_readers", args=args)
    rows = [(_kind(kind), ", ".join(ids) or "nobody") for kind, ids in wanted.items()]
    value = {"rules": wanted, "height": state["height"], "transaction": state["id"]}
    said = facts(rows) if rows else ["nobody but the member itself"]
    show(settings, value, [f"readers named in block {state['height']}:", *(f"  {line}" for line in said)])


def record_of(text: str) -> bytes:
    """A record's id. Raises CliError."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise CliError(f"{text[:80]!r} is no record id: give its 64 digits (tally query record)")
    return found


def _note_unknown_kinds(session: Session, rules: Iterable[str]) -> None:
    """A kind may be of a template adopted since the genesis, so a strange one is only mentioned."""
    known = {kind for template in session.client.genesis()["templates"] for kind in template["kinds"]}
    for kind in rules:
        if kind not in {*known, EVERY_OTHER}:
            note(f"no template of the genesis has a kind {kind[:40]!r}: check that it is spelt right")


def _kind(kind: str) -> str:
    return "every other kind" if kind == EVERY_OTHER else kind


def _rule(text: str) -> tuple[str, list[str]]:
    kind, equals, ids = text.partition("=")
    if not equals or not kind.strip():
        raise CliError(f"{text[:80]!r} is no rule: write KIND=ID,ID, for example invoice=lender")
    return kind.strip(), sorted({name.strip() for name in ids.split(",") if name.strip()})


def _made(made: Disclosure, to: Sequence[str], path: Path) -> str:
    what = [opening.name for opening in made.openings] + (["the raw file's hash"] if made.raw_salt else [])
    whom = f"for {', '.join(to)} alone" if to else "unencrypted: whoever gets the file reads it"
    return f"{path}: opens {', '.join(what)}, {whom}"


def _encryption_keys(settings: Settings, paths: Sequence[Path]) -> list[SigningKey]:
    from chain import keys

    session = Session(settings)
    found = []
    for path in paths or encryption_keys(settings):
        purpose = keys.inspect(path).purpose
        if purpose != "encryption":
            raise CliError(f"{path} is a {purpose} key: disclosures are opened with an encryption key", code="KEY")
        found.append(keys.load(path, session.passphrase(path)))
    return found


def _reading(session: Session, settings: Settings, paths: Sequence[Path]) -> Read | None:
    """How a reader without a node gets documents: the node's copy, opened here. None: the node reads."""
    if not paths:
        return None
    from node.copies import open_copy_of  # of the node's package, but needs nothing more than the light install has

    opening = _encryption_keys(settings, paths)
    owner = session.client.state(CONSORTIUM, "registry", "key", opening[0].public)
    if owner is None:
        raise CliError(f"{paths[0]} is registered to nobody: give a reader's encryption key", code="UNKNOWN_KEY")
    reader = str(owner["id"])

    def read(chain: str, name: bytes) -> bytes:
        return open_copy_of(session.client.copy(name, chain, reader), name, opening)

    return read


def _array(record: Sequence[Any]) -> list[Any]:
    """A record array of the API, its sealed root and raw hash as bytes again."""
    array = list(record)
    root, source = array[records.SEALED], list(array[records.SOURCE])
    array[records.SEALED] = None if root is None else bytes.fromhex(root)
    array[records.SOURCE] = [*source[:3], bytes.fromhex(source[3]), *source[4:]]
    return array
