"""`learn` from labelled variants: a head on both alleles, judged on regions held out, beside what needs no training; and `Head`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import probing, storage
from ntviz.embeddings import kmer_frequencies
from ntviz.genome import canonical_contig
from ntviz.masking import BATCH_TOKENS
from ntviz.models.protocol import DNAModel
from ntviz.probing import labels as door
from ntviz.probing.estimators import Layers
from ntviz.reference import Reference
from ntviz.variants.alleles import Allele
from ntviz.variants.consequences import consequence
from ntviz.variants.evaluation import HARM, evaluate
from ntviz.variants.labelled import read_labelled, regions
from ntviz.variants.options import Options, check
from ntviz.variants.plan import Plan
from ntviz.variants.scorer import Scorer
from ntviz.variants.survey import Table
from ntviz.variants.windows import Contig

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.annotation import Annotation

METHODS = ("probe", "ia3", "lora")
FEATURES = "mean embeddings of the touched tokens, over both strands: reference, and alternative minus reference"
ZERO_SHOT = ("llr", "cosine", "dot", "l2")
_HEAD, _TUNED, _FORMAT = "head.npz", "tuned", 1
_OUTPUTS = {"binary": 2, "regression": 1}
_AROUND = 3  # bp on each side of a change whose k-mers are compared
_NAMES = {
    "learned": "the head", "twin": "the same head on the randomly initialised model",
    "kmers_window": "k-mers of the window", "kmers_change": "k-mers of both alleles", "severity": "consequence alone",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Head:
    """What predicts a label from both alleles of a variant; `variants.score(..., head=...)` and ``ntviz score --head`` add it to any VCF."""

    scorer: Scorer  # reads the alleles
    about: dict[str, Any]  # plain data: label, kind, method, base model, options, what it learned from and reached
    probe: Layers | None = None
    tuned: Any = None  # `finetuning.Tuned` of adapters

    def predict(self, alleles: Sequence[Allele], *, what: str | None = None) -> np.ndarray:
        """Probability of label 1, or the value of a regression, float64 [allele]; NaN where an allele cannot be read."""
        if self.probe is not None:
            return _applied(self.probe, _both(self.scorer.vectors(alleles, what=what)[0]), self.about["kind"])
        found = np.full(len(alleles), np.nan)
        changes = [_views(self.scorer, plan) for plan in self.scorer.plan(alleles)]
        if rows := [row for row, change in enumerate(changes) if change]:
            found[rows] = self.tuned.predict([changes[row] for row in rows])[:, -1]
        return found

    def placed(self, model: DNAModel, reference: Reference, on_mismatch: str, batch_tokens: int = BATCH_TOKENS) -> Head:
        """The same head for alleles of this reference; a ValueError where it was made on another model."""
        from ntviz.finetuning.tuned import base_of, check_base

        check_base(Path("The head"), self.about["base"], base_of(model))
        options = replace(self.scorer.options, on_mismatch=on_mismatch)
        return replace(self, scorer=Scorer(model, reference, options, batch_tokens=batch_tokens))

    @property
    def digest(self) -> str:
        """SHA-256 of everything predictions follow from but the base model's weights and the alleles."""
        if self.probe is not None:
            return storage.digest([self.about, door.digest(*self.probe.weights, *self.probe.biases)])
        state = self.tuned.learner.state_dict()
        trained = [name for name in state if name.startswith("head.") or "ia3_" in name or "lora_" in name]
        arrays = (state[name].float().cpu().numpy() for name in trained)
        return storage.digest([self.about, door.digest(trained, *arrays)])

    @property
    def statement(self) -> str:
        """What it is and what it was trained on, in a sentence."""
        about = self.about
        what = f"probability that {about['label']} is 1" if about["kind"] == "binary" else f"predicted {about['label']}"
        positive = f" ({about['positives']:,} positive)" if about["kind"] == "binary" else ""
        return (
            f"Head: {what}, by {about['method']} on {about['base']['name']}, of both alleles. Learned from {about['n']:,} variants{positive} "
            f"of {about['source']}; in {about['groups']:,} groups held out {about['reached']}"
        )

    def save(self, folder: str | Path) -> Path:
        """Keeps it, without pickle; all of it or nothing."""
        if not self.about["base"].get("weights_sha256"):
            raise ValueError("A model must say which weights it has for its head to be kept; its info has no weights_sha256. Add it.")  # fmt: skip
        layers = self.probe or Layers((), (), np.zeros(0))
        arrays = {f"weights_{at}": part for at, part in enumerate(layers.weights)}
        arrays |= {f"biases_{at}": part for at, part in enumerate(layers.biases)}
        with storage.atomic_directory(folder) as made:
            if self.tuned is not None:
                self.tuned.save(made / _TUNED)
            storage.save(made / _HEAD, self.about | {"format": _FORMAT}, arrays)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path, model: DNAModel, reference: Reference) -> Head:
        """What `save` kept, on the model that it was made on.

        FileNotFoundError where the folder holds no head; ValueError for a model with other weights, tokens or dtype, and for a damaged
        file.
        """
        folder = Path(folder)
        if not (folder / _HEAD).is_file():
            raise FileNotFoundError(
                f"A head must hold {_HEAD}; {folder} does not. Pass the folder that Head.save, of variants.learn, made."
            )
        from ntviz.finetuning.tuned import base_of, check_base

        about, arrays = storage.load(folder / _HEAD, version=_FORMAT)
        del about["format"]
        check_base(folder, about["base"], base_of(model))
        options = Options(**about["options"])
        probe = tuned = None
        if about["method"] == "probe":
            parts = [[arrays[f"{name}_{at}"] for at in range(len(arrays) // 2)] for name in ("weights", "biases")]
            probe = Layers(tuple(parts[0]), tuple(parts[1]), np.arange(_OUTPUTS[about["kind"]]))
        else:
            from ntviz import finetuning

            tuned = finetuning.load(folder / _TUNED, model)
        return cls(Scorer(model, reference, options), about, probe, tuned)


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned, and what it is worth.

    `table` has a row a variant as it was given: status, group, fold (by which it was judged), `learned` (predicted while its group was
    held out), and the columns that it is compared with. `evaluation` is that of `variants.evaluate`, differences being to `learned`.
    """

    head: Head  # fitted to all variants, for others
    table: pd.DataFrame
    evaluation: pd.DataFrame
    counts: dict[str, int]  # variants of each status

    @property
    def text(self) -> str:
        """The result in words, a line each."""
        about = self.head.about
        lines = [f"{about['label']} by {about['method']} on {about['base']['name']}: {about['n']:,} variants in {about['groups']:,} groups ({about['held']}), each held out once in {about['folds']}. {about['reached']}."]  # fmt: skip
        rows = self.evaluation[self.evaluation["note"].eq("") & self.evaluation["statistic"].ne("AUPRC")]
        for row in rows[rows["score"] != "learned"].sort_values("value", ascending=False).itertuples():
            gap = f"{row.difference:+.2f} ({row.difference_low:+.2f} to {row.difference_high:+.2f})"
            verdict = "better than the head" if row.difference_low > 0 else "worse" if row.difference_high < 0 else "no clear difference"  # fmt: skip
            lines.append(f"  {_NAMES.get(row.score, row.score)}: {row.value:.2f}, {gap} to the head: {verdict}")
        if left := {name: n for name, n in self.counts.items() if name != "ok"}:
            lines.append("Not learned from: " + ", ".join(f"{n:,} {name}" for name, n in left.items()) + ".")
        if missing := int(rows["missing"].max()) if len(rows) else 0:
            lines.append(f"{missing:,} variants lack one of the scores and are not compared.")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Learned({self.text})"


def learn(
    model: DNAModel, labelled: pd.DataFrame | str | Path, method: str = "probe", *, reference: Reference,
    annotation: Annotation | None = None, label: str | None = None, scores: Mapping[str, int] | None = None,
    groups: str | None = None, harm: int = 1, options: Options | None = None, layers: Sequence[int] | None = None,
    folds: int = 5, zero_shot: Sequence[str] = ZERO_SHOT, twin: bool = True, recipe: Any = None,
    bootstrap: int = 1_000, permutations: int = 200, seed: int = 0, what: str | None = "variants",
) -> Learned:  # fmt: skip
    """A head that predicts labels of variants from both alleles, and its predictions for variants of groups held out.

    Each group is held out once: chromosomes where there are enough of them, else regions that share no gene and no base read (see
    `variants.labelled.regions`). Beside the head stand, on the same variants: zero-shot scores, the consequence alone (minus its rank), k-mers of
    the window and of both alleles (logistic regression or ridge, in the same folds), the file's own scores, and the same head on the
    randomly initialised model. Intervals and paired differences are over the groups.

    Parameters
    ----------
    labelled
        A table with chrom, pos (1-based), ref, alt and the label, of which rows with a `status` other than "ok" are left out; or a
        file for `variants.read_labelled`, whose key or column `label` is (default "label", or what its layout says). Labels 0 and 1 are classes; other numbers are values to regress on.
    method
        "probe": logistic regression or ridge on embeddings of both alleles, layer and strength chosen inside the training part.
        "ia3", "lora": adapters that read both alleles on both strands (`finetuning.tune`), the last layer.
    annotation
        Genes: for consequences, and for regions.
    scores
        Columns of the file's own scores, such as CADD or phyloP, and what higher values are held to mean: 1 or -1.
    groups
        Column of what is held out together, instead of chromosomes or regions.
    harm
        What a label of 1, or a higher one, is held to mean: 1 graver, -1 less grave (the activity of a promoter).
    options
        Window, region, strands and what becomes of a REF that is not the reference's; its scores are not used.
    layers
        Of a probe, those it chooses from; default: the middle and the last.
    recipe
        `finetuning.Recipe` of adapters; default: the published one.

    Raises
    ------
    ValueError
        Labels that are no numbers, fewer groups than folds, one class only, or an unknown column or method; what is wrong with one
        variant is its status.

    References
    ----------
    Dalla-Torre et al. (2025): chromosomes in five groups, each held out once; the score is the predicted probability.
    """
    import pandas as pd

    if isinstance(labelled, str | Path):
        given = read_labelled(labelled, label, scores=list(scores or {}), reference=reference)
        label, source = "label", Path(labelled).name
    else:
        given, label = labelled, label or "label"
        source = f"a table's column {label}"
    lacking = [name for name in (label, groups, *(scores or {})) if name is not None and name not in given]
    check(
        (method in METHODS, f"The method must be one of {', '.join(METHODS)}", method, "Use one of these."),
        (not lacking, "Label, groups and scores must be columns of the table", lacking, f"Name some of {', '.join(map(str, given))}."),
        (harm in (1, -1), "harm must be 1 or -1", harm, "Decide it before looking at labels."),
    )  # fmt: skip
    options = replace(options or Options(), scores=tuple(zero_shot) or ("l2",))
    scorer = Scorer(model, reference, options)
    table, alleles, plans = _checked(given, label, scorer)
    used = np.flatnonzero(table["status"] == "ok")
    check((len(used) > 0, "There must be variants to learn from", dict(Counter(table["status"])), "See the column status."))  # fmt: skip
    alleles, plans = ([part[row] for row in used] for part in (alleles, plans))
    rows = table.iloc[used].reset_index(drop=True)
    labels = rows["label"].to_numpy(float)
    kind = "binary" if set(labels) <= {0.0, 1.0} else "regression"
    task = {"kind": kind, "folds": folds, "seed": seed}
    held, names = _grouped(rows, groups, annotation, scorer.window_bp + 2 * scorer.reader.k, labels, task)
    fold = probing.folds(kind, labels, names, folds, seed=seed)

    chosen = tuple(dict.fromkeys((model.layers // 2, model.layers) if layers is None else layers))
    rest = reference, options, method, chosen, recipe, task
    made = [_Method(one, *rest) for one in (model, *_twin(model, twin, seed))]
    columns: dict[str, Any] = {}
    for name, one in zip(("learned", "twin"), made, strict=False):
        columns[name] = one.held_out(alleles, plans, labels, names, fold, what)
    for name, features in _kmers(alleles, plans, reference).items():
        columns[name] = _probed({name: features}, labels, names, task).predicted[:, -1]
    signs = dict.fromkeys(columns, 1)
    if zero_shot:
        scored = scorer.score(alleles, what=what)
        columns |= {name: scored.values[:, scored.columns.index(name)] for name in zero_shot}
        signs |= {name: HARM[name] * harm for name in zero_shot}
    if annotation is not None:
        known = consequence(rows, annotation, reference)
        columns |= {"consequence": known["consequence"].to_numpy(), "severity": -known["rank"].to_numpy(float)}
        signs["severity"] = harm
    placed = {
        name: pd.Series(values, index=used) for name, values in (columns | {"group": names, "fold": fold}).items()
    }
    table = table.assign(**placed)
    signs |= scores or {}
    found = evaluate(table.iloc[used], label, signs, groups="group", baseline="learned", bootstrap=bootstrap, permutations=permutations, seed=seed)  # fmt: skip
    about = {
        "label": label, "kind": kind, "method": method, "source": source, "features": FEATURES, "n": len(used), "folds": folds,
        "positives": int(labels.sum()) if kind == "binary" else 0, "groups": len(set(names)), "held": held, "reached": _reached(found),
        "labels_sha256": door.digest([*map(str, alleles)], labels, names), "seed": seed,
    }  # fmt: skip
    head, counts = made[0].head(alleles, plans, labels, names, about), Counter(table["status"])
    return Learned(head, table, found, dict(counts.most_common()))


def _checked(given: pd.DataFrame, label: str, scorer: Scorer) -> tuple[pd.DataFrame, list[Allele], list[Plan]]:
    """The table with a status and a note for each row, its alleles and their plans; each change is there once."""
    import pandas as pd

    table = given.reset_index(drop=True)
    labels = pd.to_numeric(table[label], errors="coerce").astype(float)
    labels = labels.where(np.isfinite(labels))
    if labels.isna().all():
        raise ValueError(
            f"Labels must be numbers, 0 and 1 or a measured effect; column {label!r} holds {', '.join(map(repr, table[label].unique()[:3]))}. "
            "Convert it, such as by == 'pathogenic'."
        )
    records = list(Table.of(table))
    alleles = [Allele(one.chrom, one.pos, one.ref, one.alts[0] if one.alts else "") for one in records]
    plans, seen = scorer.plan(alleles), dict[tuple, list[int]]()
    before = table["status"].tolist() if "status" in table else ["ok"] * len(table)
    notes = table["note"].tolist() if "note" in table else [""] * len(table)
    statuses = []
    for row, (record, plan) in enumerate(zip(records, plans, strict=True)):
        known = "malformed" if record.problem else before[row] if before[row] != "ok" else plan.status
        known = "no_label" if known in ("ok", "swapped") and np.isnan(labels[row]) else known
        statuses.append("ok" if known == "ref_mismatch" and plan.pairs else "ok" if known == "swapped" else known)
        notes[row] = record.problem or notes[row] or plan.note
        if statuses[row] == "ok":
            change = plan.change
            key = (canonical_contig(record.chrom), change.start, change.ref, change.alt)
            seen.setdefault(key, []).append(row)
    for same in seen.values():
        status = "duplicate" if len(set(labels[same])) == 1 else "conflicting"
        for row in same[status == "duplicate" :]:
            if len(same) > 1:
                statuses[row] = status
    return table.assign(**{"status": statuses, "note": notes, label: labels, "label": labels}), alleles, plans


def _grouped(
    rows: pd.DataFrame, groups: str | None, annotation: Any, window: int, labels: np.ndarray, task: dict[str, Any]
) -> tuple[str, np.ndarray]:
    """What is held out, in words, and the group of each variant."""
    if groups is not None:
        texts = rows[groups].fillna("").astype(str)
        held, found = f"by {groups}", np.array([name or f"row {row}" for row, name in enumerate(texts)])
    else:
        held, found = "chromosomes", np.array([canonical_contig(str(one)) for one in rows["chrom"]])
        try:
            probing.folds(task["kind"], labels, found, task["folds"], seed=task["seed"])
        except ValueError:
            held, found = "regions", regions(rows, annotation=annotation, window=window)
    n = len(set(found))
    check((n >= task["folds"], f"There must be a group for each of {task['folds']} folds", f"{n} {held}",
           "Ask for fewer folds, read shorter windows, or name a column with groups=: blocks of one locus, say."))  # fmt: skip
    return held, found


def _twin(model: Any, wanted: bool, seed: int) -> Iterable[Any]:
    if not wanted:
        return ()
    if not hasattr(model, "random_twin"):
        raise ValueError(
            f"The control 'twin' must have a model that can make one; {model.name} has no random_twin. Pass twin=False."
        )
    return (model.random_twin(seed),)


@dataclass
class _Method:
    """One way of learning on one model."""

    model: Any
    reference: Reference
    options: Options
    method: str
    layers: Sequence[int]
    recipe: Any
    task: dict[str, Any]

    def scorer(self, layer: int) -> Scorer:
        return Scorer(self.model, self.reference, replace(self.options, scores=("l2",), layer=layer))

    def held_out(self, alleles: Any, plans: Any, labels: Any, groups: Any, fold: Any, what: str | None) -> np.ndarray:
        """Predictions for each variant while its group was held out."""
        if self.method == "probe":
            vectors = self.scorer(self.layers[0]).vectors(alleles, self.layers, what=what)
            self._features: dict[Any, np.ndarray] = dict(zip(self.layers, map(_both, vectors), strict=True))
            self._found = _probed(self._features, labels, groups, self.task)
            return self._found.predicted[:, -1]
        changes, found = self._changes(plans), np.full(len(labels), np.nan)
        for part in range(self.task["folds"]):
            learned, judged = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
            tuned = self._tuned(changes, labels, groups, learned)
            found[judged] = tuned.predict([changes[row] for row in judged])[:, -1]
        return found

    def head(self, alleles: Any, plans: Any, labels: Any, groups: Any, about: dict[str, Any]) -> Head:
        """Fitted to all variants; a probe in the setting that most folds chose."""
        from ntviz.finetuning.tuned import base_of

        probe = tuned = None
        layer = self.model.layers
        if self.method == "probe":
            (setting, _), *_ = Counter(self._found.chosen).most_common(1)
            layer, kind = setting.features, self.task["kind"]
            every = np.ones(len(labels), dtype=bool)
            probe = probing.fit(self._features, labels, every, setting, kind=kind, classes=_OUTPUTS[kind], seed=self.task["seed"]).layers()  # fmt: skip
        else:
            tuned = self._tuned(self._changes(plans), labels, groups, np.arange(len(labels)))
        scorer = self.scorer(layer)
        return Head(scorer, about | {"base": base_of(self.model), "options": scorer.options.about}, probe, tuned)

    def _changes(self, plans: Sequence[Plan]) -> list[tuple]:
        scorer = self.scorer(self.model.layers)
        return [_views(scorer, plan) for plan in plans]

    def _tuned(self, changes: list[tuple], labels: np.ndarray, groups: np.ndarray, rows: np.ndarray) -> Any:
        from ntviz import finetuning

        kind = self.task["kind"]
        return finetuning.tune(
            self.model, [changes[row] for row in rows], labels[rows], kind=kind, outputs=_OUTPUTS[kind], method=self.method,
            groups=groups[rows], recipe=self.recipe, seed=self.task["seed"],
        )  # fmt: skip


def _views(scorer: Scorer, plan: Plan) -> tuple:
    """The windows of a change as adapters read them."""
    from ntviz.finetuning.learners import Alleles

    k = scorer.reader.k
    places = [(pair, scorer.compared(pair)) for pair in plan.pairs]
    return tuple(Alleles(pair.reference, pair.alternative, where.start * k, where.stop * k) for pair, where in places)


def _both(vectors: np.ndarray) -> np.ndarray:
    """`FEATURES` of embeddings [allele, 2, hidden], [allele, 2 x hidden]."""
    return np.concatenate([vectors[:, 0], vectors[:, 1] - vectors[:, 0]], axis=1)


def _applied(probe: Layers, vectors: np.ndarray, kind: str) -> np.ndarray:
    """Probability of class 1, or the value, by a probe's weights."""
    from scipy.special import softmax

    values = vectors.astype(np.float64)
    for at, (weights, biases) in enumerate(zip(probe.weights, probe.biases, strict=True)):
        values = (np.maximum(values, 0) if at else values) @ weights + biases
    return values[:, 0] if kind == "regression" else softmax(values, axis=1)[:, 1]


def _probed(features: dict[Any, np.ndarray], labels: np.ndarray, groups: np.ndarray, task: dict[str, Any]) -> Any:
    kind = task["kind"]
    return probing.probe(features, labels, groups, kind=kind, classes=_OUTPUTS[kind], n_folds=task["folds"], seed=task["seed"])  # fmt: skip


def _kmers(alleles: Sequence[Allele], plans: Sequence[Plan], reference: Reference) -> dict[str, np.ndarray]:
    """4-mers of the reference's window; 3-mers around the change of the reference, and alternative minus reference."""
    contigs = {name: Contig(reference, name) for name in {one.chrom for one in alleles}}
    texts: list[list[str]] = [[], []]
    for allele, plan in zip(alleles, plans, strict=True):
        change, contig = plan.change, contigs[allele.chrom]
        assert change is not None
        before = contig.bases(change.start - _AROUND, change.start)
        after = contig.bases(change.end, change.end + _AROUND)
        for part, bases in zip(texts, (change.ref, change.alt), strict=True):
            part.append(before + bases + after)
    ref, alt = (kmer_frequencies(part, 3) for part in texts)
    window = kmer_frequencies([plan.pairs[0].reference for plan in plans], 4)
    return {"kmers_window": window, "kmers_change": np.concatenate([ref, alt - ref], axis=1)}


def _reached(found: pd.DataFrame) -> str:
    """What the head reached on groups held out, beside the consequence, in words."""
    rows = found[found["score"].eq("learned") & found["statistic"].ne("AUPRC")]
    if not len(rows):
        return found["note"].iloc[0]
    row = rows.iloc[0]
    text = f"{row['statistic']} {row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f}; shuffled labels {row['null_low']:.2f} to {row['null_high']:.2f})"  # fmt: skip
    other = found[found["score"].eq("severity") & found["statistic"].eq(row["statistic"])]
    return text + (f", by consequence alone {other['value'].iloc[0]:.2f}" if len(other) else "")
