"""Whom each row of a JSON body is about: a field beside the inputs, or one of them."""

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from petla.core.errors import Fault
from petla.decisions.record import LONGEST_SUBJECT
from petla.models.signature import Row, Signature
from petla.serving.doors.schema import Schema, refuse

# whole numbers are names too, such as a customer's
_Subject = Annotated[str, Meta(max_length=LONGEST_SUBJECT)] | int | None
_WRONG = f"must be a text of at most {LONGEST_SUBJECT} characters without NUL, a whole number or null"


class SubjectSchema:
    """Decodes the rows of one model with their subjects.

    Args:
        signature: what the model takes.
        field: that says whom a row is about; without it, or with null, a row is about nobody.
    """

    def __init__(self, signature: Signature, field: str) -> None:
        names = [each.name for each in signature.inputs]
        self._field = field
        self._index = names.index(field) if field in names else -1
        self._schema = Schema(signature, beside="" if field in names else field)
        # the one field of a record; all others are passed over
        about = msgspec.defstruct("About", [("subject", _Subject, None)], rename={"subject": field}, gc=False)
        self._find_one = msgspec.json.Decoder(about).decode
        self._find_many = msgspec.json.Decoder(list[about]).decode  # type: ignore[valid-type]

    def decode(self, body: bytes) -> tuple[list[Row], bool, list[str]]:
        """Return the rows of a body, whether it is a list, and whom each row is about; empty: it does not say.

        Raises:
            MalformedError: it is no JSON.
            InvalidError: it is JSON, but not what the signature says; with every fault, up to a hundred.
        """
        rows, is_many = self._schema.decode(body)
        if self._index >= 0:
            return rows, is_many, self._name_all(row[self._index] for row in rows)
        try:
            found: list[Any] = self._find_many(body) if is_many else [self._find_one(body)]
        except msgspec.ValidationError as error:
            raise refuse([Fault(self._field, _WRONG)]) from error
        return rows, is_many, self._name_all(each.subject for each in found)

    def _name_all(self, values: Iterable[Any]) -> list[str]:
        """Write subjects as they are kept: an index takes no longer ones, and no text of PostgreSQL's a NUL."""
        names = ["" if value is None else str(value) for value in values]
        if any(len(name) > LONGEST_SUBJECT or "\0" in name for name in names):
            raise refuse([Fault(self._field, _WRONG)])
        return names
