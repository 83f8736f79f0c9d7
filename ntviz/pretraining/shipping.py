"""A trained model as a small folder to hand on: half-precision weights, recipe, curve and model card."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from ntviz import environment
from ntviz.pretraining.recipe import Recipe

CHECKSUMS = "checksums.sha256"
_TRAINING = ("recipe", "step", "tokens", "seconds")
_FACTS = ("model", "corpus", "held_out", "machine", "made_with")


def ship(
    trained: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    history: pd.DataFrame,
    held_out: pd.DataFrame,
    baselines: pd.DataFrame,
    facts: Mapping[str, Any],
) -> Path:
    """The folder written: weights in float16, config, vocabulary, training.json, curve.csv and the card README.md.

    A checksums.sha256 beside the folder is brought up to date.

    Parameters
    ----------
    trained
        A model directory that `training.train` wrote, such as its best/.
    target
        Replaced as a whole.
    history
        One row a step; the evaluated steps are kept.
    held_out
        Loss and accuracy by element, as `evaluation.by_element` gives: element, measure, value, low, high, tokens.
    baselines
        As `baselines.baselines` gives.
    facts
        What else the card says: model, corpus, held_out (region), machine, made_with (the command).

    Raises
    ------
    FileNotFoundError
        `trained` is no model directory.
    ValueError
        Its training.json is damaged or was not written by a run, or a fact for the card is missing.
    OSError
        The disk is full; what was at `target` stays.
    """
    trained, target = Path(trained), Path(target)
    training = _training_of(trained)
    _require(facts, _FACTS, "facts", "Add them.")
    curve = history[history["held_out_loss"].notna()]
    with environment.atomic_directory(target) as folder:
        tensors = {
            name: value.to(torch.float16) for name, value in load_file(trained / "model.safetensors").items()
        }
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        for name in ("config.json", "vocab.txt", "tokenizer_config.json"):
            (folder / name).write_bytes((trained / name).read_bytes())
        record = training | {"held_out": _records(held_out), "facts": dict(facts)}
        record["baselines"] = _records(baselines)
        text = json.dumps(record, indent=1, allow_nan=False)
        (folder / "training.json").write_text(text + "\n", encoding="utf-8")
        curve.round(6).to_csv(folder / "curve.csv", index=False, lineterminator="\n")
        # safetensors writes for the owner alone; a shipped file is for everybody.
        (folder / "model.safetensors").chmod(0o644)
        (folder / "README.md").write_text(
            card(training, held_out, baselines, facts, tensors), encoding="utf-8"
        )
    _update_checksums(target)
    return target


def card(
    training: Mapping[str, Any],
    held_out: pd.DataFrame,
    baselines: pd.DataFrame,
    facts: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
) -> str:
    """The model card as Markdown: what it is, how it was made, how good it is beside counting, what not to expect."""
    recipe = Recipe(**training["recipe"])
    # Contig and file names come from users' files, and Markdown passes HTML on.
    said = {name: html.escape(str(facts[name]), quote=False) for name in _FACTS}
    size = sum(t.numel() for t in tensors.values()) / 1e6
    loss = held_out[held_out["measure"] == "loss"].set_index("element")
    accuracy = held_out[held_out["measure"] == "correct"].set_index("element")
    unigram = float(baselines.loc[baselines["model"] == "unigram", "nats"].iloc[0])
    markov = baselines[baselines["model"] == "Markov"].sort_values("nats").iloc[0]
    overall = loss.loc["all"]
    verdict = _verdict(overall, markov)
    seconds = float(training["seconds"])
    took = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
    lines = [
        f"# {said['model']}: a small DNA language model, trained by ntviz",
        "",
        f"{size:.1f} M parameters: {recipe.layers} layers, {recipe.heads} heads, width {recipe.hidden}, gated FFN "
        f"{recipe.ffn}, rotary positions, 6-mer tokens in the order of Nucleotide Transformer v2; up to "
        f"{recipe.max_tokens} tokens ({(recipe.max_tokens - 1) * 6:,} bp). Weights in half precision. Licence: "
        "Apache-2.0, as ntviz.",
        "",
        "## How it was made",
        "",
        f"- Corpus: {said['corpus']}; held out: {said['held_out']} (1-based, closed).",
        f"- {int(training['step']):,} steps of {recipe.sequences * recipe.max_tokens:,} tokens: "
        f"{int(training['tokens']) / 1e6:.1f} M tokens, {took} on {said['machine']}.",
        f"- {recipe.optimiser}, learning rate {recipe.learning_rate:g} ({recipe.schedule}, {recipe.warmup_steps} warm-up "
        f"steps, {recipe.cooldown_steps} to cool down), {recipe.mask_rate:.0%} masked, {recipe.precision}, seed "
        f"{recipe.seed}. All of it in training.json, the curve in curve.csv.",
        f"- Made again, or replaced by a better one, by `{said['made_with']}`.",
        "",
        "## What it has learned, and what not",
        "",
        f"Loss at masked 6-mers of the held-out region: **{overall['value']:.3f} nats** (95 % interval "
        f"{overall['low']:.3f} to {overall['high']:.3f}, bootstrap over sequences); accuracy "
        f"{accuracy.loc['all', 'value']:.1%} (guessing the most frequent 6-mer would give well under 1 %). The unigram "
        f"over 6-mers reaches {unigram:.2f} nats. {verdict}",
        "",
        "| element | loss, nats per 6-mer | 95 % interval | unigram, same tokens | accuracy | tokens |",
        "|---|---|---|---|---|---|",
    ]
    counted = held_out[held_out["measure"] == "unigram"].set_index("element")["value"]
    for name, row in loss.iterrows():
        if row["tokens"]:
            lines.append(
                f"| {name} | {row['value']:.3f} | {row['low']:.3f} to {row['high']:.3f} | {counted[name]:.3f} | "
                f"{accuracy.loc[name, 'value']:.1%} | {int(row['tokens']):,} |"
            )
    lines += [
        "",
        "A token counts in every element it touches. Markov chains read the whole left context and nothing to the "
        "right; the model reads both sides with 15 % of the tokens hidden. It saw the corpus above, less what was held "
        "out, and nothing else: do not use it to rank variants of patients or to call elements.",
        "",
    ]
    return "\n".join(lines)


def _verdict(overall: pd.Series, markov: pd.Series) -> str:
    order, counted = int(markov["order"]), markov["nats"]
    gap = overall["value"] - counted
    if overall["high"] < counted:
        return f"It beats the best counting model (Markov order {order}, {counted:.2f}) by {-gap:.2f} nats."
    limits = "Read its predictions as those of a small model that has learned local composition and frequent repeats."
    if gap < 0:
        return (
            f"It does not clearly beat the best counting model: Markov of order {order} reaches {counted:.2f}, "
            f"{-gap:.2f} nats higher, which lies within the 95 % interval. {limits}"
        )
    return (
        f"It does not beat the best counting model: Markov of order {order} reaches {counted:.2f}, {gap:.2f} nats "
        f"lower. {limits}"
    )


def _training_of(trained: Path) -> dict[str, Any]:
    path = trained / "training.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"A trained model must have a training.json; {trained} has none. Pass the best/ folder of a run."
        )
    try:
        training = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} must be JSON, but reading it failed: {error}. Pass the best/ folder of a run that ended well."
        ) from error
    _require(training, _TRAINING, str(path), "Pass the best/ folder of a run.")
    return training


def _require(given: Any, names: tuple[str, ...], what: str, advice: str) -> None:
    absent = [name for name in names if not isinstance(given, Mapping) or name not in given]
    if absent:
        raise ValueError(f"{what} must say {', '.join(names)}; {', '.join(absent)} missing. {advice}")


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    # JSON has no NaN: an element without tokens gets null.
    return [
        {str(k): None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()}
        for row in table.to_dict(orient="records")
    ]


def _update_checksums(target: Path) -> None:
    path = target.parent / CHECKSUMS
    if not path.is_file():
        return
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    others = [line for line in lines if not line.split(maxsplit=1)[1].startswith(f"{target.name}/")]
    own = [f"{environment.sha256(file)}  {target.name}/{file.name}" for file in target.iterdir()]
    with environment.atomic_write(path, "w") as handle:
        handle.writelines(
            line + "\n" for line in sorted(others + own, key=lambda line: line.split(maxsplit=1)[1])
        )
