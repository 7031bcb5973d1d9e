"""Finding text in XML that is not UBL: paths with a format's own prefixes, one error for what stands twice.

Every function takes the element to start from and a path such as "ram:Party/ram:Name".
"""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from node.connectors import values
from node.connectors.errors import ConnectorError


class Markup:
    """Access to elements of one XML format. prefixes: prefix to namespace, as the paths use them."""

    def __init__(self, prefixes: Mapping[str, str]) -> None:
        self._prefixes = dict(prefixes)

    def all_of(self, element: etree._Element, path: str) -> list[etree._Element]:
        """Every element at a path."""
        return element.findall(path, self._prefixes)

    def first(self, element: etree._Element, path: str) -> etree._Element | None:
        """The first element at a path that may hold several."""
        return element.find(path, self._prefixes)

    def one(self, element: etree._Element, path: str) -> etree._Element | None:
        """The element at a path that may hold one at most. Raises ConnectorError BAD_VALUE for two."""
        found = self.all_of(element, path)
        if len(found) > 1:
            raise ConnectorError("BAD_VALUE", f"{path} stands {len(found)} times", "keep the one that is meant")
        return found[0] if found else None

    def needed(self, element: etree._Element, path: str) -> etree._Element:
        """The one element at a path. Raises ConnectorError MISSING where it is absent."""
        found = self.one(element, path)
        if found is None:
            raise ConnectorError("MISSING", f"{path} is missing", "ask the sender for a complete document")
        return found

    def text(self, element: etree._Element, path: str) -> str:
        """The cleaned text at a path that may hold one at most; "" where it is absent or empty."""
        return content(self.one(element, path))

    def texts(self, element: etree._Element, path: str) -> list[str]:
        """Every text at a path that is not empty."""
        return [found for found in map(content, self.all_of(element, path)) if found]

    def first_text(self, element: etree._Element, path: str) -> str:
        """The first text that is not empty, at a path that may hold several."""
        return next(iter(self.texts(element, path)), "")

    def decimal(self, element: etree._Element, path: str) -> str:
        """The decimal number at a path, as in the file; "" where it is absent."""
        raw = self.text(element, path)
        return values.decimal_text(raw, path.rpartition(":")[2]) if raw else ""


def content(element: etree._Element | None) -> str:
    """The cleaned text of an element, "" for none. Raises ConnectorError where it holds elements instead."""
    if element is None:
        return ""
    if len(element):
        name = etree.QName(element).localname
        raise ConnectorError(
            "BAD_VALUE", f"{name} holds elements where text belongs", "ask the sender for a valid document"
        )
    return values.clean(element.text or "")


def attribute(element: etree._Element | None, name: str) -> str:
    """A cleaned attribute, "" where element or attribute is absent."""
    return values.clean(element.get(name, "")) if element is not None else ""


def scoped(element: etree._Element | None, scheme: str = "schemeID") -> str:
    """An identifier with its scheme, "0088:5790000436057", or bare where the file gives no scheme."""
    value, named = content(element), attribute(element, scheme)
    return f"{named}:{value}" if value and named else value
