"""The report and the recipe as files: from whatever is there, the same again, and never a number that is not one."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from selfe_eval.cli.app import load_verb
from selfe_eval.errors import UntrustworthyError
from selfe_eval.report.cells import value_and_half_width
from selfe_eval.report.reference.__main__ import main
from selfe_eval.report.reference.document import RECIPE, REPORT, render
from selfe_eval.report.reference.results import DETECTOR, Calibration, read_calibration, read_results
from tests.repository import ROOT
from tests.unit.report.reference import made_documents as made

RESULTS = ROOT / "results"
CHECKPOINTS = ROOT / "model" / "checkpoints"
LEFT_OUT = "*Left out: "

CURVE = {1: 0.1, 2: 0.3, 4: 0.5, 8: 0.6, 50: 0.7}
CURVES = {
    name: {steps: value + shift for steps, value in CURVE.items()}
    for name, shift in (
        ("flow_matching", 0.0),
        ("imm", 0.05),
        ("self_e", 0.1),
        ("self_e-convex", 0.05),
        ("self_e-noise", 0.2),
    )
}
MEASURED = {
    name: {"self_e": CURVE, "imm": CURVE} for name in ("fid[openmoji-clip]", "coverage[openmoji-clip]")
}
CELLS: dict[made.Sampler, made.Curve] = {("next", 1.0, None): CURVE, ("next", 1.0, 1.0): CURVES["imm"]}
DOCUMENTS: Mapping[str, dict[str, Any]] = {
    "ablation": made.ablation(CURVES, "flow_matching", MEASURED),
    "ablation-self_e": made.ablation(CURVES, "self_e"),
    "ablation-pairs": made.ablation(CURVES, "flow_matching", {"spread[openmoji-clip]": {"self_e": CURVE}}),
    "schedules": made.schedules(CELLS),
    "grid-search": made.schedules(CELLS),
    "grid": made.schedules(CELLS),
    "probe": made.probe({"early": {0.1: 0.4, 0.5: None}, "late": {0.1: 0.8, 0.5: 0.9}}),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of results with the committed templates and the bundled models' runs, and nothing else."""
    for name in (REPORT, RECIPE):
        shutil.copy(RESULTS / f"{name}.jinja", tmp_path)
    for model in ("flow-tiny", "selfe-tiny"):
        shutil.copytree(RESULTS / "openmoji" / model, tmp_path / "openmoji" / model)
    return tmp_path


def report_of(folder: Path) -> str:
    main(folder)
    return (folder / REPORT).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [REPORT, RECIPE])
def test_committed_documents_are_what_the_program_writes(name: str) -> None:
    """The committed page is its template with the numbers of the committed files, byte for byte."""
    text = render(RESULTS / f"{name}.jinja", read_results(RESULTS, CHECKPOINTS))

    assert (RESULTS / name).read_bytes() == text.encode()


def test_figures_and_the_report_name_each_other() -> None:
    """Every figure that the report shows is there, and every figure that is there is shown."""
    shown = re.findall(r"[(\"]figures/([^)\"]+)[)\"]", (RESULTS / REPORT).read_text(encoding="utf-8"))
    folder = RESULTS / "figures"

    assert sorted(shown) == sorted(path.name for path in folder.glob("*"))
    assert sum(path.stat().st_size for path in folder.glob("*")) < 1_500_000


