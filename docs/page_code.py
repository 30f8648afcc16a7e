"""The code of a page: its fenced blocks, and a runner that executes them in order.

What to do with a block stands in a comment before it: ``<!-- not run: why -->`` leaves it out,
``<!-- prints -->`` compares it with what the block before it printed, where … stands for anything;
``<!-- prints about -->`` lets its numbers be a tenth off.
YAML that begins with ``# name.yaml`` is saved under that name; shell blocks hold pixtally commands.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

BLOCK = re.compile(
    r"^(?:<!-- (?P<order>[^>]*?) -->\n+)?```(?P<language>[a-z]*)\n(?P<code>.*?)^```", re.M | re.S
)


class Block(NamedTuple):
    """A fenced block: its orders, language, text, and line of the page."""

    order: str
    language: str
    code: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text("utf-8")
    return [
        Block(
            m["order"] or "", m["language"], m["code"], text.count("\n", 0, m.start("language")) + 1
        )
        for m in BLOCK.finditer(text)
    ]


class Runner:
    """Runs the blocks of one page in the current folder.

    Parameters
    ----------
    page : Path
        The page.
    processes : tuple of str
        Commands that are processes of their own; others are called, which takes less time.
    absent : str
        What is not there; blocks whose order names it are not compared.
    """

    def __init__(self, page: Path, processes: tuple[str, ...] = (), absent: str = "") -> None:
        self.page, self.processes, self.absent = page, processes, absent
        self.names: dict[str, Any] = {"__name__": "page"}
        self.printed = ""

    def run_all(self) -> dict[str, Any]:
        """Run every block; return the names that the Python blocks made."""
        for block in blocks(self.page):
            self.run(block)
        return self.names

    def run(self, block: Block) -> None:
        """Run one block, or compare it with what the one before it printed."""
        if block.order.startswith("not run"):
            return
        if block.order.startswith("prints"):
            if self.absent and self.absent in block.order:
                return
            where = f"{self.page.name}:{block.line}"
            compare(self.printed, block.code, where, "about" in block.order)
            return
        act = {"python": self._python, "sh": self._shell, "yaml": self._save}.get(block.language)
        if act is not None:
            act(block)

    def _python(self, block: Block) -> None:
        # Blank lines put errors at the line of the page.
        code = compile("\n" * block.line + block.code, str(self.page), "exec")
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(code, self.names)
        self.printed = said.getvalue()

    def _shell(self, block: Block) -> None:
        lines = block.code.replace("\\\n", " ").splitlines()
        commands = [c for line in lines if (c := shlex.split(line, comments=True))]
        for command in commands:
            if command[0] != "pixtally":
                raise AssertionError(f"{self.page.name}:{block.line} runs {command[0]}")
        self.printed = "".join(
            (_process if command[1] in self.processes else _call)(command[1:])
            for command in commands
        )

    def _save(self, block: Block) -> None:
        name = re.match(r"# (\S+\.yaml)\n", block.code)
        if name:
            Path(name[1]).write_text(block.code, "utf-8")


def _call(arguments: list[str]) -> str:
    from click.testing import CliRunner

    from pixtally.cli import main

    result = CliRunner().invoke(main, arguments, prog_name="pixtally")
    if result.exit_code:
        raise AssertionError(f"pixtally {shlex.join(arguments)}: {result.output}")
    return result.stdout


def _process(arguments: list[str]) -> str:
    command = [sys.executable, "-m", "pixtally.cli", *arguments]
    settings = os.environ | {"COLUMNS": "100"}
    result = subprocess.run(command, capture_output=True, text=True, env=settings)
    if result.returncode:
        raise AssertionError(f"pixtally {shlex.join(arguments)}: {result.stderr}")
    return result.stdout


NUMBER = re.compile(r"[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][-+]?\d+)?")


def compare(printed: str, expected: str, where: str, about: bool = False) -> None:
    """Raise an AssertionError unless a page says what was printed; spaces count as one."""
    pattern = r"\s+".join(re.escape(word) for word in expected.split()).replace("…", r".*")
    same = re.fullmatch(pattern, printed.strip(), re.S) is not None
    if not same and not (about and nearly(printed, expected)):
        raise AssertionError(f"{where} says\n{expected}\nbut this was printed:\n{printed}")


def nearly(printed: str, expected: str) -> bool:
    """Return whether two texts are the same but for numbers that are a tenth apart at most."""
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (printed, expected)]
    pairs = [[float(n.replace(",", "")) for n in NUMBER.findall(t)] for t in (printed, expected)]
    return words[0] == words[1] and all(
        abs(a - b) <= 0.1 * max(abs(a), abs(b)) for a, b in zip(*pairs, strict=True)
    )


def save_photograph(folder: Path) -> bool:
    """Save the photograph of the pages, photo.jpg; return whether it is the retina (CC0)."""
    from PIL import Image

    from pixtally.demo import demo_image

    shared = Path(os.environ.get("PIXTALLY_DATA", Path(__file__).parents[2] / "shared/data"))
    retina = shared / "photo/retina.jpg"
    if retina.exists():
        with Image.open(retina) as picture:
            small = picture.resize((353, 353), Image.Resampling.LANCZOS)
    else:
        small = Image.fromarray(demo_image(30, 400, (353, 353)))
    small.save(folder / "photo.jpg", quality=95)
    return retina.exists()
