from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfe.data import decode as decoding
from selfe.data.decode import decode, picture_size
from selfe.data.folder import METADATA_FILE
from selfe.data.index_file import Texts
from selfe.data.opening import open_pictures
from selfe.data.pictures import BrokenPictureError, Entry, NoPicturesError
from tests.unit.selfe.picture_files import encoded, metadata, write_files, write_shard

RED, GREEN, BLUE = encoded("red"), encoded("lime", (12, 6)), encoded("blue", (6, 12))


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# Folders


def test_a_folder_gives_the_pictures_of_its_metadata_in_order(tmp_path: Path) -> None:
    """Names, captions, upright sizes and pixels are those of the files, also below subfolders and for one picture twice."""
    captions = {"b/green.png": "a green", "red.png": "a red"}
    content = metadata(captions) + b"\n" + metadata({"red.png": "again"})
    write_files(tmp_path / "d", {"red.png": RED, "b/green.png": GREEN, METADATA_FILE: content})
    pictures = open_pictures(tmp_path / "d", cache=tmp_path / "cache")

    assert [pictures.entry(number) for number in range(len(pictures))] == [
        Entry(name="b/green.png", width=12, height=6, caption="a green"),
        Entry(name="red.png", width=8, height=8, caption="a red"),
        Entry(name="red.png", width=8, height=8, caption="again"),
    ]
    assert np.array_equal(pictures.read(0), np.full((6, 12, 3), [0, 255, 0]))
    assert pictures.skipped == {}


def test_what_a_folder_cannot_give_is_named_with_its_reason(tmp_path: Path) -> None:
    """Missing, empty and other files, bad lines and bad captions are left out, each by name; the good one stays."""
    lines = [
        b'{"file_name": "red.png", "text": "a red"}',
        b'{"file_name": "missing.png", "text": "x"}',
        b'{"file_name": "empty.png", "text": "x"}',
        b'{"file_name": "words.png", "text": "x"}',
        b'{"file_name": "sub", "text": "x"}',
        b'{"file_name": "nul\\u0000.png", "text": "x"}',
        b'{"file_name": "red.png", "text": "\xff"}',
        b'{"file_name": "red.png", "text": "\\ud800"}',
        b'{"file_name": "red.png", "text": ["a", "b"]}',
        b'{"file_name": "red.png", "label": "x"}',
        b'{"text": "no name"}',
        b'["red.png"]',
    ]
    files = {"red.png": RED, "empty.png": b"", "words.png": b"no picture", "sub/x": b""}
    write_files(tmp_path / "d", {**files, METADATA_FILE: b"\n".join(lines)})
    pictures = open_pictures(tmp_path / "d", cache=tmp_path / "cache")

    assert len(pictures) == 1
    expected = {
        "missing.png": "no such file",
        "empty.png": "empty",
        "words.png": "none of JPEG, PNG, WEBP, GIF",
        "sub": "not a file",
        "nul\0.png": "no such file",
        f"{METADATA_FILE}:7": "UTF-8",
        f"{METADATA_FILE}:8": "must be a text",
        f"{METADATA_FILE}:9": "must be a text",
        f"{METADATA_FILE}:10": r"found the columns ['file_name', 'label']",
        f"{METADATA_FILE}:11": "'file_name'",
        f"{METADATA_FILE}:12": "expected a JSON object, found list",
    }
    assert {name for name, part in expected.items() if part in pictures.skipped[name]} == set(expected)
    assert set(pictures.skipped) == set(expected)


@pytest.mark.parametrize("name", ["../secret.png", "/abs", "link.png", "linked/secret.png"])
def test_nothing_outside_the_folder_is_read(name: str, tmp_path: Path) -> None:
    """Parent folders, absolute paths, links to files and links to folders that leave the folder are refused."""
    write_files(tmp_path, {"secret.png": RED, "d/red.png": RED})
    if name == "/abs":
        name = str(tmp_path / "d" / "red.png")
    (tmp_path / "d" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "d" / "linked").symlink_to(tmp_path)
    (tmp_path / "d" / METADATA_FILE).write_bytes(metadata({name: "x", "red.png": "a red"}))
    pictures = open_pictures(tmp_path / "d", cache=tmp_path / "cache")

    assert [pictures.entry(i).name for i in range(len(pictures))] == ["red.png"]
    assert "outside the folder" in pictures.skipped[name]


def test_a_file_that_became_a_link_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    """Where a name leads is looked at again at every read."""
    write_files(
        tmp_path, {"secret.png": RED, "d/red.png": RED, f"d/{METADATA_FILE}": metadata({"red.png": ""})}
    )
    pictures = open_pictures(tmp_path / "d", cache=tmp_path / "cache")
    (tmp_path / "d" / "red.png").unlink()
    (tmp_path / "d" / "red.png").symlink_to(tmp_path / "secret.png")

    with pytest.raises(BrokenPictureError, match="outside the folder"):
        pictures.read(0)


