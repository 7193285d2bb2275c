"""Playbooks: what an alarm means, what to look at first, and what Pętla does by itself."""

import msgspec

from petla.monitoring.finding import FindingKind


class Playbook(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about one kind of incident."""

    kind: FindingKind
    title: str
    # what the alarm says, and what it does not say
    meaning: str
    # what a person looks at first, in order
    steps: tuple[str, ...]
    # what happens without anybody doing anything
    automatic: str


_AUTOMATIC = (
    "If the project's retraining policy names this kind of alarm, Pętla exports the newest labelled decisions as a "
    "dataset version, retrains on it with the champion's own code, compares the challenger with the champion on the "
    "same rows, and asks for approval if it passed every gate. Until somebody says yes, the champion stays."
)

_PLAYBOOKS = (
    Playbook(
        kind="drift",
        title="The model sees other data than it was trained on",
        meaning=(
            "At least one feature, or the model's own score, is distributed otherwise than in training. It does not "
            "say that the answers are wrong; it says that nobody has checked them on such data."
        ),
        steps=(
            "See which features moved: one alone points to its source, many to a change of the world or the traffic.",
            "Ask the source of that feature: was a column re-coded, a unit changed, a feed or a client added?",
            "Look at its missing values: a feed that stopped looks like drift.",
            "Look at quality in the same windows. If it holds, the drift is harmless so far.",
            "Broken data: repair the source and resolve this; retraining would teach the fault.",
            "A changed world: let the retraining go on.",
        ),
        automatic=_AUTOMATIC,
    ),
    Playbook(
        kind="quality",
        title="The model is wrong more often than it may be",
        meaning=(
            "On the newest labelled decisions the metric is worse than the project file allows. Labels arrive late, so "
            "this is about decisions of some time ago."
        ),
        steps=(
            "Compare the base rate with training: where the outcome itself became more frequent, accuracy moves too.",
            "See whether an incident of drift is open for the same model; its features are the first suspects.",
            "Make sure that the labels are right: a join that lost rows or a changed definition looks the same.",
            "If the last deployment came shortly before, roll back: petla rollback MODEL.",
            "A changed world: let the retraining go on.",
        ),
        automatic=_AUTOMATIC,
    ),
    Playbook(
        kind="labels",
        title="Most labels are no answer that the model can give",
        meaning=(
            "More than half of a window of labels are no class of the model or, for a regression, no number. Such "
            "labels are kept and used for nothing, so quality is not watched and retraining gets no rows."
        ),
        steps=(
            "See what was reported: petla monitor show MODEL names an example, petla decisions show ID one label.",
            "Ask who reports them whether a class was renamed, or whether another field is sent as the truth.",
            "Send them again as the model answers, in the field that carries its label: POST /feedback.",
            "A new class of the world: train a model that knows it.",
        ),
        automatic="Nothing: Pętla cannot know what the labels mean. No retraining starts on them.",
    ),
)


def playbook_of(kind: FindingKind) -> Playbook:
    """Return the playbook of a kind of incident."""
    return next(playbook for playbook in _PLAYBOOKS if playbook.kind == kind)
