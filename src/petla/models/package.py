"""A package: the signed manifest of one model, and its files in the object store.

- A manifest is used only after its signature by the project's key was verified.
- A version's package is used only under the name and number in its manifest. One of 0.1.0 says no number: it counts if
  the signed entry that registered the version names it, which is looked at before anything is deployed.
- A file is used only after its bytes were compared with the digest that the signed manifest names.
"""

from typing import TYPE_CHECKING, Literal

import msgspec

from petla.core.errors import CorruptError, NotFoundError
from petla.core.project import AnswerTable
from petla.data.profile.columns import ColumnProfile, Profile
from petla.models.signature import Row, Signature
from petla.storage.objects import ObjectStore
from petla.storage.signing import Keyring

if TYPE_CHECKING:
    from petla.storage.workspace import Workspace

ONNX_FILE = "model.onnx"
PYTHON_FILE = "model.pickle"

# so that a signature of something else, such as an audit entry, never passes for one of a package
_PURPOSE = b"petla package\n"


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How the packaged model compares with the original, on rows that training never saw."""

    rows: int
    tolerance: float
    # largest absolute difference of a score; None: it did not convert, so there was nothing to compare
    largest_difference: float | None
    # why it is packaged as Python; empty: it converted and met the tolerance
    reason: str = ""
    # what would make it ONNX
    advice: str = ""
    # where the estimator's own `predict` says otherwise than its probabilities do; empty: nowhere
    remark: str = ""


class GoldenRow(msgspec.Struct, frozen=True):
    """A row and the scores it must get wherever the package runs."""

    row: Row
    scores: tuple[float, ...]


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest: everything that serving needs to know of a model version."""

    model: str
    # 0: not registered yet; None: made by 0.1.0, which did not say
    version: int | None = None
    kind: Literal["onnx", "python"]
    signature: Signature
    answer: AnswerTable
    # of the training rows, inputs only: the reference for drift
    profile: Profile
    # of the score on the holdout, named `score`
    score_profile: ColumnProfile
    parity: Parity
    golden: tuple[GoldenRow, ...]
    # name -> digest in the object store
    files: dict[str, str]
    # distribution -> version that the files were made with
    requirements: dict[str, str]


class _Sealed(msgspec.Struct, frozen=True):
    manifest: bytes
    signature: bytes


def store_package(ws: "Workspace", package: Package, files: dict[str, bytes]) -> str:
    """Store files and the signed manifest that names them; return the digest of the latter.

    Args:
        ws: whose key signs.
        package: the manifest; its `files` are filled in here.
        files: name -> content.

    Raises:
        UnavailableError: the disk is full or may not be written.
    """
    digests = {name: ws.objects.put_bytes(content) for name, content in files.items()}
    return _seal(ws, msgspec.structs.replace(package, files=digests))


def load_package(objects: ObjectStore, keys: Keyring, digest: str) -> Package:
    """Read a package whose signature and files are as they were made.

    Raises:
        NotFoundError: the package or one of its files is not in the store.
        CorruptError: it is not signed by this project's key, or it or one of its files was altered.
    """
    sealed = _open(objects, digest)
    keys.verify(_PURPOSE + sealed.manifest, sealed.signature, what=f"package {digest}")
    try:
        package = msgspec.json.decode(sealed.manifest, type=Package)
    except msgspec.DecodeError as error:
        raise CorruptError(
            f"package {digest} is signed, but of another form: {error}", hint="make it again with 'petla run'"
        ) from error
    for file_digest in package.files.values():
        objects.verify(file_digest)
    return package


def load_version(objects: ObjectStore, keys: Keyring, digest: str, model: str, version: int) -> Package:
    """Read the package of a version, as `load_package` does; it must say that it is this one.

    Raises:
        NotFoundError: the package or one of its files is not in the store.
        CorruptError: it is of another model or version, was altered, or is not signed by this project's key.
    """
    package = load_package(objects, keys, digest)
    if package.model != model or package.version not in (version, None):
        raise CorruptError(
            f"package {digest} is of {package.model}:{package.version or 'no version'}, not of {model}:{version};"
            " it was not used",
            hint="see 'petla audit verify'",
        )
    return package


def name_package(ws: "Workspace", digest: str, version: int | None) -> tuple[str, str]:
    """Store a package again with its version's number in the manifest; return its digest and its signature.

    Raises:
        NotFoundError: it is not in the store.
        CorruptError: it is not signed by this project's key, or was altered.
    """
    named = msgspec.structs.replace(load_package(ws.objects, ws.keys, digest), version=version)
    digest = _seal(ws, named)
    return digest, read_seal(ws.objects, digest)


def read_file(objects: ObjectStore, package: Package, name: str) -> bytes:
    """Return a file of a package.

    Raises:
        NotFoundError: it is not in the store.
        CorruptError: it was altered.
    """
    return objects.get_bytes(package.files[name])


def list_objects(objects: ObjectStore, digest: str) -> list[str]:
    """Return the objects that a package consists of, as far as it can be read."""
    try:
        package = msgspec.json.decode(_open(objects, digest).manifest, type=Package)
    except (NotFoundError, CorruptError, msgspec.DecodeError):
        return [digest]
    return [digest, *package.files.values()]


def read_seal(objects: ObjectStore, digest: str) -> str:
    """Return a package's signature as hexadecimal digits, for people to read."""
    return _open(objects, digest).signature.hex()


def _seal(ws: "Workspace", package: Package) -> str:
    manifest = msgspec.json.encode(package)
    sealed = _Sealed(manifest, ws.keys.sign(_PURPOSE + manifest))
    return ws.objects.put_bytes(msgspec.msgpack.encode(sealed))


def _open(objects: ObjectStore, digest: str) -> _Sealed:
    try:
        return msgspec.msgpack.decode(objects.get_bytes(digest), type=_Sealed)
    except msgspec.DecodeError as error:
        raise CorruptError(
            f"object {digest} is no signed package; it was not loaded", hint="make it again with 'petla run'"
        ) from error
