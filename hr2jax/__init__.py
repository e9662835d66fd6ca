"""Certified upper bounds of Lipschitz constants of neural networks by the HR-2 moment relaxation."""

import logging
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .api import maximum, solve
    from .certificate.certificate import Certificate, CertificateError
    from .domain import Ball, Box
    from .engines.bilinear.maximise import PenaltyState
    from .interrupted import Interrupted
    from .layer import Layer
    from .network import Network
    from .penalty import lipschitz_bounds, lipschitz_penalty
    from .proof.proof import Proof, Verdict
    from .proving.prove import prove
    from .reading import as_network, load
    from .result import Progress, Result, Status
    from .results import Results
    from .robustness import RobustnessReport, certify
    from .solving.many import solve_all

__all__ = [
    "Ball", "Box", "Certificate", "CertificateError", "Interrupted", "Layer", "Network", "PenaltyState", "Progress",
    "Proof", "Result", "Results", "RobustnessReport", "Status", "Verdict", "__version__", "as_network", "certify",
    "lipschitz_bounds", "lipschitz_penalty", "load", "maximum", "prove", "solve", "solve_all",
]  # fmt: skip

# Nothing is printed unless the application asks for it (the logging HOWTO, "Configuring logging for a library").
logging.getLogger(__name__).addHandler(logging.NullHandler())

# Where they are. Imported on use (PEP 562): JAX takes a second, in which the command line must already hear Ctrl-C.
_MODULES = {
    "api": ("maximum", "solve"), "certificate": ("Certificate", "CertificateError"), "reading": ("as_network", "load"),
    "solving.many": ("solve_all",), "domain": ("Ball", "Box"), "network": ("Network",), "layer": ("Layer",),
    "interrupted": ("Interrupted",),
    "result": ("Progress", "Result", "Status"), "results": ("Results",),
    "penalty": ("PenaltyState", "lipschitz_bounds", "lipschitz_penalty"),
    "robustness": ("RobustnessReport", "certify"), "proof.proof": ("Proof", "Verdict"), "proving.prove": ("prove",),
}  # fmt: skip
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
        return value
    if not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
