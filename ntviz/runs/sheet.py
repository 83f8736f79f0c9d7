"""The sheet of samples that `ntviz submit` takes: read and held to everything that can be known before a job starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ntviz.environment import rows_of
from ntviz.runs import execute, parameters
from ntviz.runs.commands import COMMANDS
from ntviz.runs.handle import check_profile

NEEDED = ("sample", "run")
SHARDS = "shards"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_TAKEN = {"config.yaml", "table.parquet", "index.html", "head.json"}
_FILE_ENDINGS = (
    *("vcf", "bcf", "fa", "fasta", "fna", "gtf", "gff", "gff3", "bed", "bedgraph", "bw", "npz", "meme"),
    *("tsv", "csv", "txt", "parquet", "json", "toml", "h5", "ipynb", "pt", "safetensors"),
)
# What can only be meant as a path: from a root, from here, or with the ending of a file.
_PATH = re.compile(rf"(~?/|\.{{1,2}}/).*|.*\.({'|'.join(_FILE_ENDINGS)})(\.gz|\.bgz)?", re.IGNORECASE)
_SHOWN = 20
_MOST_SHARDS = 10_000


class SheetError(ValueError):
    """What is wrong with a sheet, one line a fault; rows are counted as an editor counts lines, the header being 1."""

    def __init__(self, path: Path, faults: Sequence[str]) -> None:
        rest = len(faults) - _SHOWN
        lines = [f"  {fault}" for fault in faults[:_SHOWN]] + ([f"  and {rest} more"] if rest > 0 else [])
        super().__init__(
            f"{path.name} must hold samples that can all be run, but of it this cannot:\n"
            + "\n".join(lines)
            + "\nNothing was submitted. Mend the sheet and submit it again"
        )
        self.faults = list(faults)


@dataclass(frozen=True)
class Sample:
    """One row of a sheet.

    Attributes
    ----------
    name, run, shards
        As in its columns.
    row
        Its line in the file, counted from 1.
    words
        What is typed after ``ntviz`` to run it, without folder, kernel and shard.
    inputs
        Files that it reads, absolute: when one changes, the sample is run anew.
    given
        Filled cells of the other columns, by column.
    result, report
        What it writes below its folder: of a command the file or folder of ``--out``; a page, if there is one.
    """

    name: str
    run: str
    shards: int
    row: int
    words: tuple[str, ...]
    inputs: tuple[str, ...]
    given: Mapping[str, str]
    result: str
    report: str

    @property
    def notebook(self) -> bool:
        """Whether it is a notebook, and no command."""
        return self.run not in COMMANDS


def read(path: str | Path) -> list[Sample]:
    r"""The samples of a sheet, in its order.

    A sheet is a table with tabs between its columns and a header. `sample` (letters, digits, ``. _ -``, each once) and
    `run` (a notebook's name or file, or score, enrich, landscape, benchmark) must be there; `shards` may be; each other
    column is a parameter of the notebook or an option of the command, `in` being the command's argument. An empty cell
    means the default; rows that begin with # and empty columns say nothing. Paths start at the sheet's own folder.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SheetError
        If anything in it cannot be run; all faults are named, each with its row.

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
        raise FileNotFoundError(
            f"a sheet of samples must be a file, but there is none at {path}. Check the path"
        )
    columns, rows = _table(path)
    faults: list[str] = []
    samples: dict[str, Sample] = {}
    for row, cells in rows:
        try:
            sample = _sample(path.resolve().parent, row, dict(zip(columns, cells, strict=True)))
            # Where file names know no case, Liver and liver would share a folder.
            other = samples.setdefault(sample.name.lower(), sample)
            if other is not sample:
                raise ValueError(
                    f"a sample must have a name of its own, but {sample.name!r} is that of row {other.row}. Rename one"
                )
        except (ValueError, OSError) as error:
            faults.append(f"row {row}: {error}")
    if faults:
        raise SheetError(path, faults)
    return list(samples.values())


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Columns, and rows with their line; every row has one cell a column, without spaces around."""
    try:
        rows = rows_of(path, NEEDED)
    except ValueError as error:
        raise SheetError(path, [str(error)]) from error
    if not rows:
        raise SheetError(
            path, ["it must have a header and samples, but it is empty. Write sample, run below it rows"]
        )
    (first, names), *rows = rows
    columns = [name if name == SHARDS else name.replace("-", "_") for name in names]
    faults = _header_faults(first, columns)
    if not rows and not faults:
        faults.append("it must have samples below its header, but there are none. Add a row for each")
    if faults:
        raise SheetError(path, faults)
    return columns, rows


def _header_faults(row: int, columns: list[str]) -> list[str]:
    missing = [name for name in NEEDED if name not in columns]
    by_commas = len(columns) == 1 and any(mark in columns[0] for mark in ",;")
    hint = "Save the table with tabs, not commas" if by_commas else "Add it"
    faults = [
        f"row {row}: the header must have a column {name!r}, but it has {', '.join(columns)}. {hint}"
        for name in missing[: 1 if by_commas else None]
    ]
    for number, name in enumerate(columns, start=1):
        if name in columns[: number - 1]:
            faults.append(f"row {row}: each column must be there once, but {name!r} comes again. Remove one")
    return faults


def _sample(base: Path, row: int, cells: dict[str, str]) -> Sample:
    name, run = cells.pop("sample"), cells.pop("run")
    if not _NAME.fullmatch(name) or name.lower() in _TAKEN:
        raise ValueError(
            f"a sample's name must be of letters, digits, '.', '_' and '-', begin with none of '.' and '-', and be no "
            f"file of the workflow, but {name!r} came. Rename it"
        )
    if not run:
        raise ValueError(
            f"sample {name!r} must say what to run, but its cell is empty. Name a notebook or command"
        )
    shards = _shards(cells.pop(SHARDS, ""))
    given = {column: _at_home(text) for column, text in cells.items() if text}
    if run in COMMANDS:
        return _of_command(base, row, name, run, shards, given)
    return _of_notebook(base, row, name, run, shards, given)


def _at_home(text: str) -> str:
    # Jobs start without a shell that would know what ~ means.
    return str(Path(text).expanduser()) if text.startswith("~/") else text


def _shards(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_SHARDS):
        raise ValueError(
            f"shards must be a number from 1 to {_MOST_SHARDS:,}, but {text!r} came. Write 1 for a single job"
        )
    return int(text or 1)


def _of_command(base: Path, row: int, name: str, run: str, shards: int, given: dict[str, str]) -> Sample:
    command = COMMANDS[run]
    words = command.typed(given)
    options = command.options()
    inputs = _inputs(base, given, lambda column: options[column].path)
    _check_models(base, given)
    return Sample(
        name, run, shards, row, tuple(words), inputs, given, command.result_of(given), command.report
    )


def _of_notebook(base: Path, row: int, name: str, run: str, shards: int, given: dict[str, str]) -> Sample:
    beside = base / run
    try:
        path, content = execute.load(beside if beside.is_file() else run)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; or run one of {', '.join(COMMANDS)}") from error
    if shards > 1:
        raise ValueError(f"a notebook is one job, but {shards} shards came. Leave shards empty")
    parameters.assign(parameters.read(content), given)
    if "profile" in given:
        check_profile(given["profile"])
    inputs = _inputs(base, given, lambda column: False)
    _check_models(base, given)
    path = path.resolve()
    words = ["run", str(path)]
    for column, text in given.items():
        words += ["-p", f"{column}={text}"]
    return Sample(name, run, shards, row, tuple(words), (str(path), *inputs), given, "", execute.report.FILE)


def _inputs(base: Path, given: Mapping[str, str], is_path: Callable[[str], bool]) -> tuple[str, ...]:
    """The files that cells name; all of them, and folders, must be there."""
    files = []
    for column, text in given.items():
        if column in _OUTPUTS:
            continue
        for part in map(str.strip, text.strip("[]").split(",")):
            part = part.strip("'\"")
            # A task may be FILE#NAME@GENERATION.
            plain = re.split(r"[#@]", part)[0] if not (base / part).exists() else part
            if not plain or "://" in plain or not (is_path(column) or _PATH.fullmatch(plain)):
                continue
            found = base / plain
            if not found.exists():
                raise FileNotFoundError(
                    f"what {column!r} names must be there, but {plain!r} is not ({found}). "
                    "Check the path; it starts at the sheet's folder"
                )
            files += [str(found.resolve())] if found.is_file() else []
    return tuple(dict.fromkeys(files))


_OUTPUTS = {"out", "directory", "ship_to"}
"""Parameters of notebooks that name what is to be written."""


def _check_models(base: Path, given: Mapping[str, str]) -> None:
    from ntviz.models import registry

    names = [
        given.get("model", ""),
        *given.get("models", "").split(","),
        *given.get("models_", "").split(","),
    ]
    for name in filter(None, map(str.strip, names)):
        if registry.find(name) or (base / name).is_dir() or re.fullmatch(r"\w[\w.-]*/[\w.-]+", name):
            continue
        near = registry.suggestions(name)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise ValueError(
            f"a model must be a name, a hub repository or a checkpoint directory, but {name!r} is none. {hint}"
            "`ntviz models` lists the names"
        )
