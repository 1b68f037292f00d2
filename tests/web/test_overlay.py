from __future__ import annotations

from edge.web.overlay import outlines


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
