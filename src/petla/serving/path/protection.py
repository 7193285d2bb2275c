"""Makes the lanes of a route, each with those that stand in for it.

- For the champion: the version that stands by, then the default.
- For an arm: the champion, then the same.
- For a request that names one of the others: nothing, as it wants that one.
- A version stands in only for one that takes the same inputs and answers in the same way.
"""

from collections.abc import Mapping

from petla.core.ids import IdBatches
from petla.core.project import Policy
from petla.decisions.record import CHAMPION, DEFAULT, NAMED, STANDBY
from petla.deployments.policy import find_answer, may_stand_in
from petla.deployments.snapshot import Route, Variant, variants_of
from petla.serving.metrics import ModelMetrics
from petla.serving.path.failures.failover import Answering, Default, score_of_default
from petla.serving.path.lane import Lane, Loaded
from petla.serving.path.scribe import Scribe
from petla.serving.recorder import Recorder


class LaneMaker:
    """Makes the lanes of one route.

    Args:
        route: what answers, and the policy.
        versions: digest of the package -> what was loaded.
        recorder: for the lanes.
        metrics: of the model.
        make_ids: makes the ids of the decisions.
        longest_wait_s: as `Lane` has it.
    """

    def __init__(
        self,
        route: Route,
        versions: Mapping[str, Loaded],
        recorder: Recorder,
        metrics: ModelMetrics,
        make_ids: IdBatches,
        longest_wait_s: float = 1.0,
    ) -> None:
        self._route = route
        self._versions = versions
        self._recorder = recorder
        self._metrics = metrics
        self._make_ids = make_ids
        self._longest_wait_s = longest_wait_s

    def make_champion(self) -> Lane:
        """Return the champion's lane."""
        return self.make_arm(self._route.live, CHAMPION)

    def make_arm(self, variant: Variant, arm: str) -> Lane:
        """Return the lane of an arm."""
        before = [(STANDBY, self._route.standby)]
        if arm != CHAMPION:
            before.insert(0, (CHAMPION, self._route.live))
        stand_ins: list[Answering] = [
            self._make_stand_in(each, arm, name)
            for name, each in before
            if each is not None and self._may_stand_in(each, variant)
        ]
        stand_ins += self._make_default(variant, arm)
        lane = self._make(variant, arm)
        lane.protect(self._route.policy, stand_ins, arm)
        return lane

    def make_named(self) -> list[Lane]:
        """Return the lanes for requests that name a version beside the champion, one for each that is loaded."""
        variants = {each.version: each for each in variants_of(self._route) if each.package in self._versions}
        others = [each for version, each in variants.items() if version != self._route.live.version]
        return [self._make_stand_in(each, NAMED, NAMED) for each in others]

    def _make_stand_in(self, variant: Variant, arm: str, name: str) -> Lane:
        lane = self._make(variant, arm)
        lane.protect(self._route.policy, (), name)
        return lane

    def _make_default(self, variant: Variant, arm: str) -> list[Answering]:
        fallback = self._route.policy.fallback
        package = self._versions[variant.package].package
        answer = find_answer(package.signature, fallback.answer)
        if answer is None:
            return []
        written = (package, variant.version, self._route.answer, self._recorder.worker, self._make_ids, self._metrics)
        scribe = Scribe(*written).name(arm, DEFAULT)
        return [Default(answer, score_of_default(fallback, answer, package.signature), scribe, self._recorder)]

    def _may_stand_in(self, variant: Variant, asked: Variant) -> bool:
        policy: Policy = self._route.policy
        loaded = self._versions.get(variant.package)
        return (
            policy.fallback.standby
            and loaded is not None
            and variant.package != asked.package
            and may_stand_in(loaded.package.signature, self._versions[asked.package].package.signature)
        )

    def _make(self, variant: Variant, arm: str) -> Lane:
        loaded = self._versions[variant.package]._replace(version=variant.version)
        lane = Lane(loaded, self._route.answer, self._recorder, self._metrics, self._make_ids, arm=arm)
        lane.longest_wait_s = self._longest_wait_s
        return lane
