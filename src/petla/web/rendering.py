"""Templates and assets: how a context becomes HTML, and where stylesheets are found."""

import hashlib
from functools import cache
from importlib.resources import files

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_VERSION_LENGTH = 12


@cache
def load_environment() -> Environment:
    """Return the templates of this package; undefined names are errors, and everything is escaped."""
    environment = Environment(
        loader=PackageLoader("petla.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = asset_address
    return environment


def render(template: str, page: msgspec.Struct, layout: msgspec.Struct | None = None) -> str:
    """Fill a template with a page's context."""
    return load_environment().get_template(template).render(page=page, layout=layout)


def find_asset(name: str) -> tuple[bytes, str] | None:
    """Return an asset's content and media type, or None if there is none of that name."""
    return _read_assets().get(name)


@cache
def asset_address(name: str) -> str:
    """Return an asset's address, which changes with its content, so that browsers may keep it for ever."""
    found = find_asset(name)
    if found is None:
        raise ValueError(f"there is no asset {name!r}")
    return f"/assets/{name}?{hashlib.sha256(found[0]).hexdigest()[:_VERSION_LENGTH]}"


@cache
def _read_assets() -> dict[str, tuple[bytes, str]]:
    """Return all assets by name. A cache by name would grow with what visitors ask for."""
    found = {}
    for entry in files("petla.web").joinpath("assets").iterdir():
        media_type = MEDIA_TYPES.get(entry.name[entry.name.rfind(".") :])
        if media_type is not None:
            found[entry.name] = entry.read_bytes(), media_type
    return found
