from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from selfe_eval import provenance
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.metrics import measured_on
from selfe_eval.pipeline import read_ahead, reference_features
from selfe_eval.pipeline.extract import FeatureViewer
from selfe_eval.pipeline.generate import generate
from selfe_eval.pipeline.look import look
from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.progress import Advance, Silence
from selfe_eval.pipeline.reference_features import cache_folder
from selfe_eval.pipeline.reference_images import ReferenceImages
from selfe_eval.pipeline.reference_statistics import ReferenceStatistics
from selfe_eval.pipeline.reference_world import ReferenceWorld, drawn_scenes, world_of
from selfe_eval.pipeline.references import Reference, find_reference, refuse_unusable
from selfe_eval.records import Suite
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.suites.registry import load_suite
from tests.fakes import FakeGenerator, MeanColor, small_record, small_suite

SUITE = small_suite()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SELFE_EVAL_CACHE", str(folder))
    return folder


def noise(number: int, size: tuple[int, int] = (8, 8)) -> NDArray[np.uint8]:
    """(H, W, 3) pixels that nobody else has."""
    return np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def pictures(folder: Path, count: int = 5, size: tuple[int, int] = (8, 8)) -> Path:
    """A folder of PNG files, some of them a folder deeper."""
    (folder / "more").mkdir(parents=True)
    for number in range(count):
        place = folder / "more" if number % 2 else folder
        Image.fromarray(noise(number, size)).save(place / f"{number}.png")
    return folder


def images(typed: Path | str) -> ReferenceImages:
    found = find_reference(str(typed), SUITE)
    assert isinstance(found, ReferenceImages)
    return found


def features(reference: Reference, extractor: MeanColor) -> NDArray[np.float32]:
    """All features of a reference at once."""
    assert not isinstance(reference, ReferenceStatistics)
    found = reference_features.reference_features(reference, extractor, Silence())
    assert found.notices == ()
    return found.rows[0 : found.rows.shape[0]]


def test_a_folder_gives_all_its_images_whatever_they_are_called(tmp_path: Path) -> None:
    """The set of contents decides hash, order and features; names, places and times decide nothing."""
    folder = pictures(tmp_path / "a")
    first, extractor = images(folder), MeanColor()
    rows = features(first, extractor)
    (folder / "0.png").rename(folder / "more" / "zzz.png")
    renamed = images(folder)

    assert (first.num_images, first.notes, extractor.shown) == (5, (), [5])
    assert renamed.record() == first.record() == {"sha256": first.sha256, "n": 5, "size": "8x8"}
    np.testing.assert_array_equal(features(renamed, extractor), rows)
    assert extractor.shown == [5]
    expected = {
        provenance.file_sha256(path): np.asarray(Image.open(path)).mean(axis=(0, 1)) for path in renamed.paths
    }
    np.testing.assert_allclose(rows, [expected[sha256] for sha256 in renamed.image_sha256], rtol=1e-6)


def test_one_changed_pixel_under_the_same_name_is_another_reference(tmp_path: Path) -> None:
    """Nothing stale is ever taken for the features of a file, even one of the same name, size and time."""
    folder = pictures(tmp_path / "a")
    first = images(folder)
    before = features(first, MeanColor())
    pixels = noise(0)
    pixels[0, 0, 0] ^= 128
    Image.fromarray(pixels).save(folder / "0.png")
    second = images(folder)
    extractor = MeanColor()

    assert second.sha256 != first.sha256
    assert not np.array_equal(features(second, extractor), before)
    assert extractor.shown == [5]


def test_another_extractor_never_meets_these_features(tmp_path: Path) -> None:
    """Other weights or settings have a folder of their own in the cache."""
    reference = images(pictures(tmp_path / "a"))
    features(reference, MeanColor())
    other = MeanColor(version=2)
    features(reference, other)

    assert other.shown == [5]


