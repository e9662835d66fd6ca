"""Certified upper bounds of Lipschitz constants of ReLU networks by the HR-2 moment relaxation."""

from .network import Network

__version__ = "0.1.0"
__all__ = ["Network", "__version__"]
