"""`Enrichment`: the table of which heads look at which elements, what it was made from, and how it is kept."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment
from ntviz.genome import Interval

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.attention.counting import Part


@dataclass(frozen=True, eq=False)
class Enrichment:
    """How much of each head's attention above a threshold falls on each element; made by `attention.enrichment`.

    Attributes
    ----------
    table
        One row for each layer, head and element, zero-based. Columns:

        - `status`: "ok"; "nothing above" where the head never exceeds the threshold; "nothing there" where no window
          holds the element; "covers everything" where all positions are in it. Without "ok" there is no test, and what
          can't be computed is NaN.
        - `p_mean`, `p_pooled`: share of pairs above the threshold that fall on the element, as the mean over windows
          that have any, and pooled. `background`: share of positions on it. `ratio`: p_pooled / background, with the
          ends of its 95 % interval, `ratio_low` and `ratio_high`, from resampling groups of neighbouring windows.
        - `n_on`, `n_above`: pairs on the element, pairs in all. `n_element`, `n_positions`: positions on it, in all.
          `n_sequences`, `n_silent`: windows counted, and those of them where the head has nothing above the threshold.
          `to_special`: share of all pairs above the threshold whose key is a special token, `<cls>`.
        - `z`, `p_z`, `p_bonferroni` (over heads), `q_z` (Benjamini-Hochberg over the table), `significant_published`:
          the two-proportion z-test, two-sided.
        - `shift_mean`: share expected on elements that are turned around their window; where heads look at places in the
          window rather than at what is there, it is in here. `shift_ratio`: p_pooled / shift_mean. `z_shift`, `p_shift`,
          `q_shift`: two-sided, see `statistics.joint`. z is NaN and p is 1 where turning changes nothing.
        - `shuffle_ratio`, `twin_ratio`: the ratio on shuffled bases and of the random twin; `..._difference`: natural
          log of the ratio over that ratio, with `..._low` and `..._high` as above, half a pair added on and off the
          element; `..._n_above` and `..._status` as above.
        - `distance_n`: pairs on the element whose mirror image, as far from the same query, lies in the window too;
          `distance_ratio`: those over mirror images on the element (half a pair added to both); `distance_p`,
          `distance_q`: two-sided, of the difference between the two, whose null are the turned elements again.
        - `significant`: q_shift is at most the level asked for. This is the answer to stand by; without the shift
          null it is False throughout.
    sequences
        One row a window, in the order given: `chrom`, `start`, `end` (0-based half-open), `strand`, `region` (1-based,
        both ends included), `status`, `n_tokens`, `note`.
    about
        Everything the table depends on, as plain data.
    shifted
        float64 [shift, layer, head, element]: p_pooled under each shift; None without.
    """

    table: pd.DataFrame
    sequences: pd.DataFrame
    about: dict[str, Any]
    shifted: np.ndarray | None = None

    def __repr__(self) -> str:
        return self.summary

    def null(self, element: str) -> np.ndarray:
        """Share of attention on an element under each shift, [shift, layer, head]; NaN where nothing is above.

        Raises
        ------
        ValueError
            The element is not in the table, or elements were not shifted.
        """
        kinds = self.about["kinds"]
        if self.shifted is None or element not in kinds:
            reason = "no 'shift' among nulls" if self.shifted is None else repr(element)
            raise ValueError(
                f"The null of shifts must have been asked for, of one of {', '.join(kinds)}; received {reason}. Run "
                "attention.enrichment with 'shift' in nulls and the element in kinds."
            )
        return self.shifted[..., kinds.index(element)]

    @property
    def summary(self) -> str:
        """What was found, in a paragraph."""
        about, table = self.about, self.table
        alpha, heads = about["alpha"], about["layers"] * about["heads"]
        tested = table["status"] == "ok"
        said = [
            _windows_in_words(self.sequences, about["groups_used"]),
            f"{heads:,} heads x {len(about['kinds'])} elements at {about['threshold']}: {tested.sum():,} of {len(table):,} "
            f"pairs can be tested{_listed(table.loc[~tested, 'status'])}.",
        ]
        silent = table.drop_duplicates(["layer", "head"])["n_silent"]
        if len(silent) and silent.any():
            said.append(
                f"Heads have nothing above the threshold in {silent.mean() / table['n_sequences'].iloc[0]:.0%} of "
                f"windows on average; {(silent == table['n_sequences'].iloc[0]).sum():,} never have."
            )
        said.append(
            f"The published z-test calls {table['significant_published'].sum():,} significant (Bonferroni over "
            f"{heads:,} heads, {alpha})."
        )
        if "q_shift" not in table:
            said.append("Elements were not shifted, so nothing is called significant here.")
        else:
            found = table[table["significant"]]
            more = found[found["shift_ratio"] > 1]
            said.append(
                f"Shifting elements within their windows leaves {len(found):,}: {len(more):,} enriched, "
                f"{len(found) - len(more):,} depleted (false discovery rate {alpha})."
            )
            if len(more):
                said += self._beside(more)
        return " ".join([*said, *_strangers_in_words(about["elements"])])

    def _beside(self, more: pd.DataFrame) -> list[str]:
        told = [
            (f"{name}_difference_low", 0, words)
            for name, words in (("shuffle", "on shuffled bases"), ("twin", "in the random twin"))
            if f"{name}_ratio" in more
        ]
        parts = [f"{(more[column] > limit).sum():,} more so than {words}" for column, limit, words in told]
        if "distance_q" in more:
            level = self.about["alpha"]
            beyond = ((more["distance_q"] <= level) & (more["distance_ratio"] > 1)).sum()
            parts.append(f"{beyond:,} more than at the same distance on the query's other side")
        return [f"Of those enriched, {', '.join(parts)}."] if parts else []

    def save(self, folder: str | Path) -> Path:
        """Writes table.parquet, sequences.parquet, about.json and, with shifts, shifts.npz; all or nothing.

        Returns
        -------
        Path
            The folder, which is replaced if it exists.
        """
        path = Path(folder)
        if (path / "analysis.json").exists():
            raise ValueError(
                f"A table must have a folder of its own; {path} holds the parts of an analysis. Save it elsewhere."
            )
        with environment.atomic_directory(path) as fresh:
            self.table.to_parquet(fresh / "table.parquet", index=False)
            self.sequences.to_parquet(fresh / "sequences.parquet", index=False)
            (fresh / "about.json").write_text(json.dumps(self.about, indent=1), encoding="utf-8")
            if self.shifted is not None:
                np.savez_compressed(fresh / "shifts.npz", shifted=self.shifted)
        return path

    @classmethod
    def load(cls, folder: str | Path) -> Enrichment:
        """What `save` wrote.

        Raises
        ------
        FileNotFoundError
            There is no such table; of a folder of parts the message says what to do.
        """
        import pandas as pd

        path = Path(folder)
        if not (path / "about.json").exists():
            hint = (
                "It holds the parts of an analysis: use attention.merge."
                if (path / "analysis.json").exists()
                else "Pass the folder that Enrichment.save was given."
            )
            raise FileNotFoundError(f"A saved enrichment must hold about.json; {path} does not. {hint}")
        about = json.loads((path / "about.json").read_text(encoding="utf-8"))
        shifted = None
        if (path / "shifts.npz").exists():
            with np.load(io.BytesIO((path / "shifts.npz").read_bytes()), allow_pickle=False) as arrays:
                shifted = arrays["shifted"]
        table, sequences = (pd.read_parquet(path / f"{name}.parquet") for name in ("table", "sequences"))
        return cls(table, sequences, about, shifted)


def concluded(total: Part, about: dict[str, Any], *, bootstrap: int, alpha: float) -> Enrichment:
    """The enrichment from all that was counted.

    Raises
    ------
    ValueError
        No window could be used.
    """
    import pandas as pd

    from ntviz.attention.tabulating import WHOLE, tabulate

    sequences = pd.DataFrame(sorted(total.rows, key=lambda row: row["index"])).drop(columns="index")
    rows = zip(*(sequences[name] for name in ("chrom", "start", "end", "strand")), strict=True)
    sequences.insert(4, "region", [Interval(*row).label() for row in rows])
    if not total.sums:
        raise ValueError(
            f"At least one window must be usable; of {len(sequences):,} none is{_listed(sequences['status'])}. The first: "
            f"{sequences['region'].iloc[0]} {sequences['note'].iloc[0]} Choose windows on the reference, within the model's "
            "context."
        )
    used = total.sums["sequences"] > 0
    sums = {name: values if name in WHOLE else values[used] for name, values in total.sums.items()}
    kinds, shape = tuple(about["kinds"]), (about["layers"], about["heads"])
    table, null = tabulate(sums, kinds, shape, bootstrap=bootstrap, alpha=alpha, seed=about["seed"])
    about = {**about, "bootstrap": bootstrap, "alpha": alpha, "groups_used": int(used.sum())}
    return Enrichment(table, sequences, about, null)


def _windows_in_words(sequences: pd.DataFrame, groups: int) -> str:
    bad = sequences.loc[sequences["status"] != "ok", "status"]
    dropped = f"; {len(bad):,} dropped{_listed(bad)}" if len(bad) else ""
    few = "; too few groups of windows for intervals" if groups < 2 else ""
    return f"{len(sequences) - len(bad):,} of {len(sequences):,} windows in {groups:,} groups{dropped}{few}."


def _listed(words: pd.Series) -> str:
    counts = words.value_counts()
    return f" ({', '.join(f'{count:,} {word}' for word, count in counts.items())})" if len(counts) else ""


def _strangers_in_words(elements: dict[str, Any]) -> list[str]:
    if not elements["strangers"]:
        return []
    return [
        f"{elements['strangers']:,} of {elements['features']:,} features lie on contigs that the reference lacks "
        f"({', '.join(elements['contigs'])})."
    ]
