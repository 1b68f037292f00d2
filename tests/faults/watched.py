"""The reader with its child's peak memory and each file's time written down."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from edge import clock
from edge.dicom.reader import Reader
from edge.errors import UnreadableError


@dataclass
class Watched:
    """What became of the files, and what the worst of them took.

    ``escapes`` are errors that no file may raise; ``peak_bytes`` the largest VmHWM of a child.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    escapes: list[str] = field(default_factory=list)
    peak_bytes: int = 0
    slowest_s: float = 0.0
    slowest: str = ""

    def read(self, reader: Reader, path: Path, name: str = "") -> None:
        """Read one file; it has its image or its reason."""
        started = clock.monotonic()
        try:
            reader.read(path)
            self.outcomes["read"] += 1
        except UnreadableError as error:
            self.outcomes[error.code] += 1
        except Exception as error:
            self.escapes.append(f"{name} {error!r}")
        seconds = clock.monotonic() - started
        if seconds > self.slowest_s:
            self.slowest_s, self.slowest = seconds, name
        if reader.child_pid is not None:  # of one that ended with the file only the kernel's limit is known
            self.peak_bytes = max(self.peak_bytes, _peak_bytes(reader.child_pid))

    def told(self) -> str:
        """The figures in words."""
        refused = self.outcomes.total() - self.outcomes["read"]
        ended = sum(self.outcomes[code] for code in ("reader_crashed", "too_slow", "too_much_memory"))
        slowest = f"slowest {self.slowest_s:.2f} s" + (f" ({self.slowest})" if self.slowest else "")
        return (
            f"{refused} refused with one of {len(self.outcomes) - ('read' in self.outcomes)} reasons,"
            f" {ended} of them with the end of the child, {self.outcomes['read']} readable still,"
            f" {len(self.escapes)} without a reason; child at most {self.peak_bytes / (1 << 20):.0f} MiB, {slowest}"
        )


def _peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
