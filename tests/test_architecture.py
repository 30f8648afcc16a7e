"""Floors: a module imports only from floors below its own, lazily or not, never in a ring."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pixtally

PACKAGE = Path(pixtally.__file__).parent

FLOORS = [
    {"_version", "errors", "sizes", "_lazy", "interrupts"},
    {"axis", "kernels", "tile_chunks"},
    {"schema", "plan", "layout"},
    {"history", "colormaps", "limits", "safe_yaml"},
    {"cuts"},
    {"windows", "zarr_trust", "records"},
    {"blocks", "reduce"},
    {"operands", "tiles"},
    {"planes", "recipes"},
    {"pixel_scope"},
    {"histogram", "merge", "answers", "transforms", "mixture_data", "mixture_model"},
    {"equalize", "clahe", "match"},
    {"mixture", "pixel_models", "foreground", "montage", "exposure"},
    {"screen", "unusual", "regions"},
    {"overview"},
    {
        *("progress", "zarr_io", "display", "preview", "render", "demo", "readers"),
        *("disk", "node", "unread", "charts", "uhi", "worker_memory"),
    },
    {"plots", "unit_cost", "zarr_metadata"},
    {"lock", "unit_writer", "what_is_read", "sources", "image_store", "image_plan"},
    {"job_folder"},
    {"jobs", "workers"},
    {"shards", "gaps", "rehearsal", "journal", "available", "run_log"},
    {"collection"},
    {"store"},
    {"ingest", "tally_job", "write_images"},
    {"write"},
    {"verify", "describe", "append", "glance", "status", "status_text", "provenance", "browse"},
    {"viewer"},
    {"steps"},
    {"repair_steps", "model_steps", "equalize_steps", "step_rehearsal"},
    {"accessor", "cluster_file"},
    {"spec", "cluster_plan"},
    {"cluster", "report", "run_report", "unfilled"},
    {"pipeline", "fit_job", "cli_common", "cluster_check"},
    {"submit"},
    {"image_commands", "equalize_cli", "cluster_cli", "report_cli", "view_cli"},
    {"cli", "__init__"},
]
"""Bottom first; `docs/design.md` says what each is for."""

ONLY_IN = {
    "distributed": {"cluster", "cluster_check", "jobs", "submit", "workers"},
    "zarr": {"zarr_io", "zarr_trust", "store", "ingest", "image_store"},
    "matplotlib": {"colormaps", "preview", "plots", "report"},
    "bokeh": {"viewer"},
    "tornado": {"viewer"},
    "yaml": {"pipeline", "safe_yaml", "report", "browse"},
    "dask": {
        *("cuts", "windows", "blocks", "reduce", "operands", "tiles", "histogram", "answers"),
        *("overview", "planes", "pixel_scope", "equalize", "clahe", "match"),
        *("transforms", "render", "mixture_data", "mixture"),
        *("jobs", "what_is_read", "store", "cluster", "pipeline", "write", "verify"),
        *("cluster_plan", "cluster_check", "workers", "step_rehearsal", "available"),
    },
}
"""Heavy packages and the modules that may import them."""


def modules() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in PACKAGE.rglob("*.py"):
        first = path.relative_to(PACKAGE).parts[0]
        found.setdefault(first.removesuffix(".py"), []).append(path)
    return found


def imports(path: Path) -> set[str]:
    """Return every module that a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
            if node.module == "pixtally":
                names |= {f"pixtally.{alias.name}" for alias in node.names}
    return names


def floor_of(module: str) -> int:
    return next(n for n, names in enumerate(FLOORS) if module in names)


def test_every_module_has_a_floor():
    assert set(modules()) == set().union(*FLOORS)


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_only_downward(module):
    for path in modules()[module]:
        for name in imports(path):
            parts = name.split(".")
            ours = parts[0] == "pixtally" and len(parts) > 1 and parts[1] != module
            if ours and parts[1] in modules():
                assert floor_of(parts[1]) < floor_of(module), f"{path.name} imports {name}"


@pytest.mark.parametrize("package", sorted(ONLY_IN))
def test_heavy_packages_stay_where_they_belong(package):
    for module, paths in modules().items():
        used = any(n.split(".")[0] == package for path in paths for n in imports(path))
        assert not used or module in ONLY_IN[package], f"{module} imports {package}"


def test_kernels_know_arrays_only():
    allowed = {"__future__", "collections", "typing", "math", "dataclasses", "functools"}
    allowed |= {"numpy", "numba", "llvmlite", "scipy", "pixtally"}
    for path in modules()["kernels"]:
        for name in imports(path):
            assert name.split(".")[0] in allowed, f"{path.name} imports {name}"
            assert not name.startswith("pixtally") or name.startswith("pixtally.kernels")
