"""What runs a package: ONNX Runtime in this process, or the original Python model in a process of its own.

`running.py` opens either behind one protocol.
"""
