"""Alternating maximisation over unit rows."""
