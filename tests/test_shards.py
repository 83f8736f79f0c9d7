"""Work shared among jobs: whatever the number of shards, and however often they are killed, the bytes are those of one run."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from attention_toy import motif, previous_token, random_keys, toy
from variant_toy import ToyModel, toy_reference

from ntviz import annotation, attention, benchmark, environment, landscape, models, variants
from ntviz.benchmark import cells
from ntviz.environment import Finished, Output, Shelf, Unfinished, costing
from ntviz.genome import Interval
from ntviz.landscape.asking import ask
from ntviz.models.outlines import Outline
from ntviz.models.registry import SPECS
from ntviz.reference import Reference
from ntviz.tokens import VOCABULARIES

SHAPE = costing.Shape(layers=2, heads=1, hidden=12, ffn=24, gated=False, words=4105, parameters=100_000)
REGION = Interval("20", 600, 4_600)
HOW = {"window": 240, "flank": 60, "piece": 500}


# Who does what -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [0, 1, 7, 64])
@pytest.mark.parametrize("n", [1, 3, 10])
def test_each_piece_is_one_shards(total, n):
    shares = [environment.share(total, (i, n)) for i in range(1, n + 1)]
    assert sorted(number for share in shares for number in share) == list(range(total))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (1, 0), (1,)])
def test_there_is_no_such_shard(shard):
    with pytest.raises(ValueError, match=r"shard must be \(i, n\) with i from 1 to n; received"):
        environment.share(5, shard)


def test_a_shelf_keeps_questions_apart(tmp_path):
    shelf = Shelf(tmp_path)
    assert shelf.folder({"a": 1, "b": 2}) == shelf.folder({"b": 2, "a": 1})
    assert shelf.folder({"a": 1}) != shelf.folder({"a": 2})
    assert shelf.folder({"a": 1}).parent == tmp_path


def test_a_file_is_replaced_only_when_its_run_did_not_end(tmp_path):
    target = Output(tmp_path / "out.npz")
    target.begin()
    target.path.touch()
    target.begin()  # killed after it was written, before its folder was gone
    target.end()
    with pytest.raises(FileExistsError, match=r"The output must not be there yet; .*out.npz is"):
        target.begin()
    assert not target.work.exists()
    target.begin(overwrite=True)
    assert target.work.is_dir()


def test_the_first_folder_stays_where_several_make_the_same(tmp_path):
    target = tmp_path / "cell"
    for text in ("first", "second"):
        with environment.atomic_directory(target, replace=False) as made:
            (made / "text").write_text(text)
    assert (target / "text").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["cell"]
    (tmp_path / "file").touch()
    with (
        pytest.raises(NotADirectoryError, match="file"),
        environment.atomic_directory(tmp_path / "file", replace=False),
    ):
        pass


# Landscapes -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return toy_reference(tmp_path_factory.mktemp("toy"), n=[("20", 3_000, 3_040)])


@pytest.fixture(scope="module")
def whole(reference, tmp_path_factory):
    """The bytes of one run, by ending."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("a.npz", "a.bedgraph"):
        found = mapped(folder / name, reference)
        assert isinstance(found, Finished)
        assert found.written == (folder / name,)
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


def mapped(out, reference, model=None, **options):
    model = model or ToyModel(max_tokens=64)
    return landscape.reconstruct_file(out, model, reference, REGION, what=None, **{**HOW, **options})


@pytest.mark.parametrize("suffix", [".npz", ".bedgraph"])
def test_three_shards_of_a_landscape_are_one_run(reference, whole, tmp_path, suffix):
    out = tmp_path / f"a{suffix}"
    ended = [mapped(out, reference, shard=(i, 3)) for i in (2, 3, 1)]
    assert [isinstance(one, Unfinished) for one in ended] == [True] * 3
    assert [(one.done, one.total) for one in ended] == [(3, 9), (6, 9), (9, 9)]
    assert ended[0].missing == (0, 2, 3, 5, 6, 8)
    assert "When the other shards are through" in repr(ended[0])
    assert "6 of 9 pieces" in repr(ended[1])
    assert "When" not in repr(ended[2])
    assert not out.exists()
    last = ToyModel(max_tokens=64)
    mapped(out, reference, last)
    assert last.forwards == 0  # all was there
    assert out.read_bytes() == whole[suffix]
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
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
    rng = random.Random(5)
    out = tmp_path / "a.npz"
    killed = 0
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
    assert killed >= 3
    assert out.read_bytes() == whole[".npz"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"out": "a.txt"}, r"must go to .npz or .bedgraph; received a.txt"),
        ({"track": "height"}, "track must be one of .* received 'height'"),
        ({"bin": 0}, "bins of at least 1 bp; received 'probability' in 0"),
        ({"shard": (3, 2)}, "i from 1 to n"),
        ({"share": 0.9}, "share must lie above 0 and up to 0.5"),
    ],
)
def test_a_landscape_of_nonsense_is_refused_and_leaves_nothing(reference, tmp_path, options, match):
    out = tmp_path / options.pop("out", "a.npz")
    with pytest.raises(ValueError, match=match):
        mapped(out, reference, **options)
    assert list(tmp_path.iterdir()) == []


