"""The process ``export`` with objects that take no time to make: ``python -I small_exporter.py export ...``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


def main() -> int:
    """Run it; everything but the making of objects is as it ships."""
    from edge import process
    from edge.export import making
    from edge.types import Kind
    from tests.support.exports import small_object

    making.kinds = lambda case: tuple(Kind)
    making.make = small_object
    return process.main()


if __name__ == "__main__":
    sys.exit(main())
