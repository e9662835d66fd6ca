"""HTML that is escaped unless this package wrote it, and the frame of a page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Markup(str):
    """Text that is HTML already; any other text is escaped where it enters a tag."""

    __slots__ = ()


def tag(name: str, *inside: object, **attributes: object) -> Markup:
    """<name attributes>inside</name>; attributes are escaped, `class_` is class, None leaves one out."""
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            words.append(f'{key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"')
    return Markup(f"<{' '.join(words)}>{join(inside)}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Markup:
    """The parts as HTML: Markup as it is, everything else escaped."""
    return Markup(between.join(part if isinstance(part, Markup) else html.escape(str(part)) for part in parts))


def rows(pairs: Iterable[tuple[object, object]]) -> Markup:
    """Names and what they are, as a table of two columns."""
    return tag("table", *(tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in pairs))


def grid(head: Sequence[object], body: Iterable[Sequence[object]], numbers: Sequence[int] = ()) -> Markup:
    """A table under a head, wide ones in a frame that scrolls; the columns `numbers` are aligned to the right."""

    def cells(kind: str, row: Sequence[object]) -> Markup:
        return tag("tr", *(
            tag(kind, cell, class_="number" if i in numbers else None, scope="col" if kind == "th" else None)
            for i, cell in enumerate(row)
        ))  # fmt: skip

    return tag("div", tag("table", tag("thead", cells("th", head)), tag("tbody", *(cells("td", row) for row in body))),
               class_="wide")  # fmt: skip


def section(title: str, *inside: object) -> Markup:
    """A part of the page under its heading."""
    return tag("section", tag("h2", title), *inside)


def code(*lines: str) -> Markup:
    """Lines to copy."""
    return tag("pre", tag("code", "\n".join(lines)))


def document(title: str, *body: object) -> str:
    """The whole page. Its policy forbids scripts and loading anything, even for what would get past the escaping."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"{tag('title', title)}\n<style>{STYLE}</style>\n</head>\n<body>\n{tag('main', *body)}\n</body>\n</html>\n"
    )


STYLE = """
:root { --paper: #fff; --ink: #1b1f24; --quiet: #57606a; --line: #d0d7de; --shade: #f6f8fa; --bound: #0b5cad;
  --lower: #1a7f37; --estimate: #a04900; --accent: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --paper: #0d1117; --ink: #e6edf3; --quiet: #9aa4af; --line: #30363d;
  --shade: #161b22; --bound: #6cb0ff; --lower: #56d364; --estimate: #f0a04b; --accent: #6cb0ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.claim { font-size: 1.1rem; padding: .75rem 1rem; background: var(--shade); border-left: 4px solid var(--accent); }
.quiet { color: var(--quiet); }
.figures { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 1rem 0; }
.figures div { min-width: 7rem; } .figures b { display: block; font-size: 1.35rem; font-weight: 600; }
.figures span { color: var(--quiet); font-size: .85rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--quiet); } td { overflow-wrap: anywhere; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.number { white-space: normal; }
.wide { overflow-x: auto; } .name { white-space: nowrap; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--shade); padding: .75rem 1rem;
  font-size: .85rem; }
code { font-family: ui-monospace, monospace; }
figure { margin: .75rem 0; } figcaption { color: var(--quiet); font-size: .85rem; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .quiet { fill: var(--quiet); }
svg .axis { stroke: var(--line); } svg .bound { stroke: var(--bound); } svg .lower { stroke: var(--lower); }
svg .estimate { stroke: var(--estimate); } svg .curve { fill: none; stroke-width: 2; }
svg .dots { fill: var(--bound); stroke: none; } svg .dashed { stroke-dasharray: 6 4; }
svg .dotted { stroke-dasharray: 2 4; } svg .in-lower { fill: var(--lower); } svg .in-gap { fill: url(#hatch); }
svg .in-rest { fill: var(--line); } svg .in-bound { fill: var(--bound); }
svg .hatched { stroke: var(--bound); stroke-width: 3; }
.bar { min-width: 6rem; }
@media (max-width: 480px) { main { padding: 1rem .75rem 2rem; } h1 { font-size: 1.25rem; }
  table { font-size: .85rem; } }
@media print { :root { --paper: #fff; --ink: #000; --quiet: #444; --line: #bbb; --shade: #f4f4f4; --bound: #0b5cad;
  --lower: #1a7f37; --estimate: #a04900; } main { max-width: none; padding: 0; }
  section, figure { break-inside: avoid; } }
"""
