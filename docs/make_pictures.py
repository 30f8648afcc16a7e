"""Draws the pictures of the documentation from what its pages compute: docs/images/*.png.

Run it from anywhere: ``python docs/make_pictures.py [PAGE...]``. Each page's code runs in an empty
folder; what it made is drawn by the functions here that are named for the page. The photograph is
retina.jpg (CC0) of the shared collections, else one that is drawn.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import pixtally as pt

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))
from page_code import Runner, save_photograph  # noqa: E402  (lies beside this file)

IMAGES = DOCS / "images"
INK, GREEN, ORANGE, RED = "#7a8a8c", "#2a9d8f", "#f4813f", "#e63946"
plt.rcParams.update(
    {
        "figure.dpi": 100,
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "savefig.transparent": True,
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
        ),
    }
)
DRAW: dict[str, list[Callable[[dict[str, Any]], None]]] = {}


def of(page: str) -> Callable[[Any], Any]:
    """Mark a function that draws from the names that a page made."""

    def mark(draw: Any) -> Any:
        DRAW.setdefault(page, []).append(draw)
        return draw

    return mark


def save(name: str, figure: Any) -> None:
    """Save a figure with a transparent ground, so that it suits light and dark pages."""
    path = IMAGES / f"{name}.png"
    figure.savefig(path, bbox_inches="tight", pad_inches=0.03)
    plt.close(figure)
    shrink(path)


def save_pixels(name: str, pixels: Any, scale: int = 1) -> None:
    """Save an array of bytes, every pixel as a square."""
    picture = Image.fromarray(np.asarray(pixels))
    size = (picture.width * scale, picture.height * scale)
    path = IMAGES / f"{name}.png"
    picture.resize(size, Image.Resampling.NEAREST).save(path)
    shrink(path)


def shrink(path: Path) -> None:
    """Store a picture as gray or with a palette where that is smaller."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGBA"))
    opaque = (pixels[..., 3] == 255).all()
    gray = opaque and (pixels[..., :1] == pixels[..., :3]).all()
    few = Image.fromarray(pixels[..., 0]) if gray else with_palette(pixels)
    scratch = path.with_suffix(".few.png")
    few.save(scratch, optimize=True)
    if scratch.stat().st_size < path.stat().st_size:
        scratch.replace(path)
    scratch.unlink(missing_ok=True)
    print(f"{path.name}: {path.stat().st_size // 1024} KiB")


def with_palette(pixels: Any, solid: int = 224) -> Any:
    """Return RGBA bytes with a palette: most entries for what is opaque, some for soft edges."""
    hard, soft = pixels[..., 3] == 255, (pixels[..., 3] > 0) & (pixels[..., 3] < 255)
    colours = np.where(hard[..., None], pixels[..., :3], pixels[hard][:1, :3])
    first = Image.fromarray(colours).quantize(solid, Image.Quantize.MEDIANCUT, dither=0)
    table = np.zeros((256, 4), "uint8")
    table[:solid, :3] = np.resize(np.array(first.getpalette("RGB")), (solid, 3))
    table[:solid, 3] = 255
    numbers = np.where(hard, np.asarray(first), 255).astype("uint8")
    if soft.any():
        edges = Image.fromarray(pixels[soft][None])
        second = edges.quantize(255 - solid, Image.Quantize.FASTOCTREE, dither=0)
        found = np.array(second.getpalette("RGBA")).reshape(-1, 4)[: 255 - solid]
        table[solid : solid + len(found)] = found
        numbers[soft] = solid + np.asarray(second)[0]
    few = Image.frombytes("P", numbers.shape[::-1], numbers.tobytes())
    few.putpalette(table[:, :3].tobytes(), "RGB")
    few.info["transparency"] = table[:, 3].tobytes()
    return few


def show(axes: Any, image: Any, title: str = "", **how: Any) -> Any:
    """Draw an image without axes."""
    axes.set_axis_off()
    axes.set_title(title)
    return axes.imshow(image, **({"cmap": "gray", "interpolation": "nearest"} | how))


def overlay(image: Any, mask: Any) -> Any:
    """Return an image as RGB bytes with a mask in red."""
    gray = np.asarray(image, float)
    colour = np.repeat(gray[..., None], 3, -1)
    colour[np.asarray(mask)] = 0.35 * colour[np.asarray(mask)] + 0.65 * np.array([230, 40, 50])
    return colour.clip(0, 255).astype("uint8")