def strings_in(value: Any) -> Iterator[str]:
    """Every string of a JSON document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for item in value.values() for text in strings_in(item))
    elif isinstance(value, list):
        yield from (text for item in value for text in strings_in(item))


def test_committed_results_name_no_path_of_a_machine() -> None:
    """Commands and folders in committed results are relative: they are the same wherever the repository lies."""
    paths = [path for name in ("openmoji", "reference") for path in sorted((RESULTS / name).rglob("*.json"))]
    absolute = [
        f"{path.relative_to(RESULTS)}: {text}"
        for path in paths
        for text in strings_in(json.loads(path.read_bytes()))
        if re.search(r"(^|[\s=])/\w", text)
    ]

    assert paths
    assert absolute == []


def test_a_report_can_be_made_of_nothing(tmp_path: Path) -> None:
    """Where no result is there each section says which file it waits for."""
    shutil.copy(RESULTS / f"{REPORT}.jinja", tmp_path)
    shutil.copy(RESULTS / f"{RECIPE}.jinja", tmp_path)
    text = report_of(tmp_path)

    for name in ("openmoji/selfe-tiny", "reference/ablation.json", "reference/probe.json", "figures/fid.png"):
        assert f"`results/{name}`" in text
    assert not list(tmp_path.glob("figures/*"))


def test_a_report_of_everything_leaves_nothing_out(folder: Path) -> None:
    """With every file there each section has its tables and figures, and all figures written are shown."""
    made.write_documents(folder, DOCUMENTS)
    (folder / "figures").mkdir()
    for model in ("imm", "self_e", "flow_matching"):
        Image.new("RGB", (8, 8)).save(folder / "figures" / f"samples-{model}.png")
    text = report_of(folder)

    assert LEFT_OUT not in text
    for path in (folder / "figures").iterdir():
        assert f"figures/{path.name}" in text
    for part in (
        "| self_e-noise |",
        "**helps**",
        "minus self_e",
        "| early |",
        "FID°",
        "spread°",
        "agrees",
        "2208 of 2212",
    ):
        assert part in text


def test_no_number_is_one_that_is_not_known(folder: Path) -> None:
    """Values, errors and p-values that are null become dashes: neither nan nor None is ever printed."""
    documents = {stem: _without_numbers(document) for stem, document in DOCUMENTS.items()}
    made.write_documents(folder, documents)
    text = report_of(folder)

    assert not re.search(r"\b(nan|NaN|None|inf)\b", text)


def _without_numbers(value: Any) -> Any:
    """The document with every estimate, difference and mean unknown."""
    if isinstance(value, list):
        return [_without_numbers(item) for item in value]
    if not isinstance(value, dict):
        return value
    unknown = dict.fromkeys(("value", "se", "ci", "delta", "p", "p_adjusted"))
    return {name: unknown.get(name, _without_numbers(item)) for name, item in value.items()}


@pytest.mark.parametrize("content", ["{", '{"x": NaN}', "[]", '{"partial": true}'])
def test_documents_that_cannot_be_believed_are_refused(folder: Path, content: str) -> None:
    """A damaged document, and one of a part of the suite, end the report with the way to a better one."""
    made.write_documents(folder, {})
    (folder / "reference" / "probe.json").write_text(content)

    with pytest.raises(UntrustworthyError, match=r"probe\.json.*Write it again"):
        main(folder)


def rendered(folder: Path, template: str) -> str:
    """A template of a test's own with the numbers of a folder."""
    (folder / "own.md.jinja").write_text(template, encoding="utf-8")
    return render(folder / "own.md.jinja", read_results(folder, CHECKPOINTS))


def test_how_a_document_was_made_is_shown_as_noted(folder: Path) -> None:
    """made.json gives the rows and times of the experiments; what it does not say is a dash."""
    noted = {"probe": {"command": "selfe-eval probe", "commit": "abc", "seconds": 1234.4}}
    made.write_documents(folder, {"probe": DOCUMENTS["probe"], "made": noted})

    assert "| probe | selfe-eval probe | abc | - | - | 1,234 | - |" in rendered(folder, "{{ provenance() }}")
    assert rendered(folder, '{{ time_of("probe") }}, {{ time_of("grid") }}') == "21 min, not noted"


def test_sentences_take_numbers_from_the_files(folder: Path) -> None:
    """Prose asks for scores, metrics and outcomes by name; what is not there is a dash."""
    made.write_documents(folder, DOCUMENTS)
    row = read_results(folder, CHECKPOINTS).runs["selfe-tiny"].summary.rows[0]
    asked = '{{ geneval("selfe-tiny", 1) }}; {{ geneval("other", 1) }}; {{ measured("other", "fid", 1) }}; {{ outcome("Q2") }}'

    assert rendered(folder, asked) == f"{value_and_half_width(row.overall)}; -; -; helps"
    assert rendered(folder, '{{ outcome("Q1") }} {{ has("probe") }} {{ has("other") }}') == "- True False"

    asked = '{{ spread("self_e", 2) }}; {{ spread("self_e", 3) }}; {{ spread("other", 2) }}'
    assert rendered(folder, asked) == "30.0 ±2.0; -; -"


