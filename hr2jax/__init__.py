"""Certified upper bounds of Lipschitz constants of ReLU networks by the HR-2 moment relaxation."""

from .api import maximum, solve
from .certificate import Certificate, CertificateError
from .io import load
from .many import solve_all
from .network import Network
from .penalty import PenaltyState, lipschitz_bounds, lipschitz_penalty
from .result import Progress, Result, Status
from .robustness import RobustnessReport, certify
from .version import __version__

__all__ = [
    "Certificate", "CertificateError", "Network", "PenaltyState", "Progress", "Result", "RobustnessReport", "Status",
    "__version__", "certify", "lipschitz_bounds", "lipschitz_penalty", "load", "maximum", "solve", "solve_all",
]  # fmt: skip
