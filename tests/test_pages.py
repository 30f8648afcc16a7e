"""The pages of the documentation run: their code, in order, prints what they say it prints."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
import yaml
from PIL import Image

from pixtally.demo import write_demo

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
from page_code import Runner, blocks  # noqa: E402  (lies beside the pages)

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
    Runner(ROOT / "docs/tutorial.md", processes=True).run_all()
    for name in ("sheet", "median", "std", "pixel", "out/pictures/median"):
        with Image.open(here / f"{name}.png") as picture:
            assert picture.size[0] > 100


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("page", HOWTOS + EXPLAINED, ids=lambda page: page.stem)
def test_pages(page):
    Runner(page).run_all()


@pytest.mark.usefixtures("here")
def test_the_readme():
    write_demo("frames", 30, (16, 24))
    write_demo("today", 3, (16, 24), seed=1)
    page = Runner(ROOT / "README.md")
    page.names["photo"] = pytest.importorskip("numpy").zeros((8, 9, 3), "uint8")
    page.run_all()


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
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text("utf-8")):
        if Path(target).parent.name == "reference" and Path(target).name in made:
            continue
        assert (page.parent / target).exists(), f"{page.name} names {target}"


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").rglob("*.md"))])
def test_yaml_is_yaml(page):
    for block in blocks(page):
        if block.language == "yaml":
            assert yaml.safe_load(block.code), f"{page.name}:{block.line}"


def test_pictures_are_small():
    for picture in (ROOT / "docs/images").glob("*.png"):
        assert picture.stat().st_size < 150_000, picture.name
