"""One table over many runs, broken ones included."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz.runs import jobs, manifest, report
from ntviz.storage import DAMAGED, atomic_write

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    *("status", "notebook", "run", "profile", "started", "seconds", "device", "peak_memory_mb", "core_hours"),
    *("gpu_hours", "hours_from", "model", "error", "answer", "path", "report"),
)
_WORST = (*jobs.BAD, "running", "to do")


def runs(*folders: str | Path, accounting: bool = True) -> pd.DataFrame:
    """Table of all runs below `folders`, one row a run, oldest first.

    Columns: status, notebook, run (name of its folder), profile, started (UTC), seconds, device, peak_memory_mb,
    core_hours, gpu_hours, hours_from, model (names), error, answer (the report's first line), path, report (its page, if
    there is one), ``param.NAME`` and ``metric.NAME``. Hours are of submitted jobs: from sacct where Slurm's `accounting`
    is asked and answers, else the time of what ended well, from Snakemake's benchmarks, times what was asked for. Besides the statuses of a manifest there are ``broken``, whose manifest cannot be read, and
    ``lost``: "running" without its process. A folder of `ntviz submit` has one row a sample of its sheet, with its
    filled cells as ``param.NAME``; one that is not done is ``failed``, ``interrupted``, ``running`` or ``to do``.
    """
    import pandas as pd
    import yaml

    rows: dict[Path, dict[str, Any]] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            hint = "Give a folder such as runs/"
            raise FileNotFoundError(f"runs are collected from folders, but {folder} is not one. {hint}")
        submissions = {}
        for path in sorted(folder.rglob(jobs.CONFIG)):
            # Others name their files so, too; theirs have another schema.
            with contextlib.suppress(ValueError, yaml.YAMLError):
                config = yaml.safe_load(path.read_text(encoding="utf-8"))
                if isinstance(config, dict) and config.get("schema") == jobs.SCHEMA:
                    submissions[path.parent] = config
        for place, config in submissions.items():
            of_samples = itertools.groupby(jobs.of(place, config), key=lambda job: job.sample)
            own = {name: list(group) for name, group in of_samples}
            hours = _accounted(place, own) if accounting else {}
            for name, group in own.items():
                row = _sample_row(place / name, config["samples"][name], group)
                row |= hours.get(name) or _hours(group, config["job"], row)
                rows.setdefault((place / name / manifest.FILE).resolve(), row)
        for path in sorted(folder.rglob(manifest.FILE)):
            if not submissions.keys() & set(path.parents):
                rows.setdefault(path.resolve(), _row(path.parent))
    table = pd.DataFrame(list(rows.values()))
    extra = sorted(column for column in table.columns if column.startswith(("param.", "metric.")))
    table = table.reindex(columns=[*_COLUMNS, *extra])
    return table.sort_values(["started", "run"], kind="stable", na_position="first", ignore_index=True)


def _sample_row(place: Path, sample: dict[str, Any], own: list[jobs.Job]) -> dict[str, Any]:
    """One sample of a submission, from the files of its jobs and, of a notebook, its manifest."""
    import pandas as pd

    states = {job.state for job in own}
    row: dict[str, Any] = _row(place) if sample["notebook"] and (place / manifest.FILE).is_file() else {}
    measured = [job.benchmark for job in own if job.benchmark.is_file()]
    if measured and not sample["notebook"]:
        table = pd.concat([pd.read_csv(file, sep="\t") for file in measured], ignore_index=True)
        ended = [file.stat().st_mtime for file in measured]
        started = pd.Timestamp(min(ended - table["s"]), unit="s", tz="UTC")
        row["started"] = started.isoformat(timespec="seconds")
        row["seconds"] = round(float(table["s"].sum()), 2)
        # Snakemake counts in MiB, and misses a job of milliseconds.
        row["peak_memory_mb"] = pd.to_numeric(table["max_rss"], errors="coerce").max() * 2**20 / 1e6
    # The manifest's error is of an earlier try where no job failed.
    known, failures = row.get("error") or "", [(job, text) for job in own if (text := job.failure())]
    lines = [f"log: {job.log}" if text in known else f"{job.name}: {text} (log: {job.log})" for job, text in failures]
    row |= {f"param.{column}": text for column, text in sample["given"].items()}
    if not sample["notebook"]:
        row |= {f"metric.{name}": number for name, number in _numbers(place / sample["result"]).items()}
    pages = [place / file for file in (sample["report"], sample["result"]) if file]
    return row | {
        "status": next((state for state in _WORST if state in states), "ok"),
        "error": "\n".join([known, *lines]).strip() if lines else None,
        "run": sample["name"],
        "notebook": Path(sample["words"][1]).stem if sample["notebook"] else sample["run"],
        "path": str(place),
        "report": next((str(file) for file in pages if file.exists()), None),
    }


def measured(place: Path) -> dict[str, int]:
    """Minutes and memory (MB) to ask for, after a notebook that ran in a folder: twice its time, 1.5 times its memory."""
    import pandas as pd

    file = place / "benchmarks" / "notebook.tsv"
    if not file.is_file() or not (place / "marks" / "notebook.json").is_file():
        return {}
    used = pd.read_csv(file, sep="\t").iloc[-1]
    memory = pd.to_numeric(used["max_rss"], errors="coerce")
    found = {"minutes": max(1, math.ceil(2 * used["s"] / 60))}
    return found | ({"memory_mb": max(100, math.ceil(1.5 * memory))} if memory > 0 else {})


def _hours(own: Sequence[jobs.Job], asked: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Hours of cores and GPUs by the benchmarks of the jobs of a sample; of one in a pack by its manifest."""
    import pandas as pd

    seconds = {job: float(pd.read_csv(job.benchmark, sep="\t")["s"].sum()) for job in own if job.benchmark.is_file()}
    if own[-1].pack is not None and row.get("seconds"):
        seconds = {own[-1]: row["seconds"]}
    if not seconds:
        return {}
    gpus = sum(spent * asked["gpus"] for job, spent in seconds.items() if not job.before)
    cores = sum(seconds.values()) * asked["cores"]
    return {"core_hours": cores / 3600, "gpu_hours": gpus / 3600, "hours_from": "benchmarks"}


