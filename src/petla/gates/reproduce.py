"""Rebuilding a version from its certificate: its commit's code, its data, its parameters, and nothing from a cache."""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from petla.core.errors import ConflictError, NotFoundError
from petla.core.project import PROJECT_FILE, STATE_FOLDER, decode_project
from petla.gates.training import package_run
from petla.models.environment import list_environment
from petla.models.package import name_package
from petla.models.registry import get_version
from petla.models.version import Certificate
from petla.pipeline.plan import RunRequest
from petla.pipeline.result import Progress
from petla.pipeline.runs import run_pipeline
from petla.pipeline.steps.arguments import write_value
from petla.storage.workspace import Workspace

# rounding of sums whose order the number of threads decides
_TOLERANCE = 1e-9


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """A version beside the one that was built anew."""

    metrics_then: dict[str, float]
    metrics_now: dict[str, float]
    # the same metrics
    is_same: bool
    # the same package, byte for byte
    is_identical: bool
    # distribution -> version then and version now, where they differ; empty: not installed
    changed_environment: dict[str, tuple[str, str]]


def reproduce(ws: Workspace, model: str, version: int, progress: Progress) -> Reproduction:
    """Build a version anew in a folder of its own and compare the metrics; the project is left as it is.

    Raises:
        NotFoundError: there is no such version, or its commit or data are gone.
        ConflictError: it was made from code that was in no commit.
        UserCodeError: a step fails, such as for want of a library that was installed then.
    """
    certificate = get_version(ws, model, version).certificate
    _require_commit(f"{model}:{version}", certificate)
    with tempfile.TemporaryDirectory(prefix="petla-reproduce-") as folder:
        copy = _open_copy(ws, certificate, Path(folder).resolve() / "project")
        request = RunRequest(
            parameters={name: write_value(value) for name, value in certificate.parameters.items()},
            cause=f"reproducing {model}:{version}",
            commit=certificate.commit,
            original=ws.root,
            accept_data="they were accepted when the version was made",
        )
        try:
            _add_data(copy, ws, certificate)
            packaged = package_run(copy, run_pipeline(copy, model, request, progress))
            # None: as 0.1.0 made them, without a number
            digests = [name_package(copy, packaged.digest, number)[0] for number in (version, None)]
        finally:
            copy.close()
    return Reproduction(
        metrics_then=certificate.metrics,
        metrics_now=packaged.metrics,
        is_same=_are_same(certificate.metrics, packaged.metrics),
        is_identical=certificate.package in digests,
        changed_environment=_compare(certificate.environment, list_environment()),
    )


def _require_commit(subject: str, certificate: Certificate) -> None:
    if certificate.commit and not certificate.is_dirty:
        return
    made_from = f"commit {certificate.commit} with changes on top" if certificate.commit else "code outside of Git"
    raise ConflictError(
        f"{subject} was made from {made_from}, so its code is not to be had",
        hint="commit before 'petla run'; what is committed can be made again",
    )


def _open_copy(ws: Workspace, certificate: Certificate, folder: Path) -> Workspace:
    """Export the commit's tree and open it as a project with a state of its own."""
    from petla.data.git import export_tree

    export_tree(ws.root, certificate.commit, folder)
    try:
        text = (folder / PROJECT_FILE).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"commit {certificate.commit} has no {PROJECT_FILE}") from error
    # the objects are shared, under the same names and with the same key, instead of copied
    state = folder / STATE_FOLDER
    state.mkdir(exist_ok=True)
    (state / "objects").symlink_to(ws.objects.folder.resolve(), target_is_directory=True)
    # NOTE: not left to the project file, which may name the database that everybody shares
    settings = msgspec.structs.replace(ws.settings, database=f"sqlite:///{state / 'petla.db'}", actor=ws.actor)
    copy = Workspace(folder, decode_project(text), settings, clock=ws.clock)
    copy.keys = ws.keys
    return copy


def _add_data(copy: Workspace, ws: Workspace, certificate: Certificate) -> None:
    """Put the datasets that the version was made from into the copy."""
    from petla.data.versions import add, materialize

    for dataset, digest in certificate.data.items():
        _, table = copy.get_dataset(dataset)
        add(copy, materialize(ws, digest, copy.root / table.path), name=dataset)


def _are_same(then: Mapping[str, float], now: Mapping[str, float]) -> bool:
    return then.keys() == now.keys() and all(
        math.isclose(value, now[name], rel_tol=_TOLERANCE, abs_tol=_TOLERANCE) for name, value in then.items()
    )


def _compare(then: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {
        name: (then.get(name, ""), now.get(name, ""))
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    }
