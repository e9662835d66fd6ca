"""Functions of JAX, and the modules of Flax and Equinox, by their jaxprs. JAX traces them; nothing is run."""
