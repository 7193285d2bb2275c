"""A policy beside the one that was published."""

from petla.core.project import Policy
from petla.core.project.guarding import ConfidenceTable, GuardTable, RangeTable, RuleTable
from petla.deployments.policy import Setting, list_settings


def test_settings_are_what_differs_from_the_default_or_from_what_was_published() -> None:
    rule = RuleTable(name="large", when="amount > 3")
    published = Policy(guards=GuardTable(range=RangeTable(action="flag"), confidence=ConfidenceTable(band=0.2)))
    written = Policy(guards=GuardTable(range=RangeTable(action="flag"), rules=(rule,)))

    found = list_settings(published, written)

    assert [(each.key, each.published, each.is_same) for each in found] == [
        ("guards.range.action", '"flag"', True),
        ("guards.confidence.band", "0.2", False),
        ("guards.rules", "[]", False),
    ]
    assert found[1] == Setting("guards.confidence.band", "0.2", "0.05")
    assert list_settings(Policy(), Policy()) == []
