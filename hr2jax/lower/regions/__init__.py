"""Witnesses with several hidden layers: linear regions and ascent among them."""
