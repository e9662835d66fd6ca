"""Engines on the product form: `lowrank` and `newton`, and their cutting planes."""
