"""The cluster of these tests is one of its own: nothing of it stays behind, and no other is touched."""

from __future__ import annotations

import pytest
from cluster import slurm


def test_nothing_stays_behind(cluster, tmp_path):
    stubborn = "trap '' TERM; setsid sleep 301 & while :; do sleep 1; done"
    job = cluster.submit("--output=/dev/null", f"--wrap={stubborn}")
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
