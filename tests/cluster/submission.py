"""A sheet given to `ntviz submit`, and what the controller remembers: which job started how often, and where."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from cluster import slurm

TOP = Path(__file__).resolve().parents[2]
# Small work in many pieces. No option is left to a default, so that the command in one go is the same.
SCORING = {"run": "score", "window": 600, "scores": "llr,entropy", "background": "false", "piece": 4}


class Submission:
    """A folder with a sheet and what becomes of it; Snakemake itself starts a lost job again `retries` times."""

    def __init__(self, cluster: slurm.Cluster, folder: Path, rows: Sequence[dict[str, Any]], retries: int = 1) -> None:
        self.cluster, self.folder = cluster, folder
        self.out, self.sheet, self.profile = folder / "out", folder / "sheet.tsv", folder / "profile"
        self.write(*rows)
        self.profile.mkdir()
        # The profile as it is shipped, only that it looks sooner: what takes minutes takes seconds here. Each look in
        # vain puts off the next one by 10 s, so the first one comes when a small job may have ended.
        shipped = TOP / "workflow" / "profiles" / "slurm"
        settings = yaml.safe_load((shipped / "config.yaml").read_text())
        settings |= {"slurm-init-seconds-before-status-checks": 3, "seconds-between-status-checks": 2}
        settings["retries"] = retries
        (self.profile / "config.yaml").write_text(yaml.safe_dump(settings))
        job = yaml.safe_load((shipped / "job.yaml").read_text())
        (self.profile / "job.yaml").write_text(yaml.safe_dump(job | {"cores": 1, "memory_mb": 900}))
        self._heads: list[subprocess.Popen[str]] = []
        self._earlier = set(cluster.jobs())

    def write(self, *rows: dict[str, Any]) -> None:
        """The sheet, or another one in its place."""
        columns = list(dict.fromkeys(column for row in rows for column in row))
        lines = [columns, *([str(row.get(column, "")) for column in columns] for row in rows)]
        self.sheet.write_text("".join("\t".join(line) + "\n" for line in lines))

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a head."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NTVIZ_")}
        return {**kept, "PYTHONPATH": str(TOP), "HF_HUB_OFFLINE": "1"} | self.cluster.environment

    def head(self, *options: object) -> subprocess.Popen[str]:
        """`ntviz submit`, begun; its words go to a file, which nobody needs to empty."""
        with open(self.folder / f"head-{len(self._heads)}.txt", "w") as output:
            command = [sys.executable, "-m", "ntviz", "submit", self.sheet, "--out", self.out]
            head = subprocess.Popen(
                [*command, "--profile", self.profile, *map(str, options)],
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=self.folder,
                env=self.variables,
            )
        self._heads.append(head)
        return head

    def wait(self, what: str, found: Callable[[], slurm.T], seconds: float = 240) -> slurm.T:
        """What `found` gives as soon as it is true, while the newest head works; it fails when that has ended."""

        def checked() -> slurm.T:
            value = found()
            if not value and self._heads[-1].poll() is not None:
                pytest.fail(f"the head ended before {what}\n{self.logs()}")
            return value

        return slurm.wait_for(what, checked, seconds, self.logs)

    def ended(self, head: subprocess.Popen[str], seconds: float = 600) -> tuple[int, str]:
        """The exit code of a head and all it said."""
        slurm.wait_for("the head", lambda: head.poll() is not None, seconds, self.logs)
        return head.returncode, (self.folder / f"head-{self._heads.index(head)}.txt").read_text()

    def run(self, *options: object) -> tuple[int, str]:
        """`ntviz submit` to its end."""
        return self.ended(self.head(*options))

    def close(self) -> None:
        """Ends heads that still run, and the jobs that they leave."""
        for head in self._heads:
            head.kill()
            head.wait(10)
        self.cluster.call("scancel", f"--user={os.getuid()}", check=False)
        slurm.wait_for("an empty queue", lambda: not self.cluster.queue(), 60, self.cluster.logs)

    def jobs(self) -> dict[tuple[str, str], list[dict[str, str]]]:
        """Records of Slurm's jobs of this sheet that have begun, by sample and job, in order."""
        found: dict[tuple[str, str], list[dict[str, str]]] = {}
        for number, facts in self.cluster.jobs().items():
            # Snakemake tells Slurm the rule and its wildcards.
            named = re.fullmatch(
                r"rule_job_wildcards_([\w.]+?)_((?:shard|merge|notebook|pack).*)", facts.get("Comment", "").strip()
            )
            if named and number not in self._earlier and facts["StartTime"] not in ("Unknown", "N/A"):
                found.setdefault((named[1], named[2]), []).append(facts)
        return found

    def starts(self) -> Counter[tuple[str, str]]:
        """How often each job began, by sample and job."""
        records = self.jobs().items()
        return Counter({job: sum(1 + int(facts["Restarts"]) for facts in started) for job, started in records})

    def working(self, sample: str, job: str) -> psutil.Process | None:
        """The process of ntviz in a job that runs."""
        for facts in self.jobs().get((sample, job), []):
            for process in self.cluster.processes(facts["JobId"], "-m ntviz "):
                if process.name().startswith("python"):
                    return process
        return None

    def logs(self) -> str:
        """Everything that helps to see why something failed."""
        files = [*self.folder.glob("head-*.txt"), *self.out.glob("*/logs/*")]
        words = [f"--- {file}\n{file.read_text(errors='replace')[-2000:]}" for file in files]
        return "\n".join([*words, self.cluster.logs(5)])


def alone(folder: Path, row: dict[str, Any], out: str) -> dict[str, bytes]:
    """What the command of a row writes in one go on this machine, by file."""
    words = [str(row["in"])]
    for name, value in row.items():
        if name not in ("run", "in"):
            words += [f"--no-{name}"] if value == "false" else [f"--{name}", str(value)]
    command = [sys.executable, "-m", "ntviz", row["run"], *words, "--out", str(folder / out)]
    # One thread, as a job has: another number may change a last digit.
    variables = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=600, env=variables)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in folder.iterdir()}
