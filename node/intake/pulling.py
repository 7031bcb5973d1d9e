"""A scheduled pull: documents of another system fetched over HTTP, page by page, and where the next round begins.

The state is written after a page's records have their outcomes, so whatever a crash leaves out is fetched again, and
what was sealed is known. A page that cannot be read is kept with its receipt, and the round goes on: one bad page
does not keep the later ones out. No redirect is followed: a secret goes to the configured host and to no other.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from node.config_intake import Pull
from node.documents import write_whole
from node.intake.desk import Desk, LaterError, Pause, Status
from node.intake.outcomes import GOOD, one_line
from node.intake.reading import Source
from node.intake.receipts import kept_name, receipt, write_receipt

MAX_PAUSE_S: Final = 3_600.0
DAY_S: Final = 86_400
PATIENCE: Final = 10
"""A page may take so many timeouts in all."""
GONE: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


@dataclass(frozen=True)
class State:
    """Where the next request begins. ``next``: the next page of a round that is under way, "" between rounds.

    etag, last_modified: of the first page of the last round; since: value of the since parameter; round_*: what
    becomes of them when the round is over; finished: when the last round was over, Unix seconds.
    """

    etag: str = ""
    last_modified: str = ""
    since: str = ""
    next: str = ""
    pages: int = 0
    round_etag: str = ""
    round_last_modified: str = ""
    round_since: str = ""
    finished: float = 0.0


@dataclass(frozen=True, slots=True)
class _Page:
    data: bytes
    headers: Mapping[str, str]
    next: str
    unchanged: bool = False


class Puller:
    """One source. ``step`` makes a round when one is due; ``now`` is monotonic, in seconds."""

    def __init__(
        self, feed: Pull, desk: Desk, status: Status, folder: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._feed = feed
        self._desk = desk
        self._status = status
        self._folder = folder
        self._clock = clock
        self._file = folder / "state.json"
        self._pause = Pause(most_s=max(MAX_PAUSE_S, float(feed.interval_s)))
        folder.mkdir(parents=True, exist_ok=True)
        self.state = State(**json.loads(self._file.read_bytes())) if self._file.exists() else State()

    def step(self, now: float) -> None:
        """A round, where one is due. Problems go into the status; the next try waits twice as long as the last."""
        due = self.state.next or self._clock() - self.state.finished >= self._feed.interval_s
        if not due or not self._pause.over(now):
            return
        try:
            self._round()
        except _FetchError as error:
            if error.gone and self.state.next:  # the cursor is no longer known there: from the first page again
                self._save(replace(self.state, next=""))
            self._status.say(self._feed.name, problem=str(error))
            self._pause.failed(now, error.retry_after_s)
        except LaterError as error:
            self._status.say(self._feed.name, problem=str(error))
            self._pause.failed(now)
        except OSError as error:
            said = f"cannot use {error.filename or self._folder} ({error.strerror}): correct its path or its mode"
            self._status.say(self._feed.name, problem=said)
            self._pause.failed(now)
        else:
            self._status.say(self._feed.name, problem="")
            self._pause.succeeded()

    def _round(self) -> None:
        with self._client() as client:
            while True:
                first = not self.state.next
                page = self._fetch(client, self.state.next or self._feed.url, first=first)
                if page.data:
                    self._take(page)
                if not first or not page.unchanged:
                    self._save(self._after(page, first=first))
                else:
                    self._save(replace(self.state, finished=self._clock()))
                if not self.state.next:
                    return
                if self.state.pages >= self._feed.max_pages:
                    raise _FetchError(f"{self._feed.name}: more than {self._feed.max_pages} pages: raise max_pages")

    def _after(self, page: _Page, *, first: bool) -> State:
        """The state when a page's records have their outcomes."""
        state = self.state
        if first:
            state = replace(
                state,
                pages=0,
                round_etag=page.headers.get("etag", ""),
                round_last_modified=page.headers.get("last-modified", ""),
                round_since=self._next_since(page),
            )
        elif self._feed.since_header and page.headers.get(self._feed.since_header):
            state = replace(state, round_since=page.headers[self._feed.since_header])
        state = replace(state, next=page.next, pages=state.pages + 1)
        if page.next:
            return state
        return replace(
            state,
            etag=state.round_etag,
            last_modified=state.round_last_modified,
            since=state.round_since,
            finished=self._clock(),
        )

    def _next_since(self, page: _Page) -> str:
        """What the next round asks for: what the server says, else its own time less the overlap."""
        if self._feed.since_header:
            return page.headers.get(self._feed.since_header, self.state.since)
        try:
            told = parsedate_to_datetime(page.headers.get("date", ""))
        except ValueError:
            told = datetime.fromtimestamp(self._clock(), UTC)
        start = told.astimezone(UTC) - timedelta(seconds=self._feed.since_overlap_s)
        return start.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _take(self, page: _Page) -> None:
        """See a page's records to their outcomes, and keep the receipt."""
        captured_at = int(self._clock() * 1000)
        name = Path(urlsplit(self._feed.url).path).name or self._feed.name
        (report,) = self._desk.take(self._feed, [Source(name, lambda: (page.data, captured_at), len(page.data))])
        kept = kept_name(report.sha256, name)
        folder = self._folder / ("done" if report.outcome in GOOD else "refused")
        if report.outcome not in GOOD:
            write_whole(folder / kept, page.data)
        written = folder / f"{kept}.json"
        if not written.exists():
            write_receipt(written, receipt(self._feed, report, url=self._feed.url, bytes=len(page.data)))

    def _fetch(self, client: httpx.Client, url: str, *, first: bool) -> _Page:
        """One page. Raises _FetchError."""
        headers = {}
        params = httpx.QueryParams()
        if first and self._feed.since_parameter:
            since = self.state.since or self._feed.since_start
            params = httpx.QueryParams({self._feed.since_parameter: since} if since else {})
        elif first:
            validators = {"If-None-Match": self.state.etag, "If-Modified-Since": self.state.last_modified}
            headers = {name: value for name, value in validators.items() if value}
        target = httpx.URL(url).copy_merge_params(params) if params else httpx.URL(url)
        try:
            with client.stream("GET", target, headers=headers) as answer:
                return self._read(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _FetchError(f"{url}: no answer ({error or type(error).__name__}): it is tried again") from None

    def _read(self, answer: httpx.Response) -> _Page:
        if answer.status_code in (HTTPStatus.NOT_MODIFIED, HTTPStatus.NO_CONTENT):
            return _Page(b"", answer.headers, "", unchanged=answer.status_code == HTTPStatus.NOT_MODIFIED)
        if answer.status_code != HTTPStatus.OK:
            advice = "correct url" if answer.is_redirect else "correct url and headers, or wait for that system"
            said = f"{answer.url}: answered {answer.status_code}: {advice}"
            gone = answer.status_code in GONE
            raise _FetchError(said, _seconds(answer.headers.get("retry-after", "")), gone=gone)
        data = bytearray()
        deadline = time.monotonic() + PATIENCE * self._feed.timeout_s
        for part in answer.iter_bytes():
            data += part
            if len(data) > self._feed.max_bytes:
                most = self._feed.max_bytes
                raise _FetchError(f"{answer.url}: more than {most} bytes: raise max_bytes, or have it paged")
            if time.monotonic() > deadline:
                raise _FetchError(f"{answer.url}: sends too slowly: raise timeout_s, or have it paged")
        return _Page(bytes(data), answer.headers, self._next_link(answer))

    def _next_link(self, answer: httpx.Response) -> str:
        """The page that the answer names as the next one (RFC 8288), on the same host only. Raises _FetchError."""
        target = answer.links.get("next", {}).get("url")
        if not target:
            return ""
        url = answer.url.join(target)
        if (url.scheme, url.host, url.port) != (answer.url.scheme, answer.url.host, answer.url.port):
            raise _FetchError(f"{answer.url}: its next page is on another host ({url.host}): it is not followed")
        return str(url)

    def _client(self) -> httpx.Client:
        feed = self._feed
        headers = dict(feed.headers)
        for name, path in feed.secret_headers.items():
            headers[name] = path.read_text(encoding="utf-8").strip()
        trusted = ssl.create_default_context(cafile=None if feed.ca_file is None else str(feed.ca_file))
        return httpx.Client(
            headers=headers, timeout=feed.timeout_s, verify=trusted, follow_redirects=False, trust_env=False
        )

    def _save(self, state: State) -> None:
        write_whole(self._file, json.dumps(asdict(state)).encode())
        self.state = state

    def sweep(self, keep_days: int) -> None:
        """Forget receipts that are older; refused pages stay until somebody has seen to them."""
        for path in (self._folder / "done").glob("*.json"):
            if self._clock() - path.stat().st_mtime > keep_days * DAY_S:
                path.unlink(missing_ok=True)


class _FetchError(Exception):
    """A page that could not be had; one line. ``retry_after_s``: what the server asked for; ``gone``: it has no such
    page."""

    def __init__(self, reason: str, retry_after_s: float = 0.0, *, gone: bool = False) -> None:
        super().__init__(one_line(reason))
        self.retry_after_s = retry_after_s
        self.gone = gone


def _seconds(text: str) -> float:
    """Of a Retry-After header (RFC 9110 § 10.2.3) in seconds, at most an hour; 0 where it is none."""
    return min(float(text), MAX_PAUSE_S) if text.isascii() and text.isdigit() else 0.0
