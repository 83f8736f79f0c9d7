"""The checkpoints that a training run goes on from, whole or not at all, and whether it may go on from them.

The last is in checkpoint/, the one before it in checkpoint.before/, with checksums: the run goes on from one that is not
damaged. What decided the run is kept with it. Fingerprints follow from content: where a FASTA lies, how it is wrapped or
compressed, and what files and contigs are called decides nothing.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import EsmForMaskedLM

from ntviz import storage
from ntviz.genome import Interval, canonical_contig
from ntviz.pretraining.bases import fingerprint
from ntviz.pretraining.corpus import Corpus
from ntviz.pretraining.haplotypes import Source
from ntviz.pretraining.recipe import Recipe
from ntviz.tokens import VOCABULARIES

LAST, BEFORE, _NEXT, _SUMS = "checkpoint", "checkpoint.before", "checkpoint.next", "checksums.sha256"
_DAMAGED = (OSError, ValueError, KeyError, RuntimeError, EOFError, SafetensorError, UnpicklingError)
_FREE = ("micro_tokens", "precision", "cooldown_steps", "recompute", "compiled", "sharded")
"""What may change unasked: memory, the device's arithmetic, and what is counted back from the last step."""
_SHAPE = ("layers", "heads", "hidden", "ffn", "vocabulary", "max_tokens", "optimiser")
_HELD_OUT, _CHUNKS = "held out", "chunks (chunk_bp, overlap_bp, tokens_bp, max_n)"
Optimisers = list[torch.optim.Optimizer]
State = tuple[int, float, float, dict[str, Any]]


class Changed(ValueError):
    """A run would go on with something else than what its checkpoint was made with."""


def write(directory: Path, module: EsmForMaskedLM, optimisers: Optimisers, state: dict[str, Any], *, main: bool = True) -> None:  # fmt: skip
    """Makes the state of now the directory's checkpoint, whole or not at all; the one before is kept.

    Where parameters are sharded every process must call; the main one writes.
    """
    weights = gathered(dict(module.state_dict()), keep=main)
    states = [gathered(optimiser.state_dict(), keep=main) for optimiser in optimisers]
    if not main:
        return
    with storage.atomic_directory(directory / _NEXT) as folder:
        tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
        save_file(tensors, folder / "weights.safetensors")
        for index, optimiser in enumerate(states):
            torch.save(optimiser, folder / f"optimiser{index}.pt")
        (folder / "state.json").write_text(json.dumps(state, allow_nan=False) + "\n", encoding="utf-8")
        sums = [f"{storage.sha256(file)}  {file.name}\n" for file in sorted(folder.iterdir())]
        (folder / _SUMS).write_text("".join(sums), encoding="utf-8")
    # Killed between any two of these, `resume` finds a whole one under one of the three names.
    if (directory / LAST).exists():
        shutil.rmtree(directory / BEFORE, ignore_errors=True)
        os.replace(directory / LAST, directory / BEFORE)
    os.replace(directory / _NEXT, directory / LAST)


def resume(
    directory: Path, now: dict[str, Any], module: EsmForMaskedLM, optimisers: Optimisers, *, accept: bool = False
) -> State:
    """Steps done, seconds used, best held-out loss and what decides the run, of the last good checkpoint, which is loaded.

    Where one is damaged it is the one before, with a warning; where none is whole a ValueError. `now`, `accept`: see `agreed`.
    """
    folders = [directory / name for name in (_NEXT, LAST, BEFORE) if (directory / name).is_dir()]
    problem, why = None, ""
    for folder in folders:
        try:
            state = _load(folder, now, module, optimisers, accept)
        except Changed:
            raise
        except _DAMAGED as error:
            problem, why = problem or error, why or f"{type(error).__name__}: {error}"
            continue
        if why:
            damaged = f"{folders[0]} is damaged ({why})"
            warnings.warn(f"{damaged}; the run goes on from {folder.name}, step {state[0]:,}.", stacklevel=2)
        return state
    if not why:
        return 0, 0.0, math.inf, now
    raise ValueError(f"{folders[0]} must be a whole checkpoint to go on from; reading it failed: {why}. It was damaged after it was written: "
                     "delete it to begin anew, or train in another directory.") from problem  # fmt: skip


