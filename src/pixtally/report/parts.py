"""Pieces of the page as HTML: tables, figures, charts, colour bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from pixtally import charts
from pixtally.axis import BinAxis
from pixtally.charts import Bars, number, short
from pixtally.report.gather import ShownPixel
from pixtally.report.pictures import Picture, gradient

WIDE = (1000.0, 260.0)
SMALL = (400.0, 96.0)


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Return a table; cells are HTML already, the first of a row names it."""
    titles = "".join(f'<th scope="col">{escape(h)}</th>' for h in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{c}</td>" for c in row[1:]) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption, True)}">'
        f'<table class="{kind}"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def bar(share: float) -> str:
    """Return a small bar for a cell of a table; the number stands beside it."""
    return f'<span class="bar" aria-hidden="true"><i style="width:{100 * share:.1f}%"></i></span>'


def colour_bar(picture: Picture, clipped: tuple[bool, bool], units: str) -> str:
    """Return the colours of an image with the values they stand for."""
    low, high = picture.span
    marks = [t for t in charts.ticks(low, high, 4) if low < t < high]
    # Words of the ends would run into those beside them.
    room = 0.2 * (high - low)
    inner = [t for t in marks if low + room < t < high - room]
    below, above = ("≤ " if clipped[0] else ""), ("≥ " if clipped[1] else "")
    ends = [
        f'<span class="end" style="left:0">{below}{short(low)}</span>',
        f'<span class="end right" style="right:0">{above}{short(high)}</span>',
    ]
    between = [
        f'<span style="left:{100 * (t - low) / ((high - low) or 1):.1f}%">{number(t)}</span>'
        for t in inner
    ]
    named = f'<span class="unit">{escape(units)}</span>' if units else ""
    return (
        f'<div class="ramp" style="background:linear-gradient(90deg, {gradient(picture.cmap)})">'
        f'</div><div class="ticks">{"".join(ends + between)}</div>{named}'
    )


def wide_chart(made: Bars, label: str, units: str, marks: dict[str, float]) -> str:
    """Return the collection's histogram: full width, linear and logarithmic, with marks."""
    width, height = WIDE
    low, high = made.span
    lines = "".join(
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height:g}"/>'
        for x in ((v - low) / (high - low) * width for v in marks.values())
    )
    paths = "".join(
        f'<path class="{kind} area" d="{charts.step_path(made, WIDE, log=kind == "log")}"/>'
        for kind in ("lin", "log")
    )
    notes = "".join(
        f'<span style="left:clamp(2.6rem, {100 * (v - low) / (high - low):.2f}%, 100% - 2.6rem)">'
        f"{escape(name)}&nbsp;<b>{number(v)}</b></span>"
        for name, v in marks.items()
    )
    return (
        f'<div class="wide"><div class="notes">{notes}</div>'
        f'<div class="plot"><div class="up" aria-hidden="true">{_heights(made)}</div>'
        f'<svg viewBox="0 0 {width:g} {height:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label, True)}">{paths}{lines}</svg></div>'
        f'{_across(made.span, 8)}<p class="axis">{escape(units or "value of a sample")}</p></div>'
    )


