"""BPNet in the layout of bpnet-lite, against its equations in loops, and against bad files. All weights are random."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peer_files import random_sequence, retensor, write_bpnet
from safetensors.torch import load_file

from ntviz import models
from ntviz.genome.sequence import one_hot


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
    directory = write_bpnet(tmp_path / "one", controls=controls, trimming=trimming)
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


def test_without_trimming_in_the_config_it_is_as_in_bpnet_lite(tmp_path):
    model = models.load(write_bpnet(tmp_path / "one", trimming=None), device="cpu")
    assert model.module.trimming == 47 + 2 + 4 + 8
    assert model.predict(random_sequence(124)).profile.shape == (1, 2, 2)


def test_what_it_cannot_predict_is_said(tmp_path):
    model = models.load(write_bpnet(tmp_path / "tiny"), device="cpu")
    with pytest.raises(ValueError, match=r"more than 40 bp, since 20 at each end.*received 40 bp"):
        model.predict(random_sequence(40))
    with pytest.raises(ValueError, match="one length; received 50 to 60 bp"):
        model.predict([random_sequence(50), random_sequence(60)])
    with pytest.raises(ValueError, match=r"of shape \(1, 2, 50\) for tiny; got \(1, 1, 50\)"):
        model.predict(random_sequence(50), controls=np.zeros((1, 1, 50)))


def test_bad_files_are_refused(tmp_path):
    cases = {
        r"iconv.weight with 3 dimensions.*it is missing": lambda tensors: tensors.pop("iconv.weight"),
        r"linear.weight: expected \(1, 7\), got \(1, 8\)": lambda tensors: tensors.update(
            {"linear.weight": torch.zeros(1, 8)}
        ),
        "odd lengths": lambda tensors: tensors.update({"iconv.weight": torch.zeros(6, 4, 20)}),
    }
    for number, (message, change) in enumerate(cases.items()):
        directory = retensor(write_bpnet(tmp_path / str(number)), change)
        with pytest.raises(ValueError, match=message):
            models.load(directory, device="cpu")
    directory = write_bpnet(tmp_path / "trimmed", trimming=-1)
    with pytest.raises(ValueError, match=r"trimming in .* must be a number of bases.*got -1"):
        models.load(directory, device="cpu")
    (directory / "model.safetensors").unlink()
    torch.save(torch.nn.Linear(2, 2), directory / "pytorch_model.bin")
    with pytest.raises(ValueError, match="asks to run code"):
        models.load(directory, device="cpu")
