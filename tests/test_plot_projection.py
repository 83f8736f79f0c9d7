"""Figures of maps of embeddings, read back from their artists and from what their cursor is given."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from projection_toy import ELEMENTS, LINK, toy

from ntviz import plot
from ntviz.plot import projected


def found(figure, gid):
    return [artist for artist in figure.drawing.findobj() if artist.get_gid() == gid]


def said(figure):
    return json.loads(figure.readout.json(figure.title))


def test_a_figure_shows_layers_beside_what_they_are_held_against():
    figure = plot.embedding_map(toy())
    labels = [ax.get_label() for ax in figure.drawing.axes]
    assert labels == ["layer 0", "layer 2", "layer 4", "random twin, layer 4", "base composition", "4-mers"]
    grey = [ax.get_facecolor() != (1, 1, 1, 1) for ax in figure.drawing.axes]
    assert grey == [False, False, False, True, True, True]
    names = [text.get_text() for text in found(figure, "panel")]
    assert names[0] == "Layer 0"
    numbers = [text.get_text() for text in found(figure, "numbers")]
    assert numbers[:2] == ["vectors: purity 0.30, silhouette −0.20", "map: purity 0.40, silhouette −0.10"]
    # What random labels reach is marked.
    assert numbers[6] == "vectors: purity 0.39°, silhouette −0.11°"
    assert "purity by chance 0.25" in found(figure, "region")[0].get_text()
    assert "12 windows of 600 bp · t-SNE" in found(figure, "region")[0].get_text()


def test_every_window_is_a_point_in_the_colour_and_shape_of_its_element():
    maps = toy()
    figure = plot.embedding_map(maps, ["layer 1"])
    (ax,) = figure.drawing.axes
    looks = set()
    for index, name in enumerate(ELEMENTS):
        parts = [points for points in ax.collections if points.get_gid() == f"points {name}"]
        drawn = np.concatenate([np.asarray(points.get_offsets()) for points in parts])
        expected = maps.coordinates[1][4 * index : 4 * index + 4]
        np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(expected, axis=0))
        looks |= {
            (tuple(parts[0].get_facecolor()[0]), parts[0].get_paths()[0].vertices.tobytes()) for _ in parts
        }
    assert len({colour for colour, _ in looks}) == len({shape for _, shape in looks}) == 3
    (legend,) = figure.drawing.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["CDS: 4, GC 34 %", "intron: 4, GC 45 %", "5′ UTR: 4, GC 56 %"]


def test_one_unit_is_as_long_across_as_up():
    figure = plot.embedding_map(toy())
    for ax in figure.drawing.axes:
        (x0, y0), (x1, y1) = ax.transData.transform([(0, 0), (1, 1)])
        assert x1 - x0 == pytest.approx(y1 - y0)


def test_nothing_is_cut_and_nothing_overlaps():
    names = [f"a_rather_long_element_{index}" for index in range(14)]
    figure = plot.embedding_map(toy(elements=names), width=9.0)
    figure.drawing.canvas.draw()
    page = figure.drawing.bbox
    texts = [
        *found(figure, "numbers"),
        *found(figure, "panel"),
        *found(figure, "region"),
        *found(figure, "title"),
    ]
    texts += figure.drawing.legends[0].get_texts()
    boxes = [text.get_window_extent() for text in texts]
    assert all(
        page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1 for box in boxes
    )
    for index, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[index + 1 :]), texts[index].get_text()
    for ax in figure.drawing.axes:
        panel = ax.get_window_extent()
        assert not any(panel.overlaps(box) for box in boxes)
    assert len({projected.look(index) for index in range(14)}) == 14


def test_the_cursor_reads_places_as_people_write_them():
    maps = toy()
    figure = plot.embedding_map(maps, ["layer 0", "4-mers"], link=LINK)
    data = said(figure)
    assert data["n"] == 12
    assert data["texts"][0] == "chr20:1,001–1,600 (+)  ·  CDS  ·  gene: GATA1  ·  GC 30 %"
    assert data["texts"][1].startswith("chr20:2,001–2,600 (−)  ·  CDS")
    assert data["texts"][11] == "chr20:12,001–12,600 (+)  ·  5′ UTR  ·  GC 60 %"
    assert data["regions"][0] == "chr20:1001-1600"
    assert data["link"] == LINK
    places = np.frombuffer(base64.b64decode(data["places"]), "<f4").reshape(2, 12, 2)
    width, height = figure.drawing.get_size_inches() * figure.drawing.dpi
    for panel, ax in enumerate(figure.drawing.axes):
        row = [0, 11][panel]
        there = ax.transData.transform(maps.coordinates[row])
        np.testing.assert_allclose(places[panel] * [width, height], there * [1, -1] + [0, height], atol=0.01)
        box = ax.get_window_extent()
        assert (there[:, 0] > box.x0).all()
        assert (there[:, 0] < box.x1).all()


def test_the_alt_sentence_is_made_of_the_numbers():
    figure = plot.embedding_map(toy(), ["layer 0", "random twin, layer 4"], title="Where are exons?")
    assert figure.alt == (
        "Where are exons? 12 windows (CDS 4, intron 4 and 5′ UTR 4) in 2 maps. Purity of neighbours in the vectors: "
        "layer 0 0.3 (0.4 in the map); random twin, layer 4 0.39 (0.49 in the map, as with random labels)."
    )
    assert "share of the 15 nearest windows" in figure.caption


def test_names_from_files_stay_text():
    hostile = '</script><script>window.planted=1</script><img src=x onerror="alert(1)">'
    maps = toy(elements=[hostile, "intron"], gene=hostile)
    maps.panels.loc[0, "panel"] = maps.separation.loc[:3, "panel"] = hostile
    html = plot.embedding_map(maps, title=hostile).html()
    assert "<script>window" not in html
    assert "<img src=x" not in html
    assert html.count("</script>") == 2


def test_a_measure_without_a_value_says_so():
    maps = toy()
    maps.separation.loc[maps.separation["measure"] == "silhouette", "value"] = np.nan
    figure = plot.embedding_map(maps, ["layer 0"])
    assert found(figure, "numbers")[0].get_text() == "vectors: purity 0.30, silhouette: no value"
    maps.separation["value"] = np.nan
    assert plot.embedding_map(maps, ["layer 0"]).alt.endswith("in the vectors: layer 0 no value.")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"panels": ["layer 9"]}, "names of maps, one or more of layer 0, .*received 'layer 9'"),
        ({"panels": []}, "received none"),
        ({"link": "javascript:alert('{region}')"}, 'link must be a web address .*received "javascript'),
        ({"link": "https://genome.example.org"}, "with {region} where the region belongs"),
        ({"columns": 0}, "columns must be at least 1; received 0"),
    ],
)
def test_bad_input_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        plot.embedding_map(toy(), **given)


def test_coordinates_that_are_not_finite_are_refused():
    maps = toy()
    maps.coordinates[0, 3] = np.nan
    with pytest.raises(ValueError, match="finite; 1 of 12 windows of 'layer 0' have others"):
        plot.embedding_map(maps)
    assert plot.embedding_map(maps, ["layer 1"]).title == "Where does toy put genomic elements?"
