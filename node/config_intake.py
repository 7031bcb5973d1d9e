"""The settings of connected systems: watched folders, scheduled pulls, pushes (docs/data-exchange.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from node.config_types import FilePath, HttpUrl, Section, digest, feed_name, is_safe_url


class _Feed(Section):
    """What every way in has: a name of its own, and how its documents are read."""

    name: Annotated[str, AfterValidator(feed_name)]
    system: str = ""
    """Source system of the records; "" is `name`."""
    template: str = "general-trade"
    mapping: str = ""
    """For tables: a ready mapping's name, or a path to a mapping file."""
    correct: bool = False
    """Where other content is sealed already, send a correction of it."""

    @property
    def source_system(self) -> str:
        """What records name as their source."""
        return self.system or self.name


class Folder(_Feed):
    """One of `[[intake.folders]]`: a folder that other systems write files into."""

    path: FilePath
    still_s: Annotated[int, Field(ge=0, le=3_600)] = 5
    """A file is taken when its size and time of change have stood still so long; 0 where writers rename."""


class Pull(_Feed):
    """One of `[[intake.pulls]]`: documents fetched over HTTP at intervals."""

    url: HttpUrl
    interval_s: Annotated[int, Field(ge=1, le=7 * 86_400)] = 3_600
    headers: dict[str, str] = Field(default_factory=dict)
    secret_headers: dict[str, FilePath] = Field(default_factory=dict)
    """Header name → file that holds its value."""
    since_parameter: str = ""
    """Query parameter that asks for what changed since the last round; without it ETag and Last-Modified are used."""
    since_header: str = ""
    """Response header that carries the next value of it; without it, the server's time of the last round."""
    since_start: str = ""
    since_overlap_s: Annotated[int, Field(ge=0, le=7 * 86_400)] = 60
    """How far before the last round the next one starts."""
    max_bytes: Annotated[int, Field(ge=1, le=64 * 1024 * 1024)] = 16 * 1024 * 1024
    max_pages: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    timeout_s: Annotated[int, Field(ge=1, le=600)] = 30
    ca_file: FilePath | None = None
    """Certificates to trust instead of the system's."""
    allow_http: bool = False
    """Fetch without TLS from a host other than this machine."""

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if not is_safe_url(self.url, allow_http=self.allow_http):
            raise ValueError(
                f"{self.url} is not https: whoever is on the way can alter it: use https, or set allow_http"
            )
        return self


class Push(_Feed):
    """One of `[[intake.pushes]]`: the member's systems send files to `POST /v1/intake/<name>`."""

    tokens_sha256: Annotated[list[Annotated[str, AfterValidator(digest)]], Field(min_length=1, max_length=8)]
    """SHA-256 of each bearer token that is taken (`tally intake token` makes one)."""
    max_bytes: Annotated[int, Field(ge=1, le=64 * 1024 * 1024)] = 16 * 1024 * 1024
    requests_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 600
    max_waiting: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Jobs that wait; more are answered 503."""


class Intake(Section):
    """Connected systems: a process beside the node takes their documents in (docs/data-exchange.md)."""

    signer: FilePath | None = None
    """Key file that signs the batches, under the node's passphrase; None is keys.signer."""
    sealing_key: FilePath | None = None
    """Signer key whose secret seals fields; None is the one that signs."""
    poll_s: Annotated[int, Field(ge=1, le=3_600)] = 2
    timeout_s: Annotated[int, Field(ge=5, le=3_600)] = 60
    """How long one batch may go without an outcome before it is tried again."""
    keep_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """How long outcomes of pushed files, and so their idempotency keys, are kept."""
    memory_bytes: Annotated[int, Field(ge=512 * 1024 * 1024)] = 2 * 1024 * 1024 * 1024
    """Most address space of the process."""
    folders: list[Folder] = Field(default_factory=list)
    pulls: list[Pull] = Field(default_factory=list)
    pushes: list[Push] = Field(default_factory=list)

    @property
    def feeds(self) -> list[Folder | Pull | Push]:
        """All ways in; none: nothing is started."""
        return [*self.folders, *self.pulls, *self.pushes]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [feed.name for feed in self.feeds]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two of folders, pulls and pushes are named {twice!r}: give each its own name")
        return self


def absolute_intake(intake: Intake, place: Callable[[Path | None], Path | None]) -> Intake:
    """The same settings with every path absolute."""

    def mapping(feed: Folder | Pull | Push) -> str:
        is_path = "/" in feed.mapping or "." in feed.mapping
        return str(place(Path(feed.mapping))) if is_path else feed.mapping

    folders = [
        feed.model_copy(update={"path": place(feed.path), "mapping": mapping(feed)}) for feed in intake.folders
    ]
    pulls = [
        feed.model_copy(
            update={
                "secret_headers": {name: place(path) for name, path in feed.secret_headers.items()},
                "ca_file": place(feed.ca_file),
                "mapping": mapping(feed),
            }
        )
        for feed in intake.pulls
    ]
    pushes = [feed.model_copy(update={"mapping": mapping(feed)}) for feed in intake.pushes]
    return intake.model_copy(
        update={
            "signer": place(intake.signer),
            "sealing_key": place(intake.sealing_key),
            "folders": folders,
            "pulls": pulls,
            "pushes": pushes,
        }
    )
