"""How a log line reads: moment, level, event, fields; and how control characters are shown to people."""

import logging
import re
from datetime import UTC, datetime

from petla.core.clock import to_text

# what every record has; all else was given as a field
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Everything that moves the cursor, changes colours or the direction of writing, and halves of characters, which names
# of files may hold; not line ends and tabs.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escape_controls(text: str) -> str:
    r"""Write control characters as what they are, so that a name or a value cannot steer a terminal.

    The form is that of JSON, so that a JSON document stays the same one.

    Example:
        >>> escape_controls("rows\x1b[2J")
        'rows\\u001b[2J'
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class EventFormatter(logging.Formatter):
    """Writes an event with the fields that it was given."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line; a traceback follows where there is one."""
        moment = to_text(datetime.fromtimestamp(record.created, UTC))
        fields = [
            escape_controls(f"{name}={value}").replace("\n", "\\n")
            for name, value in vars(record).items()
            if name not in _STANDARD
        ]
        line = " ".join([moment, record.levelname.lower(), record.getMessage(), *fields])
        return f"{line}\n{escape_controls(self.formatException(record.exc_info))}" if record.exc_info else line
