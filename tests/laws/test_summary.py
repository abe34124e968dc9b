"""A summary is whole whatever is missing: numbers or null, never not-a-number, and the same after its file."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.report.as_json import geneval_document
from selfe_eval.report.outcomes import ImageOutcome
from selfe_eval.report.summary import Summary, summarise, summary_bytes
from tests.fakes import small_record, small_suite

SUITE = small_suite()
RECORD = small_record(SUITE)
KEYS = planned_keys(RECORD)
MARKS = (True, False, None, "absent")


@settings(max_examples=60)
@given(
    marks=st.lists(st.sampled_from(MARKS), min_size=len(KEYS), max_size=len(KEYS)),
    around=st.lists(st.booleans(), min_size=len(KEYS), max_size=len(KEYS)),
    seconds=st.lists(st.none() | st.floats(0, 100), min_size=len(KEYS), max_size=len(KEYS)),
)
def test_whatever_is_missing_is_null(
    marks: list[bool | str | None], around: list[bool], seconds: list[float | None]
) -> None:
    """Any mix of correct, wrong, unscored and absent images gives documents without NaN, and counts that add up."""
    outcomes = {
        key: ImageOutcome(key=key, correct=mark, reason="", correct_at={} if mark is None else {0.2: other})
        for key, mark, other in zip(KEYS, marks, around, strict=True)
        if not isinstance(mark, str)
    }
    summary = summarise(
        RECORD, SUITE, outcomes, seconds=dict(zip(KEYS, seconds, strict=True)), scorer={"sha256": "7"}
    )

    assert Summary.from_json(json.loads(summary_bytes(summary))) == summary
    json.dumps(geneval_document(summary, run="run"), allow_nan=False)
    for row in summary.rows:
        num_prompts, num_images = len(SUITE.prompts), len(KEYS) // len(summary.rows)
        assert row.overall.n + row.overall.n_unscored == num_images
        for name, total in (("any", num_prompts), ("mean", num_images), ("all", num_prompts)):
            share = row.per_prompt[name]
            assert share.n + share.n_unscored == total
            assert (share.value is None) == (share.n == 0)
        shares = [row.per_prompt[name].value for name in ("all", "any")]
        assert None in shares or (shares[0] or 0.0) <= (shares[1] or 0.0)
