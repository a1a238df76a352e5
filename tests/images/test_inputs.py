"""Which images a run takes, in which order, and that no two of them get the same folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ppdet_cam.errors import ConfigError
from ppdet_cam.images.inputs import ImageFile, Inputs, annotated_images, list_images, unique_names
from ppdet_cam.questions.annotations import read_ground_truth


def make(folder: Path, *names: str) -> Path:
    """Makes empty files below a folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def listed(folder: Path, *, recursive: bool = False, cam_out: Path = Path("out")) -> dict[str, str]:
    """Returns the images of a folder: path relative to it -> name of the output folder."""
    images = list_images(Inputs(folder=folder, recursive=recursive), cam_out=cam_out)
    return {os.path.relpath(image.path, folder): image.name for image in images}


# --- folders


def test_folder_gives_its_images_sorted(tmp_path):
    """Every readable format counts, in either case; other files, and folders named like images, do not."""
    names = ["b.jpg", "a.PNG", "c.tif", "d.webp", "10.bmp", "9.jpeg", "e.pnm", "f.JP2"]
    make(tmp_path, *names, "notes.txt", "Thumbs.db", "x.json", "no_suffix", "deep/1.jpg", "dir.jpg/2.jpg")
    assert list(listed(tmp_path)) == sorted(names)
    assert list(listed(tmp_path, recursive=True)) == sorted([*names, "deep/1.jpg", "dir.jpg/2.jpg"])


def test_names_keep_the_relative_path_without_suffix(tmp_path):
    """An image's folder lies below the output folder as the image lies below the images' folder."""
    make(tmp_path, "a.jpg", "my photos/ü 行.v2.png", "x/y/z.jpg")
    assert listed(tmp_path, recursive=True) == {
        "a.jpg": "a",
        "my photos/ü 行.v2.png": "my photos/ü 行.v2",
        "x/y/z.jpg": "x/y/z",
    }


def test_folder_order_is_that_of_its_tree(tmp_path):
    """Images of one folder follow each other, whatever letters are in its name."""
    make(tmp_path, "a/2.jpg", "a/1.jpg", "a b/1.jpg", "a-b/1.jpg", "a.jpg")
    assert list(listed(tmp_path, recursive=True)) == ["a/1.jpg", "a/2.jpg", "a b/1.jpg", "a-b/1.jpg", "a.jpg"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    """A link to a folder is a folder; one that leads back, or to itself, ends there."""
    make(tmp_path / "photos", "a/1.jpg", "b/2.jpg")
    make(tmp_path / "elsewhere", "3.jpg")
    for link, target in {
        "linked": tmp_path / "elsewhere",
        "a/up": tmp_path / "photos",
        "b/self": "self",
        "b/self.jpg": "self.jpg",
        "gone.jpg": "nowhere.jpg",
        "one.jpg": tmp_path / "elsewhere/3.jpg",
    }.items():
        (tmp_path / "photos" / link).symlink_to(target)
    found = list(listed(tmp_path / "photos", recursive=True))
    assert found == ["a/1.jpg", "b/2.jpg", "b/self.jpg", "gone.jpg", "linked/3.jpg", "one.jpg"]


def test_output_folder_is_not_searched(tmp_path):
    """Pictures of an earlier run are not taken for photographs."""
    make(tmp_path, "1.jpg", "out/1/0.jpg", "outside/2.jpg")
    assert list(listed(tmp_path, recursive=True, cam_out=tmp_path / "out")) == ["1.jpg", "outside/2.jpg"]
    with pytest.raises(ConfigError, match="--cam_out is the folder of the images"):
        listed(tmp_path, recursive=True, cam_out=tmp_path)


@pytest.mark.parametrize(
    ("files", "recursive", "message"),
    [
        ([], False, r"holds no image \(\.bmp, .*\.webp\)$"),
        (["notes.txt"], True, r"holds no image \("),
        (["deep/1.jpg"], False, "it holds folders: --recursive looks into them"),
    ],
)
def test_folder_without_images_is_refused(tmp_path, files, recursive, message):
    """The message says what was looked for, and whether the images lie deeper."""
    make(tmp_path, *files)
    with pytest.raises(ConfigError, match=message):
        listed(tmp_path, recursive=recursive)


def test_folder_that_is_none_is_refused(tmp_path):
    """Neither a missing folder nor a file gives images."""
    with pytest.raises(ConfigError, match="cannot read .*gone: No such file"):
        listed(tmp_path / "gone")
    with pytest.raises(ConfigError, match=r"cannot read .*1\.jpg: Not a directory"):
        listed(make(tmp_path, "1.jpg") / "1.jpg")


def test_very_long_path_is_listed(tmp_path):
    """Folders below each other may have long names."""
    deep = "/".join(["d" * 200] * 5)
    make(tmp_path, f"{deep}/{'f' * 200}.jpg")
    assert listed(tmp_path, recursive=True) == {f"{deep}/{'f' * 200}.jpg": f"{deep}/{'f' * 200}"}


# --- files and lists


def test_files_are_taken_as_they_are_given(tmp_path, monkeypatch):
    """Order and spelling stay; a file that is named twice counts once."""
    monkeypatch.chdir(tmp_path)
    paths = ("b.jpg", "a/../a/1.jpg", "./b.jpg", "gone.jpg", "a/1.jpg")
    images = list_images(Inputs(images=tuple(map(Path, paths))), cam_out=Path("out"))
    assert images == [ImageFile("b.jpg", "b"), ImageFile("a/../a/1.jpg", "a/1"), ImageFile("gone.jpg", "gone")]


def test_list_has_a_path_per_line(tmp_path):
    """Line ends of any system, empty lines and a byte order mark do not matter; spaces belong to names."""
    listing = tmp_path / "list.txt"
    listing.write_bytes("\ufeffa/1.jpg\r\n\n my photo .jpg\n/data/3.jpg\n../4.jpg".encode() + b"\ncaf\xe9.jpg\n")
    images = list_images(Inputs(list_file=listing), cam_out=Path("out"))
    assert images == [
        ImageFile("a/1.jpg", "a/1"),
        ImageFile(" my photo .jpg", " my photo "),
        ImageFile("/data/3.jpg", "data/3"),
        ImageFile("../4.jpg", "4"),
        ImageFile(os.fsdecode(b"caf\xe9.jpg"), os.fsdecode(b"caf\xe9")),
    ]


def test_list_may_be_relative_to_a_folder(tmp_path):
    """With a folder, a list chooses among its images, and the names are those that the whole folder gives."""
    make(tmp_path / "photos", "a/1.jpg", "a/2.jpg", "b.jpg")
    (tmp_path / "list.txt").write_text("b.jpg\na/2.jpg\n")
    inputs = Inputs(folder=tmp_path / "photos", list_file=tmp_path / "list.txt")
    images = list_images(inputs, cam_out=Path("out"))
    whole = list_images(Inputs(folder=tmp_path / "photos", recursive=True), cam_out=Path("out"))
    assert [image.name for image in images] == ["b", "a/2"]
    assert set(images) < set(whole)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: No such file"), (b"\n \n", "is empty"), (b"\x89PNG\0\0\n", "is not a text file")],
)
def test_list_that_is_none_is_refused(tmp_path, content, message):
    """The message says what a list is."""
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        list_images(Inputs(list_file=tmp_path / "list.txt"), cam_out=Path("out"))


