"""Augmentations that take away what tells one hospital from another.

Geometry, exposure, sharpness, compression, borders and burnt-in marks differ between
sources far more than lungs do; each function here varies one of these traits.
All images are float32 in [0, 1], shape (H, W).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]
Rng = np.random.Generator


def random_affine(rng: Rng, side: int, *, turn_deg: float, zoom: float, shift: float) -> Matrix:
    """A (2, 3) matrix: turn, zoom each axis, shift, and flip left and right half of the time."""
    centre = side / 2
    matrix = np.vstack([cv2.getRotationMatrix2D((centre, centre), rng.uniform(-turn_deg, turn_deg), 1), [0, 0, 1]])
    common = rng.uniform(1 - zoom, 1 + zoom)
    scale_x, scale_y = common * rng.uniform(1 - zoom / 2, 1 + zoom / 2, 2)
    if rng.random() < 0.5:
        scale_x = -scale_x
    shift_x, shift_y = rng.uniform(-shift, shift, 2) * side
    scale = np.array(
        [
            [scale_x, 0, centre * (1 - scale_x) + shift_x],
            [0, scale_y, centre * (1 - scale_y) + shift_y],
            [0, 0, 1],
        ]
    )
    return np.asarray((scale @ matrix)[:2])


def warp(image: Image, matrix: Matrix, border: float = 0.0) -> Image:
    """Apply a (2, 3) matrix with linear sampling."""
    side = image.shape[::-1]
    return np.asarray(cv2.warpAffine(image, matrix, side, flags=cv2.INTER_LINEAR, borderValue=border), np.float32)


def warp_labels(labels: npt.NDArray[np.uint8], matrix: Matrix, border: int = 0) -> npt.NDArray[np.uint8]:
    """Apply a (2, 3) matrix with nearest sampling."""
    side = labels.shape[::-1]
    return np.asarray(cv2.warpAffine(labels, matrix, side, flags=cv2.INTER_NEAREST, borderValue=border), np.uint8)


def appearance(rng: Rng, image: Image) -> Image:
    """Vary exposure, sharpness, noise, compression, borders and marks."""
    for change, probability in _CHANGES:
        if rng.random() < probability:
            image = change(rng, image)
    return np.clip(image, 0, 1).astype(np.float32)


def opacities(rng: Rng, image: Image, where: Image) -> Image:
    """Paint smooth cloudy opacities inside a region, as disease would."""
    coarse = rng.standard_normal((rng.integers(3, 9),) * 2).astype(np.float32)
    cloud = cv2.resize(coarse, image.shape[::-1], interpolation=cv2.INTER_CUBIC)
    cloud = np.clip(cloud - rng.uniform(-0.3, 0.8), 0, 1) * cv2.GaussianBlur(where, (0, 0), 4)
    target = rng.uniform(0.55, 0.95)
    return np.asarray(image + cloud * rng.uniform(0.3, 1.0) * np.maximum(target - image, 0), np.float32)


def somewhere(rng: Rng, lungs: npt.NDArray[np.uint8]) -> Image:
    """The part of the lungs in up to three soft discs, as 0 to 1."""
    rows, columns = np.nonzero(lungs)
    where = np.zeros(lungs.shape, np.float32)
    for _ in range(rng.integers(1, 4)):
        i = rng.integers(rows.size)
        radius = int(rng.uniform(0.05, 0.3) * lungs.shape[0])
        cv2.circle(where, (int(columns[i]), int(rows[i])), radius, 1.0, cv2.FILLED)
    return np.asarray(cv2.GaussianBlur(where * (lungs > 0), (0, 0), 3), np.float32)


def random_view(rng: Rng, *, turn_deg: float, zoom: float, shift: float) -> Matrix:
    """What takes the frame of the atlas to one a little off, and mirrored half of the time: (2, 3), in shares."""
    return random_affine(rng, 1, turn_deg=turn_deg, zoom=zoom, shift=shift)


def after(second: Matrix, first: Matrix) -> Matrix:
    """The (2, 3) matrix of one transform after another."""
    return np.asarray((np.vstack([second, [0, 0, 1]]) @ np.vstack([first, [0, 0, 1]]))[:2])


def without_lungs(rng: Rng, image: Image, lungs: npt.NDArray[np.uint8]) -> Image:
    """Fill the lungs in, so that nothing of them is left: with their surroundings, a grey, or smooth noise."""
    inside = grown((lungs > 0).astype(np.uint8), int(rng.integers(0, 7))) > 0
    fills = (_surroundings, _flat, _haze)
    filled = fills[rng.integers(len(fills))](rng, image, inside)
    return np.where(inside, filled, image).astype(np.float32)


def _surroundings(rng: Rng, image: Image, inside: npt.NDArray[np.bool_]) -> Image:
    outside, reach = (~inside).astype(np.float32), rng.uniform(8, 30)
    weight = cv2.GaussianBlur(outside, (0, 0), reach) + 1e-4
    return np.asarray(cv2.GaussianBlur(image * outside, (0, 0), reach) / weight, np.float32)


def _flat(rng: Rng, image: Image, inside: npt.NDArray[np.bool_]) -> Image:
    grey = rng.choice([float(image.mean()), float(image[inside].mean()), rng.random()])
    return np.full_like(image, grey)


def _haze(rng: Rng, image: Image, inside: npt.NDArray[np.bool_]) -> Image:
    return np.asarray(cv2.GaussianBlur(rng.random(image.shape, np.float32), (0, 0), rng.uniform(2, 12)), np.float32)


def borrow_spectrum(rng: Rng, image: Image, other: Image) -> Image:
    """Give an image part of the radial power spectrum of another: its sharpness, grain and haze.

    Amplitudes are scaled by a function of the distance from the origin alone and phases are
    kept, so that no structure moves from one image to the other. After the idea of Fourier
    domain adaptation (Yang and Soatto 2020).
    """
    mine, theirs = np.fft.rfft2(image), np.fft.rfft2(other)
    rows, columns = np.fft.fftfreq(image.shape[0]), np.fft.rfftfreq(image.shape[1])
    ring = np.minimum(np.hypot(rows[:, None], columns) * 64, 31).astype(np.intp)
    count = np.bincount(ring.ravel(), minlength=32)
    profiles = [np.bincount(ring.ravel(), np.log(np.abs(f) + 1e-6).ravel(), 32) / count for f in (mine, theirs)]
    share = rng.uniform(0.3, 1.0)
    gain = np.exp(share * (profiles[1] - profiles[0]))
    gain[0] = 1
    return np.fft.irfft2(mine * gain[ring], image.shape).astype(np.float32)


def cut_patches(rng: Rng, image: Image) -> Image:
    """Grey out up to two patches half of the time, so that no single place decides."""
    if rng.random() < 0.5:
        return image
    image, side = image.copy(), image.shape[0]
    for _ in range(rng.integers(1, 3)):
        height, width = rng.integers(side // 10, side // 4, 2)
        row, column = rng.integers(0, side - height), rng.integers(0, side - width)
        image[row : row + height, column : column + width] = 0.5
    return image


def grown(labels: npt.NDArray[np.uint8], by_px: int) -> npt.NDArray[np.uint8]:
    """Labels grown by so many pixels, or shrunk by a negative number."""
    if by_px == 0:
        return labels
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(by_px) + 1,) * 2)
    return np.asarray((cv2.dilate if by_px > 0 else cv2.erode)(labels, kernel), np.uint8)


def _gamma(rng: Rng, image: Image) -> Image:
    return np.power(np.clip(image, 0, 1), np.exp(rng.uniform(-0.6, 0.6)), dtype=np.float32)


def _contrast(rng: Rng, image: Image) -> Image:
    low, high = rng.uniform(-0.15, 0.15), rng.uniform(0.85, 1.2)
    return np.clip((image - low) / (high - low), 0, 1).astype(np.float32)


def _local_contrast(rng: Rng, image: Image) -> Image:
    wide = cv2.GaussianBlur(image, (0, 0), rng.uniform(8, 30))
    return np.asarray(image + rng.uniform(-0.4, 0.8) * (image - wide), np.float32)


def _blur(rng: Rng, image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6)), np.float32)


def _sharpen(rng: Rng, image: Image) -> Image:
    return np.asarray(image + rng.uniform(0.3, 1.5) * (image - cv2.GaussianBlur(image, (0, 0), 1.2)), np.float32)


def _coarse(rng: Rng, image: Image) -> Image:
    side = image.shape[0]
    small = cv2.resize(image, (int(side * rng.uniform(0.45, 0.9)),) * 2, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)


def _noise(rng: Rng, image: Image) -> Image:
    return image + rng.normal(0, rng.uniform(0.005, 0.04), image.shape).astype(np.float32)


def _jpeg(rng: Rng, image: Image) -> Image:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))]
    _, code = cv2.imencode(".jpg", (np.clip(image, 0, 1) * 255).astype(np.uint8), quality)
    return _unit(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE))


def _border(rng: Rng, image: Image) -> Image:
    image, grey = image.copy(), float(rng.choice([0.0, 0.0, 1.0, rng.random()]))
    for axis in range(2):
        low, high = rng.integers(0, max(1, int(0.09 * image.shape[axis])), 2)
        view = image if axis == 0 else image.T
        view[:low] = grey
        view[view.shape[0] - high :] = grey
    return image


def _marks(rng: Rng, image: Image) -> Image:
    marked = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    side = image.shape[0]
    for _ in range(rng.integers(1, 4)):
        where = (int(rng.integers(0, side)), int(rng.choice([rng.integers(6, 40), rng.integers(side - 40, side)])))
        grey, size = float(rng.choice([0, 255])), float(rng.uniform(0.25, 0.7))
        text = "".join(rng.choice(list("LRAP SUPINE0123456789"), rng.integers(1, 8)))
        cv2.putText(marked, text, where, int(rng.integers(0, 4)), size, grey, int(rng.integers(1, 3)), cv2.LINE_AA)
    return _unit(marked)


def _lines(rng: Rng, image: Image) -> Image:
    crossed, side = (np.clip(image, 0, 1) * 255).astype(np.uint8), image.shape[0]
    for _ in range(rng.integers(1, 4)):
        points = np.cumsum(rng.normal(0, side / 9, (9, 2)), axis=0) + rng.uniform(0, side, 2)
        grey = float(rng.choice([215, 255]))
        cv2.polylines(crossed, [points.astype(np.int32)], isClosed=False, color=grey, thickness=1, lineType=cv2.LINE_AA)
    return _unit(crossed)


def _unit(levels: npt.ArrayLike | None) -> Image:
    return np.asarray(levels, np.float32) / np.float32(255)


def _scatter(rng: Rng, image: Image) -> Image:
    """A wide haze, as scattered rays and soft tissue leave on portable images."""
    coarse = rng.uniform(0, 1, (int(rng.integers(2, 4)),) * 2).astype(np.float32)
    haze = cv2.resize(coarse, image.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(image + rng.uniform(0.03, 0.18) * haze * (1 - image), np.float32)


_CHANGES = (
    (_scatter, 0.35),
    (_local_contrast, 0.4),
    (_gamma, 0.7),
    (_contrast, 0.5),
    (_blur, 0.25),
    (_sharpen, 0.2),
    (_coarse, 0.3),
    (_lines, 0.15),
    (_marks, 0.3),
    (_noise, 0.4),
    (_border, 0.3),
    (_jpeg, 0.4),
)