def _heights(made: Bars) -> str:
    """Return the labels of the upright axis, for both scales."""
    most = float(made.heights.max(initial=0.0))
    linear = [t for t in charts.ticks(0, most, 3) if t > 0] if most else []
    decades = [10.0**k for k in range(1, 16) if 10.0**k <= most]
    decades = decades[:: max(1, -(-len(decades) // 4))]
    words = [f'<span class="lin" style="bottom:{100 * t / most:.1f}%">{number(t)}</span>'
             for t in linear]  # fmt: skip
    words += [
        f'<span class="log" style="bottom:{100 * np.log1p(t) / np.log1p(most):.1f}%">'
        f"{number(t)}</span>"
        for t in decades
    ]
    return "".join(words)


def _across(span: tuple[float, float], about: int) -> str:
    low, high = span
    marks = charts.ticks(low, high, about)
    if len(marks) < 2:
        marks = charts.ticks(low, high, 2 * about)
    words = (
        f'<span style="left:{100 * (t - low) / ((high - low) or 1):.1f}%">{number(t)}</span>'
        for t in marks
    )
    return f'<div class="ticks" aria-hidden="true">{"".join(words)}</div>'


def pixel_chart(pixel: ShownPixel, badge: int, axis: BinAxis, unit: str) -> str:
    """Return the histogram of one pixel with its facts."""
    made = charts.bars(pixel.counts, axis, zoom=True)
    where = ", ".join(f"{d} {n}" for d, n in pixel.place.items()) or "the only pixel"
    facts = (
        f"median <b>{short(pixel.facts['median'])}</b> · std <b>{short(pixel.facts['std'])}</b> · "
        f"<b>{short(pixel.facts['entropy'])}</b> bit"
    )
    flows = ", ".join(f"{number(n)} {name}" for name, n in pixel.flows.items() if n)
    joined = f"bars join {made.joined} bins" if made.joined > 1 else ""
    notes = "; ".join(filter(None, [flows, joined]))
    label = (
        f"Histogram of the pixel at {where}: median {number(pixel.facts['median'])}, standard "
        f"deviation {number(pixel.facts['std'])}, from {number(made.span[0])} to "
        f"{number(made.span[1])}, at most {number(made.heights.max(initial=0))} {unit} in a bar."
    )
    return (
        f'<figure class="pixel"><h4><span class="badge">{badge}</span> {escape(where)}</h4>'
        f'<div class="peak" aria-hidden="true">{number(made.heights.max(initial=0))} '
        f"{escape(unit)}</div>"
        f'<svg viewBox="0 0 {SMALL[0]:g} {SMALL[1]:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label, True)}">'
        f'<path class="area" d="{charts.step_path(made, SMALL)}"/>{_curves(pixel, made)}</svg>'
        f"{_across(made.span, 4)}{_strip(made, axis)}"
        f"<figcaption>{facts}{_mixture_text(pixel)}"
        f"{f'<small>{escape(notes)}</small>' if notes else ''}</figcaption></figure>"
    )


def _curves(pixel: ShownPixel, made: Bars) -> str:
    """Return the components of the pixel's mixture, scaled to its bars."""
    if not pixel.mixture or np.count_nonzero(pixel.counts) < 2:
        return ""
    low, high = made.span
    values = np.linspace(low, high, 200)
    width = (high - low) / made.heights.size
    weights, means, stds = (pixel.mixture[v] for v in ("weights", "means", "stds"))
    density = charts.gaussians(values, weights, means, stds, least_std=width / 2)
    top = float(made.heights.max(initial=1.0))
    total = made.heights.sum() * width
    return "".join(
        f'<path class="curve" d="{charts.curve_path(values, d * total, made.span, SMALL, top)}"/>'
        for d in density
    )


def _mixture_text(pixel: ShownPixel) -> str:
    """Return the components as text, for those who cannot see the curves."""
    if not pixel.mixture:
        return ""
    parts = [
        f"{100 * w:.0f} % at {number(round(m, 1))} ± {number(round(s, 2))}"
        for w, m, s in zip(*(pixel.mixture[v] for v in ("weights", "means", "stds")), strict=True)
        if w > 0.005 and np.isfinite(m)
    ]
    return f'<small class="fit">mixture: {escape(", ".join(parts))}</small>' if parts else ""


def _strip(made: Bars, axis: BinAxis) -> str:
    """Return where the chart lies in the whole range of the bins."""
    edges = charts.drawn_edges(axis)
    low, high = float(edges[0]), float(edges[-1])
    left = 100 * (made.span[0] - low) / (high - low)
    width = 100 * (made.span[1] - made.span[0]) / (high - low)
    return (
        f'<div class="strip" aria-hidden="true" title="part of the bins that is drawn">'
        f'<i style="left:{left:.1f}%;width:{max(width, 1):.1f}%"></i></div>'
    )


def image(picture: Picture, alt: str, extra: str = "") -> str:
    """Return an image; a small one is enlarged with sharp pixels."""
    width, height = picture.size
    sharp = ' class="sharp"' if max(width, height) < 400 else ""
    return (
        f'<img src="{picture.uri}" width="{width}" height="{height}" alt="{escape(alt, True)}"'
        f"{sharp}{extra}>"
    )


def pre(title: str, text: str) -> str:
    """Return text that is folded up until it is wanted."""
    return (
        f"<details><summary>{escape(title)}</summary>"
        f'<pre tabindex="0">{escape(text)}</pre></details>'
    )


def facts_list(facts: dict[str, Any]) -> str:
    """Return large numbers with what they count."""
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in facts.items()
    )
    return f'<dl class="facts">{items}</dl>'
