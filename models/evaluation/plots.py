"""Plots of an evaluation as small SVG files; the same figures give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SIZE_INCHES = (6.0, 4.2)
_STYLE = {"svg.hashsalt": "chest-edge", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
_WITHOUT_DATE = {"Date": None, "Creator": None}

FILES = {
    "roc": "roc_external.svg",
    "reliability": "reliability.svg",
    "risk_coverage": "risk_coverage.svg",
}


def draw(curves: Mapping[str, Any], folder: Path) -> None:
    """Draw every curve of ``pneumonia.curves`` into a folder."""
    import matplotlib as mpl

    mpl.use("svg")
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        _roc(curves["roc"], folder / FILES["roc"])
        _reliability(curves["reliability"], folder / FILES["reliability"])
        _risk_coverage(curves["risk_coverage"], folder / FILES["risk_coverage"])


def _roc(lines: Mapping[str, Any], path: Path) -> None:
    figure, axes = _axes("1 - specificity", "sensitivity", "External questions, shipped model")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    for name, (false, true) in lines.items():
        axes.plot(false, true, linewidth=1.4, label=name)
    _save(figure, axes, path)


def _reliability(pools: Mapping[str, Any], path: Path) -> None:
    figure, axes = _axes("probability of abnormal", "observed share of abnormal", "Reliability, 15 bins of equal width")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    for name, bins in pools.items():
        sizes = [4 + 60 * b["n"] / sum(other["n"] for other in bins) for b in bins]
        predicted, observed = ([b[key] for b in bins] for key in ("predicted", "observed"))
        axes.plot(predicted, observed, linewidth=1.2, label=name)
        axes.scatter(predicted, observed, s=sizes)
    _save(figure, axes, path)


def _risk_coverage(pools: Mapping[str, Any], path: Path) -> None:
    figure, axes = _axes(
        "share of images answered, most confident first", "share of wrong answers", "Risk and coverage"
    )
    for name, (coverage, risk) in pools.items():
        axes.plot(coverage, risk, linewidth=1.4, label=name)
    _save(figure, axes, path)


def _axes(x: str, y: str, title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCHES)
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y, title=title)
    return figure, axes


def _save(figure: Any, axes: Any, path: Path) -> None:
    axes.legend(fontsize=7)
    figure.savefig(path, bbox_inches="tight", metadata=_WITHOUT_DATE)
