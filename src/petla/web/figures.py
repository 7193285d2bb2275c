"""Numbers, moments and names as people read them: one way to write each, on every page."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from petla.core.clock import from_text

MINUS = "\N{MINUS SIGN}"
_DIGEST_SHOWN = 12
_SIGNIFICANT = 3
_VALUE_LENGTH = 120


def count(number: int) -> str:
    """Write a whole number with its thousands apart.

    Example:
        >>> count(128402)
        '128,402'
    """
    return f"{number:,}".replace("-", MINUS)


def metric(value: float) -> str:
    """Write a figure of a metric: three decimals, fewer where it is large.

    Example:
        >>> metric(0.70249), metric(1234.5), metric(-0.04) == f"{MINUS}0.040"
        ('0.702', '1,234', True)
    """
    decimals = max(0, _SIGNIFICANT - max(0, len(str(int(abs(value)))) - 1))
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def signed(value: float) -> str:
    """Write a difference with its sign.

    Example:
        >>> signed(0.043), signed(-0.012) == f"{MINUS}0.012"
        ('+0.043', True)
    """
    return metric(value) if value < 0 else f"+{metric(value)}"


def share(part: float, whole: float = 1.0) -> str:
    """Write a share in per cent.

    Example:
        >>> share(0.125), share(3, 4)
        ('12.5%', '75%')
    """
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.1f}%".replace(".0%", "%")


def rate(events: int, span: timedelta) -> tuple[str, str] | None:
    """Write how often something happens, with the unit that reads best; None: no time passed.

    Example:
        >>> rate(5000, timedelta(seconds=20)), rate(60, timedelta(hours=1))
        (('250', 'per second'), ('1', 'per minute'))
    """
    seconds = span.total_seconds()
    if seconds <= 0:
        return None
    for length, unit in ((1, "second"), (60, "minute"), (3_600, "hour")):
        value = events * length / seconds
        if value >= 1:
            return count(round(value)), f"per {unit}"
    return count(round(events * 86_400 / seconds)), "per day"


def duration(span: timedelta) -> str:
    """Write how long something took.

    Example:
        >>> duration(timedelta(seconds=4.2)), duration(timedelta(minutes=75)), duration(timedelta(days=3))
        ('4 s', '75 min', '3 days')
    """
    seconds = max(0.0, span.total_seconds())
    if seconds < 1:
        return f"{seconds * 1_000:.0f} ms"
    for below, length, unit in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if seconds < below:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def ago(text: str, now: datetime) -> str:
    """Write how long ago a stored moment was.

    Example:
        >>> ago("2013-07-01T12:00:00.000000Z", datetime(2013, 7, 1, 12, 5, tzinfo=UTC))
        '5 min ago'
    """
    span = now - from_text(text)
    return "just now" if span < timedelta(seconds=10) else f"{duration(span)} ago"


def moment(text: str) -> str:
    """Write a stored moment.

    Example:
        >>> moment("2013-07-01T12:05:09.000000Z")
        '1 Jul 2013, 12:05:09 UTC'
    """
    at = from_text(text).astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"


def digest(text: str) -> str:
    """Write the beginning of a hash, enough to tell it from others."""
    return text[:_DIGEST_SHOWN]


def plural(number: int, one: str, many: str = "") -> str:
    """Write a count with its noun.

    Example:
        >>> plural(1, "model"), plural(2, "model"), plural(3, "category", "categories")
        ('1 model', '2 models', '3 categories')
    """
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def value(it: Any) -> str:  # noqa: ANN401 - a JSON value
    """Write a value of a request or an answer, shortened where it is long.

    Example:
        >>> value("Dream"), value(True), value(46.1)
        ('Dream', 'true', '46.1')
    """
    text = it if isinstance(it, str) else msgspec.json.encode(it).decode()
    return text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 1]}…"
