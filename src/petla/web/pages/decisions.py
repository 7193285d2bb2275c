"""The decision log: the decisions that are asked for, page by page, the newest first."""

import shlex
from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

from petla.core.errors import InvalidError
from petla.core.project.guarding import TAKEN_FLAGS, list_guards
from petla.decisions.log import Page, count_decisions, list_page
from petla.decisions.losses import count_losses, describe_losses
from petla.decisions.record import CANARY, CHAMPION, DEFAULT, NAMED, RULE, STANDBY, LoggedDecision, Place, Wanted
from petla.decisions.spans.wanted import decode_wanted
from petla.storage.workspace import Workspace
from petla.web import figures
from petla.web.decision_contexts import DecisionsPage, FilterField
from petla.web.pages.decision import make_line
from petla.web.pieces import Row

ADDRESS = "/decisions"

_SHOWN = 50
_PLACES = ("older_than", "newer_than")
# what people call what decisions are chosen by, and how it is written where that does not speak for itself
_FIELDS = {
    "model": ("Model", ""),
    "version": ("Version", ""),
    "arm": ("Arm", ""),
    "served_by": ("Answered by", ""),
    "flag": ("Flag", ""),
    "subject": ("Subject", ""),
    "labelled": ("Truth known", "yes or no"),
    "since": ("Made since", "2026-03-01T12:00Z"),
    "until": ("Made before", "2026-03-02"),
}


def address_of(asked: Mapping[str, str]) -> str:
    """Return the address of what is asked for.

    Example:
        >>> address_of({"model": "delay", "older_than": "2026-03-01T12:00:00.000000Z~17"})
        '/decisions?model=delay&older_than=2026-03-01T12:00:00.000000Z~17'
    """
    return f"{ADDRESS}?{urlencode(asked, safe=':')}" if asked else ADDRESS


def make_decisions(ws: Workspace, asked: Mapping[str, str]) -> DecisionsPage:
    """Return a page of the decisions that are asked for.

    Args:
        ws: the project.
        asked: names and values, as `decode_wanted` reads them; the page says what it cannot read.

    Raises:
        NotFoundError: neither the project file nor the log has such a model.
    """
    wanted, page, faults = Wanted(), Page((), has_newer=False, has_older=False), dict[str, str]()
    try:
        wanted = decode_wanted(asked)
        page = list_page(ws, wanted, limit=_SHOWN)
    except InvalidError as error:
        faults = {each.field: f"{each.message}: {each.hint}" for each in error.faults}
    total = count_decisions(ws, wanted.model)
    if wanted.model and not total:
        ws.get_model(wanted.model)
    filters = {name: value for name, value in asked.items() if name not in _PLACES}
    is_turned = len(filters) < len(asked)
    is_empty = not page.decisions and not faults
    return DecisionsPage(
        title=f"Decisions of {wanted.model}" if wanted.model else "Decisions",
        model=wanted.model or "",
        model_href=f"/models/{wanted.model}" if wanted.model in ws.project.models else "",
        lead=_describe(page, total, is_filtered=bool(filters.keys() - {"model"})),
        lost=describe_losses(count_losses(ws.state)),
        fields=tuple(_make_field(ws, name, asked.get(name, ""), faults.get(name, "")) for name in _FIELDS),
        chosen=", ".join(map(_tell, filters.items())),
        faults=tuple(f"{name}: {said}" for name, said in faults.items() if name not in _FIELDS),
        is_clear=not faults,
        decisions=tuple(make_line(ws, decision) for decision in page.decisions),
        newest_href=address_of(filters) if is_turned else "",
        newer_href=_turn(filters, "newer_than", page.decisions[0]) if page.has_newer and page.decisions else "",
        older_href=_turn(filters, "older_than", page.decisions[-1]) if page.has_older and page.decisions else "",
        command=_make_command(asked),
        empty=_explain_nothing(wanted, filters, total, is_turned=is_turned) if is_empty else "",
        ways=tuple(_list_ways(filters, is_turned=is_turned)) if is_empty and total else (),
    )


def _describe(page: Page, total: int, *, is_filtered: bool) -> str:
    n_shown = len(page.decisions)
    if not n_shown:
        return f"{figures.count(total)} in the log."
    which = "" if page.has_newer else "the newest "
    those = " that match" if is_filtered else ""
    below = "is below" if n_shown == 1 else "are below"
    return f"{figures.count(total)} in the log; {which}{figures.count(n_shown)}{those} {below}."


def _explain_nothing(wanted: Wanted, filters: Mapping[str, str], total: int, *, is_turned: bool) -> str:
    if not total:
        path = f"POST /predict/{wanted.model or 'MODEL'}"
        return f"No decision yet. Ask the model for one: {path} on the serving address that petla up printed."
    if is_turned:
        return "Nothing stands beyond this place: the log ends here, or what it had went after decisions.keep_days."
    said = ", ".join(map(_tell, filters.items()))
    return f"None of {figures.plural(total, 'decision')} has all of this: {said}. Leave something out:"


def _list_ways(filters: Mapping[str, str], *, is_turned: bool) -> Iterator[Row]:
    """Yield where there may be something: at the other end, without one of the filters, without all of them."""
    if is_turned:
        yield Row("", "the newest", href=address_of(filters))
        return
    for name in filters:
        rest = {other: value for other, value in filters.items() if other != name}
        if rest:
            yield Row("", f"without {_tell((name, filters[name]))}", href=address_of(rest))
    yield Row("", "all decisions", href=ADDRESS)


def _make_field(ws: Workspace, name: str, value: str, fault: str) -> FilterField:
    label, note = _FIELDS[name]
    return FilterField(name=name, label=label, note=note, value=value, usual=_list_usual(ws, name), fault=fault)


def _list_usual(ws: Workspace, name: str) -> tuple[str, ...]:
    match name:
        case "model":
            return tuple(ws.project.models)
        case "arm":
            return CHAMPION, CANARY, NAMED
        case "served_by":
            return CHAMPION, CANARY, STANDBY, DEFAULT, RULE
        case "flag":
            guards = [list_guards(table.guards) for table in ws.project.models.values()]
            return tuple(dict.fromkeys((*(flag for each in guards for _, flag, _ in each), *TAKEN_FLAGS)))
        case "labelled":
            return "yes", "no"
        case _:
            return ()


def _tell(filled: tuple[str, str]) -> str:
    name, value = filled
    return f"{_FIELDS[name][0].lower() if name in _FIELDS else name} {figures.value(value)}"


def _turn(filters: Mapping[str, str], name: str, decision: LoggedDecision) -> str:
    return address_of({**filters, name: str(Place(decision.at, decision.seq))})


def _make_command(asked: Mapping[str, str]) -> str:
    """Return what lists the same on the command line."""
    words = ["petla", "decisions", "list"]
    for name, value in asked.items():
        words += ["--model", value] if name == "model" else ["--where", f"{name}={value}"]
    return shlex.join(words)
