"""Corpora, masking, counting baselines and the training run, on sequences with known answers."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pretraining_toy import CUT, random_dna, train, variant, write_fasta

from ntviz import data, models, tokens
from ntviz.genome import Interval
from ntviz.genome.sequence import reverse_complement
from ntviz.models import encoder, registry
from ntviz.pretraining import bases, corpus, evaluation, masking, training
from ntviz.pretraining import recipe as recipes
from ntviz.pretraining.recipe import RECIPES, Recipe, named
from ntviz.tokens import Tokenizer

VOCABULARY = tokens.VOCABULARIES["nt-v2"]
TOKENIZER = tokens.Tokenizer(VOCABULARY)
SMALL = variant(layers=1, optimiser="muon")


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genomes")
    text = random_dna(40_000)
    chr1 = text[:20_000] + "N" * 2_000 + text[22_000:]
    return [
        write_fasta(folder / "first.fa", chr1=chr1, chr2=random_dna(9_000, 1)),
        write_fasta(folder / "second.fa", chrA=random_dna(12_000, 2)),
    ]


@pytest.fixture(scope="module")
def small(genome):
    return corpus.read(genome, held_out=[Interval("1", 30_000, 36_000)], **CUT)


def test_chunks_overlap_cover_and_leave_out_held_out_regions_and_n(small, genome, tmp_path):
    chunks = small.chunks
    assert list(small.report["source"]) == ["first.fa", "first.fa", "second.fa"]
    chr1 = chunks[chunks["chrom"] == "chr1"]
    steps = chr1["start"].diff().dropna()
    assert (steps >= 156).all() and (steps == 156).mean() > 0.9
    assert ((chr1["end"] <= 30_000) | (chr1["start"] >= 36_000)).all()
    assert ((chr1["end"] - chr1["start"]) == 206).all()
    for row in chunks.itertuples():
        assert (small.codes[row.contig][row.start : row.end] == bases.N).mean() <= 0.1
    held = small.held_out
    assert held["start"].min() == 30_000 and held["end"].max() <= 36_000 and len(held) == 33
    assert small.report["n"].tolist() == [2_000, 0, 0] and small.report["skipped"].iloc[0] > 0
    assert small.report["held_out"].tolist() == [6_000, 0, 0]
    with pytest.raises(FileNotFoundError, match=r"absent\.fa"):
        corpus.read([*genome, tmp_path / "absent.fa"])


@pytest.mark.parametrize(
    ("region", "options", "message"),
    [
        (("chr9", 0, 10), {}, "held-out region must lie on a contig of the corpus; chr9"),
        (("chr1", 39_000, 41_000), {}, "leaves chr1 of first.fa, which has 40,000 bp"),
        (None, {"chunk_bp": 100}, "chunk_bp=100, tokens_bp=180"),
        (("chr1", 0, 100), {}, r"180 bp without N; chr1:1-100 of first\.fa has 100 bp and none"),
        (("chr1", 20_000, 21_000), {}, r"without N; chr1:20,001-21,000 of first\.fa has 1,000 bp and none"),
        (None, {"max_n": -1}, "with at most -100% N"),
    ],
)
def test_corpus_refuses_what_cannot_be(genome, region, options, message):
    with pytest.raises(ValueError, match=message):
        corpus.read(genome[:1], held_out=[Interval(*region)] if region else (), **(CUT | options))


def sampler(small, sequences=16, **changes):
    return corpus.Sampler(small, variant(step_tokens=31 * sequences, **({"seed": 3} | changes)))


def letters_of(ids):
    return "".join(VOCABULARY.token_of(i) for i in ids[1:] if i != VOCABULARY.pad_id)


def test_rows_follow_from_seed_step_and_number_alone_on_both_strands(small):
    whole = sampler(small).rows(5, range(16))
    again = sampler(small)
    again.rows(0, range(16))
    parts = [again.rows(5, range(rank, 16, 2)) for rank in range(2)]
    assert np.array_equal(whole[0::2], parts[0]) and np.array_equal(whole[1::2], parts[1])
    assert not np.array_equal(whole, sampler(small, seed=4).rows(5, range(16)))
    texts = [bases.decode(codes) for codes in small.codes]
    strands = {True: 0, False: 0}
    for ids in sampler(small, sequences=200).rows(0, range(200)):
        text = letters_of(ids)
        forward = any(text in t for t in texts)
        assert forward or any(reverse_complement(text) in t for t in texts)
        strands[forward] += 1
    assert 60 < strands[True] < 140


def test_an_epoch_reads_every_chunk_once_from_a_random_start(small):
    reader = sampler(small, sequences=1, both_strands=False)
    texts = [bases.decode(codes) for codes in small.codes]
    found = []
    for step in range(len(small.chunks)):
        text = letters_of(reader.rows(step, range(1))[0])
        chunk = reader.order.chunk(step)
        row = small.chunks.iloc[chunk]
        offset = texts[row["contig"]][row["start"] : row["end"]].find(text)
        assert 0 <= offset <= 26
        found.append((chunk, offset))
    chunks, offsets = zip(*found, strict=True)
    assert sorted(chunks) == list(range(len(small.chunks))) and len(set(offsets)) > 20


def test_masking_shares_targets_and_replacements():
    ids = np.stack([TOKENIZER(random_dna(1200, s) + "N").ids for s in range(100)])
    masked = masking.mask(ids, VOCABULARY, rng=np.random.default_rng(0))
    assert not masked.selected[:, 0].any() and not masked.selected[:, -1].any()
    assert masked.selected[:, 1:-1].mean() == pytest.approx(0.15, abs=0.005)
    assert np.array_equal(masked.targets, ids[masked.selected])
    assert np.array_equal(masked.input_ids[~masked.selected], ids[~masked.selected])
    now = masked.input_ids[masked.selected]
    hidden, kept = now == VOCABULARY.mask_id, now == masked.targets
    assert hidden.mean() == pytest.approx(0.8, abs=0.02) and kept.mean() == pytest.approx(0.1, abs=0.02)
    other = now[~hidden & ~kept]
    assert other.min() >= VOCABULARY.kmer_ids.start and other.max() < VOCABULARY.kmer_ids.stop
    ids = np.full((200, 500), VOCABULARY.kmer_ids.start + 5)
    masked = masking.mask(ids, VOCABULARY, rng=np.random.default_rng(1), rate=0.9)
    drawn = masked.input_ids[(masked.input_ids != ids) & (masked.input_ids != VOCABULARY.mask_id)]
    counts = np.bincount(drawn - VOCABULARY.kmer_ids.start, minlength=4096)
    assert counts[5] == 0 and (counts == 0).sum() < 550 and counts.max() < 16
    ids = TOKENIZER(random_dna(6000)).ids[None]
    masked = masking.mask(ids, VOCABULARY, rng=np.random.default_rng(0), random_replacement=False)
    now = masked.input_ids[masked.selected]
    assert set(np.unique(now[now != masked.targets])) == {VOCABULARY.mask_id}
    with pytest.raises(ValueError, match="rate must lie between 0 and 1; got 1.5"):
        masking.mask(ids, VOCABULARY, rng=np.random.default_rng(0), rate=1.5)


def brute_markov(train: str, test: str, order: int) -> float:
    def windows(text):
        whole = [text[i : i + order + 1] for i in range(len(text) - order)]
        return [window for window in whole if "N" not in window]

    seen = windows(train) + windows(reverse_complement(train))
    losses = []
    for window in windows(test):
        context = [w for w in seen if w[:-1] == window[:-1]]
        losses.append(-np.log((context.count(window) + 1) / (len(context) + 4)))
    return float(np.mean(losses))


def test_markov_and_unigram_equal_brute_force_also_by_token(small):
    train, test = random_dna(300) + "NN" + random_dna(50, 5), random_dna(120, 9)
    for order in (0, 1, 3):
        ours = evaluation.markov([bases.encode(train)], [bases.encode(test)], order=order)
        assert ours == pytest.approx(brute_markov(train, test, order), rel=1e-5)
    train, test = random_dna(400), random_dna(60, 3)
    seen = [s[i : i + 2] for s in (train, reverse_complement(train)) for i in range(len(s) - 1)]
    cut = [test[i : i + 2] for i in range(0, 60, 2)]
    expected = np.mean([-np.log((seen.count(w) + 1) / (len(seen) + 16)) for w in cut])
    assert evaluation.unigram([bases.encode(train)], [bases.encode(test)], k=2) == pytest.approx(expected)
    losses = evaluation.unigram_losses(small, VOCABULARY)
    texts = [bases.decode(small.codes[r.contig][r.start : r.end]) for r in small.held_out.itertuples()]
    ids = np.concatenate([TOKENIZER(text).ids[1:] for text in texts])
    expected = evaluation.baselines(small, orders=()).iloc[0]["nats"]
    assert losses[ids].mean() == pytest.approx(expected) and np.isnan(losses[VOCABULARY.mask_id])


def test_baselines_know_a_period_and_count_no_held_out_base(tmp_path, small):
    fasta = write_fasta(tmp_path / "periodic.fa", chr1="ACGGT" * 4_000)
    read = corpus.read([fasta], held_out=[Interval("chr1", 10_000, 12_000)], **CUT)
    table = evaluation.baselines(read, orders=(0, 3)).set_index(["model", "order"])["nats"]
    assert table["Markov", 3] < 6 * np.log(2) < table["Markov", 0]
    uniform = corpus.read(
        [write_fasta(tmp_path / "r.fa", chr1=random_dna(60_000))], held_out=[Interval("chr1", 0, 6_000)], **CUT
    )
    assert evaluation.baselines(uniform, orders=(0,))["nats"].iloc[1] == pytest.approx(6 * np.log(4), abs=0.01)
    covered = [set(range(r.start, r.end)) for r in small.chunks[small.chunks["chrom"] == "chr1"].itertuples()]
    others = small.chunks[small.chunks["chrom"] != "chr1"].groupby("chrom")["end"].max().sum()
    assert small.bases == len(set().union(*covered)) + others
    held = bases.decode(small.codes[0][30_000:36_000])
    assert all(held[i : i + 30] not in bases.decode(run) for run in small.runs() for i in range(0, 5_900, 30))
    with pytest.raises(ValueError, match=r"orders must lie in 0 to 12; got \[13\]"):
        evaluation.baselines(small, orders=(13,))


def test_the_default_recipe_is_the_published_one_and_others_have_names():
    recipe = Recipe()
    assert (recipe.layers, recipe.heads, recipe.hidden, recipe.ffn) == (12, 16, 512, 2048)
    rates = [recipe.learning_rate_at(step, 10**6) for step in (0, 8_000, 16_000, 64_000)]
    assert rates == pytest.approx([5e-5, 7.5e-5, 1e-4, 5e-5])
    assert recipe.sequences * recipe.max_tokens == 1_000_000
    numbers = {"warmup_steps": 2, "cooldown_steps": 10, "learning_rate": 1.0, "first_learning_rate": 0.0}
    rates = [Recipe(schedule="constant", **numbers).learning_rate_at(s, 100) for s in (1, 50, 90, 95, 99)]
    assert rates == pytest.approx([0.5, 1, 1, 0.5, 0.1])
    assert named("paper") == Recipe() and named("small", seed=7).seed == 7
    shipped = json.loads((data.bundle("ntviz-mini") / "training.json").read_text(encoding="utf-8"))["recipe"]
    assert named("mini", cooldown_steps=1350) == Recipe(**shipped)
    for make, message in (
        (lambda: named("smal"), "recipe must be one of paper, small, mini, v1-500m-.*; got 'smal'"),
        (lambda: Recipe(optimiser="sgd"), "optimiser must be one of adam, adamw, muon; got 'sgd'"),
        (lambda: Recipe(max_tokens=100, step_tokens=50), "must hold at least one sequence"),
        (lambda: recipes.matmul_flops("cpu", dtype="int7"), "dtype must be one of float32"),
        (lambda: recipes.matmul_flops("cpu", size=0), "at least 1; got size=0"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


train = functools.partial(train, recipe=SMALL)


def small_with(**changes):
    return dataclasses.replace(SMALL, **changes)


def test_an_interrupted_run_with_a_torn_history_goes_on_exactly_and_its_model_loads(small, tmp_path):
    whole = train(small, tmp_path / "whole", 8)

    class Stop(Exception):
        pass

    def stop(row):
        if row["step"] == 5:
            raise Stop

    parts, path = tmp_path / "parts", tmp_path / "parts" / "history.jsonl"
    with pytest.raises(Stop):
        train(small, parts, 8, on_step=stop)
    # What a killed process leaves: rows beyond the checkpoint of step 3, and half of the one after them.
    path.write_text(path.read_text() + '{"step": 6, "lo')
    assert training.read_history(parts)["step"].tolist() == [1, 2, 3, 4, 5]
    rest = train(small, parts, 8)
    columns = ["step", "tokens", "loss", "learning_rate", "held_out_loss", "held_out_accuracy"]
    pd.testing.assert_frame_equal(whole.history[columns], rest.history[columns], check_exact=True)
    model = models.load(parts / "best", device="cpu")
    assert (model.max_tokens, model.layers, model.heads) == (31, 1, 2)
    again = evaluation.evaluate(model.module, small, corpus.held_out_table(small, limit=8), TOKENIZER)
    assert again.loss == pytest.approx(rest.history["held_out_loss"].min(), rel=1e-5)
    assert json.loads((parts / "best" / "training.json").read_text())["recipe"] == SMALL.as_dict()
    path.write_text("{\n" + path.read_text())
    with pytest.raises(ValueError, match="line 1 is not .*Remove that line"):
        training.read_history(parts)


def test_time_runs_out_after_a_checkpoint_and_a_damaged_one_is_named(small, tmp_path):
    run = train(small, tmp_path, 1000, max_seconds=0.0)
    assert len(run.history) == 1 and run.history["held_out_loss"].notna().all()
    assert (tmp_path / "best" / "config.json").is_file()
    for name in ("state.json", "weights.safetensors", "optimiser0.pt", "optimiser1.pt"):
        path = tmp_path / "checkpoint" / name
        whole = path.read_bytes()
        for left in (0, 40):
            path.write_bytes(whole[:left])
            with pytest.raises(ValueError, match="must be a whole checkpoint.*delete it to begin anew"):
                train(small, tmp_path, 2)
        path.write_bytes(whole)
    assert train(small, tmp_path, 2).history["step"].tolist() == [1, 2]


def test_a_full_disk_leaves_the_last_checkpoint(small, tmp_path, monkeypatch):
    train(small, tmp_path, 3)
    before = {p: p.read_bytes() for p in (tmp_path / "checkpoint").iterdir()}

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training.torch, "save", full)
    with pytest.raises(OSError, match="Nothing half-written is left"):
        train(small, tmp_path, 6)
    assert {p: p.read_bytes() for p in (tmp_path / "checkpoint").iterdir()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best", "checkpoint", "history.jsonl"]


def test_evaluation_speaks_genome_coordinates_and_equals_the_whole_output_layer(small):
    table = corpus.held_out_table(small, limit=8)
    torch.manual_seed(0)
    module = training.encoder.build(SMALL.config()).train()
    result = evaluation.evaluate(module, small, table, TOKENIZER)
    assert module.training and ((result.table["end"] - result.table["start"]) == 6).all()
    assert result.table["start"].between(30_000, 36_000).all()
    assert result.loss == pytest.approx(np.log(4107), abs=0.2)
    whole = evaluation.by_element(result, Interval("chr1", 30_000, 36_000), {}).iloc[0]
    assert whole["low"] < whole["value"] == result.loss < whole["high"]
    one_by_one = evaluation.evaluate(module, small, table, TOKENIZER, batch_tokens=1)
    np.testing.assert_allclose(one_by_one.table["loss"], result.table["loss"], rtol=1e-4)
    ids = np.stack([TOKENIZER(random_dna(180, s)).ids for s in range(3)])
    module.eval()
    masked = masking.mask(ids, VOCABULARY, rng=np.random.default_rng(0))
    with torch.inference_mode():
        some, _ = evaluation.masked_logits(module, np.ones_like(masked.selected), masked)
        everything = module(input_ids=torch.from_numpy(masked.input_ids)).logits
    np.testing.assert_allclose(some, everything[torch.from_numpy(masked.selected)], atol=1e-5)


@pytest.mark.parametrize(("vocabulary", "inward", "ids"), [("nt-v1", (8, 12), 4105), ("nt-v2", (8, 24), 4107)])
def test_flops_per_token_counts_the_products(vocabulary, inward, ids):
    shape = {"layers": 2, "hidden": 8, "heads": 2, "ffn": 12, "vocabulary": vocabulary}
    recipe = small_with(**shape, max_tokens=10, step_tokens=10, micro_tokens=10)
    per_layer = sum(a * b for a, b in [(8, 8)] * 4 + [inward, (12, 8)]) + 2 * 10 * 8
    assert recipe.flops_per_token() == pytest.approx(6 * (2 * per_layer + 0.15 * (64 + 8 * ids)))


def test_rates_are_measured_and_bfloat16_is_used_where_the_device_has_it(monkeypatch):
    # A clock that gives each product its time: the best of them counts, 2 n^3 operations each.
    times = iter([0.0, 9.0, 10.0, 10.5, 20.0, 24.0])
    monkeypatch.setattr(recipes.time, "perf_counter", lambda: next(times))
    assert recipes.matmul_flops("cpu", size=64, repeats=2) == 2 * 64**3 / 0.5
    monkeypatch.undo()
    assert recipes.matmul_flops("cpu", dtype="bfloat16", size=64, repeats=1) > 1e6
    history = pd.DataFrame({"step": [1, 2], "tokens": [100, 200], "seconds": [1.0, 4.0]})
    run = training.Run(Path(), history, SMALL)
    assert run.tokens_per_second == 50 and run.utilisation(100 * SMALL.flops_per_token()) == 0.5
    # Only Linux lists the processor's flags; the two that matter exist on none of the machines without such a list.
    listing = Path("/proc/cpuinfo")
    flags = set(listing.read_text().split()) if listing.is_file() else set()
    assert training.has_bfloat16("cpu") == bool({"avx512_bf16", "amx_bf16"} & flags)
    assert not training.has_bfloat16("mps")
    # What a GPU emulates is slower than float32.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert not training.has_bfloat16("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert training.has_bfloat16("cuda")


def test_means_by_element_count_tokens_that_touch_it():
    start = np.array([100, 106, 112, 400])
    columns = {"sequence": [0, 0, 1, 1], "start": start, "end": start + 6, "loss": [1.0, 2, 6, 99]}
    result = evaluation.Evaluation(pd.DataFrame(columns))
    region = Interval("chr1", 100, 120)
    exon = np.zeros(20, bool)
    exon[11:13] = True
    found = evaluation.by_element(result, region, {"exon": exon, "CDS": np.zeros(20, bool)})
    assert found.set_index("element")["value"].iloc[:2].tolist() == [3.0, 4.0]
    assert found["tokens"].tolist() == [3, 2, 0]
    with pytest.raises(ValueError, match="'exon' covers 5"):
        evaluation.by_element(result, region, {"exon": exon[:5]})


PUBLISHED = [name for name in RECIPES if name not in ("paper", "small", "mini")]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_builds_the_published_number_of_parameters(name):
    recipe = named(name)
    with torch.device("meta"):
        module = encoder.build(recipe.config())
    count = sum(parameter.numel() for parameter in module.parameters())
    # The published v2 files carry a table of positions that rotary models never use; ours do not.
    unused = (recipe.max_tokens + 2) * recipe.hidden if recipe.rotary else 0
    assert count + unused == registry.SPECS[name].parameters
    tokens = recipe.sequences * recipe.max_tokens
    assert 0.9e6 < tokens < 1.1e6 and recipe.max_tokens == (2048 if name.startswith("v2") else 1000)
    # A wrong k-mer in an individual genome would look like a variant.
    assert recipe.random_replacement == ("1000g" not in name)


def step_of(recipe: Recipe) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients of one masked batch from the recipe's initial weights."""
    torch.manual_seed(0)
    module = encoder.build(recipe.config()).train()
    tokenizer = Tokenizer(recipe.vocabulary)
    ids = np.stack([tokenizer(random_dna(180, seed)).ids for seed in range(4)])
    masked = masking.mask(ids, tokenizer.vocabulary, rng=np.random.default_rng(0))
    objective, *_ = training._prepared(training._accelerator(recipe, "cpu"), module, recipe)
    loss = objective(np.ones_like(masked.selected), masked)
    loss.backward()
    gradients = {n: p.grad.numpy() for n, p in module.named_parameters() if p.grad is not None}
    return float(loss.detach()), gradients


