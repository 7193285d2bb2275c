"""The reference: how the features and the score of a model version were distributed when it was made."""

import logging
from collections.abc import Callable
from functools import cached_property

import msgspec

from petla.core.errors import CorruptError, NotFoundError
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.models.package import load_version
from petla.models.registry import get_version
from petla.models.signature import Signature
from petla.storage.workspace import Workspace

logger = logging.getLogger(__name__)

SCORE = "score"
_UNKNOWN_OF = "unknown values of "


class Reference(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What the decisions of one model version are held against."""

    signature: Signature
    # of the training rows
    profile: Profile
    # of the holdout's scores
    score: ColumnProfile

    @cached_property
    def columns(self) -> tuple[ColumnProfile | None, ...]:
        """The profile of each input, in the order of the signature; None: it has none and is not counted."""
        return tuple(self.profile.find(field.name) for field in self.signature.inputs)

    @cached_property
    def score_name(self) -> str:
        """The name that the score is counted under: `score`, unless a feature has that name."""
        return SCORE if SCORE not in {field.name for field in self.signature.inputs} else f"{SCORE} of the model"

    @cached_property
    def by_name(self) -> dict[str, ColumnProfile]:
        """Every counted column, the score included, by the name it is counted under."""
        return {column.name: column for column in self.columns if column is not None} | {self.score_name: self.score}


def unknown_name(feature: str) -> str:
    """Return the name that values of a feature which training never had are counted under."""
    return f"{_UNKNOWN_OF}{feature}"


def feature_of(name: str) -> str | None:
    """Return the feature whose unknown values are counted under a name; None: it counts something else."""
    return name.removeprefix(_UNKNOWN_OF) if name.startswith(_UNKNOWN_OF) else None


def is_listed(column: ColumnProfile) -> bool:
    """Whether a profile names every value that a column of categories had."""
    known = len(column.categories) + len(column.rare)
    return column.kind is Kind.CATEGORY and 0 < known == column.distinct


def explain_unwatched(column: ColumnProfile) -> str:
    """Return why only missing values of a column are watched; empty: all of it is."""
    match column.kind:
        case Kind.TIMESTAMP:
            return "points in time are not compared"
        case Kind.IMAGE | Kind.TENSOR:
            return f"values of the kind {column.kind} are not compared"
        case Kind.TEXT:
            is_unique = column.distinct >= column.rows - column.missing
            return "every value is unique" if is_unique else f"{column.distinct:,} different values are too many"
        case _:
            return ""


# finds the reference of a model version
ReferenceSource = Callable[[str, int], Reference]


def open_references(ws: Workspace) -> ReferenceSource:
    """Return a source that reads each reference from its signed package once.

    A version's package never changes, so what was read stays right.
    """
    known: dict[tuple[str, int], Reference] = {}

    def find(model: str, version: int) -> Reference:
        if (model, version) not in known:
            package = load_version(ws.objects, ws.keys, get_version(ws, model, version).package, model, version)
            known[model, version] = Reference(
                signature=package.signature, profile=package.profile, score=package.score_profile
            )
        return known[model, version]

    return find


def find_readable(references: ReferenceSource, model: str, version: int) -> Reference | None:
    """Return a version's reference; None, and a line in the log, if its package is gone or damaged.

    One broken package must not keep the decisions and the verdicts of all other versions waiting.
    """
    try:
        return references(model, version)
    except (NotFoundError, CorruptError) as error:
        details = {"model": model, "version": version, "error": str(error)}
        logger.error("window.skipped", extra=details)  # noqa: TRY400 - the message says it all
        return None
