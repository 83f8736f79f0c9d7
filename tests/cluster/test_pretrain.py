"""Pretraining over two nodes: a rank is killed, the job is requeued, stops when asked to; the losses know nothing of it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from cluster import slurm
from cluster.submission import TOP
from pretraining_toy import TINY, random_dna, write_fasta

from ntviz.pretraining import checkpoints, training

STEPS = 200
EXACT = ["step", "tokens", "loss", "learning_rate", "held_out_loss", "held_out_accuracy"]


def config(folder: Path) -> Path:
    fasta = write_fasta(folder / "toy.fa", chr1=random_dna(30_000))
    lines = [f'recipe = "paper"\nsteps = {STEPS}\n[changes]']
    lines += [f"{name} = {json.dumps(value)}" for name, value in TINY.as_dict().items()]
    lines += [f'[corpus]\nfastas = ["{fasta.name}"]\nheld_out = ["chr1:12,001-15,000"]']
    lines += ["[run]\nevaluate_every = 100\nevaluate_sequences = 8\ncheckpoint_every = 20"]
    path = folder / "pretrain.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def submit(cluster: slurm.Cluster, folder: Path, asked: Path, name: str, nodes: int) -> str:
    """The shipped batch script; NTVIZ_HEAD since the nodes' names are no host's here."""
    given = f"NTVIZ_HEAD=127.0.0.1,NTVIZ_PYTHON={sys.executable},PYTHONPATH={TOP},HF_HUB_OFFLINE=1"
    options = (f"--nodes={nodes}", "--cpus-per-task=1", "--time=60", f"--output={folder / name}.txt")
    script = (TOP / "workflow" / "pretrain.sbatch", asked, folder / name, "--device", "cpu")
    return cluster.submit(*options, f"--export=ALL,{given}", *script, cwd=folder)


def test_losses_are_those_of_a_run_that_nothing_happened_to(cluster, tmp_path):
    asked = config(tmp_path)
    calm = submit(cluster, tmp_path, asked, "calm", 2)
    job = submit(cluster, tmp_path, asked, "hurt", 2)

    def logs() -> str:
        return "\n".join([*(path.read_text()[-4000:] for path in tmp_path.glob("*.txt")), cluster.logs(5)])

    def reached(step: int, restarts: str) -> bool:
        facts = cluster.jobs()[job]
        assert facts["JobState"] in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING"), logs()
        history = tmp_path / "hurt" / "history.jsonl"
        going = facts["Restarts"] == restarts and facts["JobState"] == "RUNNING" and history.is_file()
        return going and history.read_text().count("\n") >= step

    def ranks() -> dict[str, tuple[str, int]]:
        found = {}
        for process in cluster.processes(job, "ntviz pretrain"):
            variables = slurm.variables(process)
            if "RANK" in variables:
                found[variables["RANK"]] = (variables["SLURMD_NODENAME"], process.pid)
        return found

    slurm.wait_for("30 steps", lambda: reached(30, "0"), 120, logs)
    working = ranks()
    assert sorted(working) == ["0", "1"]
    assert working["0"][0] != working["1"][0]
    os.kill(working["1"][1], 9)
    facts = cluster.wait_ended(job, 60)
    assert facts["JobState"] == "FAILED", logs()
    last = json.loads((tmp_path / "hurt" / checkpoints.LAST / "state.json").read_text())["step"]
    assert 20 <= last < STEPS

    cluster.call("scontrol", "requeue", job)
    alone = submit(cluster, tmp_path, asked, "alone", 1)
    slurm.wait_for("more steps", lambda: reached(last + 20, "1"), 120, logs)
    cluster.call("scancel", "--batch", "--signal=USR1", job)
    slurm.wait_for("a second start", lambda: cluster.jobs()[job]["Restarts"] == "2", 120, logs)
    facts = cluster.wait_ended(job, 120)
    assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "2"), logs()
    assert "asked to stop: back into the queue" in (tmp_path / "hurt.txt").read_text()
    for other in (calm, alone):
        assert cluster.wait_ended(other, 60)["JobState"] == "COMPLETED", logs()

    hurt, whole = (training.read_history(tmp_path / name) for name in ("hurt", "calm"))
    assert whole["step"].tolist() == list(range(1, STEPS + 1))
    pd.testing.assert_frame_equal(hurt[EXACT], whole[EXACT], check_exact=True)
    # The same global batch on one node; sums are made in another order, which grows with the steps.
    one = training.read_history(tmp_path / "alone")
    np.testing.assert_allclose(whole["loss"][:20], one["loss"][:20], rtol=1e-4)
