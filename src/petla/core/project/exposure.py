"""What a plane must have before it listens where others can reach it."""

import ipaddress

from petla.core.errors import InvalidError
from petla.core.project.tables import ControlTable, ServingTable


def require_protection(table: ServingTable | ControlTable) -> None:
    """See that a plane which others can reach asks who they are and is encrypted, or that its owner said otherwise.

    Raises:
        InvalidError: it would stand open; the message says what is missing.
    """
    if table.insecure or is_loopback(table.host):
        return
    is_serving = isinstance(table, ServingTable)
    name = "serving" if is_serving else "control"
    missing = [f"{name}.certificate"] if not table.certificate else []
    if isinstance(table, ServingTable) and table.access == "anyone":
        missing.insert(0, 'serving.access = "keys"')
    if missing:
        raise InvalidError(
            f"{name}.host is {table.host!r}, which others can reach, without {' and '.join(missing)}",
            hint=f"set it, or {name}.insecure = true, such as behind a proxy that asks and encrypts",
            field=f"{name}.host",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
