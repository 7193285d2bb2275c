"""The certificates of both planes: read once, checked, and taken up again when their files were renewed."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from petla.core.errors import InvalidError
from petla.core.project import ControlTable, ServingTable

if TYPE_CHECKING:
    import ssl

logger = logging.getLogger(__name__)


class Certificate:
    """A certificate with its private key, and the context that new connections are encrypted with.

    Args:
        certificate: PEM file with the certificate and what it is signed by.
        key: PEM file with the private key, without a password.
        section: table of the project file that names them.

    Raises:
        InvalidError: a file is missing or cannot be used.
    """

    def __init__(self, certificate: Path, key: Path, section: str) -> None:
        self._certificate = certificate
        self._key = key
        self._section = section
        self._stamps = self._read_stamps()
        self.context = self._load()

    def look(self) -> None:
        """Take up files that were renewed; ones that cannot be used, such as only half of a pair, change nothing."""
        stamps = self._read_stamps()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self._load()
            self.context.load_cert_chain(self._certificate, self._key, _no_password)
        except (InvalidError, OSError) as error:
            logger.warning("certificate.refused", extra={"reason": str(error)})
        else:
            logger.info("certificate.renewed", extra={"path": str(self._certificate)})

    def read_pair(self) -> tuple[bytes, bytes]:
        """Return private key and certificate as they were taken up last."""
        return self._pair

    def _load(self) -> "ssl.SSLContext":
        import ssl

        contents = []
        for field, path in (("certificate_key", self._key), ("certificate", self._certificate)):
            try:
                contents.append(path.read_bytes())
            except OSError as error:
                raise InvalidError(
                    f"{path} cannot be read: {error.strerror}",
                    hint=f"correct {self._section}.{field}",
                    field=f"{self._section}.{field}",
                ) from error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self._certificate, self._key, _no_password)
        except ssl.SSLError as error:
            raise InvalidError(
                f"{self._certificate} and {self._key} are no certificate with its private key: {error.reason or error}",
                hint="both must be PEM files, belong together, and have no password",
                field=f"{self._section}.certificate",
            ) from error
        self._pair = contents[0], contents[1]
        return context

    def _read_stamps(self) -> list[tuple[int, int]]:
        try:
            return [(status.st_mtime_ns, status.st_ino) for status in (self._certificate.stat(), self._key.stat())]
        except OSError:
            return []


def open_certificate(root: Path, table: ServingTable | ControlTable) -> Certificate | None:
    """Return the certificate that a table names, or None if it names none.

    Args:
        root: what its paths are relative to.
        table: of the project file.

    Raises:
        InvalidError: only one of the two files is named, or one of them cannot be used.
    """
    section = "serving" if isinstance(table, ServingTable) else "control"
    if not table.certificate and not table.certificate_key:
        return None
    for field in ("certificate", "certificate_key"):
        if not getattr(table, field):
            raise InvalidError(
                f"{section}.{field} is missing: a certificate needs its private key",
                hint="name both files, or neither",
                field=f"{section}.{field}",
            )
    return Certificate(root / table.certificate, root / table.certificate_key, section)


def _no_password() -> str:
    # else a person would be asked for it at the terminal
    return ""
