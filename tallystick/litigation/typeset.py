"""A filled-in form as PDF/A, with typst. The same content, fonts and typst version give the same bytes.

Nothing outside the country's folder is read, no package is fetched, and every glyph must be there: PDF/A allows no
missing one, and typst refuses to write it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tallystick.litigation.country import Country
from tallystick.litigation.facts import LitigationError

if TYPE_CHECKING:
    from typst import Fonts

FONTS_VARIABLE: Final = "TALLYSTICK_FONTS"
FONT_FOLDERS: Final = ("/usr/share/fonts/opentype/noto", "/usr/share/fonts/noto-cjk", "/usr/local/share/fonts")
"""Where Debian and its relatives, Arch, and an administrator put Noto CJK."""


def typeset(country: Country, document: Mapping[str, Any], timestamp: int) -> bytes:
    """The PDF of a document that template.fill made, with `lang`, `region`, `footer` and `author` added.

    timestamp: UTC seconds that the PDF says it was made at. Raises LitigationError COURT_EXTRA_MISSING,
    FONTS_MISSING, GLYPH_MISSING (a character that no font has) or FORM_LAYOUT.
    """
    typst = _typst()
    fonts = _fonts(tuple(sorted({name for names in country.fonts.values() for name in names})))
    content = json.dumps({**document, "fonts": country.fonts}, ensure_ascii=False, sort_keys=True)
    try:
        compiler = typst.Compiler(
            country.layout,
            root=country.folder,
            font_paths=fonts,
            ignore_system_fonts=True,
            sys_inputs={"document": content},
            package_path=country.folder,
            package_cache_path=country.folder,
        )
        made, warnings = compiler.compile_with_warnings(
            format="pdf", pdf_standards=[country.standard], timestamp=timestamp
        )
    except typst.TypstError as error:
        raise _refused(str(error)) from None
    if warnings:
        raise LitigationError("FORM_LAYOUT", f"{country.folder}: the layout is not sound: {_line(str(warnings[0]))}")
    if not isinstance(made, bytes):
        raise LitigationError("FORM_LAYOUT", f"{country.folder}: the layout gives no single PDF")
    return made


def _refused(message: str) -> LitigationError:
    if "could not be displayed" in message:
        text = _line(message).split("the text", 1)[-1]
        return LitigationError("GLYPH_MISSING", f"no font has the text{text}: write it with other characters")
    return LitigationError("FORM_LAYOUT", f"the form cannot be set: {_line(message)}")


def _typst() -> Any:
    try:
        import typst
    except ImportError:
        raise LitigationError(
            "COURT_EXTRA_MISSING", "writing documents needs typst: pip install 'tallystick[court]'"
        ) from None
    return typst


@lru_cache(maxsize=4)
def _fonts(families: tuple[str, ...]) -> Fonts:
    """The fonts of the first folder that has what the forms need."""
    typst = _typst()
    named = os.environ.get(FONTS_VARIABLE)
    for folder in (named,) if named else FONT_FOLDERS:
        if not Path(folder).is_dir():
            continue
        fonts: Fonts = typst.Fonts(include_system_fonts=False, font_paths=[folder])
        if set(families) <= set(fonts.families()):
            return fonts
    missing = ", ".join(families)
    raise LitigationError(
        "FONTS_MISSING",
        f"no folder has {missing}: apt-get install fonts-noto-cjk, or name their folder by {FONTS_VARIABLE}",
    )


def _line(message: str) -> str:
    return " ".join(message.split())[:300]
