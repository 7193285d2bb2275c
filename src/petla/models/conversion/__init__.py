"""From a trained estimator to ONNX, and proof that both answer the same."""
