"""Ten external radiographs with all that the box drew on them, for looking at by eye.

    python -m models.evaluation.contact_sheet --data DIR --out FILE.png

The images go through the box as picture files, and the drawing takes nothing but their
result JSON (``docs/result.md``); a part that the result does not hold is not drawn. The
images are external, of patients that no model was trained on. The sheet holds patients'
images and is not for publication.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.config import Settings
from edge.dicom.reader import Reader
from edge.pipeline.reading import SourceImage, load_engines, read_study
from edge.pipeline.schema import to_json

Colour = npt.NDArray[np.uint8]
Line = Sequence[Sequence[float]]

IMAGES = (
    ("nih.zip", "nih/00001769_000.jpg", "NIH, no finding, PA"),
    ("nih.zip", "nih/00003442_000.jpg", "NIH, no finding, PA"),
    ("nih.zip", "nih/00000061_012.jpg", "NIH, pneumonia, opacity confirmed"),
    ("nih.zip", "nih/00005288_011.jpg", "NIH, pneumonia, opacity confirmed"),
    ("cohen.zip", "cohen/40779_2020_233_Fig2_HTML-a.jpg", "Cohen, COVID-19"),
    ("cohen.zip", "cohen/all14238-fig-0002-m-e.jpg", "Cohen, COVID-19, supine"),
    ("unseen_hospitals.zip", "unseen/cohen_007.jpg", "Cohen, no finding"),
    ("unseen_hospitals.zip", "unseen/cohen_033.jpg", "Cohen, bacterial pneumonia"),
    ("unseen_hospitals.zip", "unseen/hannover_035.jpg", "Hannover, COVID-19"),
    ("unseen_hospitals.zip", "unseen/hannover_075.jpg", "Hannover, COVID-19"),
)
"""Archive, member, and what the source says of it."""

_COLUMNS, _SIDE_PX, _CAPTION_PX = 5, 420, 66
_LUNGS, _HEART, _GROUND_GLASS, _CONSOLIDATION = (230, 200, 60), (90, 90, 255), (60, 220, 255), (40, 120, 255)
_WHITE, _THORAX = (255, 255, 255), (120, 255, 120)
_CONTOURS = {"right_lung": _LUNGS, "left_lung": _LUNGS, "heart": _HEART}
_FINDINGS = {"ground_glass_opacity": _GROUND_GLASS, "consolidation": _CONSOLIDATION}
_THIRDS = ("upper", "middle", "lower")


def main() -> None:
    """Read the ten images and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds cxr/")
    parser.add_argument("--out", type=Path, required=True, help="PNG file to write")
    given = parser.parse_args()
    tiles = [_tile(image, result, label) for image, result, label in _read(given.data)]
    cv2.imwrite(str(given.out), _sheet(tiles))


def _read(root: Path) -> Iterator[tuple[Colour, dict[str, Any], str]]:
    """View, result and label of each image."""
    engines = load_engines(Settings())
    with tempfile.TemporaryDirectory() as folder, Reader() as reader:
        for archive, member, label in IMAGES:
            path = Path(folder) / Path(member).name
            with zipfile.ZipFile(root / "cxr" / archive) as file:
                path.write_bytes(file.read(member))
            result = read_study([SourceImage(path.name, reader.read(path))], engines, "0" * 32)
            if result.view_pixels is None:
                raise ValueError(f"expected an image in {member}, got none")
            yield np.asarray(cv2.cvtColor(result.view_pixels, cv2.COLOR_GRAY2BGR), np.uint8), to_json(result), label


