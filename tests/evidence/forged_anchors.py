"""Forged public time: anchors, the log that leads to them, clocks. Rows as in forgeries.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

from chain import der
from chain.checkpoint import Checkpoint
from chain.crypto import sha256
from chain.evm import EvmProof
from chain.ots_stamp import chain_of, decode_file, pending
from tests import certificates
from tests.certificates import Token
from tests.evidence.forger import Forger
from tests.evidence.forgeries import Forgery
from tests.evidence.scene import Scene
from tests.evidence_bundle import LATER_S, anchor, bundle, told
from tests.evidence_publics import EvmWriter, log_of

EVM, OTS, TSA, WITNESS = "anchors/001", "anchors/002", "anchors/003", "anchors/004"
"""Where assembling puts the kinds: by size, then by name."""
NUMBER: Final = 21_000_000
DEVELOPMENT: Final = 31_338


def without(forger: Forger, *folders: str) -> Forger:
    """Anchors left out, with their paths."""
    gone = [name for name in forger.files if name.startswith(tuple(f"{folder}/" for folder in folders))]
    numbers = {folder.removeprefix("anchors/") for folder in folders}
    kept = sorted({name.split("/")[1] for name in forger.folder("anchors")} - numbers - {"paths.json"})

    def edit(paths: dict[str, Any]) -> None:
        paths["inclusion"] = [row for row in paths["inclusion"] if row["anchor"] not in numbers]
        # All are of one size here, so that the way from one to the next is empty.
        paths["consistency"] = [{"older": older, "newer": newer, "path": []} for older, newer in pairwise(kept)]

    return forger.without(*gone).json("anchors/paths.json", edit).repaged()


def only(forger: Forger, folder: str) -> Forger:
    """One anchor kept."""
    return without(forger, *({EVM, OTS, TSA, WITNESS} - {folder}))


def _time(scene: Scene) -> int:
    return scene.world.ledger.header(scene.height).time // 1_000 + LATER_S


def _evm(scene: Scene, change: Callable[[EvmProof], EvmProof]) -> bytes:
    proof = EvmProof.decode(scene.honest.files[f"{EVM}/evm.proof"])
    return scene.honest.with_file(f"{EVM}/evm.proof", change(proof).encode()).sealed()


def _own_header(scene: Scene) -> bytes:
    """A block of the forger's own under the number of the real one, dated earlier."""
    proof, _ = scene.publics.writer.block(scene.checkpoint.payload, number=NUMBER, time=_time(scene) - 86_400)
    return scene.honest.with_file(f"{EVM}/evm.proof", proof.encode()).sealed()


def _unknown_header(scene: Scene) -> bytes:
    """The same as the only anchor, under a number that the court knows nothing of."""
    proof, _ = scene.publics.writer.block(scene.checkpoint.payload, number=NUMBER + 5, time=_time(scene))
    return only(scene.honest, EVM).with_file(f"{EVM}/evm.proof", proof.encode()).sealed()


def _real_block(scene: Scene, writer: EvmWriter, payload: bytes, number: int) -> bytes:
    """A block that was really published, and that the court knows."""
    proof, block_hash = writer.block(payload, number=number, time=_time(scene))
    scene.publics.evm_blocks[1][number] = block_hash
    return scene.honest.with_file(f"{EVM}/evm.proof", proof.encode()).sealed()


def _other_place(scene: Scene) -> bytes:
    return _evm(scene, lambda proof: replace(proof, index=proof.index + 1))


def _development(scene: Scene) -> bytes:
    """A development chain's block as the only anchor; the court's file even has its hash."""
    proof, block_hash = EvmWriter("public", DEVELOPMENT).block(scene.checkpoint.payload, time=_time(scene))
    scene.publics.evm_blocks[DEVELOPMENT] = {NUMBER: block_hash}
    return only(scene.honest, EVM).with_file(f"{EVM}/evm.proof", proof.encode()).sealed()


def _relabelled(scene: Scene) -> bytes:
    """A development chain's transaction under the name of the real chain."""
    proof, block_hash = EvmWriter("public", DEVELOPMENT).block(
        scene.checkpoint.payload, number=NUMBER + 7, time=_time(scene)
    )
    scene.publics.evm_blocks[1][NUMBER + 7] = block_hash
    return scene.honest.with_file(f"{EVM}/evm.proof", replace(proof, chain_id=1).encode()).sealed()


