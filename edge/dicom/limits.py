"""How large and how small an image may be."""

from __future__ import annotations

from edge.errors import UnreadableError

MAX_SIDE_PX = 10_000
MIN_SIDE_PX = 64


def check_sides(rows: int, columns: int) -> None:
    """Refuse sizes that no radiograph has, before anything is decoded.

    Raises
    ------
    UnreadableError
        ``image_too_large`` or ``image_too_small``.
    """
    if max(rows, columns) > MAX_SIDE_PX:
        raise UnreadableError("image_too_large", columns=columns, rows=rows, limit=MAX_SIDE_PX)
    if min(rows, columns) < MIN_SIDE_PX:
        raise UnreadableError("image_too_small", columns=columns, rows=rows, limit=MIN_SIDE_PX)
