"""Anchoring at a time-stamp authority (RFC 3161) over HTTP: no account, no gas, an answer within the second.

The authority signs the SHA-256 of the checkpoint's text with its time; it learns nothing else. Its answer is believed
only as far as a stranger would believe it: the token has to answer this node's request (nonce), stand under the root
that this node pins for this authority, and give a time near this node's own. What does not is a refusal, and the
request is sent again. One backend is one authority; a consortium that wants two configures two.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chain import cms, rfc3161
from chain.anchor import DEVELOPMENT_NOTE, VerificationError
from chain.checkpoint import Checkpoint
from chain.codec import Value
from chain.crypto import sha256
from contracts import anchor_kinds
from node import bounded_http
from node.anchor_asking import CLOCK_SECONDS, Clock, ask_anew, is_near, raw, still_asked, wall_clock
from node.anchor_backend import Backend, BackendError, Check, Job, Memory, State, Verdict

QUERY: Final = "application/timestamp-query"
"""RFC 3161 § 3.4."""
_NONCE_BITS: Final = 63


class TsaBackend(Backend):
    """One authority. ``Job.data``: nonce, request (DER), then token (the TimeStampResp).

    url: None where this node only re-checks; root: DER of the certificate that its tokens have to lead to; crls:
    revocation lists that the operator keeps, DER.
    """

    kind = rfc3161.KIND

    def __init__(
        self,
        name: str,
        url: str | None,
        root: bytes,
        network_id: bytes,
        *,
        crls: Sequence[bytes] = (),
        now: Clock = wall_clock,
    ) -> None:
        self._name = name
        self._root = root
        self._crls = crls
        self._network_id = network_id
        self._now = now
        self._url = url
        self._pool = bounded_http.client(*([] if url is None else [url]))
        self._authority = sha256(root)
        self._development: bool | None = None

    @property
    def name(self) -> str:
        """As configured."""
        return self._name

    @property
    def place(self) -> str | None:
        """Of the pinned root; whether it is one for trials is known from the first token on."""
        return anchor_kinds.place(self.kind, self._fields(bool(self._development)))

    @property
    def writes(self) -> bool:
        """Whether this node asks the authority for time stamps."""
        return self._url is not None

    async def begin(self, memory: Memory, jobs: Sequence[Job], /) -> tuple[Memory, Sequence[Job]]:
        """Remembers from the first token on whether the authority is one for trials; another root is another one."""
        if memory.get("authority") == self._authority and self._development is None:
            self._development = bool(memory["development"])
        known = {} if self._development is None else self._fields(self._development)
        return known, still_asked(jobs, "token", self._stands)

    async def prepare(self, job: Job, _jobs: Sequence[Job], now: int, /) -> Job:
        """QUEUED → PREPARED: the request with a new nonce."""
        nonce = secrets.randbits(_NONCE_BITS) | 1
        request = rfc3161.request(self._text(job), nonce)
        return job.move(State.PREPARED, prepared_at=now, data={"nonce": nonce, "request": request})

    async def submit(self, job: Job, /) -> tuple[Job, str | None]:
        """→ SENT, with the token where it is good. Raises BackendError where the authority does not answer."""
        if "token" in job.data:
            return job.move(State.SENT), None
        if self._url is None:
            raise BackendError(f"{self._name}: this node only re-checks here: set its url")
        host, content = bounded_http.host(self._url), raw(job.data["request"])
        request = self._pool.build_request("POST", self._url, content=content, headers={"content-type": QUERY})
        status, answer = await bounded_http.exchange(self._pool, request, cms.MAX_SIZE)
        if status != 200:
            return job.move(State.SENT), f"{host} answers with HTTP status {status}"
        try:
            found = self._verify(job, answer)
        except VerificationError as error:
            return job.move(State.SENT), f"{host}: {error}"
        if not is_near(found.time, job, self._now()):
            return job.move(State.SENT), f"{host} has another time than this node: correct the clock"
        return job.move(State.SENT, data={**job.data, "token": answer}), None

    async def poll(self, job: Job, /) -> Job:
        """The token is all there is: MINED with one that stands, else SENT without, to ask again."""
        if "token" not in job.data:
            return job if job.state is State.SENT else job.move(State.SENT)
        if not self._stands(job):
            return job.move(State.SENT, data={key: value for key, value in job.data.items() if key != "token"})
        return job.move(State.MINED)

    async def press(self, job: Job, _jobs: Sequence[Job], now: int, /) -> Job:
        """The same request again."""
        return ask_anew(job, now)

    async def finalize(self, job: Job, /) -> Job:
        """MINED → FINAL: a token is final as soon as it stands. Raises BackendError where it does not any more."""
        token = raw(job.data["token"])
        try:
            self._development = self._verify(job, token).development
        except VerificationError as error:
            raise BackendError(str(error)) from None
        return job.move(State.FINAL, proof=token)

    def confirmation(self, job: Job, /) -> dict[str, Value]:
        """public_time: of the token, s; authority: SHA-256 of the pinned root; development: the token's own word."""
        found = self._verify(job, raw(job.proof))
        return {"public_time": found.time, **self._fields(found.development)}

    def export(self, job: Job, /) -> dict[str, bytes]:
        """What ``openssl ts -verify -data checkpoint.txt -in <name>.tsr -CAfile root.pem`` reads."""
        return {} if job.proof is None else {f"{self._name}.tsr": job.proof}

    async def check(self, claim: Mapping[str, Any], checkpoint: Checkpoint, /) -> Check:
        """A token against this node's own pinned root: nobody is asked."""
        if claim.get("authority") != self._authority:
            return Check(Verdict.CANNOT, f"{self._name} pins another authority's root")
        try:
            found = rfc3161.verify_token(claim["proof"], checkpoint.body, [self._root], crls=self._crls)
        except (VerificationError, KeyError, TypeError) as error:
            return Check(Verdict.MISMATCH, f"the token is not good: {error}")
        told = {"public_time": found.time, **self._fields(found.development)}
        if any(claim.get(name) != value for name, value in told.items()):
            return Check(Verdict.MISMATCH, "the confirmation says other things than its token")
        confirmed = claim.get("time")
        if type(confirmed) is int and found.time - CLOCK_SECONDS > confirmed // 1000:
            return Check(Verdict.MISMATCH, "the token's time is later than its confirmation on the chain")
        return Check(Verdict.MATCH, f"{found.authority} stamped the checkpoint of {checkpoint.size} blocks")

    def status(self) -> dict[str, Any]:
        """endpoint: the host, None where this node only re-checks; authority: SHA-256 of the pinned root."""
        return {
            "endpoint": None if self._url is None else bounded_http.host(self._url),
            "authority": self._authority.hex(),
            "note": DEVELOPMENT_NOTE if self._development else "",
        }

    async def close(self) -> None:
        """Give connections up."""
        await self._pool.aclose()

    def _fields(self, development: bool) -> dict[str, Value]:
        return {"authority": self._authority, "development": development}

    def _stands(self, job: Job) -> bool:
        try:
            self._verify(job, raw(job.data["token"]))
        except VerificationError:
            return False
        return True

    def _text(self, job: Job) -> bytes:
        return job.checkpoint(self._network_id).body

    def _verify(self, job: Job, token: bytes) -> rfc3161.Timestamp:
        """Raises VerificationError, also where the token leads to another root than the pinned one."""
        nonce = job.data["nonce"]
        if not isinstance(nonce, int):
            raise AssertionError("a job of this backend holds a number here")
        return rfc3161.verify_token(token, self._text(job), [self._root], nonce=nonce, crls=self._crls)
