"""Names that are imported when they are first used, so that the command line answers at once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class LazyPackage(ModuleType):
    """A package whose public names live in modules that are imported on first use.

    Some functions have the name of their module (``pixtally.ingest.ingest``): importing the module
    would put the module where users expect the function, so that is ignored here.
    """

    def __getattr__(self, name: str) -> Any:
        home = self.__dict__.get("_HOME", {}).get(name)
        if home is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{self.__name__}.{home}"), name)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in self.__dict__.get("_HOME", {})):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__dict__.get("_HOME", {})})


class WithXarray:
    """Adds an accessor as soon as xarray has been imported, by whomever."""

    def __init__(self, name: str, home: str, accessor: str) -> None:
        self.name = name
        self.home = home
        self.accessor = accessor

    def register(self, xarray: ModuleType) -> None:
        """Register the accessor; its module is imported when it is first used.

        Not before: xarray may be on its way in because that very module is being imported.
        """

        def make(dataset: Any) -> Any:
            return getattr(importlib.import_module(self.home), self.accessor)(dataset)

        make.__doc__ = f"See `{self.home}.{self.accessor}`."
        xarray.register_dataset_accessor(self.name)(make)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Let the ordinary finders find xarray, and take note of when it is there."""
        if name != "xarray":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            ordinary = spec.loader.exec_module

            def and_then(module: ModuleType) -> None:
                ordinary(module)
                self.register(module)

            spec.loader.exec_module = and_then  # type: ignore[method-assign]
        return spec


def make_lazy(package: str, home: Mapping[str, str]) -> None:
    """Turn a package into a `LazyPackage`.

    Parameters
    ----------
    package : str
        Its name.
    home : mapping
        Module of every public name.
    """
    module = sys.modules[package]
    module.__dict__["_HOME"] = dict(home)
    module.__class__ = LazyPackage


def add_accessor(name: str, home: str, accessor: str) -> None:
    """Give every xarray Dataset an attribute `name`, now or when xarray is imported.

    Parameters
    ----------
    name : str
        Of the attribute.
    home : str
        Module of the accessor.
    accessor : str
        Its class.
    """
    hook = WithXarray(name, home, accessor)
    if "xarray" in sys.modules:
        hook.register(sys.modules["xarray"])
    else:
        sys.meta_path.insert(0, hook)
