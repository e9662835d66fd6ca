"""MkDocs' hooks: pages that lie at the repository's root are shown, and links out of docs/ name the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WHOLE = re.compile(r"^<!-- (CONTRIBUTING|CHANGELOG)\.md -->$", re.M)
SCHEMA = re.compile(r"^<!-- (\w+)\.schema\.json -->$", re.M)
LINK = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)\s]*)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put in the page that a comment names; unlink what is not part of the site."""
    text = WHOLE.sub(lambda found: _from_root(found[1]), markdown)
    text = SCHEMA.sub(lambda found: _schema(found[1]), text)
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def kept(found: re.Match[str]) -> str:
        target = (folder / found[2].partition("#")[0]).resolve()
        if target.is_relative_to(ROOT / "docs"):
            return found[0]
        name = target.relative_to(ROOT)
        return f"`{name}`" if found[1] in (name.name, str(name)) else f"{found[1]} (`{name}`)"

    return LINK.sub(kept, text)


def _schema(name: str) -> str:
    """A schema that ships with the package, as a block of code."""
    return f"```json\n{(ROOT / 'hr2jax' / 'data' / f'{name}.schema.json').read_text()}```"


def _from_root(name: str) -> str:
    """A page of the root, its links as docs/ has them."""
    text = (ROOT / f"{name}.md").read_text()
    if name == "CONTRIBUTING":  # its first heading is the page's own
        text = text.partition("\n")[2]
    return text.replace("](docs/", "](")
