from __future__ import annotations

import json

import pytest

from selfe_eval.report.html.embedding import script_json


@pytest.mark.parametrize(
    "text",
    [
        "</script><script>alert(1)</script>",
        "<!--",
        "]]>",
        "a\u2028b\u2029c",
        "'&amp;\"\\",
        "\ud800",
        "\x00\x7f",
    ],
)
def test_no_text_can_leave_its_script_element(text: str) -> None:
    """Embedded JSON is ASCII without markup or line separators, and parses to what went in."""
    embedded = script_json({text: [text]})

    assert embedded.isascii()
    assert not set("<>&'\u2028\u2029") & set(embedded)
    assert json.loads(embedded) == {text: [text]}


def test_what_is_no_json_is_refused() -> None:
    """NaN cannot be embedded."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json([float("nan")])
