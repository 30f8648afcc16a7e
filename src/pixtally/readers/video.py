"""Video: every frame is an image, decoded in order by PyAV (FFmpeg), never by seeking.

Frames are RGB as PyAV's ``to_ndarray("rgb24")``; gray video stays gray (8 or 16 bits).
A rotation noted in the file is not applied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pixtally.readers.base import Found, Image, Reader, UnreadableError, need

GRAY = {"gray": "gray", "gray16le": "gray16le"}
HIDDEN_FRAMES = ("vp8",)
"""Codecs in which a packet may hold a frame that is not shown: their frames are counted."""


def scan(path: str, inner: str) -> Found:
    """Count the frames by their packets, which decodes nothing."""
    with need("av", "video").open(path) as container:
        stream = _stream(container)
        announced = stream.frames if "mp4" in container.format.name else 0
        if stream.codec_context.name in HIDDEN_FRAMES:
            return Found(sum(1 for _ in container.decode(stream)), True, True)
        shown, packets = _count(container, stream)
    # An MP4 cut short still announces all its frames: those are missing, not unknown.
    images = shown + max(0, announced - packets)
    if images == 0:
        raise UnreadableError("holds no video frames")
    return Found(images, numbered=True, sequential=True)


def _stream(container: Any) -> Any:
    if not container.streams.video:
        raise UnreadableError("holds no video stream")
    return container.streams.video[0]


def _count(container: Any, stream: Any) -> tuple[int, int]:
    """Packets that show a frame, and all packets, up to where the file can be read."""
    shown = packets = 0
    errors = need("av", "video").error.FFmpegError
    try:
        for packet in container.demux(stream):
            packets += packet.size > 0
            shown += packet.size > 0 and not packet.is_discard
    except errors:
        pass
    return shown, packets


def read(path: str, inner: str, start: int, stop: int) -> Iterator[Image | UnreadableError]:
    """Decode the frames up to ``stop``, and convert those from ``start`` on."""
    with need("av", "video").open(path) as container:
        stream = _stream(container)
        stream.thread_type = "AUTO"
        index = 0
        for index, frame in enumerate(container.decode(stream), 1):
            if index > start:
                yield _image(frame)
            if index == stop:
                return
    raise UnreadableError(f"ends after {index} frames")


def _image(frame: Any) -> Image | UnreadableError:
    if frame.is_corrupt:
        return UnreadableError("is a damaged frame")
    image: Image = frame.to_ndarray(format=GRAY.get(frame.format.name, "rgb24"))
    return image


VIDEO = Reader(
    "video",
    (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ts", ".ogv"),
    scan,
    read,
)
