"""Images that are not ingested yet, as far as they are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from pixtally.errors import PixtallyError


class Unread:
    """Stands for images that are not ingested yet: their shape is known, their samples are not."""

    def __init__(self, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str) -> None:
        self.shape = shape
        self.chunks = chunks
        self.dtype = np.dtype(dtype)
        self.ndim = len(shape)

    def __getitem__(self, index: Any) -> Any:
        raise PixtallyError("the images are not ingested yet; run the pipeline")
