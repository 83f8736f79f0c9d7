"""Work shared among jobs: whatever the number of shards, and however often they are killed, the bytes are those of one run."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time

import numpy as np
import pandas as pd
import pytest
from variant_toy import ToyModel, toy_reference

from ntviz import annotation, landscape
from ntviz.genome import Interval
from ntviz.storage import Finished, Unfinished

REGION = Interval("20", 600, 4_600)
HOW = {"window": 240, "flank": 60, "piece": 500}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return toy_reference(tmp_path_factory.mktemp("toy"), n=[("20", 3_000, 3_040)])


@pytest.fixture(scope="module")
def whole(reference, tmp_path_factory):
    """The bytes of one run, by ending."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("a.npz", "a.bedgraph"):
        found = mapped(folder / name, reference)
        assert isinstance(found, Finished) and found.written == (folder / name,)
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


def mapped(out, reference, model=None, **options):
    model = model or ToyModel(max_tokens=64)
    return landscape.reconstruct_file(out, model, reference, REGION, what=None, **{**HOW, **options})


@pytest.mark.parametrize("suffix", [".npz", ".bedgraph"])
def test_three_shards_of_a_landscape_are_one_run(reference, whole, tmp_path, suffix):
    out = tmp_path / f"a{suffix}"
    ended = [mapped(out, reference, shard=(i, 3)) for i in (2, 3, 1)]
    assert all(isinstance(one, Unfinished) for one in ended) and not out.exists()
    assert [(one.done, one.total) for one in ended] == [(3, 9), (6, 9), (9, 9)]
    assert ended[0].missing == (0, 2, 3, 5, 6, 8) and "6 of 9 pieces" in repr(ended[1])
    assert "When the other shards are through" in repr(ended[0]) and "When" not in repr(ended[2])
    last = ToyModel(max_tokens=64)
    mapped(out, reference, last)
    assert last.forwards == 0  # all was there
    assert out.read_bytes() == whole[suffix] and list(tmp_path.iterdir()) == [out]
    with pytest.raises(FileExistsError, match="must not be there yet"):
        mapped(out, reference)


def test_a_lost_or_damaged_piece_is_made_again_alone(reference, whole, tmp_path):
    first, again, alone = (ToyModel(max_tokens=64) for _ in range(3))
    out, cache = tmp_path / "a.npz", tmp_path / "kept"
    mapped(out, reference, first, cache=cache)
    lost, damaged = sorted(cache.rglob("*-*.npz"))[2:4]
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:100])
    mapped(out, reference, again, cache=cache, overwrite=True)
    assert out.read_bytes() == whole[".npz"]
    # Cores and pieces are cut at the same places: two pieces are these 960 bp alone, 480 each.
    landscape.reconstruct(alone, reference, Interval("20", 1_440, 2_400), what=None, **HOW)
    assert 0 < again.sequences == alone.sequences < first.sequences / 3


def test_other_options_never_meet_the_pieces_of_these(reference, tmp_path):
    cache = tmp_path / "kept"
    for seed, name in ((0, "a.npz"), (1, "b.npz")):
        mapped(tmp_path / name, reference, cache=cache, seed=seed, control=("shuffled",))
    assert len(list(cache.iterdir())) == 2
    a, b = (landscape.Landscape.load(tmp_path / name) for name in ("a.npz", "b.npz"))
    np.testing.assert_array_equal(a.probability, b.probability)
    assert (a.controls["shuffled"] != b.controls["shuffled"]).any()


class Slow(ToyModel):
    """Takes a while, so that a run is killed in its middle however fast the machine is."""

    def forward(self, *arguments, **options):
        time.sleep(0.1)
        return super().forward(*arguments, **options)


def job(out, reference, shard, barrier=None, model=None):
    if barrier is not None:
        barrier.wait(60)
    mapped(out, reference, model, shard=shard)


def started(*arguments):
    process = multiprocessing.get_context("fork").Process(target=job, args=arguments)
    process.start()
    return process


def test_shards_at_once_in_one_folder(reference, whole, tmp_path):
    """Two of each shard, begun at the same moment in a folder that is not there yet."""
    out = tmp_path / "a.npz"
    barrier = multiprocessing.get_context("fork").Barrier(4)
    jobs = [started(out, reference, (i, 2), barrier) for i in (1, 2, 1, 2)]
    for one in jobs:
        one.join(120)
        assert one.exitcode == 0
    mapped(out, reference)
    assert out.read_bytes() == whole[".npz"]


def test_killed_at_random_moments_it_goes_on(reference, whole, tmp_path):
    rng, out, killed = random.Random(5), tmp_path / "a.npz", 0
    for _ in range(12):
        one = started(out, reference, (1, 1), None, Slow(max_tokens=64))
        time.sleep(rng.uniform(0, 0.25))
        if one.is_alive():
            os.kill(one.pid, signal.SIGKILL)
        one.join(60)
        killed += one.exitcode == -signal.SIGKILL
        if out.exists():
            assert out.read_bytes() == whole[".npz"]
            break
    mapped(out, reference, overwrite=True)
    assert killed >= 3 and out.read_bytes() == whole[".npz"]


class Nameless(ToyModel):
    info = property(lambda self: {**super().info, "weights_sha256": None})


def test_nonsense_is_refused_and_leaves_nothing(reference, tmp_path):
    for name, options, match in (
        ("a.txt", {}, "must go to .npz, .bedgraph; received a.txt"),
        ("a.npz", {"track": "height"}, "track must be one of .* received 'height'"),
        ("a.npz", {"bin": 0}, "bins of at least 1 bp; received 'probability' in 0"),
        ("a.npz", {"shard": (3, 2)}, "i from 1 to n"),
        ("a.npz", {"share": 0.9}, "share must lie above 0 and up to 0.5"),
        ("a.npz", {"model": Nameless()}, "must say which weights it has for its pieces to be kept"),
    ):
        with pytest.raises(ValueError, match=match):
            mapped(tmp_path / name, reference, **options)
        assert list(tmp_path.iterdir()) == []


def test_a_table_by_element_is_written_beside(reference, whole, tmp_path):
    rows = pd.DataFrame({"chrom": "20", "start": [700, 900], "end": [800, 1_000], "element": ["a", "b"]})
    out = tmp_path / "a.npz"
    found = mapped(out, reference, elements=annotation.from_table(rows))
    assert [path.name for path in found.written] == ["a.npz", "a.elements.tsv", "a.json"]
    table = pd.read_csv(found.written[1], sep="\t").set_index(["element", "measure"])["value"]
    assert {element for element, _ in table.index} == {"all", "a", "b"}
    expected = landscape.Landscape.load(out).probability[100:200].mean()
    assert table["a", "probability"] == pytest.approx(expected, rel=1e-5) and out.read_bytes() == whole[".npz"]
