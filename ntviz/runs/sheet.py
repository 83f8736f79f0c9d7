"""The sheet of samples that `ntviz submit` takes: read and held to everything that can be known before a job starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntviz.environment import rows_of
from ntviz.runs import execute, loci, parameters
from ntviz.runs.commands import COMMANDS
from ntviz.runs.handle import check_profile
from ntviz.storage import files_in

NEEDED = ("sample", "run")
# Columns of whole numbers, from 1 or that many MB, with the most that may come.
_WHOLE = {"shards": (1, 10_000), "memory": (100, 100_000_000), "minutes": (1, 525_600)}
MODELS = ("model", "models", "models_", "splicing")
"""Columns that name models, by commas."""
_GPU = re.compile(r"[A-Za-z0-9_.]+")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_TAKEN = {"config.yaml", "table.parquet", "index.html"}
_FILE_ENDINGS = (
    *("vcf", "bcf", "fa", "fasta", "fna", "gtf", "gff", "gff3", "bed", "bedgraph", "bw", "npz", "meme"),
    *("tsv", "csv", "txt", "parquet", "json", "toml", "h5", "ipynb", "pt", "safetensors"),
)
# What can only be meant as a path: from a root, from here, or with the ending of a file.
_PATH = re.compile(rf"(~?/|\.{{1,2}}/).*|.*\.({'|'.join(_FILE_ENDINGS)})(\.gz|\.bgz)?", re.IGNORECASE)
# Parameters of notebooks that name what is to be written.
_OUTPUTS = {"out", "directory", "ship_to"}
_SHOWN = 20


class SheetError(ValueError):
    """What is wrong with a sheet, one line a fault; rows are counted as an editor counts lines, the header being 1."""

    def __init__(self, path: Path, faults: Sequence[str]) -> None:
        lines = [f"{path.name} must hold samples that can all be run, but of it this cannot:"]
        lines += [f"  {fault}" for fault in faults[:_SHOWN]]
        lines += [f"  and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        super().__init__("\n".join([*lines, "Nothing was submitted. Mend the sheet and submit it again"]))
        self.faults = list(faults)


@dataclass(frozen=True)
class Sample:
    """One row of a sheet, which is line `row` of the file: a notebook or a command, and its parameters or options.

    `words` are typed after ``ntviz``, without folder, kernel and shard; when the content of one of the `inputs` or the
    weights of one of the `models` change, the sample is run anew. `result` and `report` lie below its folder. Without
    `memory_mb`, `minutes` and `gpu_model` the profile decides.
    """

    name: str
    run: str
    notebook: bool
    row: int
    words: tuple[str, ...]
    inputs: tuple[str, ...]
    models: tuple[str, ...]
    given: Mapping[str, str]
    result: str
    report: str
    shards: int = 1
    memory_mb: int | None = None
    minutes: int | None = None
    gpu_model: str | None = None


def read(path: str | Path) -> list[Sample]:
    r"""The samples of a sheet, in its order.

    A sheet is a table with tabs between its columns and a header. `sample` (letters, digits, ``. _ -``, each once) and
    `run` (a notebook's name or file, or score, enrich, landscape, benchmark) must be there; `shards`, `memory` (MB of a
    job), `minutes` (its walltime) and `gpu_model` (of Slurm) may be; each other column is a parameter of the notebook or an option of the
    command, `in` being the command's argument. An empty cell means the default. Paths start at the sheet's own folder.
    What cannot be run is a `SheetError`, which has all faults, each with its row.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "in.vcf").write_text("")
    >>> _ = (folder / "sheet.tsv").write_text("sample\trun\tin\tframes\nliver\tscore\tin.vcf\t6\n")
    >>> [sample] = read(folder / "sheet.tsv")
    >>> sample.row, sample.shards, sample.words
    (2, 1, ('score', 'in.vcf', '--frames', '6'))
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"a sheet of samples must be a file, but there is none at {path}. Check the path")
    try:
        rows = rows_of(path, NEEDED)
    except ValueError as error:
        raise SheetError(path, [str(error)]) from error
    columns = [name.replace("-", "_") for name in rows[0][1]] if rows else []
    faults = _header_faults(rows[0][0], columns) if rows else []
    if len(rows) < 2 and not faults:
        faults = ["it must have a header and samples below it, but it has none. Add a row for each"]
    if faults:
        raise SheetError(path, faults)
    samples: dict[str, Sample] = {}
    for row, cells in rows[1:]:
        try:
            sample = _sample(path.resolve().parent, row, dict(zip(columns, cells, strict=True)))
            # Where file names know no case, Liver and liver would share a folder.
            other = samples.setdefault(sample.name.lower(), sample)
            if other is not sample:
                name = f"{sample.name!r} is that of row {other.row}"
                raise ValueError(f"a sample must have a name of its own, but {name}. Rename one")
        except (ValueError, OSError) as error:
            faults.append(f"row {row}: {error}")
    if faults:
        raise SheetError(path, faults)
    return list(samples.values())


