"""Sheets of genomes, weighted sampling and token shards: what is read, in which order, beside the plain way."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from pretraining_toy import CUT, random_dna, variant, write_fasta

from ntviz.pretraining import bases, corpus, training
from ntviz.pretraining.corpus import Order
from ntviz.tokens import Tokenizer


def with_n(length: int, seed: int) -> str:
    """Random bases with unknown ones: alone, at the start, at the end, and in a block."""
    letters = list(random_dna(length, seed))
    for place in (0, 1, 700, 1_303, length - 1):
        letters[place] = "N"
    letters[900:935] = "N" * 35
    return "".join(letters)


@pytest.fixture
def sheet(tmp_path):
    write_fasta(tmp_path / "a.fa", chr1=with_n(6_000, 1), short=random_dna(70, 2), tiny="AC")
    write_fasta(tmp_path / "b.fa", chr1=random_dna(3_000, 3))
    (tmp_path / "more").mkdir()
    # The same file name in another folder: names tell them apart.
    write_fasta(tmp_path / "more" / "a.fa", chr1=random_dna(12_000, 4))
    path = tmp_path / "genomes.tsv"
    path.write_text(
        "name\tfasta\tweight\theld_out\n"
        "human\ta.fa\t2\tchr1:3,001-4,000\n"
        "mouse\tb.fa\t1\t\t\t\n"  # columns that a spreadsheet had in use once
        "# a comment\n"
        "yeast\tmore/a.fa\t5\tchr1:1-400; chr1:7,001-8,000\n"
    )
    return path


def test_each_group_has_its_share_and_reads_every_chunk_once_an_epoch():
    sizes, shares = [7, 40, 3], [2.0, 1.0, 5.0]
    order = Order(sizes, shares, seed=4)
    cycle = [order.chunk(position) for position in range(20_000)]
    for low, size, visits in ((0, 7, 5_000), (7, 40, 2_500), (47, 3, 12_500)):
        own = [chunk for chunk in cycle if low <= chunk < low + size]
        assert len(own) == visits
        for epoch in range(3):
            assert sorted(own[epoch * size : (epoch + 1) * size]) == list(range(low, low + size))
    # Shares hold in short stretches, too.
    assert 380 < sum(chunk >= 47 for chunk in cycle[1_000:1_700]) < 500
    # A position needs none before it, whatever the cycle.
    straight = [order.chunk(position) for position in range(19_990, 20_040)]
    for position in (20_039, 19_991, 20_005):
        assert Order(sizes, shares, seed=4).chunk(position) == straight[position - 19_990]
    assert [Order(sizes, shares, seed=5).chunk(p) for p in range(19_990, 20_040)] != straight
    # A genome of a thousandth of a percent is read.
    order = Order([5, 1_000], [1e-5, 1.0], seed=0)
    assert order.slots.tolist() == [1, 20_000]
    assert sum(order.chunk(position) < 5 for position in range(20_001)) == 1


@pytest.mark.parametrize("store", corpus.STORES)
def test_a_sheet_is_read_alike_from_every_store(sheet, tmp_path, store):
    found = corpus.read_sheet(sheet, store=store, folder=tmp_path / "kept", **CUT)
    assert found.weights == {"human": 2.0, "mouse": 1.0, "yeast": 5.0}
    assert found.held_out.groupby("source").size().to_dict() == {"human": 5, "yeast": 7}
    yeast = found.chunks[found.chunks["source"] == "yeast"]
    assert (yeast["end"].le(7_000) | yeast["start"].ge(8_000)).all() and (yeast["start"] >= 400).all()
    assert found.report["n"].tolist() == [40, 0, 0, 0, 0]
    plain = corpus.read_sheet(sheet, store="memory", **CUT)
    assert found.chunks.equals(plain.chunks) and found.held_out.equals(plain.held_out)
    recipe = variant(step_tokens=31 * 64, seed=1)
    for step in (0, 7, 400):
        rows = found.sampler(recipe).rows(step, range(64))
        assert np.array_equal(rows, plain.sampler(recipe).rows(step, range(64)))


def test_without_weights_genomes_count_by_their_chunks(sheet):
    lines = [line.split("\t") for line in sheet.read_text().splitlines() if not line.startswith("#")]
    sheet.write_text("\n".join("\t".join(line[:2]) for line in lines))
    found = corpus.read_sheet(sheet, store="index", **CUT)
    assert found.weights == found.chunks["source"].value_counts().astype(float).to_dict()
    sources = found.chunks["source"].to_numpy()
    order = found.sampler(variant(step_tokens=31, seed=0)).order
    seen = Counter(sources[order.chunk(position)] for position in range(20_000))
    for name, chunks in found.weights.items():
        assert seen[name] == pytest.approx(20_000 * chunks / len(sources), abs=1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x\tabsent.fa\t1\t", "line 2 names .*absent.fa"),
        ("x\ta.fa\t-1\t", "Line 2 of .*genomes.tsv: A weight must be a number above 0; got '-1'"),
        ("x\ta.fa\tmuch\t", "Line 2 of .*'much'"),
        ("x\ta.fa\tinf\t", "number above 0; got 'inf'"),
        ("x\ta.fa\t1\tchr1:9-1", "Line 2 of .*genomes.tsv"),
        (
            "x\ta.fa\t1\tchr1:1-400\tmore",
            "genomes.tsv: row 2: the cell 'more' must stand in a column with a name",
        ),
        ("\ta.fa\t1\t", "must have a name; line 2 has none"),
        ("x\ta.fa\t1\t\nx\tb.fa\t1\t", "'x' is on lines 2 and 3"),
        ("x\ta.fa\t1\t\ny\tb.fa\t\t", "on all rows or on none; line 3 has none"),
        ("# nothing", "must have a row below its column names"),
        ("name\tfile\nx\ta.fa", "lacks 'fasta'"),
        ("name\tfasta\tcolour\nx\ta.fa\tred", "has 'colour', unknown or twice"),
        ("name\tfasta\nx\ta.fa\nempty\tn.fa", "'empty' gives none"),
    ],
)
def test_what_is_wrong_in_a_sheet_is_said_with_its_line(sheet, line, message):
    write_fasta(sheet.parent / "n.fa", chr1="N" * 900)
    header = "" if line.startswith("name") else "name\tfasta\tweight\theld_out\n"
    sheet.write_text(f"{header}{line}\n")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        corpus.read_sheet(sheet, store="memory", **CUT)
    with pytest.raises(ValueError, match="store must be one of memory, index, shards; got 'disk'"):
        corpus.read([sheet], store="disk", **CUT)


@pytest.mark.parametrize("vocabulary", ["nt-v1", "nt-v2", "nt-3mer"])
def test_shards_give_the_tokens_of_the_tokenizer_in_every_frame_on_both_strands(tmp_path, vocabulary):
    tokenizer = Tokenizer(vocabulary)
    text = with_n(2_000, 5)
    fasta = write_fasta(tmp_path / "g.fa", first=random_dna(50, 6), second=text)
    track = bases.shards(fasta, tmp_path / "kept", k=tokenizer.vocabulary.k)["second"]
    assert bases.decode(track[:]) == text and len(track) == 2_000
    rng = np.random.default_rng(0)
    places = [(0, 13), (2, 2_000), (1_990, 1_999), (5, 6), (300, 660), (695, 720), (880, 940)]
    places += [(int(start), int(start + rng.integers(1, 200))) for start in rng.integers(0, 1_800, 200)]
    for start, end in places:
        part = text[start:end]
        assert np.array_equal(track.tokens(start, end, False, tokenizer), tokenizer(part).ids)
        other = bases.decode(bases.reverse(bases.encode(part)))
        assert np.array_equal(track.tokens(start, end, True, tokenizer), tokenizer(other).ids)


def test_shards_are_made_once_and_known_by_content(tmp_path):
    fasta = write_fasta(tmp_path / "g.fa", chr1=random_dna(500))

    def folder(path, k=6):
        return bases.shards(path, tmp_path / "kept", k=k)["chr1"].folder

    first = folder(fasta)
    made = (first / "track.npy").stat().st_mtime_ns
    copy = tmp_path / "copy.fa"
    copy.write_bytes(fasta.read_bytes())
    assert folder(copy) == first and (first / "track.npy").stat().st_mtime_ns == made
    assert folder(fasta, k=3) != first and folder(write_fasta(fasta, chr1=random_dna(500, 1))) != first
    with pytest.raises(ValueError, match="k must be 1 to 7, .* got 8"):
        folder(fasta, k=8)


def test_pieces_join_and_runs_of_n_are_counted_as_one_by_one(tmp_path, monkeypatch):
    fasta = write_fasta(tmp_path / "g.fa", chr1=with_n(2_000, 7))
    whole = bases.shards(fasta, tmp_path / "whole")["chr1"]
    monkeypatch.setattr(bases, "_PIECE", 37)
    pieces = bases.shards(fasta, tmp_path / "pieces")["chr1"]
    assert np.array_equal(pieces._numbers, whole._numbers)
    assert bases.unknown_runs(pieces)[0].tolist() == [[0, 2], [700, 701], [900, 935], [1303, 1304], [1999, 2000]]
    codes = bases.encode("NNACNGTNNN" + "ACGT" * 3 + "N")
    runs, mark = bases.unknown_runs(codes)
    assert mark == hashlib.sha256(bytes(codes)).hexdigest()[:16]
    positions = np.arange(len(codes) + 1)
    counted = [int((codes[:p] == bases.N).sum()) for p in positions]
    assert bases.unknown_before(runs, positions).tolist() == counted
    assert bases.unknown_runs(codes[:0])[0].shape == (0, 2)
    assert bases.unknown_before(np.zeros((0, 2), np.int64), positions).sum() == 0
    fasta = write_fasta(tmp_path / "five.fa", chr1="ACGTN")
    codes = corpus.read([fasta], chunk_bp=5, tokens_bp=5, overlap_bp=0, max_n=0.5, store="index").codes[0]
    parts = codes[1:4], codes[3:3], codes[:]
    assert [part.tolist() for part in parts] == [[1, 2, 3], [], [0, 1, 2, 3, 4]]
    with pytest.raises(ValueError, match="steps of 1; got 2"):
        codes[::2]


@pytest.mark.parametrize(
    ("name", "content"),
    [("contigs.json", b"{"), ("contigs.json", b'{"k": 6, "contigs": {"chr1": 9}}'), ("track.npy", b"x")],
)
def test_damaged_shards_are_named(tmp_path, name, content):
    fasta = write_fasta(tmp_path / "g.fa", chr1=random_dna(500))
    (bases.shards(fasta, tmp_path)["chr1"].folder / name).write_bytes(content)
    bases._mapped.cache_clear()
    with pytest.raises(ValueError, match="tokenised by ntviz; .*Delete the folder"):
        bases.shards(fasta, tmp_path)


def test_a_run_from_shards_stopped_inside_an_epoch_equals_one_from_memory(sheet, tmp_path):
    memory = corpus.read_sheet(sheet, store="memory", **CUT)
    mapped = corpus.read_sheet(sheet, store="shards", folder=tmp_path / "kept", **CUT)
    recipe = variant(optimiser="muon")
    options = {"device": "cpu", "evaluate_every": 3, "checkpoint_every": 2}
    whole = training.train(recipe, memory, tmp_path / "whole", steps=6, **options)
    training.train(recipe, mapped, tmp_path / "parts", steps=2, **options)
    rest = training.train(recipe, mapped, tmp_path / "parts", steps=6, **options)
    assert rest.history["loss"].tolist() == whole.history["loss"].tolist()
    assert recipe.sequences * 6 < len(memory.chunks)
