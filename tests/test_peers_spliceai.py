"""Splice networks in the layout of the published files, against zero-padded convolutions, and against bad files.

Random weights here; the published ones are held to their originals' outputs in test_shared_splicing.py.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from peer_files import random_sequence, some_networks
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr

from ntviz import attribution, data, models
from ntviz.attribution import reader
from ntviz.genome import Interval
from ntviz.genome.sequence import one_hot, reverse_complement
from ntviz.models.peers import spliceai
from ntviz.reference import Reference


def arrays(seed: int) -> dict[str, np.ndarray]:
    """Random tensors of one network in the layout of a Keras file, by layer/array."""
    rng, tensors = np.random.default_rng(seed), spliceai.SpliceNetwork().state_dict()
    found = {}
    for name, (layer, part) in spliceai.keras_names().items():
        shape = tuple(tensors[name].shape)
        values = rng.normal(0, 0.5 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
        if part in ("gamma", "moving_variance"):
            values = np.abs(rng.normal(1, 0.1, shape)).astype(np.float32)
        found[f"{layer}/{part}:0"] = values.transpose(2, 1, 0) if values.ndim == 3 else values
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two Keras files, and what is in them."""
    folder = tmp_path_factory.mktemp("keras")
    given = [arrays(seed) for seed in range(2)]
    for number, network in enumerate(given, start=1):
        with h5py.File(folder / f"spliceai{number}.h5", "w") as file:
            for name, values in network.items():
                file[f"model_weights/{name.partition('/')[0]}/{name}"] = values
    return folder, given


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def digests(files):
    """SHA-256 of the files, to stand for those of the published ones."""
    return {path.name: digest(path) for path in sorted(files[0].glob("*.h5"))}


