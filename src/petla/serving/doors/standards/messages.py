"""The messages of the protocol's gRPC service, put together when they are first needed (extra `grpc`).

They live in a pool of their own: a process may import another library's stubs of the same protocol beside them, which
one pool for all does not survive.

Source: KServe, Open Inference Protocol, `grpc_predict_v2.proto`: names and numbers of the fields; gRPC Health Checking
Protocol.
"""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto

# message -> field -> number and type; `[]` behind the type: repeated; `{}`: a map from text; `?`: one of the choices
_PARAMETER = {
    "bool_param": "1 bool?",
    "int64_param": "2 int64?",
    "string_param": "3 string?",
    "double_param": "4 double?",
    "uint64_param": "5 uint64?",
}
_METADATA = {"name": "1 string", "datatype": "2 string", "shape": "3 int64[]"}
_TENSOR = {**_METADATA, "parameters": "4 InferParameter{}", "contents": "5 InferTensorContents"}
_REPOSITORY_PARAMETER = {
    "bool_param": "1 bool?",
    "int64_param": "2 int64?",
    "string_param": "3 string?",
    "bytes_param": "4 bytes?",
}
_CHANGE = {
    "repository_name": "1 string",
    "model_name": "2 string",
    "parameters": "3 ModelRepositoryParameter{}",
}
_NAMED = {"name": "1 string", "version": "2 string"}
INFERENCE: dict[str, dict[str, str]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": "1 bool"},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": "1 bool"},
    "ModelReadyRequest": _NAMED,
    "ModelReadyResponse": {"ready": "1 bool"},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {"name": "1 string", "version": "2 string", "extensions": "3 string[]"},
    "ModelMetadataRequest": _NAMED,
    "ModelMetadataResponse": {
        "name": "1 string",
        "versions": "2 string[]",
        "platform": "3 string",
        "inputs": "4 ModelMetadataResponse.TensorMetadata[]",
        "outputs": "5 ModelMetadataResponse.TensorMetadata[]",
    },
    "ModelMetadataResponse.TensorMetadata": _METADATA,
    "InferParameter": _PARAMETER,
    "InferTensorContents": {
        "bool_contents": "1 bool[]",
        "int_contents": "2 int32[]",
        "int64_contents": "3 int64[]",
        "uint_contents": "4 uint32[]",
        "uint64_contents": "5 uint64[]",
        "fp32_contents": "6 float[]",
        "fp64_contents": "7 double[]",
        "bytes_contents": "8 bytes[]",
    },
    "ModelInferRequest": {
        "model_name": "1 string",
        "model_version": "2 string",
        "id": "3 string",
        "parameters": "4 InferParameter{}",
        "inputs": "5 ModelInferRequest.InferInputTensor[]",
        "outputs": "6 ModelInferRequest.InferRequestedOutputTensor[]",
        "raw_input_contents": "7 bytes[]",
    },
    "ModelInferRequest.InferInputTensor": _TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": {"name": "1 string", "parameters": "2 InferParameter{}"},
    "ModelInferResponse": {
        "model_name": "1 string",
        "model_version": "2 string",
        "id": "3 string",
        "parameters": "4 InferParameter{}",
        "outputs": "5 ModelInferResponse.InferOutputTensor[]",
        "raw_output_contents": "6 bytes[]",
    },
    "ModelInferResponse.InferOutputTensor": _TENSOR,
    "ModelRepositoryParameter": _REPOSITORY_PARAMETER,
    "RepositoryIndexRequest": {"repository_name": "1 string", "ready": "2 bool"},
    "RepositoryIndexResponse": {"models": "1 RepositoryIndexResponse.ModelIndex[]"},
    "RepositoryIndexResponse.ModelIndex": {
        "name": "1 string",
        "version": "2 string",
        "state": "3 string",
        "reason": "4 string",
    },
    "RepositoryModelLoadRequest": _CHANGE,
    "RepositoryModelLoadResponse": {},
    "RepositoryModelUnloadRequest": _CHANGE,
    "RepositoryModelUnloadResponse": {},
}
HEALTH = {"HealthCheckRequest": {"service": "1 string"}, "HealthCheckResponse": {"status": "1 int32"}}


def make_messages(package: str, messages: dict[str, dict[str, str]]) -> SimpleNamespace:
    r"""Return the classes of messages, by their names without a dot.

    Example:
        >>> found = make_messages("example", {"Pair": {"name": "1 string", "numbers": "2 int64[]"}})
        >>> found.Pair(name="a", numbers=[1, 2]).SerializeToString()
        b'\n\x01a\x12\x02\x01\x02'
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name=f"petla/{package}.proto", package=package, syntax="proto3")
    made: dict[str, DescriptorProto] = {}
    for name, fields in messages.items():
        outer, _, inner = name.rpartition(".")
        message = made[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=inner)
        made[name] = message
        for field, kind in fields.items():
            _add_field(message, f".{package}.{name}", field, kind, package)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found: dict[str, Any] = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
        if "." not in name
    }
    return SimpleNamespace(**found)


def _add_field(message: "DescriptorProto", path: str, name: str, kind: str, package: str) -> None:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto

    number, _, rest = kind.partition(" ")
    typed = rest.rstrip("[]{}?")
    marks = rest[len(typed) :]
    is_many = marks in ("[]", "{}")
    label = FieldDescriptorProto.LABEL_REPEATED if is_many else FieldDescriptorProto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=int(number), label=label)
    if marks == "{}":
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        _add_field(entry, "", "key", "1 string", package)
        _add_field(entry, "", "value", f"2 {typed}", package)
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f"{path}.{entry.name}"
    elif typed[0].isupper():
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{package}.{typed}"
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{typed.upper()}")
    if marks == "?":
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
