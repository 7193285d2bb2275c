"""Signatures: Ed25519 over bytes, with a key of the project's own.

The secret key is made on first use in `.petla/keys/`, readable by its owner only. Packages, cached pickles and audit
entries carry its signature; nothing that may run code is loaded without one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from petla.core.errors import CorruptError
from petla.storage.files import lock, reported, write_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_KEY_FILE = "signing.key"
_PUBLIC_FILE = "signing.pub"
_MADE_BY_RUN = "make it again with 'petla run'"


class Keyring:
    """The signing key of a project.

    Args:
        folder: where the two key files live; a serving process needs only the public one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sign(self, content: bytes) -> bytes:
        """Return the 64-byte signature of bytes."""
        return self._secret.sign(content)

    def verify(self, content: bytes, signature: bytes, *, what: str, hint: str = _MADE_BY_RUN) -> None:
        """Accept bytes only with the project's own signature.

        Args:
            content: the bytes as they are now.
            signature: what `sign` returned for the bytes as they were.
            what: names the bytes in the error.
            hint: what to do where they are not accepted.

        Raises:
            CorruptError: the bytes were altered, were not signed by this project's key, or the key is gone.
        """
        from cryptography.exceptions import InvalidSignature

        try:
            self._public.verify(signature, content)
        except InvalidSignature as error:
            raise CorruptError(
                f"{what} is not signed by this project's key, or was altered after it was signed; it was not used",
                hint=hint,
            ) from error

    def prepare(self) -> None:
        """Make the key pair if there is none yet."""
        if (self.folder / _PUBLIC_FILE).is_file():
            return
        with lock(self.folder / ".lock", purpose="making the signing key", wait_s=10):
            if not (self.folder / _PUBLIC_FILE).is_file():
                self._make()

    @cached_property
    def _secret(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self.prepare()
        with self._opened(_KEY_FILE) as content:
            return Ed25519PrivateKey.from_private_bytes(content)

    @cached_property
    def _public(self) -> "Ed25519PublicKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        with self._opened(_PUBLIC_FILE) as content:
            return Ed25519PublicKey.from_public_bytes(content)

    @contextmanager
    def _opened(self, name: str) -> Iterator[bytes]:
        path = self.folder / name
        try:
            with reported(path, "read"):
                yield path.read_bytes()
        except (FileNotFoundError, ValueError) as error:
            raise CorruptError(
                f"the signing key {path} is missing or damaged",
                hint="bring the folder back from a backup; what this key signed cannot be checked without it",
            ) from error

    def _make(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        secret = Ed25519PrivateKey.generate()
        write_atomic(self.folder / _KEY_FILE, secret.private_bytes_raw(), mode=0o600)
        write_atomic(self.folder / _PUBLIC_FILE, secret.public_key().public_bytes_raw())
