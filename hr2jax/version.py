"""The version, in one place, and those of the packages that a result depends on."""

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    import jax  # here: whoever asks for the version alone waits for no JAX
    import numpy as np

    return {"hr2jax": __version__, "numpy": np.__version__, "jax": jax.__version__}
