"""A plot as a piece of a page: no style of its own, colours that follow the page's, names that clash with no other plot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline_svg(document: bytes, *, prefix: str, label: str, inks: Mapping[str, str]) -> str:
    """An SVG file as an element of an HTML page.

    Style attributes become plain attributes, which a content security policy lets through; a colour of ``inks``
    becomes the class ``fill-NAME`` or ``stroke-NAME``, which the page's style gives a colour in light and dark.

    Args:
        document: The file, as matplotlib writes it.
        prefix: Stands before every name that is referred to; unique on the page.
        label: What the picture shows, for those who do not see it.
        inks: Colour as in the file, ``#rrggbb`` -> name.
    """
    root = ET.fromstring(document)  # noqa: S314 - written by matplotlib a moment ago
    _forget_namespaces(root)
    for parent in root.iter():
        for child in [child for child in parent if child.tag in {"metadata", "style"}]:
            parent.remove(child)
    referred = {name for element in root.iter() for name in _references(element)}
    for element in root.iter():
        _name(element, referred, prefix)
        _style(element, inks)
    for unit in ("width", "height"):
        root.attrib.pop(unit, None)
    root.attrib |= {"role": "img", "aria-label": label, "stroke-linejoin": "round"}
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def _forget_namespaces(root: ET.Element) -> None:
    """In a page the element's name alone says that it is SVG."""
    for element in root.iter():
        element.tag = element.tag.partition("}")[2] or element.tag
        for name in [name for name in element.attrib if name.startswith("{")]:
            element.set(name.partition("}")[2], element.attrib.pop(name))


def _references(element: ET.Element) -> list[str]:
    return [
        *(name for value in element.attrib.values() for name in _REFERENCE.findall(value)),
        *([element.attrib["href"][1:]] if "href" in element.attrib else []),
    ]


def _name(element: ET.Element, referred: set[str], prefix: str) -> None:
    name = element.attrib.pop("id", None)
    if name in referred:
        element.set("id", f"{prefix}-{name}")
    if "href" in element.attrib:
        element.set("href", f"#{prefix}-{element.attrib['href'][1:]}")
    for key, value in element.attrib.items():
        element.set(key, _REFERENCE.sub(rf"url(#{prefix}-\1)", value))


def _style(element: ET.Element, inks: Mapping[str, str]) -> None:
    classes = []
    for rule in filter(None, element.attrib.pop("style", "").split(";")):
        key, value = (part.strip() for part in rule.split(":", 1))
        if key in {"fill", "stroke"} and value in inks:
            classes.append(f"{key}-{inks[value]}")
        elif key != "font-family":
            element.set(key, value)
    if classes:
        element.set("class", " ".join(classes))
