"""A collection to begin with: a fixed camera, drawn from physics rather than downloaded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from os import PathLike, cpu_count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HOT_PIXELS = 12


def demo_image(
    number: int, images: int, shape: tuple[int, int] = (256, 256), seed: int = 0
) -> NDArray[np.uint8]:
    """Return one image of a fixed camera: a lit wall, shot noise, hot pixels, something moving.

    Parameters
    ----------
    number : int
        Which image, ``0 … images-1``; it depends on nothing else, so any worker can draw it.
    images : int
        Length of the series, over which the lamp drifts by a tenth.
    shape : (int, int)
        Rows and columns.
    seed : int
        Of the noise and the places of the hot pixels.

    Returns
    -------
    ndarray of uint8, shape `shape`
    """
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    y, x = rows / shape[0], columns / shape[1]
    lamp = 1.0 + 0.1 * np.sin(2 * np.pi * number / images)
    wall = 55 + 60 * np.exp(-((x - 0.35) ** 2 + (y - 0.4) ** 2) / 0.15)
    bricks = 12 * (((y * 12).astype(int) + (x * 8).astype(int)) % 2)
    light = (wall + bricks) * lamp
    # A ball crosses the view several times and is darker than the wall behind it.
    across = (number * 7 / images * 3) % 1.4 - 0.2
    ball = (x - across) ** 2 + (y - 0.62 - 0.1 * np.sin(9 * across)) ** 2 < 0.01
    light = np.where(ball, 25.0, light)
    noise = np.random.default_rng([seed, number])
    counts = noise.poisson(np.broadcast_to(light, shape)).astype(np.float64)
    hot = np.random.default_rng(seed).integers(0, shape[0] * shape[1], HOT_PIXELS)
    counts.ravel()[hot] = np.where(noise.random(HOT_PIXELS) < 0.7, 250, counts.ravel()[hot])
    return np.clip(counts, 0, 255).astype(np.uint8)


def write_demo(
    folder: str | PathLike[str],
    images: int = 2000,
    shape: tuple[int, int] = (256, 256),
    seed: int = 0,
) -> Path:
    """Write the demo collection as PNG files, those that are missing; return the folder.

    Parameters
    ----------
    folder : path
        Made where it does not exist.
    images : int
        How many.
    shape : (int, int)
        Rows and columns.
    seed : int
        Another seed gives another collection.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    write = partial(_write_one, place, images=images, shape=shape, seed=seed)
    with ThreadPoolExecutor(cpu_count()) as pool:
        for _ in pool.map(write, range(images)):
            pass
    return place


def _write_one(folder: Path, number: int, images: int, shape: tuple[int, int], seed: int) -> None:
    from PIL import Image

    path = folder / f"frame-{number}.png"
    if path.exists():
        return
    scratch = folder / f".frame-{number}.png"
    Image.fromarray(demo_image(number, images, shape, seed)).save(
        scratch, format="PNG", compress_level=1
    )
    scratch.replace(path)
