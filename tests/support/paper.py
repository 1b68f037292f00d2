"""Reads a printed report as paper is read: its text (pdftotext) and its picture (pdftoppm), both of poppler."""

from __future__ import annotations

import subprocess

import cv2
import numpy as np
import numpy.typing as npt


def text_of(pdf: bytes, page: int = 0) -> str:
    """The text of one page, counted from 1, or of all, as it lies on the paper."""
    pages = ["-f", str(page), "-l", str(page)] if page else []
    return subprocess.run(
        ["pdftotext", "-layout", *pages, "-", "-"], input=pdf, capture_output=True, check=True
    ).stdout.decode()


def pages_of(pdf: bytes) -> int:
    """How many pages it has."""
    told = subprocess.run(["pdfinfo", "-"], input=pdf, capture_output=True, check=True).stdout.decode()
    return int(told.partition("Pages:")[2].split()[0])


def picture_of(pdf: bytes, dpi: int = 150, page: int = 1) -> npt.NDArray[np.uint8]:
    """One page as a printer lays it down: uint8, shape (h, w, 3), in OpenCV's order of colours."""
    command = ["pdftoppm", "-r", str(dpi), "-f", str(page), "-l", str(page), "-png", "-"]
    png = subprocess.run(command, input=pdf, capture_output=True, check=True).stdout
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)
