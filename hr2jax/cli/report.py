"""`hr2jax report`: a result as a page."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from .answer import EXIT_CODES, YES, checked_outputs


def report_command(arguments: argparse.Namespace) -> int:
    """Write the page of a result's JSON."""
    from ..machine.files import opened, written
    from ..page.choose import page_of

    out = checked_outputs({"out": Path(arguments.out)}, (arguments.result,))["out"]
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"the page is HTML, so that its name must end in .html, but {arguments.out!r} was given")
    with opened(arguments.result) as file:
        data = file.read()
    if data.startswith(b"PK"):
        raise ValueError(
            f"{str(arguments.result)!r} is an archive of arrays, such as a certificate; report reads what --json of "
            "hr2jax solve, certify or prove wrote"
        )
    name = Path(arguments.result).name
    written(page_of(data, str(arguments.result), [(name, hashlib.sha256(data).hexdigest())]), out, end="")
    print(f"{out}: a page of its own; open it in any browser")
    return YES


REPORT = """Write one page of HTML about a result: the claim in words, bound, attained value and gap as a picture, how
the bound came down, the layers, what was proved and how to prove it again, hashes. RESULT.json is what --json of
hr2jax solve, certify or prove wrote, or to_json in Python. The page loads nothing and runs no script.
"""
REPORT_EXAMPLES = f"""examples:
  hr2jax solve model.npz --output 3 --certificate bound.cert.npz --json bound.json
  hr2jax report bound.json -o bound.html

{EXIT_CODES}"""
