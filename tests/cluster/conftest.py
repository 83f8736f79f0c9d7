"""One cluster for all tests of the cluster: it starts in seconds, and ends with them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pysam
import pytest
from cluster import slurm
from cluster.submission import SCORING, Submission, alone

from ntviz import data

if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py"]  # Slurm's daemons exist for Linux only


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.Cluster]:
    """Four nodes of two cores and one emulated GPU each."""
    # A terminated session ends its jobs, too; the daemons alone would end without it.
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.exit("the tests were asked to end", 143))
    with slurm.cluster(tmp_path_factory.mktemp("slurm") / "cluster") as started:
        yield started
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def submission(cluster: slurm.Cluster, tmp_path: Path) -> Iterator[Callable[..., Submission]]:
    """Makes a sheet of its rows; heads and jobs that the test leaves are ended."""
    made: list[Submission] = []

    def make(*rows: dict[str, object], **options: int) -> Submission:
        made.append(Submission(cluster, tmp_path, rows, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VCF of 24 substitutions on the bundle's chromosome."""
    path = tmp_path_factory.mktemp("vcf") / "in.vcf"
    lines = ["##fileformat=VCFv4.3", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    with pysam.FastaFile(str(data.bundle("chr20"))) as bases:
        for position in range(5_000_000, 5_024_000, 1_000):
            letter = bases.fetch("20", position - 1, position).upper()
            lines.append(f"20\t{position}\t.\t{letter}\t{'ACGT'['ACGT'.index(letter) - 1]}\t.\tPASS\t.")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def scored_alone(tmp_path_factory: pytest.TempPathFactory, variants: Path) -> dict[str, bytes]:
    """The same variants scored without a cluster: the VCF, its index and the table."""
    files = alone(tmp_path_factory.mktemp("scored"), {"in": variants, **SCORING}, "scored.vcf.gz")
    assert set(files) == {"scored.vcf.gz", "scored.vcf.gz.tbi", "scored.parquet", "scored.json"}
    return files
