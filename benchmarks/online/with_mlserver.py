"""The model behind MLServer, in the Open Inference Protocol: what `model-settings.json` names."""

import joblib
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, PandasCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Fraud(MLModel):
    """Takes one tensor a column; MLServer joins those of several requests where it batches."""

    async def load(self) -> bool:
        """Load the model."""
        self.model = joblib.load(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Score all rows in one call of the model."""
        scores = self.model.predict_proba(PandasCodec.decode_request(payload))[:, 1]
        labels = NumpyCodec.encode_output("is_fraud", (scores >= 0.5).reshape(-1, 1))
        outputs = [labels, NumpyCodec.encode_output("probability", scores.reshape(-1, 1))]
        return InferenceResponse(model_name=self.name, outputs=outputs)
