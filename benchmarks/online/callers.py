"""What strangers send over gRPC: calls that are right, with what must come back, and messages that are broken."""

import random
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks.online.strangers import Row, are_near, make_rows, tear

from petla.serving.doors.standards.messages import INFERENCE, make_messages
from petla.serving.doors.standards.remote import SERVICE
from tests.deployments.tiny import MODEL

METHODS = [name.removesuffix("Request") for name in INFERENCE if name.endswith("Request")]


class Called(NamedTuple):
    """What is sent to which method, and whether what came back is right; None: what is no fault of the server's is."""

    path: str
    message: bytes
    is_right: Callable[[bytes], bool] | None = None


class Caller:
    """Draws calls; made only where gRPC is installed."""

    def __init__(self) -> None:
        self._messages = make_messages("strangers", INFERENCE)

    def call(self, chance: random.Random) -> tuple[str, Called]:
        """Draw a call; return its kind too."""
        path = f"/{SERVICE}/ModelInfer"
        rows = make_rows(chance)
        request = self._make_request(rows)
        match chance.randrange(4):
            case 0 | 1:
                return "right: gRPC", Called(
                    path, request.SerializeToString(), lambda found: self._is_right(found, rows)
                )
            case 2:
                self._break(chance, request)
                return "broken calls of gRPC", Called(path, request.SerializeToString())
            case _:
                message = chance.choice([tear(chance, request.SerializeToString()), chance.randbytes(40)])
                return "junk over gRPC", Called(f"/{SERVICE}/{chance.choice(METHODS)}", message)

    def _make_request(self, rows: Sequence[Row]) -> Any:  # noqa: ANN401 - a message
        amounts, items, countries = zip(*rows, strict=True)
        request = self._messages.ModelInferRequest(model_name=MODEL)
        known = [float("nan") if value is None else value for value in items]
        request.inputs.add(name="amount", datatype="FP64", shape=[len(rows)], contents={"fp64_contents": amounts})
        request.inputs.add(name="items", datatype="FP64", shape=[len(rows)], contents={"fp64_contents": known})
        texts = [country.encode() for country in countries]
        request.inputs.add(name="country", datatype="BYTES", shape=[len(rows)], contents={"bytes_contents": texts})
        return request

    def _is_right(self, message: bytes, rows: Sequence[Row]) -> bool:
        response = self._messages.ModelInferResponse.FromString(message)
        return are_near(struct.unpack(f"<{len(rows)}d", response.raw_output_contents[2]), rows)

    def _break(self, chance: random.Random, request: Any) -> None:  # noqa: ANN401
        one = request.inputs[chance.randrange(3)]
        match chance.randrange(5):
            case 0:
                one.shape[:] = [chance.choice([-1, 0, 2**40, 2**62]) for _ in range(chance.randint(0, 3))]
            case 1:
                one.datatype = chance.choice(["FP32", "INT8", "BOOL", "BYTES", "", "FP16"])
            case 2:
                request.raw_input_contents.extend(
                    chance.randbytes(chance.randint(0, 30)) for _ in range(chance.choice([1, 3]))
                )
            case 3:
                one.name = chance.choice(["", "amout", "id", "x" * 1_000])
            case _:
                request.parameters["timeout"].int64_param = chance.choice([-(2**63), 2**63 - 1])
                request.model_version = chance.choice(["9", "x", ""])