def _accounted(place: Path, own: Mapping[str, Sequence[jobs.Job]]) -> dict[str, dict[str, Any]]:
    """The same for all samples whose jobs of Slurm sacct knows, lost tries among them; empty where it does not answer."""
    started: dict[str, set[str]] = {}
    for name in own:
        with contextlib.suppress(OSError, ValueError):
            lines = (place / name / "logs" / jobs.STARTS).read_text(encoding="utf-8").splitlines()
            started[name] = {number for line in lines if (number := json.loads(line)["slurm"])}
    shared = Counter(number for numbers in started.values() for number in numbers)
    if not shared:
        return {}
    words = ["sacct", "--noheader", "--parsable2", "--allocations", "--duplicates"]
    words += ["--format=JobIDRaw,ElapsedRaw,AllocTRES", f"--jobs={','.join(shared)}"]
    cores, gpus = defaultdict[str, float](float), defaultdict[str, float](float)
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        answer = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        for line in answer.stdout.splitlines():
            number, seconds, held = line.split("|")
            for counted, name in ((cores, "cpu"), (gpus, "gres/gpu")):
                amount = re.search(rf"(?:^|,){name}=(\d+)", held)
                # Rows of one pack share a job.
                counted[number] += int(seconds) * int(amount[1] if amount else 0) / shared[number]
    return {
        name: {"core_hours": sum(map(cores.__getitem__, numbers)) / 3600,
               "gpu_hours": sum(map(gpus.__getitem__, numbers)) / 3600, "hours_from": "sacct"}
        for name, numbers in started.items() if numbers & cores.keys()
    }  # fmt: skip


