"""pixtally: what every pixel does over a huge collection of images."""

from typing import TYPE_CHECKING

from pixtally._lazy import make_lazy
from pixtally._version import __version__
from pixtally.errors import PixtallyError

if TYPE_CHECKING:
    from pixtally.clahe import clahe
    from pixtally.cluster import cluster
    from pixtally.equalize import equalize
    from pixtally.histogram import pixel_histogram
    from pixtally.ingest import Ingested, ingest, ingest_images
    from pixtally.match import match_histogram
    from pixtally.merge import merge_histograms
    from pixtally.pipeline import Pipeline
    from pixtally.store import open_histogram, open_images
    from pixtally.write import append_images, write_histogram
    from pixtally.write_images import write_images

__all__ = [
    "Ingested",
    "Pipeline",
    "PixtallyError",
    "__version__",
    "append_images",
    "clahe",
    "cluster",
    "equalize",
    "ingest",
    "ingest_images",
    "match_histogram",
    "merge_histograms",
    "open_histogram",
    "open_images",
    "pixel_histogram",
    "write_histogram",
    "write_images",
]

make_lazy(
    __name__,
    {
        "Ingested": "ingest",
        "Pipeline": "pipeline",
        "append_images": "write",
        "clahe": "clahe",
        "cluster": "cluster",
        "equalize": "equalize",
        "ingest": "ingest",
        "ingest_images": "ingest",
        "match_histogram": "match",
        "merge_histograms": "merge",
        "open_histogram": "store",
        "open_images": "store",
        "pixel_histogram": "histogram",
        "write_histogram": "write",
        "write_images": "write_images",
    },
    accessor="pixtally.accessor",
)
