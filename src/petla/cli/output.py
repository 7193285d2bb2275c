"""What a command prints: the answer on stdout, progress and faults on stderr."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from petla.core.events import escape_controls

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as one JSON document.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def say(line: str = "") -> None:
    """Print a line of the answer, at once."""
    print(escape_controls(line), flush=True)


def note(line: str) -> None:
    """Print a line beside the answer, on stderr."""
    print(escape_controls(line), file=sys.stderr)


def print_json(value: Any) -> None:  # noqa: ANN401 - whatever msgspec can encode
    """Print a value as indented JSON."""
    say(format_json(value))


def format_json(value: Any) -> str:  # noqa: ANN401 - whatever msgspec can encode
    """Write a value as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Print aligned columns; numbers to the right. Without rows, say what to do instead.

    Args:
        head: the columns' names.
        rows: one sequence per line.
        empty: printed when there are no rows; names the next action.
    """
    say(format_table(head, rows, empty=empty))


def format_table(head: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> str:
    """Write what `print_table` prints."""
    if not rows:
        return empty
    cells = [[show(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(head), *cells]) for i in range(len(head))]
    is_number = [all(isinstance(row[i], int | float) or row[i] is None for row in rows) for i in range(len(head))]
    lines = []
    for line in [list(head), *cells]:
        parts = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, is_number, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def show(value: object) -> str:
    """Write one cell: numbers with separators and four digits, nothing as a dash, of a text its first line."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
        case _:
            first, more, _ = escape_controls(str(value)).partition("\n")
            first = first.replace("\t", "\\t")
            return f"{first} …" if more else first


def count(number: int, what: str) -> str:
    """Write a number of things.

    Example:
        >>> count(1, "file"), count(1200, "file")
        ('1 file', '1,200 files')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def show_bytes(size: int) -> str:
    """Write a size in the unit that suits it.

    Example:
        >>> show_bytes(3_400_000)
        '3.4 MB'
    """
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"


def ask(question: str, *, is_answered: bool) -> None:
    """Ask for a yes unless it was given already; anything else ends the command.

    Raises:
        typer.Exit: with status 1, when the answer is no.
    """
    if not is_answered and not typer.confirm(question, err=True):
        note("nothing was changed")
        raise typer.Exit(1)


def leave(status: int) -> NoReturn:
    """End the command with an exit status."""
    raise typer.Exit(status)
