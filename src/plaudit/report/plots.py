"""The page's figures: matplotlib draws them, and the page's style sheet colours them.

Each is an SVG to put into the page as it is. Colours are written as sentinels and become CSS variables, so one drawing
serves light, dark and print; text stays text in the page's own font. Natural widths are those of a phone, because text
in a figure that is scaled down cannot be read. Only fixed words and numbers are drawn: nothing a model wrote.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape

from plaudit.report.data import Reliability, ReportData, RewardLength

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, BASE, ALIGNED, PAPER = (f"#00000{i}" for i in range(1, 7))
VARIABLES = {INK: "ink", MUTED: "muted", GRID: "rule", BASE: "base", ALIGNED: "aligned", PAPER: "paper"}
UNIT = 72.0  # drawing units an inch: one becomes one CSS pixel at natural size
LABEL: dict[str, Any] = {"textcoords": "offset points", "fontweight": "bold", "color": INK}
FONT = 11.3
Row = tuple[str, float, float | None, float | None, str]  # name, value, low, high, colour
MOST_POINTS = 600  # of a scatter: more only make the page heavy


def win_rate_plot(data: ReportData) -> Markup:
    """One share with its interval on a line from 0 to 100%."""
    assert data.win_rate is not None
    fig, ax = _axes(330, 92)
    ax.grid(False)
    ax.axhline(0, color=GRID, lw=1.2)
    ax.axvline(50, ymin=0.1, ymax=0.75, color=MUTED, lw=1.2)
    _interval(ax, 0, ("", data.win_rate, data.win_rate_low, data.win_rate_high, ALIGNED), 10)
    ax.annotate(f"{100 * data.win_rate:.0f}%", (100 * data.win_rate, 0), (0, 9), fontsize=14, **LABEL, ha="center")
    beside: dict[str, Any] = {"xycoords": "axes fraction", "va": "top", "color": MUTED, "fontsize": FONT}
    ax.annotate("base preferred", (0, 0.99), ha="left", **beside)
    ax.annotate("aligned preferred", (1, 0.99), ha="right", **beside)
    ax.set(xlim=(0, 100), ylim=(-0.8, 2.2), yticks=[], xticks=range(0, 101, 25))
    _percent(ax.xaxis)
    return _svg(fig, "win-rate", f"Win rate of the aligned model: {100 * data.win_rate:.0f}%")


def accuracy_plot(data: ReportData) -> Markup:
    """The reward model's held-out accuracy among what length alone and perfect knowledge would reach."""
    assert data.reward_accuracy is not None
    rows: list[Row] = []
    if data.noise_ceiling is not None:
        rows.append(("Noise ceiling", data.noise_ceiling, None, None, MUTED))
    rows.append(("Reward model", data.reward_accuracy, data.reward_accuracy_low, data.reward_accuracy_high, ALIGNED))
    baselines = (
        ("Words alone", data.tfidf_accuracy),
        ("Text statistics", data.text_statistics_accuracy),
        ("Longer wins", data.longer_wins_accuracy),
    )
    rows += [(name, value, None, None, BASE) for name, value in baselines if value is not None]
    fig, ax = _axes(330, 50 + 30 * len(rows))
    for y, row in enumerate(reversed(rows)):
        _interval(ax, y, row, 7.5)
        right = 100 * max(row[1], row[3] or 0)
        ax.annotate(f"{100 * row[1]:.0f}%", (right, y), (8, 0), **LABEL, va="center", fontsize=FONT)
    ax.axvline(50, color=MUTED, lw=1)
    lowest = 100 * min(0.45, *(min(value, low or value) - 0.03 for _, value, low, _, _ in rows))
    ticks = range(50, 101, 10) if lowest > 40 else range(0, 101, 25)  # further apart where the line is long
    ax.set(xlim=(lowest, 112), ylim=(-0.6, len(rows) - 0.4), xticks=[tick for tick in ticks if tick >= lowest])
    ax.set_yticks(range(len(rows)), [row[0] for row in reversed(rows)], color=INK)
    ax.set_xlabel("held-out preferences predicted")
    _percent(ax.xaxis)
    return _svg(fig, "accuracy", f"Reward model accuracy {100 * data.reward_accuracy:.0f}%")


def reliability_plot(reliability: Reliability) -> Markup:
    """How often the model was right against how sure it was. Areas show how many pairs."""
    fig, ax = _axes(330, 300)
    lowest = min(
        45.0, *(100 * (b.observed if b.observed_low is None else b.observed_low) - 3 for b in reliability.bins)
    )
    ax.plot([50, 100], [50, 100], color=MUTED, lw=1, ls=(0, (4, 3)))
    total = sum(b.n for b in reliability.bins)
    for b in reliability.bins:
        if b.observed_low is not None and b.observed_high is not None:
            ax.plot([100 * b.predicted] * 2, [100 * b.observed_low, 100 * b.observed_high], color=ALIGNED, lw=1.6)
        area = 24 + 260 * b.n / total
        ax.scatter(
            100 * b.predicted, 100 * b.observed, s=area, color=ALIGNED, edgecolors=PAPER, linewidths=1.5, zorder=3
        )
    ax.set(xlim=(48, 102), ylim=(lowest, 103), xlabel="how sure the model was", ylabel="how often it was right")
    ax.set_xticks(range(50, 101, 10))
    _percent(ax.xaxis, ax.yaxis)
    return _svg(fig, "reliability", "Reliability diagram: share right against confidence")


