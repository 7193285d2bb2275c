"""A model's page: how it does, its versions, and the birth certificate of one of them."""

from petla.core.project import ModelTable
from petla.gates.verdict import find_verdict
from petla.models.package import Parity
from petla.models.registry import Certificate, ModelVersion, get_version, list_versions
from petla.models.states import State
from petla.storage.workspace import Workspace
from petla.web import figures
from petla.web.blocks import explain_cause, make_moment, make_verdict, metric_name, state_badge, verdict_badge
from petla.web.contexts import CertificateBlock, ModelPage, VersionLine
from petla.web.pages.overview import make_card
from petla.web.pieces import Row


def make_model(ws: Workspace, model: str, version: int | None = None) -> ModelPage:
    """Return a model with the certificate of a version; None: the live one, else the newest.

    Raises:
        NotFoundError: the project file has no such model, or the model no such version.
    """
    name, table = ws.get_model(model)
    versions = list_versions(ws, name)
    shown = get_version(ws, name, version) if version is not None else _choose(versions)
    verdict = find_verdict(shown) if shown is not None else None
    return ModelPage(
        card=make_card(ws, name, table, bars=None),
        metric=metric_name(table.gate_metric),
        versions=tuple(_make_line(ws, found, table, shown) for found in versions),
        certificate=_make_certificate(ws, shown) if shown is not None else None,
        verdict=make_verdict(verdict, ws.clock()),
    )


def _choose(versions: list[ModelVersion]) -> ModelVersion | None:
    live = (version for version in versions if version.state is State.PRODUCTION)
    return next(live, versions[0] if versions else None)


def _make_line(ws: Workspace, version: ModelVersion, table: ModelTable, shown: ModelVersion | None) -> VersionLine:
    value = version.certificate.metrics.get(table.gate_metric)
    return VersionLine(
        name=f"{version.model}:{version.version}",
        href=f"/models/{version.model}/versions/{version.version}#certificate",
        badge=state_badge(version.state),
        metric="not measured" if value is None else figures.metric(value),
        cause=explain_cause(version.certificate.cause),
        made_at=make_moment(version.created_at, ws.clock()),
        verdict=verdict_badge(find_verdict(version)),
        is_shown=shown is not None and shown.version == version.version,
    )


def _make_certificate(ws: Workspace, version: ModelVersion) -> CertificateBlock:
    certificate = version.certificate
    return CertificateBlock(
        name=f"{version.model}:{version.version}",
        badge=state_badge(version.state),
        made=_list_making(ws, version),
        sources=_list_sources(certificate),
        metrics=tuple(
            Row(metric_name(name), figures.metric(value), f"on {figures.count(certificate.holdout_rows)} held-out rows")
            for name, value in certificate.metrics.items()
        ),
        package=_list_package(certificate),
        inputs=tuple(
            Row(field.name, str(field.kind), "may be missing" if field.is_nullable else "")
            for field in certificate.signature.inputs
        ),
        environment=tuple(Row(name, installed) for name, installed in sorted(certificate.environment.items())),
    )


def _list_making(ws: Workspace, version: ModelVersion) -> tuple[Row, ...]:
    certificate = version.certificate
    when = make_moment(certificate.when, ws.clock())
    rows = [
        Row("Made by", certificate.who),
        Row("When", when.text, when.ago),
        Row("Started by", explain_cause(certificate.cause)),
        Row("Run", figures.count(version.run_id), f"petla runs show {version.run_id}"),
    ]
    if certificate.accepted_data:
        rows.append(Row("Data accepted", certificate.accepted_data, "its checks had refused it"))
    return tuple(rows)


def _list_sources(certificate: Certificate) -> tuple[Row, ...]:
    dirty = "with changes that are not in Git" if certificate.is_dirty else "nothing uncommitted"
    commit = figures.digest(certificate.commit)
    code = Row("Commit", commit, dirty, is_code=True) if commit else Row("Commit", "none", "not in Git")
    data = [Row(f"Data {name}", figures.digest(digest), is_code=True) for name, digest in certificate.data.items()]
    rows = Row(
        "Rows",
        f"{figures.count(certificate.training_rows)} to train, {figures.count(certificate.holdout_rows)} held out",
    )
    parameters = [Row(name, str(value), "parameter", is_code=True) for name, value in certificate.parameters.items()]
    return (code, *data, rows, *parameters)


def _list_package(certificate: Certificate) -> tuple[Row, ...]:
    return (
        Row("Kind", certificate.kind.upper() if certificate.kind == "onnx" else certificate.kind),
        Row("Parity", *_describe_parity(certificate.parity)),
        Row("Digest", figures.digest(certificate.package), "BLAKE3", is_code=True),
        Row("Signature", figures.digest(certificate.seal), "Ed25519, by this project's key", is_code=True),
        Row("Python", certificate.python),
    )


def _describe_parity(parity: Parity) -> tuple[str, str]:
    if parity.largest_difference is None:
        return "not converted", parity.reason
    note = f"tolerance {parity.tolerance:.0e}, {figures.count(parity.rows)} rows; {parity.reason}".rstrip("; ")
    return f"largest difference {parity.largest_difference:.1e}", note
