"""Certificates: a claim, the multipliers that prove it, and the proof. Imports no engine and no JAX."""

from .certificate import Certificate, CertificateError

__all__ = ["Certificate", "CertificateError"]