@of("tutorial.md")
def tutorial(made: dict[str, Any]) -> None:
    """The collection, one image, its answers, two pixels, and what moves."""
    images, answers, y, x = made["images"], made["answers"], made["y"], made["x"]
    save_pixels("tutorial-sheet", Image.open("sheet.png"))
    save_pixels("tutorial-frame", pt.render(images[38].values, (0, 150)), 2)
    save_pixels("tutorial-median", pt.render(answers["median"], (0, 150)), 2)
    save_pixels("tutorial-std", pt.render(answers["std"], (5, 25), cmap="magma"), 2)
    hist = made["hist"]
    figure, axes = plt.subplots(figsize=(6.2, 2.3))
    for (row, column), colour in {often_hidden(hist): GREEN, (y, x): ORANGE}.items():
        counts = hist["counts"][row, column].values
        label = f"pixel {row}, {column}"
        axes.bar(hist["bin"], counts, width=1, color=colour, alpha=0.9, label=label)
    axes.set(xlabel="value", ylabel="images", ylim=(0, 40), xlim=(0, 256))
    axes.legend()
    save("tutorial-pixels", figure)
    at = made["busiest"]
    bright = pt.render(images[at].values, (0, 150))
    pair = [bright, overlay(bright[..., 0], made["found"]["mask"][at])]
    gap = np.full((pair[0].shape[0], 6, 3), 255, "uint8")
    save_pixels("tutorial-foreground", np.hstack([pair[0], gap, pair[1]]), 2)


def often_hidden(hist: Any) -> tuple[int, int]:
    """Return the sound pixel that is dark most often: the ball is before it."""
    dark = hist["counts"][..., :40].sum("bin").values
    row, column = np.unravel_index(np.argmax(dark), dark.shape)
    return int(row), int(column)


@of("tutorial.md")
def home(made: dict[str, Any]) -> None:
    """The picture of the first page: images, a pixel's histogram, what follows from it."""
    images, answers = made["images"], made["answers"]
    pixel = often_hidden(made["hist"])
    figure = plt.figure(figsize=(8.4, 2.5))
    stack = figure.add_axes((0.0, 0.05, 0.3, 0.85))
    draw_stack(stack, [images[i].values for i in (285, 228, 171, 38)], pixel)
    stack.set_title("400 images")
    axes = figure.add_axes((0.36, 0.22, 0.27, 0.62))
    counts = made["hist"]["counts"][pixel].values
    axes.bar(np.arange(256), counts, width=1, color=ORANGE)
    axes.set(xlim=(0, 140), xlabel="value of one pixel", ylabel="images")
    axes.set_title("one histogram a pixel")
    axes.annotate("the ball", (27, 9), (18, 14), arrowprops={"arrowstyle": "->", "color": INK})
    median = figure.add_axes((0.67, 0.05, 0.3, 0.85))
    show(median, answers["median"], "the median image: no ball", vmin=20, vmax=130)
    save("home", figure)


def draw_stack(axes: Any, frames: list[Any], pixel: tuple[int, int] | None) -> None:
    """Draw images behind one another, with one pixel marked through all of them."""
    step_x, step_y = frames[0].shape[1] * 0.09, frames[0].shape[0] * 0.11
    height, width = frames[0].shape
    for back, frame in enumerate(frames):
        left, top = (len(frames) - 1 - back) * step_x, (back - len(frames) + 1) * step_y
        box = (left, left + width, top + height, top)
        axes.imshow(frame, cmap="gray", extent=box, vmin=10, vmax=150, zorder=back)
        axes.add_patch(
            plt.Rectangle((left, top), width, height, fill=False, ec="white", lw=0.8, zorder=back)
        )
    if pixel is not None:
        ends = [(pixel[1], pixel[0])]
        far = len(frames) - 1
        ends.append((pixel[1] + far * step_x, pixel[0] - far * step_y))
        axes.plot(*zip(*ends, strict=True), color=ORANGE, lw=2, zorder=99)
        axes.plot(*ends[0], "s", color=ORANGE, ms=5, zorder=100)
    axes.set_xlim(-2, width + len(frames) * step_x)
    axes.set_ylim(height + 2, -len(frames) * step_y)
    axes.set_axis_off()
    axes.set_aspect("equal")


