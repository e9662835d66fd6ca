"""Relaxations: the lifted basis, the families of products, the block form."""

from .families import PRESETS, Family, Form, Term, catalogue, preset
from .lifting import Lifting, lift

__all__ = ["PRESETS", "Family", "Form", "Lifting", "Term", "catalogue", "lift", "preset"]