def length_plot(reward_length: RewardLength) -> Markup:
    """Reward against length, with the median reward of each fifth of the lengths."""
    fig, ax = _axes(330, 300)
    length, reward = np.array(reward_length.length), np.array(reward_length.reward)
    every = max(1, -(-len(length) // MOST_POINTS))
    ax.plot(length[::every], reward[::every], "o", ms=3.6, color=BASE, alpha=0.5, mew=0)
    fifths = [part for part in np.array_split(np.argsort(length, kind="stable"), 5) if len(part) >= 5]
    middle = [[float(np.median(column[part])) for part in fifths] for column in (length, reward)]
    ax.plot(*middle, color=ALIGNED, lw=2, marker="o", ms=6, mec=PAPER, mew=1.5)
    ax.set(xlabel="answer length (tokens)", ylabel="reward")
    return _svg(fig, "length", "Reward against length of held-out answers")


def curve_plot(name: str, metrics: Sequence[Mapping[str, Any]], share: bool = False) -> Markup | None:
    """One metric over the iterations, its last value written at the end. None when it was never measured."""
    points = [(m.get("iteration", m.get("step", i)), m[name]) for i, m in enumerate(metrics) if _is_number(m.get(name))]
    if len(points) < 2:
        return None
    fig, ax = _axes(264, 150)
    x, y = np.array(points, dtype=float).T
    y = 100 * y if share else y
    ax.plot(x, y, color=ALIGNED, lw=1.8)
    ax.plot(x[-1:], y[-1:], "o", ms=6, color=ALIGNED, mec=PAPER, mew=1.5, clip_on=False)
    last = (f"{y[-1]:.0f}%" if share else _short(y[-1])).replace("-", "−")
    ax.annotate(last, (x[-1], y[-1]), (7, 0), **LABEL, va="center", fontsize=FONT)
    ax.margins(x=0.02, y=0.12)
    if share:
        ax.set_ylim(*_percents_around(y))
    ax.locator_params(axis="y", nbins=4, integer=share)
    ax.locator_params(axis="x", nbins=5, integer=True)
    if share:
        _percent(ax.yaxis)
    else:
        _label(ax.yaxis, _short)
    return _svg(fig, name, f"{name.replace('_', ' ')}, last {last}")


def _percents_around(y: np.ndarray) -> tuple[float, float]:
    """An axis within 0 to 100%, of ten points or more: closer up, the whole percents at its marks repeat themselves."""
    span = max(float(np.ptp(y)), 10.0)
    bottom = min(max(float(y.min() + y.max() - span) / 2, 0.0), 100.0 - span)
    return bottom - 0.06 * span, bottom + 1.06 * span


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width / UNIT, height / UNIT), layout="constrained")
    ax = fig.add_subplot()
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, colors=MUTED, labelsize=FONT, pad=6)
    ax.grid(True, color=GRID, lw=0.8)
    ax.set_axisbelow(True)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(color=MUTED, fontsize=FONT)
    return fig, ax


def _interval(ax: Axes, y: float, row: Row, size: float) -> None:
    _, value, low, high, color = row
    if low is not None and high is not None:
        ax.plot([100 * low, 100 * high], [y, y], color=color, lw=3.5, alpha=0.45, solid_capstyle="round")
    ax.plot(100 * value, y, "o", ms=size, color=color, mec=PAPER, mew=1.5, clip_on=False)


def _percent(*axes: Any) -> None:
    for axis in axes:
        _label(axis, lambda value: f"{value:.0f}%")


def _label(axis: Any, text: Callable[[float], str]) -> None:
    axis.set_major_formatter(lambda value, _: text(value + 0.0).replace("-", "−"))


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.{3 if abs(value) >= 1 else 2}g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _svg(fig: Figure, name: str, label: str) -> Markup:
    """The drawing as an element of the page: without a fixed size, ids it does not use, addresses and a style sheet."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        fig.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawing = buffer.getvalue().partition("<svg")[2]
    drawing = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r' id="[A-Za-z]+[\w.]*_\d+"| xmlns(:\w+)?="[^"]*"', "", drawing).replace("xlink:href", "href")
    drawing = re.sub(r" font-family: [^;]+;| transform=\"rotate\(-0 [^\"]*\"", "", drawing)
    drawing = re.sub(r'"[^"]*"', _round, drawing)
    for sentinel, variable in VARIABLES.items():
        drawing = drawing.replace(sentinel, f"var(--{variable})")
    width = re.search(r'viewBox="0 0 ([\d.]+)', drawing)
    assert width is not None
    drawing = re.sub(r'^ width="[^"]*"| height="[\d.]+pt"| version="[^"]*"', "", drawing, count=3)
    attributes = f'role="img" aria-label="{escape(label)}" style="--natural: {float(width[1]):.0f}px"'
    return Markup(re.sub(r"\n\s*", "\n", f"<svg {attributes}{drawing}"))


def _round(attribute: re.Match[str]) -> str:
    """A hundredth of a pixel is enough. Attributes only: the text between the tags holds figures to be read."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute[0])