def test_pieces_need_to_know_their_weights(reference, tmp_path):
    class Nameless(ToyModel):
        @property
        def info(self):
            return {**super().info, "weights_sha256": None}

    with pytest.raises(ValueError, match="must say which weights it has for its pieces to be kept"):
        mapped(tmp_path / "a.npz", reference, Nameless(max_tokens=64))


def test_a_table_by_element_is_written_beside(reference, whole, tmp_path):
    rows = pd.DataFrame({"chrom": "20", "start": [700, 900], "end": [800, 1_000], "element": ["a", "b"]})
    out = tmp_path / "a.npz"
    found = mapped(out, reference, elements=annotation.from_table(rows))
    assert [path.name for path in found.written] == ["a.npz", "a.elements.tsv", "a.json"]
    table = pd.read_csv(found.written[1], sep="\t")
    assert set(table["element"]) == {"all", "a", "b"}
    value = table.set_index(["element", "measure"]).loc[("a", "probability"), "value"]
    assert value == pytest.approx(landscape.Landscape.load(out).probability[100:200].mean(), rel=1e-5)
    assert out.read_bytes() == whole[".npz"]


# Attention ------------------------------------------------------------------------------------------------------------

WORD, LENGTH = "GATTACATAGGC", 300
HEADS = [[previous_token, motif(WORD)], [random_keys(3), random_keys(4)]]
ASKED = {"kinds": ["word"], "shifts": 30, "bootstrap": 50}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    """Twenty windows, the word once in each."""
    rng = np.random.default_rng(2)
    bases = rng.choice(list("ACGT"), 20 * LENGTH)
    starts = [start + 6 * int(rng.integers(0, 40)) for start in range(0, len(bases), LENGTH)]
    for at in starts:
        bases[at : at + len(WORD)] = list(WORD)
    path = tmp_path_factory.mktemp("genome") / "toy.fa"
    path.write_text(f">chrT\n{''.join(bases)}\n")
    rows = {"chrom": "chrT", "start": starts, "end": np.array(starts) + len(WORD), "element": "word"}
    return Reference(path), annotation.from_table(pd.DataFrame(rows))


def counted(out, genome, *, passes=None, **options):
    model = toy(HEADS)
    model.info["weights_sha256"] = "of the toy"
    if passes is not None:
        model.module.register_forward_pre_hook(lambda *_: passes.append(1))
    places = [Interval("chrT", at, at + LENGTH) for at in range(0, 20 * LENGTH, LENGTH)]
    return attention.enrich_file(out, model, places, *genome, **{**ASKED, **options})


@pytest.mark.parametrize("suffix", [".parquet", ".tsv"])
def test_three_shards_of_an_enrichment_are_one_run(genome, tmp_path, suffix):
    one, many = tmp_path / "one" / f"a{suffix}", tmp_path / "many" / f"a{suffix}"
    found = counted(one, genome)
    assert "20 of 20 windows" in repr(found)
    for i in (3, 1, 2):
        ended = counted(many, genome, shard=(i, 3))
        assert isinstance(ended, Unfinished)
    assert (ended.done, ended.missing) == (20, ())
    assert not many.exists()
    passes = []
    written = counted(many, genome, passes=passes).written
    assert passes == []
    assert [path.name for path in written] == [f"a{suffix}", f"a.windows{suffix}", "a.json"]
    assert sorted(path.name for path in many.parent.iterdir()) == sorted(path.name for path in written)
    for path in found.written:
        assert path.read_bytes() == (many.parent / path.name).read_bytes(), path.name
    about = json.loads((one.parent / "a.json").read_text())
    assert about["summary"] == found.text
    assert about["threshold"] == 0.3
    read = pd.read_parquet(one) if suffix == ".parquet" else pd.read_csv(one, sep="\t")
    assert read["head"].tolist() == [0, 1, 0, 1]
    assert read.loc[read["significant"], ["layer", "head"]].to_numpy().tolist() == [[0, 1]]


