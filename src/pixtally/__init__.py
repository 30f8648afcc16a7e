"""pixtally: what every pixel does over a huge collection of images."""

from pixtally import accessor as accessor
from pixtally._version import __version__
from pixtally.cluster import cluster
from pixtally.errors import PixtallyError
from pixtally.histogram import pixel_histogram
from pixtally.ingest import Ingested, ingest, ingest_images
from pixtally.merge import merge_histograms
from pixtally.pipeline import Pipeline
from pixtally.render import contact_sheet, display_limits, render
from pixtally.store import open_histogram, open_images
from pixtally.transforms.colormap import apply_colormap, invert_colormap
from pixtally.transforms.fill import fill
from pixtally.transforms.translate import translate
from pixtally.write import append_images, write_histogram
from pixtally.write_images import write_images

__all__ = [
    "Ingested",
    "Pipeline",
    "PixtallyError",
    "__version__",
    "append_images",
    "apply_colormap",
    "cluster",
    "contact_sheet",
    "display_limits",
    "fill",
    "ingest",
    "ingest_images",
    "invert_colormap",
    "merge_histograms",
    "open_histogram",
    "open_images",
    "pixel_histogram",
    "render",
    "translate",
    "write_histogram",
    "write_images",
]