# -- tokens, stamps, notes -------------------------------------------------------------------------------------------


def _token(scene: Scene, **changes: Any) -> bytes:
    made = Token(**{"signer": scene.publics.authority, "data": scene.checkpoint.body, **changes}).response()
    return scene.honest.with_file(f"{TSA}/checkpoint.txt.tsr", made).sealed()


def _redated_token(scene: Scene) -> bytes:
    """The real authority's token with an earlier time in place of the one that it signed."""
    earlier = Token(scene.publics.authority, scene.checkpoint.body, stamped="20260105120000Z").info()
    return _token(scene, stamped="20260622021034Z", altered={"info": earlier})


def _own_authority(scene: Scene) -> bytes:
    made = Token(scene.forger.authority, scene.checkpoint.body, stamped="20260622021034Z").response()
    return only(scene.honest, TSA).with_file(f"{TSA}/checkpoint.txt.tsr", made).sealed()


def _wrong_purpose(scene: Scene) -> bytes:
    """By a web server's certificate of the root that the court trusts for time stamps."""
    server = certificates.certificate("server", scene.publics.root)
    return _token(scene, signer=server, stamped="20260622021034Z")


def _refused_token(scene: Scene) -> bytes:
    status = der.write_sequence([der.write_int(2)])
    return scene.honest.with_file(f"{TSA}/checkpoint.txt.tsr", der.write_sequence([status])).sealed()


def _headers(scene: Scene) -> str:
    return next(name for name in scene.honest.folder(OTS) if "headers" in name)


def _redated_block(scene: Scene) -> bytes:
    """The Bitcoin header with an earlier time, mined anew by the forger."""
    header = bytearray(scene.honest.files[_headers(scene)])
    header[68:72] = (_time(scene) - 86_400).to_bytes(4, "little")
    for nonce in range(2**32):
        header[76:80] = nonce.to_bytes(4, "little")
        if sha256(sha256(bytes(header)))[31] < 0x7F:
            break
    return scene.honest.with_file(_headers(scene), bytes(header)).sealed()


def _promise(scene: Scene) -> bytes:
    """A calendar's promise as the only anchor."""
    stamp = decode_file(scene.honest.files[f"{OTS}/checkpoint.txt.ots"])
    promised = chain_of(stamp.message, [stamp.branches[0][0]], pending("https://calendar.example.org"))
    return only(scene.honest, OTS).with_file(f"{OTS}/checkpoint.txt.ots", promised.file()).sealed()


def _false_witness(scene: Scene) -> bytes:
    note = scene.honest.files[f"{WITNESS}/checkpoint.note"]
    lines = note.decode().splitlines(keepends=True)
    last = lines[-1].split(" ")
    last[-1] = last[-1][:20] + ("A" if last[-1][20] != "A" else "B") + last[-1][21:]
    return scene.honest.with_file(
        f"{WITNESS}/checkpoint.note", "".join([*lines[:-1], " ".join(last)]).encode()
    ).sealed()


# -- the log -------------------------------------------------------------------------------------------------------


def _checkpoint(scene: Scene, checkpoint: Checkpoint, *folders: str) -> bytes:
    forged = scene.honest
    for folder in folders:
        forged = forged.with_file(f"{folder}/checkpoint.txt", checkpoint.body)
    return forged.sealed()


def _paths(change: Callable[[dict[str, Any]], None]) -> Callable[[Scene], bytes]:
    return lambda scene: scene.honest.json("anchors/paths.json", change).repaged().sealed()


def _another_path(paths: dict[str, Any]) -> None:
    rows = paths["inclusion"]
    rows[0]["path"], rows[1]["path"] = rows[1]["path"], rows[0]["path"]


def _no_paths(paths: dict[str, Any]) -> None:
    paths["inclusion"] = []


def _rewritten(scene: Scene) -> bytes:
    """The second history of all the validators, with the real history's anchors."""
    forged = scene.opened(bundle(scene.rewritten, scene.height, []))
    with_anchors = replace(forged, files={**forged.files, **scene.honest.folder("anchors")})
    return with_anchors.covering(log_of(scene.rewritten.ledger), scene.height).repaged().sealed()


