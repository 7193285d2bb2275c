"""A model version and its birth certificate."""

import msgspec

from petla.models.package import Parity
from petla.models.signature import Signature
from petla.models.states import State
from petla.pipeline.result import Parameter


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """The birth certificate: everything needed to answer for a version and to make it again."""

    who: str
    when: str
    # person, or retraining:7
    cause: str
    commit: str
    is_dirty: bool
    # dataset -> digest of the version it was made from
    data: dict[str, str]
    parameters: dict[str, Parameter]
    # distribution -> version, all that was installed
    environment: dict[str, str]
    python: str
    # measured by Pętla on the holdout, with the packaged model
    metrics: dict[str, float]
    # figures that the project's own steps returned
    reported: dict[str, float]
    training_rows: int
    holdout_rows: int
    kind: str
    parity: Parity
    signature: Signature
    # digest of the signed package, and its Ed25519 signature in hexadecimal digits
    package: str
    seal: str
    # why data was accepted that its checks had refused; empty: they passed
    accepted_data: str = ""


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model."""

    model: str
    version: int
    state: State
    run_id: int
    # digest of the signed package
    package: str
    certificate: Certificate
    # JSON of the gates' verdict, which `gates` decodes; None: not judged yet
    verdict: bytes | None
    created_at: str
