"""Pages in a real browser: nothing in the console, text there, narrow, dark and printed.

Needs Debian's package chromium (or another Chromium on the path); skipped without, which the message says.
"""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

import hr2jax

from ..reference.classifier import network
from .test_page import harmful

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Runs the browser on a page; what it printed, and what it said in the console."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser: one of {', '.join(BROWSERS)} is needed (Debian: apt-get install chromium)")

    def run(page, *flags):
        profile = tmp_path_factory.mktemp("profile")
        command = [path, *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page whose texts do harm, and one of a robustness report."""
    folder = tmp_path_factory.mktemp("pages")
    result = hr2jax.solve(network(), output=(0, 1), center=np.zeros(2), radius=0.5, relaxation="hr2z")
    result.report(folder / "result.html")
    plain = json.loads(result.to_json())
    bad = harmful(plain) | {"format": plain["format"]}
    bad["problem"] |= {name: plain["problem"][name] for name in ("quantity", "norm", "domain", "domain_kind")}
    (folder / "bad.json").write_text(json.dumps(bad))
    assert hr2jax.cli.main.main(["report", str(folder / "bad.json"), "-o", str(folder / "harmful.html")]) == 0
    inputs = np.random.default_rng(0).uniform(0, 1, (6, 2))
    hr2jax.certify(network(), inputs, radii=[0.05, 0.01], relaxation="shor").report(folder / "robust.html")
    return folder


def measured(page):
    """A copy that says how wide it is, which only a script can."""
    text = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text())
    copy = page.with_name(f"measured-{page.name}")
    script = "<script>document.title = `wide ${document.documentElement.scrollWidth} of ${innerWidth}`</script>"
    copy.write_text(text.replace("</body>", f"{script}</body>"))
    return copy


@pytest.mark.parametrize("name", ["harmful", "robust"])
def test_the_browser_shows_the_text_and_has_nothing_to_say(browser, pages, name):
    shown, console = browser(pages / f"{name}.html", "--dump-dom")
    assert console == []
    assert "<h1>" in shown and shown.count("<svg") >= 2 and "Hashes</h2>" in shown
    assert "<script" not in shown and "<img" not in shown


def test_a_script_that_got_past_would_be_refused_and_noticed(browser, pages):
    page = pages / "planted.html"
    planted = "<script>document.title = 'ran'</script></body>"
    page.write_text((pages / "result.html").read_text().replace("</body>", planted))
    shown, console = browser(page, "--dump-dom")
    assert len(console) == 1 and "Content Security Policy" in console[0]
    assert "<title>ran" not in shown


@pytest.mark.parametrize("name", ["result", "harmful", "robust"])
def test_nothing_is_cut_off_at_400_pixels(browser, pages, name):
    shown, _ = browser(measured(pages / f"{name}.html"), "--dump-dom", "--window-size=400,800")
    wide, window = map(int, re.search(r"<title>wide (\d+) of (\d+)", shown).groups())
    assert wide <= window <= 500  # some browsers have no narrower windows


def test_dark_and_light(browser, pages):
    image = pytest.importorskip("matplotlib.image")
    brightness = []
    for flags in ((DARK,), ()):
        out = pages / f"shot{len(flags)}.png"
        browser(pages / "result.html", f"--screenshot={out}", "--window-size=800,600", *flags)
        shot = image.imread(out)[..., :3]
        brightness.append(float(np.median(shot)))
        assert shot.std() > 0.02  # something is drawn
    assert brightness[0] < 0.2 and brightness[1] > 0.9


def test_it_prints(browser, pages):
    browser(pages / "result.html", f"--print-to-pdf={pages / 'page.pdf'}")
    assert (pages / "page.pdf").read_bytes().startswith(b"%PDF")