@pytest.mark.parametrize("vocabulary", ["nt-v1", "nt-v2"])
def test_recomputing_changes_neither_loss_nor_gradients(vocabulary, monkeypatch):
    calls, original, results = [], torch.nn.Linear.forward, []
    monkeypatch.setattr(torch.nn.Linear, "forward", lambda self, x: (calls.append(self), original(self, x))[1])
    for recompute in (False, True):
        calls.clear()
        results.append((*step_of(variant(vocabulary=vocabulary, recompute=recompute)), len(calls)))
    (loss, gradients, plain), (again, others, twice) = results
    assert again == pytest.approx(loss, rel=1e-6) and gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        np.testing.assert_allclose(others[name], gradient, rtol=1e-4, atol=1e-7, err_msg=name)
    # The linears of both layers did run a second time.
    assert twice == plain + 2 * 6


def test_a_model_of_the_first_generation_learns_one_repeat_and_loads(tmp_path):
    """One repeat of 12 bases over and over has at most 24 tokens, on both strands and in all frames."""
    fasta = write_fasta(tmp_path / "repeat.fa", chr1="ACGGTCATTGCA" * 1_500)
    read = corpus.read([fasta], held_out=[Interval("chr1", 9_000, 12_000)], **CUT)
    shape = {"layers": 1, "hidden": 32, "step_tokens": 31 * 16, "both_strands": False, "recompute": True}
    recipe = variant(vocabulary="nt-v1", optimiser="muon", learning_rate=3e-2, **shape)
    run = training.train(recipe, read, tmp_path, steps=30, device="cpu", evaluate_every=30)
    assert run.history["loss"].iloc[0] == pytest.approx(np.log(4105), abs=0.3)
    counted = evaluation.baselines(read, orders=()).set_index("model")["nats"]["unigram"]
    last = run.history.iloc[-1]
    assert last["held_out_loss"] < 0.5 * counted
    # Two tokens alternate in each frame: chance is one half for who knows the frame, one in twelve for who does not.
    assert last["held_out_accuracy"] > 0.3
    config = json.loads((tmp_path / "best" / "config.json").read_text())
    assert config["position_embedding_type"] == "absolute" and config["token_dropout"] is True
    model = models.load(tmp_path / "best", device="cpu")
    assert model.max_tokens == recipe.max_tokens
    loss = evaluation.evaluate(model.module, read, corpus.held_out_table(read), Tokenizer("nt-v1")).loss
    assert loss == pytest.approx(last["held_out_loss"], rel=1e-5)