def _load(folder: Path, now: dict[str, Any], module: EsmForMaskedLM, optimisers: Optimisers, accept: bool) -> State:
    sums = folder / _SUMS
    # Checkpoints from before there were checksums have none.
    for line in sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else ():
        expected, name = line.split("  ")
        if storage.sha256(folder / name) != expected:
            raise ValueError(f"{name} is not what was written: its checksum differs")
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    kept, comparable = agreed(state, now, accept=accept, place=str(folder.parent))
    # Both are read before either is loaded: half of a damaged one must not stay in the model.
    weights = load_file(folder / "weights.safetensors")
    # A GPU's checkpoint goes on elsewhere, too: each optimiser moves its state to where its parameters are.
    files = [folder / f"optimiser{index}.pt" for index in range(len(optimisers))]
    states = [torch.load(file, weights_only=True, map_location="cpu") for file in files]
    own = module.state_dict()
    module.load_state_dict({name: _shared_out(value, own[name]) for name, value in weights.items()})
    for optimiser, whole in zip(optimisers, states, strict=True):
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        moments = {
            index: {name: _shared_out(value, parameters[index]) for name, value in values.items()}
            for index, values in whole["state"].items()
        }
        optimiser.load_state_dict({**whole, "state": moments})
    best = state["best"] if comparable and state["best"] is not None else math.inf
    return state["step"], state["seconds"], best, kept


def gathered(state: Any, *, keep: bool = True) -> Any:
    """Plain data with every sharded tensor whole and on the CPU; all processes must ask, those that keep get it."""
    if isinstance(state, DTensor):
        whole = state.full_tensor()
        return whole.cpu() if keep else None
    if isinstance(state, Mapping):
        return {key: gathered(value, keep=keep) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(gathered(value, keep=keep) for value in state)
    return state


def _shared_out(whole: Any, like: torch.Tensor) -> Any:
    """A whole tensor in the shards of another one; itself where that is whole or of another shape."""
    if not isinstance(like, DTensor) or getattr(whole, "shape", None) != like.shape:
        return whole
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements)


def decided(source: Source, recipe: Recipe, judged: pd.DataFrame) -> dict[str, Any]:
    """What decides a run, as plain data: recipe, corpus (facts), learned and held_out (stretches), changes (none so far).

    Of the corpus each fact is a list of [fingerprint, words]. `judged` are the held-out rows on which the run is judged.
    """
    corpus, vocabulary = source.judged_on, VOCABULARIES[recipe.vocabulary]
    held_out, marks = _stretches(corpus, corpus.held_out), corpus.report["fingerprint"]
    sequences = "".join(str([marks[row.contig], row.start, row.end]) for row in judged.itertuples())
    places = _shown([Interval(chrom, start, end).label() for _, chrom, start, end in held_out]) or "no region"
    cut = pd.concat([corpus.chunks, corpus.held_out])[["contig", "start", "end"]].to_numpy("int64").tobytes()
    facts = {
        "tokenizer": [[fingerprint(vocabulary.to_text().encode()), vocabulary.name]],
        _HELD_OUT: [[fingerprint(sequences.encode()), f"{len(judged):,} sequences of {places}"]],
        _CHUNKS: [[fingerprint(cut), f"{len(corpus.chunks):,}"]],
    }
    return {
        "recipe": recipe.as_dict(), "corpus": source.facts | facts, "learned": _stretches(corpus, corpus.chunks),
        "held_out": held_out, "changes": [],
    }  # fmt: skip


