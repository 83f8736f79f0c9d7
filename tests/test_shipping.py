"""A shipped model: what its folder holds, what its card claims, and what is left when shipping fails."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ntviz import data, models, tokens
from ntviz.genome import Interval
from ntviz.pretraining import corpus, evaluation, shipping, training
from ntviz.pretraining.recipe import Recipe

RECIPE = Recipe(
    layers=1, heads=2, hidden=16, ffn=24, max_tokens=31, step_tokens=31 * 8, micro_tokens=31 * 8, optimiser="muon",
    precision="float32",
)  # fmt: skip
ROW = {"step": 1200, "tokens": 2_500_000, "loss": 7.1, "learning_rate": 1e-3, "seconds": 5400.0}
FACTS = {
    "model": "toy", "corpus": "one contig", "held_out": "chr1:1,001-2,000", "machine": "two cores",
    "made_with": "ntviz run 10_pretraining",
}  # fmt: skip
BASELINES = pd.DataFrame(
    [("unigram", 6, 8.05, 1000), ("Markov", 5, 7.90, 1000), ("Markov", 11, 7.33, 1000)],
    columns=["model", "order", "nats", "trained_on"],
)
FILES = {
    "README.md", "config.json", "curve.csv", "model.safetensors", "tokenizer_config.json", "training.json", "vocab.txt"
}  # fmt: skip


def held_out(loss: float, high: float) -> pd.DataFrame:
    rows = []
    for measure, value in (("loss", loss), ("correct", 0.012), ("unigram", 8.06)):
        top = high if measure == "loss" else value
        rows.append(("all", measure, value, value - 0.05, top, 7659))
        rows.append(("CDS", measure, value + 0.1, value, value + 0.2, 141))
        rows.append(("stop_codon", measure, np.nan, np.nan, np.nan, 0))
    return pd.DataFrame(rows, columns=["element", "measure", "value", "low", "high", "tokens"])


HISTORY = pd.DataFrame(
    [
        {**ROW, "step": 1, "held_out_loss": np.nan, "held_out_accuracy": np.nan},
        {**ROW, "step": 2, "held_out_loss": 7.7512345678, "held_out_accuracy": 0.012},
    ]
)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    training.save(training.encoder.build(RECIPE.config()), RECIPE, tmp_path / "run" / "best", extra=ROW)
    return tmp_path / "run" / "best"


def ship(trained: Path, target: Path, *, loss: float = 7.75, high: float = 7.80, facts=FACTS) -> Path:
    return shipping.ship(trained, target, history=HISTORY, held_out=held_out(loss, high), baselines=BASELINES, facts=facts)  # fmt: skip


def test_the_folder_holds_weights_recipe_curve_and_card(trained, tmp_path):
    folder = ship(trained, tmp_path / "data" / "toy")
    assert {file.name for file in folder.iterdir()} == FILES
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["toy"]  # no list of checksums is made
    assert folder.joinpath("model.safetensors").stat().st_mode & 0o444 == 0o444
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert record["recipe"] == RECIPE.as_dict() and (record["step"], record["facts"]) == (1200, FACTS)
    assert record["baselines"][2] == {"model": "Markov", "order": 11, "nats": 7.33, "trained_on": 1000}
    # An element without tokens has no mean; strict JSON has no NaN.
    assert {row["element"]: row["value"] for row in record["held_out"][:3]} == {
        "all": 7.75, "CDS": 7.85, "stop_codon": None,
    }  # fmt: skip
    curve = pd.read_csv(folder / "curve.csv")
    assert curve["step"].tolist() == [2] and curve["held_out_loss"].tolist() == [7.751235]


def test_half_precision_weights_give_nearly_the_same_loss(trained, tmp_path):
    text = "".join(np.random.default_rng(1).choice(list("ACGT"), 9_000))
    (tmp_path / "toy.fa").write_text(f">chr1\n{text}\n")
    read = corpus.read([tmp_path / "toy.fa"], held_out=[Interval("chr1", 0, 3_600)], chunk_bp=206, tokens_bp=180)
    shipped = models.load(ship(trained, tmp_path / "toy"), device="cpu")
    assert shipped.info["dtype"] == "float32"
    tokenizer = tokens.Tokenizer(tokens.VOCABULARIES["nt-v2"])
    losses = [
        evaluation.evaluate(model.module, read, corpus.held_out_table(read), tokenizer).loss
        for model in (models.load(trained, device="cpu"), shipped)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3) and losses[0] != losses[1]
    size = [(folder / "model.safetensors").stat().st_size for folder in (trained, tmp_path / "toy")]
    assert size[1] < 0.55 * size[0]


BETTER = "It beats the best counting model (Markov order 11, 7.33) by 0.23 nats."
WITHIN = "It does not clearly beat the best counting model: Markov of order 11 reaches 7.33"
WORSE = "It does not beat the best counting model: Markov of order 11 reaches 7.33, 0.42 nats lower."


@pytest.mark.parametrize(("loss", "high", "verdict"), [(7.75, 7.80, WORSE), (7.10, 7.15, BETTER), (7.30, 7.36, WITHIN)])
def test_the_card_says_whether_counting_is_better(trained, tmp_path, loss, high, verdict):
    text = (ship(trained, tmp_path / "toy", loss=loss, high=high) / "README.md").read_text(encoding="utf-8")
    assert [words in text for words in ("It beats", "does not beat", "clearly beat")] == [
        words in verdict for words in ("It beats", "does not beat", "clearly beat")
    ]
    for words in (
        verdict, "# toy: a small DNA language model", "1 layers, 2 heads, width 16, gated FFN 24", "up to 31 tokens (180 bp)",
        "- Corpus: one contig; held out: chr1:1,001-2,000 (1-based, closed).", "`ntviz run 10_pretraining`",
        "- 1,200 steps of 248 tokens: 2.5 M tokens, 1.5 h on two cores.", f"**{loss:.3f} nats** (95 % interval {loss - 0.05:.3f} to {high:.3f}",
        "The unigram over 6-mers reaches 8.05 nats.", "| CDS | ", "| 8.160 | 11.2% | 141 |", "do not use it to rank variants of patients",
    ):  # fmt: skip
        assert words in text
    # Elements that no token touches have no row of dashes to be misread.
    assert "stop_codon" not in text and "-0.0" not in text


def test_checksums_follow_and_a_full_disk_leaves_the_model_that_was_there(trained, tmp_path, monkeypatch):
    listing = tmp_path / "data" / "checksums.sha256"
    listing.parent.mkdir()
    listing.write_text("11  genes/a.gtf\n22  toy/gone.bin\n33  toy-two/b.bin\n\n")
    folder = ship(trained, tmp_path / "data" / "toy")
    lines = dict(reversed(line.split("  ")) for line in listing.read_text().splitlines())
    assert list(lines) == sorted(lines)
    assert (lines.pop("genes/a.gtf"), lines.pop("toy-two/b.bin")) == ("11", "33")
    assert lines == {f"toy/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    before = {file.name: file.read_bytes() for file in [*folder.iterdir(), listing]}

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shipping, "save_file", full)
    with pytest.raises(OSError, match=r"toy must fit on the disk.*Nothing half-written is left"):
        ship(trained, folder, loss=7.0, high=7.1)
    assert {file.name: file.read_bytes() for file in [*folder.iterdir(), listing]} == before
    assert sorted(entry.name for entry in listing.parent.iterdir()) == ["checksums.sha256", "toy"]


def test_a_folder_that_no_run_wrote_is_refused(trained, tmp_path):
    with pytest.raises(ValueError, match="facts must say model, corpus.*; machine missing"):
        ship(trained, tmp_path / "toy", facts={k: v for k, v in FACTS.items() if k != "machine"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"must have a training\.json; .*empty has none\. Pass the best/"):
        ship(tmp_path / "empty", tmp_path / "toy")
    (trained / "training.json").write_text('{"recipe": {"layers"')
    with pytest.raises(ValueError, match=r"training\.json must be JSON.*Pass the best/ folder"):
        ship(trained, tmp_path / "toy")
    (trained / "training.json").write_text(json.dumps({"recipe": RECIPE.as_dict(), "step": 3}))
    with pytest.raises(ValueError, match="must say recipe, step, tokens, seconds; tokens, seconds missing"):
        ship(trained, tmp_path / "toy")
    assert not (tmp_path / "toy").exists()


def test_names_in_the_card_are_text(trained, tmp_path):
    planted = "<script>window.planted=1</script>"
    facts = FACTS | {"corpus": planted, "held_out": f"{planted}:1-2", "machine": planted}
    text = (ship(trained, tmp_path / "toy", facts=facts) / "README.md").read_text(encoding="utf-8")
    assert "<script" not in text and text.count("&lt;script&gt;") == 3


def test_the_bundled_card_says_what_was_measured_and_beats_the_unigram():
    folder = data.bundle("ntviz-mini")
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "model.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    loss, counted = pd.DataFrame(record["held_out"]), pd.DataFrame(record["baselines"])
    assert (folder / "README.md").read_text(encoding="utf-8") == shipping.card(record, loss, counted, record["facts"], tensors)  # fmt: skip
    spec = models.SPECS["ntviz-mini"]
    recipe = Recipe(**record["recipe"])
    assert (spec.layers, spec.heads, spec.hidden, spec.ffn, spec.max_tokens) == (
        recipe.layers, recipe.heads, recipe.hidden, recipe.ffn, recipe.max_tokens,
    )  # fmt: skip
    record = json.loads((data.bundle("ntviz-mini") / "training.json").read_text(encoding="utf-8"))
    rows = {(row["element"], row["measure"]): row for row in record["held_out"]}
    unigram = next(row["nats"] for row in record["baselines"] if row["model"] == "unigram")
    assert rows["all", "loss"]["high"] < min(unigram, rows["all", "unigram"]["value"])
    best = min(row["nats"] for row in record["baselines"] if row["model"] == "Markov")
    assert 6.5 < best < unigram
