"""`.dvc/config`: the remotes and the cache of a DVC project."""

import configparser
import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from petla.core.errors import InvalidError
from petla.core.project import RemoteTable
from petla.data.dvc.identity import former_key_of, key_of
from petla.storage.files import make_folder, reported, write_atomic
from petla.storage.remotes.addresses import SCHEMES

FOLDER = ".dvc"
_REMOTE = re.compile(r"""^'?remote "(.+)"'?$""")
# by what DVC calls it
_OPTIONS = {
    "endpointurl": "endpoint",
    "region": "region",
    "profile": "profile",
    "account_name": "account",
    "allow_anonymous_login": "anonymous",
}
_WRITTEN = {ours: dvc for dvc, ours in _OPTIONS.items()}


class DvcSettings(msgspec.Struct, frozen=True):
    """What a DVC project says of itself."""

    remotes: dict[str, RemoteTable]
    # where none is named; may be empty
    default: str
    cache: Path


def read_settings(root: Path) -> DvcSettings | None:
    """Return the settings of the DVC project at a folder; None: it is none.

    A remote of a kind that Pętla does not speak, such as SSH, is left out.

    Raises:
        InvalidError: the settings cannot be read.
    """
    folder = root / FOLDER
    if not folder.is_dir():
        return None
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    for name in ("config", "config.local"):
        try:
            with reported(folder / name, "read"):
                parser.read_string((folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (configparser.Error, UnicodeDecodeError) as error:
            raise InvalidError(
                f"{folder / name} cannot be read: {error}".replace("\n", " "), hint="correct it, or see 'dvc config'"
            ) from error
    named = {found[1]: parser[section] for section in parser.sections() if (found := _REMOTE.match(section))}
    for name in named:
        _require_name(name, folder)
    tables = {name: _table_of(section, folder) for name, section in named.items()}
    cache = Path(parser.get("cache", "dir", fallback="cache"))
    return DvcSettings(
        remotes={name: table for name, table in tables.items() if table is not None},
        default=parser.get("core", "remote", fallback=""),
        cache=cache if cache.is_absolute() else (folder / cache).resolve(),
    )


def find_cached(root: Path) -> Callable[[str], bool]:
    """Return what tells whether DVC keeps a file, by its md5, in its cache on this machine."""
    settings = read_settings(root)
    if settings is None:
        return lambda _md5: False
    return lambda md5: any((settings.cache / key).is_file() for key in (key_of(md5), former_key_of(md5)))


def write_remote(root: Path, name: str, table: RemoteTable, *, is_default: bool) -> None:
    """Tell DVC of a remote, so that `dvc pull` works in this project as well.

    Args:
        root: the project's folder; a DVC project is made of it if it is none.
        name: of the remote.
        table: of the remote; nothing secret stands in it.
        is_default: meant where none is named; the first one is in any case.

    Raises:
        InvalidError: the folder is a link that leads outside the project.
        UnavailableError: the file cannot be written.
    """
    folder = root / FOLDER
    if not folder.resolve().is_relative_to(root.resolve()):
        raise InvalidError(f"{folder} is a link to {folder.resolve()}, outside the project", hint="remove the link")
    path = folder / "config"
    with reported(folder):
        make_folder(folder)
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not (folder / ".gitignore").exists():
        write_atomic(folder / ".gitignore", b"/config.local\n/tmp\n/cache\n")
    lines = [f"['remote \"{name}\"']", f"    url = {_url_for_dvc(table.url)}"]
    said = {field: getattr(table, field) for field in ("endpoint", "region", "profile", "account")}
    lines += [f"    {_WRITTEN[field]} = {value}" for field, value in said.items() if value]
    if table.anonymous:
        lines.append("    allow_anonymous_login = true")
    text = _without_section(text, f"'remote \"{name}\"'") + "\n".join([*lines, ""])
    if is_default or re.search(r"(?m)^\s*remote\s*=", _section(text, "core")) is None:
        text = _with_default(text, name)
    write_atomic(path, text.encode())


def _require_name(name: str, folder: Path) -> None:
    """Refuse a name of a remote that is no name of a folder: what is known of the remote lies in one."""
    if name in (".", "..") or set(name) & {"/", "\\", "\0"}:
        raise InvalidError(
            f"{folder / 'config'} has a remote named {name!r}",
            hint="use letters, digits, '-' and '_': dvc remote rename",
        )


def _table_of(section: configparser.SectionProxy, folder: Path) -> RemoteTable | None:
    url = section.get("url", "")
    scheme = urlsplit(url).scheme.lower()
    if SCHEMES.get(scheme) is None or not url:
        return None
    if SCHEMES[scheme] == "file" and not scheme:
        # DVC writes a relative folder as seen from its settings
        url = str((folder / url).resolve()) if not os.path.isabs(os.path.expanduser(url)) else url  # noqa: PTH111, PTH117 - a home may be unknown
    values = {ours: section[dvc] for dvc, ours in _OPTIONS.items() if dvc in section}
    try:
        return msgspec.convert({"url": url, "layout": "dvc"} | values, RemoteTable, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidError(
            f"a remote of {folder / 'config'} cannot be so: {error}", hint="see 'dvc remote list'"
        ) from error


def _url_for_dvc(url: str) -> str:
    if urlsplit(url).scheme or Path(url).is_absolute():
        return url
    return f"../{url}"


def _section(text: str, name: str) -> str:
    found = re.search(rf"(?m)^\[{re.escape(name)}\]\n((?:(?!\[).*\n?)*)", text)
    return found[1] if found else ""


def _without_section(text: str, name: str) -> str:
    text = re.sub(rf"(?m)^\[{re.escape(name)}\]\n(?:(?!\[).*\n?)*", "", text)
    return f"{text.rstrip()}\n" if text.strip() else ""


def _with_default(text: str, name: str) -> str:
    rest = [line for line in _section(text, "core").splitlines() if not re.match(r"\s*remote\s*=", line)]
    core = "\n".join(["[core]", *rest, f"    remote = {name}", ""])
    return core + _without_section(text, "core")
