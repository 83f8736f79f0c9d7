"""Networks of peers against their equations in loops, in float64. All weights are random."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from peer_files import FIXTURES, random_sequence, write_bpnet
from safetensors.torch import load_file

from ntviz import models
from ntviz.genome.sequence import one_hot
from ntviz.models.peers.enformer import Attention, relative_features


class Numbers(dict):
    """Tensors of a checkpoint in float64 by name, and what layers do with them."""

    def __init__(self, directory: Path) -> None:
        tensors = load_file(directory / "model.safetensors")
        super().__init__({name: value.double().numpy() for name, value in tensors.items()})
        self.config = json.loads((directory / "config.json").read_text())

    def dense(self, x, name):
        return x @ self[f"{name}.weight"].T + self.get(f"{name}.bias", 0)

    def norm(self, x, name, eps):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
        return scaled * self[f"{name}.weight"] + self[f"{name}.bias"]

    def convolved(self, x, name, dilation=1):
        """x [channel, position], zeros beyond the ends; a position and a tap at a time."""
        weight, n = self[f"{name}.weight"], x.shape[1]
        sums = np.tile(self[f"{name}.bias"][:, None], (1, n))
        for position in range(n):
            for tap in range(weight.shape[2]):
                place = position + (tap - weight.shape[2] // 2) * dilation
                if 0 <= place < n:
                    sums[:, position] += weight[:, :, tap] @ x[:, place]
        return sums


def softmax(scores):
    weights = np.exp(np.array(scores) - max(scores))
    return weights / weights.sum()


def dnabert2(t: Numbers, ids: np.ndarray) -> dict[str, np.ndarray]:
    """A head and a query at a time."""
    heads, inner, eps = (t.config[key] for key in ("num_attention_heads", "intermediate_size", "layer_norm_eps"))
    size, words = t.config["hidden_size"] // heads, t["bert.embeddings.word_embeddings.weight"]
    # Written out: eight heads fall by halves, four more lie between the first of them.
    slopes = [2.0**-i for i in range(1, 9)] + [2.0**-i for i in (0.5, 1.5, 2.5, 3.5)]

    def gelu(x):
        return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    types = t["bert.embeddings.token_type_embeddings.weight"][0]
    x = t.norm(words[ids] + types, "bert.embeddings.LayerNorm", eps)
    hidden, maps = [x], []
    for layer in range(t.config["num_hidden_layers"]):
        at = f"bert.encoder.layer.{layer}."
        q, k, v = np.split(t.dense(x, at + "attention.self.Wqkv"), 3, axis=1)
        mixed, attention = np.zeros_like(x), np.zeros((heads, len(ids), len(ids)))
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            for i in range(len(ids)):
                scores = [q[i, own] @ k[j, own] / math.sqrt(size) - slopes[head] * abs(i - j) for j in range(len(ids))]
                attention[head, i] = softmax(scores)
                mixed[i, own] = attention[head, i] @ v[:, own]
        mixed = t.dense(mixed, at + "attention.output.dense")
        x = t.norm(x + mixed, at + "attention.output.LayerNorm", eps)
        both = t.dense(x, at + "mlp.gated_layers")
        gated = t.dense(gelu(both[:, :inner]) * both[:, inner:], at + "mlp.wo")
        x = t.norm(x + gated, at + "mlp.layernorm", eps)
        hidden.append(x)
        maps.append(attention)
    head = "cls.predictions."
    y = t.norm(gelu(t.dense(x, head + "transform.dense")), head + "transform.LayerNorm", eps)
    return {"hidden_states": hidden, "attentions": maps, "logits": y @ words.T + t[head + "decoder.bias"]}


def hyenadna(t: Numbers, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Convolutions as sums over what stands before."""
    width, n, eps = t.config["d_model"], len(ids), t.config["layer_norm_epsilon"]
    words = t["hyena.backbone.embeddings.word_embeddings.weight"]
    x = words[ids]
    hidden = [x]
    for layer in range(t.config["n_layer"]):
        at = f"hyena.backbone.layers.{layer}."
        wide = t.dense(t.norm(x, at + "norm1", eps), at + "mixer.in_proj")
        taps, shift = t[at + "mixer.short_filter.weight"][:, 0], t[at + "mixer.short_filter.bias"]
        short = np.array(
            [shift + sum(taps[:, 2 - back] * wide[i - back] for back in range(3) if i >= back) for i in range(n)]
        )
        first, second, value = short[:, :width], short[:, width : 2 * width], short[:, 2 * width :]
        own = at + "mixer.filter_fn."
        h = t[own + "pos_emb.z"][0, :n]
        for part in ("0", "2", "4"):
            h = np.sin(t[own + "implicit_filter.1.freq"] * t.dense(h, own + "implicit_filter." + part))
        h = h @ t[own + "implicit_filter.6.weight"].T
        h *= np.exp(-t[own + "pos_emb.t"][0, :n] * np.abs(t[own + "modulation.deltas"][0])) + 0.05
        value = value * second
        mixed = np.array([sum(h[i - j] * value[j] for j in range(i + 1)) for i in range(n)])
        x = x + t.dense((mixed + value * t[own + "bias"]) * first, at + "mixer.out_proj")
        y = t.dense(t.norm(x, at + "norm2", eps), at + "mlp.fc1")
        y = 0.5 * y * (1 + np.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        x = x + t.dense(y, at + "mlp.fc2")
        hidden.append(x)
    hidden[-1] = t.norm(x, "hyena.backbone.ln_f", eps)
    return {"hidden_states": hidden, "logits": hidden[-1] @ words[:12].T}


@pytest.mark.parametrize("equations", [dnabert2, hyenadna])
def test_outputs_equal_the_equations(equations):
    directory = FIXTURES / f"{equations.__name__}_tiny"
    model = models.load(directory, device="cpu")
    tokens = model.tokenize(random_sequence(60, 1) + "N" + random_sequence(30, 2))
    expected = equations(Numbers(directory), tokens.ids)
    forward = model.forward(tokens, outputs=tuple(expected))
    for name, atol in (("hidden_states", 5e-5), ("attentions", 2e-6), ("logits", 1e-4)):
        if name in expected:
            np.testing.assert_allclose(getattr(forward, name)[0], np.array(expected[name]), rtol=0, atol=atol)


@pytest.mark.parametrize("controls", [0, 2])
@pytest.mark.parametrize("trimming", [20, 40])
def test_profiles_and_counts_of_bpnet_equal_the_equations(tmp_path, controls, trimming):
    directory = write_bpnet(tmp_path / "one", controls=controls, trimming=trimming)
    model, t = models.load(directory, device="cpu"), Numbers(directory)
    sequence = random_sequence(70, 1) + "NN" + random_sequence(48, 2)
    given = np.random.default_rng(3).poisson(1.0, (controls, 120)).astype(float)
    x = np.maximum(t.convolved(one_hot(sequence).T.astype(float), "iconv"), 0)
    hidden = [x]
    for index in range(3):
        x = x + np.maximum(t.convolved(x, f"rconvs.{index}", dilation=2 ** (index + 1)), 0)
        hidden.append(x)
    profile = t.convolved(np.vstack((x, given)), "fconv")[:, trimming : 120 - trimming]
    seen = slice(max(0, trimming - 37), 120 - trimming + 37)
    mean = np.append(x[:, seen].mean(1), [np.log(1 + given[:, seen].sum())] * (controls > 0))
    states = model.forward(model.tokenize(sequence), outputs=("hidden_states",)).hidden_states
    np.testing.assert_allclose(states[0], [h.T for h in hidden], atol=1e-4)
    predicted = model.predict(sequence, controls=given[None])
    assert predicted.profile.shape == (1, 2, 120 - 2 * trimming)
    assert predicted.start == trimming
    np.testing.assert_allclose(predicted.profile[0], profile, atol=1e-3, rtol=1e-4)
    np.testing.assert_allclose(predicted.log_counts, t.dense(mean, "linear"), atol=1e-4)


def features_by_hand(n: int, width: int, over_positions: bool) -> np.ndarray:
    """A distance and a function at a time, with the standard library's logarithms."""
    count = width // 6
    table = np.zeros((2 * n - 1, 3 * count))
    for row in range(2 * n - 1):
        far = abs(row - (n - 1))
        for i in range(count):
            step = i / (count - 1) if count > 1 else 0
            table[row, i] = math.exp(-math.log(2) * far / 2 ** (3 + (math.log2(n) - 3) * step))
            table[row, count + i] = far < 2 ** (i + 1) - 1
            mean = n / count + (n - n / count) * step
            shape, rate = (mean * 2 * count / n) ** 2, mean * (2 * count / n) ** 2
            if far:
                log = (shape - 1) * math.log(far) - rate * far - math.lgamma(shape) + shape * math.log(rate)
                table[row, 2 * count + i] = math.exp(log)
    density = table[:, 2 * count :] + 1e-8
    table[:, 2 * count :] = density / density.max(axis=0 if over_positions else 1, keepdims=True)
    sign = np.sign(np.arange(1 - n, n))[:, None]
    return np.concatenate([table, table * sign], axis=1)


@pytest.mark.parametrize("gamma_over", ["positions", "features"])
@pytest.mark.parametrize(("n", "width"), [(1, 6), (2, 12), (7, 12), (40, 24), (33, 192)])
def test_features_of_distances_equal_the_equations(n, width, gamma_over):
    features = relative_features(n, width, gamma_over=gamma_over)
    assert features.shape == (2 * n - 1, width)
    by_hand = features_by_hand(n, width, gamma_over == "positions")
    np.testing.assert_allclose(features.numpy(), by_hand, rtol=0, atol=1e-6)


def test_attention_of_enformer_equals_the_equations():
    n, width, heads, key, value = 9, 10, 2, 4, 3
    generator = torch.Generator().manual_seed(3)
    attention = Attention(width, heads=heads, key=key, value=value, features=12).double()
    for parameter in attention.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    x = torch.randn(1, n, width, generator=generator, dtype=torch.float64)
    features = relative_features(n, 12, gamma_over="positions").double()
    t = {name: p.numpy() for name, p in attention.state_dict().items()}
    q, k, v = (x[0].numpy() @ t[f"to_{part}.weight"].T for part in "qkv")
    r = features.numpy() @ t["to_rel_k.weight"].T
    maps, mixed = np.zeros((heads, n, n)), np.zeros((n, heads * value))
    for head in range(heads):
        own, mine = slice(head * key, (head + 1) * key), slice(head * value, (head + 1) * value)
        content, place = (t[f"rel_{kind}_bias"][0, head, 0] for kind in ("content", "pos"))
        for i in range(n):
            query = q[i, own] / math.sqrt(key)
            scores = [(query + content) @ k[j, own] + (query + place) @ r[j - i + n - 1, own] for j in range(n)]
            maps[head, i] = softmax(scores)
            mixed[i, mine] = maps[head, i] @ v[:, mine]
    with torch.inference_mode():
        plain, seen = attention(x, features, True)
        fused, none = attention(x, features, False)
    assert none is None
    np.testing.assert_allclose(seen[0].numpy(), maps, rtol=0, atol=1e-10)
    for mixture in (plain, fused):
        out = mixed @ t["to_out.weight"].T + t["to_out.bias"]
        np.testing.assert_allclose(mixture[0].numpy(), out, rtol=0, atol=1e-10)
