"""Hundreds of random edits and commands, some of them killed, against a simple model of what must be there.

Whatever happens, no version is lost, and the work tree is never anything but what the model says.
"""

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from petla.core.errors import ConflictError, NotFoundError, PetlaError
from petla.core.project import RemoteTable
from petla.data.checkouts import checkout, find_pointer_of, find_version_of
from petla.data.statuses import list_statuses
from petla.data.transfer.pulling import pull
from petla.data.transfer.pushing import push
from petla.data.transfer.remotes import add_remote
from petla.data.upkeep.collecting import Choice, Roots, collect
from petla.data.upkeep.forgetting import find_items, forget
from petla.data.upkeep.verifying import verify
from petla.data.versions import add, list_versions
from petla.storage.workspace import Workspace
from tests.data.projects import make_project

PROJECT = '[project]\nname = "random"\n\n[data.tree]\npath = "tree"\n'
NAMES = ("a", "b.dat", "sub/c", "sub/deep/d", "zwölf ü", "two words", "sub/A", "e.bin")
SIZES = (0, 1, 900, 70_000, 300_000, 1_200_000)

# path -> content and mode
Tree = dict[str, tuple[bytes, int]]


class Model:
    """What must be there."""

    def __init__(self, root: Path, seed: int) -> None:
        self.draw = random.Random(seed)
        self.root = root
        make_project(root, PROJECT)
        add_remote(self.ws, "origin", RemoteTable(url="../remote"), is_default=True)
        self.tree: Tree = {}
        self.versions: list[Tree] = []
        self.pointed: int | None = None
        self.pushed: set[int] = set()
        self.forgotten: set[bytes] = set()
        self.contents = [self.draw.randbytes(size) for size in SIZES]

    @property
    def ws(self) -> Workspace:
        """The project as another process would open it."""
        from petla.core.settings import Settings
        from petla.storage.workspace import open_workspace

        return open_workspace(self.root, Settings(actor="ada"))

    @property
    def place(self) -> Path:
        return self.root / "tree"

    def write(self) -> None:
        path, mode = self.draw.choice(NAMES), self.draw.choice((0o644, 0o755))
        content = self.draw.choice(self.contents) + self.draw.randbytes(self.draw.choice((0, 3)))
        if content in self.forgotten:
            return
        self.tree[path] = (content, mode)
        (self.place / path).parent.mkdir(parents=True, exist_ok=True)
        (self.place / path).unlink(missing_ok=True)
        (self.place / path).write_bytes(content)
        (self.place / path).chmod(mode)

    def edit(self) -> None:
        if not self.tree:
            return
        path = self.draw.choice(sorted(self.tree))
        content, mode = self.tree[path]
        place = self.draw.randrange(len(content) + 1)
        changed = content[:place] + self.draw.randbytes(5) + content[place:]
        self.tree[path] = (changed, mode)
        (self.place / path).write_bytes(changed)

    def remove(self) -> None:
        if self.tree:
            path = self.draw.choice(sorted(self.tree))
            del self.tree[path]
            (self.place / path).unlink()
            parent = (self.place / path).parent
            while parent != self.place and not any(parent.iterdir()):
                parent.rmdir()
                parent = parent.parent

    def remove_all(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        self.tree = {}

    def add(self) -> None:
        if not self.tree:
            with pytest.raises(NotFoundError):
                add(self.ws, self.place)
            return
        version = add(self.ws, self.place).version
        self._note(version.version)

    def add_killed(self) -> None:
        """Add in a process that dies at any moment; add again completes it."""
        pid = os.fork()
        if pid == 0:
            signal.setitimer(signal.ITIMER_REAL, self.draw.uniform(0.001, 0.06))
            try:
                add(self.ws, self.place)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        self.draw.random()
        self.add()

    def check_out(self) -> None:
        if not self.versions:
            return
        number = self.draw.randrange(1, len(self.versions) + 1)
        if self._is_dirty():
            with pytest.raises(ConflictError, match="would lose it"):
                checkout(self.ws, "tree", number)
            return
        checkout(self.ws, "tree", number)
        self._stand_on(number)

    def check_out_killed(self) -> None:
        """Check out in a process that dies at any moment: each file is then of one version or of the other."""
        if not self.versions or self._is_dirty() or self.pointed is None:
            return
        number, before = self.draw.randrange(1, len(self.versions) + 1), dict(self.tree)
        delay = self.draw.uniform(0.001, 0.04)
        pid = os.fork()
        if pid == 0:
            signal.setitimer(signal.ITIMER_REAL, delay)
            try:
                checkout(self.ws, "tree", number)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        wanted = self._left_of(number)
        for path, found in self._read().items():
            assert found in (before.get(path), wanted.get(path)), path
        checkout(self.ws, "tree", number)
        self._stand_on(number)

    def push(self) -> None:
        if self.pointed is not None:
            push(self.ws, ["tree"])
            self.pushed.add(self.pointed)

    def pull_elsewhere(self) -> None:
        """A clone that has nothing but the pointer gets exactly that version."""
        if self.pointed is None or self.pointed not in self.pushed:
            return
        other = self.root.parent / "clone"
        other.mkdir()
        for name in ("petla.toml", "tree.dvc"):
            shutil.copy(self.root / name, other / name)
        from petla.core.settings import Settings
        from petla.storage.workspace import open_workspace

        pull(open_workspace(other, Settings(actor="bob")), ["tree"])
        assert _read_tree(other / "tree") == self._left_of(self.pointed)
        shutil.rmtree(other)

    def collect(self) -> None:
        """Without a repository every version stays."""
        collect(self.ws, Choice(keep_days=0, is_meant=True), Roots())

    def forget(self) -> None:
        """One content leaves every version; at most twice in a run."""
        if len(self.forgotten) >= 2 or self.pointed is None or self._is_dirty():
            return
        choices = [(path, content) for path, (content, _) in sorted(self._left_of(self.pointed).items()) if content]
        if len(choices) < 2:
            return
        path, content = self.draw.choice(choices)
        everywhere = [tree for number, _ in enumerate(self.versions, 1) if (tree := self._left_of(number))]
        if any(all(found == content for found, _ in tree.values()) for tree in everywhere):
            # a version with nothing left in it could not be checked out
            return
        ws = self.ws
        meant = find_items(ws, f"tree/{path}")
        objects = {item.object for item in meant}
        gone = {c for tree in self.versions for p, (c, _) in tree.items() if c and self._object_of(c) in objects}
        if any(all(found in gone | self.forgotten for found, _ in tree.values()) for tree in self.versions):
            return
        forget(ws, meant, reason="asked")
        self.forgotten |= gone
        self.tree = {p: found for p, found in self.tree.items() if found[0] not in self.forgotten}

    def check(self) -> None:
        """Compare what is there with what must be."""
        assert self._read() == self.tree
        (status,) = list_statuses(self.ws)
        if self.pointed is None:
            assert status.state in ("missing", "untracked")
        elif not self.tree:
            assert status.state == "missing"
        else:
            is_same = self.tree == self._left_of(self.pointed)
            assert status.state == ("clean" if is_same else "changed") or self.forgotten

    def check_all(self) -> None:
        """Every version can be had again, byte for byte, and nothing is damaged."""
        assert verify(self.ws).is_sound
        self.remove_all()
        for number in range(1, len(self.versions) + 1):
            checkout(self.ws, "tree", number)
            assert _read_tree(self.place) == self._left_of(number), number
        assert len(list_versions(self.ws, "tree", limit=10_000)) == len(self.versions)

    def _note(self, number: int) -> None:
        if number > len(self.versions):
            self.versions.append(dict(self.tree))
        self.pointed = number
        assert self.versions[number - 1] == self.tree

    def _stand_on(self, number: int) -> None:
        self.pointed = number
        self.tree = self._left_of(number)

    def _left_of(self, number: int) -> Tree:
        return {path: found for path, found in self.versions[number - 1].items() if found[0] not in self.forgotten}

    def _is_dirty(self) -> bool:
        """Whether the tree holds a content that no version has."""
        kept = {content for tree in self.versions for content, _ in tree.values()}
        return any(content not in kept for content, _ in self.tree.values())

    def _read(self) -> Tree:
        return _read_tree(self.place)

    @staticmethod
    def _object_of(content: bytes) -> str:
        from petla.storage.objects.naming import digest_content

        return digest_content(content)


def _read_tree(place: Path) -> Tree:
    files = (path for path in place.rglob("*") if path.is_file()) if place.exists() else ()
    return {
        path.relative_to(place).as_posix(): (path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644)
        for path in files
    }


def run(root: Path, seed: int, steps: int) -> Model:
    model = Model(root, seed)
    weighted: list[tuple[Callable[[], None], int]] = [
        (model.write, 8), (model.edit, 4), (model.remove, 2), (model.remove_all, 1), (model.add, 6),
        (model.add_killed, 3), (model.check_out, 5), (model.check_out_killed, 2), (model.push, 2),
        (model.pull_elsewhere, 1), (model.collect, 1), (model.forget, 1),
    ]  # fmt: skip
    operations = [operation for operation, weight in weighted for _ in range(weight)]
    done: list[str] = []
    try:
        for _ in range(steps):
            operation = model.draw.choice(operations)
            done.append(operation.__name__)
            operation()
            model.check()
        model.check_all()
    except (AssertionError, PetlaError) as error:
        error.add_note(f"seed {seed}, after {len(done)} steps, the last: {', '.join(done[-8:])}")
        raise
    assert model.versions
    return model


def test_a_few_operations_lose_nothing(tmp_path: Path) -> None:
    run(tmp_path / "project", 1, 60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_hundreds_of_operations_lose_nothing(tmp_path: Path, seed: int) -> None:
    model = run(tmp_path / "project", seed, 500)

    assert len(model.versions) > 20
    assert find_version_of(model.ws, "tree", find_pointer_of(model.ws, "tree")) is not None
