"""Nothing unsigned or altered is loaded."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from petla.core.errors import CorruptError, NotFoundError
from petla.core.project import AnswerTable
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.models.package import ONNX_FILE, Package, Parity, load_package, read_file, read_seal, store_package
from petla.models.signature import InputField, Signature
from petla.storage.signing import Keyring
from petla.storage.workspace import Workspace
from tests.contracts.damage import flip, lose
from tests.models.examples import open_workspace

PACKAGE = Package(
    model="delay",
    kind="onnx",
    signature=Signature(
        inputs=(InputField("hour", Kind.INTEGER, False),), target="late", task="binary", classes=(False, True)
    ),
    answer=AnswerTable(),
    profile=Profile(rows=1, columns=(ColumnProfile(name="hour", kind=Kind.INTEGER, rows=1, missing=0, distinct=1),)),
    score_profile=ColumnProfile(name="score", kind=Kind.NUMBER, rows=1, missing=0, distinct=1),
    parity=Parity(rows=1, tolerance=1e-4, largest_difference=0.0),
    golden=(),
    files={},
    requirements={"onnxruntime": "1.20"},
)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path)


@pytest.fixture
def digest(ws: Workspace) -> str:
    return store_package(ws, PACKAGE, {ONNX_FILE: b"a model"})


def reseal(ws: Workspace, digest: str, change: Callable[[dict[str, bytes]], None]) -> str:
    """Change what is inside a sealed package and store it under its proper name."""
    sealed = msgspec.msgpack.decode(ws.objects.get_bytes(digest))
    change(sealed)
    return ws.objects.put_bytes(msgspec.msgpack.encode(sealed))


def test_package_comes_back_as_it_was(ws: Workspace, digest: str) -> None:
    loaded = load_package(ws.objects, ws.keys, digest)

    assert loaded == msgspec.structs.replace(PACKAGE, files=loaded.files)
    assert loaded.signature.classes == (False, True)
    assert read_file(ws.objects, loaded, ONNX_FILE) == b"a model"


def test_same_package_has_same_digest(ws: Workspace, digest: str) -> None:
    assert store_package(ws, PACKAGE, {ONNX_FILE: b"a model"}) == digest


def test_seal_is_a_signature_for_people_to_read(ws: Workspace, digest: str) -> None:
    assert len(bytes.fromhex(read_seal(ws.objects, digest))) == 64


def test_altered_manifest_is_refused(ws: Workspace, digest: str) -> None:
    def alter(sealed: dict[str, bytes]) -> None:
        sealed["manifest"] = sealed["manifest"].replace(b'"threshold":0.5', b'"threshold":0.1')

    with pytest.raises(CorruptError, match="altered after it was signed"):
        load_package(ws.objects, ws.keys, reseal(ws, digest, alter))


def test_unsigned_package_is_refused(ws: Workspace, digest: str) -> None:
    def unsign(sealed: dict[str, bytes]) -> None:
        sealed["signature"] = b""

    with pytest.raises(CorruptError, match="not signed"):
        load_package(ws.objects, ws.keys, reseal(ws, digest, unsign))


def test_package_of_another_key_is_refused(ws: Workspace, digest: str, tmp_path: Path) -> None:
    other = Keyring(tmp_path / "other")
    other.prepare()

    with pytest.raises(CorruptError, match="not signed by this project's key"):
        load_package(ws.objects, other, digest)


def test_signature_of_something_else_does_not_pass(ws: Workspace, digest: str) -> None:
    def sign_plainly(sealed: dict[str, bytes]) -> None:
        sealed["signature"] = ws.keys.sign(sealed["manifest"])

    with pytest.raises(CorruptError, match="not signed"):
        load_package(ws.objects, ws.keys, reseal(ws, digest, sign_plainly))


def test_altered_file_is_refused(ws: Workspace, digest: str) -> None:
    flip(ws.objects, load_package(ws.objects, ws.keys, digest).files[ONNX_FILE])

    with pytest.raises(CorruptError, match="damaged"):
        load_package(ws.objects, ws.keys, digest)


def test_altered_package_object_is_refused(ws: Workspace, digest: str) -> None:
    flip(ws.objects, digest)

    with pytest.raises(CorruptError, match="damaged"):
        load_package(ws.objects, ws.keys, digest)


def test_object_that_is_no_package_is_refused(ws: Workspace) -> None:
    with pytest.raises(CorruptError, match="no signed package"):
        load_package(ws.objects, ws.keys, ws.objects.put_bytes(b"something else"))


def test_signed_manifest_of_another_form_is_refused(ws: Workspace, digest: str) -> None:
    def replace(sealed: dict[str, bytes]) -> None:
        sealed["manifest"] = b'{"model": "delay"}'
        sealed["signature"] = ws.keys.sign(b"petla package\n" + sealed["manifest"])

    with pytest.raises(CorruptError, match="of another form"):
        load_package(ws.objects, ws.keys, reseal(ws, digest, replace))


def test_missing_file_is_named(ws: Workspace, digest: str) -> None:
    lose(ws.objects, load_package(ws.objects, ws.keys, digest).files[ONNX_FILE])

    with pytest.raises(NotFoundError, match="is not in"):
        load_package(ws.objects, ws.keys, digest)
