"""Where the command begins: `petla`, and `python -m petla`."""

import os
import sys

_INTERRUPTED = 130


def main() -> int:
    """Run the command with the process's arguments; return its exit status."""
    try:
        from petla.data.answers import find_answer

        answer = find_answer(sys.argv[1:], os.getcwd(), os.environ)  # noqa: PTH109 - pathlib takes 5 ms to import
        if answer is not None:
            sys.stdout.write(answer)
            return 0
        from petla.bootstrap import main as run

        return run()
    except KeyboardInterrupt:
        # while still starting; later, the command line answers by itself
        return _INTERRUPTED


if __name__ == "__main__":
    # NOTE: `python -m` lets the current folder go first, where a project may have a signal.py of its own.
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.exit(main())
