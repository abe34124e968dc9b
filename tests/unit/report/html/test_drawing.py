from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest

from selfe_eval.report.html.content import ShownRun
from selfe_eval.report.html.curves import Curve, Plot, Point, plot_groups
from selfe_eval.report.html.drawing import draw

PLOT = Plot(
    title="quality",
    x_label="steps",
    y_label="per cent",
    curves=(
        Curve(
            run=0,
            points=(
                Point(x=1, steps=1, value=50.0, interval=(45.0, 55.0)),
                Point(x=4, steps=4, value=60.0, interval=None),
            ),
        ),
    ),
    front=((1, 50.0), (4, 60.0)),
)


def parsed(drawn: str) -> ET.Element:
    return ET.fromstring(drawn)  # noqa: S314 - drawn here


def test_equal_plots_have_equal_bytes() -> None:
    """Neither time nor chance nor a user's settings of matplotlib are in a drawing."""
    first = draw(PLOT, prefix="a")
    draw.cache_clear()
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path"}):
        assert draw(PLOT, prefix="a") == first


def test_a_drawing_brings_no_style_and_no_address(shown: ShownRun) -> None:
    """No style attribute or element, which the policy of the page forbids, and no address, not even a namespace."""
    for group in plot_groups([shown]):
        for number, plot in enumerate(group.plots):
            drawn = draw(plot, prefix=f"p{number}")
            assert "style" not in drawn
            assert "http" not in drawn
            assert "#c0" not in drawn, "a colour that stands for a name"


def test_drawings_on_one_page_do_not_share_names() -> None:
    """Every name begins with the prefix, and every reference leads to one of them."""
    drawn = draw(PLOT, prefix="one")
    names = re.findall(r' id="([^"]+)"', drawn)
    referred = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', drawn))

    assert names
    assert len(set(names)) == len(names)
    assert all(name.startswith("one-") for name in names)
    assert referred == set(names)


def test_a_drawing_says_what_it_shows() -> None:
    """The label of the picture holds the curve in words, and axes and ticks are text."""
    root = parsed(draw(PLOT, prefix="a"))

    assert root.attrib["aria-label"] == "quality, per cent, over steps; run 1: 50 at 1, 60 at 4"
    assert {"1", "4", "steps", "per cent"} <= {"".join(text.itertext()) for text in root.iter("text")}


@pytest.mark.parametrize("number", [1, 12])
def test_one_point_and_many_can_be_drawn(number: int) -> None:
    """A single step count has an axis, and of many only labels that do not touch are written."""
    points = tuple(Point(x=1 + place, steps=place, value=1.0, interval=None) for place in range(number))
    plot = Plot(title="t", x_label="steps", y_label="y", curves=(Curve(run=11, points=points),))
    texts = ["".join(text.itertext()) for text in parsed(draw(plot, prefix="a")).iter("text")]

    assert "1" in texts
    assert "11" not in texts


def test_labels_of_the_cost_do_not_touch() -> None:
    """Seconds close to each other share a label."""
    seconds = (0.01, 0.0153, 0.0182, 0.0218, 0.0282, 0.0386)
    points = tuple(Point(x=x, steps=1, value=1.0, interval=None) for x in seconds)
    plot = Plot(title="t", x_label="seconds", y_label="y", curves=(Curve(run=0, points=points),))
    places = [
        float(text.attrib["x"])
        for text in parsed(draw(plot, prefix="a")).iter("text")
        if "0.0" in (text.text or "")
    ]

    assert len(places) > 2
    assert all(after - before > 30 for before, after in pairwise(places))
