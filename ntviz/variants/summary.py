"""What became of a file, for the person who asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ntviz.variants.alleles import STATUSES
from ntviz.variants.planning import LONG_INDEL
from ntviz.variants.surveying import Survey

AGREEMENT = 0.95
"""Share of REF below which another assembly is suspected."""
_OTHER = {"GRCh37": "GRCh38", "GRCh38": "GRCh37"}


@dataclass
class Summary:
    """Counts of one run.

    Attributes
    ----------
    path, out
        The file and where it went.
    shard
        (i, n).
    survey
        What the file holds.
    assembly
        Of the reference, where it is known.
    statuses
        Alleles of each status; lines without an alternative count as one "missing", malformed lines as one "malformed".
    scored
        Alleles with a score.
    checked, agree
        Records whose REF could be compared with the reference, and those where they are equal.
    long
        Insertions and deletions above 50 bp that have a score.
    written
        Files; none of a shard.
    reason
        Why there is no index.
    elsewhere, missing
        Of a shard: pieces of other shards that are there, and that are not.
    sequences
        Sequences that the model read in this run.
    seconds
        It took.
    """

    path: Path
    out: Path
    shard: tuple[int, int]
    survey: Survey
    assembly: str | None
    statuses: Counter[str] = field(default_factory=Counter)
    scored: int = 0
    checked: int = 0
    agree: int = 0
    long: int = 0
    written: list[Path] = field(default_factory=list)
    reason: str = ""
    elsewhere: int = 0
    missing: int = 0
    sequences: int = 0
    seconds: float = 0.0

    @property
    def considered(self) -> int:
        """Alleles, and lines that hold none."""
        return sum(self.statuses.values())

    @property
    def agreement(self) -> float:
        """Share of REF that are the reference's; nan where none could be compared."""
        return self.agree / self.checked if self.checked else float("nan")

    @property
    def text(self) -> str:
        """All of it in words, a line each."""
        part = "" if self.shard == (1, 1) else f"shard {self.shard[0]} of {self.shard[1]}: "
        lines = [
            f"{part}{self.considered:,} alleles considered, {self.scored:,} scored, from {self.survey.records:,} records "
            f"({self.sequences:,} sequences read, {self.seconds:.1f} s)"
        ]
        width = max(map(len, self.statuses), default=0)
        lines += [
            f"  {count:>9,}  {status:<{width}}  {STATUSES[status]}"
            for status, count in self.statuses.most_common()
        ]
        lines += self.warnings
        if self.shard != (1, 1):
            lines.append(
                f"{self.missing:,} pieces of other shards are missing still."
                if self.missing
                else f"All pieces are there: run the same command without --shard to write {self.out.name}."
            )
        return "\n".join(lines)

    @property
    def doubts(self) -> list[str]:
        """What speaks for another assembly than the reference's."""
        said = []
        if self.checked and self.agreement < AGREEMENT:
            here = f" ({self.assembly})" if self.assembly else ""
            other = _OTHER.get(self.assembly or "")
            guess = f"is this another assembly ({other})?" if other else "is this another assembly?"
            said.append(
                f"{100 * self.agreement:.0f} % of REF agree with the reference{here}, {self.agree:,} of {self.checked:,}: {guess}"
            )
        for other, (count, first) in self.survey.assemblies.items():
            if self.assembly not in (None, other):
                said.append(
                    f"{_count(count, 'record')} of {other} by ID or contig, such as {first}, and the reference is {self.assembly}: "
                    f"take a reference of {other}, or convert the positions."
                )
        return said

    @property
    def warnings(self) -> list[str]:
        """What is to be known of the file and its scores, such as lines that cannot be read."""
        said = self.doubts
        if self.survey.malformed_lines:
            shown = "; ".join(f"line {line:,}: {why}" for line, why in self.survey.malformed)
            more = self.survey.malformed_lines - len(self.survey.malformed)
            count = _count(self.survey.malformed_lines, "line")
            said.append(
                f"{count} that cannot be read, passed on unchanged: {shown}"
                + (f"; and {more:,} more" if more else "")
            )
        if self.long:
            count = _count(self.long, "insertion or deletion", "insertions or deletions")
            said.append(f"{count} above {LONG_INDEL} bp: read their scores with caution.")
        if self.survey.blank_lines:
            said.append(f"{_count(self.survey.blank_lines, 'blank line')} left out.")
        if self.survey.crlf:
            said.append("Lines ended in CR LF; they end in LF now.")
        if self.reason:
            said.append(f"{self.out.name} has no index: {self.reason}.")
        return said


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
