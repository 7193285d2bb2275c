"""The rules of the house hold in every file of the package, and each rule can fail."""

import pytest

from tests.architecture import code_rules, log_rules, name_rules, size_rules
from tests.architecture.source import PACKAGE, Rule, list_sources, parse

# rule, the place and text of a file that breaks it, and of a near one that does not
CASES: list[tuple[Rule, tuple[str, str], tuple[str, str]]] = [
    (size_rules.file_length, ("a.py", "x = 1\n" * 401), ("a.py", "x = 1\n" * 400)),
    (
        size_rules.function_length,
        ("a.py", "def f():\n" + "    x = 1\n" * 40),
        ("a.py", 'def f():\n    """One.\n\n    Two.\n    """\n' + "    x = 1\n" * 39),
    ),
    (
        size_rules.parameter_count,
        ("a.py", "def f(a, b, c, *, d, e, g, h): ..."),
        ("a.py", "class A:\n    def f(self, a, b, c, *, d, e, g): ..."),
    ),
    (name_rules.banned_words, ("a.py", "class RunManager: ..."), ("a.py", "class Baseline: ...")),
    (name_rules.banned_words, ("data/utils.py", ""), ("data/csv.py", "def renew_key(): ...")),
    (name_rules.banned_words, ("a.py", "def new_id(): ..."), ("a.py", "def make_id(): ...")),
    (name_rules.standard_module_hidden, ("a/signal.py", ""), ("a/signature.py", "")),
    (
        name_rules.private_name_imported,
        ("a.py", "from petla.core.ids import _draw"),
        ("a.py", "from __future__ import annotations"),
    ),
    (name_rules.private_name_imported, ("a.py", "import a._b"), ("a.py", "import a.b")),
    (
        name_rules.error_name,
        ("a.py", "class Lost(PetlaError): ..."),
        ("a.py", "class LostError(PetlaError): ..."),
    ),
    (code_rules.docstrings, ("a.py", "x = 1"), ("a.py", '"""Doc."""')),
    (
        code_rules.docstrings,
        ("a.py", '"""Doc."""\ndef f(): ...'),
        ("a.py", '"""Doc."""\ndef _f(): ...'),
    ),
    (
        code_rules.broad_except,
        ("a.py", "try: f()\nexcept (KeyError, Exception): pass"),
        ("a.py", "try: f()\nexcept BaseException:\n    g()\n    raise"),
    ),
    (
        code_rules.statements_of_sql,
        ("data/a.py", "from sqlalchemy import Connection, select"),
        ("data/a.py", "from sqlalchemy import Connection"),
    ),
    (
        code_rules.statements_of_sql,
        ("data/a.py", "q = 'SELECT 1'"),
        ("data/records.py", "q = 'SELECT 1'"),
    ),
    (
        code_rules.async_functions,
        ("data/a.py", "async def f(): ..."),
        ("serving/a.py", "async def f(): ..."),
    ),
    (code_rules.prints, ("data/a.py", "print(1)"), ("cli/a.py", "print(1)")),
    (
        log_rules.log_events,
        ("a.py", "logger.info(f'run.started {x}')"),
        ("a.py", "logger.info('run.started', extra={'x': x})"),
    ),
    (log_rules.log_events, ("a.py", "logger.info('ok')"), ("a.py", "logger.info('run.kept')")),
    (
        log_rules.log_events,
        ("a.py", "logger.info('run.started', x)"),
        ("a.py", "other.info('anything', x)"),
    ),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in CASES))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_package_keeps_rule(rule: Rule) -> None:
    offenders = [fault for source in list_sources(PACKAGE) for fault in rule(source)]

    assert not offenders, "\n" + "\n".join(offenders)


@pytest.mark.parametrize(("rule", "bad", "good"), CASES, ids=lambda x: getattr(x, "__name__", ""))
def test_rule_finds_fault_and_lets_near_case_pass(rule: Rule, bad: tuple[str, str], good: tuple[str, str]) -> None:
    assert list(rule(parse(*bad)))
    assert not list(rule(parse(*good)))


def test_every_border_file_catches_everything() -> None:
    catching = {
        source.path.as_posix() for source in list_sources(PACKAGE) if any(code_rules.find_broad_handlers(source))
    }

    needless = code_rules.list_border_files() - catching

    assert not needless, f"listed under BLE001 in pyproject.toml without need: {sorted(needless)}"
