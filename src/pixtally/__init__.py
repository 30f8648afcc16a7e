"""pixtally: what every pixel does over a huge collection of images."""

from typing import TYPE_CHECKING

from pixtally._lazy import add_accessor, make_lazy
from pixtally._version import __version__
from pixtally.errors import PixtallyError

if TYPE_CHECKING:
    from pixtally.clahe import clahe
    from pixtally.cluster import cluster
    from pixtally.equalize import equalize
    from pixtally.exposure import steady_exposure
    from pixtally.foreground import foreground
    from pixtally.histogram import pixel_histogram
    from pixtally.ingest import Ingested, ingest, ingest_images
    from pixtally.match import match_histogram
    from pixtally.merge import merge_histograms
    from pixtally.mixture import fit_mixture, predict_mixture
    from pixtally.mixture_model import to_sklearn
    from pixtally.pipeline import Pipeline
    from pixtally.pixel_models import fit_peaks, pixel_mixture
    from pixtally.render import contact_sheet, display_limits, render
    from pixtally.report import report
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
    "clahe",
    "cluster",
    "contact_sheet",
    "display_limits",
    "equalize",
    "fill",
    "fit_mixture",
    "fit_peaks",
    "foreground",
    "ingest",
    "ingest_images",
    "invert_colormap",
    "match_histogram",
    "merge_histograms",
    "open_histogram",
    "open_images",
    "pixel_histogram",
    "pixel_mixture",
    "predict_mixture",
    "render",
    "report",
    "steady_exposure",
    "to_sklearn",
    "translate",
    "write_histogram",
    "write_images",
]

make_lazy(
    __name__,
    {
        "Ingested": "ingest",
        "Pipeline": "pipeline",
        "append_images": "write",
        "apply_colormap": "transforms.colormap",
        "clahe": "clahe",
        "cluster": "cluster",
        "contact_sheet": "render",
        "display_limits": "render",
        "equalize": "equalize",
        "fill": "transforms.fill",
        "fit_mixture": "mixture",
        "fit_peaks": "pixel_models",
        "foreground": "foreground",
        "ingest": "ingest",
        "ingest_images": "ingest",
        "invert_colormap": "transforms.colormap",
        "match_histogram": "match",
        "merge_histograms": "merge",
        "open_histogram": "store",
        "open_images": "store",
        "pixel_histogram": "histogram",
        "pixel_mixture": "pixel_models",
        "predict_mixture": "mixture",
        "render": "render",
        "report": "report",
        "steady_exposure": "exposure",
        "to_sklearn": "mixture_model",
        "translate": "transforms.translate",
        "write_histogram": "write",
        "write_images": "write_images",
    },
)
add_accessor("tally", "pixtally.accessor", "TallyAccessor")
