"""The page of a report holds all of it, nothing from elsewhere, and the same bytes for the same report."""

import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reparam.benchmark.page import write_page
from reparam.benchmark.report import Fresh, Report, read_report
from reparam.errors import MissingExtra, OutputError
from reparam.testing import tiny_bundle

pytest.importorskip("matplotlib", reason="the page's plots need matplotlib, of the extra 'report'")

EXAMPLE = read_report(Path(__file__).with_name("example_report.json"))
HOSTILE = "<script>alert('x')</script> & \"quoted\" $x_1$ <!-- "
VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """What a browser would see of a page, as far as tests ask."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self._open)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open):
            self.words.append(data)

    def of(self, tag: str, inside: str = "html") -> list[dict[str, str | None]]:
        """Attributes of the elements of a name that stand inside another."""
        return [named for name, named, around in self.elements if name == tag and inside in (*around, "html")]

    @property
    def text(self) -> str:
        return "".join(self.words)


def written(report: Report, tmp_path: Path) -> str:
    write_page(report, tmp_path / "page.html")
    return (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(EXAMPLE, tmp_path_factory.mktemp("page"))


def plain(report: Report, **other: object) -> Report:
    """The report with one timed arm alone, which is quick to draw."""
    return msgspec.structs.replace(report, arms=report.arms[:1], floors=(), comparison=None, **other)


def test_the_same_report_gives_the_same_bytes_whatever_style_the_user_has(tmp_path: Path) -> None:
    import matplotlib as mpl

    first = written(plain(EXAMPLE), tmp_path)
    with mpl.rc_context({"font.size": 30.0, "axes.grid": True, "svg.fonttype": "path", "lines.linewidth": 9.0}):
        assert written(plain(EXAMPLE), tmp_path) == first
        assert mpl.rcParams["font.size"] == 30.0


def test_the_page_asks_for_nothing_outside_itself(example: str) -> None:
    assert re.findall(r"https?:|//[a-z]|@import|\ssrc=|url\((?!#)", example) == []
    assert [named["href"] for named in Page(example).of("link")] == ["data:,"]


def test_whatever_a_report_holds_is_shown_as_text_and_never_obeyed(tmp_path: Path) -> None:
    timed = msgspec.structs.replace(EXAMPLE.arms[0], path=HOSTILE, device=HOSTILE, notes=(HOSTILE,), waits=HOSTILE)
    wrong = [msgspec.structs.replace(arm, reason=HOSTILE) for arm in EXAMPLE.arms if arm.status == "wrong"]
    comparison = EXAMPLE.comparison
    assert comparison is not None
    page = written(
        msgspec.structs.replace(
            EXAMPLE,
            arms=(timed, *wrong),
            bundle=msgspec.structs.replace(EXAMPLE.bundle, name=HOSTILE, likelihood=HOSTILE),
            machine=msgspec.structs.replace(EXAMPLE.machine, processor=HOSTILE, cards_unseen=HOSTILE),
            versions={HOSTILE: HOSTILE},
            answers=tuple(msgspec.structs.replace(each, answer=HOSTILE) for each in EXAMPLE.answers),
            not_scaled={"image": HOSTILE},
            comparison=msgspec.structs.replace(comparison, differences=(HOSTILE,), old_started=HOSTILE),
        ),
        tmp_path,
    )
    seen = Page(page)
    assert len(seen.of("script")) == 1
    assert seen.text.count(HOSTILE) > 15
    assert any(HOSTILE in (named["aria-label"] or "") for named in seen.of("svg", "figure"))


def test_what_is_not_printable_is_shown_by_its_escape(tmp_path: Path) -> None:
    loud = "\x1b[2J\x00\u202egnp.exe\ud800"
    arm = msgspec.structs.replace(EXAMPLE.arms[0], path=loud, notes=(loud,))
    bundle = msgspec.structs.replace(EXAMPLE.bundle, name=loud)
    page = written(msgspec.structs.replace(plain(EXAMPLE, bundle=bundle), arms=(arm,)), tmp_path)
    assert [letter for letter in page if not letter.isprintable() and letter != "\n"] == []
    assert r"Benchmark of \x1b[2J\x00\u202egnp.exe\ud800" in page
    assert "\nconst plots" in page  # the script keeps its lines


def test_a_comparison_with_another_bundle_begins_with_that(tmp_path: Path) -> None:
    comparison = EXAMPLE.comparison
    assert comparison is not None
    other = msgspec.structs.replace(comparison, bundles="old 1 before, new 2 now")
    report = msgspec.structs.replace(plain(EXAMPLE), comparison=other)
    assert (
        "What movedThe bundles differ: old 1 before, new 2 now.Against the report"
        in Page(written(report, tmp_path)).text
    )


def test_all_that_was_answered_refused_or_compared_is_on_the_page(example: str) -> None:
    text = Page(example).text
    comparison = EXAMPLE.comparison
    assert comparison is not None
    told = [part for each in EXAMPLE.answers for part in (each.question, *each.answer.split("; "))]
    told += [part for arm in EXAMPLE.arms if arm.status != "timed" for part in (arm.name, arm.reason or "")]
    told += [floor.reason or floor.asked for floor in EXAMPLE.floors]
    told += [*comparison.differences, *comparison.only_old, *comparison.only_new, *(m.arm for m in comparison.moves)]
    told += [*EXAMPLE.not_scaled.values(), *EXAMPLE.versions.values(), EXAMPLE.bundle.id, EXAMPLE.machine.processor]
    assert [part for part in told if part not in text] == []


def test_every_point_that_was_timed_is_in_the_plots_with_its_numbers(example: str) -> None:
    text = Page(example).text
    points = [(arm, point) for arm in EXAMPLE.arms for point in arm.points if point.rows_per_second]
    assert len(points) > 50
    for arm, point in points:
        label = f"{arm.device} {arm.precision} {arm.path}, batch {point.batch}: {point.rows_per_second:,.0f} rows/s"
        assert label in text


def test_every_plot_says_in_words_what_it_shows_and_every_table_has_a_caption_and_heads(example: str) -> None:
    page = Page(example)
    plots = page.of("svg", "figure")
    assert len(plots) == 21  # seven quantities, three operations
    assert all(named["role"] == "img" and len(named["aria-label"] or "") > 40 for named in plots)
    tables = [around for tag, _, around in page.elements if tag == "table"]
    assert len(page.of("caption", "table")) == len(tables) >= 5
    assert all(named["scope"] in ("col", "row", "rowgroup") for named in page.of("th"))


def test_series_that_share_a_colour_differ_in_marker_and_dashes() -> None:
    from reparam.benchmark.page.series import Looks

    looks = Looks(EXAMPLE).all
    assert len({look.colour for look in looks}) < len(looks)
    assert len({(look.colour, look.marker) for look in looks}) == len(looks)
    assert len({(look.colour, look.dash) for look in looks}) == len(looks)


def test_the_choice_is_the_arm_of_ours_with_the_most_rows_a_second(example: str) -> None:
    for operation in EXAMPLE.settings.operations:
        own = [arm for arm in EXAMPLE.arms if arm.operation == operation and not arm.path.startswith("torch")]
        best = max(point.rows_per_second or 0.0 for arm in own for point in arm.points)
        top = Page(example).text.partition("Refused or missed")[0]
        assert f"{best:,.0f} rows/s" in top


def test_an_id_is_there_once_and_whatever_names_one_finds_it(example: str) -> None:
    elements = Page(example).elements
    ids = [named["id"] for _, named, _ in elements if "id" in named]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'(?:href="#|url\(#)([^")]+)', example))
    assert len(wanted) > 20
    assert wanted <= set(ids)


def test_colours_of_the_plots_are_names_that_the_style_sheet_has_for_light_and_dark(example: str) -> None:
    style = example[example.index("<style>") : example.index("</style>")]
    light, dark = style.split("prefers-color-scheme", 1)
    used = set(re.findall(r"var\((--[a-z0-9]+)\)", example[example.index("<body>") :]))
    assert {"--c0", "--ink", "--soft", "--line", "--paper"} <= used
    assert [name for name in used if f"{name}:" not in light or f"{name}:" not in dark] == []
    assert re.findall(r'style="[^"]*#[0-9a-f]{6}', example) == []


def test_several_numbers_of_threads_are_told_apart(tmp_path: Path) -> None:
    arm = EXAMPLE.arms[0]
    both = (arm, msgspec.structs.replace(arm, threads=7, name="encode.cpu.fp32.numpy.t7"))
    text = Page(written(msgspec.structs.replace(plain(EXAMPLE), arms=both), tmp_path)).text
    assert "cpu fp32 numpy 2 thr." in text
    assert "cpu fp32 numpy 7 thr." in text


def test_memory_of_a_card_has_its_own_plots_and_column(tmp_path: Path) -> None:
    fresh = Fresh(batch=8, device_peak_bytes=3 * 2**30, joules_per_row=0.25)
    arm = msgspec.structs.replace(EXAMPLE.arms[0], fresh=fresh)
    text = Page(written(msgspec.structs.replace(plain(EXAMPLE), arms=(arm,)), tmp_path)).text
    assert "Memory of the device" in text
    assert "Memory of the host" not in text
    assert "3,072 MiB" in text
    assert "J a row" in text


def test_a_report_of_one_batch_or_of_a_clock_that_saw_nothing_is_drawn_all_the_same(tmp_path: Path) -> None:
    arm = EXAMPLE.arms[0]
    latency = arm.points[0].latency
    assert latency is not None
    none = msgspec.structs.replace(latency, p50_ns=0.0, p90_ns=0.0, p99_ns=0.0, mean_ns=0.0)
    for point in (arm.points[0], msgspec.structs.replace(arm.points[0], latency=none, rows_per_second=None)):
        short = msgspec.structs.replace(arm, points=(point,), scaling=(), scenarios=None, fresh=None, gate=None)
        assert "Every point" in written(msgspec.structs.replace(plain(EXAMPLE), arms=(short,)), tmp_path)


def test_a_report_in_which_nothing_ran_is_a_page_with_the_reasons(tmp_path: Path) -> None:
    arms = tuple(arm for arm in EXAMPLE.arms if arm.status == "unavailable")
    page = Page(written(msgspec.structs.replace(EXAMPLE, arms=arms, floors=(), comparison=None), tmp_path))
    assert page.of("svg") == []
    assert (arms[0].reason or "") in page.text
    assert "Plots" not in page.text


def test_a_page_without_matplotlib_is_refused_with_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"need matplotlib; pip install 'reparam\[report\]'"):
        write_page(EXAMPLE, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="make the folder first"):
        write_page(plain(EXAMPLE), tmp_path / "none" / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_page_beside_its_table(tmp_path: Path, cli: Callable[..., Any]) -> None:
    bundle, page = tiny_bundle(tmp_path / "tiny"), tmp_path / "page.html"
    options = ("--devices", "cpu", "--operations", "decode", "--batches", "1,2,4", "--threads", "1", "--seconds", "2")
    done = cli("benchmark", bundle, *options, "--paths", "numpy", "--page", page)
    assert done.code == 0
    assert "decode.cpu.fp32.numpy.t1" in done.out
    seen = Page(page.read_text(encoding="utf-8"))
    assert "Benchmark of tiny" in seen.text
    assert len(seen.of("svg", "figure")) >= 3


def test_the_command_refuses_a_page_without_matplotlib_before_it_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Any]
) -> None:
    bundle, page, out = tiny_bundle(tmp_path / "tiny"), tmp_path / "page.html", tmp_path / "report.json"
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = cli("benchmark", bundle, "--page", page, "--out", out)
    assert done.code == MissingExtra.exit_code
    assert "pip install 'reparam[report]'" in done.err
    assert not page.exists()
    assert not out.exists()


@pytest.mark.parametrize(("spread", "told"), [(0.31, "not settled, spread 31 %"), (0.02, "not settled, only 5 visits")])
def test_a_choice_that_did_not_settle_says_so_and_why(spread: float, told: str, tmp_path: Path) -> None:
    arm = EXAMPLE.arms[0]
    loose = tuple(msgspec.structs.replace(point, stable=False, spread=spread) for point in arm.points)
    arms = (msgspec.structs.replace(arm, points=loose),)
    assert told in Page(written(msgspec.structs.replace(plain(EXAMPLE), arms=arms), tmp_path)).text
