"""The data of a locus as files: one table a component, and a manifest that says what they are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from inspect import Parameter
from pathlib import Path
from typing import Any

from ntviz import environment
from ntviz.genome import Interval

FORMATS = ("tsv", "parquet")
MANIFEST = "locus.json"
_FORMAT = 1


def write(explorer: Any, folder: Path, format: str) -> Path:  # noqa: A002
    """As `LocusExplorer.save_data`, errors too."""
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; received {format!r}. Choose one.")
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MANIFEST).is_file())):
        raise ValueError(
            f"The data of a locus must go to a new or empty folder, or to one with their {MANIFEST}; {folder} holds "
            "something else. Choose another."
        )
    tables = explorer.tables()
    files = _names(list(tables), format)
    with environment.atomic_directory(folder) as made:
        for name, table in tables.items():
            if format == "tsv":
                table.to_csv(made / files[name], sep="\t", index=False)
            else:
                table.to_parquet(made / files[name], index=False)
        (made / MANIFEST).write_text(json.dumps(manifest(explorer, tables, files), indent=2), encoding="utf-8")
    return folder


def manifest(explorer: Any, tables: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
    """What the tables are, as plain data."""
    model, reference = explorer.model, explorer.reference
    missing = {
        one.name: explorer.problems.get(one.name, f"shown up to {one.longest:,} bp")
        for one in explorer.components
        if one.name in explorer.shown and one.name not in tables
    }
    return {
        "format": _FORMAT,
        "ntviz": version("ntviz"),
        "place": explorer.place.name,
        "view": _interval(explorer.view),
        "coordinates": "start and end in tables are 0-based half-open, on the forward strand; labels here are 1-based",
        "reference": Path(reference.path).name,
        "assembly": reference.assembly,
        "model": None if model is None else {"name": model.name, **json.loads(json.dumps(model.info, default=str))},
        "components": {
            name: {"file": files[name], "rows": len(table), "columns": list(table.columns)}
            for one in explorer.components
            for name, table in tables.items()
            if one.name == name
        },
        "missing": missing,
    }


def _interval(interval: Interval) -> dict[str, Any]:
    return {"label": interval.label(), "chrom": interval.chrom, "start": interval.start, "end": interval.end}


def _names(components: list[str], ending: str) -> dict[str, str]:
    """A file name for each component, safe on every system and no two alike."""
    found: dict[str, str] = {}
    for name in components:
        stem = re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._") or "component"
        taken = {other.lower() for other in found.values()}
        number = 1
        while (file := f"{stem}{'' if number == 1 else f'_{number}'}.{ending}").lower() in taken:
            number += 1
        found[name] = file
    return found


def code(explorer: Any, usual: Mapping[str, Parameter]) -> str:
    """As `LocusExplorer.code`; `usual` are the parameters of `explore.locus`."""
    given = [f"at={explorer.view.label()!r}"]
    given += [f"{name}={_written(value, name)}" for name, value in explorer.options.items() if value != usual[name].default]
    own = __name__.rpartition(".")[0]
    named = [repr(one.name) if type(one).__module__.startswith(own) else _identifier(one.name) for one in explorer._visible()]
    model = "None" if explorer.model is None else f"models.load({explorer.model.name!r})"
    return (
        "from ntviz import annotation, explore, models\nfrom ntviz.reference import Reference\n\n"
        f"locus = explore.locus(\n    {model}, Reference({str(explorer.reference.path)!r}), annotation.read({str(explorer.annotation.source)!r}),\n"
        f"    {', '.join(given)},\n    components=[{', '.join(named)}],\n)\nlocus\n"
    )


def _identifier(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_") or "component"


def _written(value: Any, name: str) -> str:
    """A value as Python has it where that is plain; else a name for it."""
    if isinstance(value, str | int | Path):
        return repr(value if isinstance(value, int) else str(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_written(one, _identifier(str(key)))}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple) and all(isinstance(one, str | int | Path) for one in value):
        return f"({', '.join(_written(one, name) for one in value)},)"
    return name
