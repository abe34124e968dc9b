"""The documents of the reference results: templates with the prose in them, filled with tables and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from selfe_eval.report import cells
from selfe_eval.report.experiment import TextTable
from selfe_eval.report.markdown import markdown_table, markdown_text
from selfe_eval.report.published_ablations import ablations_table, published_ablations
from selfe_eval.report.reference import provenance, questions, sampling, variants
from selfe_eval.report.reference.headline import (
    FLOW,
    SELF_E,
    UNGUIDED,
    aims,
    aims_table,
    headline_notes,
    headline_table,
    kept_at,
    measure_cell,
    two_decimals,
)
from selfe_eval.report.reference.paper_order import (
    agreement_sentence,
    orders,
    orders_table,
    pairs,
    pairs_table,
)
from selfe_eval.report.reference.probing import probe_note, probe_tables
from selfe_eval.report.reference.results import (
    ABLATION,
    AGAINST_SELF_E,
    DOCUMENTS_FOLDER,
    FIGURES_FOLDER,
    GRID,
    GRID_SEARCH,
    PAIRS,
    PROBE,
    RUNS_FOLDER,
    SCHEDULES,
    BundledTraining,
    Results,
    variant_measures,
    variant_scores,
)

REPORT, RECIPE = "REPORT.md", "RECIPE.md"
"""The documents; the template of each has ``.jinja`` after its name."""

SAMPLES = "samples-"
"""Names of sample sheets begin with it, and end in the name of the model."""

_ABREAST = 2
"""Sample sheets beside each other."""
_SHEET_PX = 384
"""Their width on the page."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """What a template may ask for: each is markdown, and says so where the file that it needs is not there."""

    results: Results

    def geneval(self, run: str, steps: int) -> str:
        """A score with half of its interval, for a sentence."""
        found = self.results.runs.get(run)
        estimate = found.at(steps) if found else None
        return cells.DASH if estimate is None else cells.value_and_half_width(estimate)

    def measured(self, run: str, kind: str, steps: int) -> str:
        """Another metric, for a sentence."""
        found = self.results.runs.get(run)
        return cells.DASH if found is None else measure_cell(found, kind, steps)

    def ratio(self, run: str, few: int, many: int) -> str:
        """The score at few steps over that at many, for a sentence."""
        return two_decimals(kept_at(self.results, run, few, many))

    def images_seen(self, run: str) -> str:
        """How many pictures a bundled model was trained on, for a sentence."""
        training = self._bundled(run)
        return cells.DASH if training is None else f"{training.images_seen:,}"

    def _bundled(self, run: str) -> BundledTraining | None:
        found = self.results.runs.get(run)
        return self.results.bundled.get(found.weights_sha256) if found else None

    def spread(self, variant: str, steps: int) -> str:
        """How much the two images of a prompt differ, for a sentence."""
        document = self.results.documents.get(PAIRS)
        found = {} if document is None else variant_measures(document, "spread").get(variant, {})
        return cells.in_unit(found[steps], "share") if steps in found else cells.DASH

    def has(self, stem: str) -> bool:
        """Whether the document of an experiment is there."""
        return stem in self.results.documents

    def headline(self) -> str:
        """The bundled models, their verdicts and how the numbers were made."""
        runs = {
            name: self.results.runs[name] for name in (FLOW, SELF_E, UNGUIDED) if name in self.results.runs
        }
        if not runs:
            return _left_out(f"{RUNS_FOLDER}/{SELF_E}")
        return _joined(_table(headline_table(runs)), *headline_notes(runs))

    def aims(self) -> str:
        """What was aimed at, met or not."""
        return _table(aims_table(aims(self.results)))

    def variants(self) -> str:
        """The variants, metric by metric, and the paper's printed rows."""
        tables = variants.variant_tables(self.results)
        if not tables:
            return _left_out(f"{DOCUMENTS_FOLDER}/{ABLATION}.json")
        missing = [] if self.has(AGAINST_SELF_E) else [_left_out(f"{DOCUMENTS_FOLDER}/{AGAINST_SELF_E}.json")]
        notes = "\n".join(f"- {markdown_text(note)}" for note in variants.variant_notes(self.results))
        published = _table(ablations_table(published_ablations()))
        return _joined(*map(_table, tables), *missing, notes, published)

    def paper_order(self) -> str:
        """Whether our variants are in the paper's order."""
        documents = [self.results.documents[s] for s in (ABLATION, AGAINST_SELF_E) if self.has(s)]
        if not documents:
            return _left_out(f"{DOCUMENTS_FOLDER}/{ABLATION}.json")
        published = published_ablations()
        scores = {document["baseline"]: variant_scores(document) for document in documents}
        found = pairs(published, scores)
        parts = [_table(orders_table(orders(published, variant_scores(documents[0]))))]
        parts += [_table(pairs_table(found)), agreement_sentence(found)] if found else []
        return _joined(*parts)

    def schedules(self) -> str:
        """The best s_k and eta by step count."""
        table = sampling.schedules_table(self.results)
        return _table(table) if table else _left_out(f"{DOCUMENTS_FOLDER}/{SCHEDULES}.json")

    def grids(self) -> str:
        """The time grids."""
        missing = [f"{DOCUMENTS_FOLDER}/{stem}.json" for stem in (GRID_SEARCH, GRID) if not self.has(stem)]
        if missing:
            return _left_out(*missing)
        return _table(sampling.grids_table(sampling.chosen_grids(self.results)))

    def probe(self) -> str:
        """The probe's three measures."""
        tables = probe_tables(self.results)
        if not tables:
            return _left_out(f"{DOCUMENTS_FOLDER}/{PROBE}.json")
        return _joined(*map(_table, tables), markdown_text(probe_note(self.results)))

    def answers(self) -> str:
        """The registered questions that a training answers."""
        found = questions.answers(self.results)
        if not found:
            return _left_out(f"{DOCUMENTS_FOLDER}/{AGAINST_SELF_E}.json")
        return _table(questions.answers_table(found))

    def outcome(self, question: str) -> str:
        """The word of a question, for a sentence; a dash where it has no answer yet."""
        found = {answer.question: answer.outcome for answer in questions.answers(self.results)}
        return found.get(question, cells.DASH)

    def provenance(self) -> str:
        """Where the rows come from, the commands, and the judges."""
        if not self.results.runs:
            return _left_out(RUNS_FOLDER)
        listed = "\n".join(f"{n}. `{c}`" for n, c in enumerate(provenance.commands(self.results), start=1))
        judges = "\n".join(f"- {sentence}" for sentence in provenance.judge_sentences(self.results))
        tables = [_table(provenance.provenance_table(self.results)), listed, judges]
        if self.results.documents:
            tables.append(_table(provenance.experiments_table(self.results)))
        return _joined(*tables)

    def figure(self, name: str, text: str) -> str:
        """A figure with what it shows."""
        if name not in self.results.figures:
            return _left_out(f"{FIGURES_FOLDER}/{name}")
        return f"![{text}]({FIGURES_FOLDER}/{name})"

    def samples(self) -> str:
        """Every sample sheet, two beside each other, each below the name of its model."""
        names = [name for name in self.results.figures if name.startswith(SAMPLES)]
        if not names:
            return _left_out(f"{FIGURES_FOLDER}/{SAMPLES}MODEL.png")
        models = [name.removeprefix(SAMPLES).removesuffix(".png") for name in names]
        pictures = [
            f'<img src="{FIGURES_FOLDER}/{name}" width="{_SHEET_PX}" alt="Samples of {model}">'
            for model, name in zip(models, names, strict=True)
        ]
        rows = [
            f"| {' | '.join(line)} |"
            for start in range(0, len(names), _ABREAST)
            for line in (models[start : start + _ABREAST], pictures[start : start + _ABREAST])
        ]
        rows.insert(1, "| :-: | :-: |")
        return "\n".join(rows)

    def training_time(self, run: str | None = None) -> str:
        """How long a bundled model's training took, or all trainings of the ablation where none is named."""
        if run is None:
            return _duration(provenance.training_seconds(self.results))
        training = self._bundled(run)
        return _duration(training.seconds if training else None)

    def drawing_time(self, *runs: str) -> str:
        """How long the images of these runs took; of all but the bundled models where none is named."""
        names = runs or [name for name in self.results.runs if name not in {FLOW, SELF_E, UNGUIDED}]
        return _duration(provenance.drawn_seconds(self.results, names))

    def time_of(self, stem: str) -> str:
        """How long the command of a document took as noted; else how long the images of a sweep take to draw."""
        seconds = self.results.made.get(stem, {}).get("seconds")
        return _duration(provenance.sweep_seconds(self.results, stem) if seconds is None else float(seconds))


def render(template: Path, results: Results) -> str:
    """A template with the numbers in it.

    Args:
        template: The file; what it may ask for are the methods of `Blocks`.
        results: The numbers.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=False,  # noqa: S701 - markdown; cells are escaped by `markdown_table`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    blocks = Blocks(results)
    names = [name for name in dir(blocks) if not name.startswith("_") and name != "results"]
    return environment.get_template(template.name).render({name: getattr(blocks, name) for name in names})


def _table(table: TextTable) -> str:
    return f"**{markdown_text(table.title)}**\n\n{markdown_table(table.headings, table.rows)}"


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def _left_out(*files: str) -> str:
    verb = "is" if len(files) == 1 else "are"
    return f"*Left out: {' and '.join(f'`results/{name}`' for name in files)} {verb} not here yet.*"


def _duration(seconds: float | None) -> str:
    """Minutes from two minutes on, hours from two hours on.

    >>> _duration(None), _duration(40), _duration(400), _duration(12345)
    ('not noted', '40 s', '7 min', '3.4 h')
    """
    if seconds is None:
        return "not noted"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
