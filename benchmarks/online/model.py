"""The model of the comparison: scaler, one-hot encoding, 100 boosted trees; 20 numbers and 5 texts."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from petla.models.signature import Signature
    from petla.storage.workspace import Workspace

MODEL = "fraud"
N_NUMBERS, N_STRINGS = 20, 5


def make_row() -> dict[str, Any]:
    numbers = {f"number_{i}": round(0.1 * i - 0.7, 3) for i in range(N_NUMBERS)}
    return numbers | {f"text_{i}": "abc"[i % 3] for i in range(N_STRINGS)}


def make_version(ws: "Workspace", pickled: Path) -> int:
    """Train, convert and register the model; return its version. The others get the pipeline, pickled."""
    import joblib
    import numpy as np
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from petla.data.profile.columns import Kind
    from petla.models.conversion.convert import convert
    from petla.models.signature import InputField, Signature

    random = np.random.default_rng(7)
    numbers = {f"number_{i}": random.normal(size=4_000) for i in range(N_NUMBERS)}
    texts = {f"text_{i}": random.choice(list("abcdef"), size=4_000) for i in range(N_STRINGS)}
    frame = pd.DataFrame(numbers | texts)
    target = frame["number_0"] + (frame["text_0"] == "a") + random.normal(size=4_000) > 1
    columns = [
        ("scale", StandardScaler(), list(numbers)),
        ("encode", OneHotEncoder(handle_unknown="ignore"), list(texts)),
    ]
    pipeline = make_pipeline(ColumnTransformer(columns), GradientBoostingClassifier(n_estimators=100, random_state=7))
    pipeline.fit(frame, target)
    joblib.dump(pipeline, pickled)
    fields = [InputField(name, Kind.NUMBER, is_nullable=False) for name in numbers]
    fields += [InputField(name, Kind.CATEGORY, is_nullable=False) for name in texts]
    signature = Signature(inputs=tuple(fields), target="is_fraud", task="binary", classes=(False, True))
    conversion = convert(pipeline, signature)
    if not conversion.contents:
        raise SystemExit(f"the model did not convert: {conversion.reason}")
    return _register(ws, signature, conversion.contents[0])


def _register(ws: "Workspace", signature: "Signature", content: bytes) -> int:
    from petla.core.project import AnswerTable
    from petla.data.profile.columns import ColumnProfile, Kind, Profile
    from petla.models.package import ONNX_FILE, Package, Parity, store_package

    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from tests.deployments.tiny import register

    package = Package(
        model=MODEL,
        kind="onnx",
        signature=signature,
        answer=AnswerTable(),
        profile=Profile(rows=0, columns=()),
        score_profile=ColumnProfile(name="score", kind=Kind.NUMBER, rows=0, missing=0, distinct=0),
        parity=Parity(rows=0, tolerance=0.0, largest_difference=0.0),
        golden=(),
        files={},
        requirements={},
    )
    return register(ws, package, store_package(ws, package, {ONNX_FILE: content}))
