"""Relaxations: the lifted basis, the families of products, the block form."""

from .basis import Lifting
from .families import PRESETS, catalogue, preset
from .forms import Family, Form, Term
from .lifting import lift

__all__ = ["PRESETS", "Family", "Form", "Lifting", "Term", "catalogue", "lift", "preset"]
