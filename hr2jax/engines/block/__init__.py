"""Engines on the block form: ADMM, and interior-point references."""
