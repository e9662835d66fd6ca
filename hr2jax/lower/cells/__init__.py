"""Witnesses with one hidden layer: cells of activation patterns."""
