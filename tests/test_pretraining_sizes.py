"""The eight published sizes, and what makes large ones fit and run fast: none of it changes the numbers."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
from pretraining_toy import CUT, random_dna, variant, write_fasta

from ntviz import models
from ntviz.genome import Interval
from ntviz.models import encoder, registry
from ntviz.pretraining import corpus, evaluation, masking, training
from ntviz.pretraining import recipe as recipes
from ntviz.pretraining.recipe import RECIPES, Recipe, named
from ntviz.tokens import Tokenizer

PUBLISHED = [name for name in RECIPES if name not in ("paper", "small", "mini")]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    fasta = write_fasta(tmp_path_factory.mktemp("genome") / "toy.fa", chr1=random_dna(12_000))
    return corpus.read([fasta], held_out=[Interval("chr1", 6_000, 7_000)], **CUT)


def test_there_are_eight_published_sizes():
    first = {"v1-500m-human-ref", "v1-500m-1000g", "v1-2.5b-1000g", "v1-2.5b-multi-species"}
    assert set(PUBLISHED) == first | {"v2-50m", "v2-100m", "v2-250m", "v2-500m"}


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
def test_recomputing_changes_neither_loss_nor_gradients(vocabulary):
    calls, layer = [], torch.nn.Linear
    original = layer.forward

    def counted(self, given):
        calls.append(self)
        return original(self, given)

    results = []
    for recompute in (False, True):
        calls.clear()
        layer.forward = counted
        try:
            results.append((*step_of(variant(vocabulary=vocabulary, recompute=recompute)), len(calls)))
        finally:
            layer.forward = original
    (loss, gradients, plain), (again, others, twice) = results
    assert again == pytest.approx(loss, rel=1e-6) and gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        np.testing.assert_allclose(others[name], gradient, rtol=1e-4, atol=1e-7, err_msg=name)
    # The linears of both layers did run a second time.
    assert twice == plain + 2 * 6


def test_a_model_of_the_first_generation_learns_and_loads(tmp_path):
    """One repeat of 12 bases over and over has at most 24 words, on both strands and in all frames."""
    fasta = write_fasta(tmp_path / "repeat.fa", chr1="ACGGTCATTGCA" * 1_000)
    small = corpus.read([fasta], held_out=[Interval("chr1", 6_000, 7_000)], **CUT)
    recipe = variant(vocabulary="nt-v1", recompute=True, learning_rate=3e-2)
    run = training.train(recipe, small, tmp_path, steps=30, device="cpu", evaluate_every=10)
    assert run.history["loss"].iloc[0] == pytest.approx(np.log(4105), abs=0.3)
    assert run.history["held_out_loss"].min() < 0.7 * np.log(4105)
    config = json.loads((tmp_path / "best" / "config.json").read_text())
    assert config["position_embedding_type"] == "absolute" and config["token_dropout"] is True
    model = models.load(tmp_path / "best", device="cpu")
    assert model.max_tokens == recipe.max_tokens
    table = corpus.held_out_table(small)
    loss = evaluation.evaluate(model.module, small, table, Tokenizer("nt-v1")).loss
    assert loss == pytest.approx(run.history["held_out_loss"].min(), rel=1e-5)


def test_what_only_changes_memory_and_speed_may_change_when_a_run_goes_on(small, tmp_path):
    options = {"device": "cpu", "evaluate_every": 100, "checkpoint_every": 100}
    whole = training.train(variant(), small, tmp_path / "whole", steps=4, **options)
    training.train(variant(), small, tmp_path / "parts", steps=2, **options)
    leaner = variant(recompute=True, micro_tokens=31 * 2)
    rest = training.train(leaner, small, tmp_path / "parts", steps=4, **options)
    np.testing.assert_allclose(rest.history["loss"], whole.history["loss"], rtol=1e-5)


# torch looks at .grad of what it captures, and warns itself of it.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_encoder_gives_the_losses_of_a_plain_one(small, tmp_path, monkeypatch):
    options = {"steps": 3, "device": "cpu", "evaluate_every": 2, "evaluate_sequences": 4}
    plain = training.train(variant(), small, tmp_path / "plain", **options).history
    # Captured and differentiated as ever, but run as it was captured: no compiler of C++ is needed for the test.
    as_captured = functools.partialmethod(torch.nn.Module.compile, backend="aot_eager")
    monkeypatch.setattr(torch.nn.Module, "compile", as_captured)
    captured = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    captured.clear()
    compiled = training.train(variant(compiled=True), small, tmp_path / "compiled", **options).history
    assert captured["unique_graphs"] >= 1
    for column in ("loss", "held_out_loss"):
        np.testing.assert_allclose(compiled[column], plain[column], rtol=1e-5)
    # A compiled run's checkpoint and model carry the same names: a plain run goes on from them.
    options["steps"] = 4
    assert len(training.train(variant(), small, tmp_path / "compiled", **options).history) == 4
    assert models.load(tmp_path / "compiled" / "best", device="cpu").layers == 2


def test_bfloat16_stays_near_float32(small, tmp_path):
    options = {"steps": 3, "device": "cpu", "evaluate_every": 100}
    single = training.train(variant(), small, tmp_path / "single", **options).history
    half = training.train(variant(precision="bfloat16"), small, tmp_path / "half", **options).history
    assert not np.array_equal(half["loss"], single["loss"])
    np.testing.assert_allclose(half["loss"], single["loss"], rtol=5e-3)


def test_history_has_speed_and_utilisation_of_each_step(small, tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "peak_flops", lambda device, dtype: {("cpu", "float32"): 5e9}[device, dtype])
    recipe = variant()
    history = training.train(recipe, small, tmp_path, steps=3, device="cpu", evaluate_every=100).history
    tokens = recipe.sequences * recipe.max_tokens
    assert (history["tokens_per_second"] > 0).all()
    share = history["tokens_per_second"] * recipe.flops_per_token() / 5e9
    np.testing.assert_allclose(history["utilisation"], share)
    # A step takes no longer than the run so far.
    assert (tokens / history["tokens_per_second"] <= history["seconds"]).all()


def test_a_recipe_of_a_run_from_before_a_number_existed_still_fits(small, tmp_path):
    options = {"device": "cpu", "evaluate_every": 100, "checkpoint_every": 100}
    training.train(variant(), small, tmp_path, steps=2, **options)
    path = tmp_path / "checkpoint" / "state.json"
    state = json.loads(path.read_text())
    for name in ("vocabulary", "recompute", "compiled", "sharded"):
        del state["recipe"][name]
    path.write_text(json.dumps(state))
    (path.parent / "checksums.sha256").unlink()
    history = training.train(variant(), small, tmp_path, steps=3, **options).history
    assert history["step"].tolist() == [1, 2, 3]
