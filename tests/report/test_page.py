import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from plaudit.errors import PlauditError
from plaudit.printable import make_visible
from plaudit.report.data import ReportData, RunView
from plaudit.report.page import proof_rows, render, shown_samples, write_report
from plaudit.report.plots import accuracy_plot, curve_plot

SECTIONS = [
    "Feedback",
    "Reward model",
    "Reinforcement learning",
    "Proof",
    "Side by side",
    "Read with care",
    "Provenance",
]


class Page(HTMLParser):
    """Tags in order; fails on one that is closed out of turn."""

    def __init__(self, html):
        super().__init__()
        self.open, self.seen, self.attributes, self.words = [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def page(summary, metrics, samples, runs):
    return render(ReportData.from_summary(summary, metrics, samples, runs))


@pytest.fixture
def lists(metrics, samples, runs):
    return {"metrics": metrics, "samples": samples, "runs": runs}


def headings(html):
    return re.findall(r"<h2>(.*?)</h2>", html)


def test_everything_has_its_place(page):
    assert headings(page) == SECTIONS
    found = Page(page)
    assert found.seen.count("svg") == 4 + 6
    for words in (
        "Yes: the aligned model’s answers are preferred.",
        "95% interval 81% to 92%",
        "94%",
        "78% of the way from a coin to the hidden utility",
    ):
        assert words in found.text
    for figure in ("7.9", "1.74", "5 min 38 s", "2 130", "1.9 to 3.4", "7712abcd7712", "plaudit align", "torch 2.13.0"):
        assert figure in found.text


def test_the_page_needs_nothing_else(page):
    found = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & set(found.seen)
    assert not re.search(r"https?:|url\((?!#)|@import|//\w", page)
    assert all(value.startswith("#") for name, value in found.attributes if name in {"src", "href", "xlink:href"})
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_references_within_the_page_are_met_once(page):
    ids = re.findall(r' id="([^"]+)"', page)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', page))
    assert used
    assert used <= set(ids)
    assert len(ids) == len(set(ids))


def test_plots_take_their_colours_from_the_page(page):
    drawings = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert set(re.findall(r"var\(--[a-z]+\)", drawings)) >= {"var(--ink)", "var(--muted)", "var(--aligned)"}
    assert not re.search(r"#[0-9a-f]{6};|: (black|white)\b", drawings)


HOSTILE = [
    "<script>alert(1)</script>", "</div></section><h1>gone", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}{% raw %}",
    "<style>*{display:none}</style>", "&lt;b&gt;", "a\x00b\x1b[31m\ud800", "\u202eright to left", "$\\frac{1}{0}$",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(text, summary, samples, runs, tmp_path):
    clean = Page(render(ReportData.from_summary(summary, (), samples, runs)))
    for field in ("prompt", "base", "aligned", "reference"):
        samples[0][field] = text
    summary |= {
        "model": text,
        "judge": text,
        "algorithm": text,
        "stage_seconds": {text: 1.0, "b": 2, "c": 3, "d": 4, "e": 5},
    }
    summary["panel"]["habits"] = [text]
    write_report(tmp_path / "report.html", summary, samples=samples, runs=runs)
    found = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert found.seen == clean.seen
    assert " ".join(make_visible(text).split()) in found.text


def test_line_breaks_and_the_cut_are_kept(page):
    assert "crystals.\n\nKeep bread" in page
    assert "white-space: pre-wrap" in page
    assert page.count("Cut at the token limit.") == 2


def test_a_simulated_panel_is_said_at_every_figure_that_rests_on_it(page, summary, metrics, samples):
    assert "The panel was simulated." in page
    assert page.count('class="tag"') == 1 + 1 + 3 + 1 + 1  # headline, feedback, reward model, learning, proof
    assert "not what people would prefer" in page
    people = render(ReportData.from_summary(summary | {"simulated": False}, metrics, samples))
    assert "simulated" not in people.lower()


def test_a_note_stands_above_everything(summary):
    page = Page(render(ReportData.from_summary(summary), "Made by hand."))
    assert page.text.index("Made by hand.") < page.text.index("The panel was simulated.")


def test_what_the_panel_dislikes_is_not_praised_for_rising(summary):
    sides = {"before": {"total": 1.0, "own_content": 0.9, "echo": 0.1, "garble": 0.3},
             "after": {"total": 2.0, "own_content": 0.8, "echo": 0.4, "garble": 0.2}}  # fmt: skip
    rows = {row.name: row for row in proof_rows(ReportData.from_summary(summary | {"utility": sides}))}
    worse = {name for name, row in rows.items() if row.is_worse}
    assert worse == {"Utility: own content", "Utility: echo"}
    assert "lower is better" in rows["Utility: garble"].meaning
    assert "likes" not in rows["Utility: echo"].meaning.replace("dislikes", "")
    page = render(ReportData.from_summary(summary | {"utility": sides}))
    assert '<td class="n">0.40' in page
    assert '<td class="n aligned">0.20' in page


@pytest.mark.parametrize("lowest", [0.02, 0.27, 0.55])
def test_the_marks_of_an_axis_are_apart(lowest, summary):
    drawn = accuracy_plot(ReportData.from_summary(summary | {"reward_accuracy_low": lowest}))
    at = [float(x) for x in re.findall(r'middle[^>]* x="([\d.]+)"[^>]*>\d+%</text>', drawn)]
    assert len(at) >= 4
    assert min(right - left for left, right in pairwise(at)) > 32  # units; "100%" is about 28 wide


@pytest.mark.parametrize("shares", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.5, 0.501, 0.5), (0.0, 0.5, 1.0)])
def test_the_marks_of_a_share_are_percents_that_differ(shares):
    drawn = curve_plot("finished_share", [{"step": i, "finished_share": s} for i, s in enumerate(shares)], share=True)
    *marks, last = [int(mark) for mark in re.findall(r">(−?\d+)%<", drawn)]
    assert last == round(100 * shares[-1])
    assert len(set(marks)) == len(marks) >= 2
    assert 0 <= min(marks) <= max(marks) <= 100