# torch looks at .grad of what it captures, and warns itself of it.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_encoder_gives_the_losses_of_a_plain_one(small, tmp_path, monkeypatch):
    options = {"steps": 2, "device": "cpu", "evaluate_every": 2, "evaluate_sequences": 4}
    plain = training.train(SMALL, small, tmp_path / "plain", **options).history
    # Captured and differentiated as ever, but run as it was captured: no compiler of C++ is needed for the test.
    eager = functools.partialmethod(torch.nn.Module.compile, backend="aot_eager")
    monkeypatch.setattr(torch.nn.Module, "compile", eager)
    captured = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    captured.clear()
    compiled = training.train(small_with(compiled=True), small, tmp_path / "compiled", **options).history
    assert captured["unique_graphs"] >= 1
    for column in ("loss", "held_out_loss"):
        np.testing.assert_allclose(compiled[column], plain[column], rtol=1e-5)
    # A compiled run's checkpoint and model carry the same names: a plain run goes on from them.
    options["steps"] = 3
    assert len(training.train(SMALL, small, tmp_path / "compiled", **options).history) == 3
    assert models.load(tmp_path / "compiled" / "best", device="cpu").layers == 1


def test_bfloat16_is_near_and_what_only_changes_memory_may_change_when_a_run_goes_on(small, tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "peak_flops", lambda device, dtype: {"float32": 5e9, "bfloat16": 9e9}[dtype])
    options = {"device": "cpu", "evaluate_every": 100, "checkpoint_every": 100}
    whole = training.train(variant(), small, tmp_path / "whole", steps=4, **options).history
    half = training.train(variant(precision="bfloat16"), small, tmp_path / "half", steps=2, **options).history
    assert not np.array_equal(half["loss"], whole["loss"][:2])
    np.testing.assert_allclose(half["loss"], whole["loss"][:2], rtol=5e-3)
    training.train(variant(), small, tmp_path / "parts", steps=2, **options)
    # A recipe from before a number existed still fits.
    path = tmp_path / "parts" / "checkpoint" / "state.json"
    state = json.loads(path.read_text())
    for name in ("vocabulary", "recompute", "compiled", "sharded"):
        del state["recipe"][name]
    path.write_text(json.dumps(state))
    (path.parent / "checksums.sha256").unlink()
    leaner = variant(recompute=True, micro_tokens=31 * 3)
    rest = training.train(leaner, small, tmp_path / "parts", steps=4, **options).history
    assert rest["step"].tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(rest["loss"], whole["loss"], rtol=1e-5)
    # Speed and utilisation of each step, which takes no longer than the run so far.
    np.testing.assert_allclose(whole["utilisation"], whole["tokens_per_second"] * variant().flops_per_token() / 5e9)
    assert (variant().step_tokens / whole["tokens_per_second"] <= whole["seconds"]).all()
