"""The border to the project's own code: whatever it raises becomes one error that shows its own frames."""

import contextlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from petla.core.errors import PetlaError, UserCodeError
from petla.pipeline.steps.locations import is_own_file

# what the extra `train` brings, by the names that code imports
_OF_TRAIN = frozenset({"cloudpickle", "onnx", "pandas", "skl2onnx", "sklearn"})
_OUR_HOME = f"{Path(__file__).parents[2]}/"


@contextlib.contextmanager
def guarded(what: str, folder: Path, *, field: str) -> Iterator[None]:
    """Run the project's code; what it prints goes to stderr, since stdout belongs to the command's answer.

    Args:
        what: what is run, such as `step model`.
        folder: the project's folder; only frames of files in it are shown.
        field: the function or module to blame.

    Raises:
        UserCodeError: the code raised something, or called `sys.exit`.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except PetlaError:
        raise
    except (Exception, SystemExit) as error:
        last = _writable(traceback.format_exception_only(error)[-1].strip())
        raise UserCodeError(
            f"{what} failed: {last}",
            traceback=format_own(error, folder),
            hint=_advise(error),
            field=field,
        ) from error


def format_own(error: BaseException, folder: Path) -> str:
    """Write a traceback with the project's own frames only, chained errors included.

    Frames of Pętla itself are never shown; an error that no frame of the project is part of keeps the other frames.
    """
    folder = folder.resolve()
    story = traceback.TracebackException.from_exception(error)
    chain: list[traceback.TracebackException] = []
    waiting = [story]
    while waiting:
        each = waiting.pop()
        chain.append(each)
        waiting.extend(linked for linked in (each.__cause__, each.__context__) if linked is not None)
    for each in chain:
        own = [frame for frame in each.stack if is_own_file(frame.filename, folder)]
        foreign = [frame for frame in each.stack if not frame.filename.startswith(_OUR_HOME)]
        each.stack = traceback.StackSummary.from_list(own or foreign)
    return _writable("".join(story.format()))


def _advise(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _OF_TRAIN:
        return "install what training needs with: pip install 'petla[train]'"
    return "correct it and run the same command again; finished steps are kept"


def _writable(text: str) -> str:
    """Escape what an error's text may hold and no file can, such as half of a surrogate pair."""
    return text.encode(errors="backslashreplace").decode()
