"""Certified upper bounds of Lipschitz constants of ReLU networks by the HR-2 moment relaxation."""

from .api import solve
from .certificate import Certificate, CertificateError
from .io import load
from .many import solve_all
from .network import Network
from .result import Progress, Result, Status
from .robustness import RobustnessReport, certify
from .version import __version__

__all__ = [
    "Certificate", "CertificateError", "Network", "Progress", "Result", "RobustnessReport", "Status", "__version__",
    "certify", "load", "solve", "solve_all",
]  # fmt: skip
