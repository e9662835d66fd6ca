"""A solve: its checks, stages, session and result; many of them."""
