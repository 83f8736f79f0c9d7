"""What decides a run is compared when it goes on, and a number that is not finite ends it with the last checkpoint kept."""

from __future__ import annotations

import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pysam
import pytest
import torch
from pretraining_toy import CUT, TINY, random_dna, variant, write_fasta

from ntviz.genome import Interval
from ntviz.pretraining import checkpoints, corpus, haplotypes, training

BASES = random_dna(4_000)
REGION = Interval("chr1", 2_000, 3_000)


def of(source, recipe=TINY, limit=256):
    return checkpoints.decided(source, recipe, source.judged_on.held_out.iloc[:limit])


def read(folder, held_out=(REGION,), bases=BASES, **options):
    """Two contigs in two files, cut as ever."""
    folder.mkdir(exist_ok=True)
    files = [write_fasta(folder / "a.fa", chr1=bases), write_fasta(folder / "b.fa", chr2=random_dna(900, 1))]
    return corpus.read(files, held_out=held_out, **(CUT | options))


@pytest.fixture
def begun(tmp_path):
    """The state of a checkpoint after four steps, as JSON keeps it."""
    return json.loads(json.dumps(of(read(tmp_path)) | {"step": 4}))


def accepted(before, now, accept=True):
    return checkpoints.agreed(before, now, accept=accept, place="runs/x")


def test_the_same_content_goes_on_however_it_lies_there(begun, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    # Another file name, contig name, case, width of lines and ends of lines; and bgzip.
    text = "".join(f"{BASES[start : start + 50].lower()}\r\n" for start in range(0, len(BASES), 50))
    (folder / "moved.fa").write_text(f">1 primary\r\n{text}", newline="")
    second = write_fasta(folder / "plain.fa", chr2=random_dna(900, 1))
    pysam.tabix_compress(str(second), str(folder / "second.fa.gz"))
    for store in corpus.STORES:
        where = {"folder": tmp_path / "kept"} if store == "shards" else {}
        files = [folder / "moved.fa", folder / "second.fa.gz"]
        same = corpus.read(files, held_out=[Interval("1", 2_000, 3_000)], store=store, **where, **CUT)
        kept, comparable = accepted(begun, of(same), accept=False)
        assert comparable and kept["learned"] == begun["learned"] and kept["changes"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bases": "T" + BASES[1:] if BASES[0] != "T" else "A" + BASES[1:]}, r"contig: chr1 of a\.fa \(4,000 bp\) is of other content"),
        ({"bases": BASES[:-1]}, r"contig was chr1 of a\.fa \(4,000 bp\) and is now chr1 of a\.fa \(3,999 bp\)"),
        ({"held_out": ()}, "held out was 5 sequences of chr1:2,001-2,900 and is now 0 sequences of no region"),
        ({"held_out": (Interval("chr1", 2_000, 2_500),)}, "held out was 5 .* and is now 2 sequences of chr1:2,001-2,360"),
        ({"overlap_bp": 20}, r"chunks \(chunk_bp, overlap_bp, tokens_bp, max_n\) was 22 and is now 18"),
    ],
)  # fmt: skip
def test_each_change_of_the_corpus_is_refused_in_words_and_accepted(begun, tmp_path, options, words):
    now = of(read(tmp_path / "now", **options))
    with pytest.raises(checkpoints.Changed, match=f"runs/x must go on with .* but {words}.*accept_changes=True"):
        accepted(begun, now, accept=False)
    with pytest.warns(UserWarning, match=f"runs/x goes on after step 4, but {words}"):
        kept, comparable = accepted(begun, now)
    # Losses can be compared where the same bases are held out; what was learned once stays learned.
    assert comparable is ("held out" not in words and "bases" not in options)
    assert [change["step"] for change in kept["changes"]] == [4]
    assert {tuple(mark) for mark in begun["learned"]} <= {tuple(mark) for mark in kept["learned"]}


def test_sources_judged_sequences_tokenizer_and_weights_are_compared(begun, tmp_path, monkeypatch):
    read(tmp_path)
    third = write_fasta(tmp_path / "c.fa", chr3=random_dna(800, 7))
    files = [tmp_path / "a.fa", tmp_path / "b.fa"]
    for now, words in ((files[::-1], "contig is now in another order"), ([*files, third], r"is now with chr3 of c\.fa")):  # fmt: skip
        with pytest.raises(checkpoints.Changed, match=words):
            accepted(begun, of(corpus.read(now, held_out=[REGION], **CUT)), accept=False)
    # What changes memory or the end of the schedule goes on.
    free = {"micro_tokens": 62, "cooldown_steps": 9, "recompute": True, "precision": "auto"}
    accepted(begun, of(read(tmp_path), variant(**free)), accept=False)
    with pytest.raises(checkpoints.Changed, match="held out was 5 sequences .* and is now 2 sequences"):
        accepted(begun, of(read(tmp_path), limit=2), accept=False)
    sheet = tmp_path / "genomes.tsv"
    found = []
    for weights in ((1, 3), (2, 6), (1, 1)):
        sheet.write_text(f"name\tfasta\tweight\nx\ta.fa\t{weights[0]}\ny\tb.fa\t{weights[1]}\n")
        found.append(of(corpus.read_sheet(sheet, store="memory", **CUT)) | {"step": 1})
    accepted(found[0], found[1], accept=False)  # shares decide, as 1 to 3 is 2 to 6
    words = "weight is now without 1 of x, 3 of y and with 1 of x, 1 of y"
    with pytest.raises(checkpoints.Changed, match=words):
        accepted(found[0], found[2], accept=False)
    other = SimpleNamespace(to_text=lambda: "A\nC", name="nt-v2")
    monkeypatch.setattr(checkpoints, "VOCABULARIES", {"nt-v2": other})
    with pytest.raises(checkpoints.Changed, match="tokenizer: nt-v2 is of other content"):
        accepted(begun, of(read(tmp_path)), accept=False)


