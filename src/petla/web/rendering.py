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


@cache
def find_asset(name: str) -> tuple[bytes, str] | None:
    """Return an asset's content and media type, or None if there is none of that name."""
    known = {entry.name: entry for entry in files("petla.web").joinpath("assets").iterdir()}
    suffix = name[name.rfind(".") :]
    if name not in known or suffix not in MEDIA_TYPES:
        return None
    return known[name].read_bytes(), MEDIA_TYPES[suffix]


@cache
def asset_address(name: str) -> str:
    """Return an asset's address, which changes with its content, so that browsers may keep it for ever."""
    found = find_asset(name)
    if found is None:
        raise ValueError(f"there is no asset {name!r}")
    return f"/assets/{name}?{hashlib.sha256(found[0]).hexdigest()[:_VERSION_LENGTH]}"
