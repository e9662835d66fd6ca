"""`python -m hr2jax`: the command line."""

import sys

from .cli import main

sys.exit(main())
