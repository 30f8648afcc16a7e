"""pixtally: what every pixel does over a huge collection of images."""

from pixtally import accessor as accessor
from pixtally._version import __version__
from pixtally.cluster import cluster
from pixtally.errors import PixtallyError
from pixtally.exposure import steady_exposure
from pixtally.foreground import foreground
from pixtally.histogram import pixel_histogram
from pixtally.ingest import Ingested, ingest, ingest_images
from pixtally.merge import merge_histograms
from pixtally.mixture import fit_mixture, predict_mixture
from pixtally.mixture_model import to_sklearn
from pixtally.pipeline import Pipeline
from pixtally.pixel_models import fit_peaks, pixel_mixture
from pixtally.store import open_histogram, open_images
from pixtally.write import append_images, write_histogram
from pixtally.write_images import write_images

__all__ = [
    "Ingested",
    "Pipeline",
    "PixtallyError",
    "__version__",
    "append_images",
    "cluster",
    "fit_mixture",
    "fit_peaks",
    "foreground",
    "ingest",
    "ingest_images",
    "merge_histograms",
    "open_histogram",
    "open_images",
    "pixel_histogram",
    "pixel_mixture",
    "predict_mixture",
    "steady_exposure",
    "to_sklearn",
    "write_histogram",
    "write_images",
]
