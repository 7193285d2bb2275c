"""Python programs in processes of their own, which may be killed or limited without harm to the tests."""

import subprocess
import sys

# What a program of `run_together` says and waits for, right before it does its work.
GATE = """
import sys
print("ready", flush=True)
sys.stdin.readline()
"""


def start_python(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a program; its arguments are `sys.argv[1:]`, and it can be talked to by lines."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str], *, status: int = 0) -> str:
    """Wait for a program that ends with the status; return what it printed."""
    shown, faults = process.communicate(timeout=60)
    assert process.returncode == status, faults
    return shown


def run_python(program: str, *arguments: object, status: int = 0) -> str:
    """Run a program to its end; return what it printed."""
    return finish(start_python(program, *arguments), status=status)


def run_together(program: str, *each: tuple[object, ...]) -> list[str]:
    """Run a program once for every tuple of arguments, all let through its `GATE` at once; return what they printed."""
    processes = [start_python(program, *arguments) for arguments in each]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [finish(process) for process in processes]