def _header_faults(row: int, columns: list[str]) -> list[str]:
    by_commas = len(columns) == 1 and any(mark in columns[0] for mark in ",;")
    hint = "Save the table with tabs, not commas" if by_commas else "Add it"
    faults = [
        f"row {row}: the header must have a column {name!r}, but it has {', '.join(columns)}. {hint}"
        for name in NEEDED
        if name not in columns
    ]
    return faults[: 1 if by_commas else None] + [
        f"row {row}: each column must be there once, but {name!r} comes again. Remove one"
        for number, name in enumerate(columns)
        if name in columns[:number]
    ]


def _sample(base: Path, row: int, cells: dict[str, str]) -> Sample:
    name, run = cells.pop("sample"), cells.pop("run")
    if not _NAME.fullmatch(name) or name.lower() in _TAKEN:
        form = "of letters, digits, '.', '_' and '-', begin with none of '.' and '-', and be no file of the workflow"
        raise ValueError(f"a sample's name must be {form}, but {name!r} came. Rename it")
    if not run:
        raise ValueError(f"sample {name!r} must say what to run, but its cell is empty. Name a notebook or command")
    asked = {column: _whole(column, cells.pop(column, "")) for column in _WHOLE}
    gpu_model = cells.pop("gpu_model", "")
    if gpu_model and not _GPU.fullmatch(gpu_model):
        hint = "`sinfo -o %G` lists them"
        raise ValueError(f"gpu_model must be a type of GPU such as a100, but {gpu_model!r} came. {hint}")
    # Jobs start without a shell that would expand ~.
    given = {column: re.sub("^~(?=/)", str(Path.home()), text) for column, text in cells.items() if text}
    _check_models(base, given)
    if run in COMMANDS:
        command = COMMANDS[run]
        words, options = command.typed(given), command.options()
        values = {option.name: given.get(column, option.default) for column, option in options.items()}
        inputs = _inputs(base, given, lambda column: options[column].path)
        result, report = command.result_of(given), command.report
    else:
        words, values = _notebook(base, run, asked["shards"], given)
        inputs = (words[1], *_inputs(base, given, lambda column: False))
        result, report = "", execute.report.FILE
    loci.check(values, base)
    models = ",".join(str(values.get(column) or "") for column in MODELS).split(",")
    return Sample(
        name, run, run not in COMMANDS, row, tuple(words), inputs, tuple(filter(None, map(str.strip, models))), given,
        result, report, shards=asked["shards"] or 1, memory_mb=asked["memory"], minutes=asked["minutes"],
        gpu_model=gpu_model or None,
    )  # fmt: skip


def _whole(column: str, text: str) -> int | None:
    least, most = _WHOLE[column]
    if text and not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        hint = "Leave it empty for the default"
        raise ValueError(f"{column} must be a number from {least} to {most:,}, but {text!r} came. {hint}")
    return int(text) if text else None


def _notebook(base: Path, run: str, shards: int | None, given: Mapping[str, str]) -> tuple[list[str], dict[str, Any]]:
    """The words that run a notebook, and the values of all its parameters."""
    beside = base / run
    try:
        path, content = execute.load(beside if beside.is_file() else run)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; or run one of {', '.join(COMMANDS)}") from error
    if shards not in (None, 1):
        raise ValueError(f"a notebook is one job, but {shards} shards came. Leave shards empty")
    declared = parameters.read(content)
    values = {name: entry.default for name, entry in declared.items()} | parameters.assign(declared, given)
    if "profile" in given:
        check_profile(given["profile"])
    words = (word for name, text in given.items() for word in ("-p", f"{name}={text}"))
    return ["run", str(path.resolve()), *words], values


def _inputs(base: Path, given: Mapping[str, str], is_path: Callable[[str], bool]) -> tuple[str, ...]:
    """The files that cells name, and those of folders but of models; all must be there."""
    files: dict[str, None] = {}
    parts = [(name, part.strip(" '\"")) for name, text in given.items() for part in text.strip("[]").split(",")]
    for column, part in parts:
        # A task may be FILE#NAME@GENERATION.
        plain = part if (base / part).exists() else re.split(r"[#@]", part)[0]
        named = plain and "://" not in plain and (is_path(column) or _PATH.fullmatch(plain))
        if column in _OUTPUTS or not named:
            continue
        if not (path := base / plain).exists():
            hint = "Check the path; it starts at the sheet's folder"
            raise FileNotFoundError(f"what {column!r} names must be there, but {plain!r} is not ({path}). {hint}")
        held = [path] if path.is_file() else [] if column in MODELS else files_in(path)
        files |= dict.fromkeys(str(file.resolve()) for file in held)
    return tuple(files)


def _check_models(base: Path, given: Mapping[str, str]) -> None:
    from ntviz.models import registry

    names = ",".join(given.get(column, "") for column in MODELS).split(",")
    for name in filter(None, map(str.strip, names)):
        if not (registry.find(name) or (base / name).is_dir() or re.fullmatch(r"\w[\w.-]*/[\w.-]+", name)):
            near = registry.suggestions(name)
            hint = f"Did you mean {' or '.join(near)}? " * bool(near) + "`ntviz models` lists the names"
            form = "a name, a hub repository or a checkpoint directory"
            raise ValueError(f"a model must be {form}, but {name!r} is none. {hint}")
