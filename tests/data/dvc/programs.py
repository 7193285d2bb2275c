"""The real dvc."""

import os
import subprocess
import sys
from pathlib import Path


class Dvc:
    """The program in a project, that calls nobody; `--no-scm` is for a project without Git."""

    def __init__(self, root: Path, home: Path, *options: str, is_new: bool = True) -> None:
        self.root = root
        settings = home / "dvc"
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "config").write_text("[core]\nanalytics = false\ncheck_update = false\n")
        self.environment = os.environ | {
            "HOME": str(home),
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(settings),
            "DVC_SYSTEM_CONFIG_DIR": str(settings),
            "DVC_SITE_CACHE_DIR": str(home / "site"),
        }
        if is_new:
            self("init", "--quiet", *options)

    def __call__(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()
