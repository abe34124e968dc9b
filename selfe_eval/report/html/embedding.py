"""JSON inside a script element: no text in it can end the element, begin a comment, or break a line."""

from __future__ import annotations

import json
from typing import Any

_SPECIAL = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&'"}
"""Only ever inside JSON strings. All that is not ASCII (U+2028 too) `json` escapes itself."""


def script_json(document: Any) -> str:
    r"""A document as JSON that may stand in a script element.

    >>> script_json({"prompt": "</script>"})
    '{"prompt":"\\u003c/script\\u003e"}'
    """
    return json.dumps(document, allow_nan=False, separators=(",", ":")).translate(_SPECIAL)
