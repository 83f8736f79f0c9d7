"""SegmentNT: parity with the original implementation, coordinates, windows and their seams, the annotation beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from variant_toy import toy_reference

from ntviz import annotation, attention, models
from ntviz.genome import Interval, Variant
from ntviz.models.segment_nt import SegmentNT

FIXTURE = Path(__file__).parent / "fixtures" / "segment_nt_tiny"


def bases(n: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n))


@pytest.fixture(scope="module")
def model() -> SegmentNT:
    return models.load(FIXTURE, device="cpu")


def test_states_and_outputs_equal_the_original():
    result = models.verify(FIXTURE)
    assert result.ok, result.differences
    assert set(result.differences) == {
        "hidden_states", "logits", "probabilities", "logits_rescaling_override",
        "unet_down_0", "unet_down_1", "unet_up_0", "unet_up_1", "unet_out",
    }  # fmt: skip
    assert not result.others


def test_published_as_bin_with_what_older_files_hold(tmp_path, model):
    directory = Path(shutil.copytree(FIXTURE, tmp_path / "copy"))
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    tensors["esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq"] = torch.ones(4)
    torch.save(tensors, directory / "pytorch_model.bin")
    ids = model.tokenize(bases(96)).ids
    np.testing.assert_array_equal(models.load(directory, device="cpu").logits(ids), model.logits(ids))
    # Without a factor it is another model; longer inputs have a factor of their own.
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "rescaling_factor": None}))
    plain = models.load(directory, device="cpu")
    assert np.abs(plain.logits(ids) - model.logits(ids)).max() > 0.01
    np.testing.assert_allclose(plain.logits(ids, factor=5000 / 2048), model.logits(ids), atol=1e-5)
    table = model.module.esm.rotary_embeddings.inv_freq.clone()
    with model._scaled(8_333, None):
        rescaled = model.module.esm.rotary_embeddings.inv_freq.clone()
    d = 8
    np.testing.assert_allclose(
        rescaled.numpy(), (1e4 * (8_333 / 2_048) ** (d / (d - 2))) ** (-np.arange(0, d, 2) / d), rtol=1e-5
    )
    assert torch.equal(model.module.esm.rotary_embeddings.inv_freq, table)


def test_a_window_that_fits_is_read_once(model):
    text = bases(96)
    found = model.segment(text)
    assert isinstance(found, models.Segmentation)
    scores = model.logits(model.tokenize(text).ids)[0]
    by_hand = np.exp(scores[..., 1]) / np.exp(scores).sum(-1)
    np.testing.assert_allclose(found.probabilities, by_hand, atol=1e-6)
    assert found.interval is None
    assert len(found.seams) == found.unread == 0
    np.testing.assert_array_equal(found.of("exon"), found.probabilities[:, 2])


def test_any_length_and_n_are_read_in_windows_and_seams_are_measured(model):
    text = bases(61) + "N" * 5 + bases(250, 1) + "N" + bases(20, 2)
    found = model.segment(text, tile=96, overlap=24)
    unread = np.isnan(found.probabilities[:, 0])
    assert unread.tolist() == [at in range(61, 66) or at >= 316 for at in range(len(text))]  # 20 bp are too few
    assert found.unread == 5 + 21
    # The run of 61 bp takes two windows of 48, that of 250 four of 96; all but the last begin whole tokens behind its start.
    starts, meets = [[0, 13], [66, 120, 174, 220]], iter((30, 138, 192, 246))
    for run, size in zip(starts, (48, 96), strict=True):
        windows = [model.segment(text[start : start + size]).probabilities for start in run]
        for (left, first), (right, second) in zip(
            zip(run, windows, strict=True), list(zip(run, windows, strict=True))[1:], strict=False
        ):
            meet = next(meets)
            assert meet in found.seams[:, 0].astype(int)
            np.testing.assert_allclose(found.probabilities[meet - 1], first[meet - 1 - left], atol=1e-5)
            np.testing.assert_allclose(found.probabilities[meet], second[meet - right], atol=1e-5)
            pair = np.abs(first[meet - left - 1 : meet - left + 1] - second[meet - right - 1 : meet - right + 1]).max()
            assert found.seams[found.seams[:, 0] == meet, 1] == pytest.approx(pair, abs=1e-5)
    assert "seams differ by up to" in repr(found)


def test_an_interval_is_read_with_real_flanks(model, tmp_path):
    reference = toy_reference(tmp_path, contigs={"20": 700})
    place = Interval("20", 100, 200)
    found = model.segment(place, reference=reference, tile=96, overlap=24)
    assert found.interval == place
    assert len(found.probabilities) == 100
    assert not found.unread
    # Bases of the flanks decide nothing but by being there: the first window begins 12 bp before the interval.
    first = model.segment(reference.fetch(Interval("20", 88, 184)).sequence).probabilities
    np.testing.assert_allclose(found.probabilities[:20], first[12:32], atol=1e-5)


def test_correlation_with_an_annotation_beside_turned_copies(tmp_path):
    rows = [("20", 30, 50, "+", "exon"), ("20", 80, 90, "+", "exon"), ("20", 0, 2, "+", "splice_donor")]
    table = pd.DataFrame(rows, columns=["chrom", "start", "end", "strand", "element"])
    table = table.assign(gene="g", gene_id="g", transcript="t", name="", origin="x")
    known = annotation.Annotation(table, derive=False)
    probabilities = np.zeros((100, 3), np.float32)
    probabilities[30:50, 0] = probabilities[80:85, 0] = 0.9
    probabilities[:, 1] = np.linspace(0, 1, 100)
    for strand in "+-":
        own = probabilities if strand == "+" else probabilities[::-1]
        place = Interval("chr20", 0, 100, strand)
        found = models.Segmentation(own, ("exon", "splice_donor", "lncRNA"), place, "made").against(known)
        assert found["element"].tolist() == ["exon", "splice_donor"]  # the annotation knows no lncRNA
        exon = found.iloc[0]
        truth, called = np.zeros(100, bool), np.zeros(100, bool)
        truth[30:50] = truth[80:90] = called[30:50] = called[80:85] = True
        assert exon["mcc"] == pytest.approx(np.corrcoef(truth, called)[0, 1])
        assert exon["p"] < 0.05 < found.iloc[1]["p"]
        assert exon["chance"] < exon["mcc"]
        assert exon[["bases", "predicted"]].tolist() == [30, 25]


def test_the_effect_of_a_variant_is_that_of_both_alleles(model, tmp_path):
    reference = toy_reference(tmp_path, contigs={"20": 900})
    contig = reference.fetch(reference.whole("20")).sequence
    at = 450
    for variant in (
        Variant("20", at + 1, contig[at], "ACGT"["CGTA".index(contig[at])]),
        Variant("20", at + 1, contig[at : at + 4], contig[at]),
        Variant("20", at + 1, contig[at], contig[at] + "GG"),
    ):
        found = models.effect(model, variant, reference, around=30, elements=["splice_donor"], tile=120)
        changed = contig[:at] + variant.alt + contig[at + len(variant.ref) :]
        start, end = at - 60, at + len(variant.ref) + 60
        moved = len(variant.alt) - len(variant.ref)
        ours = model.segment(contig[start:end], tile=120).of("splice_donor")
        theirs = model.segment(changed[start : end + moved], tile=120).of("splice_donor")
        best = {}
        for base in range(at - 30, at + len(variant.ref) + 30):
            kept = min(len(variant.ref), len(variant.alt))
            if at + kept <= base < at + len(variant.ref):
                continue  # a base that only the reference has
            other = base if base < at + kept else base + moved
            best[base + 1] = theirs[other - start] - ours[base - start]
        row = found.iloc[0]
        assert row["gain"] == pytest.approx(max(best.values()), abs=1e-5)
        assert row["loss"] == pytest.approx(min(best.values()), abs=1e-5)
        assert best[row["gain_at"]] == pytest.approx(row["gain"], abs=1e-5)


def test_it_is_a_nucleotide_transformer_all_the_same(model):
    tokens = model.tokenize(bases(96))
    assert attention.observe(model, tokens, e=attention.Entropy()).e.mean.shape == (3, 4)
    assert model.forward(tokens, outputs=("hidden_states",)).hidden_states.shape == (1, 4, 17, 32)
    with pytest.raises(ValueError, match="need a language-model head"):
        model.forward(tokens)
    twin = model.random_twin()
    assert not np.allclose(twin.segment(bases(96)).probabilities, model.segment(bases(96)).probabilities)


def test_what_moves_coordinates_is_refused_with_the_remedy(model, tmp_path):
    remedy = r"multiple of 4 whole 6-mers \(24 bp\), without N, single letters and <pad>.*ask `segment`"
    for text in (bases(90), bases(95) + "A", bases(95) + "N", bases(97)):
        ids = model.tokenize(text).ids
        if len(text) == 96 and "N" not in text:
            model.logits(ids)
            continue
        with pytest.raises(ValueError, match=remedy):
            model.logits(ids)
    with pytest.raises(ValueError, match=remedy):
        model.logits(np.append(model.tokenize(bases(90)).ids, 1))
    with pytest.raises(ValueError, match="tile must be a multiple of 24 bp .* Take 72 or 96"):
        model.segment(bases(96), tile=90)
    with pytest.raises(ValueError, match="overlap must be 0 to 95 bp"):
        model.segment(bases(200), tile=96, overlap=96)
    with pytest.raises(ValueError, match="reads runs of at least 24 bp without N; the 20 bp have none"):
        model.segment(bases(20))
    with pytest.raises(ValueError, match="An element must be one of"):
        model.segment(bases(96)).of("tRNA")
    directory = Path(shutil.copytree(FIXTURE, tmp_path / "copy"))
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "features": config["features"][:-1]}))
    with pytest.raises(ValueError, match="do not have the shape .*fc.weight"):
        models.load(directory)


class Sites:
    """Splice networks whose probability of a donor is 1 behind each GT, and of an acceptor 1 behind each AG, on either strand."""

    name, context = "sites", 5

    def predict(self, bases: str, *, strand: str = "+"):
        from ntviz.genome.sequence import reverse_complement

        read = reverse_complement(bases) if strand == "-" else bases
        found = np.zeros((1, len(read), 3), np.float32)
        for at in range(2, len(read) - 2):
            found[0, at, 2] = read[at + 1 : at + 3] == "GT"  # the last base of an exon
            found[0, at, 1] = read[at - 2 : at] == "AG"  # the first one
        found = found[:, ::-1] if strand == "-" else found
        return type("P", (), {"probabilities": found[:, 5:-5]})


def test_splice_networks_as_elements_mark_both_bases_of_gt_and_ag(tmp_path):
    reference = toy_reference(tmp_path, contigs={"20": 300})
    place = Interval("20", 50, 250)
    found = models.splice_sites(Sites(), place, reference)
    text = reference.fetch(place.expand(1)).sequence
    for element, words in (("splice_donor", ("GT", "AC")), ("splice_acceptor", ("AG", "CT"))):
        marked = {at + i for word in words for at in range(-1, 200) if text[at + 1 : at + 3] == word for i in (0, 1)}
        assert np.flatnonzero(found.of(element)).tolist() == sorted(marked & set(range(200)))


def test_the_untrained_layout_is_read_like_a_checkpoint():
    one, same, other = (models.untrained(seed=seed, hidden=16, layers=1) for seed in (1, 1, 2))
    found = [model.segment(bases(96)).probabilities for model in (one, same, other)]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])
    assert found[0].shape == (96, 14)
