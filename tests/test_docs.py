"""Docstrings, comments and pages cite what exists: paths of files, links between pages, headings."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = [path for folder in ("hr2jax", "tests", "bench", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

# files of Python and pages, in folders or not; and whatever begins like a path from the root
FILE = re.compile(r"(?<![\w./*<-])(?:[\w-]+/)*[\w-]+\.(?:py|md)\b(?!\.\w)")
FROM_ROOT = re.compile(r"(?<![\w./*<-])(?:hr2jax|docs|bench|tests|examples)/[\w./-]*(?![\w./*<{-])")
# documents that are cited by number only: they are not in the repository
DOCUMENT = re.compile(r"\b[A-Z]{4,}(?:\.md)?(?:'s|,)? (?:sections?|steps?|chapters?) \d|\b[A-Z]{4,} \d\b(?=\))")
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")


def cited(text):
    """Paths and documents that the text cites."""
    paths = {found.rstrip(".") for pattern in (FILE, FROM_ROOT) for found in pattern.findall(text)}
    return paths | set(DOCUMENT.findall(text))


def missing(text, folders):
    """What the text cites and none of the folders has."""
    return sorted(path for path in cited(text) if not any((folder / path).exists() for folder in folders))


def words(path):
    """The docstrings and comments of a Python file."""
    source = path.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def above(path):
    """The folders that contain a file, up to the repository's."""
    return [folder for folder in path.parents if folder.is_relative_to(ROOT)]


def headings(page):
    """The anchors of a page's headings, as GitHub names them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), flags=re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(page, text):
    """The links of a page that lead nowhere."""
    for link in LINK.findall(text):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in headings(target)):
            yield link


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_and_comments_cite_what_exists(path):
    assert missing("\n".join(words(path)), above(path)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_cite_what_exists(page):
    text = page.read_text()
    assert list(broken(page, text)) == []
    if page.name != "CHANGELOG.md":  # which names what there was
        assert missing(text, [*above(page), ROOT / "hr2jax"]) == []


NAME = re.compile(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:\(.*?\)|\[.*?\])?`")


def unknown(text, words_of_files):
    """Names in backquotes, dotted or not, whose parts no file of the code has together."""
    names = {tuple(name.split(".")) for name in NAME.findall(text) if not (ROOT / name).is_file()}
    return sorted(".".join(name) for name in names if not any(set(name) <= known for known in words_of_files))


@pytest.fixture(scope="module")
def words_of_files():
    files = [path for path in CODE if path != Path(__file__).resolve()] + [ROOT / "pyproject.toml"]
    return [set(re.findall(r"\w+", f.read_text())) | set(f.relative_to(ROOT).with_suffix("").parts) for f in files]


def test_pages_name_what_the_code_has(words_of_files):
    """A name that the code has given up is not left in a page."""
    for page in PAGES:
        if page.name != "CHANGELOG.md":
            assert unknown(page.read_text(), words_of_files) == [], page.name
    planted = ["Lifting.no_such_entry", "NoSuchClass", "no_such_function(f)", "NO_SUCH[0]"]
    assert len(unknown(" ".join(f"`{name}`" for name in planted), words_of_files)) == len(planted)


@pytest.mark.parametrize(
    "planted",
    [
        "masked.py has it", "See docs/nowhere.md.", "(hr2jax/engines/lost.py)", "rows in bench/results/lost.json",
        "The proof (DESIGN section 6, one layer)", "the pitfalls (SOLVERS.md, pitfalls)", "(DESIGN sections 1 and 2)",
        "what they amount to (DESIGN 3)", "`python bench/lost.py --quick`", "in hr2jax/lost/ alone",
    ],
)  # fmt: skip
def test_a_planted_citation_is_found(planted, tmp_path):
    assert missing(planted, [ROOT, ROOT / "hr2jax"])
    method = f'class A:\n    def f(self):\n        """{planted}"""\n'
    for text in (f'"""{planted}"""\n', f"x = 1  # {planted}\n", method):
        (tmp_path / "planted.py").write_text(text)
        assert missing("\n".join(words(tmp_path / "planted.py")), [ROOT, ROOT / "hr2jax"])


@pytest.mark.parametrize("link", ["theory/nowhere.md", "measured.md#nowhere", "../bench/results/lost.txt", "#nowhere"])
def test_a_planted_link_is_found(link):
    assert list(broken(ROOT / "docs" / "measured.md", f"[words]({link})")) == [link]


def test_the_architecture_names_every_room():
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = [path for path in (ROOT / "hr2jax").rglob("*") if path.is_dir() and path.name != "__pycache__"]
    assert [path.name for path in rooms if f"{path.name}/" not in text] == []
    assert [p.name for p in (ROOT / "hr2jax").glob("*.py") if not re.search(rf"\b{p.stem}\b", text)] == []
