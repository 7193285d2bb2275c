"""How a dataset's files are written, where that is not found out right: `[data.NAME.format]` of the project file."""

import codecs
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from petla.core.names import suggest

DateOrder = Literal["dmy", "mdy"]
# the encodings that are found out; any other one that Python knows may be named as well
ENCODINGS: tuple[str, ...] = (
    "utf-8",
    "utf-16",
    "utf-32",
    "cp1250",
    "cp1251",
    "cp1252",
    "cp1253",
    "cp1254",
    "cp1257",
    "iso8859-2",
)
ENCODINGS += ("iso8859-1", "iso8859-5", "iso8859-15", "koi8-r", "koi8-u", "cp437", "cp850", "cp852", "cp866")
ENCODINGS += ("mac-roman", "shift-jis", "gb18030", "euc-kr", "big5")


class FormatTable(msgspec.Struct, frozen=True, kw_only=True):
    """`[data.NAME.format]`: how CSV files are written. What is left out is found out from each file."""

    # such as cp1250; empty: found out
    encoding: str = ""
    # the character between two fields; empty: found out
    separator: Annotated[str, Meta(max_length=1)] = ""
    # the character around a field; empty: found out
    quote: Literal["", '"', "'"] = ""
    # the decimal mark of numbers; empty: found out for each column
    decimal: Literal["", ".", ","] = ""
    # whether a line names the columns; None: found out
    header: bool | None = None
    # lines before the header or, without one, before the first row; None: found out
    skip_lines: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    # what begins a line that is a comment, such as #; empty: found out
    comment: Annotated[str, Meta(max_length=8)] = ""
    # days first (dmy) or months first (mdy), where the dates of a file do not say it; empty: days first
    date_order: Literal["", "dmy", "mdy"] = ""
    # columns that are text whatever their values look like
    text: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no file can be written like."""
        if self.encoding and not _is_text_encoding(self.encoding):
            near = suggest(self.encoding, ENCODINGS)
            raise ValueError(f"has the encoding {self.encoding!r}, which is not known; {near}")
        if self.separator and (self.separator in "\r\n\0" or self.separator == self.quote):
            raise ValueError(f"has the separator {self.separator!r}, which cannot be one")
        if not self.separator.isascii():
            raise ValueError(f"has the separator {self.separator!r}, which is not an ASCII character")
        if any(mark in self.comment for mark in "\r\n\0"):
            raise ValueError(f"has the comment mark {self.comment!r}, which cannot begin a line")


# every file is looked at, and nothing is known before
FOUND_OUT = FormatTable()


def _is_text_encoding(name: str) -> bool:
    try:
        codecs.lookup(name)
        "a".encode(name)
    except (LookupError, ValueError):
        # ValueError: a name with a NUL
        return False
    return True
