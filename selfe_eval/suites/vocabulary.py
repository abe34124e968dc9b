"""GenEval's 80 class names and the two spelling rules of its prompts.

The rules are wrong English in places ("two toothbrushs", "four knifes", "two sheeps"): those sentences are
part of the benchmark and must not be repaired.

Source: djghosh13/geneval at af4902f, ``prompts/object_names.txt`` and ``prompts/create_prompts.py`` (MIT).
"""

from __future__ import annotations

CLASSES: tuple[str, ...] = (
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "computer mouse",
    "tv remote",
    "computer keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
)
"""In COCO order: the position is the class index of every detector here."""

NUMBER_WORDS: dict[int, str] = {2: "two", 3: "three", 4: "four"}
"""The counts that occur in counting prompts, as the prompts spell them."""


def article(noun: str) -> str:
    """The indefinite article GenEval puts before a word.

    Args:
        noun: The word that follows: a class, or a colour where one stands before the class.

    Returns:
        ``an`` if the first letter is one of a, e, i, o, u, else ``a``.

    >>> article("umbrella"), article("bench")
    ('an', 'a')
    """
    return "an" if noun[0] in "aeiou" else "a"


def plural(noun: str) -> str:
    """The plural as GenEval writes it: ``es`` after an s, else ``s``.

    Args:
        noun: A class name.

    Returns:
        The plural, grammatical or not.

    >>> plural("bus"), plural("bench"), plural("scissors")
    ('buses', 'benchs', 'scissorses')
    """
    return noun + ("es" if noun.endswith("s") else "s")
