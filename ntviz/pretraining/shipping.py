"""A trained model as a small folder to hand on: half-precision weights, recipe, curve and model card."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from ntviz import storage
from ntviz.pretraining.recipe import Recipe
from ntviz.storage import AnyPath

CHECKSUMS = "checksums.sha256"
_FACTS = ("model", "corpus", "held_out", "machine", "made_with")
_CARD = """\
# {model}: a small DNA language model, trained by ntviz

{size:.1f} M parameters: {recipe.layers} layers, {recipe.heads} heads, width {recipe.hidden}, gated FFN \
{recipe.ffn}, rotary positions, 6-mer tokens in the order of Nucleotide Transformer v2; up to \
{recipe.max_tokens} tokens ({bases:,} bp). Weights in half precision. Licence: Apache-2.0, as ntviz.

## How it was made

- Corpus: {corpus}; held out: {held_out} (1-based, closed).
- {steps:,} steps of {step_tokens:,} tokens: {tokens:.1f} M tokens, {took} on {machine}.
- {recipe.optimiser}, learning rate {recipe.learning_rate:g} ({recipe.schedule}, {recipe.warmup_steps} warm-up \
steps, {recipe.cooldown_steps} to cool down), {recipe.mask_rate:.0%} masked, {recipe.precision}, seed \
{recipe.seed}. All of it in training.json, the curve in curve.csv.
- Made again, or replaced by a better one, by `{made_with}`.

## What it has learned, and what not

Loss at masked 6-mers of the held-out region: **{overall[value]:.3f} nats** (95 % interval \
{overall[low]:.3f} to {overall[high]:.3f}, bootstrap over sequences); accuracy {accuracy:.1%} (guessing the most \
frequent 6-mer would give well under 1 %). The unigram over 6-mers reaches {unigram:.2f} nats. {verdict}

| element | loss, nats per 6-mer | 95 % interval | unigram, same tokens | accuracy | tokens |
|---|---|---|---|---|---|
{elements}