def test_how_much_of_many_steps_few_keep(folder: Path) -> None:
    """The ratio of two scores of a run, for a sentence; a dash where one of them was not measured."""
    rows = {row.steps: row for row in read_results(folder, CHECKPOINTS).runs["selfe-tiny"].summary.rows}
    few, many = (rows[steps].overall.value for steps in (2, 50))
    asked = '{{ ratio("selfe-tiny", 2, 50) }} {{ ratio("selfe-tiny", 3, 50) }} {{ ratio("other", 2, 50) }}'

    assert few is not None
    assert many is not None
    assert rendered(folder, asked) == f"{few / many:.2f} - -"


def test_the_time_of_trainings_counts_what_is_shared_once(folder: Path) -> None:
    """Five trainings of 1000 s, 200 s of each its own (100 steps of 2 s): 800 + 5 x 200 s."""
    made.write_documents(folder, DOCUMENTS)

    assert rendered(folder, "{{ training_time() }}") == "30 min"


def test_a_bundled_models_training_is_what_its_checkpoint_says(folder: Path) -> None:
    """A variant's training stands in the ablation's document, a bundled model's in its checkpoint, found by the weights."""
    made.write_documents(folder, DOCUMENTS)
    shutil.copytree(folder / "openmoji" / "selfe-tiny", folder / "openmoji" / "self_e")
    training = json.loads((CHECKPOINTS / "selfe-tiny" / "config.json").read_bytes())["training"]
    images, seconds = (f"{training[name]:,}" for name in ("images_seen", "seconds"))
    text = rendered(folder, "{{ provenance() }}")

    assert re.search(rf"^\| selfe-tiny \| \w+ \| 2 \| {images} \| {seconds} \|", text, re.MULTILINE)
    assert re.search(r"^\| self_e \| \w+ \| 2 \| 64,000 \| 800 \+ 200 \|", text, re.MULTILINE)
    assert rendered(folder, '{{ images_seen("selfe-tiny") }} {{ images_seen("other") }}') == f"{images} -"
    assert re.fullmatch(r"[\d.]+ (min|h)", rendered(folder, '{{ training_time("selfe-tiny") }}'))
    assert rendered(folder, '{{ training_time("other") }}') == "not noted"


def test_the_time_of_drawing_is_that_of_the_runs(folder: Path) -> None:
    """Two images of each of 553 prompts at 0.05 s make 55 s; a run that is not there has no time."""
    path = folder / "openmoji" / "selfe-tiny" / "summary.json"
    summary = json.loads(path.read_bytes())
    rows = [{**summary["rows"][0], "seconds_per_image": 0.05}]
    path.write_text(json.dumps({**summary, "images_per_prompt": 2, "rows": rows}))

    assert rendered(folder, '{{ drawing_time("selfe-tiny") }}') == "55 s"
    assert rendered(folder, '{{ drawing_time("other") }}') == "not noted"


def test_calibration_is_that_of_the_bundled_judge() -> None:
    """The counts are those of the detector's README, all broken scenes together, for the weights beside it."""
    found = read_calibration(CHECKPOINTS / DETECTOR)

    assert isinstance(found, Calibration)
    assert found.intact == (2208, 2212)
    assert found.broken == (1306, 1306)  # 553 + 194 + 379 + 80 + 100, from that table
    assert read_calibration(CHECKPOINTS / "selfe-tiny") is None


def test_commands_of_the_recipe_parse() -> None:
    """The command line takes every command of the recipe as it stands; shell loops aside."""
    text = (RESULTS / RECIPE).read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)).replace(
        "\\\n", " "
    )
    lines = [line.strip() for line in blocks.splitlines() if line.strip().startswith("selfe-eval ")]
    for line in lines:
        _, verb, *words = shlex.split(line.partition(" > ")[0])
        load_verb(verb).make_context(verb, words)

    assert {"ablate", "sweep", "schedules", "probe", "leaderboard", "sample"} <= {
        line.split()[1] for line in lines
    }


def test_make_results_prints_the_recipe_and_runs_nothing() -> None:
    """The target has no prerequisite and shows the committed recipe."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    target = re.search(r"^results:(.*)\n((?:\t.*\n)+)", makefile, re.MULTILINE)

    assert target is not None
    assert target.groups() == ("", f"\t@cat results/{RECIPE}\n")
