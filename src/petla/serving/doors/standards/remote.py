"""The Open Inference Protocol over gRPC (extra `grpc`), in the worker's own loop beside HTTP.

Several workers share the port: the kernel gives each connection to one of them. The deadline of a call, its metadata
`x-request-id` and `traceparent` are those of the request. The standard health service answers too.

Source: KServe, Open Inference Protocol, "gRPC"; gRPC Health Checking Protocol.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import petla
from petla.core.errors import (
    ConflictError,
    DeadlineError,
    ForbiddenError,
    InvalidError,
    LimitedError,
    NotFoundError,
    PetlaError,
    UnavailableError,
    UnknownKeyError,
)
from petla.deployments.access.keys import Scope
from petla.models.signature import Row
from petla.serving.doors.asking import ask, take_body
from petla.serving.doors.calls import make_call
from petla.serving.doors.door import join_faults
from petla.serving.doors.protocol import Limits
from petla.serving.doors.responses import Problem
from petla.serving.doors.standards.columns import TextWay, choose_outputs, describe_marks, to_outputs, to_rows
from petla.serving.doors.standards.limits import Receiver, list_options, parse
from petla.serving.doors.standards.messages import HEALTH, INFERENCE, make_messages
from petla.serving.doors.standards.rest import (
    EXTENSIONS,
    NAME,
    describe_model,
    list_models,
    make_protocol_call,
    require_loaded,
)
from petla.serving.doors.standards.tensors import BYTES, Tensor, decode_raw, encode_raw, make_tensor
from petla.serving.path.request import Answered, Call
from petla.serving.path.service import Service
from petla.serving.plane import Plane
from petla.storage.certificates import Certificate

logger = logging.getLogger(__name__)

Message = Any
Method = Callable[[Message, Any], Awaitable[Message]]

SERVICE = "inference.GRPCInferenceService"
HEALTH_SERVICE = "grpc.health.v1.Health"

_SERVING, _NOT_SERVING = 1, 2
_GRACE_S = 1.0
_FOREVER_S = 365 * 86_400
# Clients take 8 KiB of metadata, where a letter may need nine bytes.
_LONGEST_TEXT = 800
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
# the nearest family decides
_CODES: tuple[tuple[type[PetlaError], str], ...] = (
    (InvalidError, "INVALID_ARGUMENT"),
    (NotFoundError, "NOT_FOUND"),
    (UnknownKeyError, "UNAUTHENTICATED"),
    (ForbiddenError, "PERMISSION_DENIED"),
    (ConflictError, "FAILED_PRECONDITION"),
    (LimitedError, "RESOURCE_EXHAUSTED"),
    (DeadlineError, "DEADLINE_EXCEEDED"),
    (UnavailableError, "UNAVAILABLE"),
)
# what a call counts as, beside HTTP's
_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "FAILED_PRECONDITION": 409,
    "RESOURCE_EXHAUSTED": 429,
    "DEADLINE_EXCEEDED": 504,
    "INTERNAL": 500,
}


class _Refusal(NamedTuple):
    """What a call is refused with."""

    # the name of a status
    code: str
    text: str


class GrpcServer:
    """The gRPC door of one worker.

    Args:
        plane: what serves.
        body_limit_bytes: largest message.
        limits: of connections, of calls at a time, and of time.
        certificate: encrypts; None: it does not.
    """

    def __init__(
        self, plane: Plane, body_limit_bytes: int, limits: Limits, certificate: Certificate | None = None
    ) -> None:
        self._plane = plane
        self._options = list_options(body_limit_bytes, limits)
        self._most_calls = limits.connections
        self._receiver = Receiver(body_limit_bytes, limits.client_timeout_s)
        self._messages = make_messages("inference", INFERENCE)
        self._health = make_messages("grpc.health.v1", HEALTH)
        self._certificate = certificate
        self._server: Any = None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port.

        Raises:
            UnavailableError: the port is taken by somebody who does not share it.
        """
        import grpc.aio

        self._server = grpc.aio.server(options=self._options, maximum_concurrent_rpcs=self._most_calls)
        self._server.add_generic_rpc_handlers([self._list_methods(), self._list_health_methods()])
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound: int = (
                self._server.add_insecure_port(shown)
                if self._certificate is None
                else self._server.add_secure_port(shown, _make_credentials(self._certificate))
            )
        except RuntimeError as error:
            raise UnavailableError(
                f"cannot listen for gRPC on {host}:{port}",
                hint="stop what listens there, or set serving.grpc_port",
                field="serving.grpc_port",
            ) from error
        await self._server.start()
        return bound

    async def stop(self) -> None:
        """Let calls in flight finish, and end."""
        await self._server.stop(_GRACE_S)

    def _list_methods(self) -> Any:  # noqa: ANN401 - grpc's own type
        return self._make_methods(
            SERVICE,
            self._messages,
            {
                "ServerLive": self._say_live,
                "ServerReady": self._say_ready,
                "ModelReady": self._say_model_ready,
                "ServerMetadata": self._describe_server,
                "ModelMetadata": self._describe_model,
                "ModelInfer": self._infer,
                "RepositoryIndex": self._list_models,
                "RepositoryModelLoad": self._load,
                "RepositoryModelUnload": self._unload,
            },
        )

    def _list_health_methods(self) -> Any:  # noqa: ANN401
        import grpc

        check = grpc.stream_unary_rpc_method_handler(
            self._guard(self._check_health, self._health.HealthCheckRequest, None),
            response_serializer=self._health.HealthCheckResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(HEALTH_SERVICE, {"Check": check})

    def _make_methods(self, service: str, messages: Any, methods: dict[str, Method]) -> Any:  # noqa: ANN401
        import grpc

        return grpc.method_handlers_generic_handler(
            service,
            {
                name: grpc.stream_unary_rpc_method_handler(
                    self._guard(method, getattr(messages, f"{name}Request"), _scope_of(name)),
                    response_serializer=getattr(messages, f"{name}Response").SerializeToString,
                )
                for name, method in methods.items()
            },
        )

    def _guard(self, method: Method, kind: Message, scope: Scope | None) -> Method:
        """Return a method that receives its message itself, and answers errors with the status of their family."""
        import grpc

        async def guarded(_stream: Any, context: Any) -> Message:  # noqa: ANN401 - grpc's own types
            answer = await self._answer(method, kind, scope, context)
            if not isinstance(answer, _Refusal):
                return answer
            # NOTE: the error that this raises keeps this frame until garbage is looked for: no message may be in it.
            return await context.abort(grpc.StatusCode[answer.code], answer.text)

        return guarded

    async def _answer(self, method: Method, kind: Message, scope: Scope | None, context: Any) -> Message:  # noqa: ANN401
        """Ask for a key where keys are on, then receive the message and answer it; or say what refuses it.

        NOTE: the message is read here and not by the library, which takes one that cannot be read for a fault of ours.
        """
        request = None
        try:
            if self._plane.keys is not None and scope is not None:
                self._plane.keys.check(_read_metadata(context), scope)
            content = await self._receiver.receive(context)
            is_inference = kind is self._messages.ModelInferRequest
            request = await take_body(len(content), lambda: parse(kind, content, is_inference=is_inference))
            return await method(request, context)
        except PetlaError as error:
            refusal = _refuse(error)
        except Exception:
            logger.exception("request.failed")
            refusal = _Refusal("INTERNAL", "the server failed on this request; it is written to its log")
        self._count(request, _STATUSES.get(refusal.code, 503))
        return refusal

    def _count(self, request: Message | None, status: int) -> None:
        model = getattr(request, "model_name", "")
        self._plane.metrics.of(model if model in self._plane.services else "").count(status)

    async def _say_live(self, _request: Message, _context: Any) -> Message:  # noqa: ANN401
        return self._messages.ServerLiveResponse(live=True)

    async def _say_ready(self, _request: Message, _context: Any) -> Message:  # noqa: ANN401
        return self._messages.ServerReadyResponse(ready=not self._plane.not_ready)

    async def _say_model_ready(self, request: Message, _context: Any) -> Message:  # noqa: ANN401
        try:
            self._plane.get_service(request.name, request.version)
        except (NotFoundError, UnavailableError):
            return self._messages.ModelReadyResponse(ready=False)
        return self._messages.ModelReadyResponse(ready=True)

    async def _describe_server(self, _request: Message, _context: Any) -> Message:  # noqa: ANN401
        return self._messages.ServerMetadataResponse(name=NAME, version=petla.__version__, extensions=EXTENSIONS)

    async def _describe_model(self, request: Message, _context: Any) -> Message:  # noqa: ANN401
        found = describe_model(request.name, self._plane.get_service(request.name, request.version))
        return self._messages.ModelMetadataResponse(**found)

    async def _list_models(self, request: Message, _context: Any) -> Message:  # noqa: ANN401
        found = [each for each in list_models(self._plane) if not request.ready or each["state"] == "READY"]
        return self._messages.RepositoryIndexResponse(models=found)

    async def _load(self, request: Message, _context: Any) -> Message:  # noqa: ANN401
        require_loaded(self._plane, request.model_name, "load")
        return self._messages.RepositoryModelLoadResponse()

    async def _unload(self, request: Message, _context: Any) -> Message:  # noqa: ANN401
        require_loaded(self._plane, request.model_name, "unload")
        return self._messages.RepositoryModelUnloadResponse()

    async def _check_health(self, request: Message, _context: Any) -> Message:  # noqa: ANN401
        if request.service not in ("", SERVICE):
            raise NotFoundError(f"there is no service {request.service[:60]!r}")
        return self._health.HealthCheckResponse(status=_NOT_SERVING if self._plane.not_ready else _SERVING)

    async def _infer(self, request: Message, context: Any) -> Message:  # noqa: ANN401
        call = _make_call(request, context)
        service = self._plane.get_service(request.model_name, request.model_version)
        rows = await take_body(request.ByteSize(), lambda: _take(service, request))
        signature, words = service.champion.loaded.package.signature, service.champion.words
        choose = choose_outputs([each.name for each in request.outputs], signature, words)

        def write(answered: Answered) -> Message:
            return self._write(request, answered, choose(to_outputs(answered, words)))

        response = await ask(service, rows, call, write)
        service.metrics.count(200)
        return response

    def _write(self, request: Message, answered: Answered, outputs: Sequence[Tensor]) -> Message:
        response = self._messages.ModelInferResponse(
            model_name=request.model_name, model_version=str(answered.version), id=request.id
        )
        for name, value in describe_marks(answered).items():
            response.parameters[name].string_param = value
        for tensor in outputs:
            response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            response.raw_output_contents.append(encode_raw(tensor.datatype, tensor.values))
        return response


def _refuse(error: PetlaError) -> _Refusal:
    faults = error.faults if isinstance(error, InvalidError) else ()
    text = join_faults(Problem(error.code, error.message, hint=error.hint), faults)
    code = next((code for kind, code in _CODES if isinstance(error, kind)), "UNAVAILABLE")
    return _Refusal(code, text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}...")


def _take(service: Service, request: Message) -> list[Row]:
    signature = service.champion.loaded.package.signature
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidError(
            f"there are {len(request.inputs)} inputs and {len(raw)} raw contents", field="raw_input_contents"
        )
    tensors = [
        decode_raw(each.name, each.datatype, each.shape, raw[i]) if raw else _read_contents(each)
        for i, each in enumerate(request.inputs)
    ]
    ways = {
        each.name: TextWay.of({name: value.string_param for name, value in each.parameters.items()})
        for each in request.inputs
        if each.parameters
    }
    return to_rows(signature, service.schema, tensors, ways)


def _read_contents(each: Message) -> Tensor:
    field = _CONTENTS.get(each.datatype, "")
    if each.datatype == "FP16":
        raise InvalidError(f"input {each.name[:60]!r}: FP16 has raw contents only", field=each.name[:60])
    return make_tensor(each.name, each.datatype, each.shape, list(getattr(each.contents, field)) if field else [])


def _make_call(request: Message, context: Any) -> Call:  # noqa: ANN401
    at_ns = time.time_ns()
    timeout_us = request.parameters["timeout"].int64_param if "timeout" in request.parameters else 0
    call = make_protocol_call(make_call(_read_metadata(context), at_ns), request.id, timeout_us)
    left_s = context.time_remaining()
    # NOTE: without a deadline gRPC says that there are years left
    if left_s is None or left_s > _FOREVER_S:
        return call
    deadline_ns = at_ns + int(left_s * 1e9)
    return call._replace(deadline_ns=min(deadline_ns, call.deadline_ns or deadline_ns))


def _read_metadata(context: Any) -> dict[bytes, bytes]:  # noqa: ANN401
    return {key.encode(): _to_bytes(value) for key, value in context.invocation_metadata() or ()}


def _scope_of(method: str) -> Scope | None:
    """Return what a call needs; None: everybody may."""
    if method in {"ServerLive", "ServerReady"}:
        return None
    if method.startswith("Repository"):
        return Scope.REPOSITORY
    return Scope.PREDICT if method == "ModelInfer" else Scope.READ


def _make_credentials(certificate: Certificate) -> Any:  # noqa: ANN401 - grpc's own type
    """Return what new connections are encrypted with; files that were renewed are taken up."""
    import grpc

    shown = certificate.read_pair()

    def find_newer() -> Any:  # noqa: ANN401
        nonlocal shown
        pair = certificate.read_pair()
        if pair == shown:
            return None
        shown = pair
        return grpc.ssl_server_certificate_configuration([pair])

    return grpc.dynamic_ssl_server_credentials(grpc.ssl_server_certificate_configuration([shown]), find_newer)


def _to_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
