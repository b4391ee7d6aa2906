"""ONNX graphs, built node by node."""
