"""Small files, shared out between this process and a partner, which does all that is done with those that it is given.

Nothing depends on the partner: whatever becomes of it, what it was given is done again here, where an error is the
caller's. What it has not committed does not count.
"""

import contextlib
import logging
import os
import select
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from petla.storage.objects.beside import messages
from petla.storage.objects.naming import Stored
from petla.storage.objects.sources import Source

logger = logging.getLogger(__name__)

# files below are read whole, many at once
SMALL_BYTES = 1 << 20
_AT_ONCE = 100
_BYTES_AT_ONCE = 2 << 20
# a partner takes a tenth of a second to start, so there has to be so much; a file costs as much as so many bytes
_LEAST_BYTES = 128 << 20
_FILE_BYTES = 20_000
# groups that it has at once: one at work, one ahead
_AHEAD = 2


def is_small(source: Source) -> bool:
    """Say whether a file is read whole."""
    return source.numbers[0] < SMALL_BYTES


def share(
    sources: Sequence[Source],
    take_small: Callable[[Sequence[Source]], list[Stored]],
    take_large: Callable[[Source], Stored],
    partner: "Partner | None",
) -> Iterator[list[Stored]]:
    """Have files taken, and yield what they are, in their order.

    Args:
        sources: the files.
        take_small: takes small ones here.
        take_large: takes a large one.
        partner: is given small ones, and commits in the end; None: there is none.
    """
    shared = _Shared(take_small, partner)
    for group in _group(sources):
        if isinstance(group, Source):
            shared.add_large(take_large(group))
        else:
            shared.add(group)
        yield from shared.pop()
    yield from shared.finish()


@contextmanager
def sharing(sources: Sequence[Source], store: Path | None = None) -> Iterator["Partner | None"]:
    """Start a partner where it is worth it, and end it behind; None: all is done here.

    Args:
        sources: the files.
        store: folder of the store where they are kept; None: nowhere.
    """
    partner: Partner | None = None
    worth = sum(source.numbers[0] + _FILE_BYTES for source in sources if is_small(source))
    if worth >= _LEAST_BYTES and len(os.sched_getaffinity(0)) > 1:
        # NOTE: where no process may be started, it is done without one.
        with contextlib.suppress(OSError):
            partner = Partner(store)
    try:
        yield partner
    finally:
        if partner is not None:
            partner.close()


class Partner:
    """A process that takes small files.

    Args:
        store: folder of the store where they are kept; None: nowhere.

    Raises:
        OSError: no process could be started.
    """

    def __init__(self, store: Path | None) -> None:
        # NOTE: `-P`, so that it finds no modules where somebody happens to work.
        command = [sys.executable, "-P", "-m", "petla.storage.objects.beside.partner", str(store or "")]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101, PT018
        self.pid = self._process.pid
        self._orders = self._process.stdin
        # NOTE: without a buffer, in which an answer would lie unseen.
        self._replies = self._process.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._replies, select.POLLIN)

    def ask(self, group: Sequence[Source]) -> None:
        """Give it files.

        Raises:
            BrokenPipeError: it has ended.
        """
        messages.write(self._orders, messages.encode_group(group))

    def has_answered(self) -> bool:
        """Say whether something has come from it, if only that it has ended."""
        return bool(self._poll.poll(0))

    def receive(self) -> list[Stored]:
        """Wait for what it found the oldest group to be.

        Raises:
            BrokenPipeError: it has ended.
        """
        try:
            return messages.decode_stored(messages.read(self._replies))
        except EOFError as error:
            raise BrokenPipeError from error

    def commit(self) -> None:
        """Let count what it was given.

        Raises:
            BrokenPipeError: it has ended.
        """
        messages.write(self._orders, messages.COMMIT)
        self.receive()

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


class _Shared:
    """Groups of files in their order, some of them with the partner."""

    def __init__(self, take: Callable[[Sequence[Source]], list[Stored]], partner: Partner | None) -> None:
        self._take = take
        self._partner = partner
        # all that the partner was given, and the numbers of the last of them, which it has not answered yet
        self._given: list[Sequence[Source]] = []
        self._asked: deque[int] = deque()
        # by its number, what a group is, until it is popped
        self._found: dict[int, list[Stored]] = {}
        self._n_added = self._n_popped = 0

    def add_large(self, stored: Stored) -> None:
        """Add a file that was taken."""
        self._found[self._n_added] = [stored]
        self._n_added += 1

    def add(self, group: Sequence[Source]) -> None:
        """Add small files; they are taken here, or by the partner if it has too little to do."""
        while self._asked and self._partner is not None and self._partner.has_answered():
            self._receive()
        number = self._n_added
        self._n_added += 1
        if self._partner is None or len(self._asked) == _AHEAD:
            self._found[number] = self._take(group)
            return
        self._given.append(group)
        self._asked.append(number)
        with self._failing():
            self._partner.ask(group)

    def pop(self) -> Iterator[list[Stored]]:
        """Yield what is known of the groups that come next."""
        while self._n_popped in self._found:
            yield self._found.pop(self._n_popped)
            self._n_popped += 1

    def finish(self) -> Iterator[list[Stored]]:
        """Wait for the partner, and yield what is left."""
        while self._asked:
            self._receive()
        with self._failing():
            if self._partner is not None:
                self._partner.commit()
        yield from self.pop()

    def _receive(self) -> None:
        with self._failing():
            if self._partner is not None:
                self._found[self._asked[0]] = self._partner.receive()
                self._asked.popleft()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Do without the partner from now on if it fails, and do again what it was given."""
        try:
            yield
        except BrokenPipeError:
            logger.info("objects.partner_ended", extra={"groups": len(self._given)})
            self._partner = None
            again = [self._take(group) for group in self._given]
            self._found.update(zip(self._asked, again[len(again) - len(self._asked) :], strict=True))
            self._asked.clear()


def _group(sources: Sequence[Source]) -> Iterator[list[Source] | Source]:
    """Yield a large file alone, small ones together."""
    group: list[Source] = []
    n_bytes = 0
    for source in sources:
        if not is_small(source):
            if group:
                yield group
            yield source
            group, n_bytes = [], 0
            continue
        group.append(source)
        n_bytes += source.numbers[0]
        if len(group) == _AT_ONCE or n_bytes >= _BYTES_AT_ONCE:
            yield group
            group, n_bytes = [], 0
    if group:
        yield group
