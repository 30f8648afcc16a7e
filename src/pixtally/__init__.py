"""pixtally: what every pixel does over a huge collection of images."""

from pixtally import accessor as accessor
from pixtally._version import __version__
from pixtally.errors import PixtallyError
from pixtally.histogram import pixel_histogram
from pixtally.ingest import Ingested, ingest, ingest_images
from pixtally.merge import merge_histograms
from pixtally.store import open_histogram, open_images
from pixtally.write import append_images, write_histogram

__all__ = [
    "Ingested",
    "PixtallyError",
    "__version__",
    "append_images",
    "ingest",
    "ingest_images",
    "merge_histograms",
    "open_histogram",
    "open_images",
    "pixel_histogram",
    "write_histogram",
]
