"""Settings from `PETLA_*` variables: what differs from machine to machine and never belongs in the project file."""

import math
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from petla.core.decoding import describe_allowed
from petla.core.errors import Fault, InvalidError
from petla.core.names import suggest
from petla.core.project import Port, WorkerCount

PREFIX = "PETLA_"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every variable, with its default; `PETLA_DATABASE` is the field `database`."""

    # SQLAlchemy address of the database; empty: as the project file says
    database: str = ""
    # who is acting, for the audit trail; empty: Git's user.name, else the login name
    actor: str = ""
    # ports and number of workers; None: as the project file says
    serving_port: Port | None = None
    grpc_port: Port | None = None
    control_port: Port | None = None
    workers: WorkerCount | None = None
    # seconds a writer waits for a lock or a busy database
    wait_s: Annotated[float, Meta(ge=0, le=86_400)] = 30.0
    # signs what webhooks are told; empty: they are told nothing
    webhook_secret: str = ""


def decode_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Raises:
        InvalidError: an unknown `PETLA_*` variable or a value of the wrong type.

    Example:
        >>> decode_settings({"PETLA_WORKERS": "2", "HOME": "/tmp"}).workers
        2
    """
    fields = {PREFIX + f.name.upper(): f for f in msgspec.structs.fields(Settings)}
    faults, values = [], {}
    for key, text in environment.items():
        if not key.startswith(PREFIX):
            continue
        if key not in fields:
            faults.append(Fault(key, "is an unknown variable", suggest(key, fields)))
            continue
        kind = fields[key].type
        try:
            value = msgspec.convert(text, kind, strict=False)
        except msgspec.ValidationError:
            value = math.nan
        if isinstance(value, float) and math.isnan(value):
            faults.append(Fault(key, f"is {text!r}, but must be {describe_allowed(kind)}"))
        values[fields[key].name] = value
    if faults:
        lines = "; ".join(f"{f.field} {f.message}" for f in faults)
        raise InvalidError(f"environment: {lines}", hint="unset or correct it", faults=faults)
    return Settings(**values)
