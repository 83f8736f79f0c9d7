"""Fine-tuning and networks: adapters where they belong, the base untouched, learning of what is planted, equal after loading."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from ntviz import finetuning, models, probing
from ntviz.finetuning import Recipe, fit, learners
from ntviz.finetuning.learners import ModelLearner, NetworkLearner, adapted
from ntviz.finetuning.tuned import _aside
from ntviz.models import encoder

QUICK = Recipe(learning_rate=1e-2, steps=60, evaluate_every=20)


def planted(n=160, bp=60, seed=0, classes=2):
    """Random sequences; class 1 has a word of many A, class 2 of many G."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    texts = []
    for label in labels:
        text = "".join(rng.choice(list("ACGT"), bp))
        texts.append(text[:24] + ("", "AAAAAAAAAAAA", "GGGGGGGGGGGG")[label] + text[24:][: bp - 24 - 12 * (label > 0)])
    return texts, labels, np.array([f"g{i // 8}" for i in range(n)])


def quickly(model, n=40, texts=None, labels=None, **more):
    """Tuned on a few planted sequences in two steps, if nothing else is said."""
    given = planted(n)
    texts, labels = given[0] if texts is None else texts, given[1] if labels is None else labels
    how = {"kind": "binary", "outputs": 2, "method": "head", "recipe": Recipe(steps=2)}
    return finetuning.tune(model, texts, labels, **how | more)


def train(name, texts, labels, outputs=2, per_base=False, **more):
    torch.manual_seed(0)
    module = finetuning.network(name, outputs=outputs, per_base=per_base)
    return finetuning.train_network(module, texts, labels, outputs=outputs, **more)


@pytest.mark.parametrize(("name", "expected"), [
    ("v1-500m-human-ref", 184_320), ("v1-2.5b-multi-species", 491_520), ("v2-50m", 36_864), ("v2-100m", 67_584),
    ("v2-250m", 110_592), ("v2-500m", 178_176),
])  # fmt: skip
def test_ia3_trains_as_many_parameters_as_published(name, expected):
    spec = models.SPECS[name]
    config = {
        "vocab_size": 4107 if spec.rotary else 4105, "hidden_size": spec.hidden, "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads, "intermediate_size": spec.ffn, "max_position_embeddings": spec.max_tokens + 2,
        "position_embedding_type": "rotary" if spec.rotary else "absolute", "add_bias_fnn": not spec.rotary,
    }  # fmt: skip
    with torch.device("meta"):
        made = adapted(encoder.build(config).esm, "ia3", Recipe(), name=name)
        assert learners.trainable(made) == expected
    assert expected == spec.layers * (2 * spec.hidden + spec.ffn)


def test_vectors_of_ia3_are_ones_on_key_value_and_the_gated_product(mini):
    learner = ModelLearner(mini, 2, per_base=False)
    before = learner.eval()(learner.prepare(["ACGTACGTAAAA"]))
    learner.encoder = adapted(learner.encoder, "ia3", Recipe(), name="mini")
    after = learner.eval()(learner.prepare(["ACGTACGTAAAA"]))
    torch.testing.assert_close(before, after, rtol=0, atol=0)
    trained = {name: p for name, p in learner.encoder.named_parameters() if p.requires_grad}
    assert len(trained) == 3 * 4
    assert {tuple(p.shape) for name, p in trained.items() if ".output.dense" in name} == {(1, 512)}
    assert all(bool((p == 1).all()) for p in trained.values())
    assert not any("attention.output" in name for name in trained)


@pytest.mark.parametrize("method", finetuning.METHODS)
def test_a_planted_word_is_learned_and_the_model_left_as_it_was(mini, method):
    texts, labels, groups = planted()
    tokens = mini.tokenize(texts[0])
    before = mini.forward(tokens).logits
    state = {name: value.clone() for name, value in mini.module.state_dict().items()}
    recipe = replace(QUICK, learning_rate=1e-3) if method == "full" else QUICK
    tuned = quickly(mini, texts=texts, labels=labels, method=method, groups=groups, recipe=recipe)
    other, truth, _ = planted(60, seed=9)
    predicted = tuned.predict(other)
    np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-5)
    assert probing.scores("binary", truth, predicted)["mcc"] > 0.8
    np.testing.assert_array_equal(mini.forward(tokens).logits, before)
    assert list(mini.module.state_dict()) == list(state)
    assert all(torch.equal(state[name], value) for name, value in mini.module.state_dict().items())
    assert not mini.module.training
    head = 256 * 2 + 2
    expected = {"ia3": 4 * (2 * 256 + 512) + head, "lora": 4 * 2 * (256 + 256) + head, "head": head}
    assert tuned.trainable == expected.get(method, tuned.trainable)
    assert tuned.history["step"].tolist() == [20, 40, 60]
    assert tuned.history["loss"].iloc[-1] < tuned.history["loss"].iloc[0]


