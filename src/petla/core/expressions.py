"""Conditions such as `amount > 10000 and country in ('XX', 'YY')`: a tiny language with Python's own grammar.

- Allowed: fields by name, or `field('name with spaces')`; numbers, texts, `True`, `False`, `None`; comparisons, `in`
  with a list of values, `and`, `or`, `not`; `+ - * /` on numbers. Nothing else: no calls, no attributes, no indexing.
- `score` is the model's score, unless an input is called so.
- null is no number: with it arithmetic gives null, and a comparison is false, except `== None` and `!= None`.
- The text is parsed by Python and never run by it: each allowed node becomes one closure.
"""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

# what a field or a part of an expression holds; any: not known yet
Holds = Literal["number", "text", "boolean", "null", "any"]
Test = Callable[[Sequence[Any], float], bool]

SCORE = "score"
LONGEST = 1_000

_Get = Callable[[Sequence[Any], float], Any]
_ALLOWED = "allowed are fields, values, comparisons, in, and, or, not, + - * /"
_ORDER: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_SUMS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class ExpressionError(ValueError):
    """A condition has mistakes; `mistakes` lists each with its place."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = tuple(mistakes)


class _Part(NamedTuple):
    holds: Holds
    get: _Get


_NOTHING = _Part("any", lambda _row, _score: None)


def compile_expression(text: str, fields: Mapping[str, Holds] | None = None) -> Test:
    """Turn a condition into a function of a row and its score.

    Args:
        text: the condition.
        fields: name -> what it holds, in the order of a row's values; None: not known, so only the form is checked.

    Raises:
        ExpressionError: with every mistake.

    Example:
        >>> test = compile_expression("amount > 10 and country == 'pl'", {"amount": "number", "country": "text"})
        >>> test((12.5, "pl"), 0.1), test((None, "pl"), 0.1)
        (True, False)
    """
    if len(text) > LONGEST:
        raise ExpressionError([f"has {len(text)} characters, at most {LONGEST}"])
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ExpressionError([f"at character {error.offset or 1}: {error.msg}"]) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(["is nested too deeply, or holds what no text does"]) from error
    compiler = _Compiler(fields)
    part = compiler.compile(tree)
    if part.holds not in ("boolean", "any"):
        compiler.complain(tree, f"the whole is a {part.holds}, and must be true or false")
    if compiler.mistakes:
        raise ExpressionError(compiler.mistakes)
    get = part.get
    return lambda row, score: get(row, score) is True


class _Compiler:
    """One closure for each node, and the mistakes met on the way."""

    def __init__(self, fields: Mapping[str, Holds] | None) -> None:
        self._fields = fields
        self._places = {name: place for place, name in enumerate(fields or ())}
        self.mistakes: list[str] = []

    def compile(self, node: ast.expr) -> _Part:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return _Part(_kind_of(value), lambda _row, _score: value)
            case (
                ast.Name(id=name)
                | ast.Call(func=ast.Name(id="field"), args=[ast.Constant(value=str(name))], keywords=[])
            ):
                return self._field(node, name)
            case ast.BoolOp(op=op, values=values):
                return self._join(op, [self._truth(value) for value in values])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                truth = self._truth(operand)
                return _Part("boolean", lambda row, score: truth(row, score) is not True)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._sum(operator.sub, _Part("number", lambda _row, _score: 0), self._number(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _SUMS:
                return self._sum(_SUMS[type(op)], self._number(left), self._number(right))
            case ast.Compare():
                return self._compare(node)
            case _:
                self.complain(node, f"{ast.unparse(node)[:40]!r} is not understood; {_ALLOWED}")
                return _NOTHING

    def complain(self, node: ast.expr, message: str) -> None:
        self.mistakes.append(f"at character {node.col_offset + 1}: {message}")

    def _field(self, node: ast.expr, name: str) -> _Part:
        if self._fields is None:
            return _NOTHING
        place = self._places.get(name)
        if place is not None:
            return _Part(self._fields[name], lambda row, _score: row[place])
        if name == SCORE:
            return _Part("number", lambda _row, score: score)
        self.complain(node, f"the model has no input {name!r}; it has {', '.join(self._fields)}")
        return _NOTHING

    def _truth(self, node: ast.expr) -> _Get:
        part = self.compile(node)
        if part.holds not in ("boolean", "any"):
            self.complain(node, f"{ast.unparse(node)[:40]!r} is a {part.holds}, and must be true or false")
        return part.get

    def _number(self, node: ast.expr) -> _Part:
        part = self.compile(node)
        if part.holds not in ("number", "any"):
            self.complain(node, f"{ast.unparse(node)[:40]!r} is a {part.holds}, and must be a number")
        return part

    def _join(self, op: ast.boolop, parts: list[_Get]) -> _Part:
        if isinstance(op, ast.And):
            return _Part("boolean", lambda row, score: all(get(row, score) is True for get in parts))
        return _Part("boolean", lambda row, score: any(get(row, score) is True for get in parts))

    def _sum(self, calculate: Callable[[Any, Any], Any], left: _Part, right: _Part) -> _Part:
        def get(row: Sequence[Any], score: float) -> Any:  # noqa: ANN401 - a number or null
            try:
                return calculate(left.get(row, score), right.get(row, score))
            except (TypeError, ArithmeticError):  # null, or a division by zero
                return None

        return _Part("number", get)

    def _compare(self, node: ast.Compare) -> _Part:
        sides = [node.left, *node.comparators]
        tests = [
            self._compare_two(op, left, right) for op, left, right in zip(node.ops, sides, sides[1:], strict=False)
        ]
        if len(tests) == 1:
            return _Part("boolean", tests[0])
        return _Part("boolean", lambda row, score: all(test(row, score) for test in tests))

    def _compare_two(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> _Get:
        if isinstance(op, ast.In | ast.NotIn):
            return self._search(left, right, is_in=isinstance(op, ast.In))
        one, other = self.compile(left), self.compile(right)
        is_known = "any" not in (one.holds, other.holds)
        if isinstance(op, ast.Eq | ast.NotEq | ast.Is | ast.IsNot):
            if is_known and one.holds != other.holds and "null" not in (one.holds, other.holds):
                self.complain(left, f"a {one.holds} is compared with a {other.holds}")
            if isinstance(op, ast.Is | ast.IsNot) and other.holds != "null":
                self.complain(left, "'is' goes with None only; use ==")
            return _same(one, other, is_same=isinstance(op, ast.Eq | ast.Is))
        if "null" in (one.holds, other.holds):
            self.complain(left, "None has no order; use == None or != None")
        elif is_known and (one.holds != other.holds or one.holds == "boolean"):
            self.complain(left, f"a {one.holds} and a {other.holds} have no order")
        return _ordered(_ORDER[type(op)], one, other)

    def _search(self, left: ast.expr, right: ast.expr, *, is_in: bool) -> _Get:
        one = self.compile(left)
        values: list[Any] = []
        for item in right.elts if isinstance(right, ast.Tuple | ast.List | ast.Set) else [right]:
            if not isinstance(item, ast.Constant) or not isinstance(item.value, bool | int | float | str):
                self.complain(item, "'in' goes with a list of values, such as ('XX', 'YY')")
                continue
            values.append(item.value)
            if one.holds not in (_kind_of(item.value), "any"):
                self.complain(item, f"a {one.holds} is looked for among values with a {_kind_of(item.value)}")
        if not isinstance(right, ast.Tuple | ast.List | ast.Set):
            self.complain(right, "'in' goes with a list of values, such as ('XX', 'YY')")
        known = frozenset(values)

        def test(row: Sequence[Any], score: float) -> bool:
            value = one.get(row, score)
            return value is not None and (value in known) is is_in

        return test


def _same(one: _Part, other: _Part, *, is_same: bool) -> _Get:
    if "null" in (one.holds, other.holds):
        return lambda row, score: (one.get(row, score) is other.get(row, score)) is is_same

    def test(row: Sequence[Any], score: float) -> bool:
        left, right = one.get(row, score), other.get(row, score)
        return left is not None and right is not None and (left == right) is is_same

    return test


def _ordered(precedes: Callable[[Any, Any], bool], one: _Part, other: _Part) -> _Get:
    def test(row: Sequence[Any], score: float) -> bool:
        left, right = one.get(row, score), other.get(row, score)
        return left is not None and right is not None and precedes(left, right)

    return test


def _kind_of(value: Any) -> Holds:  # noqa: ANN401 - a constant
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"
