"""The page of a report: sections from top to bottom, one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib.resources import files
from itertools import groupby

import numpy as np

from pixtally import charts
from pixtally._version import __version__
from pixtally.charts import number, short
from pixtally.overview import SHOWN, Overview
from pixtally.report import making, parts
from pixtally.report.gather import Gathered
from pixtally.report.pictures import CMAPS, Picture, coloured, composite, shared_span, thumbnail
from pixtally.sizes import size_text
from pixtally.unusual import KINDS

MEANINGS = {
    "median": ("Median", "Half of the images are darker here, half brighter: what the pixel "
               "usually shows."),
    "mean": ("Mean", "The average over all images."),
    "std": ("Standard deviation", "How far the pixel strays from its mean: what moves, flickers "
            "or is noisy."),
    "mode": ("Mode", "The most frequent value, the lowest of equals."),
    "entropy": ("Entropy", "How many bins the values spread over: 0 bit for one, 8 bit for 256 "
                "alike."),
}  # fmt: skip
"""Title and meaning of each statistic image."""

LEVELS = ("median", "mean", "mode")
"""Those that are values of the images themselves; they share the scale of the first two."""

MOST_PLANES = 4
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(found: Gathered) -> str:
    """Return the whole page."""
    style = files("pixtally.report").joinpath("report.css").read_text("utf-8")
    body = "".join(
        [
            _header(found),
            _statistics(found),
            _collection(found),
            _pixels(found),
            making.section(found),
            f"<footer>Made by pixtally {__version__}. This page needs no network.</footer>",
        ]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(found.path.name)} – pixtally report</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<link rel="icon" href="data:,"><style>{style}</style></head>'
        f"<body><main>{body}</main></body></html>\n"
    )


def _header(found: Gathered) -> str:
    seen = found.overview
    sections = {
        "images": "Every pixel",
        "collection": "The collection",
        "pixels": "Pixels worth a look",
        "making": "How it was made",
    }
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in sections.items())
    size = " × ".join(number(n) for n in found.hist["counts"].shape[:-1]) or "1"
    facts = {
        "images": number(int(found.hist.attrs["n_images"])),
        "pixels": size,
        "bins": number(seen.axis.bins),
        "samples in the bins": number(float(seen.samples)),
        "left out": number(len(found.left_out)),
        "on disk": size_text(making.disk_bytes(found.path)),
    }
    return (
        f'<header><p class="eyebrow">Per-pixel histogram</p><h1>{escape(found.path.name)}</h1>'
        f'<p class="lede">{_lede(found)}</p>{parts.facts_list(facts)}'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>'
    )


def _lede(found: Gathered) -> str:
    """Return the page in a few sentences."""
    seen = found.overview
    said = []
    if seen.samples > 0:
        low, _, high = _quartiles(seen)
        strays = np.nanmedian(seen.images["std"])
        said.append(
            f"Half of all samples lie between <b>{number(low)}</b> and <b>{number(high)}</b>"
            f"{_unit(found)}, and the typical pixel strays by <b>±{short(strays)}"
            "</b> from its own mean."
        )
    for kind, words in (
        ("hot", ("pixel is hot", "pixels are hot")),
        ("dead", ("pixel never changes", "pixels never change")),
        ("saturated", ("pixel saturates", "pixels saturate")),
    ):
        n = seen.best[kind].number
        if n:
            said.append(f"<b>{number(n)}</b> {words[n != 1]}.")
    if seen.unseen:
        said.append(f"<b>{number(seen.unseen)}</b> pixels have no sample in the bins.")
    if len(said) == 1:
        said.append("No pixel is hot, dead or saturated.")
    return " ".join(said) or "No sample is in the bins."


def _unit(found: Gathered) -> str:
    return f" {escape(found.units)}" if found.units else ""


def _quartiles(seen: Overview) -> tuple[float, float, float]:
    """Return the quantiles 0.25, 0.5 and 0.75 of all samples, as bins."""
    below = np.cumsum(seen.histogram.astype(np.float64))
    labels = seen.axis.labels
    low, middle, high = (
        float(labels[int(np.searchsorted(below, q * below[-1]))]) for q in (0.25, 0.5, 0.75)
    )
    return low, middle, high


def _statistics(found: Gathered) -> str:
    seen = found.overview
    spans = {name: shared_span([seen.images[name]]) for name in ("std", "entropy")}
    levels = level_span(seen)
    cards = "".join(_card(found, name, spans.get(name, levels)) for name in SHOWN)
    return (
        '<section id="images" aria-labelledby="h-images"><h2 id="h-images">What every pixel does'
        f"</h2><p>{_scale_words(seen)}</p>"
        f'<div class="cards">{cards}</div></section>'
    )


def level_span(seen: Overview) -> tuple[float, float]:
    """Return the values that are black and white in median, mean and mode.

    A few modes far away (of a dark frame, say) would leave the others without contrast.
    """
    return shared_span([seen.images["median"], seen.images["mean"]])


def _scale_words(seen: Overview) -> str:
    """Say how the images on the screen differ from those in the store."""
    words = "Median, mean and mode share one scale of gray, so that they can be compared. "
    if seen.step > 1:
        rows, columns = seen.shape[1:]
        words += (
            f"<strong>These images are made smaller for the screen: each dot is the mean of "
            f"{seen.step} × {seen.step} pixels of {number(rows)} × {number(columns)}.</strong> "
            "The store holds them in full; single pixels that stand out are listed "
            '<a href="#pixels">below</a>. '
        )
    if seen.shape[0] > MOST_PLANES:
        words += f"The first {MOST_PLANES} of {seen.shape[0]} planes are shown. "
    return words + "Least and largest values are those of all pixels at full resolution."


def _card(found: Gathered, name: str, span: tuple[float, float]) -> str:
    """Return one statistic image with its colours and its meaning."""
    seen = found.overview
    title, meaning = MEANINGS[name]
    pictures = pictures_of(seen, name, span)
    low, high = seen.extremes[name]
    finite = seen.images[name][np.isfinite(seen.images[name])]
    clipped = bool((finite < span[0]).any()), bool((finite > span[1]).any())
    units = "bit" if name == "entropy" else found.units
    shown = "".join(
        parts.image(p, f"{title} image{_plane_words(seen, k, len(pictures))}, "
                    f"from {short(low)} to {short(high)}{f' {units}' if units else ''}.")
        for k, p in enumerate(pictures)
    )  # fmt: skip
    colours = (
        "" if pictures[0].cmap == "channels" else parts.colour_bar(pictures[0], clipped, units)
    )
    return (
        f'<figure class="card {name}"><h3>{title}</h3><div class="planes">{shown}</div>'
        f"{colours}<figcaption>{meaning} <small>Least <b>{short(low)}</b>, largest "
        f"<b>{short(high)}</b>.</small></figcaption></figure>"
    )


def _plane_words(seen: Overview, k: int, number_of: int) -> str:
    return f" of {' '.join(seen.pixel_dims[:-2])} {k}" if number_of > 1 else ""


def pictures_of(seen: Overview, name: str, span: tuple[float, float]) -> list[Picture]:
    """Return the pictures of a statistic: one a plane, or one in colour of three channels."""
    planes = seen.images[name]
    if name in LEVELS and len(planes) == 3 and seen.pixel_dims[:-2] == ("channel",):
        return [composite(planes, span)]
    return [coloured(plane, span, CMAPS[name]) for plane in planes[:MOST_PLANES]]


def _collection(found: Gathered) -> str:
    seen = found.overview
    made = charts.bars(seen.histogram, seen.axis, most=512)
    marks = dict(zip(("¼", "median", "¾"), _quartiles(seen), strict=True)) if seen.samples else {}
    outside = [f"{number(float(n))} {_FLOWS[name]}" for name, n in seen.flows.items() if n]
    words = f"All {number(float(seen.samples))} samples together"
    words += f"; besides them {', '.join(outside)}." if outside else "; none outside the bins."
    if made.joined > 1:
        words += f" Each bar joins {made.joined} bins."
    label = (
        f"Histogram of all samples over {seen.axis}: quartiles "
        f"{', '.join(number(v) for v in marks.values())}."
    )
    return (
        '<section id="collection" aria-labelledby="h-collection">'
        f'<h2 id="h-collection">The collection</h2><p>{words}</p>{_SCALES}'
        f"{parts.wide_chart(made, label, found.units, marks)}{_thumbnails(found)}</section>"
    )


_FLOWS = {
    "underflow": "below the bins",
    "overflow": "above the bins",
    "invalid": "invalid (NaN or masked)",
}

_SCALES = (
    '<fieldset class="scales"><legend>Heights</legend>'
    '<label><input type="radio" name="scale" id="scale-lin" checked> linear</label>'
    '<label><input type="radio" name="scale" id="scale-log"> logarithmic</label></fieldset>'
)


def _thumbnails(found: Gathered) -> str:
    images = found.thumbnails
    if images is None:
        return f'<h3>Images</h3><p class="muted">{escape(found.missing)}</p>'
    dims = ("channel", "y", "x") if "channel" in images.dims else images.dims[1:]
    span = (0.0, 255.0) if images.dtype == np.uint8 else shared_span([images.values])
    shown = "".join(
        f"<li>{parts.image(thumbnail(one.transpose(*dims).values, span), f'Image {name}')}"
        f"<span>{escape(name.rpartition('/')[2])}</span></li>"
        for one, name in zip(images, map(str, images["image_id"].values), strict=True)
    )
    return (
        f"<h3>{images.sizes['image']} of {number(int(found.hist.attrs['n_images']))} images, "
        f'evenly spaced</h3><ul class="thumbs">{shown}</ul>'
    )


def _pixels(found: Gathered) -> str:
    """Return the chosen and unusual pixels, numbered on a small map."""
    seen = found.overview
    numbered = list(enumerate(found.pixels, start=1))
    groups = []
    for kind, members in groupby(numbered, key=lambda pair: pair[1].kind):
        unit = "of weight" if found.hist.attrs["weighted"] else "images"
        drawn = "".join(parts.pixel_chart(p, n, seen.axis, unit) for n, p in members)
        groups.append(f'<div class="group">{_group_title(kind, seen)}'
                      f'<div class="charts">{drawn}</div></div>')  # fmt: skip
    absent = [k.title.lower() for k in KINDS if not seen.best[k.name].number]
    none = f'<p class="muted">None: {", ".join(absent)}.</p>' if absent else ""
    fit = (
        f"Lines are the Gaussian mixture of the pixel ({escape(found.mixture_from)}). "
        if found.mixture_from
        else ""
    )
    return (
        '<section id="pixels" aria-labelledby="h-pixels">'
        '<h2 id="h-pixels">Pixels worth a look</h2>'
        f"<p>Each chart is cut to the values that occur; the strip below it says which part of "
        f"all bins that is. {fit}</p>"
        f'<div class="beside">{_map(found)}<div>{"".join(groups)}{none}</div></div></section>'
    )


def _group_title(kind: str, seen: Overview) -> str:
    if kind == "chosen":
        return "<h3>Chosen</h3>"
    found = next(k for k in KINDS if k.name == kind)
    n = seen.best[kind].number
    many = "" if kind == "entropy" else f' <span class="many">{number(n)} in all</span>'
    return f'<h3>{found.title}{many}</h3><p class="muted">{found.meaning}</p>'


def _map(found: Gathered) -> str:
    """Return the median image with the numbers of the pixels on it."""
    seen = found.overview
    picture = pictures_of(seen, "median", level_span(seen))[0]
    return (
        '<figure class="map"><div class="place">'
        f"{parts.image(picture, 'The median image with the places of the numbered pixels.')}"
        f"{''.join(_markers(found))}</div><figcaption>Where they are"
        f"{' (planes lie upon each other)' if seen.shape[0] > 1 else ''}.</figcaption></figure>"
    )


def _markers(found: Gathered) -> Iterator[str]:
    rows, columns = found.overview.shape[1:]
    for n, pixel in enumerate(found.pixels, start=1):
        *_, y, x = (0, 0, *pixel.place.values())
        left, top = 100 * (x + 0.5) / columns, 100 * (y + 0.5) / rows
        yield (
            f'<span class="badge {pixel.kind}" style="left:{left:.2f}%;top:{top:.2f}%" '
            f'aria-hidden="true">{n}</span>'
        )
