"""YAML that users write: read as plain data, never as code, and never larger than it looks."""

from __future__ import annotations

from collections.abc import Hashable
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from pixtally.errors import PixtallyError
from pixtally.sizes import size_text

MAX_BYTES = 16 * 2**20
MAX_VALUES = 1_000_000
"""Values of a file when every alias is replaced by what it stands for."""


class PlainLoader(yaml.SafeLoader):
    """Builds text, numbers, dates, lists and mappings only, and refuses a key given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping of a node."""
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if isinstance(key, yaml.ScalarNode) and name in seen and name != "<<":
                raise yaml.YAMLError(f"{name!r} is there twice (line {key.start_mark.line + 1})")
            seen.add(name)
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return found


def read_yaml(path: str | PathLike[str]) -> Any:
    """Read a YAML file.

    Raises
    ------
    PixtallyError
        In one line: the file cannot be read, is no YAML, or unfolds to far more than it is.
    """
    try:
        size = Path(path).stat().st_size
        if size > MAX_BYTES:
            raise PixtallyError(
                f"{path} has {size_text(size)}; a YAML file is at most {size_text(MAX_BYTES)}"
            )
        text = Path(path).read_text("utf-8")
    except (OSError, ValueError) as error:
        if isinstance(error, PixtallyError):
            raise
        if isinstance(error, UnicodeDecodeError):
            raise PixtallyError(f"{path} is not YAML: it is no UTF-8 text") from None
        reason = getattr(error, "strerror", None) or error
        raise PixtallyError(f"{path} cannot be read: {reason}") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Any:
    """Read YAML text; `name` stands for it in errors."""
    try:
        content = yaml.load(text, PlainLoader)  # noqa: S506  (it derives from SafeLoader)  # nosec
    except RecursionError:
        raise PixtallyError(f"{name} is not YAML: it is nested too deeply") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PixtallyError(f"{name} is not YAML: {reason[:300]}") from None
    try:
        size = _unfolded(content, {}, set())
    except RecursionError:
        raise PixtallyError(f"{name} is nested too deeply") from None
    if size > MAX_VALUES:
        raise PixtallyError(f"{name} unfolds to {size:.3g} values by its aliases; write it plainly")
    return content


def _unfolded(value: Any, known: dict[int, int], inside: set[int]) -> int:
    """Count values, an alias each time it is used; one that holds itself counts as too many."""
    if not isinstance(value, dict | list | set | tuple):
        return 1
    if id(value) in inside:
        return 2 * MAX_VALUES
    if id(value) not in known:
        inside.add(id(value))
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
        known[id(value)] = 1 + sum(_unfolded(part, known, inside) for part in parts)
        inside.discard(id(value))
    return known[id(value)]
