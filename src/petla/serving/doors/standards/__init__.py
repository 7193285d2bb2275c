"""Protocols that others defined: the Open Inference Protocol, version 2, over HTTP and gRPC, and MLflow's."""
