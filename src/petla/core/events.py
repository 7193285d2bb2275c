"""How a log line reads: moment, level, event, fields."""

import logging
from datetime import UTC, datetime

from petla.core.clock import to_text
from petla.core.controls import escape_controls

# what every record has; all else was given as a field
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


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
