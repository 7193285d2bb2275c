"""Windows: a fixed number of decisions, or of labelled decisions, of one model version."""

import msgspec


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions of one model version, counted along the profile's bins."""

    model: str
    version: int
    # from 1, without gaps
    number: int
    rows: int
    # feature -> counts, laid out as `ColumnProfile.counts`; the score is counted beside the features
    counts: dict[str, list[int]]
    is_closed: bool
    # moments of the first and of the last decision in it
    started_at: str
    ended_at: str


class QualityWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Labelled decisions of one model version, in the order in which the labels arrived."""

    model: str
    version: int
    # from 1, without gaps
    number: int
    rows: int
    # metric -> value; a metric that these rows do not have (AUC of one class) is left out. `base_rate`: share of the
    # positive class (binary), of the most frequent one (multiclass), mean of the truth (regression)
    metrics: dict[str, float]
    # metric of the task that is not in `metrics` -> why these labels do not give it
    absent: dict[str, str] = {}
    # labels among the rows that are no class of the model, or no number
    unusable: int = 0
    # newest feedback row that was counted
    last_feedback: int
    # moments of the first and of the last decision in it
    started_at: str
    ended_at: str
