"""Names of things: model versions (`delay:3`) and time-ordered decision ids (UUIDv7)."""

import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NewType

import msgspec

from petla.core.errors import InvalidError

DecisionId = NewType("DecisionId", str)
IdSource = Callable[[], DecisionId]
# how many -> so many
IdBatches = Callable[[int], list[DecisionId]]

_RANDOM_POOL_BYTES = 8192
# what an INTEGER column holds in every database
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_UUID7 = re.compile(r"(0[0-9a-f]{7})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# hexadecimal digits that are drawn for each id; what the first one becomes, which also names the variant
_TAIL = 16
_VARIANTS = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
# ids of one batch, and the digits in which they differ
_MOST = 2048
_ENDS = [f"{number:03x}" for number in range(2 * _MOST)]
# ticks of the id's clock in one millisecond: the twelve bits behind the version digit
_TICKS = 4096


class ModelRef(msgspec.Struct, frozen=True, order=True):
    """A model, and one version of it where one is meant."""

    name: str
    version: int | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}:{self.version}"


def parse_model_ref(text: str) -> ModelRef:
    """Read `delay` or `delay:3`.

    Raises:
        InvalidError: the version is not a positive whole number or the name is empty.

    Example:
        >>> parse_model_ref("delay:3")
        ModelRef(name='delay', version=3)
    """
    name, colon, version = text.partition(":")
    if not name or (colon and not _VERSION.fullmatch(version)):
        raise InvalidError(
            f"{text!r} names no model", hint="write MODEL or MODEL:VERSION, such as delay:3", field="model"
        )
    return ModelRef(name, int(version) if colon else None)


def find_moment(decision_id: str) -> datetime | None:
    """Return the moment at which a UUIDv7 was made, to the millisecond; None where a text is none.

    Example:
        >>> find_moment("01920000-0000-7000-8000-000000000000").isoformat()
        '2024-09-17T12:40:52.992000+00:00'
    """
    found = _UUID7.fullmatch(decision_id)
    return datetime.fromtimestamp(int(found[1] + found[2], 16) / 1000, UTC) if found else None


def uuid7_batches(
    now_ns: Callable[[], int] = time.time_ns, random_bytes: Callable[[int], bytes] = os.urandom
) -> IdBatches:
    """Return a function that makes some UUIDv7 texts at once, each of them greater than the one before it.

    Where the clock stands still or goes back, the fraction of the millisecond counts on. Those of one batch count on
    from one random number: who knows one of them may guess its neighbours, and no other batch's. Random bytes are drawn
    in pools, so that an id costs about a microsecond, and each further one of a batch a tenth of it.

    Source: RFC 9562 (2024), Universally Unique IDentifiers, sections 5.7 and 6.2 (methods 3 and 2: increased clock
    precision, and a random number that counts on).
    """
    pool = ""
    offset = 0
    last = 0

    def make(count: int) -> list[DecisionId]:
        nonlocal pool, offset, last
        if count > _MOST:
            return make(_MOST) + make(count - _MOST)
        if offset == len(pool):
            pool, offset = random_bytes(_RANDOM_POOL_BYTES).hex(), 0
        tail = pool[offset : offset + _TAIL]
        offset += _TAIL
        last = max(last + 1, now_ns() * _TICKS // 1_000_000)
        stamp = f"{last:015x}"
        start = f"{stamp[:8]}-{stamp[8:12]}-7{stamp[12:]}-{_VARIANTS[tail[0]]}{tail[1:4]}-{tail[4:-3]}"
        made: list[Any] = [start + tail[-3:]]
        if count != 1:
            # the last three digits count on, from where there is room
            first = int(tail[-3:], 16) % _MOST
            made = [start + end for end in _ENDS[first : first + count]]
        return made

    return make


def uuid7_source(
    now_ns: Callable[[], int] = time.time_ns, random_bytes: Callable[[int], bytes] = os.urandom
) -> IdSource:
    """Return a function that makes one UUIDv7 text; see `uuid7_batches`."""
    make = uuid7_batches(now_ns, random_bytes)
    return lambda: make(1)[0]