def test_a_damaged_cache_file_is_computed_again_and_the_others_are_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A torn file costs its own images, as an interruption does."""
    monkeypatch.setattr(reference_features, "BLOCK", 2)
    reference = images(pictures(tmp_path / "a"))
    rows = features(reference, MeanColor())
    files = sorted(cache.rglob("*.safetensors"))
    files[1].write_bytes(files[1].read_bytes()[:-5])
    again = MeanColor()

    np.testing.assert_array_equal(features(reference, again), rows)
    assert len(files) == 3
    assert again.shown == [2]


def test_an_interrupted_computation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was finished is not computed twice."""
    monkeypatch.setattr(reference_features, "BLOCK", 2)
    reference = images(pictures(tmp_path / "a"))

    class Interrupted(MeanColor):
        def extract(self, images: RgbImages) -> NDArray[np.float32]:
            if sum(self.shown) >= 2:
                raise KeyboardInterrupt
            return super().extract(images)

    with pytest.raises(KeyboardInterrupt):
        features(reference, Interrupted())
    again = MeanColor()
    features(reference, again)

    assert again.shown == [2, 1]


def test_a_cache_that_cannot_be_written_is_a_notice(tmp_path: Path, cache: Path) -> None:
    """The numbers are the same, and the person is told what to set."""
    reference = images(pictures(tmp_path / "a"))
    cache.write_text("in the way")
    found = reference_features.reference_features(reference, MeanColor(), Silence())
    cache.unlink()

    assert "SELFE_EVAL_CACHE" in found.notices[0]
    np.testing.assert_array_equal(found.rows[0:5], features(reference, MeanColor()))