@of("explain/counting.md")
def counting(made: dict[str, Any]) -> None:
    """A stack, the samples of one pixel over time, its histogram."""
    from pixtally.demo import demo_image

    frames = np.array([demo_image(i, 400, (72, 96)) for i in range(400)])
    where = often_hidden(pt.pixel_histogram(frames).compute())
    samples = frames[:, *where]
    figure, (stack, time, counts) = plt.subplots(
        1, 3, figsize=(8.4, 2.3), width_ratios=(1.25, 1.2, 0.7), layout="constrained"
    )
    draw_stack(stack, [frames[i] for i in (285, 228, 171, 38)], where)
    time.plot(samples, ".", ms=2.5, color=GREEN)
    time.set(xlabel="image", ylabel="value", title="the column of one pixel")
    time.set_ylim(0, 140)
    counts.hist(samples, bins=np.arange(0, 141, 4), orientation="horizontal", color=ORANGE)
    counts.set(xlabel="images", title="its histogram", yticklabels=[])
    counts.set_ylim(0, 140)
    save("counting-column", figure)


@of("explain/bins-and-chunks.md")
def bins(made: dict[str, Any]) -> None:
    """The error of the median against the number of bins."""
    numbers = np.unique(np.geomspace(5, 1000, 40).astype(int))
    errors = []
    for number in numbers:
        hist = pt.pixel_histogram(made["images"], bins=int(number), range=(0, 1))
        errors.append(float(abs(hist.tally.median() - made["exact"]).mean()))
    figure, axes = plt.subplots(figsize=(4.6, 2.5))
    axes.loglog(1 / numbers, errors, color=GREEN, label="error of the median, mean of all pixels")
    axes.loglog(1 / numbers, 1 / numbers, ":", color=INK, label="one bin width")
    sure = 1.2533 * 0.05 / np.sqrt(made["images"].shape[0])
    axes.axhline(sure, color=RED, lw=1, label="standard error of the median of 2000 images")
    axes.axvline(0.05, color=ORANGE, label="the noise of a pixel")
    axes.set(xlabel="bin width", ylabel="error")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    save("bins-error", figure)


