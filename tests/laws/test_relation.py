"""Laws of the relation rule."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from selfe_eval.score.geneval.float32 import to_float32
from selfe_eval.score.geneval.relation import Box, relations

LAW = settings(deadline=None)
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
TRANSPOSED = {"left of": "above", "above": "left of", "right of": "below", "below": "right of"}

pixel_boxes = st.tuples(*[st.integers(0, 512)] * 4).map(
    lambda c: (float(min(c[0], c[1])), float(min(c[2], c[3])), float(max(c[0], c[1])), float(max(c[2], c[3])))
)
edges = st.floats(-600, 1200, width=32)
float_boxes = st.tuples(edges, edges, edges, edges)
slacks = st.sampled_from([0.0, 0.1, 0.25, 1.0])


def renamed(found: tuple[str, ...], names: dict[str, str]) -> tuple[str, ...]:
    return tuple(sorted(names.get(name, name) for name in found))


@LAW
@given(pixel_boxes | float_boxes, pixel_boxes | float_boxes, slacks)
def test_swapping_the_boxes_gives_the_opposite_relations(a: Box, b: Box, slack: float) -> None:
    """If a is left of b then b is right of a, and likewise above and below."""
    assert relations(b, a, slack) == renamed(relations(a, b, slack), OPPOSITE)


@LAW
@given(pixel_boxes | float_boxes, pixel_boxes | float_boxes, slacks)
def test_a_mirror_swaps_left_and_right_only(a: Box, b: Box, slack: float) -> None:
    """Mirrored images have left and right exchanged, above and below unchanged."""
    mirrored = [(-box[2], box[1], -box[0], box[3]) for box in (a, b)]
    left_right = {"left of": "right of", "right of": "left of"}

    assert relations(mirrored[0], mirrored[1], slack) == renamed(relations(a, b, slack), left_right)


@LAW
@given(pixel_boxes | float_boxes, pixel_boxes | float_boxes, slacks)
def test_transposing_exchanges_the_axes(a: Box, b: Box, slack: float) -> None:
    """The two axes are treated alike: exchanging x and y exchanges left with above and right with below."""
    transposed = [(box[1], box[0], box[3], box[2]) for box in (a, b)]

    assert relations(transposed[0], transposed[1], slack) == renamed(relations(a, b, slack), TRANSPOSED)


@LAW
@given(pixel_boxes | float_boxes, pixel_boxes | float_boxes, slacks)
def test_at_most_two_relations_hold_and_never_opposite_ones(a: Box, b: Box, slack: float) -> None:
    """The names are sorted, at most one of each axis."""
    found = relations(a, b, slack)

    assert len(found) <= 2
    assert list(found) == sorted(found)
    assert not any(OPPOSITE[name] in found for name in found)


@LAW
@given(pixel_boxes, pixel_boxes, st.integers(0, 3))
def test_the_size_of_the_image_does_not_matter(a: Box, b: Box, doublings: int) -> None:
    """Whole-pixel boxes keep their relations when the image is doubled, exactly so in binary arithmetic."""
    scaled = [
        (box[0] * 2**doublings, box[1] * 2**doublings, box[2] * 2**doublings, box[3] * 2**doublings)
        for box in (a, b)
    ]

    assert relations(scaled[0], scaled[1]) == relations(a, b)


@LAW
@given(pixel_boxes, pixel_boxes, st.integers(-512, 512), st.integers(-512, 512))
def test_the_place_in_the_image_does_not_matter(a: Box, b: Box, right: int, down: int) -> None:
    """Whole-pixel boxes keep their relations when both are moved alike."""
    moved = [(box[0] + right, box[1] + down, box[2] + right, box[3] + down) for box in (a, b)]

    assert relations(moved[0], moved[1]) == relations(a, b)


@LAW
@given(pixel_boxes | float_boxes, slacks)
def test_no_object_lies_beside_itself(a: Box, slack: float) -> None:
    """A box has no relation to itself."""
    assert relations(a, a, slack) == ()


@LAW
@given(pixel_boxes, st.integers(1, 512))
def test_boxes_beside_each_other_in_one_row_have_one_relation(a: Box, gap: int) -> None:
    """A copy of a box, moved right until the two are apart, is right of it and nothing else."""
    shift = a[2] - a[0] + gap

    assert relations((a[0] + shift, a[1], a[2] + shift, a[3]), a) == ("right of",)


def in_numpy(a: Box, b: Box, slack: float) -> set[str]:
    """The rule once more, with float32 arrays instead of rounded doubles."""
    first, second = (np.array(box, dtype=np.float32).reshape(2, 2) for box in (a, b))
    offset = (first[0] + first[1]) / np.float32(2) - (second[0] + second[1]) / np.float32(2)
    extents = np.abs(first[1] - first[0]) + np.abs(second[1] - second[0])
    shrunk = np.sign(offset) * np.maximum(np.abs(offset) - np.float32(slack) * extents, np.float32(0))
    if (np.abs(shrunk) < np.float32(1e-3)).all():
        return set()
    x, y = shrunk / np.sqrt(offset[0] * offset[0] + offset[1] * offset[1])
    tests = {"left of": x < -0.5, "right of": x > 0.5, "above": y < -0.5, "below": y > 0.5}
    return {name for name, holds in tests.items() if holds}


@LAW
@given(pixel_boxes | float_boxes, pixel_boxes | float_boxes, slacks)
def test_the_arithmetic_is_that_of_float32_arrays(a: Box, b: Box, slack: float) -> None:
    """Rounding every double to single precision gives what a float32 unit gives."""
    assert set(relations(a, b, slack)) == in_numpy(a, b, slack)


def boxes_on_the_edge(box: Box, other: Box) -> list[Box]:
    """``box`` with right sides that are float32 neighbours, around one at which its relations change."""

    def ending_at(x: np.float32) -> Box:
        return (box[0], box[1], float(x), box[3])

    low, high = np.float32(-600), np.float32(1200)
    at_low = relations(ending_at(low), other)
    while (middle := np.float32((low + high) / 2)) not in {low, high}:
        low, high = (middle, high) if relations(ending_at(middle), other) == at_low else (low, middle)
    neighbours = [low]
    for _ in range(8):
        before = np.nextafter(neighbours[0], np.float32(-np.inf))
        after = np.nextafter(neighbours[-1], np.float32(np.inf))
        neighbours = [before, *neighbours, after]
    return [ending_at(x) for x in neighbours]


def test_pairs_on_the_edge_of_the_rule_fall_where_float32_puts_them() -> None:
    """Within eight roundings of a change of relations, every single rounding is the float32 unit's."""
    rng = np.random.default_rng(0)
    for a0, a1, a2, a3, b0, b1, b2, b3 in rng.uniform(0, 512, (500, 8)).astype(np.float32).tolist():
        other = (b0, b1, b2, b3)
        for box in boxes_on_the_edge((a0, a1, a2, a3), other):
            assert set(relations(box, other)) == in_numpy(box, other, 0.1)


@LAW
@given(st.floats(-1e30, 1e30))
def test_rounding_to_single_precision_is_numpys(value: float) -> None:
    """The struct module and numpy round to the same float32."""
    assert to_float32(value) == float(np.float32(value))
