"""Linear algebra that proofs rest on: arrow matrices, definiteness, the dual's diagonal."""
