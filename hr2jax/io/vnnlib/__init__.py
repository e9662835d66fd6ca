"""VNN-LIB property files, versions 1.0 and 2.0 (https://www.vnnlib.org): what they say, in exact rational numbers."""

from .formula import Formula, Inequality, Junction
from .read import Region, VnnlibProperty, parsed, read_vnnlib

__all__ = ["Formula", "Inequality", "Junction", "Region", "VnnlibProperty", "parsed", "read_vnnlib"]
