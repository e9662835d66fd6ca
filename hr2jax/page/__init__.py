"""A result as one self-contained page of HTML: no script, nothing from the network, every text escaped."""
