"""An opened project: its file, its state folder, and the stores in it.

The stores open on first use, so that a command that needs no database does not pay for one.
"""

import contextlib
import getpass
import os
import subprocess
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from petla.core.clock import Clock, utc_now
from petla.core.errors import InvalidError, NotFoundError
from petla.core.names import nearest, suggest
from petla.core.project import (
    PROJECT_FILE,
    STATE_FOLDER,
    DatasetTable,
    Look,
    ModelTable,
    Project,
    decode_project,
    find_missing,
    refuse_project,
)
from petla.core.settings import Settings
from petla.storage.files import keep_private, reported, write_atomic
from petla.storage.objects import ObjectStore
from petla.storage.signing import Keyring

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from petla.storage.ledger import Ledger

T = TypeVar("T")


class Workspace:
    """An opened project.

    Args:
        root: the folder that holds `petla.toml`.
        project: the decoded project file.
        settings: the `PETLA_*` variables.
        clock: gives the present moment.
        state: the state folder; None: `.petla` in the root.
    """

    def __init__(
        self,
        root: Path,
        project: Project,
        settings: Settings,
        *,
        clock: Clock = utc_now,
        state: Path | None = None,
    ) -> None:
        self.root = root
        self.project = project
        self.settings = settings
        self.clock = clock
        self.state = state or root / STATE_FOLDER
        self.objects = ObjectStore(self.state / "objects")
        self._opening: threading.Thread | None = None
        self._opened: Engine | None = None
        self._head_path = self.state / "audit.head"
        self.keys = Keyring(self.state / "keys", evidence=self._head_path)

    @property
    def name(self) -> str:
        """The project's name, which every row carries."""
        return self.project.project.name

    @cached_property
    def engine(self) -> "Engine":
        """The database, created or migrated on first use."""
        if self._opening is not None:
            self._opening.join()
        return self._opened or self._open()

    def open_ahead(self) -> None:
        """Open the database on a thread of its own: that takes a quarter of a second, and there is other work first."""
        if "engine" not in self.__dict__ and self._opening is None:
            self._opening = threading.Thread(target=self._try_to_open, name="opening", daemon=True)
            self._opening.start()

    @cached_property
    def ledger(self) -> "Ledger":
        """The audited way to change rows."""
        from petla.storage.ledger import Ledger

        return Ledger(self.engine, project=self.name, keys=self.keys, head_path=self._head_path, clock=self.clock)

    @cached_property
    def actor(self) -> str:
        """Who is acting: PETLA_ACTOR, else Git's user.name, else the login name."""
        if self.settings.actor:
            return self.settings.actor
        return _git_name(self.root) or login_name()

    def make_state(self) -> None:
        """Make the state folder, which Git leaves alone, if there is none; it is for its owner only.

        Raises:
            UnavailableError: it cannot be written.
        """
        if not (self.state / ".gitignore").exists():
            write_atomic(self.state / ".gitignore", b"*\n")
        keep_private(self.state)

    def close(self) -> None:
        """Close the database's connections, where it was opened; it opens again on the next use."""
        if "engine" in self.__dict__:
            self.engine.dispose()

    def _try_to_open(self) -> None:
        # whoever asks for the database hears what is wrong with it
        with contextlib.suppress(Exception):
            self._opened = self._open()

    def _open(self) -> "Engine":
        from petla.storage.database import open_database

        self.make_state()
        address = self.settings.database or self.project.storage.database
        return open_database(
            address or f"sqlite:///{self.state / 'petla.db'}",
            lock_path=self.state / "migrating.lock",
            wait_s=self.settings.wait_s,
            may_create=not self._head_path.exists(),
        )

    def require_files(self) -> None:
        """See that every file that the project file names is there, or its pointer.

        Raises:
            InvalidError: with each that is missing.
        """
        faults = find_missing(msgspec.to_builtins(self.project), _look_in(self.root))
        if faults:
            raise refuse_project(faults)

    def get_model(self, name: str | None = None) -> tuple[str, ModelTable]:
        """Return a model's name and table; without a name the project's only model.

        Raises:
            NotFoundError: there is no such model.
            InvalidError: no name was given and the project has several models, or none.
        """
        return _pick("models", self.project.models, name)

    def get_dataset(self, name: str | None = None) -> tuple[str, DatasetTable]:
        """Return a dataset's name and table; without a name the project's only dataset.

        Raises:
            NotFoundError: there is no such dataset.
            InvalidError: no name was given and the project has several datasets, or none.
        """
        return _pick("data", self.project.data, name)


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above `start` that holds a project file.

    Raises:
        NotFoundError: there is none.
    """
    for folder in (start, *start.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise NotFoundError(
        f"no {PROJECT_FILE} in {start} or above it", hint="make a project with 'petla init', or go to its folder"
    )


def open_workspace(start: Path, settings: Settings, *, clock: Clock = utc_now) -> Workspace:
    """Open the project that `start` lies in.

    Raises:
        NotFoundError: there is no project file.
        InvalidError: the project file has faults, all of which are named.
    """
    root = find_root(start.resolve())
    try:
        with reported(root / PROJECT_FILE, "read"):
            content = (root / PROJECT_FILE).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidError(f"{PROJECT_FILE} is not UTF-8: {error}", hint="save it as UTF-8") from error
    return Workspace(root, decode_project(content, _look_in(root)), settings, clock=clock)


def _look_in(root: Path) -> Look:
    def look(path: str) -> str | None:
        place = root / path
        # what is not checked out has its pointer
        if place.exists() or place.with_name(f"{place.name}.dvc").exists():
            return None
        siblings = [each.relative_to(root).as_posix() for each in place.parent.glob("*")] if place.name else []
        near = nearest(path, siblings)
        return f"did you mean {near!r}?" if near is not None else "make it, or correct the path"

    return look


def _git_name(folder: Path) -> str:
    command = ["git", "config", "user.name"]
    try:
        found = subprocess.run(
            command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except FileNotFoundError:
        return ""
    return found.stdout.strip()


def login_name() -> str:
    """Return the name of the user whom this process runs as."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # a container may run under a number without a name
        return f"user {os.getuid()}"


def _pick(table: str, tables: dict[str, T], name: str | None) -> tuple[str, T]:
    if name is None:
        if len(tables) != 1:
            known = ", ".join(sorted(tables)) or "none"
            raise InvalidError(f"say which of [{table}] is meant; there is: {known}", field=table)
        return next(iter(tables.items()))
    if name not in tables:
        raise NotFoundError(f"[{table}] has no {name!r}", hint=suggest(name, tables), field=table)
    return name, tables[name]
