from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import huggingface_hub
import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.records import Suite
from selfe_eval.report.hugging_face import (
    ExportedRun,
    as_yaml,
    eval_results,
    front_matter,
    guidance_of,
    model_index,
)
from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.report.summary import Summary
from tests.unit.report.conftest import make_record

MakeRun = Callable[..., ScoredRun]


@pytest.fixture
def run(suite: Suite, rising: Summary, swept: MeasureSet) -> ExportedRun:
    """GenEval and everything else at 2, 8 and 50 steps, drawn with guidance 2."""
    ids = tuple(prompt.prompt_id for prompt in suite.prompts)
    record = make_record(suite, model="selfe-tiny", steps=(2, 8, 50), images=4, prompt_ids=ids)
    attempt = {"started_at": "2026-11-23T10:05:58+00:00"}
    return ExportedRun(
        record=replace(record, generator={"sampler": {"guidance": 2.0}}, attempts=(attempt,)),
        summary=rising,
        measures=swept,
    )


def card_results(run: ExportedRun, **options: Any) -> tuple[str, list[EvalResult]]:
    """What the hub's own reader finds at the head of a card."""
    card = ModelCard(front_matter(model_index(run, **options)) + "\n# Model card\n")
    return card.data.get("model_name"), card.data.get("eval_results")


def test_a_card_with_the_block_is_read_by_the_hubs_own_classes(run: ExportedRun) -> None:
    """Name, task, data set, value and arguments of every metric at every step count arrive in EvalResult."""
    name, results = card_results(run)
    first = results[0]
    row = run.summary.rows[0]  # type: ignore[union-attr]

    assert name == "selfe-tiny"
    assert len(results) == 3 + 3 * len(run.measures.measures)  # type: ignore[union-attr]
    assert {result.task_type for result in results} == {"text-to-image"}
    assert (first.metric_type, first.metric_name) == ("geneval", "GenEval at 2 steps")
    assert first.metric_value == row.overall.value
    assert first.dataset_args == {"suite_sha256": "5" * 64, "prompts": "original"}
    asked = {
        "steps": 2,
        "nfe": 4,
        "guidance": 2.0,
        "images_per_prompt": 4,
        "num_prompts": 240,
        "num_images": 960,
    }
    assert asked.items() <= (first.metric_args or {}).items()
    assert first.metric_args is not None
    assert tuple(first.metric_args["confidence_interval_95"]) == row.overall.ci
    assert first.metric_args["protocol_sha256"] == run.summary.scorer_sha256  # type: ignore[union-attr]
    assert {result.metric_type for result in results} >= {"fid[openmoji-clip]", "clip-score[openmoji-clip]"}


def test_the_block_survives_the_hubs_own_writer(run: ExportedRun) -> None:
    """Read and written by the hub's library, the document is the same: no field of it is lost or renamed."""
    index = model_index(run, source_url="https://example.org/run")["model-index"]
    name, results = model_index_to_eval_results(index)

    assert eval_results_to_model_index(name, results) == index
    assert {result.source_url for result in results} == {"https://example.org/run"}


def test_a_file_of_results_is_read_by_the_hubs_own_classes(run: ExportedRun) -> None:
    """One number of one step count with its data set, date, source and notes."""
    entries = eval_results(
        run, steps=8, dataset="owner/geneval", task_id="overall", source_url="https://example.org/run"
    )
    read = yaml.safe_load(as_yaml(entries))
    (parsed,) = huggingface_hub.parse_eval_result_entries(read)

    assert huggingface_hub.eval_result_entries_to_yaml([parsed]) == read
    assert (parsed.dataset_id, parsed.task_id) == ("owner/geneval", "overall")
    assert parsed.value == run.summary.rows[1].overall.value  # type: ignore[union-attr]
    assert parsed.date == "2026-11-23T10:05:58+00:00"
    assert parsed.source_url == "https://example.org/run"
    assert parsed.notes is not None
    assert parsed.notes.startswith("8 steps (16 network evaluations), guidance 2; 6")
    assert "±" in parsed.notes
    assert "suite openmoji" in parsed.notes


