"""A remote of each kind, empty."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.core.project import RemoteTable
from tests.contracts.object_stores import AZURE, BUCKET, KEYS, Place, azurite, moto, seaweed

_numbers = iter(range(1_000_000))


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    with moto() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def seaweed_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import boto3

    with seaweed(tmp_path_factory.mktemp("seaweed")) as endpoint:
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        client.create_bucket(Bucket=BUCKET)
        yield endpoint


@pytest.fixture(scope="session")
def azurite_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with azurite(tmp_path_factory.mktemp("azurite")) as endpoint:
        _make_container(endpoint)
        yield endpoint


@pytest.fixture(
    params=[
        "folder",
        "moto",
        pytest.param("seaweed", marks=pytest.mark.slow),
        pytest.param("azurite", marks=pytest.mark.slow),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A remote with nothing on it, once for each kind that we speak."""
    prefix = f"run-{next(_numbers)}"
    match request.param:
        case "folder":
            return Place(RemoteTable(url=str(tmp_path / "remote")), {})
        case "azurite":
            endpoint = request.getfixturevalue("azurite_endpoint")
            return Place(RemoteTable(url=f"az://{BUCKET}/{prefix}", endpoint=endpoint), AZURE)
        case kind:
            endpoint = request.getfixturevalue(f"{kind}_endpoint")
            return Place(RemoteTable(url=f"s3://{BUCKET}/{prefix}", endpoint=endpoint), KEYS)


def _make_container(endpoint: str) -> None:
    """Azure's own way to make a container, signed with the account's key."""
    import base64
    import hashlib
    import hmac
    import urllib.request
    from datetime import UTC, datetime

    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    said = f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{now}\nx-ms-version:2021-08-06\n"
    said += f"/devstoreaccount1/devstoreaccount1/{BUCKET}\nrestype:container"
    key = base64.b64decode(AZURE["AZURE_STORAGE_KEY"])
    signature = base64.b64encode(hmac.new(key, said.encode(), hashlib.sha256).digest()).decode()
    headers = {
        "x-ms-date": now,
        "x-ms-version": "2021-08-06",
        "Authorization": f"SharedKey devstoreaccount1:{signature}",
        "Content-Length": "0",
    }
    request = urllib.request.Request(f"{endpoint}/{BUCKET}?restype=container", method="PUT", headers=headers)
    urllib.request.urlopen(request, timeout=10).close()
