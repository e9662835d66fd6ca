"""Solvers. What they return steers; only the certificate proves."""
