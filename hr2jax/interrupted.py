"""What Ctrl-C raises in a library call."""

from __future__ import annotations

from typing import Any


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended `solve`, `maximum`, `solve_all`, `certify` or `prove`.

    Attributes:
        result: what is proved so far, of the type that the call returns: a Result (status STOPPED, and a message that
            names Ctrl-C), Results (what was finished, and cheap bounds for the rest), a RobustnessReport, a Proof
            whose verdict is unknown; None where nothing was proved yet. A notebook finds it as sys.last_value.result.
    """

    def __init__(self, result: Any = None):
        proved = "nothing is proved yet" if result is None else "what is proved so far is in .result"
        super().__init__(f"stopped by Ctrl-C; {proved}")
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.result,)
