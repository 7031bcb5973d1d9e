"""A client for a node's HTTP API: sign, submit, wait, query, fetch proofs.

The outcome of a submission is one of four, each its own error or none: done, rejected before ordering, ordered but
failed, unknown (the node was lost in between: ask again with the transaction's id, which is known before sending).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

import httpx

from chain.codec import CodecError, decode, encode
from chain.crypto import SigningKey, sha256
from chain.transaction import NONCE_SIZE, Transaction, batch_args, make_body, sign

DEFAULT_VALID_MS: Final = 600_000
"""How long a transaction stays includable unless told otherwise; the consortium allows an hour by default."""
WAIT_ONCE_S: Final = 20.0
SUBMIT_BYTES: Final = 4 * 1024 * 1024
SUBMIT_COUNT: Final = 1000
STATES_COUNT: Final = 500
HEADERS_BYTES: Final = 2 * 1024 * 1024
"""Of one answer with headers: a light client asks nodes that it does not trust."""


class ClientError(RuntimeError):
    """A request that did not succeed; one line that says what to do. ``code`` is stable for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NodeUnreachableError(ClientError):
    """No answer from the node."""


class RejectedError(ClientError):
    """Refused before ordering: nothing happened."""


class TransactionFailedError(ClientError):
    """Ordered, but the contract refused: a failed receipt is on the chain, nothing else changed."""

    def __init__(self, code: str, message: str, state: dict[str, Any]) -> None:
        super().__init__(code, message)
        self.state = state


class OutcomeUnknownError(ClientError):
    """Sent, but no outcome came back in time: ask again with ``tally tx wait ID``."""

    def __init__(self, tx_id: bytes) -> None:
        super().__init__(
            "OUTCOME_UNKNOWN", f"the outcome of {tx_id.hex()} is not known yet: `tally tx wait {tx_id.hex()}`"
        )
        self.tx_id = tx_id


class Document(NamedTuple):
    """Bytes for the member's node to keep. kinds: of the records they belong to, which decide who may read them;
    sealed_root: of a sealed body, whose name it is; None: a raw document, named by its SHA-256."""

    data: bytes
    kinds: tuple[str, ...] = ("*",)
    sealed_root: bytes | None = None


