"""What is known of an evaluated image beside its pixels: label, classes, age, sex, view."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.training import data

ABNORMAL_LABELS = frozenset(
    {"covid", "bacterial", "viral", "fungal", "pneumonia_unspecified", "tuberculosis", "nodule"}
)
_CHILD = {"bacterial": {"bacterial"}, "viral": {"viral"}, "pneumonia_unspecified": {"bacterial", "viral"}}
_ADULT = {
    "normal": {"normal"},
    "covid": {"covid19"},
    "tuberculosis": {"tuberculosis"},
    "nodule": {"other"},
    **{label: {"other_pneumonia"} for label in ("bacterial", "viral", "fungal", "pneumonia_unspecified")},
}
_OLD_FROM_YEARS = 65


def is_abnormal(row: data.Row) -> bool:
    """Whether the label is a disease."""
    return row.label in ABNORMAL_LABELS


def classes(row: data.Row) -> frozenset[str]:
    """The classes of the head for this patient's age that the label allows."""
    found = _CHILD.get(row.label) if row.is_child else None
    return frozenset(found or _ADULT[row.label])


def is_agreed_by_radiologists(row: data.Row) -> bool:
    """No finding, or a pneumonia in which the RSNA readers saw a lung opacity."""
    return not is_abnormal(row) or row.note.endswith(":Lung Opacity")


def strata(root: Path, rows: list[data.Row]) -> list[dict[str, str]]:
    """Sex, age group and view of each row, where they are known.

    Sex and years stand in ``cohen_followup.csv`` only, which holds nothing but COVID-19.
    """
    followed = {row["file"]: row for row in data.table(root, "cohen_followup.csv")}
    return [_stratum(row, followed.get(row.file, {})) for row in rows]


def _stratum(row: data.Row, followed: Mapping[str, str]) -> dict[str, str]:
    known = {
        "age": "children" if row.is_child else "adults",
        "view": row.view.split()[0] if row.view else "",
        "sex": {"M": "men", "F": "women"}.get(followed.get("sex", ""), ""),
        "years": _years(followed.get("age", "")),
    }
    return {name: value for name, value in known.items() if value}


def _years(age: str) -> str:
    if not age:
        return ""
    return f"from {_OLD_FROM_YEARS} years" if float(age) >= _OLD_FROM_YEARS else f"under {_OLD_FROM_YEARS} years"
