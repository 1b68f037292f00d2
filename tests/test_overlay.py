from __future__ import annotations

from edge.overlay import lines, marks, outlines


def test_no_segmentation_and_an_organ_that_was_not_found_draw_nothing() -> None:
    assert outlines(None, 100, 100) == ()
    assert outlines({"contours": {"right_lung": []}, "image_size_px": [20, 10]}, 10, 20) == ()


def test_points_are_row_and_column_and_drawn_at_the_middle_of_their_pixel() -> None:
    (outline,) = outlines(
        {"contours": {"right_lung": [[[0, 0], [0, 9], [19, 9]]]}, "image_size_px": [20, 10]}, width_px=10, height_px=20
    )

    assert outline.path == "M0.5 0.5L9.5 0.5L9.5 19.5Z"


def test_points_are_scaled_to_the_picture_that_is_shown() -> None:
    (outline,) = outlines(
        {"contours": {"left_lung": [[[10, 20], [30, 20], [30, 40]]]}, "image_size_px": [200, 100]},
        width_px=50,
        height_px=50,
    )

    assert outline.path == "M10.2 2.6L10.2 7.6L20.2 7.6Z"


def test_an_organ_in_parts_keeps_all_of_them() -> None:
    (outline,) = outlines(
        {"contours": {"left_lung": [[[0, 0], [0, 1], [1, 1]], [[5, 5], [5, 6], [6, 6]]]}, "image_size_px": [9, 9]}, 9, 9
    )

    assert outline.path.count("Z") == 2


def test_outlines_that_are_not_believed_are_not_drawn() -> None:
    contours = {"left_lung": [[[0, 0], [0, 9], [19, 9]]]}

    assert outlines({"contours": contours, "image_size_px": [20, 10], "plausible": False}, 10, 20) == ()


def test_lines_of_the_heart_are_open_and_scaled() -> None:
    measured = {"ratio": 0.5, "heart_line": [[9, 4], [9, 14]], "thorax_line": [[19, 0], [19, 19]]}

    heart, thorax = lines({"image_size_px": [40, 20], "cardiothoracic": measured}, 10, 20)

    assert (heart.organ, heart.path) == ("heart_line", "M2.2 4.8L7.2 4.8")
    assert thorax.path == "M0.2 9.8L9.8 9.8"


def test_without_a_ratio_there_are_no_lines() -> None:
    assert lines(None, 10, 20) == ()
    assert lines({"image_size_px": [40, 20], "cardiothoracic": None}, 10, 20) == ()


def test_marks_are_numbered_and_their_boxes_are_half_open() -> None:
    finding = {"code": "consolidation", "box_px": [0, 10, 40, 20], "contour": [[0, 10], [39, 10], [39, 19]]}

    first, second = marks([finding, finding], {"image_size_px": [40, 20]}, width_px=40, height_px=80)

    assert (first.number, second.number, first.code) == (1, 2, "consolidation")
    assert first.box == (20, 0, 20, 80)
    assert first.path == "M21.0 1.0L21.0 79.0L39.0 79.0Z"


def test_without_findings_or_a_size_there_are_no_marks() -> None:
    assert marks(None, {"image_size_px": [40, 20]}, 10, 10) == ()
    assert marks([{"code": "consolidation"}], None, 10, 10) == ()
