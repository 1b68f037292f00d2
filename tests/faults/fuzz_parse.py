"""``python -m tests.faults.fuzz_parse [SECONDS]``: fuzzing of the parser, guided by its coverage (atheris).

Runs the child's parsing in this process under its limits, from the seeds of row 6. An input that
raises what no file may raise is written to ``build/fuzz`` and ends the run. Without atheris, which has
wheels for few machines, it says so and does nothing.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

from edge.dicom.reader import MEMORY_BYTES
from tests.faults import malformed

_FOUND = Path("build/fuzz")
_BASE_BYTES = 256 << 20  # what the fuzzer itself maps


def main() -> int:
    """Fuzz for so many seconds."""
    if find_spec("atheris") is None:
        print("skipped: atheris has no wheel for this machine; row 6 breaks files at random instead")
        return 0
    import atheris

    with atheris.instrument_imports(include=["pydicom", "edge.dicom"]):
        from edge.dicom.parse import parse, parse_slices
        from edge.errors import UnreadableError
    from pydicom import config

    config.settings.reading_validation_mode = config.IGNORE
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    _FOUND.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for number, content in enumerate(malformed.seeds(folder)):
        (folder / f"seed-{number}").write_bytes(content)
    path = folder / "input"

    def one(content: bytes) -> None:
        path.write_bytes(content)
        try:
            found = parse_slices(path) or parse(path)
            for _ in found[1]:
                continue
        except (UnreadableError, MemoryError, RecursionError, OSError):
            return

    corpus = folder / "corpus"
    corpus.mkdir()
    for seed in folder.glob("seed-*"):
        seed.rename(corpus / seed.name)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES + _BASE_BYTES,) * 2)
    options = [f"-max_total_time={seconds}", "-rss_limit_mb=0", "-max_len=100000", "-timeout=10"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={_FOUND}/", str(corpus)], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