def test_nothing_unknown_is_written(run: ExportedRun) -> None:
    """Without guidance, date and source there is no such key: null is never guessed at."""
    bare = replace(run, record=replace(run.record, generator={}, attempts=()), measures=None)
    (entry,) = eval_results(bare, steps=8, dataset="owner/geneval")

    assert set(entry) == {"dataset", "value", "notes"}
    assert "guidance" not in entry["notes"]
    assert "null" not in front_matter(model_index(bare))
    assert "source:" not in front_matter(model_index(bare))


def test_a_run_with_several_step_counts_must_say_which(run: ExportedRun) -> None:
    """A file holds one number; a step count that is not there is refused with those that are."""
    for steps in (None, 3):
        with pytest.raises(UsageError, match="2, 8, 50"):
            eval_results(run, steps=steps, dataset="owner/geneval")


def test_a_run_with_one_step_count_need_not_say_it(run: ExportedRun, make_run: MakeRun) -> None:
    """There is only one number to show."""
    one = replace(run, summary=make_run({4: 0.5}).summary)

    assert eval_results(one, steps=None, dataset="owner/geneval")[0]["notes"].startswith("4 steps")


@pytest.mark.parametrize("dataset", ["geneval", "/geneval", "owner/", "a/b/c"])
def test_a_data_set_is_owner_and_name(run: ExportedRun, dataset: str) -> None:
    """Anything else is refused before a file is written."""
    with pytest.raises(UsageError, match="owner/name"):
        eval_results(run, steps=8, dataset=dataset)


def test_partial_runs_are_refused(run: ExportedRun, make_run: MakeRun) -> None:
    """Neither form can say that a run is partial."""
    partial = replace(run, summary=make_run({2: 0.5}, prompt_ids=tuple(range(0, 240, 3))).summary)

    with pytest.raises(UntrustworthyError, match="partial"):
        model_index(partial)
    with pytest.raises(UntrustworthyError, match="partial"):
        eval_results(partial, steps=2, dataset="owner/geneval")


def test_other_protocols_keep_their_name_and_join_no_benchmark(run: ExportedRun, make_run: MakeRun) -> None:
    """Another judge and rewritten prompts are named in a card, and refused where all numbers stand in one list."""
    variant = replace(run, summary=make_run({2: 0.5}, scorer={"variant": "hf-weights"}).summary)
    rewritten = replace(run, summary=replace(run.summary, suite="openmoji[rewritten]"))  # type: ignore[type-var]
    only_fid = replace(run, summary=None)

    assert card_results(variant)[1][0].metric_type == "geneval[hf-weights]"
    assert "rewritten prompts" in card_results(rewritten)[1][0].dataset_name
    for other in (variant, rewritten, only_fid):
        with pytest.raises(UntrustworthyError, match="model-index"):
            eval_results(other, steps=2, dataset="owner/geneval")


def test_guidance_is_found_wherever_an_adapter_says_it(run: ExportedRun) -> None:
    """Checkpoints say it in their sampler, pipelines in their guidance; others do not say."""
    said: tuple[dict[str, Any], ...] = (
        {"sampler": {"guidance": 2.0}},
        {"guidance": {"scale": 3.5}},
        {"guidance": {"scale": None}},
        {},
    )

    found = [guidance_of(replace(run.record, generator=generator)) for generator in said]

    assert found == [2.0, 3.5, None, None]


def test_text_stays_text(run: ExportedRun) -> None:
    """A name with YAML's own signs comes back as it was."""
    odd = "a: [b] #c\n--- 'd' \"e\" <script>"
    renamed = replace(run, summary=replace(run.summary, model=odd), measures=None)  # type: ignore[type-var]

    assert card_results(renamed)[0] == odd