def _numbers(path: Path) -> dict[str, float]:
    """Metrics of what a command wrote: alleles by status of `score`, means over the bases of `landscape`."""
    card = path.with_name(path.name.removesuffix(".gz")).with_suffix(".json")
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if counts := json.loads(card.read_text(encoding="utf-8")).get("alleles"):
            return {"alleles": sum(counts.values())} | {f"alleles {status}": n for status, n in counts.items()}
    if path.name == "landscape.npz" and path.is_file():
        return _means(path, path.stat().st_mtime_ns)
    return {}


@lru_cache(maxsize=10_000)
def _means(path: Path, _: int) -> dict[str, float]:
    import numpy as np

    with contextlib.suppress(OSError, *DAMAGED), np.load(path) as arrays:
        known = np.isfinite(arrays["probability"])
        if known.any():
            means = {"probability": arrays["probability"][known].mean(), "accuracy": arrays["correct"][known].mean()}
            return {"bases": int(known.sum()), **{name: float(mean) for name, mean in means.items()}}
    return {}


def _row(folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"run": folder.name, "notebook": folder.parent.name, "path": str(folder)}
    try:
        facts = manifest.read(folder)
    except (ValueError, TypeError, OSError) as error:
        return row | {"status": "broken", "error": str(error)}
    if facts.status in ("running", "live"):
        facts.merge(manifest.records(folder))
    page, error = folder / report.FILE, facts.error
    place = f"cell {error['cell']}: " if error and error.get("cell") else ""
    row |= {
        "report": str(page) if page.is_file() else None,
        "status": "lost" if facts.status == "running" and facts.alive is False else facts.status,
        **{name: getattr(facts, name) for name in ("notebook", "profile", "started", "seconds", "device")},
        "peak_memory_mb": facts.peak_memory_bytes / 1e6 if facts.peak_memory_bytes else None,
        "model": ", ".join(str(model.get("name", "?")) for model in facts.models),
        "error": None if error is None else f"{place}{error['name']}: {error['message']}",
        "answer": facts.answer or None,
    }
    for kind, values in (("param", facts.parameters), ("metric", facts.metrics)):
        row |= {f"{kind}.{n}": str(v) if isinstance(v, list | dict) else v for n, v in values.items()}
    return row


def brief(table: pd.DataFrame) -> pd.DataFrame:
    """What differs between runs, as text for a terminal: metrics, parameters, and errors as the last column."""
    shown = ["status", "notebook", "run", "seconds"]
    for column in table.columns.drop("error"):
        values = table[column].dropna().astype(str)
        asked = column.startswith("param.") or column in ("profile", "model")
        shown += [column] * (len(values) > 0 if column.startswith("metric.") else asked and values.nunique() > 1)
    shown += ["error"] * bool(table["error"].notna().any())
    text = table[shown].map(_text)
    if "error" in text:
        text["error"] = text["error"].str.split("\n").str[0].str.slice(0, 100)
    return text


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def save(table: pd.DataFrame, path: str | Path) -> Path:
    """Path of the table as CSV or parquet, by the ending; columns of mixed types become text in parquet."""
    path = Path(path)
    if path.suffix == ".csv":
        with atomic_write(path, "w") as handle:
            table.to_csv(handle, index=False)
    elif path.suffix == ".parquet":
        mixed = [name for name in table if table[name].dropna().map(type).nunique() > 1]
        texts = {name: table[name].map(str, na_action="ignore") for name in mixed}
        with atomic_write(path) as handle:
            table.assign(**texts).to_parquet(handle, index=False)
    else:
        raise ValueError(f"a table of runs is saved as .csv or .parquet, but {path.name!r} came. Change the ending")
    return path


def save_index(table: pd.DataFrame, path: str | Path, *, title: str) -> Path:
    """Path of a page with a row for each run of the table and links to their reports; see `report.index`."""
    path = Path(path)
    with atomic_write(path, "w") as handle:
        handle.write(report.index(table, path.parent, title=title))
    return path
