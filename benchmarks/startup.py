"""Start-up: the command and a serving worker, beside a bare interpreter in the same run.

python benchmarks/startup.py [--tries 9] [--json]
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> None:
    options = _parse()
    python = [sys.executable]
    seconds = {
        "bare interpreter": median_of(options.tries, lambda: time_command([*python, "-c", "pass"])),
        "petla --version": median_of(options.tries, lambda: time_command([*python, "-m", "petla", "--version"])),
        "petla --help": median_of(options.tries, lambda: time_command([*python, "-m", "petla", "--help"])),
        "worker, to its first answer": median_of(max(3, options.tries // 3), time_worker),
    }
    if options.json:
        print(json.dumps({name: round(value, 4) for name, value in seconds.items()}))
        return
    bare = seconds["bare interpreter"]
    print(f"{'':30}{'ms':>8}{'of bare':>9}")
    for name, value in seconds.items():
        print(f"{name:30}{value * 1e3:8.0f}{value / bare:9.1f}")


def median_of(tries: int, measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(tries))


def time_command(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def time_worker() -> float:
    """Start a server with one worker and a tiny model; stop the clock at the first answer."""
    from petla.deployments.deploy import deploy
    from petla.serving.supervisor import Supervisor
    from tests.deployments.tiny import MODEL, ROW, add_version, open_shop

    with tempfile.TemporaryDirectory() as folder:
        ws = open_shop(Path(folder))
        deploy(ws, MODEL, add_version(ws), actor="benchmark")
        supervisor = Supervisor(ws)
        begun = time.perf_counter()
        supervisor.start()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", supervisor.server.port, timeout=30)
            connection.request("POST", f"/predict/{MODEL}", json.dumps(ROW))
            status = connection.getresponse().status
            seconds = time.perf_counter() - begun
            connection.close()
        finally:
            supervisor.stop()
        if status != 200:
            raise SystemExit(f"the worker answered {status}")
    return seconds


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