@pytest.mark.parametrize("name", sorted(set(TINY.as_dict()) - set(checkpoints._FREE)))
def test_each_number_of_the_recipe_that_decides_is_compared(begun, tmp_path, name):
    other = {"vocabulary": "nt-v1", "optimiser": "muon", "schedule": "inverse-sqrt", "max_tokens": 30}
    value = TINY.as_dict()[name]
    changed = other.get(name, not value if isinstance(value, bool) else value * 2 or 1)
    now = begun | {"recipe": begun["recipe"] | {name: changed}}
    with pytest.raises(checkpoints.Changed, match=f"{name} was {value!r} and is now {changed!r}"):
        accepted(begun, now, accept=False)
    if name in checkpoints._SHAPE:
        with pytest.raises(checkpoints.Changed, match=f"weights are of another {name}: train in another"):
            accepted(begun, now)
    else:
        with pytest.warns(UserWarning, match=f"{name} was"):
            assert accepted(begun, now)[1]


def test_individuals_are_compared(tmp_path):
    def write(name, genotype):
        path = tmp_path / name
        path.write_text(
            '##fileformat=VCFv4.2\n##contig=<ID=chr1,length=4000>\n##FORMAT=<ID=GT,Number=1,Type=String,Description="G">\n'
            f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2\nchr1\t9\t.\t{BASES[8]}\tN\t.\t.\t.\tGT\t{genotype}\t0|1\n"
        )
        pysam.tabix_index(str(path), preset="vcf", force=True)
        return f"{path}.gz"

    fasta = write_fasta(tmp_path / "a.fa", chr1=BASES)
    first = write("x.vcf", "0|1")
    source = haplotypes.read(first, fasta, held_out=[REGION], **CUT)
    begun = of(source) | {"step": 1}
    accepted(begun, of(dataclasses.replace(source)), accept=False)
    sheet = tmp_path / "samples.tsv"
    sheet.write_text("sample\tpopulation\nS2\tall\n")
    for options, words in (({"unphased": "written"}, "unphased was 'reference' and is now 'written'"), ({"sheet": sheet}, r"population was all \(2 samples")):  # fmt: skip
        with pytest.raises(checkpoints.Changed, match=words):
            other = haplotypes.read(first, fasta, held_out=[REGION], **options, **CUT)
            accepted(begun, of(other), accept=False)
    second = haplotypes.read(write("y.vcf", "1|1"), fasta, held_out=[REGION], **CUT)
    with pytest.raises(checkpoints.Changed, match=r"VCF was x\.vcf\.gz .* and is now y\.vcf\.gz"):
        accepted(begun, of(second), accept=False)


def test_no_base_that_was_learned_from_is_ever_held_out(tmp_path):
    """Against sets of single bases, for regions all over the contig."""
    source = read(tmp_path)
    begun = of(source) | {"step": 4}
    chr1 = source.chunks[source.chunks["chrom"] == "chr1"]
    trained = {base for row in chr1.itertuples() for base in range(row.start, row.end)}
    outcomes = []
    for start in range(0, 3_800, 190):
        other = read(tmp_path, held_out=[Interval("chr1", start, start + 200)])
        learned = any(trained & set(range(row.start, row.end)) for row in other.held_out.itertuples())
        outcomes.append(learned)
        trained_on = pytest.raises(checkpoints.Changed, match="it was trained on chr1:.*, now held out")
        with trained_on if learned else pytest.warns(UserWarning, match="best/ begins anew"):
            accepted(begun, of(other))
    assert set(outcomes) == {True, False}


