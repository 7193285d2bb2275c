"""API keys as the workers see them: names, hashes, scopes and rates, in one file beside the snapshot.

A key is `petla_NUMBER_SECRET`. The number finds it, the secret is 32 random bytes, and only the SHA-256 of the whole is
kept: the secret is random, so nothing slower is needed.
"""

import hashlib
import hmac
import secrets
from enum import StrEnum
from pathlib import Path

import msgspec

from petla.deployments.snapshot import SERVING_FOLDER

KEYS_FILE = "keys.json"
_PREFIX = "petla"
_SECRET_BYTES = 32


class Scope(StrEnum):
    """What a key opens."""

    PREDICT = "predict"
    FEEDBACK = "feedback"
    # metrics, and what is served in which form
    READ = "read"
    # loading and unloading
    REPOSITORY = "repository"


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key that opens something."""

    number: int
    name: str
    # SHA-256 of the key, hexadecimal
    hash: str
    scopes: tuple[Scope, ...]
    # requests a second, and how many may come at once; 0: no limit
    rate_per_s: float = 0.0
    burst: int = 0


def make_secret(number: int) -> tuple[str, str]:
    """Make a key; return it, to be shown once, and the hash that is kept."""
    secret = f"{_PREFIX}_{number}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return secret, hash_key(secret.encode())


def hash_key(secret: bytes) -> str:
    """Return what is kept of a key."""
    return hashlib.sha256(secret).hexdigest()


def find_number(secret: bytes) -> int | None:
    """Return the number that a key names, or None if it is no key at all."""
    prefix, _, rest = secret.partition(b"_")
    number, _, _ = rest.partition(b"_")
    is_key = prefix == _PREFIX.encode() and number.isdigit() and len(number) < 10
    return int(number) if is_key else None


def opens(key: Key, secret: bytes) -> bool:
    """Whether a secret is this key; takes as long wherever they differ."""
    return hmac.compare_digest(key.hash, hash_key(secret))


def keys_path(state: Path) -> Path:
    """Return where the keys lie in a state folder."""
    return state / SERVING_FOLDER / KEYS_FILE


def encode_keys(keys: tuple[Key, ...]) -> bytes:
    """Write the file's content."""
    return msgspec.json.encode(keys)


def decode_keys(content: bytes) -> tuple[Key, ...]:
    """Read the file's content.

    Raises:
        msgspec.DecodeError: it is damaged.
    """
    return msgspec.json.decode(content, type=tuple[Key, ...])