class Client:
    """One node's API. Not thread-safe. Use as a context manager or call ``close``."""

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        """``url``: the node's API address, for example ``http://127.0.0.1:27101``."""
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=timeout_s, trust_env=False)
        self._network_id: bytes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    @property
    def network_id(self) -> bytes:
        """The network this node says it serves. What you *verify* against must come from elsewhere."""
        if self._network_id is None:
            self._network_id = bytes.fromhex(self.status()["network_id"])
        return self._network_id

    # -- writing ----------------------------------------------------------------------------------------

    def sign(
        self,
        *keys: SigningKey,
        chain: str,
        contract: str,
        method: str,
        args: dict[str, Any] | None = None,
        records: Sequence[bytes] = (),
        valid_for_ms: int = DEFAULT_VALID_MS,
    ) -> Transaction:
        """A transaction signed by all ``keys``; with ``records``, its args commit to them as a batch."""
        body = make_body(
            network_id=self.network_id,
            chain=chain,
            contract=contract,
            method=method,
            args=batch_args(list(records)) if records else args or {},
            signers=[key.public for key in keys],
            nonce=secrets.token_bytes(NONCE_SIZE),
            valid_until=time.time_ns() // 1_000_000 + valid_for_ms,
        )
        return sign(body, list(keys), list(records))

    def submit(self, *transactions: Transaction) -> list[dict[str, str]]:
        """Send transactions; answers one admission each ({id, state, code, message}), in order."""
        answers: list[dict[str, str]] = []
        for chunk in _chunks(transactions):
            response = self._request("POST", "/v1/transactions", content=encode([tx.wire for tx in chunk]))
            answers.extend(response.json())
        return answers

    def submit_and_wait(self, transaction: Transaction, *, timeout_s: float = 30.0) -> dict[str, Any]:
        """Send one transaction and return its committed state with the receipt.

        Raises RejectedError, TransactionFailedError, OutcomeUnknownError, NodeUnreachableError (nothing was sent).
        """
        try:
            answer = self.submit(transaction)[0]
        except NodeUnreachableError as error:
            if error.code == "NO_ANSWER":  # it may have arrived
                raise OutcomeUnknownError(transaction.id) from None
            raise
        if answer["state"] == "rejected":
            raise RejectedError(answer["code"], answer["message"])
        return self.wait(transaction.id, timeout_s=timeout_s)

    def wait(self, tx_id: bytes, *, timeout_s: float = 30.0) -> dict[str, Any]:
        """Wait until a transaction is in a block. Raises TransactionFailedError, OutcomeUnknownError."""
        deadline = time.monotonic() + timeout_s
        while True:
            left = deadline - time.monotonic()
            try:
                state = self.transaction(tx_id, wait_s=max(0.0, min(left, WAIT_ONCE_S)))
            except NodeUnreachableError:
                state = {"state": "unknown"}
                time.sleep(min(0.2, max(0.0, left)))
            if state["state"] == "committed":
                receipt = state["receipt"]
                if receipt["status"] != 0:
                    raise TransactionFailedError(receipt["code"], receipt["message"], state)
                return state
            if time.monotonic() >= deadline:
                raise OutcomeUnknownError(tx_id)

    def simulate(self, transaction: Transaction) -> dict[str, Any]:
        """The receipt a transaction would get on the head now."""
        return self._object("POST", "/v1/simulate", content=transaction.wire)

    def put_document(self, data: bytes, kinds: Sequence[str] = ("*",), *, sealed_root: bytes | None = None) -> bytes:
        """Have the node keep a document (see `Document`); its name."""
        params = {"kinds": ",".join(kinds)}
        if sealed_root is None:
            params["sha256"] = sha256(data).hex()
        else:
            params["sealed_root"] = sealed_root.hex()
        answer = self._object("PUT", "/v1/documents", content=data, params=params)
        return bytes.fromhex(answer["sha256" if sealed_root is None else "sealed_root"])

    def put_documents(self, documents: Sequence[Document]) -> list[bytes]:
        """Have the node keep several (up to the node's largest request); their names, in order."""
        rows = [[document.sealed_root, list(document.kinds), document.data] for document in documents]
        answer = self._json("POST", "/v1/documents", content=encode(rows))
        return [bytes.fromhex(row) for row in answer]

    # -- reading ----------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Where the node stands."""
        return self._object("GET", "/v1/status")

    def transaction(self, tx_id: bytes, *, wait_s: float = 0.0) -> dict[str, Any]:
        """{state: unknown | pending | committed, …}."""
        return self._object("GET", f"/v1/transactions/{tx_id.hex()}", params={"wait": round(wait_s, 3)})

    def feed(self, after: int, *, wait_s: float = 0.0) -> list[dict[str, Any]]:
        """Committed blocks above a height, ids only."""
        found: list[dict[str, Any]] = self._json("GET", "/v1/feed", params={"after": after, "wait": wait_s})
        return found

    def inbox(
        self, recipient: str, *, after: str = "0.0", limit: int = 100, wait_s: float = 0.0, newest: bool = False
    ) -> dict[str, Any]:
        """{notices, cursor}: what a member or party was told after a cursor, oldest first; ``newest``: the last ones.

        Keep the cursor of the last notice dealt with, and go on from it: it is the same at every node.
        """
        params = {"after": after, "limit": limit, "wait": round(wait_s, 3), "newest": newest}
        return self._object("GET", f"/v1/inbox/{quote(recipient, safe='')}", params=params)

    def block(self, height: int) -> dict[str, Any]:
        """A consortium block."""
        return self._object("GET", f"/v1/blocks/{height}")

    def chains(self, *, at: int | None = None) -> list[dict[str, Any]]:
        """The heads of the business chains, now or at a height."""
        found: list[dict[str, Any]] = self._json("GET", "/v1/chains", params=_at({}, at))
        return found

    def members(self, *, at: int | None = None) -> list[dict[str, Any]]:
        """The registered members, now or at a height."""
        found: list[dict[str, Any]] = self._json("GET", "/v1/members", params=_at({}, at))
        return found

    def state(self, chain: str, contract: str, *key: str | int | bytes, at: int | None = None) -> Any:
        """The decoded value of a contract's entry, None where absent."""
        raw = self._json("GET", f"/v1/state/{chain}", params=_at({"key": _key(contract, key)}, at))["value"]
        try:
            return None if raw is None else decode(bytes.fromhex(raw))
        except CodecError as error:
            raise ClientError("BAD_ANSWER", f"{self.url} sent a value that is not canonical: {error}") from None

    def states(self, chain: str, contract: str, keys: Sequence[Sequence[str | int | bytes]]) -> list[Any]:
        """The decoded values of many entries of a contract, None where absent, in as few requests as they fit."""
        wanted = [encode([contract, *key]) for key in keys]
        found: list[Any] = []
        while len(found) < len(wanted):
            body = encode(wanted[len(found) : len(found) + STATES_COUNT])
            answer = self._request("POST", f"/v1/state/{chain}", content=body).content
            try:
                values = decode(answer, max_size=len(answer))
                found += [None if value is None else decode(value) for value in values]
            except (CodecError, TypeError) as error:
                raise ClientError("BAD_ANSWER", f"{self.url} sent values that are not canonical: {error}") from None
            if not values:
                raise ClientError("BAD_ANSWER", f"{self.url} sent no values: is it a tally node?")
        return found

    def records(
        self, kind: str, number: str, *, issuer: str | None = None, at: int | None = None
    ) -> list[dict[str, Any]]:
        """The records with a natural key, on every chain that has one."""
        params = _at({"kind": kind, "number": number}, at)
        if issuer is not None:
            params["issuer"] = issuer
        found: list[dict[str, Any]] = self._json("GET", "/v1/records", params=params)
        return found

    def record_places(self, record_id: bytes) -> list[dict[str, Any]]:
        """Where the record version with an id is sealed: chain, kind, issuer, number, tx_id of each."""
        found: list[dict[str, Any]] = self._json("GET", f"/v1/records/{record_id.hex()}")
        return found

    def enterprise_records(self, chain: str, enterprise: str) -> Iterator[dict[str, Any]]:
        """An enterprise's record versions on a business chain in sealing order: kind, number, id, height, …"""
        after: str | None = None
        while True:
            page = self.page("records", after=after, chain=[chain], enterprise=enterprise, order="oldest")
            yield from page["rows"]
            after = page["next"]
            if after is None:
                return

    def page(self, what: str, *, after: str | None = None, **filters: Any) -> dict[str, Any]:
        """One page {rows, began, next} of a list: ``what`` is records, transactions or blocks.

        Filters, all optional: chain (a list), enterprise, kind, method, from_ms, to_ms, from_block, at (heights),
        order ("newest" or "oldest"), limit (1 to 500). Give ``next`` back as ``after``, with the same filters.
        """
        return self._object("GET", f"/v1/lists/{what}", params=_given({**filters, "after": after}))

    def record_history(
        self, chain: str, kind: str, issuer: str, number: str, *, at: int | None = None, after: str | None = None,
        limit: int | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """One page of a record's versions, newest first: version, id, height, time, transaction, record each."""
        params = {"kind": kind, "issuer": issuer, "number": number, "at": at, "after": after, "limit": limit}
        return self._object("GET", f"/v1/history/record/{chain}", params=_given(params))

    def state_history(
        self, chain: str, contract: str, *key: str | int | bytes, at: int | None = None, after: str | None = None,
        limit: int | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """One page of what an entry held, newest first: height, time, value (None: deleted) each."""
        params = _given({"key": _key(contract, key), "at": at, "after": after, "limit": limit})
        page = self._object("GET", f"/v1/history/state/{chain}", params=params)
        for row in page["rows"]:
            row["value"] = None if row["value"] is None else decode(bytes.fromhex(row["value"]))
        return page

    def template(self, template: str) -> dict[str, Any] | None:
        """The newest version of an industry template that the consortium has adopted, None where it has none."""
        known = self.genesis()["templates"]
        version = max((row["version"] for row in known if row["id"] == template), default=1)
        found: dict[str, Any] | None = self.state("consortium", "credit", "template", template, version)
        newer = found
        while newer is not None:
            found = newer
            newer = self.state("consortium", "credit", "template", template, newer["version"] + 1)
        return found

    def document(self, digest: bytes, chain: str | None = None) -> bytes:
        """A raw document by its SHA-256, the node's own or, with ``chain``, one of that chain that it may read."""
        params = {} if chain is None else {"chain": chain}
        return self._request("GET", f"/v1/documents/{digest.hex()}", params=params).content

    def body(self, sealed_root: bytes, chain: str | None = None) -> bytes:
        """The sealed body of a record by its sealed root (chain/sealed.py), the node's own or, with ``chain``, one of
        that chain which its member may read."""
        params = {} if chain is None else {"chain": chain}
        return self._request("GET", f"/v1/bodies/{sealed_root.hex()}", params=params).content

    def copy(self, name: bytes, chain: str, reader: str) -> bytes:
        """A document of a chain as the node keeps it, encrypted, with the keys for its readers: for one of them."""
        params = {"chain": chain, "reader": reader}
        return self._request("GET", f"/v1/copies/{name.hex()}", params=params).content

    def genesis(self) -> dict[str, Any]:
        """The genesis document, bytes as hex."""
        return self._object("GET", "/v1/genesis")

    def sealed_genesis(self) -> bytes:
        """The sealed genesis file that the node started from, unchecked: see `genesis.ceremony.load_sealed`."""
        return self._request("GET", "/v1/genesis/sealed").content

    def peers(self) -> list[dict[str, Any]]:
        """Each member that may connect: {member, keys (hex, newest first), votes, connected, host, port}."""
        found: list[dict[str, Any]] = self._json("GET", "/v1/peers")
        return found

    def intake_status(self) -> dict[str, Any]:
        """How the ways in of connected systems stand: {starts, time, ways: {name: counts, backlog, problem}, …}."""
        return self._object("GET", "/v1/intake/status")

    def anchor_status(self) -> dict[str, Any]:
        """Anchoring of this node."""
        return self._object("GET", "/v1/anchors/status")

    def anchor_now(self) -> dict[str, Any]:
        """Anchor at the next round."""
        return self._object("POST", "/v1/anchors/now")

    def custody_status(self) -> dict[str, Any]:
        """How custody stands at this node: {no_part, owner, custodian, …}."""
        return self._object("GET", "/v1/custody")

    def custody_check(self, *, start: bool = False) -> dict[str, Any]:
        """The report of the newest check of this member's documents at its custodians; ``start``: begin one."""
        return self._object("POST" if start else "GET", "/v1/custody/check")

    def custody_restore(self) -> dict[str, Any]:
        """Have the node read all its documents and take back what is missing or damaged; how that stands."""
        return self._object("POST", "/v1/custody/restore")

    # -- proofs -----------------------------------------------------------------------------------------

    def prove_state(self, chain: str, contract: str, *key: str | int | bytes, at: int | None = None) -> bytes:
        """Proof bytes of a contract's entry, or of its absence."""
        params = _at({"key": _key(contract, key)}, at)
        return self._request("GET", f"/v1/proofs/state/{chain}", params=params).content

    def prove_head(self, chain: str, *, at: int | None = None) -> bytes:
        """Proof bytes of where a business chain stands."""
        return self._request("GET", f"/v1/proofs/head/{chain}", params=_at({}, at)).content

    def prove_transaction(self, tx_id: bytes) -> bytes:
        """Proof bytes of a transaction and its outcome."""
        return self._request("GET", f"/v1/proofs/transaction/{tx_id.hex()}").content

    def prove_record(self, record_id: bytes, *, chain: str | None = None) -> bytes:
        """Proof bytes of a sealed record; ``chain``: where several hold it."""
        params = _given({"chain": chain})
        return self._request("GET", f"/v1/proofs/record/{record_id.hex()}", params=params).content

    def headers(self, after: int) -> bytes:
        """The next headers above a height, as ``tallystick.headers.Answer`` reads them."""
        return self._request("GET", "/v1/headers", most=HEADERS_BYTES, params={"after": after}).content

    # -- inside -----------------------------------------------------------------------------------------

    def _object(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        value = self._json(method, path, **options)
        if not isinstance(value, dict):
            raise ClientError("BAD_ANSWER", f"{self.url}{path} did not answer with an object: is it a tally node?")
        return value

    def _json(self, method: str, path: str, **options: Any) -> Any:
        response = self._request(method, path, **options)
        try:
            return response.json()
        except ValueError:
            raise ClientError("BAD_ANSWER", f"{self.url}{path} did not answer in JSON: is it a tally node?") from None

    def _request(self, method: str, path: str, *, most: int | None = None, **options: Any) -> httpx.Response:
        """``most``: bytes of an answer from a node that is not trusted; what is longer is not read on."""
        try:
            if most is None:
                response = self._http.request(method, path, **options)
            else:
                response = self._bounded(most, method, path, **options)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise NodeUnreachableError(
                "UNREACHABLE", f"no node answers at {self.url} ({error}): start it, or correct --node"
            ) from None
        except httpx.HTTPError as error:
            raise NodeUnreachableError(
                "NO_ANSWER", f"{self.url} did not answer ({error or type(error).__name__}): try again"
            ) from None
        if response.is_success:
            return response
        raise _answered(response)

    def _bounded(self, most: int, method: str, path: str, **options: Any) -> httpx.Response:
        with self._http.stream(method, path, **options) as response:
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > most:
                    raise ClientError(
                        "BAD_ANSWER", f"{self.url}{path} answers with more than {most} bytes: ask another node"
                    )
            return httpx.Response(response.status_code, content=bytes(body))


def _answered(response: httpx.Response) -> ClientError:
    try:
        problem = response.json()["error"]
        return RejectedError(problem["code"], problem["message"])
    except (ValueError, KeyError, TypeError):
        detail = response.text[:200].replace("\n", " ")
        return RejectedError(f"HTTP_{response.status_code}", f"the node answered {response.status_code}: {detail}")


def _key(contract: str, key: Sequence[str | int | bytes]) -> str:
    return encode([contract, *key]).hex()


def _at(params: dict[str, Any], at: int | None) -> dict[str, Any]:
    return params if at is None else {**params, "at": at}


def _given(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _chunks(transactions: Sequence[Transaction]) -> list[list[Transaction]]:
    chunks: list[list[Transaction]] = []
    size = 0
    for transaction in transactions:
        size += len(transaction.wire)
        if not chunks or size > SUBMIT_BYTES or len(chunks[-1]) >= SUBMIT_COUNT:
            chunks.append([])
            size = len(transaction.wire)
        chunks[-1].append(transaction)
    return chunks