def test_a_contig_is_known_by_its_bases_a_masked_one_by_its_name_an_unknown_one_by_nothing(begun, tmp_path):
    # The bases of chr1 under a name that says nothing, and chr1 with its first half masked.
    for name, bases in (("scaffold9", BASES), ("1", "N" * 1_000 + BASES[1_000:])):
        fasta = write_fasta(tmp_path / f"{name}.fa", **{name: bases})
        region = Interval(name, 3_000, 3_400)
        with pytest.raises(checkpoints.Changed, match=r"trained on chr1:3,121-3,360, now held out"):
            accepted(begun, of(corpus.read([fasta], held_out=[region], **CUT)))
    # What was learned in an earlier part counts, too.
    now = of(read(tmp_path, held_out=[Interval("chr1", 2_000, 2_400)]))
    with pytest.warns(UserWarning, match="held out"):
        kept, _ = accepted(begun, now)
    with pytest.raises(checkpoints.Changed, match=r"trained on chr1:2,\d+-2,\d+, now held out"):
        accepted(kept | {"step": 8}, of(read(tmp_path)))
    old = {"recipe": begun["recipe"], "step": 4}
    now = of(read(tmp_path))
    with pytest.raises(checkpoints.Changed, match="an earlier version wrote, is not known"):
        accepted(old, now, accept=False)
    with pytest.warns(UserWarning, match="is not known.*best/ begins anew"):
        assert accepted(old, now)[0]["learned"] == now["learned"]


def train(source, directory, steps, recipe=TINY, **options):
    defaults = {"device": "cpu", "evaluate_every": 2, "checkpoint_every": 1}
    return training.train(recipe, source, directory, steps=steps, **(defaults | options))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_goes_on_with_another_region_begins_best_anew(tmp_path):
    source, run = read(tmp_path), tmp_path / "run"
    train(source, run, 2)
    before = contents(run)
    other = read(tmp_path, held_out=[Interval("chr1", 2_000, 2_500)])
    with pytest.raises(checkpoints.Changed, match="held out was 5 sequences"):
        train(other, run, 4)
    assert contents(run) == before
    state = json.loads((run / "checkpoint" / "state.json").read_text())
    (run / "checkpoint" / "state.json").write_text(json.dumps(state | {"best": 0.0}))
    (run / "checkpoint" / "checksums.sha256").unlink()
    with pytest.warns(UserWarning, match="best/ begins anew"):
        history = train(other, run, 4, accept_changes=True).history
    best = json.loads((run / "best" / "training.json").read_text())
    assert best["held_out_loss"] == history["held_out_loss"].iloc[3] and best["changes"][0]["step"] == 2
    # From here on it is a run like any other.
    assert train(other, run, 5).history["step"].tolist() == [1, 2, 3, 4, 5]


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def broken(kind, monkeypatch):
    """Makes the third step of a run give a loss, a gradient or weights that are not finite."""
    calls = []
    build, optimisers = training.encoder.build, training._optimisers

    def third(*_):
        calls.append(1)
        return len(calls) == 3

    def built(config):
        module = build(config)
        if kind == "loss":
            module.lm_head.register_forward_hook(lambda m, _, out: out * torch.nan if m.training and third() else out)
        if kind == "gradient":
            module.lm_head.decoder.weight.register_hook(lambda g: g * torch.inf if third() else g)
        return module

    def stepping(module, recipe):
        found = optimisers(module, recipe)
        if kind == "weights":
            spoil = lambda *_: third() and module.lm_head.decoder.weight.data.fill_(torch.nan)  # noqa: E731
            found[0].register_step_post_hook(spoil)
        return found

    monkeypatch.setattr(training.encoder, "build", built)
    monkeypatch.setattr(training, "_optimisers", stepping)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("loss", "the loss is nan"),
        ("gradient", r"the loss is 8\.\d+, the norm of its gradient (inf|nan)"),
        ("weights", "the loss on the same sequences is not finite after it"),
    ],
)
def test_what_is_not_finite_ends_the_run_before_a_checkpoint_is_lost(tmp_path, monkeypatch, kind, words):
    source, run = read(tmp_path), tmp_path / "run"
    whole = train(source, tmp_path / "whole", 4).history
    train(source, run, 2)
    kept = contents(run)
    shutil.rmtree(run)
    broken(kind, monkeypatch)
    match = (
        rf"at step 3, with learning rate 0\.007, {words}.*8 sequences from the chunks chr\d:.*checkpoint of step 2 in "
    )
    with pytest.raises(FloatingPointError, match=match):
        train(source, run, 4)
    monkeypatch.undo()
    left = contents(run)
    assert left.keys() >= {path for path in kept if path.parent.name != "checkpoint.before"}
    for path in (run / "checkpoint" / "weights.safetensors", run / "best" / "model.safetensors"):
        assert left[path] == kept[path]
    rows = (run / "history.jsonl").read_text().splitlines()
    assert [json.loads(row, parse_constant=refuse)["step"] for row in rows] == [1, 2]
    again = train(source, run, 4).history
    np.testing.assert_array_equal(again["loss"], whole["loss"])


def test_without_a_checkpoint_yet_it_is_said_and_files_are_json(tmp_path):
    source = read(tmp_path, held_out=())
    endless = variant(learning_rate=float("inf"), first_learning_rate=float("inf"))
    with pytest.raises(FloatingPointError, match=r"at step 1, with learning rate (inf|nan), .*No checkpoint yet"):
        train(source, tmp_path / "bad", 2, endless)
    assert not (tmp_path / "bad" / "checkpoint").exists()
    train(source, tmp_path / "run", 1)
    text = (tmp_path / "run" / "checkpoint" / "state.json").read_text()
    assert json.loads(text, parse_constant=refuse)["best"] is None
