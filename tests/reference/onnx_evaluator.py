"""Operators that ONNX's evaluator computes in float32, in double."""

import numpy as np
from onnx.reference.op_run import OpRun
from scipy import special


def _unary(name, function):
    def _run(self, x, **attributes):
        return (np.asarray(function(x, **attributes)),)

    return type(name, (OpRun,), {"op_domain": "", "_run": _run})


def _gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + np.float32(0.044715) * x**3)))
    return 0.5 * x * (1.0 + special.erf(x / np.sqrt(2.0)))


OPERATORS = [
    _unary("Erf", special.erf),
    _unary("Gelu", _gelu),
    _unary("HardSwish", lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0)),
    _unary("HardSigmoid", lambda x, alpha, beta: np.clip(alpha * x + beta, 0.0, 1.0)),
]
