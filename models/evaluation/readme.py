"""The README's section on figures: each goal with what was found, and the plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.evaluation.cards import as_text
from models.evaluation.figures import Figures
from models.evaluation.plots import FILES

_CAPTIONS = {
    "roc": "ROC curves of the external questions",
    "reliability": "Reliability of the probabilities",
    "risk_coverage": "Share of wrong answers against share of answers",
}


def section(goals: Sequence[Mapping[str, Any]], released: Figures, exact: Figures) -> list[str]:
    """Lines of the section.

    Parameters
    ----------
    released : of each shipped model its precision and what the release gate found (``precision.released``).
    exact : FP32 beside INT8, where it was measured.
    """
    met = sum(bool(goal["met"]) for goal in goals)
    return [
        "| question | figure | 95 % interval | goal | |",
        "|---|---|---|---|---|",
        *map(_row, goals),
        "",
        f"{met} of {len(goals)} goals are met. External figures stand first.",
        "",
        *(f"![{_CAPTIONS[name]}](docs/figures/{file})" for name, file in FILES.items()),
        "",
        *_precision(released),
        *_exact(exact),
    ]


def _row(goal: Mapping[str, Any]) -> str:
    found = "not measured" if goal["found"] is None else as_text(goal["found"])
    interval = "" if goal["interval_95"] is None else as_text(goal["interval_95"])
    return f"| {goal['figure']} | {found} | {interval} | {goal['goal']} | {'met' if goal['met'] else '**not met**'} |"


def _precision(released: Figures) -> list[str]:
    rows = (f"| `{name}` | {found['precision'].upper()} | {found['gate']} |" for name, found in released.items())
    return ["| model | precision | release gate |", "|---|---|---|", *rows]


def _exact(exact: Figures) -> list[str]:
    if not exact:
        return []
    rows = (
        f"| {name} | {', '.join(f'{k} {as_text(v)}' for k, v in figure.items())} |" for name, figure in exact.items()
    )
    return ["", "FP32 and the shipped files on the same images:", "", "| question | figures |", "|---|---|", *rows]