def test_list_may_come_from_a_pipe(tmp_path):
    """As `--infer_list <(find ...)` gives it; a pipe that nothing writes into is an empty list, and not waited for."""
    reading, writing = os.pipe()
    os.write(writing, b"a.jpg\n")
    os.close(writing)
    assert [image.path for image in list_images(Inputs(list_file=Path(f"/dev/fd/{reading}")), cam_out=Path("out"))]
    os.close(reading)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is empty"):
        list_images(Inputs(list_file=tmp_path / "pipe"), cam_out=Path("out"))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"images": (Path("a"),), "folder": Path("b")}, "--infer_img and --infer_dir exclude"),
        ({"images": (Path("a"),), "list_file": Path("b")}, "--infer_img and --infer_list exclude"),
        ({"recursive": True}, "--recursive looks into the folders of --infer_dir"),
        ({"recursive": True, "folder": Path("a"), "list_file": Path("b")}, "--recursive looks"),
    ],
)
def test_inputs_that_contradict_each_other_are_refused(inputs, message):
    """What one flag says is not silently dropped for another."""
    with pytest.raises(ConfigError, match=message):
        Inputs(**inputs)


# --- names


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["a.jpg", "a.png", "b.jpg"], ["a_jpg", "a_png", "b"]),
        (["a.jpg", "a.png", "a_jpg.bmp"], ["a_jpg", "a_png", "a_jpg~2"]),
        (["x/a.jpg", "a.jpg"], ["x/a", "a"]),
        (["../a.jpg", "a.jpg"], ["a_jpg", "a_jpg~2"]),
        (["..jpg", "...jpg", ".jpg", "jpg"], ["._jpg", ".._jpg", "_jpg", "jpg"]),
        (["run.json.jpg", "images.jsonl.png", "report.html.jpg"], ["run_json", "images_jsonl", "report_html"]),
        (["a.jpg", "a/0.jpg.jpg", "a/0.heatmap.png"], ["a", "a/0_jpg", "a/0.heatmap"]),
        (["0.JPG/1.png", "maps.npz/1.jpg"], ["0_JPG/1", "maps_npz/1"]),
        ([".cam/1.jpg", ".cam-x.jpg"], ["_.cam/1", "_.cam-x"]),
        (["a", "a.b"], ["a~2", "a_b"]),
    ],
)
def test_names_are_different_and_in_no_file_s_way(places, names):
    """Where two would be the same the suffix stays; none looks like a file that a run writes."""
    found = unique_names(places)
    assert len(set(found)) == len(places)
    if places != ["a", "a.b"]:
        assert found == names


