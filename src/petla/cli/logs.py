"""Log lines of the command, on stderr."""

import logging
import sys

from petla.core.events import EventFormatter


def write_logs(*, is_debug: bool) -> None:
    """Write Pętla's own log to stderr: warnings, or everything."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(EventFormatter())
    logger = logging.getLogger("petla")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if is_debug else logging.WARNING)
    logger.propagate = False
