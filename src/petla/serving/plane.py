"""The plane of one worker: which models serve, and why others do not. Every door looks here, the fast one too."""

from collections.abc import Callable, Mapping

from petla.core.errors import NotFoundError, UnavailableError
from petla.core.names import suggest
from petla.models.runtime.labels import Label, make_reader
from petla.serving.doors.keys import Keys
from petla.serving.metrics import Metrics
from petla.serving.path.service import Service
from petla.serving.recorder import Recorder

PREDICT = "/predict/"

_LONGEST_SHOWN = 60


class Plane:
    """What the doors of one worker share.

    Args:
        recorder: where feedback goes; services have it for decisions.
        metrics: the worker's counts.
    """

    def __init__(self, recorder: Recorder, metrics: Metrics) -> None:
        self.recorder = recorder
        self.metrics = metrics
        # None: everybody may ask
        self.keys: Keys | None = None
        # model -> what answers for it
        self.services: Mapping[str, Service] = {}
        # path of the fast door -> the same; without models that take pictures or tensors
        self.by_path: Mapping[str, Service] = {}
        self._readers: tuple[Callable[[object], Label | None], ...] = ()
        # why it is not ready; empty: it is
        self.not_ready = "nothing is deployed yet; next: petla deploy MODEL:VERSION"
        # models that should serve and cannot -> why
        self.failing: dict[str, str] = {}

    def is_label(self, truth: Label) -> bool:
        """Whether any version that is loaded has a truth as its label; which one decided, only the log knows."""
        return any(read(truth) is not None for read in self._readers)

    def exchange(self, services: Mapping[str, Service]) -> None:
        """Let other services answer from now on: two references, between two turns of the loop."""
        self.services = services
        lanes = (lane for service in services.values() for lane in service.lanes)
        self._readers = tuple(make_reader(lane.loaded.package.signature) for lane in lanes)
        self.by_path = {PREDICT + name: service for name, service in services.items() if service.schema.is_flat}

    def get_service(self, model: str, version: str = "") -> Service:
        """Return what answers for a model.

        Args:
            model: its name.
            version: the loaded version that is meant; empty: whichever serves.

        Raises:
            UnavailableError: it should serve and cannot.
            NotFoundError: no such model is served, or that version of it is not loaded.
        """
        service = self.services.get(model)
        if service is None:
            if model in self.failing:
                raise UnavailableError(f"model {model} cannot be served: {self.failing[model]}")
            shown = model[:_LONGEST_SHOWN]
            hint = suggest(shown, self.services) if self.services else "deploy one with 'petla deploy MODEL:VERSION'"
            raise NotFoundError(f"no model {shown!r} is served", field="model", hint=hint)
        if not version:
            return service
        named = service.name(version)
        if named is None:
            raise NotFoundError(
                f"version {version[:_LONGEST_SHOWN]!r} of {model} is not loaded; loaded: {', '.join(service.versions)}",
                field="version",
                hint="leave the version out, or deploy it with 'petla deploy'",
            )
        return named
