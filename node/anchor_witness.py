"""Anchoring at an independent witness (c2sp.org/tlog-witness): it remembers the log, and cosigns only what grew.

The node sends its checkpoint, signed as the log's, with the proof that it only grew from the one that the witness
cosigned last; the witness answers with its time and signature. What it adds to a time stamp: it refuses a second
history of the same log, so that a consortium that forks in secret cannot have both cosigned.

Every member signs the log with its own key, under the log's one name; the witness's operator is given these keys
(``tally anchor status`` shows this node's). A refused consistency proof is an alarm: here or there is a fork.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from chain import cosignature
from chain.anchor import DEVELOPMENT_NOTE, VerificationError
from chain.checkpoint import Checkpoint
from chain.codec import Value
from chain.cosignature import Note, NoteError
from chain.crypto import SigningKey
from contracts import anchor_kinds
from node import bounded_http
from node.anchor_asking import CLOCK_SECONDS, Clock, ask_anew, is_near, raw, still_asked, wall_clock
from node.anchor_backend import Backend, BackendError, Check, Job, Memory, State, Verdict

ADD: Final = "/add-checkpoint"
ROUNDS: Final = 3
"""Requests of one ``submit``: the first may tell the size to prove from, a second member may come between."""
_MAX_DIGITS: Final = 19

Consistency = Callable[[int, int], Sequence[bytes]]
"""``(old size, new size)`` → the proof out of this node's log (``Log.consistency``). Raises IndexError."""

_log = structlog.get_logger("anchoring")


