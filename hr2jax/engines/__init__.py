"""Engines: solvers of a relaxation. What they return steers; only the certificate proves."""