def test_the_cache_lies_where_the_user_says() -> None:
    """Our own variable first, then the one that all programs share, then the home folder."""
    assert cache_folder({"SELFE_EVAL_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/selfe-eval")
    assert cache_folder({}) == Path.home() / ".cache" / "selfe-eval"


class Blocks:
    """Listens to the stages."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int, int]] = []
        self.advanced: list[int] = []

    @contextlib.contextmanager
    def stage(self, name: str, *, total: int, done: int) -> Iterator[Advance]:
        self.stages.append((name, total, done))
        yield lambda count, _detail: self.advanced.append(count)


def test_memory_does_not_grow_with_the_number_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many images there are, an extractor is shown a bounded number of them, and of pixels, at a time."""
    monkeypatch.setattr(read_ahead, "MAX_PIXELS", 3 * 64)
    extractor, listener = MeanColor(), Blocks()
    reference = images(pictures(tmp_path / "a", count=11))
    reference_features.reference_features(reference, extractor, listener)

    assert extractor.shown == [3, 3, 3, 2]
    assert listener.stages == [("reference (mean-color)", 11, 0)]
    assert listener.advanced == extractor.shown


def test_images_of_several_sizes_are_each_seen_at_their_own_and_it_is_said(tmp_path: Path) -> None:
    """No image is resized on the way to the extractor, and none loses its place."""
    folder = pictures(tmp_path / "a", count=3)
    pictures(folder / "large", count=2, size=(12, 9))
    reference = images(folder)
    rows = features(reference, MeanColor())

    expected = [np.asarray(Image.open(path)).mean(axis=(0, 1)) for path in reference.paths]
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    assert reference.record()["size"] == "mixed"
    assert "2 sizes, from 8x8 to 12x9 px" in reference.notes[0]


@pytest.mark.parametrize(
    ("name", "options", "lossy"),
    [
        ("x.jpg", {}, "1 JPEG"),
        ("x.webp", {}, "1 WEBP"),
        ("x.tif", {"compression": "jpeg"}, "1 TIFF"),
        ("x.webp", {"lossless": True}, None),
        ("x.webp", {"lossless": True, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}, None),
        ("x.bmp", {}, None),
        ("x.tif", {}, None),
        ("x.tif", {"compression": "tiff_lzw"}, None),
        ("x.ppm", {}, None),
    ],
)
def test_lossy_files_are_taken_and_never_in_silence(
    tmp_path: Path, name: str, options: dict[str, Any], lossy: str | None
) -> None:
    """What the bytes say decides, not the suffix: a note says how many lose pixels, and that others do not."""
    folder = pictures(tmp_path / "a", count=2)
    Image.fromarray(noise(9)).save(folder / name, **options)
    notes = images(folder).notes

    if lossy is None:
        assert notes == ()
    else:
        assert f"lossy files ({lossy} of 3, mixed with 2 lossless ones" in notes[0]


def test_only_lossy_files_are_not_called_mixed(tmp_path: Path) -> None:
    """The usual reference, COCO, is JPEG files alone."""
    (tmp_path / "a").mkdir()
    for number in range(2):
        Image.fromarray(noise(number)).save(tmp_path / "a" / f"{number}.jpeg")

    assert "(2 JPEG of 2); compression alone" in images(tmp_path / "a").notes[0]


def test_files_that_describe_images_are_left_aside(tmp_path: Path) -> None:
    """Metadata, hidden files and the overviews of the official layout are no images of the set."""
    folder = pictures(tmp_path / "a")
    before = images(folder).sha256
    (folder / "more" / "samples").mkdir()
    for name in ("metadata.jsonl", ".DS_Store", "more/grid.png"):
        (folder / name).write_text("no image")
    (folder / ".thumbs").mkdir()
    Image.fromarray(noise(77)).save(folder / ".thumbs" / "t.png")

    assert images(folder).sha256 == before


def test_a_file_that_is_no_image_is_named_with_their_number(tmp_path: Path) -> None:
    """A set with holes is another set."""
    folder = pictures(tmp_path / "a")
    (folder / "b.png").write_text("no image")
    (folder / "c.exe").write_text("no image")
    Image.fromarray(noise(3)).save(folder / "d.gif")
    with pytest.raises(UsageError, match=r"holds 3 of 8 files that cannot be read .* the first .*b\.png"):
        find_reference(str(folder), SUITE)


def test_a_torn_image_is_named_when_its_pixels_are_needed(tmp_path: Path) -> None:
    """A good header is not enough."""
    folder = pictures(tmp_path / "a")
    content = (folder / "0.png").read_bytes()
    (folder / "0.png").write_bytes(content[: len(content) // 2])
    reference = images(folder)
    with pytest.raises(UntrustworthyError, match=r"0\.png of the reference cannot be used"):
        features(reference, MeanColor())


def test_an_image_that_changes_in_between_is_refused(tmp_path: Path) -> None:
    """What is computed is what was hashed."""
    folder = pictures(tmp_path / "a")
    reference = images(folder)
    Image.fromarray(noise(99)).save(folder / "0.png")
    with pytest.raises(UntrustworthyError, match="but its record says"):
        features(reference, MeanColor())


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """They would make every number of every later run NaN, from the cache."""

    class Broken(MeanColor):
        def extract(self, images: RgbImages) -> NDArray[np.float32]:
            return super().extract(images) * np.float32("nan")

    reference = images(pictures(tmp_path / "a"))
    with pytest.raises(UntrustworthyError, match="not finite"):
        features(reference, Broken())
    extractor = MeanColor()
    features(reference, extractor)
    assert extractor.shown == [5]


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_is_no_reference(tmp_path: Path, count: int) -> None:
    """A covariance needs two; the error says how many were found."""
    with pytest.raises(UsageError, match=f"holds {count} images; expected a folder of at least 2"):
        find_reference(str(pictures(tmp_path / "a", count=count)), SUITE)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """No folder, no file, no run: the three forms are named."""
    for typed in (tmp_path / "none", tmp_path / "none.npz", f"{tmp_path}@4", tmp_path / "none@4"):
        with pytest.raises(UsageError, match=r"Expected .*\.npz|expected a folder"):
            find_reference(str(typed), SUITE)


def statistics(path: Path, **changes: object) -> Path:
    arrays: dict[str, object] = {"mu": np.zeros(3), "sigma": np.eye(3), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})  # type: ignore[arg-type]
    return path


def test_statistics_are_read_and_known_by_their_hash(tmp_path: Path) -> None:
    """float32 as well as float64; a note says that nobody knows what made them."""
    path = statistics(tmp_path / "coco.npz", sigma=np.eye(3, dtype=np.float32) * 2, more=np.zeros(1))
    found = find_reference(str(path), SUITE)
    assert isinstance(found, ReferenceStatistics)
    assert found.covariance.dtype == np.float64
    np.testing.assert_array_equal(found.covariance, 2 * np.eye(3))
    assert found.record() == {"sha256": provenance.file_sha256(path), "n": None, "size": None}
    assert "does not say" in found.notes[0]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"mu": None}, "found the arrays sigma"),
        ({"mu": np.zeros((3, 1))}, r"mu has the shape \(3, 1\)"),
        ({"mu": np.zeros(2)}, r"mu has the shape \(2,\) and sigma \(3, 3\)"),
        ({"mu": np.zeros(0), "sigma": np.zeros((0, 0))}, "shape"),
        ({"mu": np.zeros(3, dtype=np.int64)}, "mu is int64"),
        ({"mu": np.array([0.0, np.nan, 0.0])}, "not finite"),
        ({"sigma": -np.eye(3)}, "variance is negative"),
        ({"sigma": np.eye(3) + np.eye(3, k=1)}, "not symmetric"),
        ({"mu": np.array([None, {}, 0])}, "cannot be read .*pickle"),
    ],
)
def test_unusable_statistics_say_what_is_wrong(
    tmp_path: Path, changes: dict[str, object], wrong: str
) -> None:
    """Keys, shapes, kinds, finite numbers and symmetry are checked; pickles are never opened."""
    with pytest.raises(UsageError, match=wrong):
        find_reference(str(statistics(tmp_path / "s.npz", **changes)), SUITE)


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    """Whatever its name says; nobody is advised to load it in an unsafe way."""
    for content in (b"", b"PK\x03\x04 torn", b"\x80\x04N.", b"mu,sigma"):
        (tmp_path / "s.npz").write_bytes(content)
        with pytest.raises(UsageError, match="cannot be read") as failure:
            find_reference(str(tmp_path / "s.npz"), SUITE)
        assert "allow_pickle" not in str(failure.value)


