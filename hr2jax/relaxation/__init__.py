"""Relaxations: the lifted basis, the families of products, the block form."""

from .families import CATALOGUE, PRESETS, Family, Form, Term, preset
from .lifting import Lifting, lift

__all__ = ["CATALOGUE", "PRESETS", "Family", "Form", "Lifting", "Term", "lift", "preset"]
