"""Scoring a file, killed at any moment: run again, it writes the bytes that an undisturbed run writes, and leaves nothing.

20 kills at random moments; NTVIZ_KILLS=200 makes as many as README says.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import time
from functools import cache
from pathlib import Path

import pytest
from variant_toy import ToyModel, toy_reference

from ntviz import variants
from ntviz.variants.files import score_file

KILLS = int(os.environ.get("NTVIZ_KILLS", "20"))
OPTIONS = variants.Options(scores=("llr", "l2"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a reference and a VCF of substitutions, insertions, and a line that cannot be read."""
    folder, rng = tmp_path_factory.mktemp("faults"), random.Random(0)
    reference = toy_reference(folder, contigs={"20": 4_000})
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    for pos in sorted(rng.sample(range(300, 3_600), 60)):
        base = reference.fetch(f"20:{pos}-{pos}").sequence
        others = [other for other in "ACGT" if other != base]
        alt = rng.choice([others[0], ",".join(others), base + "GAT"])
        lines.append(f"20\t{pos}\trs{pos}\t{base}\t{alt}\t.\tPASS\tDP={pos}")
    lines.append("20\t3700\t.\tA\tC")
    (folder / "in.vcf").write_text("\n".join(lines) + "\n")
    return folder


@cache
def scorer(folder: Path) -> variants.Scorer:
    """Made once; it comes along into forked processes."""
    return variants.Scorer(ToyModel(max_tokens=16), toy_reference(folder, contigs={"20": 4_000}), OPTIONS)


def work(folder: Path, out: Path) -> None:
    """All shards, then the file."""
    for shard in ((1, 2), (2, 2), (1, 1)):
        score_file(folder / "in.vcf", out, scorer(folder), shard=shard, piece=7, what=None, overwrite=True)


def files(folder: Path) -> dict[str, str]:
    """Checksums of all that lies in a folder, temporary files too."""
    every = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in every}


def child(action) -> int:
    """A forked process that does something and ends at once."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    return process


@pytest.fixture(scope="module")
def calm(place, tmp_path_factory):
    """Checksums of what an undisturbed run writes, and how long it takes."""
    for name in ("warm", "calm"):
        folder, begin = tmp_path_factory.mktemp(name), time.perf_counter()
        work(place, folder / "out.vcf.gz")
    return files(folder), time.perf_counter() - begin


def test_kills_change_no_byte(place, calm, tmp_path):
    expected, lasts = calm
    assert set(expected) == {"out.parquet", "out.vcf.gz", "out.vcf.gz.tbi"}
    rng, rough, ended = random.Random(1), tmp_path / "rough", {"killed": 0, "finished": 0}
    rough.mkdir()
    for kill in range(KILLS):
        if kill % 5 == 0:
            # A fresh start now and then; otherwise what the last one left.
            for path in sorted(rough.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        process = child(lambda: work(place, rough / "out.vcf.gz"))
        time.sleep(rng.uniform(0, 1.1 * lasts))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        ended["killed" if os.WIFSIGNALED(status) else "finished"] += 1
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
        if kill % 5 == 4:
            work(place, rough / "out.vcf.gz")
            assert files(rough) == expected, f"after kill {kill}"
    # Most were hit while they worked, or the test would show nothing.
    assert ended["killed"] > KILLS / 3


def test_every_kill_is_followed_by_a_whole_run(place, calm, tmp_path):
    """A kill in the middle of writing: the file is the old one or the new one, never half."""
    out, rng = tmp_path / "out.vcf.gz", random.Random(2)
    work(place, out)
    for _ in range(10):
        process = child(lambda: work(place, out))
        time.sleep(rng.uniform(0, 0.2))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        assert hashlib.sha256(out.read_bytes()).hexdigest() == calm[0]["out.vcf.gz"]


def test_two_runs_at_once_both_end_right(place, calm, tmp_path):
    processes = [child(lambda: work(place, tmp_path / "out.vcf.gz")) for _ in range(2)]
    assert [os.WEXITSTATUS(os.waitpid(process, 0)[1]) for process in processes] == [0, 0]
    work(place, tmp_path / "out.vcf.gz")
    assert files(tmp_path) == calm[0]


def test_a_full_disk_leaves_nothing(place, tmp_path):
    out = tmp_path / "out.vcf.gz"

    def starved() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))
        try:
            work(place, out)
        except OSError:
            return
        raise AssertionError("a file of more than 900 bytes cannot have been written")

    assert os.WEXITSTATUS(os.waitpid(child(starved), 0)[1]) == 0
    assert not [name for name in files(tmp_path) if ".part" in Path(name).name] and not out.exists()
    work(place, out)
    assert out.exists()


def test_damaged_pieces_are_made_again(place, tmp_path):
    kept = {"cache": tmp_path / "kept", "piece": 7, "what": None}
    calm = score_file(place / "in.vcf", tmp_path / "a.vcf.gz", scorer(place), **kept)
    for number, path in enumerate(sorted((tmp_path / "kept").rglob("*.npz"))):
        content = path.read_bytes()
        path.write_bytes((b"", content[: len(content) // 2], b"x" * 100)[number % 3])
    again = score_file(place / "in.vcf", tmp_path / "b.vcf.gz", scorer(place), **kept)
    assert (tmp_path / "a.vcf.gz").read_bytes() == (tmp_path / "b.vcf.gz").read_bytes()
    assert again.statuses == calm.statuses