def drawn(view: Colour, result: Mapping[str, Any]) -> Colour:
    """The view with everything of the result that has a place on it, longest side ``_SIDE_PX``.

    Parameters
    ----------
    view : uint8, shape (H, W, 3): the upright image, or a smaller one of the same proportions.
    result : an object of ``chest-edge/result/1``.
    """
    scale = _SIDE_PX / max(view.shape[:2])
    shown = np.asarray(cv2.resize(view, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    segmentation = result["segmentation"]
    if segmentation is None:
        return shown
    scale = shown.shape[0] / segmentation["image_size_px"][0]
    for name, lines in segmentation["contours"].items():
        for line in lines:
            _outline(shown, line, scale, _CONTOURS[name])
    _cardiothoracic(shown, segmentation.get("cardiothoracic"), scale)
    for finding in result["findings"]:
        _finding(shown, finding, scale)
    _zones(shown, segmentation["contours"], result["severity"], scale)
    return shown


def caption(result: Mapping[str, Any]) -> str:
    """One line: what the box says of the image."""
    said = result["classification"]
    parts = [_refusal(result)] if said is None else [said["decision"], _likeliest(said["probabilities"])]
    segmentation, severity = result["segmentation"] or {}, result["severity"]
    if segmentation.get("cardiothoracic"):
        parts.append(f"CTR {segmentation['cardiothoracic']['ratio']:.2f}")
    if severity is not None:
        parts.append(f"{severity['grade']}, {severity['percent']:.0f} %, Brixia {severity['brixia']:.0f}")
    return "; ".join(parts)


def _refusal(result: Mapping[str, Any]) -> str:
    return f"{result['state']}: {', '.join(remark['code'] for remark in result['reasons'])}"


def _likeliest(probabilities: Mapping[str, float]) -> str:
    name = max(probabilities, key=lambda key: probabilities[key])
    return f"{name} {probabilities[name]:.2f}"


def _outline(shown: Colour, line: Line, scale: float, colour: tuple[int, int, int], *, closed: bool = True) -> None:
    points = np.rint(np.asarray(line, np.float64)[:, ::-1] * scale).astype(np.int32)
    cv2.polylines(shown, [points], closed, colour, 1, cv2.LINE_AA)


def _cardiothoracic(shown: Colour, measured: Mapping[str, Any] | None, scale: float) -> None:
    if measured is not None:
        _outline(shown, measured["thorax_line"], scale, _THORAX, closed=False)
        _outline(shown, measured["heart_line"], scale, _HEART, closed=False)


def _finding(shown: Colour, finding: Mapping[str, Any], scale: float) -> None:
    colour = _FINDINGS[finding["code"]]
    _outline(shown, finding["contour"], scale, colour)
    row, column = (round(v * scale) for v in finding["box_px"][:2])
    _write(shown, f"{finding['confidence']:.2f}", (column, max(10, row - 3)), colour, 0.38)


def _zones(
    shown: Colour, contours: Mapping[str, Sequence[Line]], severity: Mapping[str, Any] | None, scale: float
) -> None:
    """The score of each zone, in the middle of that third of its lung."""
    if severity is None:
        return
    for side in ("right", "left"):
        lines = contours.get(f"{side}_lung", ())
        if not lines:
            continue
        points = np.concatenate([np.asarray(line) for line in lines]) * scale
        (top, _), (bottom, _) = points.min(0), points.max(0)
        for i, third in enumerate(_THIRDS):
            row = top + (2 * i + 1) / 6 * (bottom - top)
            score = severity["zones"][f"{side}_{third}"]
            _write(shown, f"{score:g}", (round(points[:, 1].mean()) - 5, round(row) + 5), _WHITE, 0.55)


def _tile(view: Colour, result: Mapping[str, Any], label: str) -> Colour:
    """The drawn view on a black square, its label and its caption below."""
    tile = np.zeros((_SIDE_PX + _CAPTION_PX, _SIDE_PX, 3), np.uint8)
    shown = drawn(view, result)
    row, column = ((_SIDE_PX - size) // 2 for size in shown.shape[:2])
    tile[row : row + shown.shape[0], column : column + shown.shape[1]] = shown
    _write(tile, label, (6, _SIDE_PX + 24), _THORAX, 0.5)
    _write(tile, caption(result), (6, _SIDE_PX + 50), _WHITE, 0.42)
    return tile


def _write(image: Colour, text: str, place: tuple[int, int], colour: tuple[int, int, int], size: float) -> None:
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def _sheet(tiles: Sequence[Colour]) -> Colour:
    rows = (np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS))
    return np.vstack(list(rows))


if __name__ == "__main__":
    main()
