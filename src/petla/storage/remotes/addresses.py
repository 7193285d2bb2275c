"""From a remote's table in the project file to a bucket.

Credentials come the standard way of each cloud: variables, files in the home folder, the machine's own role. They never
stand in the project file and are never shown.
"""

import configparser
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from petla.core.errors import InvalidError
from petla.core.project import RemoteTable
from petla.storage.files import reported
from petla.storage.remotes.bucket import Bucket

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

SCHEMES = {"s3": "s3", "az": "az", "azure": "az", "abfs": "az", "gs": "gs", "gcs": "gs", "file": "file", "": "file"}
_RETRIES = 4
_RETRY_S = 60
_CONNECT_S = 5
# between two bytes, not for a whole transfer
_TIMEOUT_S = 120
_AWS_KEYS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
}
_AWS_VARIABLES = {name.upper(): ours for name, ours in _AWS_KEYS.items()}


class Address(NamedTuple):
    """Where a remote lies."""

    # s3, az, gs or file
    scheme: str
    # bucket or container; of a folder: its path
    place: str
    # in the bucket, without slashes around it
    prefix: str


def parse_address(url: str, root: Path) -> Address:
    """Read a remote's address.

    Args:
        url: as the project file has it.
        root: what a relative folder is relative to.

    Raises:
        InvalidError: it is none, or it carries a password.
    """
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise InvalidError(
            f"the url of a remote carries a user or a password: {parts.scheme}://…@{parts.hostname}",
            hint="take it out; credentials come from the environment or the cloud's own files",
            field="url",
        )
    scheme = SCHEMES.get(parts.scheme.lower())
    if scheme is None:
        known = "a folder, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX"
        raise InvalidError(f"{url!r} is no address of a remote", hint=f"use {known}", field="url")
    if scheme == "file":
        try:
            path = Path(parts.path if parts.scheme else url).expanduser()
        except RuntimeError as error:
            raise InvalidError(
                f"{url!r} names the home folder of a user whom this machine does not know",
                hint="write the whole path",
                field="url",
            ) from error
        return Address("file", str(path if path.is_absolute() else root / path), "")
    if not parts.netloc:
        raise InvalidError(f"{url!r} names no bucket", hint=f"use {parts.scheme}://BUCKET/PREFIX", field="url")
    return Address(scheme, parts.netloc, parts.path.strip("/"))


def open_bucket(name: str, table: RemoteTable, root: Path, environment: Mapping[str, str] | None = None) -> Bucket:
    """Return the bucket of a remote; nothing is sent yet.

    Raises:
        InvalidError: the address is none, or a profile does not exist.
        UnavailableError: a folder cannot be made.
    """
    environment = os.environ if environment is None else environment
    address = parse_address(table.url, root)
    folder = Path(address.place) if address.scheme == "file" else None
    return Bucket(name, table.url, _open(address, table, environment), folder=folder)


def _open(address: Address, table: RemoteTable, environment: Mapping[str, str]) -> "ObjectStore":
    from obstore import store

    prefix = address.prefix or None
    options: dict[str, Any] = {"client_options": _client(table), "retry_config": _retries()}
    match address.scheme:
        case "file":
            with reported(Path(address.place)):
                return store.LocalStore(address.place, automatic_cleanup=False, mkdir=True)
        case "s3":
            return store.S3Store(address.place, prefix=prefix, **_s3(table, environment), **options)
        case "az":
            return store.AzureStore(address.place, prefix=prefix, **(options | _azure(table, environment)))
        case _:
            return store.GCSStore(address.place, prefix=prefix, **_gcs(table), **options)


def _client(table: RemoteTable) -> "ClientConfig":
    return {
        "allow_http": table.endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=_CONNECT_S),
        "timeout": timedelta(seconds=_TIMEOUT_S),
        "user_agent": "petla",
    }


def _retries() -> "RetryConfig":
    return {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_S)}


def _s3(table: RemoteTable, environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if table.endpoint:
        # an endpoint of one's own rarely has a name for each bucket
        found |= {"endpoint": table.endpoint, "virtual_hosted_style_request": False}
    if table.anonymous:
        found["skip_signature"] = True
    elif table.profile or "AWS_ACCESS_KEY_ID" not in environment:
        found |= _from_profile(table.profile, environment)
    else:
        found |= {ours: environment[name] for name, ours in _AWS_VARIABLES.items() if name in environment}
    if region := table.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"):
        found["region"] = region
    elif "region" not in found:
        found["region"] = "us-east-1"
    return found


def _from_profile(profile: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """What ~/.aws says of a profile; without such a file nothing, and the machine's own role is asked."""
    # NOTE: a user without a name has no home folder; then there is no such file
    home = Path(os.path.expanduser(environment.get("HOME", "~"))) / ".aws"  # noqa: PTH111
    name = profile or environment.get("AWS_PROFILE", "default")
    credentials, config = configparser.RawConfigParser(), configparser.RawConfigParser()
    credentials.read(environment.get("AWS_SHARED_CREDENTIALS_FILE", home / "credentials"), encoding="utf-8")
    config.read(environment.get("AWS_CONFIG_FILE", home / "config"), encoding="utf-8")
    section = name if name == "default" else f"profile {name}"
    values = (dict(config[section]) if section in config else {}) | (
        dict(credentials[name]) if name in credentials else {}
    )
    if profile and not values:
        raise InvalidError(
            f"there is no profile {profile!r} in {home}",
            hint="correct it, or make it with the cloud's own tool",
            field="profile",
        )
    found = {ours: values[theirs] for theirs, ours in _AWS_KEYS.items() if theirs in values}
    return found | ({"region": values["region"]} if "region" in values else {})


def _azure(table: RemoteTable, environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    connection = environment.get("AZURE_STORAGE_CONNECTION_STRING", "")
    said = dict(part.split("=", 1) for part in connection.split(";") if "=" in part)
    if said:
        names = {"AccountName": "account_name", "AccountKey": "account_key", "BlobEndpoint": "endpoint"}
        found |= {ours: said[theirs] for theirs, ours in names.items() if said.get(theirs)}
        if "SharedAccessSignature" in said:
            found["sas_key"] = said["SharedAccessSignature"]
    if account := table.account or environment.get("AZURE_STORAGE_ACCOUNT", ""):
        found["account_name"] = account
    if "account_key" not in found and (key := environment.get("AZURE_STORAGE_KEY")):
        found["account_key"] = key
    if table.endpoint:
        found["endpoint"] = table.endpoint
    if found.get("endpoint", "").startswith("http://"):
        found["client_options"] = {**_client(table), "allow_http": True}
    if table.anonymous:
        found["skip_signature"] = True
    return found


def _gcs(table: RemoteTable) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if table.endpoint:
        found["url_base"] = table.endpoint
    if table.anonymous:
        found["skip_signature"] = True
    return found