def test_names_do_not_leave_the_output_folder():
    """Neither an absolute path nor one with dots leads out of it."""
    for name in unique_names(["/etc/passwd.jpg", "../../up.jpg", "a/../../b.jpg", "//net/c.jpg", "./d.jpg"]):
        assert not name.startswith("/") and ".." not in name.split("/") and name


# --- ground truth


def truth_file(path: Path, *names: str) -> Path:
    """Writes annotations of one object in each image."""
    document = {
        "categories": [{"id": 1, "name": "dog"}],
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "bbox": [0, 0, 9, 9]} for number in range(len(names))
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("place", ["annotations", "annotations/images", "val2017", "."])
def test_annotated_images_are_found_beside_their_annotations(tmp_path, place):
    """They lie in the annotations' folder, in a folder of it, beside it, or above it."""
    data_set = tmp_path / "coco"
    path = truth_file(data_set / "annotations" / "val.json", "a.jpg", "deep/b.jpg", "gone.jpg")
    make(data_set / place, "a.jpg", "deep/b.jpg")
    images = annotated_images(read_ground_truth(path, ["dog"]))
    assert [(image.name, image.annotated) for image in images] == [
        ("a", "a.jpg"),
        ("deep/b", "deep/b.jpg"),
        ("gone", "gone.jpg"),
    ]
    assert os.path.samefile(images[1].path, data_set / place / "deep/b.jpg")


def test_annotated_images_that_are_nowhere_are_refused(tmp_path):
    """The message says how to tell where they are."""
    truth = read_ground_truth(truth_file(tmp_path / "coco" / "annotations" / "val.json", "a.jpg"), ["dog"])
    with pytest.raises(ConfigError, match=r"such as 'a.jpg', are in neither .* nor .* beside it. Say where: --infer_d"):
        annotated_images(truth)


def test_annotated_images_in_two_places_are_refused(tmp_path):
    """Numbered files of two splits are not mixed up."""
    make(tmp_path, "train/1.jpg", "val/1.jpg")
    truth = read_ground_truth(truth_file(tmp_path / "annotations" / "val.json", "1.jpg"), ["dog"])
    with pytest.raises(ConfigError, match=r"are in .*train and in .*val\. Say where: --infer_dir"):
        annotated_images(truth)
    (image,) = annotated_images(truth, tmp_path / "val")
    assert image == ImageFile(str(tmp_path / "val/1.jpg"), "1", "1.jpg")
    with pytest.raises(ConfigError, match="holds none of the images of --gt"):
        annotated_images(truth, tmp_path / "annotations")
    with pytest.raises(ConfigError, match="has no images"):
        annotated_images(read_ground_truth(truth_file(tmp_path / "empty.json"), ["dog"]))


@pytest.mark.parametrize(
    ("gt", "images"),
    [
        ("VOC/Annotations", "VOC/JPEGImages"),
        ("set/labels/train", "set/images/train"),
        ("set/labels", "set/images"),
        ("set/train/labels", "set/train/images"),
        ("all", "all"),
    ],
)
def test_images_of_a_file_each_are_found_where_tools_put_them(tmp_path, gt, images):
    """Names without suffix find the images' files, whatever their suffix; one that is not there is listed as well."""
    for name in ("a", "b", "gone"):
        (tmp_path / gt).mkdir(parents=True, exist_ok=True)
        (tmp_path / gt / f"{name}.txt").write_text("0 0.5 0.5 0.1 0.1")
    make(tmp_path / images, "a.png", "b.JPG", "other.jpg")
    truth = read_ground_truth(tmp_path / gt, ["dog"])
    found = annotated_images(truth)
    assert [(image.annotated, os.path.basename(image.path)) for image in found] == [
        ("a", "a.png"),
        ("b", "b.JPG"),
        ("gone", "gone.jpg"),
    ]
    assert os.path.samefile(found[0].path, tmp_path / images / "a.png")
    assert annotated_images(truth, tmp_path / images)[1].path == str(tmp_path / images / "b.JPG")
