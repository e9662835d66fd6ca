"""Certified upper bounds of Lipschitz constants of ReLU networks by the HR-2 moment relaxation."""

from .api import maximum, solve
from .certificate import Certificate, CertificateError
from .io import load
from .many import solve_all
from .network import Network
from .result import Progress, Result, Status
from .version import __version__

__all__ = [
    "Certificate", "CertificateError", "Network", "Progress", "Result", "Status", "__version__", "load", "maximum",
    "solve", "solve_all",
]  # fmt: skip