@pytest.fixture(scope="module")
def known(files, digests):
    """Both networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spliceai, "FILES", digests)
        with pytest.warns(models.registry.LicenceNotice, match="CC BY-NC 4.0: academic and non-commercial"):
            return models.load(files[0], device="cpu")


@pytest.fixture(scope="module")
def single(known):
    """The first of them alone."""
    return some_networks(known, 0)


def by_hand(network: dict[str, np.ndarray], bases: np.ndarray) -> np.ndarray:
    """Probabilities [position, 3] of bases [4, position + 10,000]: convolutions padded with zeros, cropped at the end; by the numbers of Keras."""
    t = {name: torch.from_numpy(values) for name, values in network.items()}

    def conv(x, number, dilation=1):
        kernel = t[f"conv1d_{number}/kernel:0"].permute(2, 1, 0)
        padding = (kernel.shape[2] - 1) // 2 * dilation
        return torch.conv1d(x, kernel, t[f"conv1d_{number}/bias:0"], padding=padding, dilation=dilation)

    def normed(x, number):
        parts = "gamma", "beta", "moving_mean", "moving_variance"
        g, b, m, v = (t[f"batch_normalization_{number}/{part}:0"][:, None] for part in parts)
        return torch.relu((x - m) / torch.sqrt(v + 0.001) * g + b)

    x = conv(torch.from_numpy(bases)[None], 1)
    total = conv(x, 2)
    layer, norm = 3, 1
    for dilation, skip in ((1, 11), (4, 20), (10, 29), (25, 38)):
        for _ in range(4):
            x = x + conv(normed(conv(normed(x, norm), layer, dilation), norm + 1), layer + 1, dilation)
            layer, norm = layer + 2, norm + 2
        total = total + conv(x, skip)
        layer += 1
    return torch.softmax(conv(total[..., 5000:-5000], 39)[0], 0).T.numpy()


def test_probabilities_equal_padded_convolutions_cropped(files, known):
    sequence = random_sequence(4_000, 1) + "N" * 40 + random_sequence(6_000, 2)
    expected = np.mean([by_hand(network, one_hot(sequence).T) for network in files[1]], axis=0)
    found = known.predict(sequence)
    assert (found.offset, found.probabilities.shape) == (5_000, (1, 40, 3))
    np.testing.assert_allclose(found.probabilities[0], expected, atol=2e-6)
    assert expected.std(axis=0).min() > 1e-5
    np.testing.assert_array_equal(found.acceptor, found.probabilities[..., 1])
    np.testing.assert_array_equal(found.donor, found.probabilities[..., 2])
    assert known.name == "spliceai-10k"
    assert "Jaganathan" in known.info["licence"]


def test_flanks_strands_and_pieces(single, monkeypatch):
    inner = random_sequence(40, 3)
    whole = single.predict("N" * 5_000 + inner + "N" * 5_000).probabilities
    minus = single.predict(reverse_complement(inner), flanks="N", strand="-").probabilities
    np.testing.assert_allclose(minus[:, ::-1], whole, atol=1e-6)
    two = single.predict([inner.lower(), inner[::-1]], flanks="N")
    assert two.offset == 0
    np.testing.assert_allclose(two.probabilities[0], whole[0], atol=1e-6)
    monkeypatch.setattr(spliceai, "_TILE", 27)
    pieces = single.predict([inner, inner[::-1]], flanks="N").probabilities
    np.testing.assert_allclose(pieces, two.probabilities, atol=1e-6)


@pytest.mark.parametrize(
    ("sequences", "flanks", "message"),
    [
        ("A" * 10_000, "given", r"more than 10,000 bp.*received 10,000 bp.*flanks='N'"),
        (["A" * 30, "A" * 31], "N", "must have one length; received 30 bp, 31 bp. Pass them one by one"),
        ([], "given", "received none"),
        ("ACRT", "N", "'R'"),
        ("ACGT", "n", "received 'n' and '\\+'"),
    ],
)
def test_what_is_asked_wrongly_is_refused(known, sequences, flanks, message):
    with pytest.raises(ValueError, match=message):
        known.predict(sequences, flanks=flanks)


def test_files_that_are_not_the_published_ones(files, tmp_path, monkeypatch):
    folder, _ = files
    with pytest.raises(ValueError, match=r"must be the published network, SHA-256 e1fd5.*pip install"):
        models.load(folder)
    content = (folder / "spliceai1.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["model_weights/dense_1/dense_1/kernel:0"] = np.zeros((3, 3))
    for name in ("cut.h5", "other.h5"):
        with pytest.raises(ValueError, match="truncated or another network"):
            spliceai.read_h5(tmp_path / name)
    one = folder / "spliceai1.h5"
    shutil.copy(one, tmp_path)
    monkeypatch.setattr(spliceai, "FILES", {"spliceai1.h5": digest(one), "spliceai2.h5": "0"})
    with pytest.raises(FileNotFoundError, match="there is no spliceai2.h5"):
        models.load(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'ntviz\[benchmark\]'"):
        spliceai.read_h5(tmp_path / "cut.h5")


def test_the_package_is_found_without_an_import(known, files, digests, monkeypatch):
    message = r"pip install --no-deps spliceai==1\.3\.1 h5py.*CC BY-NC 4\.0"
    with pytest.raises(FileNotFoundError, match=message):
        models.load("spliceai-10k")
    installed = SimpleNamespace(locate_file={"spliceai/models": files[0]}.__getitem__)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: installed)
    monkeypatch.setattr(spliceai, "FILES", digests)
    with pytest.warns(models.registry.LicenceNotice, match="Illumina"):
        again = models.load("spliceai-10k", device="cpu")
    assert again.info["weights_sha256"] == known.info["weights_sha256"]
    assert "spliceai" not in sys.modules


def test_the_bundled_networks_know_the_splice_sites_of_hnf4a():
    model = models.load("ci-spliceai", device="cpu")
    assert model.info["licence"].startswith("CC BY 4.0")
    assert json.loads((data.bundle("ci-spliceai") / "config.json").read_text())["networks"] == 5
    # Exon 2 of the bundle's HNF4A, 43,034,698-43,034,872, counted from 1.
    place = Interval("20", 43_034_690 - 5_000, 43_034_880 + 5_000)
    sequence = Reference(data.bundle("chr20")).fetch(place).sequence
    found = model.predict(sequence).probabilities[0]
    assert (43_034_690 + found[:, 1:].argmax(axis=0)).tolist() == [43_034_697, 43_034_871]
    assert found[:, 1:].max(axis=0).min() > 0.9
    assert np.sort(found[:, 1:], axis=0)[-2].max() < 0.1


def test_the_bundled_networks_say_what_makes_a_donor():
    model, flank = models.load("ci-spliceai", device="cpu"), 5_000
    place = Interval("20", 43_034_871 - flank, 43_034_872 + flank)  # around the last base of the same exon
    sequence = Reference(data.bundle("chr20")).fetch(place).sequence
    assert sequence[flank + 1 : flank + 3] == "GT"
    target = attribution.SpliceSite("donor", flank)
    options = {"baseline": "composition", "steps": 16, "most_steps": 16}
    found = attribution.integrated_gradients(model, sequence, target, **options)
    # The mean of the five, whose log-odds are not the mean of theirs.
    p = float(model.predict(sequence).donor[0, 0])
    assert found.value == pytest.approx(np.log(p / (1 - p)), abs=1e-3)
    contributions = found.per_base()
    assert found.error < 0.03
    assert contributions.sum() == pytest.approx(found.value - found.baseline_value, rel=0.03)
    assert {1, 2} < set(np.argsort(-contributions)[:3] - flank)
    region = (flank - 2, flank + 5)
    losses = -attribution.mutagenesis(model, sequence, target, region=region).sum(axis=1) / 3
    assert set(np.argsort(-losses)[:2] - 2) == {1, 2}
    assert spearmanr(contributions[slice(*region)], losses).statistic > 0.8


def test_a_network_too_few_is_no_ensemble(tmp_path):
    shutil.copytree(data.bundle("ci-spliceai"), tmp_path, dirs_exist_ok=True)
    tensors = load_file(tmp_path / "model.safetensors")
    four = {name: value for name, value in tensors.items() if not name.startswith("networks.4.")}
    save_file(four, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"206 missing \(networks\.4\."):
        models.load(tmp_path)


@pytest.mark.parametrize("position", [30, 5_000, 9_990])
def test_changes_run_only_where_they_are_equal_whole_predictions(single, position, monkeypatch):
    sequence = random_sequence(10_001, 9)
    changes = [
        (position, "A"),
        (position - 20, "TTT"),
        (max(0, position - 700), "CAG"),
        (4_000, "T"),
        (9_995, "ACGTAC"),
    ]
    texts = [sequence, *(sequence[:start] + bases + sequence[start + len(bases) :] for start, bases in changes)]
    target = attribution.SpliceSite("acceptor", position)
    together = attribution.ask(single, texts, target)
    monkeypatch.setattr(reader, "_AT_ONCE", 1)  # each change with the bases near it, and no others
    around = [("N" * 5_000 + text + "N" * 5_000)[position : position + 10_001] for text in texts]
    p = single.predict(around).acceptor[:, 0].astype(float)
    for found in (together, attribution.ask(single, texts, target)):
        np.testing.assert_allclose(found, np.log(p / (1 - p)), atol=1e-4)
    assert len(set(np.round(together, 7))) >= 3


def test_attributions_of_a_site(single):
    sequence = random_sequence(120, 10)
    target = attribution.SpliceSite("donor", 60)
    scores = attribution.mutagenesis(single, sequence, target, region=(58, 63))
    assert scores.shape == (5, 4)
    other = "ACGT"[("ACGT".index(sequence[59]) + 1) % 4]
    both = single.predict([sequence, sequence[:59] + other + sequence[60:]], flanks="N")
    p = both.donor[:, 60].astype(float)
    before, after = np.log(p / (1 - p))
    assert scores[1, "ACGT".index(other)] == pytest.approx(after - before, abs=1e-4)
    found = attribution.integrated_gradients(single, sequence, target, baseline="n", steps=8, most_steps=8)
    assert found.value == pytest.approx(before, abs=1e-4)
    assert found.unit == "log-odds (nats)"
    assert found.error < 0.01
    assert found.per_base().sum() == pytest.approx(found.value - found.baseline_value, rel=0.01)
    nothing = float(single.predict("N" * 120, flanks="N").donor[0, 60])
    assert found.baseline_value == pytest.approx(np.log(nothing / (1 - nothing)), abs=1e-4)
    with pytest.raises(ValueError, match="on the strand of the gene"):
        attribution.integrated_gradients(single, sequence, target, both_strands=True)
    with pytest.raises(ValueError, match=r"gives sites\. Ask for SpliceSite"):
        attribution.ask(single, [sequence], attribution.Output(0))
    with pytest.raises(ValueError, match="0 to 119; received 120"):
        attribution.ask(single, [sequence], attribution.SpliceSite("donor", 120))
    with pytest.raises(ValueError, match="received 'exon'"):
        attribution.SpliceSite("exon", 3)
