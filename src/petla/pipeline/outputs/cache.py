"""The cache of step outputs: a record per key, the bytes in the object store.

- A record is written once the bytes are safe, and replaced as a whole: a crash leaves a record or none.
- Bytes are verified by their hash. A pickle is loaded only if the record carries this project's signature over the
  key and the hash.
- What is damaged is never loaded and never overwritten: it is set aside, named, and made again.
"""

import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import msgspec

from petla.core.digests import canonical_json
from petla.core.errors import CorruptError, PetlaError
from petla.pipeline.outputs.formats import Encoded, Format, decode
from petla.storage.files import make_folder, reported, reserve
from petla.storage.workspace import Workspace

# what unpickling raises when the code behind a value is gone or has changed
_UNREADABLE = (
    *(AttributeError, EOFError, ImportError, KeyError, OSError),
    *(RuntimeError, TypeError, ValueError, UnpicklingError),
)


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a finished step."""

    key: str
    step: str
    format: Format
    # digest of the output's bytes
    output: str
    # the finite numbers of an output that is a dict
    figures: dict[str, float]
    seconds: float
    # of a pickle, in hexadecimal digits
    signature: str = ""


def find_record(state: Path, key: str) -> StepRecord | None:
    """Return what is remembered under a key, or None; a damaged record counts as none."""
    try:
        record = msgspec.json.decode(_path(state, key).read_bytes(), type=StepRecord)
    except (OSError, msgspec.DecodeError):
        return None
    return record if record.key == key else None


def list_records(state: Path) -> list[StepRecord]:
    """Return all that is remembered; damaged records are left out."""
    keys = sorted(path.stem for path in _path(state, "").parent.glob("*.json"))
    return [record for key in keys if (record := find_record(state, key)) is not None]


def keep_output(ws: Workspace, key: str, step: str, encoded: Encoded, seconds: float) -> StepRecord:
    """Keep what a step returned.

    Raises:
        UnavailableError: the disk is full or may not be written.
    """
    record = StepRecord(
        key=key,
        step=step,
        format=encoded.format,
        output=ws.objects.put_bytes(encoded.content),
        figures=encoded.figures,
        seconds=seconds,
    )
    if record.format is Format.PICKLE:
        record = msgspec.structs.replace(record, signature=ws.keys.sign(_signed_part(record)).hex())
    _replace(_path(ws.state, key), msgspec.json.encode(record))
    return record


def load_output(ws: Workspace, record: StepRecord) -> Any:  # noqa: ANN401 - whatever the step returned
    """Return what a step returned.

    Raises:
        NotFoundError: its bytes are gone.
        CorruptError: its bytes are damaged, or a pickle is not signed by this project's key.
    """
    _check_signature(ws, record)
    content = ws.objects.get_bytes(record.output)
    try:
        return decode(Encoded(record.format, content))
    except _UNREADABLE as error:
        raise CorruptError(
            f"the cached output of step {record.step} cannot be read any more: {type(error).__name__}: {error}",
            hint="make it again with 'petla run'",
        ) from error


def verify_output(ws: Workspace, record: StepRecord) -> None:
    """Make sure that an output can be loaded, without loading it.

    Raises:
        NotFoundError: its bytes are gone.
        CorruptError: its bytes are damaged, or a pickle is not signed by this project's key.
    """
    _check_signature(ws, record)
    ws.objects.verify(record.output)


def discard(ws: Workspace, record: StepRecord, error: PetlaError) -> str:
    """Put a damaged output out of the way, so that it can be made again; return a sentence that says so."""
    aside, path = "", _path(ws.state, record.key)
    if path.is_file():
        path.replace(path.with_suffix(".refused"))
    if isinstance(error, CorruptError) and record.output in ws.objects:
        try:
            ws.objects.verify(record.output)
        except CorruptError:
            aside = f"; the damaged entry lies in {ws.objects.set_aside(record.output)}"
    return f"step {record.step} has to be made again: {error.message}{aside}"


def _check_signature(ws: Workspace, record: StepRecord) -> None:
    if record.format is not Format.PICKLE:
        return
    try:
        signature = bytes.fromhex(record.signature)
    except ValueError:
        signature = b""
    ws.keys.verify(_signed_part(record), signature, what=f"the cached output of step {record.step}")


def _signed_part(record: StepRecord) -> bytes:
    return canonical_json({"key": record.key, "format": record.format, "output": record.output})


def _replace(path: Path, content: bytes) -> None:
    """Write a record as a whole, without waiting for the disk: one that a power cut takes is made again."""
    with reported(path):
        make_folder(path.parent)
        temporary = path.with_suffix(f".tmp-{os.getpid()}")
        reserve(temporary)
        temporary.write_bytes(content)
        temporary.replace(path)


def _path(state: Path, key: str) -> Path:
    return state / "cache" / "steps" / f"{key}.json"
