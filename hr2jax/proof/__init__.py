"""Properties of networks: what is asked, and the proof of a verdict. NumPy and rational numbers, no engine."""
