from __future__ import annotations

import base64
from dataclasses import replace

from selfe_eval.report.html.content import ShownRun
from selfe_eval.report.html.gallery import NOTHING, gallery


def test_every_image_has_its_verdict_and_its_picture(shown: ShownRun) -> None:
    """Unpacked by the places that the document gives, each image is what was put in."""
    made = gallery([shown], with_pictures=True)
    entries = {entry["id"]: entry for entry in made.document["prompts"]}
    steps = made.document["runs"][0]["steps"]

    for image in shown.images:
        packed = entries[image.key.prompt_id]["runs"][0][steps.index(image.key.steps)][image.key.image_index]
        assert packed[1] == image.correct
        if image.thumbnail is None:
            assert packed[0] == NOTHING
            assert made.document["texts"][packed[3]] == image.fault
        else:
            start, end, width, height = made.document["pictures"][packed[0]]
            assert base64.b64decode(made.pictures[start:end]) == image.thumbnail.webp
            assert (width, height) == image.thumbnail.size


def test_boxes_come_with_class_color_and_score(shown: ShownRun) -> None:
    """A mark names its class and colour by their place among the texts, rounds its numbers and says if it counts."""
    document = gallery([shown], with_pictures=True).document
    weak, strong = document["prompts"][0]["runs"][0][0][0][4:]

    assert document["texts"][weak[0]] == "cat"
    assert weak[1:] == [1.0, 2.0, 3.0, 4.0, 0.25, NOTHING, 0]
    assert [document["texts"][strong[0]], document["texts"][strong[6]]] == ["dog", "red"]
    assert strong[1:6] == [0.0, 0.0, 4.0, 8.0, 0.912]
    assert strong[7] == 1


def test_a_picture_is_in_the_file_once(shown: ShownRun) -> None:
    """Images of equal bytes share one picture."""
    first = shown.images[0].thumbnail
    alike = replace(shown, images=tuple(replace(image, thumbnail=first) for image in shown.images))
    made = gallery([alike, alike], with_pictures=True)

    assert first is not None
    assert base64.b64decode(made.pictures) == first.webp


def test_a_missing_verdict_is_not_a_wrong_one(shown: ShownRun) -> None:
    """None becomes a value of its own."""
    unjudged = replace(shown, images=(replace(shown.images[0], correct=None),))
    (entry,) = gallery([unjudged], with_pictures=True).document["prompts"]

    assert entry["runs"][0][0][0][1] == NOTHING


def test_runs_meet_prompt_by_prompt(shown: ShownRun, other: ShownRun) -> None:
    """Two runs of one suite share the entries of their prompts; a prompt of one run alone has null for the other."""
    fewer = replace(other, images=tuple(image for image in other.images if image.key.prompt_id))
    entries = gallery([shown, fewer], with_pictures=True).document["prompts"]

    assert len(entries) == 12
    assert [entry["id"] for entry in entries if entry["runs"][1] is None] == [0]


def test_faults_are_counted_unless_no_pictures_were_wanted(shown: ShownRun) -> None:
    """What cannot be shown is counted; a page that was to have no pictures misses none."""
    assert gallery([shown], with_pictures=True).num_faults == 1
    assert gallery([shown], with_pictures=False).num_faults == 0


def test_held_out_prompts_are_marked(shown: ShownRun) -> None:
    """Each prompt says whether its combination was held out; of a suite without such prompts none says anything."""
    marked = {
        entry["id"]: entry["unseen"] for entry in gallery([shown], with_pictures=True).document["prompts"]
    }
    suite = replace(shown.suite, unseen=frozenset())
    silent = gallery([replace(shown, suite=suite)], with_pictures=True).document["prompts"]

    assert {number for number, unseen in marked.items() if unseen == 1} == shown.suite.unseen & set(marked)
    assert {entry["unseen"] for entry in silent} == {NOTHING}