def test_statistics_are_enough_for_frechet_distances_alone(tmp_path: Path) -> None:
    """Metrics that look at single images, or at pairs, are refused before anything is computed."""
    found = find_reference(str(statistics(tmp_path / "s.npz")), SUITE)
    for name in ("fid", "clean-fid", "fd-dinov2"):
        refuse_unusable(found, [measured_on(name, "geneval"), measured_on("spread", "geneval")])
    with pytest.raises(UsageError, match="kid, coverage cannot be computed"):
        refuse_unusable(found, [measured_on(name, "geneval") for name in ("fid", "kid", "coverage")])


def test_statistics_serve_one_extractor(tmp_path: Path) -> None:
    """FID and clean FID have features of one width: against one file one of them would be a wrong number in silence."""
    found = find_reference(str(statistics(tmp_path / "s.npz")), SUITE)
    with pytest.raises(UsageError, match=r"fid \(inception\), clean-fid \(inception-clean\)"):
        refuse_unusable(found, [measured_on(name, "geneval") for name in ("fid", "clean-fid", "spread")])


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run of the small suite with images at 1 and 4 steps."""
    with planned_run(tmp_path / "run", small_record(SUITE)) as run:
        generate(run, SUITE, FakeGenerator, Silence())
    return tmp_path / "run"


def test_a_run_gives_the_images_of_its_largest_step_count_or_of_a_named_one(run_folder: Path) -> None:
    """The same images as a folder are the same reference."""
    largest, named, fewest = images(run_folder), images(f"{run_folder}@4"), images(f"{run_folder}@1")
    as_folder = images(run_folder / "images" / "steps-004")

    assert largest.num_images == 24
    assert largest.record() == named.record() == as_folder.record()
    assert fewest.sha256 != largest.sha256
    assert largest.title == "the run 'run' at 4 steps"


def test_features_that_a_run_has_are_not_computed_again(run_folder: Path, cache: Path) -> None:
    """Only where the run lacks them is anything computed."""
    with planned_run(run_folder, small_record(SUITE)) as run:
        look(run, [FeatureViewer(run, MeanColor())], Silence())
    extractor = MeanColor()
    rows = features(images(run_folder), extractor)

    assert (extractor.shown, cache.exists(), rows.shape) == ([], False, (24, 3))
    shutil.rmtree(run_folder / "features")
    computed = features(images(run_folder), extractor)
    assert extractor.shown == [24]
    np.testing.assert_allclose(np.sort(computed, axis=0), np.sort(rows, axis=0), rtol=1e-6)


def test_an_unknown_step_count_names_those_of_the_run(run_folder: Path) -> None:
    """So does one that is no number."""
    for steps in ("8", "all", "", "-4"):
        with pytest.raises(UsageError, match=r"step counts behind the @ \(1, 4\), found"):
            find_reference(f"{run_folder}@{steps}", SUITE)


def test_a_run_that_lacks_images_is_refused(run_folder: Path) -> None:
    """An incomplete run at its other step counts can still be one."""
    lines = (run_folder / "images.jsonl").read_text().splitlines(keepends=True)
    (run_folder / "images.jsonl").write_text("".join(line for line in lines[:-1]))
    with pytest.raises(UntrustworthyError, match="1 of its 24 images are missing"):
        find_reference(str(run_folder), SUITE)
    assert images(f"{run_folder}@1").num_images == 24


def test_a_run_whose_image_was_replaced_is_refused(run_folder: Path) -> None:
    """The file must be the one that the run recorded."""
    Image.fromarray(noise(1)).save(run_folder / "images/steps-004/00003/samples/0001.png")
    with pytest.raises(
        UntrustworthyError, match=r"0001\.png is not the image that the run recorded \(1 of 24"
    ):
        find_reference(str(run_folder), SUITE)


def test_a_partial_run_says_so(tmp_path: Path) -> None:
    """Its images are fewer prompts' than the suite has."""
    with planned_run(tmp_path / "run", small_record(SUITE, limit=6)) as run:
        generate(run, SUITE, FakeGenerator, Silence())

    assert images(tmp_path / "run").notes == ("The reference run is partial: 6 prompts.",)


