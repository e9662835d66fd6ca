"""Relaxations: the lifted basis, the families of products, the block form."""

from .basis import Lifting
from .families import catalogue, preset
from .forms import Family, Form, Term
from .lifting import lift
from .table import RELAXATIONS, Relaxation

__all__ = ["RELAXATIONS", "Family", "Form", "Lifting", "Relaxation", "Term", "catalogue", "lift", "preset"]
