"""Names of a test's parameters: the same in every process, as those that share the tests out need them."""

import re


def ids(value: object) -> str:
    """`repr`, without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