A token counts in every element it touches. Markov chains read the whole left context and nothing to the \
right; the model reads both sides with 15 % of the tokens hidden. It saw the corpus above, less what was held \
out, and nothing else: do not use it to rank variants of patients or to call elements.
"""


def ship(
    trained: AnyPath, target: AnyPath, *, history: pd.DataFrame, held_out: pd.DataFrame, baselines: pd.DataFrame,
    facts: Mapping[str, Any],
) -> Path:  # fmt: skip
    """The folder written: weights in float16, config, vocabulary, training.json, curve.csv and the card README.md.

    A checksums.sha256 beside the folder is brought up to date.

    Parameters
    ----------
    trained, target, history
        A model directory of `training.train`, such as its best/; the folder, replaced as a whole; rows, of which the evaluated are kept.
    held_out, baselines
        As `evaluation.by_element` (measures loss, correct and unigram) and `evaluation.baselines` give.
    facts
        What else the card says: model, corpus, held_out (region), machine, made_with (the command).

    Raises
    ------
    FileNotFoundError, ValueError
        `trained` is no model directory, or its training.json was not written by a run; a fact for the card is missing.
    OSError
        The disk is full; what was at `target` stays.
    """
    trained, target = Path(trained), Path(target)
    training = _training_of(trained / "training.json")
    _require(facts, _FACTS, "facts", "Add them.")
    record = training | {"held_out": _records(held_out), "facts": dict(facts), "baselines": _records(baselines)}
    weights = load_file(trained / "model.safetensors")
    tensors = {name: value.to(torch.float16) for name, value in weights.items()}
    with storage.atomic_directory(target) as folder:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        # safetensors writes for the owner alone; a shipped file is for everybody.
        (folder / "model.safetensors").chmod(0o644)
        for name in ("config.json", "vocab.txt", "tokenizer_config.json"):
            (folder / name).write_bytes((trained / name).read_bytes())
        text = json.dumps(record, indent=1, allow_nan=False)
        (folder / "training.json").write_text(text + "\n", encoding="utf-8")
        curve = history[history["held_out_loss"].notna()].round(6)
        curve.to_csv(folder / "curve.csv", index=False, lineterminator="\n")
        (folder / "README.md").write_text(card(training, held_out, baselines, facts, tensors), encoding="utf-8")
    _update_checksums(target)
    return target


def card(
    training: Mapping[str, Any], held_out: pd.DataFrame, baselines: pd.DataFrame, facts: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
) -> str:  # fmt: skip
    """The model card as Markdown: what it is, how it was made, how good it is beside counting, what not to expect."""
    recipe = Recipe(**training["recipe"])
    measures = {name: rows.set_index("element") for name, rows in held_out.groupby("measure", sort=False)}
    loss, accuracy, counted = measures["loss"], measures["correct"]["value"], measures["unigram"]["value"]
    seconds = float(training["seconds"])
    rows = [
        f"| {name} | {row['value']:.3f} | {row['low']:.3f} to {row['high']:.3f} | {counted[name]:.3f} | {accuracy[name]:.1%} | "
        f"{int(row['tokens']):,} |"
        for name, row in loss[loss["tokens"] > 0].iterrows()
    ]
    return _CARD.format(
        # Contig and file names come from users' files, and Markdown passes HTML on.
        **{name: html.escape(str(facts[name]), quote=False) for name in _FACTS},
        size=sum(t.numel() for t in tensors.values()) / 1e6, recipe=recipe, bases=(recipe.max_tokens - 1) * 6,
        steps=int(training["step"]), step_tokens=recipe.sequences * recipe.max_tokens, tokens=int(training["tokens"]) / 1e6,
        took=f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min", overall=loss.loc["all"],
        accuracy=accuracy["all"], unigram=float(baselines.loc[baselines["model"] == "unigram", "nats"].iloc[0]),
        verdict=_verdict(loss.loc["all"], baselines), elements="\n".join(rows),
    )  # fmt: skip


def _verdict(overall: pd.Series, baselines: pd.DataFrame) -> str:
    markov = baselines[baselines["model"] == "Markov"].sort_values("nats").iloc[0]
    order, counted = int(markov["order"]), markov["nats"]
    gap = overall["value"] - counted
    if overall["high"] < counted:
        return f"It beats the best counting model (Markov order {order}, {counted:.2f}) by {-gap:.2f} nats."
    clearly, amount = ("clearly ", f"{-gap:.2f} nats higher, which lies within the 95 % interval") if gap < 0 else ("", f"{gap:.2f} nats lower")  # fmt: skip
    return (f"It does not {clearly}beat the best counting model: Markov of order {order} reaches {counted:.2f}, {amount}. "
            "Read its predictions as those of a small model that has learned local composition and frequent repeats.")  # fmt: skip


def _training_of(path: Path) -> dict[str, Any]:
    advice, what = ("Pass the best/ folder of a run that ended well.", "A trained model must have a training.json")
    if not path.is_file():
        raise FileNotFoundError(f"{what}; {path.parent} has none. {advice}")
    try:
        training = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must be JSON, but reading it failed: {error}. {advice}") from error
    _require(training, ("recipe", "step", "tokens", "seconds"), str(path), advice)
    return training


def _require(given: Any, names: tuple[str, ...], what: str, advice: str) -> None:
    absent = [name for name in names if not isinstance(given, Mapping) or name not in given]
    if absent:
        raise ValueError(f"{what} must say {', '.join(names)}; {', '.join(absent)} missing. {advice}")


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    # JSON has no NaN: an element without tokens gets null.
    return table.astype(object).where(table.notna(), None).to_dict(orient="records")


def _update_checksums(target: Path) -> None:
    path = target.parent / CHECKSUMS
    if not path.is_file():
        return
    lines = filter(str.strip, path.read_text(encoding="utf-8").splitlines())
    sums = {name: mark for mark, name in (line.split(maxsplit=1) for line in lines)}
    sums = {name: mark for name, mark in sums.items() if not name.startswith(f"{target.name}/")}
    sums |= {f"{target.name}/{file.name}": storage.sha256(file) for file in target.iterdir()}
    with storage.atomic_write(path, "w") as handle:
        handle.writelines(f"{sums[name]}  {name}\n" for name in sorted(sums))
