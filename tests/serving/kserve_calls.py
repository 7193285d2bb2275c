"""KServe's own clients, in an environment of their own: `python kserve_calls.py HTTP_ADDRESS GRPC_ADDRESS`."""

import asyncio
import json
import sys
from typing import Any

MODEL = "fraud"


def make_request() -> Any:  # noqa: ANN401 - KServe's own type
    from kserve import InferInput, InferRequest

    inputs = [
        InferInput("amount", [2], "FP64", data=[2.5, -1.0]),
        InferInput("items", [2], "FP64", data=[3.0, float("nan")]),
        InferInput("country", [2], "BYTES", data=["de", "pl"]),
    ]
    return InferRequest(model_name=MODEL, infer_inputs=inputs)


def make_json_request() -> dict[str, Any]:
    inputs = [
        {"name": "amount", "shape": [2], "datatype": "FP64", "data": [2.5, -1.0]},
        {"name": "items", "shape": [2], "datatype": "INT64", "data": [3, None]},
        {"name": "country", "shape": [2], "datatype": "BYTES", "data": ["de", "pl"]},
    ]
    return {"inputs": inputs}


async def main(address: str, grpc_address: str) -> None:
    from kserve import InferenceGRPCClient, InferenceRESTClient
    from kserve.inference_client import RESTConfig

    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    said: dict[str, Any] = {"rest": {"ready": await rest.is_model_ready(address, MODEL)}}
    answered = await rest.infer(address, make_json_request(), model_name=MODEL)
    outputs = answered["outputs"] if isinstance(answered, dict) else answered.to_dict()["outputs"]
    said["rest"]["probability"] = next(each["data"] for each in outputs if each["name"] == "probability")
    async with InferenceGRPCClient(grpc_address) as caller:
        said["grpc"] = {"ready": await caller.is_model_ready(MODEL)}
        response = await caller.infer(make_request())
        found = next(each for each in response.outputs if each.name == "probability")
        said["grpc"]["probability"] = found.as_numpy().tolist()
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
