"""Robustness of a classifier: certified from Lipschitz constants, attacked from the other side."""

from .certify import certify
from .report import RobustnessReport

__all__ = ["RobustnessReport", "certify"]
