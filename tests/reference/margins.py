"""The exact answer for tiny networks: the least margin on a box, by a linear program for each activation pattern."""

import itertools

import numpy as np
from scipy.optimize import linprog


def least_margin(net, x, label, radius, clip=None):
    """min over j and over |y - x| <= radius (y in the clip box) of F_label(y) - F_j(y); one hidden layer, by HiGHS."""
    (A, C), (b, d) = net.weights, net.biases
    low, high = x - radius, x + radius
    if clip is not None:
        low, high = np.maximum(low, clip[0]), np.minimum(high, clip[1])
    z, spread = A @ (low + high) / 2 + b, np.abs(A) @ (high - low) / 2
    there = [[on for on in (0.0, 1.0) if (1 - 2 * on) * z[k] <= spread[k] + 1e-6] for k in range(len(b))]
    least = np.inf
    for pattern in itertools.product(*there):
        on = np.array(pattern)
        sign = 1 - 2 * on  # on: A y + b >= 0; off: <= 0
        for rival in range(len(d)):
            if rival == label:
                continue
            c = (C[label] - C[rival]) * on
            found = linprog(
                c @ A, sign[:, None] * A, -sign * b, bounds=np.stack((low, high), axis=1), method="highs"
            )
            if found.status == 0:
                least = min(least, found.fun + c @ b + d[label] - d[rival])
    return least
