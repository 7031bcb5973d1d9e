"""What settings are made of: addresses, paths, ids and URLs, each checked with one line that says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_ID: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")


class Address(NamedTuple):
    """Where to listen or dial: an IPv4 or IPv6 address (no brackets) or a host name, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: Any) -> Address:
    """The address of "host:port" or "[IPv6]:port". Raises ValueError that shows the form."""
    if isinstance(text, Address):
        return text
    host, colon, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    bracketed = host.startswith("[") and host.endswith("]")
    name = host[1:-1] if bracketed else host
    well_formed = re.fullmatch(r"[0-9a-fA-F:.]{2,45}", name) if bracketed else _HOST.fullmatch(name)
    if not colon or not well_formed or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65_535:
        raise ValueError(f'{text!r} is no address: write "host:port", for example "127.0.0.1:27100"')
    return Address(name, int(port))


def _member_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"{text!r} is no member id: copy it from 'tally genesis show'")
    return text


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f'{text!r} is no http address: write for example "http://127.0.0.1:8545"')
    return text


def _path(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError("must be a path in quotes")
    return Path(value)


def ethereum_address(text: str) -> str:
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise ValueError(f"{text!r} is no Ethereum address: write 0x and 40 hex digits")
    return text.lower()


def feed_name(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"{text!r} is no name: lower-case letters, digits and '-', at most 32, a letter first")
    return text


def digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("no SHA-256: copy the 64 hex digits that `tally intake token` prints")
    return text


def is_safe_url(url: str, *, allow_http: bool) -> bool:
    """Whether nobody on the way can read or alter what goes to an http address: TLS, or this machine."""
    parts = urlsplit(url)
    return allow_http or parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")


MemberId = Annotated[str, AfterValidator(_member_id)]
FilePath = Annotated[Path, BeforeValidator(_path)]
ListenAddress = Annotated[Address, BeforeValidator(parse_address)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