class WitnessBackend(Backend):
    """One witness. ``Job.data``: note (the signed checkpoint), then cosigned (the same with the witness's line).

    url: its submission prefix, None where this node only re-checks; witness: its name; public: its Ed25519 key, 32
    bytes; log_key: signs checkpoints as this member's.
    """

    kind = cosignature.KIND

    def __init__(
        self,
        name: str,
        url: str | None,
        witness: str,
        public: bytes,
        network_id: bytes,
        *,
        log_key: SigningKey | None,
        consistency: Consistency,
        now: Clock = wall_clock,
    ) -> None:
        self._name = name
        self._witness = witness
        self._public = public
        self._network_id = network_id
        self._log_key = log_key
        self._consistency = consistency
        self._now = now
        self._url = None if url is None else url.rstrip("/") + ADD
        self._pool = bounded_http.client(*([] if url is None else [url]))
        self._known_size = 0
        self._fork = ""

    @property
    def name(self) -> str:
        """As configured."""
        return self._name

    @property
    def place(self) -> str | None:
        """Of its key."""
        return anchor_kinds.place(self.kind, self._fields())

    @property
    def writes(self) -> bool:
        """Whether this node sends checkpoints."""
        return self._url is not None and self._log_key is not None

    async def begin(self, memory: Memory, jobs: Sequence[Job], /) -> tuple[Memory, Sequence[Job]]:
        """Of what was not cosigned yet the newest is enough."""
        return memory, still_asked(jobs, "cosigned", self._stands)

    async def prepare(self, job: Job, _jobs: Sequence[Job], now: int, /) -> Job:
        """QUEUED → PREPARED: the checkpoint, signed. Raises BackendError for one that the witness is beyond."""
        if self._log_key is None:
            raise BackendError(f"{self._name}: this node has no key to sign the log with: set keys.signer")
        if self._known_size > job.size:
            raise BackendError(self._too_old())
        note = cosignature.sign_checkpoint(job.checkpoint(self._network_id), self._log_key)
        return job.move(State.PREPARED, prepared_at=now, data={"note": note.encode()})

    async def submit(self, job: Job, /) -> tuple[Job, str | None]:
        """→ SENT, with the cosigned note where the witness signs. Raises BackendError where it does not answer."""
        if "cosigned" in job.data:
            return job.move(State.SENT), None
        if self._url is None:
            raise BackendError(f"{self._name}: this node only re-checks here: set its url")
        note, host = raw(job.data["note"]), bounded_http.host(self._url)
        old = self._known_size if self._known_size <= job.size else 0
        for _ in range(ROUNDS):
            request = self._pool.build_request("POST", self._url, content=self._request(job, old, note))
            answer = await bounded_http.exchange(self._pool, request, cosignature.MAX_NOTE_SIZE)
            size = _size(*answer)
            if size is None or size == old:
                return self._taken(job, old, *answer)
            if size < old:
                _log.error("witness has forgotten what it cosigned", witness=self._witness, was=old, now=size)
            self._known_size = size
            if size > job.size:
                return job.move(State.SENT), self._too_old()
            old = size
        return job.move(State.SENT), f"{host} cosigns for others at the same time: asked again later"

    async def poll(self, job: Job, /) -> Job:
        """The cosigned note is all there is: MINED with one that stands, else SENT without, to ask again."""
        if "cosigned" not in job.data:
            return job if job.state is State.SENT else job.move(State.SENT)
        if not self._stands(job):
            return job.move(State.SENT, data={"note": job.data["note"]})
        return job.move(State.MINED)

    async def press(self, job: Job, _jobs: Sequence[Job], now: int, /) -> Job:
        """The same note again; one that came too late waits for the newer one's confirmation, and goes."""
        if self._known_size > job.size:
            return job.move(State.QUEUED, data={}, prepared_at=0)
        return ask_anew(job, now)

    async def finalize(self, job: Job, /) -> Job:
        """MINED → FINAL: a cosignature is final as soon as it stands. Raises BackendError where it does not."""
        note = raw(job.data["cosigned"])
        try:
            self._verify(job.checkpoint(self._network_id), note)
        except VerificationError as error:
            raise BackendError(str(error)) from None
        return job.move(State.FINAL, proof=note)

    def confirmation(self, job: Job, /) -> dict[str, Value]:
        """public_time: the witness's, s; witness: its key; development: whether its name is one for trials."""
        found = self._verify(job.checkpoint(self._network_id), raw(job.proof))
        return {"public_time": found.time, **self._fields()}

    def export(self, job: Job, /) -> dict[str, bytes]:
        """The cosigned checkpoint, which every C2SP client reads."""
        return {} if job.proof is None else {f"{self._name}.note": job.proof}

    async def check(self, claim: Mapping[str, Any], checkpoint: Checkpoint, /) -> Check:
        """A note against this node's own pinned key: nobody is asked."""
        if claim.get("witness") != self._public:
            return Check(Verdict.CANNOT, f"{self._name} is another witness")
        try:
            found = self._verify(checkpoint, claim["proof"])
        except (VerificationError, KeyError, TypeError) as error:
            return Check(Verdict.MISMATCH, f"the cosigned note is not good: {error}")
        told = {"public_time": found.time, **self._fields()}
        if any(claim.get(name) != value for name, value in told.items()):
            return Check(Verdict.MISMATCH, "the confirmation says other things than its note")
        confirmed = claim.get("time")
        if type(confirmed) is int and found.time - CLOCK_SECONDS > confirmed // 1000:
            return Check(Verdict.MISMATCH, "the witness's time is later than its confirmation on the chain")
        return Check(Verdict.MATCH, f"{self._witness} cosigned the checkpoint of {checkpoint.size} blocks")

    def status(self) -> dict[str, Any]:
        """endpoint: the host; witness, key: whom this node pins; fork: empty as long as this history is not refused.

        log_key: what the witness's operator has to be given.
        """
        origin = cosignature.origin_of(Checkpoint(self._network_id, 0, bytes(32)))
        return {
            "endpoint": None if self._url is None else bounded_http.host(self._url),
            "witness": self._witness,
            "key": cosignature.verifier_key(self._witness, cosignature.TYPE_COSIGNATURE, self._public),
            "log_key": None
            if self._log_key is None
            else cosignature.verifier_key(origin, cosignature.TYPE_LOG, self._log_key.public),
            "fork": self._fork,
            "note": DEVELOPMENT_NOTE if cosignature.is_reserved(self._witness) else "",
        }

    async def close(self) -> None:
        """Give connections up."""
        await self._pool.aclose()

    def _fields(self) -> dict[str, Value]:
        return {"witness": self._public, "development": cosignature.is_reserved(self._witness)}

    def _request(self, job: Job, old: int, note: bytes) -> bytes:
        """The body of add-checkpoint: old size, proof lines, empty line, note. Raises BackendError."""
        try:
            path = self._consistency(old, job.size) if 0 < old < job.size else ()
        except IndexError:
            raise BackendError(f"{self._name}: this node's log does not reach {job.size} blocks yet") from None
        lines = "".join(f"{b64encode(node).decode()}\n" for node in path)
        return f"old {old}\n{lines}\n".encode() + note

    def _taken(self, job: Job, old: int, status: int, body: bytes) -> tuple[Job, str | None]:
        """What the witness's answer to a proof from size ``old`` makes of the job."""
        host = bounded_http.host(self._url or "")
        if status == 422 or (status == 409 and old == job.size):
            # Its size was known and the proof came out of this node's log: what it holds is another history.
            self._fork = f"{host} refuses the checkpoint of {job.size} blocks: it holds another history of this log"
            _log.error("witness refuses this node's history", witness=self._witness, size=job.size)
            return job.move(State.SENT), f"FORK: {self._fork}"
        if status != 200:
            hint = {403: ": give its operator this node's log key", 404: ": its operator does not know this log"}
            return job.move(State.SENT), f"{host} answers with HTTP status {status}{hint.get(status, '')}"
        try:
            cosigned = self._joined(Note.parse(raw(job.data["note"])), cosignature.parse_lines(body))
            found = self._verify(job.checkpoint(self._network_id), cosigned)
        except (NoteError, VerificationError) as error:
            return job.move(State.SENT), f"{host}: {error}"
        if not is_near(found.time, job, self._now()):
            return job.move(State.SENT), f"{host} has another time than this node: correct the clock"
        self._known_size, self._fork = job.size, ""
        return job.move(State.SENT, data={**job.data, "cosigned": cosigned}), None

    def _joined(self, note: Note, lines: Sequence[cosignature.Line]) -> bytes:
        """The note with the pinned witness's line; lines of other keys are left out. Raises VerificationError."""
        known = {self._witness: self._public}
        own = [line for line in lines if cosignature.cosignature_times(note.text, [line], known)]
        return Note(note.text, (*note.lines, *own)).encode()

    def _stands(self, job: Job) -> bool:
        try:
            self._verify(job.checkpoint(self._network_id), raw(job.data["cosigned"]))
        except VerificationError:
            return False
        return True

    def _too_old(self) -> str:
        return f"{self._witness} has cosigned {self._known_size} blocks already: this checkpoint is too old"

    def _verify(self, checkpoint: Checkpoint, note: bytes) -> cosignature.Cosigned:
        """Raises VerificationError."""
        return cosignature.verify_cosigned(note, checkpoint, {self._witness: self._public})


def _size(status: int, body: bytes) -> int | None:
    """The size that the witness cosigned last, where the answer says that another was given."""
    digits = body.removesuffix(b"\n")
    return int(digits) if status == 409 and len(digits) <= _MAX_DIGITS and digits.isdigit() else None
