"""Figures of maps of embeddings, read back."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import HOSTILE, assert_text
from projection_toy import ELEMENTS, toy

from ntviz import plot
from ntviz.plot.charts import embedding_map


def titles(figure):
    return [note.text for note in figure.layout.annotations if note.name != "caption"]


def test_layers_stand_beside_their_controls_with_what_random_labels_reach():
    figure = embedding_map(toy())
    controls = [f"Control: {name}" for name in ("random twin, layer 4", "base composition", "4-mers")]
    heads = [text.split("</b>")[0].removeprefix("<b>") for text in titles(figure)]
    assert heads == ["Layer 0", "Layer 2", "Layer 4", *controls]
    assert "purity 0.30 (random labels 0.20), in the map 0.40" in titles(figure)[0]
    assert "silhouette −0.20 (random labels −0.30), in the map −0.10" in titles(figure)[0]
    assert "12 windows of 600 bp · t-SNE" in figure.layout.title.subtitle.text


def test_every_window_is_a_point_of_its_element_in_every_map_and_one_legend_hides_all():
    maps = toy()
    figure = embedding_map(maps, ["layer 1", "4-mers"])
    assert len(figure.data) == 2 * len(ELEMENTS)
    for i, trace in enumerate(figure.data):
        panel, index = divmod(i, len(ELEMENTS))
        places = maps.coordinates[[1, 11][panel]][4 * index : 4 * index + 4]
        np.testing.assert_allclose(np.column_stack([trace.x, trace.y]), places)
        assert (trace.legendgroup, trace.showlegend) == (ELEMENTS[index], panel == 0)
        assert trace.xaxis == ("x", "x2")[panel]
    looks = {(trace.marker.color, trace.marker.symbol) for trace in figure.data}
    assert len(looks) == len({colour for colour, _ in looks}) == len({shape for _, shape in looks}) == 3
    names = [trace.name for trace in figure.data[:3]]
    assert names == ["CDS: 4, GC 34 %", "intron: 4, GC 45 %", "5′ UTR: 4, GC 56 %"]
    assert {figure.layout.yaxis.scaleanchor, figure.layout.yaxis2.scaleanchor} == {"x", "x2"}
    assert len(plot.table(figure)) == 24


def test_many_elements_never_look_alike():
    figure = embedding_map(toy(elements=[f"e{i}" for i in range(14)]), ["layer 0"])
    assert len({(trace.marker.color, trace.marker.symbol) for trace in figure.data}) == 14


def test_the_hover_tells_places_as_people_write_them():
    texts = [text for trace in embedding_map(toy(), ["layer 0"]).data for text in trace.text]
    assert texts[0] == "chr20:1,001–1,600 (+)<br>CDS<br>gene: GATA1<br>GC 30 %"
    assert texts[1].startswith("chr20:2,001–2,600 (−)<br>CDS")
    assert texts[11] == "chr20:12,001–12,600 (+)<br>5′ UTR<br>GC 60 %"


def test_the_alt_sentence_is_made_of_the_numbers():
    figure = embedding_map(toy(), ["layer 0", "random twin, layer 4"], title="Where are exons?")
    assert plot.alt(figure) == (
        "Where are exons? 12 windows (CDS 4, intron 4 and 5′ UTR 4) in 2 maps. Purity of neighbours in the vectors: "
        "layer 0 0.3 (0.4 in the map); random twin, layer 4 0.39 (0.49 in the map, as with random labels)."
    )


def test_names_from_files_stay_text():
    maps = toy(elements=[HOSTILE, "intron"], gene=HOSTILE)
    maps.panels.loc[0, "panel"] = maps.separation.loc[:3, "panel"] = HOSTILE
    assert_text(embedding_map(maps, title=HOSTILE))


def test_a_measure_without_a_value_says_so():
    maps = toy()
    maps.separation.loc[maps.separation["measure"] == "silhouette", "value"] = np.nan
    assert "silhouette: no value" in titles(embedding_map(maps, ["layer 0"]))[0]
    maps.separation["value"] = np.nan
    assert plot.alt(embedding_map(maps, ["layer 0"])).endswith("in the vectors: layer 0 no value.")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"panels": ["layer 9"]}, "names of maps, one or more of layer 0, .*received .'layer 9'"),
        ({"panels": []}, r"received \[\]"),
        ({}, "finite; 1 of 12 windows of 'layer 0' have others"),
    ],
)
def test_bad_input_is_refused(given, message):
    maps = toy()
    maps.coordinates[0, 3] = np.nan
    with pytest.raises(ValueError, match=message):
        embedding_map(maps, **{"panels": ["layer 0"]} | given)
