"""The partner: a process that takes the small files that it is given, one group after the other.

It ends when its input is closed, so it never outlives its parent; an interrupt from the keyboard is its parent's to
handle. Where it cannot go on it ends, and its parent finds out why.
"""

import contextlib
import signal
import sys
import threading
from pathlib import Path
from queue import SimpleQueue

from petla.storage.objects.beside import messages
from petla.storage.objects.intake import digest_small
from petla.storage.objects.store import ObjectStore


def main(store: str) -> None:
    """Take files until nobody gives any more.

    Args:
        store: folder of the store where they are kept; empty: it only says what they are.

    Raises:
        EOFError: its input was closed.
    """
    # NOTE: read on a thread, or whoever gives the next ones waits for us while we wait for them to take an answer: a
    # pipe may be as small as a page.
    orders: SimpleQueue[bytes | None] = SimpleQueue()
    threading.Thread(target=_read_all, args=(orders,), daemon=True).start()
    with contextlib.ExitStack() as stack:
        take, commit = digest_small, _do_nothing
        if store:
            writer = stack.enter_context(ObjectStore(Path(store)).writing())
            writer.share_room()
            take, commit = writer.put_small, writer.commit
        while True:
            order = orders.get()
            if order is None:
                raise EOFError
            if order == messages.COMMIT:
                commit()
                messages.write(sys.stdout.buffer, messages.encode_stored([]))
            else:
                stored = take(messages.decode_group(order))
                messages.write(sys.stdout.buffer, messages.encode_stored(stored))


def _read_all(orders: "SimpleQueue[bytes | None]") -> None:
    """Pass on what is read; None: nobody gives any more."""
    with contextlib.suppress(EOFError):
        while True:
            orders.put(messages.read(sys.stdin.fileno()))
    orders.put(None)


def _do_nothing() -> None:
    """Nothing was kept."""


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, BrokenPipeError):
        main(sys.argv[1])
