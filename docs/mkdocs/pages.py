"""Build steps of the documentation: pages made from the code, and a menu of the pages there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import pixtally
from pixtally.cli import main
from pixtally.spec import Demo, Mask, Output, Source
from pixtally.steps import STEPS

GROUPS = {
    "Collections of images": ["ingest", "open_images", "write_images", "ingest_images", "Ingested"],
    "Histograms of every pixel": [
        *("pixel_histogram", "write_histogram", "append_images"),
        *("merge_histograms", "open_histogram"),
    ],
    "Equalization": ["equalize", "clahe", "match_histogram"],
    "Repair": ["fill", "apply_colormap", "invert_colormap", "translate", "steady_exposure"],
    "Mixtures": [
        *("fit_mixture", "predict_mixture", "pixel_mixture"),
        *("foreground", "fit_peaks", "to_sklearn"),
    ],
    "Pictures and reports": ["report", "render", "display_limits", "contact_sheet"],
    "Pipelines and clusters": ["Pipeline", "cluster", "PixtallyError"],
}
"""Public names in the order of the page; what is public and not here comes last."""


def python_page() -> str:
    """Return the reference of every public name, from the docstrings."""
    placed = {name for names in GROUPS.values() for name in names}
    rest = [n for n in pixtally.__all__ if n not in placed and not n.startswith("__")]
    lines = ["# Python", "", "`import pixtally as pt`, and everything here is `pt.name`.", ""]
    for title, names in {**GROUPS, "More": rest}.items():
        if not names:
            continue
        lines += [f"## {title}", ""]
        for name in names:
            module = getattr(pixtally, name).__module__
            lines += [f"::: {module}.{name}", "    options: {heading_level: 3}", ""]
    return "\n".join(lines)


TALLY = """\
# Histogram answers

A histogram has the accessor `.tally`: `hist.tally.median()`. Its answers are lazy on Dask.

::: pixtally.accessor.TallyAccessor
    options: {show_root_heading: false, show_root_toc_entry: false, heading_level: 2}
