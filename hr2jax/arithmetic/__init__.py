"""Arithmetic that proves: enclosures, balls, exact sums and norms, decimals."""
