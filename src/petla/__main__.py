"""Where the command begins: `petla`, and `python -m petla`."""

import os
import sys

from petla.data.answers import find_answer


def main() -> int:
    """Run the command with the process's arguments; return its exit status."""
    answer = find_answer(sys.argv[1:], os.getcwd(), os.environ)  # noqa: PTH109 - pathlib takes 5 ms to import
    if answer is not None:
        sys.stdout.write(answer)
        return 0
    from petla.bootstrap import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
