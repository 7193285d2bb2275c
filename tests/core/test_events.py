"""How a log line reads."""

import logging

from petla.core.events import EventFormatter


def test_line_holds_the_event_and_its_fields() -> None:
    values = {
        "msg": "version.refused",
        "levelno": logging.WARNING,
        "levelname": "WARNING",
        "created": 0.0,
        "model": "delay",
    }
    record = logging.makeLogRecord(values)

    assert EventFormatter().format(record) == "1970-01-01T00:00:00.000000Z warning version.refused model=delay"
