"""ONNX: chains of affine maps and ReLUs in a graph."""
