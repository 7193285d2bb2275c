"""Control characters of names and values that come from elsewhere, at the border where people read them."""

import re

# Everything that moves the cursor, changes colours or the direction of writing, and halves of characters, which names
# of files may hold; not line ends and tabs.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escape_controls(text: str) -> str:
    r"""Write control characters as what they are, so that a name or a value cannot steer a terminal.

    The form is that of JSON, so that a JSON document stays the same one.

    Example:
        >>> escape_controls("caf\u00e9\x1b[2J")
        'caf\u00e9\\u001b[2J'
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
