"""Branch and bound over signs of pre-activations: the search for trees of cases (bounds/cases.py)."""
