"""Time: aware, in UTC, handed in as an argument wherever it matters."""

from collections.abc import Callable
from datetime import UTC, datetime

from petla.core.errors import InvalidError

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


def to_text(moment: datetime) -> str:
    """Write a moment as ISO 8601 in UTC with microseconds, which sorts as text.

    Example:
        >>> to_text(datetime(2013, 7, 1, 12, tzinfo=UTC))
        '2013-07-01T12:00:00.000000Z'
    """
    if moment.tzinfo is None:
        raise ValueError(f"a moment needs a time zone: {moment!r}")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_moment(text: str) -> datetime:
    """Read a moment as people write it: ISO 8601, on this machine's clock where it names no time zone.

    Raises:
        InvalidError: it is none.

    Example:
        >>> to_text(read_moment("2013-07-01T14:00+02:00"))
        '2013-07-01T12:00:00.000000Z'
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidError(
            f"{text!r} is no moment", hint="write it as 2026-03-01 or 2026-03-01T12:00", field="at"
        ) from error


def from_text(text: str) -> datetime:
    """Read what `to_text` wrote."""
    return datetime.fromisoformat(text)
