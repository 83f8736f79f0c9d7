"""Sheets through `ntviz submit` and a real Slurm: what is killed is redone, what is done is kept, the bytes are the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cluster import slurm
from cluster.submission import TOP

SCORING = {"run": "score", "window": 600, "scores": "llr,entropy", "background": "false", "piece": 4}
NO_GPU = ("--gpus", 0)


def alone(folder: Path, command: str, row: dict[str, object], out: str) -> dict[str, bytes]:
    """What the same command leaves in one go on this machine, by file."""
    folder.mkdir()
    words = (
        [sys.executable, "-m", "ntviz", command, str(row["in"])]
        if "in" in row
        else [sys.executable, "-m", "ntviz", command]
    )
    for name, value in row.items():
        if name == "background":
            words.append("--no-background")
        elif name not in ("sample", "run", "shards", "in"):
            words += [f"--{name.replace('_', '-')}", str(value)]
    done = subprocess.run(
        [*words, "--out", str(folder / out)], cwd=TOP, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return contents(folder)


def contents(folder: Path, *names: str) -> dict[str, bytes]:
    """Files by name; those given, or all."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and (not names or path.name in names)
    }


def test_what_was_killed_and_cancelled_is_redone_and_nothing_else(submission, variants, tmp_path, cluster):
    row = {"sample": "scored", "in": variants, "shards": 8, **SCORING}
    sheet = submission(row, retries=0)
    head = sheet.head(*NO_GPU, "--jobs", 16)
    doomed = {("scored", "shard-3-of-8"): "kill -9", ("scored", "shard-6-of-8"): "scancel"}
    waiting = dict(doomed)

    def ended_them() -> bool:
        for (sample, job), how in list(waiting.items()):
            number = sheet.started(sample, job)
            if number is None:
                continue
            if how == "scancel":
                cluster.call("scancel", number)
                del waiting[sample, job]
            elif working := cluster.processes(number, f"-m ntviz {sheet_command(sample)}"):
                slurm.kill(working[0])
                del waiting[sample, job]
        return not waiting

    def sheet_command(sample: str) -> str:
        return {"scored": "score", "enriched": "enrich"}[sample]

    sheet.wait("the jobs to be ended", ended_them)
    code, said = sheet.ended(head)
    assert code == 1, said
    for sample, job in doomed:
        assert f"failed: {sample}, {job.replace('-', ' ')}:" in said
    assert not (sheet.out / "scored" / "scored.vcf.gz").exists()
    before = sheet.starts()
    assert before == {("scored", f"shard-{i}-of-8"): 1 for i in range(1, 9)}

    code, said = sheet.run(*NO_GPU, "--jobs", 16)
    assert code == 0, said
    assert sheet.starts() - before == {**dict.fromkeys(doomed, 1), ("scored", "merge"): 1}
    single = alone(tmp_path / "single", "score", row, "scored.vcf.gz")
    assert set(single) == {"scored.vcf.gz", "scored.vcf.gz.tbi", "scored.parquet"}
    assert contents(sheet.out / "scored", *single) == single

    code, said = sheet.run(*NO_GPU)
    assert (code, sheet.starts() - before) == (0, {**dict.fromkeys(doomed, 1), ("scored", "merge"): 1})