def test_sizes_are_read_once_and_again_when_a_file_changes(tmp_path: Path) -> None:
    """With the same length and time a file counts as known; with another it is measured again. The data folder stays as it is."""
    small, large = (content.ljust(200, b"\0") for content in (RED, GREEN))  # PNG ends before its file may
    data = write_files(tmp_path / "d", {"a.png": small, METADATA_FILE: metadata({"a.png": "x"})})
    cache = tmp_path / "cache"
    assert open_pictures(data, cache=cache).entry(0).width == 8
    status = (data / "a.png").stat()
    (data / "a.png").write_bytes(large)
    os.utime(data / "a.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert open_pictures(data, cache=cache).entry(0).width == 8
    os.utime(data / "a.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1))

    assert open_pictures(data, cache=cache).entry(0).width == 12
    assert sorted(path.name for path in data.iterdir()) == ["a.png", METADATA_FILE]
    assert len(list(cache.iterdir())) == 1


def test_an_index_that_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    """Nothing rests on the cache: garbage in its place changes no answer."""
    data = write_files(tmp_path / "d", {"a.png": RED, METADATA_FILE: metadata({"a.png": "x"})})
    write_shard(data / "a.tar", {"a.png": RED, "a.txt": b"x"})
    for path in (data, data / "a.tar"):
        before = open_pictures(path, cache=tmp_path / "cache").entry(0)
        for file in (tmp_path / "cache").iterdir():
            file.write_bytes(b"garbage")

        assert open_pictures(path, cache=tmp_path / "cache").entry(0) == before


def test_a_text_file_beside_a_picture_is_its_caption(tmp_path: Path) -> None:
    """Without metadata, NAME.txt beside NAME.jpg counts, sorted by name; a picture without one is named."""
    files = {"z.JPG": encoded("red", kind="JPEG"), "z.txt": b" last\n", "a/b.png": RED, "a/b.txt": b"first"}
    write_files(tmp_path / "d", {**files, "alone.png": RED, "latin.png": RED, "latin.txt": b"caf\xe9"})
    pictures = open_pictures(tmp_path / "d", cache=tmp_path / "cache")

    assert [pictures.entry(i).caption for i in range(len(pictures))] == ["first", "last"]
    assert set(pictures.skipped) == {"alone.png", "latin.png"}
    assert "UTF-8" in pictures.skipped["latin.png"]


# Shards


def test_shards_give_their_pictures_in_order_by_reading_in_place(tmp_path: Path) -> None:
    """Text and both JSON fields are captions, a text before JSON; members of a sample need not be neighbours."""
    data = tmp_path / "d"
    data.mkdir()
    first = {"a/1.png": RED, "a/2.png": GREEN, "a/1.txt": b"a red\n", "a/2.json": b'{"caption": "a green"}'}
    write_shard(data / "00.tar", {**first, "a/1.json": b'{"text": "not this"}', "a/1.cls": b"3"})
    write_shard(data / "01.tar", {"x.seg.png": RED, "x.PNG": BLUE, "x.json": b'{"text": "a blue"}'})
    pictures = open_pictures(data, cache=tmp_path / "cache")

    assert [pictures.entry(number) for number in range(len(pictures))] == [
        Entry(name="00.tar/a/1.png", width=8, height=8, caption="a red"),
        Entry(name="00.tar/a/2.png", width=12, height=6, caption="a green"),
        Entry(name="01.tar/x.PNG", width=6, height=12, caption="a blue"),
    ]
    assert np.array_equal(pictures.read(2), np.full((12, 6, 3), [0, 0, 255]))
    assert np.array_equal(pictures.read(0), np.full((8, 8, 3), [255, 0, 0]))
    assert pictures.skipped == {}
    assert sorted(path.name for path in data.iterdir()) == ["00.tar", "01.tar"]


def test_what_a_shard_cannot_give_is_named_with_its_reason(tmp_path: Path) -> None:
    """Pictures without a caption or with one that cannot be read, empty ones and none at all are left out by name."""
    members = {
        "good.png": RED,
        "good.txt": b"good",
        "good.json": b'{"width": 8}',
        "alone.png": RED,
        "latin.png": RED,
        "latin.txt": b"\xff",
        "record.png": RED,
        "record.json": b'{"label": 3}',
        "long.png": RED,
        "long.txt": b"x" * ((1 << 20) + 1),
        "empty.png": b"",
        "empty.txt": b"x",
        "words.jpg": b"no picture",
        "words.txt": b"x",
    }
    path = write_shard(tmp_path / "s.tar", members)
    pictures = open_pictures(path, cache=tmp_path / "cache")

    assert [pictures.entry(i).name for i in range(len(pictures))] == ["s.tar/good.png"]
    expected = {
        "s.tar/alone.png": "found neither",
        "s.tar/latin.png": "not UTF-8",
        "s.tar/record.png": "found the columns ['label']",
        "s.tar/long.png": "no caption",
        "s.tar/empty.png": "empty",
        "s.tar/words.jpg": "none of JPEG, PNG, WEBP, GIF",
    }
    assert {name for name, part in expected.items() if part in pictures.skipped[name]} == set(expected)
    assert set(pictures.skipped) == set(expected)


@pytest.mark.parametrize("place", ["data", "header", "between", "garbage"])
def test_a_damaged_shard_gives_what_comes_before_the_damage(place: str, tmp_path: Path) -> None:
    """Cut off inside a picture, inside a header or between members, or overwritten: two pictures stay, the shard is named."""
    large = RED.ljust(60_000, b"\0")  # more than a file is buffered: its header can be read
    members = {"1.txt": b"1", "1.png": RED, "2.txt": b"2", "2.png": RED, "3.txt": b"3", "3.png": large}
    path = write_shard(tmp_path / "s.tar", members)
    with tarfile.open(path) as tar:
        third = tar.getmember("3.txt").offset
        picture = tar.getmember("3.png").offset_data
    content = path.read_bytes()
    ends = {
        "data": content[: picture + 50_000],
        "header": content[: third + 100],
        "between": content[:third],
    }
    garbage = content[:third] + b"?" * 512 + content[third + 512 :]
    path.write_bytes(ends.get(place, garbage))
    pictures = open_pictures(path, cache=tmp_path / "cache")

    assert [pictures.entry(i).caption for i in range(len(pictures))] == ["1", "2"]
    assert set(pictures.skipped) == {"s.tar"}
    assert "the 2 pictures before that are used" in pictures.skipped["s.tar"]


def test_links_and_folders_in_a_shard_are_no_pictures(tmp_path: Path) -> None:
    """A link called 2.png is not followed: only regular members count."""
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in {"1.png": RED, "1.txt": b"1", "2.txt": b"2"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for kind, name in (
            (tarfile.SYMTYPE, "2.png"),
            (tarfile.LNKTYPE, "3.png"),
            (tarfile.DIRTYPE, "4.png"),
        ):
            member = tarfile.TarInfo(name)
            member.type = kind
            member.linkname = "/etc/hostname" if kind == tarfile.SYMTYPE else "1.png"
            tar.addfile(member)
    pictures = open_pictures(path, cache=tmp_path / "cache")

    assert [pictures.entry(i).name for i in range(len(pictures))] == ["s.tar/1.png"]
    assert pictures.skipped == {}


def test_a_shard_is_listed_again_only_when_it_changed(tmp_path: Path) -> None:
    """With the same length and time the remembered list holds, skips included; another time means another look."""
    path = write_shard(tmp_path / "s.tar", {"1.png": RED, "1.txt": b"1", "2.png": b"", "2.txt": b"2"})
    before = open_pictures(path, cache=tmp_path / "cache")
    status = path.stat()
    content = path.read_bytes()
    path.write_bytes(b"?" * len(content))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = open_pictures(path, cache=tmp_path / "cache")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))

    assert again.entry(0) == before.entry(0)
    assert again.skipped == before.skipped
    with pytest.raises(NoPicturesError, match="damaged or cut off"):
        open_pictures(path, cache=tmp_path / "cache")


def test_a_shard_that_went_away_is_a_broken_picture(tmp_path: Path) -> None:
    """Training goes on with the others and names it; so does one that starts when a link to a shard leads nowhere."""
    data = tmp_path / "d"
    data.mkdir()
    path = write_shard(data / "s.tar", {"1.png": RED, "1.txt": b"1"})
    (data / "gone.tar").symlink_to(tmp_path / "nowhere.tar")
    pictures = open_pictures(data, cache=tmp_path / "cache")
    assert len(pictures) == 1
    assert "No such file" in pictures.skipped["gone.tar"]
    path.unlink()

    with pytest.raises(BrokenPictureError, match=r"s\.tar/1\.png"):
        pictures.read(0)


# The opener


def test_a_place_without_pictures_says_what_was_expected_and_found(tmp_path: Path) -> None:
    """Nothing, an empty folder, other files and other kinds of file: each is named, with what to do."""
    folder = tmp_path / "d"
    with pytest.raises(NoPicturesError, match="found nothing"):
        open_pictures(folder, cache=tmp_path / "cache")
    folder.mkdir()
    with pytest.raises(NoPicturesError, match="an empty folder"):
        open_pictures(folder, cache=tmp_path / "cache")
    (folder / "00.tar.gz").write_bytes(b"")
    with pytest.raises(NoPicturesError, match=r"found 00\.tar\.gz.*unpack compressed"):
        open_pictures(folder, cache=tmp_path / "cache")
    with pytest.raises(NoPicturesError, match=r"a file that is no \.tar"):
        open_pictures(folder / "00.tar.gz", cache=tmp_path / "cache")
    (folder / METADATA_FILE).write_bytes(json.dumps({"file_name": "x.png", "label": "x"}).encode())
    with pytest.raises(
        NoPicturesError, match=r"1 left out: .*expected a caption in 'text' or 'caption'.*'label'"
    ):
        open_pictures(folder, cache=tmp_path / "cache")


def test_texts_survive_packing() -> None:
    """Empty texts, letters of any length and file names that are not UTF-8 come back as they were."""
    texts = ["", "aé", "", "\U0001f600", "\udcff.png", ""]
    packed = Texts.of(texts)

    assert [packed[i] for i in range(len(packed))] == texts
    assert len(Texts.of([])) == 0


# Pixels


def test_pixels_are_what_people_see() -> None:
    """Grey, palette, alpha on white, 16 bits, CMYK and an animation's first frame: known colors in RGB."""
    half_red = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    half_red.putpixel((0, 0), (255, 0, 0, 255))
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    deep = Image.fromarray(np.full((2, 2), 0x80FF, dtype=np.uint16))
    frames = [Image.new("RGB", (2, 2), color) for color in ("blue", "red")]
    transparent = saved(palette, transparency=1)
    cases = {
        "grey": (saved(Image.new("L", (2, 2), 7)), (7, 7, 7)),
        "bits": (saved(Image.new("1", (2, 2), 1)), (255, 255, 255)),
        "palette": (saved(palette), (10, 20, 30)),
        "palette with a transparent color": (transparent, (255, 255, 255)),
        "grey with alpha": (saved(Image.new("LA", (2, 2), (0, 0))), (255, 255, 255)),
        "16 bits": (saved(deep), (0x80, 0x80, 0x80)),
        "cmyk": (saved(Image.new("CMYK", (2, 2), (0, 0, 0, 255)), "JPEG"), (0, 0, 0)),
        "gif": (saved(frames[0], "GIF", save_all=True, append_images=frames[1:]), (0, 0, 255)),
        "webp": (
            saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True),
            (0, 0, 255),
        ),
    }
    for name, (content, color) in cases.items():
        pixels = decode(content, name)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, np.full((2, 2, 3), color)), name
    assert decode(saved(half_red), "alpha")[0].tolist() == [[255, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_exif_is_applied_to_size_and_pixels(kind: str, orientation: int) -> None:
    """A picture 16 wide and 8 high, turned by its camera: the header's size is that of the pixels."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.new("RGB", (16, 8), "red"), kind, exif=exif)
    width, height = picture_size(io.BytesIO(content), "x")

    assert decode(content, "x").shape == (height, width, 3)
    assert (width, height) == ((16, 8) if orientation < 5 else (8, 16))


def test_damaged_files_are_broken_pictures() -> None:
    """Wherever a file is cut off before its pixels are complete, it is refused by name and nothing else is raised."""
    for kind, num_end_bytes in (("PNG", 24), ("JPEG", 2), ("WEBP", 1), ("GIF", 2)):
        content = encoded("red", kind=kind)
        for length in range(len(content) - num_end_bytes):
            with pytest.raises(BrokenPictureError, match=r"^cut: "):
                decode(content[:length], "cut")


def test_a_picture_too_large_to_be_meant_is_refused_by_its_header() -> None:
    """A few bytes that unpack to more than the limit are refused before they are unpacked."""
    side = 8193  # one more than the square root of the limit
    content = saved(Image.new("1", (side, side)))
    assert (side - 1) ** 2 == decoding.MAX_PIXELS

    for read in (lambda: picture_size(io.BytesIO(content), "bomb"), lambda: decode(content, "bomb")):
        with pytest.raises(BrokenPictureError, match=r"^bomb: .*8193 x 8193"):
            read()


def test_readers_that_start_programs_are_not_used() -> None:
    """PostScript is no picture here, whatever Pillow could do with it."""
    with pytest.raises(BrokenPictureError, match="none of JPEG, PNG, WEBP, GIF"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n", "x.eps")
