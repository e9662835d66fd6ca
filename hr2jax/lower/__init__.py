"""Lower bounds: what points of the domain attain, and the search for a point that attains much."""

from .attained import attained
from .search import search

__all__ = ["attained", "search"]
