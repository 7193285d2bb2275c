"""Secrets in text: keys and tokens of forms that nothing else has. What is found is never repeated."""

import re
from typing import NamedTuple

# says that somebody has looked at the line
ALLOWED = "petla: no-secret"

_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("private key", re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")),
    ("AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("AWS secret key", re.compile(r"(?i)aws_?secret[a-z_]{0,40}\W{1,6}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])")),
    ("GitHub token", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{50,}\b")),
    ("GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("Slack token", re.compile(r"\bxox[abeprs]-[A-Za-z0-9-]{20,}")),
    ("Google API key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])")),
    ("Azure storage key", re.compile(r"AccountKey=[A-Za-z0-9+/]{80,}={0,2}")),
    ("Stripe key", re.compile(r"\b[rs]k_live_[0-9A-Za-z]{20,}\b")),
    ("API key", re.compile(r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{40,}")),
)
_OF_ENVIRONMENT = re.compile(r"(?:^|/)\.env(?:\.[\w.-]+)?$")
# NOTE: every repetition before the value has a bound: a line may have megabytes, and a pattern without one is quadratic
_ASSIGNED = re.compile(r"\s{0,100}(?:export\s{1,20})?(\w{1,200})\s{0,20}=\s{0,20}['\"]?([^\s'\"#]{8,})")
_SECRET_NAME = re.compile(r"(?i)password|passwd|secret|token|api_?key")
_PLACEHOLDER = re.compile(r"(?i)example|change|your|placeholder|xxx|\$\{|<|\.\.\.")


class Secret(NamedTuple):
    """Where a secret stands."""

    line: int
    kind: str


def find_secrets(path: str, text: str) -> list[Secret]:
    """Return the secrets in a file, at most one for each line.

    Args:
        path: of it; a file of variables such as `.env` is read more strictly.
        text: its content.

    Example:
        >>> find_secrets("notes.md", "id AKIA" + "A" * 16)
        [Secret(line=1, kind='AWS access key')]
    """
    is_environment = _OF_ENVIRONMENT.search(path) is not None
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if ALLOWED in line:
            continue
        kind = next((kind for kind, pattern in _KINDS if pattern.search(line)), "")
        if not kind and is_environment and _assigns_secret(line):
            kind = "password or token"
        if kind:
            found.append(Secret(number, kind))
    return found


def _assigns_secret(line: str) -> bool:
    given = _ASSIGNED.match(line)
    return given is not None and _SECRET_NAME.search(given[1]) is not None and not _PLACEHOLDER.search(given[2])
