"""What decides a run, kept with its checkpoints and compared when it goes on: recipe, tokenizer, bases, what is held out.

Of the corpus each fact is a list of [fingerprint, words]. Fingerprints follow from content: where a FASTA lies, how it is
wrapped or compressed, and what files and contigs are called decides nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ntviz.genome import Interval, canonical_contig
from ntviz.pretraining.bases import fingerprint
from ntviz.pretraining.corpus import Corpus
from ntviz.pretraining.recipe import Recipe
from ntviz.pretraining.sampling import Source
from ntviz.tokens import VOCABULARIES

_FREE = ("micro_tokens", "precision", "cooldown_steps", "recompute", "compiled", "sharded")
"""What may change unasked: memory, the device's arithmetic, and what is counted back from the last step."""
_SHAPE = ("layers", "heads", "hidden", "ffn", "vocabulary", "max_tokens", "optimiser")
_HELD_OUT, _CHUNKS = "held out", "chunks (chunk_bp, overlap_bp, tokens_bp, max_n)"
_SHOWN = 3


class Changed(ValueError):
    """A run would go on with something else than what its checkpoint was made with."""


def of(source: Source, recipe: Recipe, judged: pd.DataFrame) -> dict[str, Any]:
    """What decides a run, as plain data: recipe, corpus (facts), learned and held_out (stretches), changes (none so far).

    Parameters
    ----------
    judged
        The rows of `source.judged_on.held_out` on which it is judged.
    """
    corpus, vocabulary = source.judged_on, VOCABULARIES[recipe.vocabulary]
    held_out = _stretches(corpus, corpus.held_out)
    marks = [
        str([corpus.report["fingerprint"][row.contig], row.start, row.end]) for row in judged.itertuples()
    ]
    places = _shown([Interval(chrom, start, end).label() for _, chrom, start, end in held_out])
    cut = pd.concat([corpus.chunks, corpus.held_out])[["contig", "start", "end"]].to_numpy("int64").tobytes()
    facts = {
        "tokenizer": [[fingerprint(vocabulary.to_text().encode()), vocabulary.name]],
        _HELD_OUT: [[fingerprint("".join(marks).encode()), f"{len(judged):,} sequences of {places or 'no region'}"]],
        _CHUNKS: [[fingerprint(cut), f"{len(corpus.chunks):,}"]],
    }  # fmt: skip
    return {
        "recipe": recipe.as_dict(),
        "corpus": source.facts | facts,
        "learned": _stretches(corpus, corpus.chunks),
        "held_out": held_out,
        "changes": [],
    }


def agreed(
    before: Mapping[str, Any], now: dict[str, Any], *, accept: bool, place: str
) -> tuple[dict[str, Any], bool]:
    """What to keep from here on, and whether held-out losses stay those of the same sequences.

    Parameters
    ----------
    before
        The state of a checkpoint.
    accept
        Goes on with what changed, where the weights fit and no base that was learned from would be held out.
    place
        The run, for errors.

    Raises
    ------
    Changed
        Something changed that is not accepted.
    """
    # A recipe that was kept before a number existed was run with that number's default.
    theirs, ours = Recipe().as_dict() | before["recipe"], now["recipe"]
    keys = [key for key in ours if ours[key] != theirs.get(key) and key not in _FREE]
    changed = [f"{key} was {theirs.get(key)!r} and is now {ours[key]!r}" for key in keys]
    facts = before.get("corpus", {})
    names = [name for name in {**facts, **now["corpus"]} if not _same(facts, now["corpus"], name)]
    if not facts:
        changed.append("the corpus of its checkpoint, which an earlier version wrote, is not known")
    else:
        # Other bases or regions are cut into other chunks: that says nothing more.
        telling = [name for name in names if name != _CHUNKS] or names
        changed += [_words(name, facts.get(name, []), now["corpus"].get(name, [])) for name in telling]
    learned, log = before.get("learned", []), before.get("changes", [])
    if not changed:
        return now | {"learned": learned, "changes": log}, True
    what = f"{place} must go on with what it was begun with, but {'; '.join(changed)}."
    shape = [key for key in keys if key in _SHAPE]
    leak = _leak(now["held_out"], before.get("held_out", []), learned)
    if shape or leak:
        why = f"its weights are of another {shape[0]}" if shape else f"it was trained on {leak}, now held out"
        raise Changed(f"{what} This cannot be accepted, as {why}: train in another directory (--out).")
    if not accept:
        raise Changed(
            f"{what} For a new run, train in another directory (--out). To go on with this on purpose, pass "
            "accept_changes=True (--accept-changes)."
        )
    anew = " Held-out losses are of other sequences now: best/ begins anew." if _HELD_OUT in names else ""
    warnings.warn(
        f"{place} goes on after step {before['step']:,}, but {'; '.join(changed)}.{anew}", stacklevel=2
    )
    both = list({tuple(stretch): stretch for stretch in [*learned, *now["learned"]]}.values())
    log = [*log, {"step": before["step"], "changed": changed}]
    return now | {"learned": both, "changes": log}, _HELD_OUT not in names


def _stretches(corpus: Corpus, table: pd.DataFrame) -> list[list[Any]]:
    """Fingerprint of the contig, its name, start and end (0-based half-open) of what the chunks of a table cover."""
    marks, chroms = corpus.report["fingerprint"], corpus.report["chrom"]
    covered = corpus.covered(table)
    return [[marks[contig], str(chroms[contig]), start, end] for contig, start, end in covered]


def _same(before: Mapping[str, Any], now: Mapping[str, Any], name: str) -> bool:
    return [mark for mark, _ in before.get(name, [])] == [mark for mark, _ in now.get(name, [])]


def _words(name: str, before: Sequence[Sequence[str]], now: Sequence[Sequence[str]]) -> str:
    marks, theirs = {mark for mark, _ in now}, {mark for mark, _ in before}
    gone = [words for mark, words in before if mark not in marks]
    new = [words for mark, words in now if mark not in theirs]
    if gone == new != []:
        return f"{name}: {_shown(new)} is of other content"
    if len(gone) == len(new) == 1:
        return f"{name} was {gone[0]} and is now {new[0]}"
    parts = [f"without {_shown(gone)}"] * bool(gone) + [f"with {_shown(new)}"] * bool(new)
    return f"{name} is now {' and '.join(parts) or 'in another order'}"


def _shown(words: Sequence[str]) -> str:
    rest = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")


def _leak(
    held_out: Sequence[Sequence[Any]], before: Sequence[Sequence[Any]], learned: Sequence[Sequence[Any]]
) -> str:
    """The first stretch that is newly held out and was learned from; empty if there is none.

    A contig of other bases is taken for the one that had its name, such as a masked or mended version of it.
    """
    known = {stretch[0] for stretch in (*before, *learned)}
    for stretch in held_out:
        mark, chrom, start, end = stretch
        for their_mark, their_chrom, their_start, their_end in learned if stretch not in before else ():
            one = (
                mark == their_mark
                if mark in known
                else canonical_contig(chrom) == canonical_contig(their_chrom)
            )
            if one and start < their_end and their_start < end:
                return Interval(their_chrom, max(start, their_start), min(end, their_end)).label()
    return ""
