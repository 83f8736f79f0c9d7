"""The cluster of these tests is a real one: jobs run on four nodes, are killed and cancelled, and nothing stays behind."""

from __future__ import annotations

import os
import subprocess

import psutil
import pytest
from cluster import slurm


def script(folder, text, name="job.sh"):
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    return path


def test_a_job_of_four_nodes_runs_once_on_each(cluster, tmp_path):
    work = script(tmp_path, "srun bash -c 'echo $SLURMD_NODENAME $SLURM_PROCID'")
    job = cluster.submit("--nodes=4", "--output=out.txt", work, cwd=tmp_path)
    assert cluster.wait_ended(job, 60)["JobState"] == "COMPLETED"
    lines = sorted((tmp_path / "out.txt").read_text().splitlines())
    assert lines == ["n1 0", "n2 1", "n3 2", "n4 3"]


def test_a_killed_job_failed_and_a_cancelled_one_was_cancelled(cluster, tmp_path):
    work = script(tmp_path, "sleep 300")
    first, second = (cluster.submit("--output=/dev/null", work) for _ in range(2))
    for job in (first, second):
        slurm.wait_for("sleep", lambda job=job: cluster.processes(job, "sleep 300"), 30, cluster.logs)
    slurm.kill(cluster.processes(first, "sleep 300")[0])
    cluster.call("scancel", second)
    assert cluster.wait_ended(first, 30)["JobState"] == "FAILED"
    assert cluster.wait_ended(second, 30)["JobState"] == "CANCELLED"
    assert cluster.processes(first) == cluster.processes(second) == []


def test_nothing_stays_behind(cluster, tmp_path):
    stubborn = "trap '' TERM; setsid sleep 301 & while :; do sleep 1; done"
    job = cluster.submit("--output=/dev/null", script(tmp_path, stubborn))
    slurm.wait_for("sleep", lambda: cluster.processes(job, "sleep 301"), 30, cluster.logs)
    cluster.stop()
    assert cluster.processes() == []
    assert not slurm.CONFIGURATION.is_symlink()
    cluster.start()  # for the tests that follow


def test_programs_that_are_missing_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "PROGRAMS", ("sbatch", "no-such-program"))
    with pytest.raises(pytest.fail.Exception, match="found no no-such-program. On Debian .* apt-get install"):
        slurm.Cluster(tmp_path).start()


def test_a_configuration_of_another_cluster_is_left_alone(cluster, tmp_path):
    before = slurm.CONFIGURATION.readlink()
    with pytest.raises(pytest.fail.Exception, match="must be free for the cluster of the tests"):
        slurm.Cluster(tmp_path / "second").start()
    assert slurm.CONFIGURATION.readlink() == before


def test_a_configuration_of_tests_that_are_gone_is_replaced(tmp_path, monkeypatch):
    left = tmp_path / "left.conf"
    monkeypatch.setattr(slurm, "CONFIGURATION", tmp_path / "slurm.conf")
    slurm.CONFIGURATION.symlink_to(left)
    mine = slurm.Cluster(tmp_path)
    ended = subprocess.Popen(["true"])  # not waited for, so that its number stays taken
    slurm.wait_for("its end", lambda: psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE, 10)
    born = round(psutil.Process(ended.pid).create_time())
    for words in (f"{ended.pid} born {born}", f"{os.getpid()} born 1", "99999999 born 1"):
        left.write_text(f"# Made by the tests of ntviz in process {words}\n")
        mine.claim()
        assert slurm.CONFIGURATION.readlink() == mine.file
        slurm.CONFIGURATION.unlink()
        slurm.CONFIGURATION.symlink_to(left)
    ended.wait()
    left.write_text("ClusterName=hospital\n")
    with pytest.raises(pytest.fail.Exception, match="this host is part of a cluster, or other tests run"):
        mine.claim()
