"""Signatures: what was altered or signed by another is not accepted."""

from pathlib import Path

import pytest

from petla.core.errors import CorruptError
from petla.storage.signing import Keyring
from tests.contracts.processes import GATE, run_together

PREPARE = f"""
from pathlib import Path
from petla.storage.signing import Keyring
{GATE}
keys = Keyring(Path(sys.argv[1]))
keys.verify(b"content", keys.sign(b"content"), what="it")
print((Path(sys.argv[1]) / "signing.pub").read_bytes().hex())
"""


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    keys = Keyring(tmp_path / "keys")
    keys.prepare()
    return keys


def test_own_signature_is_accepted_by_a_later_process_too(keys: Keyring) -> None:
    signature = keys.sign(b"content")

    keys.verify(b"content", signature, what="package")
    Keyring(keys.folder).verify(b"content", signature, what="package")
    assert len(signature) == 64


def test_altered_bytes_are_refused(keys: Keyring) -> None:
    signature = keys.sign(b"content")

    with pytest.raises(CorruptError, match="package delay:3 is not signed by this project's key, or was altered"):
        keys.verify(b"contend", signature, what="package delay:3")


@pytest.mark.parametrize("cut", [0, 63, 64])
def test_altered_signature_is_refused(keys: Keyring, cut: int) -> None:
    signature = keys.sign(b"content")[:cut]
    if cut == 64:
        signature = bytes([signature[0] ^ 1]) + signature[1:]

    with pytest.raises(CorruptError):
        keys.verify(b"content", signature, what="package")


def test_signature_of_another_key_is_refused(keys: Keyring, tmp_path: Path) -> None:
    signature = Keyring(tmp_path / "other").sign(b"content")

    with pytest.raises(CorruptError):
        keys.verify(b"content", signature, what="package")


def test_public_key_is_enough_to_verify(keys: Keyring) -> None:
    signature = keys.sign(b"content")
    (keys.folder / "signing.key").unlink()

    reader = Keyring(keys.folder)

    reader.verify(b"content", signature, what="package")
    with pytest.raises(CorruptError, match=r"signing\.key is missing or damaged"):
        reader.sign(b"content")


def test_verifying_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match=r"signing\.pub is missing or damaged"):
        Keyring(tmp_path / "none").verify(b"content", b"", what="package")

    assert not (tmp_path / "none").exists()


def test_damaged_key_is_named(keys: Keyring) -> None:
    (keys.folder / "signing.key").unlink()
    (keys.folder / "signing.pub").write_bytes(b"short")

    with pytest.raises(CorruptError, match=r"signing\.pub is missing or damaged"):
        Keyring(keys.folder).verify(b"content", b"", what="package")


def test_secret_key_is_for_its_owner_only_and_made_once(keys: Keyring) -> None:
    path = keys.folder / "signing.key"
    before = path.read_bytes()

    keys.prepare()

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [None, b"", b"short", b"\1" * 32])
def test_public_key_is_derived_and_the_secret_one_stays(keys: Keyring, content: bytes | None) -> None:
    secret, public = (keys.folder / "signing.key").read_bytes(), (keys.folder / "signing.pub").read_bytes()
    signature = keys.sign(b"content")
    (keys.folder / "signing.pub").unlink()
    if content is not None:
        (keys.folder / "signing.pub").write_bytes(content)

    again = Keyring(keys.folder)
    again.verify(b"content", signature, what="package")
    again.prepare()

    assert (keys.folder / "signing.key").read_bytes() == secret
    assert (keys.folder / "signing.pub").read_bytes() == public


@pytest.mark.parametrize("content", [None, b"", b"short"])
@pytest.mark.parametrize("has_public", [True, False])
def test_lost_or_damaged_secret_key_is_never_replaced(
    keys: Keyring, tmp_path: Path, content: bytes | None, has_public: bool
) -> None:
    evidence = tmp_path / "audit.head"
    evidence.touch()
    (keys.folder / "signing.key").unlink()
    if content is not None:
        (keys.folder / "signing.key").write_bytes(content)
    if not has_public:
        (keys.folder / "signing.pub").unlink()
    before = {path.name: path.read_bytes() for path in keys.folder.glob("signing*")}

    again = Keyring(keys.folder, evidence=evidence)
    for attempt in (again.prepare, lambda: again.sign(b"content")):
        with pytest.raises(CorruptError, match=r"signing\.key is missing or damaged"):
            attempt()

    assert {path.name: path.read_bytes() for path in keys.folder.glob("signing*")} == before


def test_keys_that_others_may_read_are_taken_back(keys: Keyring) -> None:
    keys.folder.chmod(0o777)
    (keys.folder / "signing.key").chmod(0o666)

    Keyring(keys.folder).prepare()

    assert keys.folder.stat().st_mode & 0o777 == 0o700
    assert (keys.folder / "signing.key").stat().st_mode & 0o777 == 0o600


def test_processes_that_begin_at_once_share_one_key(tmp_path: Path) -> None:
    shown = run_together(PREPARE, *[(tmp_path / "keys",)] * 4)

    assert len(set(shown)) == 1
