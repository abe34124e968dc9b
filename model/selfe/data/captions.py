"""Captions as data sets store them: plain text, or a field of a JSON object."""

from __future__ import annotations

import json
from typing import Any

from selfe.data.pictures import BrokenPictureError

CAPTION_FIELDS = ("text", "caption")
"""Where a record may keep its caption; the first that is there counts. "text" is Hugging Face's, "caption" img2dataset's."""


def text_caption(content: bytes, name: str) -> str:
    """A caption file's text, without the white space around it.

    Raises:
        BrokenPictureError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise BrokenPictureError(f"{name}: its caption is not UTF-8 ({error})") from error


def json_record(content: bytes, name: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BrokenPictureError: it is something else.
    """
    try:
        record = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BrokenPictureError(
            f"{name}: expected JSON in UTF-8 ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(record, dict):
        raise BrokenPictureError(f"{name}: expected a JSON object, found {type(record).__name__}")
    return record


def record_caption(record: dict[str, Any], name: str) -> str:
    """The caption of a record, without the white space around it.

    Raises:
        BrokenPictureError: it has none, or one that is not text.
    """
    for field in CAPTION_FIELDS:
        if field in record:
            caption = record[field]
            if isinstance(caption, str) and _is_unicode(caption):
                return caption.strip()
            raise BrokenPictureError(f"{name}: {field!r} must be a text, found {caption!r:.60}")
    expected = " or ".join(map(repr, CAPTION_FIELDS))
    raise BrokenPictureError(f"{name}: expected a caption in {expected}, found the columns {sorted(record)}")


def _is_unicode(text: str) -> bool:
    """False for the halves of surrogate pairs that JSON can spell and no tokeniser can read."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
