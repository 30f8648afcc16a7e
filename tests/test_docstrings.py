"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import pixtally

MODULES = [
    m.name for m in pkgutil.walk_packages(pixtally.__path__, "pixtally.") if "kernels" not in m.name
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, _ = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.IGNORE_EXCEPTION_DETAIL
    )
    assert failed == 0


def test_everything_public_has_an_example_or_is_a_class():
    for name in pixtally.__all__:
        if name.startswith("__") or name.endswith("Error"):
            continue
        text = getattr(pixtally, name).__doc__ or ""
        assert "Returns" in text or "Parameters" in text or "Attributes" in text or "Yields" in text
