"""Types in docstrings stay words: ``DataArray, shape (y, x)`` is no Python to be parsed."""

from __future__ import annotations

import re
from typing import Any

import griffe

CHOICE = re.compile(r"^(\s*[\w, *]+ : .*?)\{([^}\n]*)\}", re.M)
SHAPE = re.compile(r"^(\s*(?:[\w, *]+ : )?[\w -]+), shape \(", re.M)


class PlainTypes(griffe.Extension):
    """Says choices and shapes in words, which griffe leaves as they are."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of a function or class before it is parsed."""
        if obj.docstring is not None:
            text = CHOICE.sub(r"\1one of \2", obj.docstring.value)
            obj.docstring.value = SHAPE.sub(r"\1 with shape (", text)