@pytest.mark.parametrize(
    ("keys", "heading"),
    [
        (("panel", "preferences", "answers"), "Feedback"),
        (("reward_accuracy", "calibration", "reward_length"), "Reward model"),
        (("stage_seconds", "metrics"), "Reinforcement learning"),
        (("samples",), "Side by side"),
        (("runs",), "Provenance"),
    ],
)
def test_a_part_vanishes_with_its_data(keys, heading, summary, lists):
    lists = {name: [] if name in keys else rows for name, rows in lists.items()}
    data = ReportData.from_summary({k: v for k, v in summary.items() if k not in keys}, **lists)
    assert headings(render(data)) == [title for title in SECTIONS if title != heading]


def test_any_figure_may_be_missing(summary, samples, runs):
    keys = list(summary)
    for i in range(8):
        left = {k: v for k, v in summary.items() if k not in keys[i::8]}
        Page(render(ReportData.from_summary(left, (), samples, runs)))


def test_an_empty_summary_is_an_honest_page():
    page = render(ReportData.from_summary({}))
    assert "No win rate was measured" in page
    assert headings(page) == ["Read with care"]
    assert "<svg" not in page


def test_samples_are_drawn_by_the_seed_and_keep_their_order(samples):
    many = [samples[0] | {"prompt": f"{i:02}"} for i in range(40)]
    drawn = [[s.prompt for s in shown_samples(ReportData.from_summary({"seed": s}, (), many))] for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] == sorted(drawn[0])
    assert len(drawn[0]) == 10
    assert "10 of 40 held-out prompts" in Page(render(ReportData.from_summary({"seed": 1}, (), many))).text


def test_the_same_figures_make_the_same_bytes(page, summary, metrics, samples, runs):
    assert page == render(ReportData.from_summary(summary, metrics, samples, runs))


def test_runs_with_different_versions_say_so(runs):
    older = RunView("reward-001", "reward", 0, None, 74.0, {"torch": "2.12.0"})
    text = Page(render(ReportData.from_summary({}, runs=[older, *runs]))).text
    assert "torch 2.12.0 and 2.13.0" in text
    assert "unfinished" in text


def test_figures_that_cannot_be_used_are_named(summary):
    for key, value in [("win_rate", "high"), ("stage_seconds", 3), ("simulated", 1), ("panel", []), ("seed", True)]:
        with pytest.raises(PlauditError, match=f"`{key}` in the report's summary"):
            ReportData.from_summary(summary | {key: value})
    with pytest.raises(PlauditError, match="`observed` is missing in `bins` in `calibration`"):
        ReportData.from_summary({"calibration": {"bins": [{"predicted": 0.6, "n": 3}]}})
    with pytest.raises(PlauditError, match="`base` is missing in `samples`"):
        ReportData.from_summary({}, (), [{"prompt": "only"}])


def test_null_and_nan_are_absent(summary):
    data = ReportData.from_summary(summary | {"kl_nats": None, "win_rate_low": float("nan")})
    assert (data.kl_nats, data.win_rate_low) == (None, None)
    assert "no interval" in render(data)
