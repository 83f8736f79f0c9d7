"""One cluster for all tests of the cluster: it starts in seconds, and ends with them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from cluster import slurm

if sys.platform != "linux":
    collect_ignore_glob = [
        "test_*.py"
    ]  # Slurm's daemons exist for Linux only; there, without them, the tests fail


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.Cluster]:
    """Four nodes of two cores and one emulated GPU each."""
    with slurm.cluster(tmp_path_factory.mktemp("slurm") / "cluster") as started:
        yield started
