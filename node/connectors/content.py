"""A file as detection sees it: its bytes and, parsed once, the tree, the value or the list of entries they are."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from node.connectors import strict_json, strict_xml, strict_zip
from node.connectors.strict_json import JsonDocument
from node.connectors.strict_zip import Archive


@dataclass(frozen=True, slots=True)
class Content:
    """At most one of xml, json and archive is there; none for plain text, a PDF and the like."""

    data: bytes
    xml: etree._Element | None = None
    json: JsonDocument | None = None
    archive: Archive | None = None

    @classmethod
    def of(cls, data: bytes) -> Content:
        """Parse what says by its first byte that it is XML, JSON or a ZIP archive. Raises ConnectorError."""
        if strict_xml.looks_like_xml(data):
            return cls(data, xml=strict_xml.parse(data))
        if strict_json.looks_like_json(data):
            return cls(data, json=strict_json.parse(data))
        if strict_zip.looks_like_zip(data):
            return cls(data, archive=Archive(data))
        return cls(data)

    @property
    def is_plain(self) -> bool:
        """Whether it is neither XML nor JSON nor a ZIP archive."""
        return self.xml is None and self.json is None and self.archive is None
