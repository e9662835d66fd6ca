"""`prove`: the search for counterexamples, and for proofs that there are none. It steers; hr2jax/proof/ proves."""
