"""The pages of the documentation run: their code, in order, prints what they say it prints."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import yaml
from PIL import Image

from pixtally.demo import write_demo

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
from page_code import Runner, blocks, save_photograph  # noqa: E402  (lies beside the pages)

HOWTOS = sorted(p for p in (ROOT / "docs/howto").glob("*.md") if p.stem != "index")
EXPLAINED = sorted(p for p in (ROOT / "docs/explain").glob("*.md") if p.stem != "index")


class NoCluster:
    dashboard_link = "none"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    # A cluster takes seconds to start; the tutorial starts one.
    monkeypatch.setattr("pixtally.cli._cluster", lambda path, default: NoCluster())
    return tmp_path


def test_the_tutorial(here):
    Runner(ROOT / "docs/tutorial.md", processes=("run",)).run_all()
    for name in ("sheet", "median", "std", "pixel", "out/pictures/median"):
        with Image.open(here / f"{name}.png") as picture:
            assert picture.size[0] > 100


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("page", HOWTOS + EXPLAINED, ids=lambda page: page.stem)
def test_pages(page):
    retina = save_photograph(Path())
    Runner(page, absent="" if retina else "retina").run_all()


@pytest.mark.usefixtures("here")
def test_the_readme():
    write_demo("frames", 30, (48, 64))
    write_demo("today", 3, (48, 64), seed=1)
    for folder in ("pipelines", "cluster"):
        Path(folder).symlink_to(ROOT / folder)
    Runner(ROOT / "README.md").run_all()


@pytest.mark.usefixtures("here")
def test_the_first_page():
    write_demo("frames", 12, (16, 24))
    Runner(ROOT / "docs/index.md").run_all()


def test_a_page_that_says_something_else_fails(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)\n```\n\n<!-- prints -->\n```text\n3\n```\n")
    first, second = blocks(page)
    runner = Runner(page)
    runner.run(first)
    with pytest.raises(AssertionError, match="says\n3\n\nbut this was printed:\n2"):
        runner.run(second)


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"])
def test_pictures_and_pages_that_are_named_exist(page):
    made = {"python.md", "tally.md", "command-line.md", "pipelines.md"}
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.S)
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
        if Path(target).parent.name == "reference" and Path(target).name in made:
            continue
        assert (page.parent / target).exists(), f"{page.name} names {target}"


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").rglob("*.md"))])
def test_yaml_is_yaml(page):
    for block in blocks(page):
        if block.language == "yaml":
            assert yaml.safe_load(block.code), f"{page.name}:{block.line}"


def test_pictures_are_small_and_used():
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "docs/mkdocs/mkdocs.yml", ROOT / "README.md"]
    text = "".join(page.read_text("utf-8") for page in pages)
    for picture in (ROOT / "docs/images").glob("*.png"):
        assert picture.stat().st_size < 150_000, picture.name
        assert picture.name in text, f"no page shows {picture.name}"


ROW = re.compile(
    r"^\| `(?P<theirs>.+?)` \| `(?P<ours>.+?)`(?P<also>[^|]*) \| (?P<how>[^|]+) \|$", re.M
)


def equal_calls():
    """Return every row of the page that names two calls, and how equal they are."""
    text = (ROOT / "docs/coming-from.md").read_text("utf-8").partition("## MATLAB")[0]
    assert len(ROW.findall(text)) == text.count("\n| `"), "a row is not two calls and how equal"
    return [(m["theirs"], m["ours"], m["how"].strip()) for m in ROW.finditer(text)]


@pytest.fixture(scope="module")
def peers():
    """The names of the page, and the packages that its tables speak of."""
    pytest.importorskip("xhistogram")
    names = Runner(ROOT / "docs/coming-from.md").run_all()
    import cv2
    from skimage import exposure
    from xhistogram.xarray import histogram

    return names | {"cv2": cv2, "exposure": exposure, "histogram": histogram}


@pytest.mark.parametrize(("theirs", "ours", "how"), equal_calls())
def test_calls_are_equal(peers, theirs, ours, how):
    expected, found = np.asarray(eval(theirs, peers)), np.asarray(eval(ours, peers))
    assert expected.shape == found.shape
    where = np.ones(expected.shape, bool)
    if how.startswith("where"):
        where = eval(how.removeprefix("where").strip(" `"), peers)
        how = "="
    if how == "=":
        np.testing.assert_array_equal(found[where], expected[where])
    elif how == "≈":
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    elif how == "within 1 %":
        np.testing.assert_allclose(found, expected, rtol=0.01, atol=0.01)
    else:
        assert how == "but for ties"
        assert (found == expected).mean() > 0.8


def test_the_other_calls_of_that_page_run(peers):
    text = (ROOT / "docs/coming-from.md").read_text("utf-8").partition("## MATLAB")[2]
    calls = [c for c in re.findall(r"`([^`]+)`", text) if c.startswith(("pt.", "hist."))]
    assert len(calls) > 8
    for call in calls:
        np.asarray(eval(call, peers))


@pytest.mark.usefixtures("here")
def test_the_calls_beside_those_of_matlab_run():
    page = ROOT / "docs/howto/matlab.md"
    names = Runner(page).run_all() | {"colours": "jet"}
    rows = re.findall(r"^\| `[^`]+` \| `(pt\.[^`]+)` \|$", page.read_text("utf-8"), re.M)
    assert len(rows) == 8
    for call in rows:
        assert np.asarray(eval(call, names)).size
