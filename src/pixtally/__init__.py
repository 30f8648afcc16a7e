"""pixtally: what every pixel does over a huge collection of images."""

from pixtally._version import __version__
from pixtally.errors import PixtallyError
from pixtally.histogram import pixel_histogram
from pixtally.merge import merge_histograms

__all__ = ["PixtallyError", "__version__", "merge_histograms", "pixel_histogram"]
