"""A pool of cutting planes of Newton's method, as a certificate has them, with what a search gives them."""

from __future__ import annotations

import numpy as np

from ...arithmetic.float64 import Array


class RowPool:
    """Rows in use, as a certificate has them but for the multipliers.

    Attributes:
        width: entries of a row.
        rows: (m, width).
        multipliers, values: (m,).
    """

    width = 0

    def clear(self) -> None:
        """No rows."""
        self.rows, self.multipliers, self.values = np.zeros((0, self.width)), np.zeros(0), np.zeros(0)

    def __len__(self) -> int:
        return len(self.rows)

    def keep(self, which: Array) -> None:
        """Only these."""
        self.rows, self.multipliers, self.values = self.rows[which], self.multipliers[which], self.values[which]

    def encoded(self, scale: float, every: bool = False) -> Array:
        """Rows for the certificate, or `every` row."""
        used = (self.multipliers > 0) | every
        return np.column_stack([self.rows[used], scale * self.multipliers[used]])

    def decode(self, rows: Array, scale: float) -> None:
        """The rows of a certificate, as `encoded` gives them."""
        self.rows, self.multipliers, self.values = rows[:, :-1], rows[:, -1] / scale, np.zeros(len(rows))

    def separate(self, E: Array, limit: int, least: float) -> int:
        """Add the at most `limit` most violated ones at the extended rows E, by more than `least`."""
        raise NotImplementedError

    def _add(self, rows: Array, values: Array) -> int:
        self.rows = np.concatenate([self.rows.reshape(len(self.rows), rows.shape[1]), rows])
        self.multipliers = np.concatenate([self.multipliers, np.zeros(len(rows))])
        self.values = np.concatenate([self.values, values])
        return len(rows)
