"""Robustness of a classifier: certified from Lipschitz constants, attacked from the other side."""

from .report import RobustnessReport
from .run import certify

__all__ = ["RobustnessReport", "certify"]
