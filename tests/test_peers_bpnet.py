"""BPNet in the layout of bpnet-lite, against its equations in loops, and against bad files. All weights are random."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from peer_files import located, random_sequence, retensor
from safetensors.torch import load_file, save_file

from ntviz import embeddings, models
from ntviz.models.peers import bpnet
from ntviz.sequence import one_hot


def write(directory, *, controls: int = 2, width: int = 6, layers: int = 3, trimming: int | None = 20):
    """A checkpoint as bpnet-lite names its tensors: convolutions of 21, 3 and 75 bp."""
    rng = torch.Generator().manual_seed(controls)

    def normal(*shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(shape, generator=rng)

    tensors = {"iconv.weight": normal(width, 4, 21), "iconv.bias": normal(width)}
    for index in range(layers):
        tensors[f"rconvs.{index}.weight"] = normal(width, width, 3)
        tensors[f"rconvs.{index}.bias"] = normal(width)
    tensors |= {"fconv.weight": normal(2, width + controls, 75), "fconv.bias": normal(2)}
    tensors |= {"linear.weight": normal(1, width + (controls > 0)), "linear.bias": normal(1)}
    directory.mkdir()
    save_file(tensors, directory / "model.safetensors")
    config = {"model_type": "bpnet-lite"} | ({} if trimming is None else {"trimming": trimming})
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@pytest.fixture
def tiny(tmp_path):
    return write(tmp_path / "tiny")


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dilation: int = 1) -> np.ndarray:
    """x [channel, position] by weight [out, channel, tap], zeros beyond the ends; a position and a tap at a time."""
    n, taps = x.shape[1], weight.shape[2]
    found = np.tile(bias[:, None], (1, n))
    for position in range(n):
        for tap in range(taps):
            there = position + (tap - taps // 2) * dilation
            if 0 <= there < n:
                found[:, position] += weight[:, :, tap] @ x[:, there]
    return found


def by_hand(directory, sequence: str, controls: np.ndarray, trimming: int):
    """Hidden states [layer, position, channel], profile [strand, position] and log counts, in float64."""
    t = {name: v.double().numpy() for name, v in load_file(directory / "model.safetensors").items()}
    x = np.maximum(convolved(one_hot(sequence).T.astype(float), t["iconv.weight"], t["iconv.bias"]), 0)
    hidden = [x]
    for index in range(3):
        weights = t[f"rconvs.{index}.weight"], t[f"rconvs.{index}.bias"]
        x = x + np.maximum(convolved(x, *weights, dilation=2 ** (index + 1)), 0)
        hidden.append(x)
    end = len(sequence) - trimming
    profile = convolved(np.vstack((x, controls)), t["fconv.weight"], t["fconv.bias"])[:, trimming:end]
    low = max(0, trimming - 37)
    mean = x[:, low : end + 37].mean(1)
    if len(controls):
        mean = np.append(mean, np.log(1 + controls[:, low : end + 37].sum()))
    return np.stack([h.T for h in hidden]), profile, (t["linear.weight"] @ mean + t["linear.bias"])[0]


@pytest.mark.parametrize("controls", [0, 2])
@pytest.mark.parametrize("trimming", [20, 40])
def test_outputs_equal_the_equations(tmp_path, controls, trimming):
    directory = write(tmp_path / "one", controls=controls, trimming=trimming)
    model = models.load(directory, device="cpu")
    sequence = random_sequence(70, 1) + "NN" + random_sequence(48, 2)
    given = np.random.default_rng(3).poisson(1.0, (controls, 120)).astype(float)
    hidden, profile, counts = by_hand(directory, sequence, given, trimming)
    found = model.forward(model.tokenize(sequence), outputs=("hidden_states",)).hidden_states
    np.testing.assert_allclose(found[0], hidden, atol=1e-4)
    predicted = model.predict(sequence, controls=given[None])
    assert predicted.profile.shape == (1, 2, 120 - 2 * trimming)
    assert predicted.start == trimming
    np.testing.assert_allclose(predicted.profile[0], profile, atol=1e-3, rtol=1e-4)
    np.testing.assert_allclose(predicted.log_counts, [counts], atol=1e-4)


def test_padding_changes_nothing_and_it_can_be_embedded(tiny):
    model = models.load(tiny, device="cpu")
    assert isinstance(model, models.Embedder)
    assert (model.name, model.layers, model.heads, model.hidden_size) == ("tiny", 3, 0, 6)
    texts = [random_sequence(n, n) for n in (90, 30, 1)]
    states = [
        model.forward(model.tokenize(text), outputs=("hidden_states",)).hidden_states[0] for text in texts
    ]
    vectors = embeddings.embed(model, texts).values
    for row, state in enumerate(states):
        np.testing.assert_allclose(vectors[row], state.mean(1), atol=1e-5)


def test_without_trimming_in_the_config_it_is_as_in_bpnet_lite(tmp_path):
    model = models.load(write(tmp_path / "one", trimming=None), device="cpu")
    assert model.module.trimming == 47 + 2 + 4 + 8
    assert model.predict(random_sequence(124)).profile.shape == (1, 2, 2)


def test_what_it_has_not_is_said(tiny):
    model = models.load(tiny, device="cpu")
    tokens = model.tokenize("ACGT")
    with pytest.raises(ValueError, match="tiny has no attention"):
        model.forward(tokens, outputs=("attentions",))
    with pytest.raises(ValueError, match="BPNet has none, it predicts a profile"):
        model.forward(tokens)
    with pytest.raises(ValueError, match="needs a language model; tiny reads one-hot bases"):
        _ = model.mask_id
    with pytest.raises(ValueError, match=r"more than 40 bp, since 20 at each end.*received 40 bp"):
        model.predict(random_sequence(40))
    with pytest.raises(ValueError, match="one length; received 50 to 60 bp"):
        model.predict([random_sequence(50), random_sequence(60)])
    with pytest.raises(ValueError, match=r"of shape \(1, 2, 50\) for tiny; got \(1, 1, 50\)"):
        model.predict(random_sequence(50), controls=np.zeros((1, 1, 50)))


def test_a_twin_has_the_shape_and_other_numbers(tiny):
    model = models.load(tiny, device="cpu")
    before = torch.random.get_rng_state()
    one, same = model.random_twin(1), model.random_twin(1)
    assert torch.equal(before, torch.random.get_rng_state())
    sequence = random_sequence(60)
    np.testing.assert_array_equal(one.predict(sequence).profile, same.predict(sequence).profile)
    assert not np.allclose(one.predict(sequence).profile, model.predict(sequence).profile)


def test_bad_files_are_refused(tmp_path):
    cases = {
        r"iconv.weight with 3 dimensions.*it is missing": lambda tensors: tensors.pop("iconv.weight"),
        "1 missing .*rconvs.1.bias": lambda tensors: tensors.pop("rconvs.1.bias"),
        "1 unknown .*extra": lambda tensors: tensors.update({"extra": torch.zeros(2)}),
        r"linear.weight: expected \(1, 7\), got \(1, 8\)": lambda tensors: tensors.update(
            {"linear.weight": torch.zeros(1, 8)}
        ),
        "odd lengths": lambda tensors: tensors.update({"iconv.weight": torch.zeros(6, 4, 20)}),
    }
    for number, (message, change) in enumerate(cases.items()):
        directory = retensor(write(tmp_path / str(number)), change)
        with pytest.raises(ValueError, match=message):
            models.load(directory, device="cpu")
    directory = write(tmp_path / "trimmed", trimming=-1)
    with pytest.raises(ValueError, match=r"trimming in .* must be a number of bases.*got -1"):
        models.load(directory, device="cpu")
    with pytest.raises(ValueError, match="max_tokens must be at least one base; got 0"):
        models.load(write(tmp_path / "short"), device="cpu", max_tokens=0)


def test_a_pickled_network_is_refused(tiny):
    (tiny / "model.safetensors").unlink()
    torch.save(torch.nn.Linear(2, 2), tiny / "pytorch_model.bin")
    with pytest.raises(ValueError, match="asks to run code"):
        models.load(tiny, device="cpu")


def test_another_family_is_refused(tiny):
    (tiny / "config.json").write_text('{"model_type": "bpnet"}')
    with pytest.raises(ValueError, match="must give model_type 'bpnet-lite'; got 'bpnet'"):
        bpnet.load(located(tiny))