def test_a_lost_or_damaged_part_is_counted_anew_alone(genome, tmp_path):
    out, cache = tmp_path / "a.parquet", tmp_path / "kept"
    first, again = [], []
    counted(out, genome, cache=cache, passes=first)
    before = out.read_bytes()
    lost, damaged = sorted(cache.rglob("part-*.npz"))[3:5]
    lost.unlink()
    damaged.write_bytes(b"PK\x03\x04 broken")
    counted(out, genome, cache=cache, passes=again, overwrite=True)
    assert out.read_bytes() == before
    # A window is read as it is and shuffled; the twin is another module.
    assert (len(first), len(again)) == (40, 4)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"out": "a.xlsx"}, r"must go to .parquet, .tsv, .csv; received a.xlsx"),
        ({"threshold": 2}, "strictly between 0 and 1"),
        ({"shard": (0, 2)}, "i from 1 to n"),
        ({"kinds": ["wrod"]}, "received 'wrod'"),
    ],
)
def test_an_enrichment_of_nonsense_is_refused_and_leaves_nothing(genome, tmp_path, options, match):
    out = tmp_path / options.pop("out", "a.tsv")
    with pytest.raises(ValueError, match=match):
        counted(out, genome, **options)
    assert list(tmp_path.iterdir()) == []


# Cells ----------------------------------------------------------------------------------------------------------------


def test_a_cell_that_two_shards_finish_is_never_gone_for_a_reader(tmp_path):
    cell = cells.Cell({"value": 0.5}, *(np.zeros(3) for _ in range(4)), seconds=1.5)
    place, problems = tmp_path / "cells" / "key", []
    cells.save(cell, place)

    def writing():
        for seconds in range(40):
            cells.save(replace(cell, seconds=seconds), place)

    writers = [threading.Thread(target=writing) for _ in range(2)]
    for one in writers:
        one.start()
    while any(one.is_alive() for one in writers):
        try:
            assert cells.load(place).row == {"value": 0.5}
        except ValueError as error:
            problems.append(error)
    assert problems == []
    assert cells.load(place).seconds == 1.5
    assert [path.name for path in place.parent.iterdir()] == ["key"]


# Forecasts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECS)
def test_an_outline_is_the_named_model_without_weights(name):
    outline, spec = models.outline(name), SPECS[name]
    assert (outline.layers, outline.heads, outline.hidden_size) == (spec.layers, spec.heads, spec.hidden)
    assert (outline.max_tokens, outline.max_bp) == (spec.max_tokens, spec.max_bp)
    assert outline.tokens(spec.max_bp) == spec.max_tokens
    if spec.parameters:
        from ntviz.models.outlines import _counted

        # Position tables, biases and norms are left out where parameters are not published.
        assert _counted(outline.shape).parameters == pytest.approx(spec.parameters, rel=0.12)


def test_an_outline_of_a_directory_is_that_of_the_model():
    outline, model = models.outline(environment.data_dir() / "ntviz-mini"), models.load("ntviz-mini")
    for name in ("name", "layers", "heads", "hidden_size", "max_tokens", "max_bp", "mask_id"):
        assert getattr(outline, name) == getattr(model, name), name
    assert outline.shape.parameters == pytest.approx(model.info["parameters"], rel=0.12)
    assert outline.tokenize("ACGTACN").ids.tolist() == model.tokenize("ACGTACN").ids.tolist()


def test_an_outline_of_a_peer_reads_no_kmers():
    peer = models.outline("dnabert-2")
    assert (peer.layers, peer.tokens(10), peer.tokens(10_000)) == (12, 11, 512)
    with pytest.raises(ValueError, match="must read k-mers for this; dnabert-2 reads other tokens"):
        peer.tokenize("ACGT")


@pytest.mark.parametrize("name", ["ntviz-mimi", "someone/something"])
def test_an_outline_of_nothing(name):
    with pytest.raises(
        ValueError, match=f"must be a checkpoint directory or a known name; received '{name}'"
    ):
        models.outline(name)


def toy_outline(max_tokens=64):
    words = VOCABULARIES["nt-v1"]
    return Outline("toy", SHAPE, max_tokens, words.max_bases(max_tokens), words)


class Weighed(ToyModel):
    """Adds up the tokens it is given."""

    seen = 0

    def forward(self, batch, **options):
        self.seen += sum(map(len, batch))
        return super().forward(batch, **options)