def agreed(before: Mapping[str, Any], now: dict[str, Any], *, accept: bool, place: str) -> tuple[dict[str, Any], bool]:
    """What to keep from here on, and whether held-out losses stay those of the same sequences.

    `before` is the state of a checkpoint. `accept` goes on with what changed, where the weights fit and no base that was
    learned from would be held out; else `Changed` is raised. `place` names the run in errors.
    """
    # A recipe that was kept before a number existed was run with that number's default.
    theirs, ours = Recipe().as_dict() | before["recipe"], now["recipe"]
    keys = [key for key in ours if ours[key] != theirs.get(key) and key not in _FREE]
    changed = [f"{key} was {theirs.get(key)!r} and is now {ours[key]!r}" for key in keys]
    facts, marks = before.get("corpus", {}), {}
    for name in {**facts, **now["corpus"]}:
        pairs = facts.get(name, []), now["corpus"].get(name, [])
        if [mark for mark, _ in pairs[0]] != [mark for mark, _ in pairs[1]]:
            marks[name] = _words(name, *pairs)
    if facts:
        # Other bases or regions are cut into other chunks: that says nothing more.
        changed += [words for name, words in marks.items() if name != _CHUNKS or len(marks) == 1]
    else:
        changed.append("the corpus of its checkpoint, which an earlier version wrote, is not known")
    learned, log, comparable = before.get("learned", []), before.get("changes", []), _HELD_OUT not in marks
    if not changed:
        return now | {"learned": learned, "changes": log}, True
    what = f"{place} must go on with what it was begun with, but {'; '.join(changed)}."
    shape = [key for key in keys if key in _SHAPE]
    leak = _leak(now["held_out"], before.get("held_out", []), learned)
    if shape or leak:
        why = f"its weights are of another {shape[0]}" if shape else f"it was trained on {leak}, now held out"
        raise Changed(f"{what} This cannot be accepted, as {why}: train in another directory (--out).")
    if not accept:
        raise Changed(f"{what} For a new run, train in another directory (--out). To go on with this on purpose, pass "
                      "accept_changes=True (--accept-changes).")  # fmt: skip
    anew = "" if comparable else " Held-out losses are of other sequences now: best/ begins anew."
    warnings.warn(f"{place} goes on after step {before['step']:,}, but {'; '.join(changed)}.{anew}", stacklevel=2)
    both = list({tuple(stretch): stretch for stretch in [*learned, *now["learned"]]}.values())
    log = [*log, {"step": before["step"], "changed": changed}]
    return now | {"learned": both, "changes": log}, comparable


def _stretches(corpus: Corpus, table: pd.DataFrame) -> list[list[Any]]:
    """Fingerprint of the contig, its name, start and end (0-based half-open) of what the chunks of a table cover."""
    marks, chroms = corpus.report["fingerprint"], corpus.report["chrom"]
    return [[marks[contig], str(chroms[contig]), start, end] for contig, start, end in corpus.covered(table)]


def _words(name: str, before: Sequence[Sequence[str]], now: Sequence[Sequence[str]]) -> str:
    gone, new = (
        [words for mark, words in pairs if mark not in {mark for mark, _ in others}]
        for pairs, others in ((before, now), (now, before))
    )
    if gone == new != []:
        return f"{name}: {_shown(new)} is of other content"
    if len(gone) == len(new) == 1:
        return f"{name} was {gone[0]} and is now {new[0]}"
    parts = [f"without {_shown(gone)}"] * bool(gone) + [f"with {_shown(new)}"] * bool(new)
    return f"{name} is now {' and '.join(parts) or 'in another order'}"


def _shown(words: Sequence[str]) -> str:
    return ", ".join(words[:3]) + f" and {len(words) - 3:,} more" * (len(words) > 3)


def _leak(held_out: Sequence[Sequence[Any]], before: Sequence[Sequence[Any]], learned: Sequence[Sequence[Any]]) -> str:
    """The first stretch that is newly held out and was learned from, or empty; contigs of other bases are told by name."""
    known = {stretch[0] for stretch in (*before, *learned)}
    for mark, chrom, start, end in (stretch for stretch in held_out if stretch not in before):
        for other, name, low, high in learned:
            same = mark == other if mark in known else canonical_contig(chrom) == canonical_contig(name)
            if same and start < high and low < end:
                return Interval(name, max(start, low), min(end, high)).label()
    return ""
