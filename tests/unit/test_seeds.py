from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from selfe_eval.seeds import image_seed

NUMBERS = st.integers(min_value=0, max_value=10**6)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_seed_is_a_non_negative_int64(run_seed: int, prompt_id: int, image_index: int) -> None:
    """Every seed fits the generators of torch and numpy: 0 <= seed < 2**63."""
    assert 0 <= image_seed(run_seed, prompt_id, image_index) < 2**63


def test_all_images_of_a_benchmark_get_different_seeds() -> None:
    """The 553 prompts with 16 images each start from 8,848 different noises."""
    assert len({image_seed(0, prompt, image) for prompt in range(553) for image in range(16)}) == 553 * 16


def test_the_rule_is_frozen() -> None:
    """The seed of an image never changes between versions, or old runs could not be reproduced.

    Origin: sha256("selfe-eval/image-seed/1/0/17/2"), first 8 bytes, shifted right by one (sha256sum).
    """
    assert image_seed(0, 17, 2) == 5687950884886581548