@pytest.mark.parametrize(
    "options", [{}, {"share": None}, {"both_strands": True, "frames": 6}, {"control": ("shuffled",)}]
)
def test_a_landscape_reads_what_was_forecast(reference, options):
    model, how = Weighed(max_tokens=64), {**HOW, **options}
    said = landscape.forecast(toy_outline(), reference, REGION, rate=1e9, **how)
    landscape.reconstruct(model, reference, REGION, what=None, **how)
    # Windows cut off by N and at the ends of the region are shorter, or answer for less.
    assert said.units == pytest.approx(model.seen, rel=0.12)
    assert said.pieces == len(ask(model, reference, REGION, **how).pieces) == 9


def test_a_file_of_variants_reads_what_was_forecast(reference, tmp_path):
    rows = []
    for pos in range(700, 2_500, 60):
        ref = reference.fetch(f"20:{pos}-{pos}").sequence
        rows.append(f"20\t{pos}\t.\t{ref}\t{'ACGT'.replace(ref, '')[0]}\t.\t.\t.")
    head = [
        "##fileformat=VCFv4.3",
        "##contig=<ID=20,length=6000>",
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
    ]
    path = tmp_path / "in.vcf"
    path.write_text("\n".join([*head, *rows]) + "\n")
    for scores in (("llr",), ("l2",), ("llr", "jsd", "l2")):
        options = variants.Options(scores)
        said = variants.forecast(path, toy_outline(), options, rate=1e9, piece=7)
        model = Weighed(max_tokens=64)
        variants.score_file(
            path, tmp_path / "out.vcf", variants.Scorer(model, reference, options), what=None, overwrite=True
        )
        assert said.units == model.seen
        assert said.pieces == 5


def test_an_enrichment_reads_what_was_forecast(genome):
    places = [Interval("chrT", at, at + LENGTH) for at in range(0, 20 * LENGTH, LENGTH)]
    for nulls, times in (((), 1), (("shift",), 1), (("shuffle", "twin"), 3)):
        said = attention.forecast(toy_outline(), places, ["word"], rate=1e9, nulls=nulls)
        assert said.units == times * 20 * (1 + LENGTH // 6)
        assert said.pieces == 20
    more = attention.forecast(toy_outline(), places, ["word"], rate=1e9, nulls=("shift",), shifts=10_000)
    few = attention.forecast(toy_outline(), places, ["word"], rate=1e9, nulls=("shift",), shifts=100)
    assert more.seconds > few.seconds
    assert more.memory_bytes > few.memory_bytes


def test_a_matrix_counts_its_cells_and_reads_each_example_once():
    rng = np.random.default_rng(0)
    examples = benchmark.Examples(
        np.array([f"e{i}" for i in range(40)]),
        np.array(["".join(rng.choice(list("ACGT"), 60)) for _ in range(40)]),
        np.arange(40) % 2,
        np.array([f"g{i % 8}" for i in range(40)]),
    )
    task = benchmark.Task("two", "binary", ("no", "yes"), examples, None)
    given = {"tasks": [task], "rate": 1e9, "settings": benchmark.Settings(steps=10, n_folds=4)}
    plain = benchmark.forecast(methods=["gc", "majority"], **given)
    assert (plain.units, plain.seconds, plain.pieces) == (0, 0, 2)
    probes = benchmark.forecast(models=["ntviz-mini"], methods=["logistic", "mlp", "gc"], **given)
    # 40 sequences of 10 words and <cls>, by the model and its twin, whatever the number of probes.
    assert (probes.units, probes.pieces) == (2 * 40 * 11, 5)
    tuned = benchmark.forecast(models=["ntviz-mini"], methods=["ia3"], twins=False, **given)
    # Four folds of ten steps of eight, three times a forward pass, and all that is judged.
    assert (tuned.units, tuned.pieces) == ((4 * 3 * 10 * 8 + 40) * 11, 1)


def test_a_forecast_needs_a_rate():
    for rate, reach in ((0, 0.8), (1e9, 0), (float("nan"), 1)):
        with pytest.raises(ValueError, match="must have a rate and a reach above 0"):
            costing.forecast(SHAPE, [], rate=rate, memory_bytes=1, pieces=1, reach=reach)


def test_a_forecast_is_plain():
    said = costing.forecast(SHAPE, [costing.Passes(3, 10)], rate=1e6, memory_bytes=5, pieces=2)
    assert set(said.plain) == {"units", "unit", "seconds", "memory_bytes", "pieces"}
    assert said.plain["seconds"] == pytest.approx(3 * SHAPE.flops(10) / 0.8e6, rel=1e-2)
    assert json.loads(json.dumps(said.plain)) == said.plain