"""


def command_page() -> str:
    """Return the reference of the command line, from what every command says with ``--help``."""
    lines = [
        "# Command line",
        "",
        "Data and JSON go to stdout, progress and messages to stderr. Exit code 0: complete; 1: "
        "failed; 2: wrong usage; 3: finished, but some images were left out (they are listed); "
        "130: stopped by Ctrl-C, and the same command goes on.",
        "",
        "Before the name of a command: `--debug` shows tracebacks, `-v` says more. "
        "`pixtally COMMAND --help` shows what stands here.",
        "",
    ]
    for name in sorted(main.commands):
        lines += list(_command(name, main.commands[name], 2))
    return "\n".join(lines)


def _command(name: str, command: click.Command, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=f"pixtally {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    title = "#" * level + f" {name}"
    yield from (title, "", "```text", f"pixtally {name} {usage}", "```", "")
    yield from _help_text(command.help or "")
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    if options:
        yield from ("| option | meaning |", "|---|---|")
    for option in options:
        names, meaning = option.get_help_record(context) or ("", "")
        yield f"| `{_cell(names)}` | {_cell(meaning)} |"
    yield ""
    if isinstance(command, click.Group):
        for child in sorted(command.commands):
            yield from _command(f"{name} {child}", command.commands[child], level + 1)


def _help_text(text: str) -> Iterator[str]:
    r"""Turn the help of a command into Markdown; lines kept as they are (after ``\b``) are code."""
    for paragraph in re.split(r"\n\s*\n", _dedent(text)):
        kept = paragraph.startswith("\b")
        lines = paragraph.splitlines()[1 if kept else 0 :]
        lines = [line for line in lines if line.strip()]
        if not kept:
            yield from (*lines, "")
            continue
        prose = [line for line in lines if not line.startswith("  ")]
        code = [line.removeprefix("  ") for line in lines if line.startswith("  ")]
        yield from ("  \n".join(prose), "")
        if code:
            yield from ("```sh", *code, "```", "")


def _dedent(text: str) -> str:
    import inspect

    return inspect.cleandoc(text)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def pipeline_page() -> str:
    """Return the reference of pipeline files, from the schema that checks them."""
    lines = [
        "# Pipelines",
        "",
        "What may stand in a pipeline file. `pixtally check FILE` checks one without reading any "
        "image, `pixtally plan FILE` says what it needs, `pixtally schema` prints the JSON schema "
        "from which this page is made (editors complete and check YAML with it). Relative paths "
        "start at the folder of the file. `--set steps.fill.where=7` changes a field on the "
        "command line.",
        "",
    ]
    parts = {"source": Source, "source: demo": Demo, "mask": Mask, "output": Output}
    for title, model in parts.items():
        lines += list(_model(title, model.model_json_schema(), 2))
    lines += [
        "## steps",
        "",
        "A list. First steps that change images, then `pixel_histogram`, then what follows from "
        "it, then pictures. Each takes the arguments of the function with its name.",
        "",
    ]
    for name, step in STEPS.items():
        lines += list(_model(name, step.model_json_schema(), 3))
    return "\n".join(lines)


def _model(title: str, schema: dict[str, Any], level: int) -> Iterator[str]:
    yield from ("#" * level + f" {title}", "", schema.get("description", "").strip(), "")
    fields = schema.get("properties", {})
    if not fields:
        return
    yield from ("| field | what | default | meaning |", "|---|---|---|---|")
    for name, field in fields.items():
        default = _default(field, name in schema.get("required", ()))
        meaning = _cell(field.get("description", ""))
        yield f"| `{name}` | {_cell(_kind(field, schema))} | {default} | {meaning} |"
    yield ""


def _default(field: dict[str, Any], required: bool) -> str:
    import json

    if required:
        return "*required*"
    value = field.get("default")
    return "" if value is None else f"`{json.dumps(value)}`"


WORDS = {"integer": "whole number", "null": "", "string": "text", "boolean": "true, false"}


def _kind(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """Say in words what a JSON schema allows."""
    if "$ref" in field:
        return "fields, see below"
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " or ".join(filter(None, (_kind(each, schema) for each in field[key])))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{word}`" for word in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        if "prefixItems" in field:
            return f"[{', '.join(_kind(each, schema) for each in field['prefixItems'])}]"
        return f"list of {_kind(field.get('items', {}), schema) or 'anything'}"
    return WORDS.get(field.get("type", ""), field.get("type", "anything"))


GENERATED = {
    "reference/python.md": python_page,
    "reference/tally.md": lambda: TALLY,
    "reference/command-line.md": command_page,
    "reference/pipelines.md": pipeline_page,
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave pages out of the menu that are not there; place those that the menu forgot."""
    docs = Path(config.docs_dir)
    there = {p.relative_to(docs).as_posix() for p in docs.rglob("*.md")} | set(GENERATED)
    config.nav = _those_there(config.nav or [], there)
    forgotten = sorted(there - set(_pages(config.nav)))
    if forgotten:
        config.nav.append({"More": forgotten})
    return config


def _those_there(nav: list[Any], there: set[str]) -> list[Any]:
    kept: list[Any] = []
    for entry in nav:
        if isinstance(entry, str):
            kept += [entry] if entry in there else []
            continue
        ((title, target),) = entry.items()
        if isinstance(target, list):
            kept.append({title: _those_there(target, there)})
        elif target in there:
            kept.append(entry)
    return kept


def _pages(nav: list[Any]) -> Iterator[str]:
    for entry in nav:
        target = entry if isinstance(entry, str) else next(iter(entry.values()))
        if isinstance(target, list):
            yield from _pages(target)
        else:
            yield target


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code."""
    for path, make in GENERATED.items():
        files.append(File.generated(config, path, content=make()))
    return files


def on_post_page(output: str, **kwargs: Any) -> str:
    """Name the search dialog for those who hear the page; the theme leaves it without a name."""
    unnamed = 'data-md-component="search" role="dialog"'
    return output.replace(unnamed, unnamed + ' aria-label="Search"')


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Let a list begin right below a line of text, as git hosts do."""
    lines: list[str] = []
    fenced = False
    for line in markdown.splitlines():
        fenced ^= line.lstrip().startswith("```")
        above = lines[-1] if lines else ""
        text = bool(above) and not above.startswith((" ", "- ", "#", "|", "```"))
        if not fenced and line.startswith("- ") and text:
            lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"
