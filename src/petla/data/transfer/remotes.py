"""Which remotes a project has, which one is meant, and how one is written into the project file."""

import re
import shutil
from collections.abc import Sequence

import msgspec

from petla.core.errors import ConflictError, InvalidError, NotFoundError
from petla.core.names import suggest
from petla.core.project import PROJECT_FILE, RemoteTable, decode_project, is_name
from petla.data.dvc.settings import read_settings, write_remote
from petla.storage.files import write_atomic
from petla.storage.remotes.addresses import parse_address
from petla.storage.remotes.bucket import Bucket
from petla.storage.remotes.packs import PackRemote
from petla.storage.workspace import Workspace


class RemoteStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A remote of the project file, or of DVC's settings."""

    name: str
    url: str
    layout: str
    # meant where none is named
    is_default: bool


def list_remotes(ws: Workspace) -> list[RemoteStatus]:
    """Return the project's remotes by name, with those that DVC knows of."""
    remotes, default = _collect(ws)
    return [
        RemoteStatus(name=name, url=table.url, layout=table.layout, is_default=name == default)
        for name, table in sorted(remotes.items())
    ]


def list_tables(ws: Workspace) -> dict[str, RemoteTable]:
    """Return the tables of the project's remotes by name, with those that DVC knows of."""
    return dict(sorted(_collect(ws)[0].items()))


def choose_remote(ws: Workspace, name: str | None = None) -> tuple[str, RemoteTable]:
    """Return the remote with a name, else the default one.

    Raises:
        NotFoundError: there is none.
        InvalidError: none was named and there are several.
    """
    remotes, default = _collect(ws)
    if not remotes:
        raise NotFoundError("the project has no remote", hint="petla data remote add origin URL")
    chosen = name or default
    if chosen is None:
        raise InvalidError(
            f"say which remote is meant; there are: {', '.join(sorted(remotes))}",
            hint="use --remote NAME, or set [storage] remote in petla.toml",
            field="remote",
        )
    if chosen not in remotes:
        raise NotFoundError(f"there is no remote {chosen!r}", hint=suggest(chosen, remotes), field="remote")
    return chosen, remotes[chosen]


def open_packs(ws: Workspace, name: str, bucket: Bucket) -> PackRemote:
    """Return a remote with the layout `packs`; nothing is sent yet."""
    return PackRemote(bucket, ws.state / "remotes" / name)


def make_table(url: str, layout: str, settings: Sequence[str]) -> RemoteTable:
    """Return a remote's table.

    Args:
        url: its address.
        layout: `packs` or `dvc`.
        settings: the other keys, each as `key=value`.

    Raises:
        InvalidError: a key is none, or its value is not allowed.
    """
    values: dict[str, object] = {"url": url, "layout": layout}
    known = [field.name for field in msgspec.structs.fields(RemoteTable) if field.name not in values]
    for setting in settings:
        key, equals, value = setting.partition("=")
        if key not in known or not equals:
            raise InvalidError(f"{setting!r} is no setting of a remote", hint=suggest(key, known), field="set")
        values[key] = value
    try:
        return msgspec.convert(values, RemoteTable, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidError(f"the remote cannot be so: {error}", hint="see docs/project-file.md", field="set") from error


def add_remote(ws: Workspace, name: str, table: RemoteTable, *, is_default: bool) -> None:
    """Add a remote to the project file; `ws.project` has it from then on.

    DVC is told of one in its own layout, so that both programs use it.

    Raises:
        ConflictError: there is one of this name.
        InvalidError: the name or the address is none; the file stays as it was.
    """
    if not is_name(name):
        raise InvalidError(
            f"{name!r} is no name for a remote", hint="use lower-case letters, digits and _", field="name"
        )
    if name in ws.project.remotes:
        raise ConflictError(
            f"there is a remote {name!r} already: {ws.project.remotes[name].url}",
            hint=f"petla data remote remove {name}",
        )
    parse_address(table.url, ws.root)
    default = RemoteTable(url=table.url)
    lines = [f"[remotes.{name}]"]
    for field in msgspec.structs.fields(RemoteTable):
        value = getattr(table, field.name)
        if field.name == "url" or value != getattr(default, field.name):
            # A JSON text is a TOML text.
            lines.append(f"{field.name} = {msgspec.json.encode(value).decode()}")
    text = f"{_read(ws).rstrip()}\n\n" + "\n".join(lines) + "\n"
    _write(ws, _set_default(text, name) if is_default else text)
    if table.layout == "dvc":
        write_remote(ws.root, name, table, is_default=is_default)


def remove_remote(ws: Workspace, name: str) -> None:
    """Take a remote out of the project file; what lies on it stays.

    Raises:
        NotFoundError: there is none of this name.
    """
    if name not in ws.project.remotes:
        raise NotFoundError(f"there is no remote {name!r}", hint=suggest(name, ws.project.remotes))
    table = rf"(?m)^\[remotes\.{re.escape(name)}\][^\n]*\n(?:(?!\[)[^\n]*\n?)*"
    text = re.sub(table, "", _read(ws))
    if ws.project.storage.remote == name:
        text = re.sub(rf'(?m)^remote = "{re.escape(name)}"\n', "", text)
    _write(ws, text)
    # what was known of it: another one may get its name
    shutil.rmtree(ws.state / "remotes" / name, ignore_errors=True)


def _collect(ws: Workspace) -> tuple[dict[str, RemoteTable], str | None]:
    """Return the remotes of the project file and of DVC's settings, and which one is meant where none is named."""
    own, dvc = ws.project.remotes, read_settings(ws.root)
    theirs = dvc.remotes if dvc else {}
    if ws.project.storage.remote:
        default: str | None = ws.project.storage.remote
    elif len(own) == 1:
        default = next(iter(own))
    elif dvc and dvc.default in theirs:
        default = dvc.default
    else:
        default = next(iter(theirs)) if len(theirs) == 1 and not own else None
    return {**theirs, **own}, default


def _set_default(text: str, name: str) -> str:
    """Name the default in `[storage]`, in place of another one."""
    line = f'remote = "{name}"'
    if re.search(r"(?m)^\[storage\]", text) is None:
        return f"{text}\n[storage]\n{line}\n"
    storage = re.compile(r"(?m)^(\[storage\][^\n]*\n)((?:(?!\[)[^\n]*\n?)*)")
    return storage.sub(lambda m: f"{m[1]}{line}\n" + re.sub(r"(?m)^remote\s*=[^\n]*\n", "", m[2]), text)


def _read(ws: Workspace) -> str:
    # NOTE: some editors begin a file with a mark that only "-sig" takes away
    path = ws.root / PROJECT_FILE
    if not path.is_file():
        raise InvalidError(
            f"this is a DVC project without a {PROJECT_FILE}", hint="petla init, or 'dvc remote' for DVC's own remotes"
        )
    return path.read_text(encoding="utf-8-sig")


def _write(ws: Workspace, text: str) -> None:
    ws.project = decode_project(text)
    write_atomic(ws.root / PROJECT_FILE, text.encode())