def test_a_suite_without_a_world_has_no_reference_of_its_own() -> None:
    """The error says what can be given."""
    with pytest.raises(UsageError, match=r"geneval has no reference images .* --reference and a folder"):
        find_reference(None, load_suite("geneval"))


def world(count: int) -> Suite:
    """The first prompts of the openmoji suite."""
    suite = load_suite("openmoji")
    return Suite(name=suite.name, prompts=suite.prompts[:count], sha256=suite.sha256)


def test_the_worlds_scenes_are_drawn_and_computed_once() -> None:
    """Four different scenes of each prompt, in the order of the features, found in the cache the second time."""
    extractor = MeanColor()
    found = find_reference(None, world(3))
    assert isinstance(found, ReferenceWorld)
    rows = features(found, extractor)
    pixels = np.concatenate([one.pixels for draw in range(4) for one in drawn_scenes(found.prompts, draw)])

    assert found.record() == {"sha256": found.sha256, "n": 12, "size": "64x64"}
    assert len({scene.tobytes() for scene in pixels}) == 12
    np.testing.assert_allclose(rows, pixels.mean(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(features(find_reference(None, world(3)), extractor), rows)
    assert extractor.shown == [3, 3, 3, 3]


def test_the_world_is_recognised_without_being_drawn() -> None:
    """Another set of prompts is another reference; another wording of the same ones is not."""
    plain = load_suite("openmoji")
    reworded = [replace(prompt, text=f"{prompt.text}, please") for prompt in plain.prompts]

    assert world_of(plain).sha256 == world_of(replace(plain, prompts=reworded)).sha256
    assert world_of(plain).releases.keys() == {"resvg"}
    assert world_of(plain).sha256[:16] == "6782bc9159e94791", "the same for everybody, whatever is installed"
    assert world_of(plain).sha256 != world_of(world(2)).sha256
    assert world_of(plain).num_images == 2212