@of("explain/bins-and-chunks.md")
def chunks(made: dict[str, Any]) -> None:
    """Three ways to cut the same images."""
    cuts = {"one chunk a frame": (1, 8, 8), "columns": (8, 1, 1), "blocks": (4, 4, 4)}
    figure = plt.figure(figsize=(8.2, 2.7))
    for number, (title, cut) in enumerate(cuts.items()):
        axes = figure.add_subplot(1, 3, number + 1, projection="3d")
        grid = np.ones((8, 8, 8), bool)
        place = np.indices(grid.shape)
        chunk = sum(place[d] // cut[d] * (1, 3, 5)[d] for d in range(3))
        colours = plt.get_cmap("Set2")(chunk % 8)
        axes.voxels(grid, facecolors=colours, edgecolor="none", shade=True)
        axes.set(title=title, xlabel="image", ylabel="x", zlabel="y")
        axes.set_xticks([]), axes.set_yticks([]), axes.set_zticks([])
        for side in (axes.xaxis, axes.yaxis, axes.zaxis):
            side.pane.set_visible(False)
            side.labelpad = -14
    save("chunks", figure)


@of("explain/equalization.md")
def methods(made: dict[str, Any]) -> None:
    """Every method with its histogram."""
    names = ["interp", "cdf", "lut", "opencv", "rank", "matlab", "clahe"]
    shown = {"the image": made["photo"][0]} | {n: np.asarray(made[n])[0] for n in names}
    figure, axes = plt.subplots(
        4, 4, figsize=(7.0, 5.3), height_ratios=(3, 1, 3, 1), layout="constrained"
    )
    for number, (name, image) in enumerate(shown.items()):
        row, column = divmod(number, 4)
        top = 1 if image.max() <= 1 else 255
        small = image[::2, ::2]
        show(axes[2 * row, column], small, name, vmin=0, vmax=top)
        below = axes[2 * row + 1, column]
        below.hist(image.ravel(), bins=128, range=(0, top), color=GREEN)
        below.set(yticks=[], xticks=[0, top])
        below.spines["left"].set_visible(False)
        below.set_ylim(0, np.percentile(np.histogram(image, 128)[0], 97) * 1.3)
    save("equalization-methods", figure)


@of("explain/equalization.md")
def limits(made: dict[str, Any]) -> None:
    """CLAHE over limits and tiles."""
    figure, axes = plt.subplots(2, 3, figsize=(5.8, 4.1), layout="constrained")
    for panel, ((limit, tiles), image) in zip(axes.T.ravel(), made["sheets"].items(), strict=True):
        title = f"limit {limit:g}, {tiles} × {tiles} tiles"
        show(panel, np.asarray(image)[0, ::2, ::2], title, vmin=0, vmax=255)
    save("equalization-clahe", figure)


@of("explain/equalization.md")
def scope(made: dict[str, Any]) -> None:
    """Three fields by each scope."""
    rows = {
        "the fields": (made["fields"], 180),
        "image": (made["by_image"], 1),
        "collection": (made["together"], 1),
        "pixel": (made["by_pixel"], 1),
    }
    figure, axes = plt.subplots(3, 4, figsize=(6.2, 4.9), layout="constrained")
    for column, (title, (images, top)) in enumerate(rows.items()):
        for row, number in enumerate((0, 4, 7)):
            panel = axes[row, column]
            show(panel, np.asarray(images[number]), title * (row == 0), vmin=0, vmax=top)
    save("equalization-scope", figure)


@of("explain/filling.md")
def filling(made: dict[str, Any]) -> None:
    """The holes and each method, around the square."""
    height, width = made["photo"].shape
    part = np.s_[height // 3 - 30 : height // 3 + 60, width // 3 - 30 : width // 3 + 60]
    photo = made["photo"][part]
    how = {"vmin": int(photo.min()), "vmax": int(photo.max())}
    holes = np.where(made["holes"], np.nan, made["photo"])[part]
    shown = {"before": photo, "holes": holes}
    shown |= {name: image.values[part] for name, image in made["filled"].items()}
    gray_with_holes = plt.get_cmap("gray").with_extremes(bad=RED)
    figure, axes = plt.subplots(2, 3, figsize=(6.6, 4.7), layout="constrained")
    for panel, (name, image) in zip(axes.ravel(), shown.items(), strict=True):
        show(panel, image, name, cmap=gray_with_holes, **how)
    save("filling-methods", figure)


@of("explain/filling.md")
def over_time(made: dict[str, Any]) -> None:
    """A cloud, filled over space and over time."""
    part = np.s_[0:140, 0:160]
    cloudy = np.where(made["clouds"][0], np.nan, made["series"][0])
    shown = {"a cloud": cloudy, "harmonic": made["by_space"], "temporal_median": made["by_time"]}
    how = {"vmin": 0, "vmax": float(np.nanmax(cloudy[part]))}
    figure, axes = plt.subplots(1, 3, figsize=(7.6, 2.4), layout="constrained")
    gray_with_holes = plt.get_cmap("gray").with_extremes(bad="white")
    for panel, (name, image) in zip(axes, shown.items(), strict=True):
        show(panel, image[part], name, cmap=gray_with_holes, **how)
    save("filling-time", figure)


@of("howto/detector.md")
def peaks(made: dict[str, Any]) -> None:
    """The comb of a pixel with its fit; the maps of the gain."""
    found, hist = made["peaks"], made["hist"]
    figure, (comb, gain) = plt.subplots(
        1, 2, figsize=(8.2, 2.5), width_ratios=(1.5, 1), layout="constrained"
    )
    pixel = {"y": 30, "x": 20}
    counts = hist["counts"].isel(pixel).values
    values = hist["bin"].values
    comb.bar(values, counts, width=1, color=GREEN, label="images")
    one = {name: float(found[name].isel(pixel)) for name in ("offset", "gain", "noise", "rate")}
    weight, total = np.exp(-one["rate"]), 0.0
    for photons in range(5):
        centre = one["offset"] + photons * one["gain"]
        bell = np.exp(-0.5 * ((values - centre) / one["noise"]) ** 2) / one["noise"]
        total = total + counts.sum() * weight * bell / np.sqrt(2 * np.pi)
        comb.text(centre, 2 + float(np.max(total[abs(values - centre) < 3])), str(photons))
        weight *= one["rate"] / (photons + 1)
    comb.plot(values, total, color=ORANGE, label="fitted comb")
    comb.set(xlim=(440, 900), xlabel="value", ylabel="images", title="one pixel: 0, 1, 2 … photons")
    comb.legend()
    drawn = show(gain, found["gain"], "gain of every pixel", cmap="viridis")
    figure.colorbar(drawn, ax=gain)
    save("detector-peaks", figure)


@of("howto/satellite.md")
def ndvi(made: dict[str, Any]) -> None:
    """One date with its clouds, what is usual, and how far it ranges."""
    figure, axes = plt.subplots(1, 3, figsize=(8.2, 2.2), layout="constrained")
    green = plt.get_cmap("YlGn").with_extremes(bad="#b9c4cc")
    first = made["images"][17].values
    shown = {"one date; clouds in gray": first, "median": made["usual"]}
    for panel, (title, image) in zip(axes, shown.items(), strict=False):
        show(panel, image, title, cmap=green, vmin=0, vmax=0.9)
    spread = show(axes[2], made["high"] - made["low"], "90 % − 10 % quantile", cmap="magma")
    figure.colorbar(axes[1].images[0], ax=axes[1])
    figure.colorbar(spread, ax=axes[2])
    save("satellite-ndvi", figure)


@of("howto/training-set.md")
def training(made: dict[str, Any]) -> None:
    """Six photographs, and what each way makes of them."""
    images = made["images"]
    chosen = (3, 7, 20, 33, 41)
    rows = {
        "before": images,
        "opencv, luminance": made["even"],
        "clahe": made["clear"],
        "matched": pt.open_images("matched.zarr"),
    }
    figure, axes = plt.subplots(4, 5, figsize=(6.0, 5.2), layout="constrained")
    for row, (title, collection) in enumerate(rows.items()):
        for column, number in enumerate(chosen):
            panel = axes[row, column]
            show(panel, collection[number].transpose("y", "x", "channel").values)
        axes[row, 0].set_title(title, loc="left")
    save("training-set-preview", figure)


@of("howto/fixed-camera.md")
def passing(made: dict[str, Any]) -> None:
    """Frames with what passes in red."""
    busy = np.argsort(made["share"].values)[::-1]
    at = sorted(busy[::40][:4])
    pictures = [
        overlay(pt.render(made["steady"][int(i)], (0, 150))[..., 0], made["found"]["mask"][int(i)])
        for i in at
    ]
    gap = np.full((pictures[0].shape[0], 4, 3), 255, "uint8")
    row = [part for picture in pictures for part in (picture, gap)][:-1]
    save_pixels("fixed-camera-foreground", np.hstack(row), 2)


@of("howto/colormaps.md")
def inverted(made: dict[str, Any]) -> None:
    """A picture in jet, its values, the distance."""
    figure, axes = plt.subplots(1, 3, figsize=(8.2, 2.1), layout="constrained")
    colour = made["pictures"][5].transpose("y", "x", "channel").values
    show(axes[0], colour, "the picture")
    missing = plt.get_cmap("gray").with_extremes(bad=RED)
    found = made["found"].isel(image=5)
    values = show(axes[1], found["value"], "value; red: NaN", cmap=missing)
    figure.colorbar(values, ax=axes[1])
    show(axes[2], found["distance"], "distance from the map", cmap="magma", vmax=60)
    save("colormaps-inverted", figure)


@of("howto/matlab.md")
def matlab(made: dict[str, Any]) -> None:
    """What imshow shows of the same matrix."""
    x = made["x"]
    save_pixels("matlab-imshow", pt.render(x), 2)
    save_pixels("matlab-minmax", pt.render(x, "minmax"), 2)
    save_pixels("matlab-uint16", pt.render(x.astype("uint16")), 2)


@of("howto/mixtures.md")
def parts(made: dict[str, Any]) -> None:
    """A photograph and its parts in their mean colours."""
    labels = np.asarray(made["parts"])
    means = made["model"]["means"].values
    painted = means[labels].round().astype("uint8")
    gap = np.full((labels.shape[0], 6, 3), 255, "uint8")
    save_pixels("mixtures-parts", np.hstack([made["photo"], gap, painted]))


def favicon() -> None:
    """Four bars."""
    icon = np.zeros((32, 32, 4), "uint8")
    for bar, height in enumerate((10, 24, 30, 15)):
        icon[32 - height :, 1 + 8 * bar : 7 + 8 * bar] = (0, 121, 107, 255)
    Image.fromarray(icon).save(IMAGES / "favicon.png")


def draw_page(name: str) -> None:
    """Run a page in an empty folder and draw its pictures."""
    print(name)
    with tempfile.TemporaryDirectory() as folder:
        before = Path.cwd()
        os.chdir(folder)
        try:
            save_photograph(Path(folder))
            made = Runner(DOCS / name).run_all()
            for draw in DRAW[name]:
                draw(made)
        finally:
            os.chdir(before)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    favicon()
    for page in sys.argv[1:] or DRAW:
        draw_page(page)
