"""What each stage of the shipped models says of fixed images, pinned in ``golden.json``.

The images are two radiographs of ``pydicom-data`` and one of them turned and inverted. Kernels of
processors differ in their rounding, so numbers may differ a little; words may not.
``python -m tests.models.test_golden`` writes the file anew after a model has changed on purpose.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.config import Settings
from edge.dicom.reader import Reader
from edge.pipeline.reading import SourceImage, load_engines, read_study
from edge.pipeline.schema import to_json
from tests.support import inputs

GOLDEN = Path(__file__).parent / "golden.json"
PARTS = ("state", "gate", "segmentation", "positioning", "registration", "detection", "classification", "severity")
LEFT_OUT = {"contours"}
"""Lines of many points: the areas that they enclose are pinned instead."""
TOLERANCE = 0.04


def reports() -> dict[str, dict[str, Any]]:
    """The pinned part of the result of each image."""
    engines = load_engines(Settings())
    with Reader() as reader:
        chest, leg = (reader.read(inputs.example(f"{name}_UNCR.dcm")) for name in ("RG1", "RG3"))
    pixels = np.ascontiguousarray(np.rot90(1 - chest.radiograph.pixels))
    turned = type(chest).of(chest, type(chest.radiograph)(pixels=pixels, patient_age_years=50.0))
    images = {"a chest": chest, "a leg": leg, "the chest turned and inverted, of an adult": turned}
    made = {
        name: to_json(read_study([SourceImage("image", image)], engines, "0" * 32)) for name, image in images.items()
    }
    return {name: pinned(report) for name, report in made.items()}


def pinned(report: dict[str, Any]) -> dict[str, Any]:
    """The values of every stage, the codes of all remarks, and the marks without their contours."""
    marks = [{key: mark[key] for key in ("code", "laterality", "zone", "lung_percent")} for mark in report["findings"]]
    codes = sorted(remark["code"] for remark in report["quality"])
    return {**{part: report[part] for part in PARTS}, "codes": codes, "marks": marks}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every number, text and truth of nested JSON by its path."""
    if isinstance(value, dict):
        for key in value.keys() - LEFT_OUT:
            yield from leaves(value[key], f"{path}.{key}")
    elif isinstance(value, list):
        yield f"{path}.length", len(value)
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}.{i}")
    else:
        yield path, value


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    return reports()


@pytest.mark.parametrize("name", ["a chest", "a leg", "the chest turned and inverted, of an adult"])
def test_every_stage_says_what_it_said(found: dict[str, dict[str, Any]], name: str) -> None:
    expected, said = (dict(leaves(part[name])) for part in (json.loads(GOLDEN.read_text(encoding="utf-8")), found))
    assert said.keys() == expected.keys()
    for path, value in expected.items():
        assert said[path] == (
            pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE) if isinstance(value, float) else value
        ), path


def test_the_turned_image_is_read_as_the_upright_one(found: dict[str, dict[str, Any]]) -> None:
    upright, turned = found["a chest"], found["the chest turned and inverted, of an adult"]
    assert turned["gate"]["turned_deg"] == 90
    assert {"turned", "inverted"} <= set(turned["codes"])
    for part, tolerance in (("detection", 3.0), ("severity", 0.5)):
        again = dict(leaves(turned[part]))
        assert len(again) > 6
        for path, value in leaves(upright[part]):
            near = pytest.approx(value, abs=3.0 if path == ".percent" else tolerance)
            assert again[path] == (near if isinstance(value, float) else value), (part, path)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(reports(), indent=1) + "\n", encoding="utf-8")
