"""Signatures: Ed25519 over bytes, with a key of the project's own.

The secret key is made once, in `.petla/keys/`, readable by its owner only, and never overwritten; the public key is
derived from it. Packages, cached pickles and audit entries carry its signature; nothing that may run code is loaded
without one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from petla.core.errors import CorruptError
from petla.storage.files import keep_private, lock, reported, write_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_KEY_FILE = "signing.key"
_PUBLIC_FILE = "signing.pub"
_MADE_BY_RUN = "make it again with 'petla run'"


class Keyring:
    """The signing key of a project.

    Args:
        folder: where the two key files live; a serving process needs only the public one.
        evidence: a file that is there once the key has signed something. A lost key is not replaced then.
    """

    def __init__(self, folder: Path, *, evidence: Path | None = None) -> None:
        self.folder = folder
        self._evidence = evidence
        self._is_prepared = False

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
        """Make the key pair if there never was one; make a lost or altered public key again from the secret one.

        Raises:
            CorruptError: the secret key is lost or damaged; another one would make all that it signed worthless.
        """
        if self._is_prepared:
            return
        if not self._is_whole():
            with lock(self.folder / ".lock", purpose="making the signing key", wait_s=10):
                if not self._is_whole():
                    self._make()
        keep_private(self.folder)
        keep_private(self.folder / _KEY_FILE, 0o600)
        self._is_prepared = True

    @property
    def public_key(self) -> str:
        """The public key as hexadecimal digits: what tells this project from another of its name.

        Raises:
            CorruptError: it is missing or damaged.
        """
        return self._public.public_bytes_raw().hex()

    @cached_property
    def _secret(self) -> "Ed25519PrivateKey":
        self.prepare()
        return self._read_secret()

    @cached_property
    def _public(self) -> "Ed25519PublicKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        # The secret key's word counts where it can be read: the file of the public one may be lost, or another's.
        if os.access(self.folder / _KEY_FILE, os.R_OK):
            return self._read_secret().public_key()
        with self._opened(_PUBLIC_FILE) as content:
            return Ed25519PublicKey.from_public_bytes(content)

    def _read_secret(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        with self._opened(_KEY_FILE) as content:
            return Ed25519PrivateKey.from_private_bytes(content)

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

    def _is_whole(self) -> bool:
        """Whether both files are there, and belong together."""
        try:
            return (self.folder / _PUBLIC_FILE).read_bytes() == self._read_secret().public_key().public_bytes_raw()
        except (FileNotFoundError, CorruptError):
            return False

    def _make(self) -> None:
        """Write what is missing of the two files."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        is_known = (self.folder / _PUBLIC_FILE).exists() or (self._evidence is not None and self._evidence.exists())
        if is_known or (self.folder / _KEY_FILE).exists():
            secret = self._read_secret()
        else:
            secret = Ed25519PrivateKey.generate()
            write_atomic(self.folder / _KEY_FILE, secret.private_bytes_raw(), mode=0o600)
        write_atomic(self.folder / _PUBLIC_FILE, secret.public_key().public_bytes_raw(), mode=0o600)
