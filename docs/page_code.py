"""The code of a page: its fenced blocks, and a runner that executes them in order.

What to do with a block stands in a comment before it: ``<!-- not run: why -->`` leaves it out,
``<!-- prints -->`` compares it with what the block before it printed, where … stands for anything.
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
    """

    def __init__(self, page: Path, processes: tuple[str, ...] = ()) -> None:
        self.page, self.processes = page, processes
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
        if block.order == "prints":
            compare(self.printed, block.code, f"{self.page.name}:{block.line}")
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


def compare(printed: str, expected: str, where: str) -> None:
    """Raise an AssertionError unless a page says what was printed; spaces count as one."""
    pattern = r"\s+".join(re.escape(word) for word in expected.split()).replace("…", r".*")
    if not re.fullmatch(pattern, printed.strip(), re.S):
        raise AssertionError(f"{where} says\n{expected}\nbut this was printed:\n{printed}")
