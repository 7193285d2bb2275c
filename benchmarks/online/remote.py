"""Load over gRPC, in a process of its own: one channel a connection, which asks the same thing again and again.

Run with address, connections and seconds; the encoded message is read from the standard input.
"""

import asyncio
import json
import sys
import time
from typing import Any

import grpc

METHOD = "/inference.GRPCInferenceService/ModelInfer"


def make_message(model: str, row: dict[str, Any]) -> bytes:
    """Encode one row as the Open Inference Protocol has it, a tensor a column, as MLServer wants it marked as well."""
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=model)
    request.parameters["content_type"].string_param = "pd"
    for name, value in row.items():
        tensor = request.inputs.add(name=name, shape=[1, 1])
        if isinstance(value, str):
            tensor.datatype = "BYTES"
            tensor.parameters["content_type"].string_param = "str"
            tensor.contents.bytes_contents.append(value.encode())
        else:
            tensor.datatype = "FP64"
            tensor.contents.fp64_contents.append(value)
    encoded: bytes = request.SerializeToString()
    return encoded


async def load(address: str, message: bytes, connections: int, seconds: float) -> dict[str, Any]:
    """Ask until the time is over; return what `measure` wants to know."""
    end = time.perf_counter() + seconds
    times: list[float] = []
    failed = 0

    async def ask() -> None:
        nonlocal failed
        # a channel of its own, else all share one connection
        async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.unary_unary(METHOD)
            while (begun := time.perf_counter()) < end:
                try:
                    await call(message)
                except grpc.RpcError:
                    failed += 1
                times.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(connections)))
    passed = time.perf_counter() - begun
    times.sort()
    p50, p99 = (times[int(len(times) * share)] * 1e3 for share in (0.5, 0.99))
    return {"requests": len(times), "seconds": passed, "p50_ms": p50, "p99_ms": p99, "failed": failed}


if __name__ == "__main__":
    _, address, connections, seconds = sys.argv
    print(json.dumps(asyncio.run(load(address, sys.stdin.buffer.read(), int(connections), float(seconds)))))