def _two_histories(scene: Scene) -> bytes:
    """The second history was anchored as well, later, in the same public places."""
    log = log_of(scene.rewritten.ledger)
    checkpoint = log.checkpoint(scene.network_id, len(log))
    proof, block_hash = scene.publics.writer.block(checkpoint.payload, number=NUMBER + 9, time=_time(scene) + 900)
    scene.publics.evm_blocks[1][NUMBER + 9] = block_hash
    files = {"anchors/005/checkpoint.txt": checkpoint.body, "anchors/005/evm.proof": proof.encode()}
    path = [node.hex() for node in scene.log.consistency(scene.checkpoint.size, len(scene.log))]

    def edit(paths: dict[str, Any]) -> None:
        paths["consistency"].append({"older": "004", "newer": "005", "path": path})

    return replace(scene.honest, files={**scene.honest.files, **files}).json("anchors/paths.json", edit).sealed()


def _dated_ahead(scene: Scene) -> bytes:
    """A consortium that dates its blocks three days after they were seen outside."""
    world = told(scene.publics)
    checkpoint = anchor(world, scene.publics, later_s=-3 * 86_400, number=NUMBER + 11)
    return bundle(world, checkpoint.size)


ANCHOR_FORGERIES: Final = (
    Forgery("a public header of the forger's own", "anchors", _own_header, only=True),
    Forgery("a public header that nobody knows", "public", _unknown_header, only=True),
    Forgery(
        "an account of the forger's own", "anchors",
        lambda s: _real_block(s, EvmWriter("forger"), s.checkpoint.payload, NUMBER + 1), only=True,
    ),
    Forgery(
        "an earlier checkpoint's transaction", "anchors",
        lambda s: _real_block(s, s.publics.writer, s.other_checkpoint().payload, NUMBER + 2), only=True,
    ),
    Forgery(
        "a payload with more behind it", "anchors",
        lambda s: _real_block(s, s.publics.writer, s.checkpoint.payload + b"\0", NUMBER + 3), only=True,
    ),
    Forgery("another place in the public block", "anchors", _other_place, only=True),
    Forgery("a development chain alone", "public", _development, only=True),
    Forgery("a development chain under a real one's name", "anchors", _relabelled, only=True),
    Forgery("a re-dated token", "anchors", _redated_token, only=True),
    Forgery("a token of the forger's own authority", "public", _own_authority, only=True),
    Forgery("a token for another purpose", "anchors", _wrong_purpose, only=True),
    Forgery(
        "a token of another checkpoint", "anchors",
        lambda s: _token(s, data=s.other_checkpoint().body, stamped="20260622021034Z"), only=True,
    ),
    Forgery("a token from before the authority's time", "anchors", lambda s: _token(s, stamped="20190101120000Z")),
    Forgery("a refusal in place of a token", "anchors", _refused_token, only=True),
    Forgery("a re-dated Bitcoin header", "anchors", _redated_block),
    Forgery("a calendar's promise", "public", _promise),
    Forgery("a witness's signature altered", "anchors", _false_witness, only=True),
    Forgery(
        "a checkpoint of another consortium", "anchors",
        lambda s: _checkpoint(s, replace(s.checkpoint, network_id=sha256(b"other")), EVM),
    ),
    Forgery(
        "a checkpoint of more blocks", "anchors",
        lambda s: _checkpoint(s, replace(s.checkpoint, size=s.height + 1), EVM, OTS, TSA, WITNESS),
    ),
    Forgery("a path of another block", "log", _paths(_another_path), only=True),
    Forgery("no paths", "public", _paths(_no_paths), only=True),
    Forgery("a history rewritten by all validators", "log", _rewritten, only=True),
    Forgery("two histories anchored", "growth", _two_histories, only=True),
    Forgery("blocks dated ahead", "times", _dated_ahead, only=True),
    Forgery("no anchor at all", "public", lambda s: bundle(s.world, s.height, []), only=True),
    Forgery("a witness alone", "public", lambda s: only(s.honest, WITNESS).sealed(), only=True),
)  # fmt: skip
