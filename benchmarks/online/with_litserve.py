"""The model behind LitServe: `python with_litserve.py MODEL PORT BATCH_SIZE`."""

import sys
from typing import Any

import joblib
import litserve
import pandas as pd
from fastapi import Request

# NOTE: LitServe starts processes that import this file again, with the same arguments.
PATH, PORT, BATCH_SIZE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


class Fraud(litserve.LitAPI):
    """Takes one object or a list of objects a request, several requests a run where it batches."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load the model in the process that runs it."""
        self.model = joblib.load(PATH)

    def decode_request(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Take the body as it is; LitServe goes by the annotation and hands in the JSON."""
        return request

    def predict(self, x: Any) -> Any:  # noqa: ANN401 - a body; where it batches, a list of bodies
        """Score all rows in one call of the model."""
        bodies = x if BATCH_SIZE > 1 else [x]
        rows = [row for body in bodies for row in (body if isinstance(body, list) else [body])]
        scores = iter(self.model.predict_proba(pd.DataFrame(rows))[:, 1].tolist())
        answers = [
            [_answer(next(scores)) for _ in body] if isinstance(body, list) else _answer(next(scores))
            for body in bodies
        ]
        return answers if BATCH_SIZE > 1 else answers[0]

    def encode_response(self, output: Any) -> Any:  # noqa: ANN401 - JSON
        """Answer what `predict` made."""
        return output


def _answer(score: float) -> dict[str, Any]:
    return {"is_fraud": score >= 0.5, "probability": score}


if __name__ == "__main__":
    api = Fraud(max_batch_size=BATCH_SIZE, batch_timeout=0.001 if BATCH_SIZE > 1 else 0.0)
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=1)
    server.run(host="127.0.0.1", port=PORT, num_api_servers=1, log_level="error", generate_client_file=False)
