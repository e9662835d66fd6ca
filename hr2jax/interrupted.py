"""What Ctrl-C raises in a library call, and what SIGTERM is where a handler lets it interrupt."""

from __future__ import annotations

from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM, for a handler to raise: the call ends as by Ctrl-C, and says that it was SIGTERM."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended `solve`, `maximum`, `solve_all`, `certify` or `prove`.

    Attributes:
        result: what is proved so far, of the type that the call returns: a Result (status STOPPED, and a message that
            names Ctrl-C, or SIGTERM), Results (what was finished, and cheap bounds for the rest), a RobustnessReport,
            a Proof whose verdict is unknown; None where nothing was proved yet. A notebook finds it as
            sys.last_value.result.
    """

    def __init__(self, result: Any = None, by: str = "Ctrl-C"):
        proved = "nothing is proved yet" if result is None else "what is proved so far is in .result"
        super().__init__(f"stopped by {by}; {proved}")
        self.result, self._by = result, by

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.result, self._by)
