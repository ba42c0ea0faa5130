"""The page as headless Chromium shows it: no message on the console, plots there, readable on a desk and in a hand."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reparam.benchmark.page import write_page
from reparam.benchmark.report import read_report

pytest.importorskip("matplotlib", reason="the page's plots need matplotlib, of the extra 'report'")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH; Debian has it as the package chromium")

EXAMPLE = Path(__file__).with_name("example_report.json")
WIDTHS = (1280, 400)
SMALLEST = 11  # pixels of text in a plot, as shown
# Chromium's own window is never narrower than 500 pixels, so the page is looked at in frames of the widths wanted.
LOOK = """<!doctype html><meta charset="utf-8"><body style="margin: 0">FRAMES<pre id="seen"></pre><script>
addEventListener("load", () => {
  const seen = [...document.querySelectorAll("iframe")].map((frame) => {
    const view = frame.contentWindow, page = frame.contentDocument;
    const plots = [...page.querySelectorAll("figure svg")];
    const texts = plots.flatMap((plot) => [...plot.querySelectorAll("text")].map((text) => {
      const scale = plot.getBoundingClientRect().width / plot.viewBox.baseVal.width;
      const box = text.getBoundingClientRect();
      return {
        words: text.textContent, pixels: parseFloat(view.getComputedStyle(text).fontSize) * scale,
        left: box.left, right: box.right,
      };
    }));
    const first = page.querySelector(".legend button");
    if (first) first.click();
    return {
      inner: view.innerWidth, scroll: page.documentElement.scrollWidth, texts,
      plots: plots.map((plot) => plot.getBoundingClientRect()).map((box) => [box.width, box.height]),
      points: page.querySelectorAll("figure svg use > title").length,
      faint: page.querySelectorAll("figure .faint").length,
      sizes: ["h1", ".choice dd", ".answers dd", "td"].map((each) =>
        page.querySelector(each) && parseFloat(view.getComputedStyle(page.querySelector(each)).fontSize)),
      answers: [...page.querySelectorAll(".answers dd")].map((each) => view.getComputedStyle(each).fontSize),
      columns: new Set(plots.map((plot) => Math.round(plot.getBoundingClientRect().left))).size,
    };
  });
  document.getElementById("seen").textContent = JSON.stringify(seen);
});
</script></body>"""


def look(page: str, tmp_path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """What is seen at each width, and what the console says."""
    frames = "".join(
        f'<iframe width="{width}" height="900" style="border: 0" srcdoc="{html.escape(page)}"></iframe>'
        for width in WIDTHS
    )
    (tmp_path / "look.html").write_text(LOOK.replace("FRAMES", frames), encoding="utf-8")
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--window-size=1300,1000", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--dump-dom",
        (tmp_path / "look.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    (seen,) = re.findall(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(html.unescape(seen)), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], list[str]]:
    place = tmp_path_factory.mktemp("browser")
    write_page(read_report(EXAMPLE), place / "page.html")
    return look((place / "page.html").read_text(encoding="utf-8"), place)


def test_the_console_stays_silent(shown: tuple[list[dict[str, Any]], list[str]]) -> None:
    assert shown[1] == []


@pytest.mark.parametrize("place", range(len(WIDTHS)), ids=map(str, WIDTHS))
def test_no_page_is_wider_than_its_window(shown: tuple[list[dict[str, Any]], list[str]], place: int) -> None:
    seen = shown[0][place]
    assert seen["inner"] == WIDTHS[place]
    assert seen["scroll"] <= seen["inner"]


@pytest.mark.parametrize("place", range(len(WIDTHS)), ids=map(str, WIDTHS))
def test_all_plots_are_there_with_their_points(shown: tuple[list[dict[str, Any]], list[str]], place: int) -> None:
    seen = shown[0][place]
    assert len(seen["plots"]) == 21
    assert all(width > 300 and height > 80 for width, height in seen["plots"])
    assert seen["points"] > 300
    assert seen["columns"] == (3 if WIDTHS[place] > 1000 else 1)


@pytest.mark.parametrize("place", range(len(WIDTHS)), ids=map(str, WIDTHS))
def test_text_in_plots_is_large_enough_and_inside_the_window(
    shown: tuple[list[dict[str, Any]], list[str]], place: int
) -> None:
    seen = shown[0][place]
    assert len(seen["texts"]) > 200
    assert [each for each in seen["texts"] if each["pixels"] < SMALLEST] == []
    assert [each for each in seen["texts"] if each["left"] < 0 or each["right"] > seen["inner"]] == []


@pytest.mark.parametrize("place", range(len(WIDTHS)), ids=map(str, WIDTHS))
def test_the_choice_is_the_largest_text(shown: tuple[list[dict[str, Any]], list[str]], place: int) -> None:
    title, choice, answer, cell = shown[0][place]["sizes"]
    assert choice > title > answer > cell >= 14


@pytest.mark.parametrize("place", range(len(WIDTHS)), ids=map(str, WIDTHS))
def test_all_answers_are_in_letters_of_one_size(shown: tuple[list[dict[str, Any]], list[str]], place: int) -> None:
    assert len(shown[0][place]["answers"]) == len(read_report(EXAMPLE).answers)
    assert len(set(shown[0][place]["answers"])) == 1


def test_a_series_that_is_pressed_in_the_legend_stands_alone(shown: tuple[list[dict[str, Any]], list[str]]) -> None:
    assert all(seen["faint"] > 100 for seen in shown[0])


def test_a_page_that_is_too_wide_or_in_error_would_be_seen(tmp_path: Path) -> None:
    page = "<!doctype html><body><p style='width: 900px'>wide</p><script>undefined.here</script></body>"
    seen, console = look(page, tmp_path)
    assert [each["scroll"] > each["inner"] for each in seen] == [False, True]
    assert any("undefined" in line for line in console)
