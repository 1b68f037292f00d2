"""Whether every library of the box can be loaded here, and every compression decoded.

The libraries are loaded in a child process: one built for another processor ends the
process that loads it. Rejected: asking the package metadata, which says what was
installed and not whether it works.

Compressions are the transfer syntaxes of PS3.5 section 10 that the receiver accepts.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator

# Distribution name, and the module to load; the codecs are plug-ins of pydicom.
LIBRARIES: tuple[tuple[str, str], ...] = (
    ("babel", "babel"),
    ("cryptography", "cryptography.hazmat.primitives.asymmetric.ec"),
    ("dicom-anonymizer", "dicomanonymizer"),
    ("flask", "flask"),
    ("flask-babel", "flask_babel"),
    ("fpdf2", "fpdf"),
    ("highdicom", "highdicom"),
    ("ntplib", "ntplib"),
    ("numpy", "numpy"),
    ("onnx", "onnx"),
    ("onnxruntime", "onnxruntime"),
    ("opencv-python-headless", "cv2"),
    ("pydicom", "pydicom"),
    ("pillow", "PIL.Image"),
    ("pyrage", "pyrage"),
    *((("pyjpegls", "jpeg_ls"),) if sys.version_info < (3, 14) else ()),
    ("pylibjpeg", "pylibjpeg"),
    ("pylibjpeg-openjpeg", "openjpeg"),
    ("pylibjpeg-rle", "rle"),
    ("pynetdicom", "pynetdicom"),
    ("python-gdcm", "gdcm"),
    ("python-multipart", "python_multipart"),
    ("pyzmq", "zmq"),
    ("segno", "segno"),
    ("simpleitk", "SimpleITK"),
    ("sqlite-utils", "sqlite_utils"),
    ("waitress", "waitress"),
    ("werkzeug", "werkzeug"),
)
COMPRESSIONS: tuple[str, ...] = (
    "RLELossless",
    "JPEGBaseline8Bit",
    "JPEGExtended12Bit",
    "JPEGLossless",
    "JPEGLosslessSV1",
    "JPEGLSLossless",
    "JPEGLSNearLossless",
    "JPEG2000Lossless",
    "JPEG2000",
)
_TIMEOUT_S = 120.0


def broken(
    libraries: tuple[tuple[str, str], ...] = LIBRARIES, compressions: tuple[str, ...] = COMPRESSIONS
) -> list[str]:
    """Names of the libraries that cannot be loaded and of the compressions that cannot be decoded.

    A library that ends the process that loads it is named, and what stands after it in the list
    is looked at in a new process.
    """
    found: list[str] = []
    wanted = [("library", *pair) for pair in libraries] + [("compression", name, name) for name in compressions]
    while wanted:
        reports = _ask_child(wanted)
        found += [name for name, works in reports if not works]
        if len(reports) < len(wanted):
            found.append(wanted[len(reports)][1])
        wanted = wanted[len(reports) + 1 :]
    return found


def _ask_child(wanted: list[tuple[str, str, str]]) -> list[tuple[str, bool]]:
    """One report for each thing wanted, in order, until the child ended."""
    command = [sys.executable, "-m", "edge.health.libraries", json.dumps(wanted)]
    try:
        child = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        return _reports(error.stdout or b"")
    return _reports(child.stdout)


def _reports(output: bytes) -> list[tuple[str, bool]]:
    lines = output.decode("utf-8", "replace").splitlines()
    return [tuple(json.loads(line)) for line in lines if line.startswith("[") and line.endswith("]")]


def _child(wanted: list[tuple[str, str, str]]) -> Iterator[tuple[str, bool]]:
    warnings.simplefilter("ignore")
    for kind, name, target in wanted:
        yield name, _loads(target) if kind == "library" else _decodes(target)


def _loads(module: str) -> bool:
    try:
        importlib.import_module(module)
    except Exception:  # a library that may raise anything at all while it loads
        return False
    return True


def _decodes(compression: str) -> bool:
    try:
        uid = importlib.import_module("pydicom.uid")
        pixels = importlib.import_module("pydicom.pixels")
        return bool(pixels.get_decoder(getattr(uid, compression)).is_available)
    except (ImportError, NotImplementedError):
        return False


if __name__ == "__main__":
    for report in _child(json.loads(sys.argv[1])):
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()
