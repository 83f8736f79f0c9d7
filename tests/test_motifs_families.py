"""Classes and families of motifs: a table by hand, and tables that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ntviz import data, motifs
from ntviz.motifs import Family

TABLE = "motif\tname\tclass\tfamily\nMA1.2\tFos::Jun\tbZIP\tFos-related::Jun-related\nMA2.1\tAlone\t\t\n"


def test_a_table_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "toy.tsv"
    path.write_text(TABLE, encoding="utf-8")
    known = motifs.families(path)
    assert known == {"MA1.2": Family("bZIP", "Fos-related::Jun-related"), "MA2.1": Family("", "")}
    assert known["MA1.2"].families == ("Fos-related", "Jun-related")
    assert known["MA2.1"].families == ()


def test_the_bundle_is_the_default() -> None:
    assert motifs.families() == motifs.families(data.bundle("motif-families"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"begin with the columns motif, name, class, family.*toy\.tsv begins with ''"),
        ("MEME version 4\n", r"begins with 'MEME version 4'\. Correct its first line"),
        (TABLE + "MA3.1\tThree\n", r"Line 4 of toy\.tsv must hold 4 fields.*'MA3\.1\\tThree'"),
        (
            TABLE + "\tNone\ta\tb\n",
            r"Line 4 of toy\.tsv must hold 4 fields, the first of which names a motif",
        ),
        (TABLE + "MA2.1\tTwice\ta\tb\n", r"line 4 of toy\.tsv has 'MA2\.1' again\. Remove one"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "toy.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        motifs.families(path)


def test_missing_and_binary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"received .*absent\.tsv, and there is none"):
        motifs.families(tmp_path / "absent.tsv")
    with pytest.raises(ValueError, match=r"must be text in UTF-8; .*meme\.gz is not"):
        motifs.families(data.bundle("motifs"))
    monkeypatch.setenv("NTVIZ_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"`python data/build\.py` makes the bundle's"):
        motifs.families()