@pytest.mark.parametrize("method", finetuning.METHODS)
def test_what_is_saved_loads_equal(mini, tmp_path, method):
    texts = planted(24)[0]
    tuned = quickly(mini, 24, method=method, recipe=Recipe(learning_rate=1e-2, steps=4, evaluate_every=2))
    folder = tuned.save(tmp_path / "kept")
    again = finetuning.load(folder, mini)
    np.testing.assert_array_equal(again.predict(texts), tuned.predict(texts))
    assert repr(again) == repr(tuned)
    files = {path.name for path in folder.iterdir()}
    assert files >= {"head.safetensors", "tuned.json"}
    if method in ("ia3", "lora"):
        assert files == {"head.safetensors", "tuned.json", "adapter_config.json", "adapter_model.safetensors"}
        assert json.loads((folder / "adapter_config.json").read_text())["peft_type"] == method.upper()


def test_a_damaged_folder_or_another_model_is_refused(mini, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must hold tuned.json"):
        finetuning.load(tmp_path, mini)
    folder = quickly(mini, 24).save(tmp_path / "kept")
    with pytest.raises(ValueError, match="from ntviz-mini with weights .*; received random twin of ntviz-mini"):
        finetuning.load(folder, mini.random_twin())
    with pytest.raises(
        ValueError, match="float32; received ntviz-mini with dtype bfloat16. Load that model, as it was"
    ):
        finetuning.load(folder, models.load(dtype="bfloat16"))
    head = (folder / "head.safetensors").read_bytes()
    (folder / "head.safetensors").write_bytes(b"broken")
    with pytest.raises(ValueError, match="must hold a whole tuned model; reading it failed"):
        finetuning.load(folder, mini)
    (folder / "head.safetensors").write_bytes(head)
    about = json.loads((folder / "tuned.json").read_text())
    about["base"]["tokens_sha256"] = "0" * 64
    (folder / "tuned.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="with tokens 0000.*; received"):
        finetuning.load(folder, mini)


def test_the_same_seed_gives_the_same_weights(mini):
    texts, state = planted(40)[0], torch.random.get_rng_state()
    recipe = Recipe(learning_rate=1e-2, steps=6, evaluate_every=3)
    first, again, other = (quickly(mini, method="lora", recipe=recipe, seed=seed).predict(texts) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other) and torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(("seen", "best", "looks", "stopped"), [
    ([(0.5, 1), (0.9, 1), (0.3, 1), (0.2, 1), (0.1, 1)], 4, 4, "patience"),
    # What is not defined comes behind every number, whatever its loss is.
    ([(np.nan, 0.1), (-0.2, 0.9), (np.nan, 0.01), (-0.1, 0.8), (np.nan, 0.001)], 8, 5, "steps"),
])  # fmt: skip
def test_the_best_state_is_kept_and_patience_ends_training(mini, monkeypatch, seen, best, looks, stopped):
    left, states = iter(seen), []

    def judged(learner, *_):
        states.append(learner.head.linear.weight.detach().clone())
        return dict(zip(("validation", "validation_loss"), next(left), strict=True))

    monkeypatch.setattr(fit, "_judged", judged)
    tuned = quickly(mini, recipe=Recipe(learning_rate=1e-2, steps=10, evaluate_every=2, patience=2))
    assert (tuned.best_step, tuned.stopped, len(states), tuned.chosen_by) == (best, stopped, looks, "mcc")
    assert torch.equal(tuned.learner.head.linear.weight, states[best // 2 - 1])


def test_an_interruption_leaves_the_model_as_it_was(mini, monkeypatch):
    tokens = mini.tokenize(planted(1)[0][0])
    before = mini.forward(tokens).logits

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "_judged", stop)
    with pytest.raises(KeyboardInterrupt):
        quickly(mini, method="ia3", recipe=Recipe(steps=2, evaluate_every=1))
    np.testing.assert_array_equal(mini.forward(tokens).logits, before)
    assert all(p.requires_grad for name, p in mini.module.esm.encoder.named_parameters())


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_tracks_and_activities_are_learned(mini, kind):
    def answers(which):
        if kind == "multilabel":
            return np.stack([which == 1, which == 2, which > 0], axis=1)
        return np.stack([which == 1, (which == 2) * 2.0], axis=1).astype(np.float32)

    texts, which, _ = planted(240, classes=3)
    labels = answers(which)
    recipe = Recipe(learning_rate=1e-2, steps=60, evaluate_every=30, positive_weight=2.0)
    tuned = finetuning.tune(mini, texts, labels, kind=kind, outputs=labels.shape[1], recipe=recipe)
    other, truth, _ = planted(60, seed=5, classes=3)
    found = probing.scores(kind, answers(truth), tuned.predict(other))
    assert found["auroc" if kind == "multilabel" else "pearson"] > 0.85


def by_base(n, seed):
    """Sequences where GTAAGT marks a donor at its first base and TTTCAG an acceptor behind its last."""
    rng = np.random.default_rng(seed)
    texts, labels = [], np.zeros((n, 48), dtype=np.int8)
    for row in range(n):
        letters = list("".join(rng.choice(list("ACGT"), 48)))
        one, other = rng.integers(0, 3) * 6 + 6, rng.integers(0, 2) * 6 + 30
        letters[one : one + 6], letters[other : other + 6] = "GTAAGT", "TTTCAG"
        texts.append("".join(letters))
        labels[row, one], labels[row, other + 5] = 2, 1
    return texts, labels


@pytest.mark.parametrize("how", ["model", "network"])
def test_sites_are_found_base_by_base(mini, how):
    texts, labels = by_base(200, 0)
    rate, steps = (1e-2, 60) if how == "model" else (3e-3, 150)
    recipe = Recipe(learning_rate=rate, steps=steps, evaluate_every=steps // 3, batch_size=16)
    about = {"kind": "per_base", "outputs": 3, "recipe": recipe}
    if how == "model":
        tuned = finetuning.tune(mini, texts, labels, method="ia3", **about)
    else:
        tuned = train("cnn", texts, labels, per_base=True, **about)
    other, truth = by_base(40, 1)
    predicted = tuned.predict(other)
    assert predicted.shape == (40, 48, 3) and probing.scores("per_base", truth, predicted)["top_k"] > 0.9
    with pytest.raises(ValueError, match="must have one length; received 40 to 48 bp"):
        tuned.predict([other[0], other[1][:40]])


def test_each_base_reads_its_own_place_of_its_token(mini):
    learner = ModelLearner(mini, 3, per_base=True).eval()
    texts = ["ACGTACNGTACGTAA", "ACGTACGTACGTACG"]
    scores = learner(learner.prepare(texts)).detach().numpy()
    for text, found in zip(texts, scores, strict=True):
        tokens = mini.tokenize(text)
        states = learner._states(torch.tensor(tokens.ids)[None], torch.ones(1, len(tokens), dtype=torch.bool))
        each = learner.head.linear(states)[0].detach().numpy().reshape(len(tokens), 6, 3)
        for base in range(len(text)):
            token = tokens.token_at(base)
            np.testing.assert_allclose(found[base], each[token, base - tokens.spans[token, 0]], atol=1e-5)


def test_networks_are_as_large_and_see_as_far_as_in_their_papers():
    def count(module):
        return sum(p.numel() for p in module.parameters())

    # Without their heads: 64 channels and 1,024.
    small, large = finetuning.network("bpnet", outputs=2), finetuning.network("bpnet-large", outputs=2)
    profile = 64 * 2 * 25 + 2
    assert count(small) - count(small.head) + profile == 120_834 and round(count(large) / 1e6) == 28
    assert count(finetuning.network("cnn", outputs=2)) < 100_000
    with pytest.raises(ValueError, match="must be one of bpnet, bpnet-large, cnn; received 'resnet'"):
        finetuning.network("resnet", outputs=2)
    torch.manual_seed(0)
    module = learners.BPNet(8, 1, per_base=True)
    for layer in (module.stem, *module.dilated):
        torch.nn.init.constant_(layer.weight, 0.1)
        torch.nn.init.zeros_(layer.bias)
    bases = torch.full((1, 4, 3001), 0.1, requires_grad=True)
    module(bases, torch.ones(1, 3001, dtype=torch.bool))[0, 1500].sum().backward()
    seen = torch.nonzero(bases.grad[0].abs().sum(0) > 0)
    reach = 12 + sum(2**layer for layer in range(1, 10))
    assert (int(seen.min()), int(seen.max())) == (1500 - reach, 1500 + reach)


@pytest.mark.parametrize("name", ["bpnet", "cnn"])
@pytest.mark.parametrize("per_base", [False, True])
def test_padding_changes_nothing(name, per_base):
    torch.manual_seed(0)
    learner = NetworkLearner(finetuning.network(name, outputs=2, per_base=per_base))
    texts = ["ACGTNACGTTTACG", "ACGT" * 40]
    together = learner(learner.prepare(texts)).detach()
    for row, text in enumerate(texts):
        alone = learner(learner.prepare([text])).detach()[0]
        found = together[row, : len(text)] if per_base else together[row]
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["bpnet", "cnn"])
def test_networks_learn_a_planted_word(name):
    texts, labels, groups = planted(240)
    recipe = Recipe(learning_rate=3e-3, batch_size=16, steps=80, evaluate_every=40)
    tuned = train(name, texts, labels, kind="binary", groups=groups, recipe=recipe)
    other, truth, _ = planted(60, seed=9)
    assert probing.scores("binary", truth, tuned.predict(other))["mcc"] > 0.9
    with pytest.raises(ValueError, match="this is a network"):
        tuned.save("nowhere")


@pytest.mark.parametrize(("change", "message"), [
    ({"labels": np.zeros(40, int)}, "two classes to learn from; all 40 training examples are of class 0"),
    ({"labels": np.array([0, 1])}, "one for each of 40 sequences; received 2"),
    ({"validation": (["ACGT"], [2])}, "Labels of the validation part .* from 0 to 1; received 2"),
    ({"validation": (["ACGT"], [0, 1])}, "Labels of the validation part .* 1 sequences; received 2"),
    ({"validation": ([], [])}, "The validation part must have a sequence"),
    ({"kind": "ranking"}, "must be one of binary, .*; received 'ranking'"),
    ({"kind": "regression"}, r"must be \[example, target\], with 2 of the last; received shape \[40, 1\]"),
    ({"method": "prompt"}, "must be one of ia3, lora, full, head; received 'prompt'"),
    ({"groups": np.zeros(40)}, "two groups to set one aside; received 1"),
    ({"validation_share": 1.5}, "between 0 and 1; received 1.5"),
])  # fmt: skip
def test_bad_input_is_refused(mini, change, message):
    with pytest.raises(ValueError, match=message):
        quickly(mini, **change)


def test_recipes_and_adapters_are_checked_and_bases_without_a_label_do_not_count():
    for given, message in (
        ({"batch_size": 0}, "batch_size of a recipe must be above 0; received 0"),
        ({"precision": "float8"}, "received 'float8'"),
    ):
        with pytest.raises(ValueError, match=message):
            Recipe(**given)
    paper = finetuning.RECIPES["ia3"]
    assert (paper.learning_rate, paper.batch_size, paper.steps) == (3e-3, 8, 10_000)
    with pytest.raises(ValueError, match="ia3 needs separate key, value and FFN layers; other has none"):
        adapted(torch.nn.Sequential(torch.nn.Linear(2, 2)), "ia3", Recipe(), name="other")
    scores, labels = torch.randn(2, 3, 3), torch.tensor([[0, 1, -1], [2, -1, -1]], dtype=torch.int8)
    logs = scores.log_softmax(-1)
    expected = -torch.stack([logs[0, 0, 0], logs[0, 1, 1], logs[1, 0, 2]]).mean()
    torch.testing.assert_close(learners.loss("per_base", scores, labels), expected)


@pytest.mark.parametrize("seed", range(4))
def test_validation_keeps_groups_whole_and_has_every_class_where_that_can_be(seed):
    """A class of 2 in 60, and one that lies in a single group: this one stays where it can be learned."""
    labels = np.zeros(60, dtype=np.int64)
    labels[[7, 31]], labels[50] = 1, 2
    aside = _aside("multiclass", labels, np.arange(60), 3, 0.1, seed)
    assert (sorted(set(labels[aside])), sorted(set(labels[~aside]))) == ([0, 1], [0, 1, 2]) and aside.sum() == 6
    tracks = np.stack([labels == 1, labels != 1], axis=1)
    aside = _aside("multilabel", tracks, np.arange(60), 2, 0.1, seed)
    assert tracks[aside].any(0).all() and tracks[~aside].any(0).all()
    by_base = np.where(labels[:, None] == 1, [0, 1, -1], [0, 0, -1])
    assert (by_base[_aside("per_base", by_base, np.arange(60), 2, 0.1, seed)] == 1).any()
    groups = np.repeat(np.arange(10), 10)
    aside = _aside("regression", np.zeros((100, 1)), groups, 1, 0.25, 0)
    assert aside.sum() == 30 and all(len(set(aside[groups == g])) == 1 for g in range(10))


def test_a_validation_of_one_class_chooses_by_the_loss_and_says_so(mini, tmp_path):
    held = planted(40)[0][:6], np.ones(6, int)
    tuned = quickly(mini, recipe=Recipe(learning_rate=1e-2, steps=6, evaluate_every=2), validation=held)
    assert tuned.history["validation"].isna().all()
    best = tuned.history.loc[tuned.history["validation_loss"].idxmin()]
    assert tuned.best_step == best["step"] and "by the loss (mcc is not defined there)" in repr(tuned)
    # The loss of that state, by plain torch.
    loss = torch.nn.functional.nll_loss(torch.from_numpy(tuned.predict(held[0])).log(), torch.ones(6).long())
    assert loss.item() == pytest.approx(best["validation_loss"], abs=1e-5)
    folder = tuned.save(tmp_path / "kept")
    text = (folder / "tuned.json").read_text()
    kept = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert kept["rows"][0]["validation"] is None
    again = finetuning.load(folder, mini)
    assert (repr(again), again.made) == (repr(tuned), tuned.made)


def test_a_loss_or_gradient_that_is_not_finite_ends_training(mini, monkeypatch):
    targets = np.full((40, 1), 1e30, dtype=np.float32)
    with pytest.raises(FloatingPointError, match="must be finite; at step 1 they are inf"):
        quickly(mini, labels=targets, kind="regression", outputs=1)
    plain, count = learners.loss, iter(range(1, 100))

    def broken(kind, scores, given, weight):
        found = plain(kind, scores, given, weight)
        # The loss is finite at the third training step, its gradient is not.
        return found + (scores.sum() * 0).sqrt() if scores.requires_grad and next(count) == 3 else found

    monkeypatch.setattr(learners, "loss", broken)
    message = r"at step 3 they are [0-9.]+ and nan\. Lower the learning rate \(0\.01\)"
    with pytest.raises(FloatingPointError, match=message):
        quickly(mini, recipe=Recipe(learning_rate=1e-2, steps=5, evaluate_every=1))


def test_each_deciding_input_is_kept(mini, tmp_path):
    def kept(name, **more):
        texts, labels, _ = planted(24)
        texts[0] += more.pop("texts", "")
        labels[0] ^= more.pop("labels", 0)
        folder = quickly(mini, texts=texts, labels=labels, **more).save(tmp_path / name)
        about = json.loads((folder / "tuned.json").read_text())
        return {key: about[key] for key in ("made", "recipe", "method", "base")}

    plain = kept("plain")
    assert plain == kept("again")
    changes = {
        "seed": 1, "validation_share": 0.2, "texts": "A", "labels": 1, "groups": np.arange(24) // 2, "validation": (["ACGTAC"], [1]),
        "recipe": Recipe(learning_rate=1e-3, steps=2), "method": "ia3",
    }  # fmt: skip
    for name, value in changes.items():
        assert plain != kept(name, **{name: value}), name


@pytest.mark.parametrize(("method", "dtype", "precision"), [
    ("ia3", "bfloat16", "float32"), ("lora", "float16", "bfloat16"), ("lora", "float32", "bfloat16"),
    ("full", "bfloat16", "float32"), ("full", "float16", "bfloat16"), ("head", "float16", "float32"),
])  # fmt: skip
def test_models_in_half_precision_learn_and_load_equal(tmp_path, method, dtype, precision):
    model = models.load(dtype=dtype)
    texts, labels, groups = planted(80)
    rate = 1e-3 if method == "full" else 1e-2
    recipe = Recipe(learning_rate=rate, steps=20, evaluate_every=10, precision=precision)
    tuned = quickly(model, texts=texts, labels=labels, method=method, groups=groups, recipe=recipe)
    trained = [p for p in tuned.learner.parameters() if p.requires_grad]
    assert {p.dtype for p in trained} == {torch.float32}
    assert {p.dtype for p in model.module.parameters()} == {getattr(torch, dtype)}
    found = tuned.predict(texts)
    assert found.dtype == np.float32 and np.isfinite(found).all()
    assert tuned.history["loss"].iloc[-1] < tuned.history["loss"].iloc[0]
    again = finetuning.load(tuned.save(tmp_path / "kept"), model)
    np.testing.assert_array_equal(again.predict(texts), found)


def test_a_head_on_a_half_precision_model_is_a_linear_layer_on_its_mean_in_float32():
    model, texts = models.load(dtype="bfloat16"), planted(24)[0]
    tuned = quickly(model, 24)
    tokens = [model.tokenize(text) for text in texts]
    vectors = torch.from_numpy(model.embed(tokens, layers=[model.layers])[:, 0, 0]).float()
    expected = torch.nn.functional.linear(vectors, *tuned.learner.head.linear.parameters()).softmax(-1)
    np.testing.assert_allclose(tuned.predict(texts), expected.detach().numpy(), atol=5e-3)
