"""Log lines on stderr: moment, level, event, fields."""

import logging
import sys
from datetime import UTC, datetime

from petla.core.clock import to_text

# what every record has; all else was given as a field
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def write_logs(*, is_debug: bool) -> None:
    """Write Pętla's own log to stderr: warnings, or everything."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_EventFormatter())
    logger = logging.getLogger("petla")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if is_debug else logging.WARNING)
    logger.propagate = False


class _EventFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = to_text(datetime.fromtimestamp(record.created, UTC))
        fields = [f"{name}={value}" for name, value in vars(record).items() if name not in _STANDARD]
        line = " ".join([moment, record.levelname.lower(), record.getMessage(), *fields])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
