from __future__ import annotations

import copy
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from support.places import ROOT

from ppdet_cam.detectors.settings import Tagged, merge, parse_overrides, read_settings
from ppdet_cam.errors import ConfigError

CODE_SPELLINGS = {
    "shorthand": "!!python/object/apply:os.system ['touch {marker}']",
    "new": "!!python/object/new:os.system ['touch {marker}']",
    "name": "!!python/name:os.system",
    "module": "!!python/module:os",
    "tuple": "!!python/tuple [1, 2]",
    "verbatim": "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch {marker}']",
    "escaped": "!!python%2Fobject/apply:os.system ['touch {marker}']",
    "escaped_letter": "!!%70ython/object/apply:os.system ['touch {marker}']",
    "nested": "[1, {{deep: !!python/object/apply:os.system ['touch {marker}']}}]",
    "under_local_tag": "!ImageFolder {{image_dir: !!python/object/apply:os.system ['touch {marker}']}}",
    "as_key": "{{? !!python/object/apply:os.system ['touch {marker}'] : 1}}",
    "anchored": "&a !!python/object/apply:os.system ['touch {marker}']",
    "callable": "!Callable {{full_type: os.system, args: ['touch {marker}']}}",
    "callable_verbatim": "!<!Callable> {{full_type: os.system, args: ['touch {marker}']}}",
}
CODE_DIRECTIVES = {
    "own_handle": "%TAG !p! tag:yaml.org,2002:python/\n---\nkey: !p!object/apply:os.system ['touch {marker}']\n",
    "primary_handle": "%TAG ! tag:yaml.org,2002:python/\n---\nkey: !object/apply:os.system ['touch {marker}']\n",
    "split_prefix": "%TAG !p! tag:yaml.org,2002:pyth\n---\nkey: !p!on/object/apply:os.system ['touch {marker}']\n",
    "second_document": "key: 1\n---\nkey: !!python/object/apply:os.system ['touch {marker}']\n",
}


def write(folder: Path, **texts: str) -> Path:
    """Returns the last of the config files written, each named by its keyword."""
    for name, text in texts.items():
        path = folder / f"{name}.yml"
        path.write_text(text, encoding="utf-8")
    return path


def test_read_settings_merges_mappings_and_replaces_the_rest(tmp_path: Path) -> None:
    """The file wins over its bases, a later base over an earlier one; lists are replaced whole."""
    path = write(
        tmp_path,
        root="a: 0\nfrom_root: 1\nNMS: {top: 100, score: 0.5, kind: {x: 1}}\nops: [1, 2, 3]\n",
        first="_BASE_: [root.yml]\na: 1\nb: 1\nNMS: {top: 50}\n",
        second="a: 2\nNMS: {kind: {y: 2}}\n",
        child="_BASE_: ['first.yml', 'second.yml']\nb: 3\nops: [9]\nNMS: {score: null}\n",
    )
    assert read_settings(path) == {
        "a": 2,
        "from_root": 1,
        "NMS": {"top": 50, "score": None, "kind": {"x": 1, "y": 2}},
        "ops": [9],
        "b": 3,
        "filename": "child",
    }


def test_read_settings_reads_one_base_twice_the_same(tmp_path: Path) -> None:
    """A base that two bases share keeps its own values the second time too."""
    path = write(
        tmp_path,
        root="A: {x: 0}\n",
        left="_BASE_: [root.yml]\nA: {x: 1, left: 1}\n",
        right="_BASE_: [root.yml]\nA: {right: 1}\n",
        child="_BASE_: [left.yml, right.yml]\n",
    )
    assert read_settings(path)["A"] == {"x": 0, "left": 1, "right": 1}


def test_read_settings_finds_bases_beside_the_file_that_names_them(tmp_path: Path, monkeypatch) -> None:
    """A relative base starts at its own file's folder, `~` at the home folder."""
    home = tmp_path / "home"
    (tmp_path / "sub" / "deeper").mkdir(parents=True)
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    write(home, at_home="c: 3\n")
    write(tmp_path / "sub" / "deeper", base="a: 1\n")
    write(tmp_path / "sub", middle="_BASE_: [deeper/base.yml]\nb: 2\n")
    write(
        tmp_path,
        child=f"_BASE_: [./sub/middle.yml, ~/at_home.yml, {tmp_path}/sub/../absolute.yml]\n",
        absolute="d: 4\n",
    )
    path = tmp_path / "child.yml"
    assert read_settings(path) == {"a": 1, "b": 2, "c": 3, "d": 4, "filename": "child"}


def test_read_settings_keeps_local_tags_inert(tmp_path: Path) -> None:
    """A local tag, known or not, is data; a base's tagged value is replaced by the file's mapping as in ppdet."""
    path = write(
        tmp_path,
        base="TrainDataset: !COCODataSet {image_dir: a}\nTestDataset:\n  !WIDERFaceValDataset\n    dataset_dir: b\n",
        child="_BASE_: [base.yml]\nTrainDataset: {image_dir: c}\nsteps:\n- !PiecewiseDecay {milestones: [1, 2]}\n"
        "- !Odd [1]\n- !Flat x\n",
    )
    settings = read_settings(path)
    assert settings["TrainDataset"] == {"image_dir": "c"}
    assert settings["TestDataset"] == Tagged("!WIDERFaceValDataset", {"dataset_dir": "b"})
    assert settings["steps"] == [
        Tagged("!PiecewiseDecay", {"milestones": [1, 2]}),
        Tagged("!Odd", [1]),
        Tagged("!Flat", "x"),
    ]


def test_read_settings_follows_anchors_and_merge_keys(tmp_path: Path) -> None:
    """Aliases and `<<` give the values they stand for, also under a local tag."""
    path = write(
        tmp_path,
        anchors="h: &h 320\nsize: &size [*h, *h]\nbase: &base {a: 1, b: 2}\nr: {<<: *base, b: 3, size: *size}\n"
        "d: !ImageFolder {<<: *base, c: 4}\n",
    )
    settings = read_settings(path)
    assert settings["r"] == {"a": 1, "b": 3, "size": [320, 320]}
    assert settings["d"] == Tagged("!ImageFolder", {"a": 1, "b": 2, "c": 4})


@pytest.mark.parametrize(
    "text", ["1e-3", "5e-4", "1.0e-3", "1e3", "0x1F", "017", "1_000", "1:30", ".inf", "yes", "off", "~", ""]
)
def test_read_settings_resolves_scalars_as_yaml_loader_does(tmp_path: Path, text: str) -> None:
    """A scalar has the value that ppdet's loader gives it, `1e-3` (a text in YAML 1.1) included."""
    expected = yaml.load(f"key: {text}", Loader=yaml.Loader)["key"]
    assert read_settings(write(tmp_path, scalar=f"key: {text}\n"))["key"] == expected


@pytest.mark.skipif(importlib.util.find_spec("ppdet") is None, reason="compares with PaddleDetection's own reader")
def test_read_settings_equals_ppdet_load_config(tmp_path: Path) -> None:
    """Bases, anchors, tags and numbers come out as PaddleDetection's `load_config` gives them."""
    path = write(
        tmp_path,
        runtime="use_gpu: true\nlog_iter: 20\nsnapshot_epoch: 1\nexport: {post_process: True, nms: True}\n",
        schedule="epoch: 300\nOptimizerBuilder: {regularizer: {factor: 5e-4, type: L2}}\n"
        "LearningRate:\n  base_lr: 0.01\n  schedulers:\n    - !CosineDecay {max_epochs: 360}\n"
        "    - !LinearWarmup {start_factor: 0., epochs: 5}\n",
        dataset="metric: COCO\nTestDataset:\n  !ImageFolder\n    anno_path: labels.txt\n    dataset_dir: data\n",
        reader="_BASE_: [dataset.yml]\nheight: &height 640\nsize: &size [*height, *height]\nepoch: 1\n"
        "TestReader:\n  sample_transforms:\n  - Resize: {target_size: *size, interp: 2}\n  batch_size: 1\n",
        model="architecture: YOLOv3\nnorm_type: sync_bn\n"
        "PPYOLOEHead: {fpn_strides: [32, 16, 8], nms: {name: MultiClassNMS, score_threshold: 0.01}}\n",
        child="_BASE_: ['runtime.yml', './schedule.yml', 'model.yml', 'reader.yml']\nlog_iter: 100\n"
        "export: {nms: False}\nPPYOLOEHead: {nms: {score_threshold: 1.0e-3}}\n"
        "weights: output/child/model_final\nTestReader: {inputs_def: null}\n",
    )
    script = (
        "import json, sys\nimport ppdet_cam.detectors.compat\n"  # first: it imports ppdet, on any paddle and numpy
        "from ppdet.core import workspace\n"
        "workspace.global_config.clear()\n"
        "config = dict(workspace.load_config(sys.argv[1]))\n"
        "print('\\n' + json.dumps(config, default=lambda value: '!' + type(value).__name__))\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(path)], capture_output=True, text=True, cwd=ROOT
    )
    assert run.returncode == 0, run.stderr
    expected = json.loads(run.stdout.splitlines()[-1])
    assert json.loads(json.dumps(read_settings(path), default=lambda tagged: tagged.tag)) == expected


@pytest.mark.parametrize("spelling", CODE_SPELLINGS)
def test_read_settings_refuses_tags_that_run_code(tmp_path: Path, spelling: str) -> None:
    """A tag that makes a Python object is refused in any spelling, with file and line, and nothing runs."""
    marker = tmp_path / "marker"
    path = write(tmp_path, evil="safe: 1\nkey: " + CODE_SPELLINGS[spelling].format(marker=marker) + "\n")
    with pytest.raises(ConfigError, match=r"evil\.yml, line 2: the tag !.*can run code"):
        read_settings(path)
    assert not marker.exists()


@pytest.mark.parametrize("spelling", CODE_DIRECTIVES)
def test_read_settings_refuses_tags_that_run_code_behind_directives(tmp_path: Path, spelling: str) -> None:
    """A %TAG directive or a second document hides no Python tag."""
    marker = tmp_path / "marker"
    with pytest.raises(ConfigError, match=r"can run code|single document"):
        read_settings(write(tmp_path, evil=CODE_DIRECTIVES[spelling].format(marker=marker)))
    assert not marker.exists()


def test_read_settings_refuses_tags_that_run_code_in_a_base(tmp_path: Path) -> None:
    """A base is read with the same care; the message names the base."""
    path = write(tmp_path, base="a: !!python/name:os.system\n", child="_BASE_: [base.yml]\n")
    with pytest.raises(ConfigError, match=r"base\.yml, line 1: the tag !!python/name:os\.system"):
        read_settings(path)


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)),
        "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 12)),
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 3000)),
    ],
    ids=["lists", "merge_keys", "depth"],
)
def test_read_settings_refuses_an_alias_bomb(tmp_path: Path, text: str) -> None:
    """Aliases that write out to more than can be held are refused at once."""
    with pytest.raises(ConfigError, match="with its aliases written out"):
        read_settings(write(tmp_path, bomb=text))


def test_read_settings_refuses_endless_and_deep_values(tmp_path: Path) -> None:
    """A value that holds itself and thousands of brackets are config errors, not a recursion error."""
    with pytest.raises(ConfigError, match="line 1: an anchored value holds an alias to itself"):
        read_settings(write(tmp_path, endless="a: &a [*a]\n"))
    with pytest.raises(ConfigError, match="nested more than 64 deep"):
        read_settings(write(tmp_path, deep="a: " + "[" * 5000 + "]" * 5000))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("- a\n- b\n", "holds a list"),
        ("just words\n", "holds a text"),
        ("!ImageFolder {a: 1}\n", "holds a value tagged !ImageFolder"),
        ("a: 1\n b: 2\n", r"not YAML: mapping values are not allowed here \(line 2, column 3\)"),
        ("a: [1, 2\n", "not YAML: "),
        ("a: *nowhere\n", "not YAML: found undefined alias 'nowhere'"),
        ("a: !!unknown 1\n", "not YAML: could not determine a constructor"),
        ("a: !!int x\n", "does not fit its type"),
        ("a: 2001-99-99\n", "does not fit its type"),
        ("{[1]: 2}\n", "not YAML: while constructing a mapping, found unhashable key"),
        ("a: \x07\n", "not YAML: special characters are not allowed"),
        ("yes: 1\n", "has the key True"),
        ("_BASE_: base.yml\n", "must be a list of file names"),
        ("_BASE_: [1]\n", "must be a list of file names"),
        ("_BASE_: [config.yml]\n", r"config\.yml is its own base"),
        ("_BASE_: [confg.yml]\n", r"config\.yml names the base 'confg\.yml', which is not there.*mean 'config\.yml'"),
        ("_BASE_: [../]\n", "which is a directory"),
        ("_BASE_: [lost/base.yml]\n", "there is no folder .*lost either"),
    ],
)
def test_read_settings_says_what_is_wrong_in_a_file(tmp_path: Path, text: str, message: str) -> None:
    """Each malformed file is a ConfigError that names the file and the fault."""
    with pytest.raises(ConfigError, match=message) as raised:
        read_settings(write(tmp_path, config=text))
    assert "config.yml" in str(raised.value)


def test_read_settings_refuses_a_longer_base_cycle(tmp_path: Path) -> None:
    """A cycle through other files is named file by file."""
    path = write(tmp_path, b="_BASE_: [c.yml]\n", c="_BASE_: [a.yml]\n", a="_BASE_: [b.yml]\n")
    with pytest.raises(ConfigError, match=r"a\.yml -> .*b\.yml -> .*c\.yml -> .*a\.yml"):
        read_settings(path)


def test_read_settings_reads_a_chain_of_doubled_bases_once(tmp_path: Path) -> None:
    """Naming a base twice at 40 levels is 40 reads, not 2 ** 40."""
    files = {f"f{i}": f"_BASE_: [f{i - 1}.yml, f{i - 1}.yml]\nk{i}: {i}\n" for i in range(1, 41)}
    assert len(read_settings(write(tmp_path, f0="k0: 0\n", **files))) == 42


def test_read_settings_refuses_other_encodings(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused; a byte order mark is not in the way."""
    path = tmp_path / "latin.yml"
    path.write_bytes("name: caf\xe9\n".encode("latin1"))
    with pytest.raises(ConfigError, match=r"latin\.yml is not UTF-8 text \(byte 9\)"):
        read_settings(path)
    path.write_bytes(b"\xef\xbb\xbfname: x\n")
    assert read_settings(path)["name"] == "x"


def test_read_settings_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    """A pipe under a config's name is refused at once."""
    os.mkfifo(tmp_path / "pipe.yml")
    with pytest.raises(ConfigError, match="is a device or pipe"):
        read_settings(tmp_path / "pipe.yml")


def test_read_settings_helps_to_find_the_file(tmp_path: Path) -> None:
    """A path that is no config file is answered with the closest names or the folder's configs."""
    write(tmp_path, ppyoloe_crn_l="a: 1\n")
    with pytest.raises(ConfigError, match=r"does not exist \(did you mean 'ppyoloe_crn_l\.yml'\?\)"):
        read_settings(tmp_path / "ppyoloe_crn_x.yml")
    with pytest.raises(
        ConfigError, match=r"does not exist \(did you mean .*\); a config's name ends in \.yml or \.yaml"
    ):
        read_settings(tmp_path / "ppyoloe_crn_l")
    with pytest.raises(ConfigError, match=r"is a directory.*it holds ppyoloe_crn_l\.yml"):
        read_settings(tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        read_settings(tmp_path / "lost" / "a.yml")
    (tmp_path / "model.pdparams").write_bytes(b"\x80\x02")
    with pytest.raises(ConfigError, match=r"model\.pdparams is not a config; a config's name ends in"):
        read_settings(tmp_path / "model.pdparams")


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], {}),
        (["use_gpu=false"], {"use_gpu": False}),
        (["A.b.c=1", "A.b.d=2", "A.e=[1, 2]"], {"A": {"b": {"c": 1, "d": 2}, "e": [1, 2]}}),
        (["weights=https://host/a.pdparams?x=1&y=2#z"], {"weights": "https://host/a.pdparams?x=1&y=2#z"}),
        (["weights="], {"weights": None}),
        (["a=1", "a=2"], {"a": 2}),
        ([" a . b = {c: 1} "], {"a": {"b": {"c": 1}}}),
        (["a={b: 1}", "a.c=2"], {"a": {"b": 1, "c": 2}}),
        (["a.c=2", "a={b: 1}"], {"a": {"b": 1, "c": 2}}),
        (["d=!ImageFolder {x: 1}", "d.y=2"], {"d": Tagged("!ImageFolder", {"x": 1, "y": 2})}),
        (["lr=1.0e-3"], {"lr": 0.001}),
    ],
)
def test_parse_overrides_reads_keys_and_values(items: list[str], expected: Mapping[str, object]) -> None:
    """Dotted keys nest, values are YAML, and items under one parent are all kept."""
    assert parse_overrides(items) == expected


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["use_gpu"], "override 'use_gpu' has no '='"),
        (["=1"], "has an empty name"),
        (["a..b=1"], "has an empty name"),
        (["a.=1"], "has an empty name"),
        ([".a=1"], "has an empty name"),
        (["a=[1"], r"override 'a=\[1' is not YAML"),
        (["a=b: c: d"], "is not YAML"),
        (["a=!!python/object/apply:os.system [true]"], "override 'a=.*, line 1: the tag .*can run code"),
        (["a=!Callable {full_type: os.getcwd}"], "can run code"),
        (["a=1", "a.b=2"], "override 'a.b=2' contradicts a=1, which is no section"),
        (["a.b=2", "a=1"], r"override 'a=1' contradicts a\.b given before it"),
        (["a.b=1", "a.b.c.d=2"], "contradicts a.b=1, which is no section"),
        (["a=[1]", "a.0=2"], r"contradicts a=\[1\]"),
        (["_BASE_=[x.yml]"], "works in a config file only"),
        (["lr=1e-3"], r"YAML 1\.1 reads 1e-3 as a text; write 1\.0e-3"),
        (["lr=-1.5e3"], r"write -1\.5e\+3"),
    ],
)
def test_parse_overrides_says_what_is_wrong(items: list[str], message: str) -> None:
    """Each item that cannot be used is a ConfigError that quotes it."""
    with pytest.raises(ConfigError, match=message):
        parse_overrides(items)


def test_merge_is_recursive_and_leaves_its_inputs() -> None:
    """The result shares nothing with its inputs, and both stay as they were."""
    base = {"a": {"b": {"c": 1, "d": [1]}}, "e": {"f": 1}, "t": Tagged("!T", {"x": {"y": 1}}), "n": None}
    override = {"a": {"b": {"c": 2}}, "e": 3, "t": {"x": {"z": 2}}, "n": {"m": [4]}}
    before = copy.deepcopy((base, override))
    merged = merge(base, override)
    assert merged == {
        "a": {"b": {"c": 2, "d": [1]}},
        "e": 3,
        "t": Tagged("!T", {"x": {"y": 1, "z": 2}}),
        "n": {"m": [4]},
    }
    merged["a"]["b"]["d"].append(5)  # type: ignore[index]
    merged["t"].value["x"]["y"] = 5  # type: ignore[attr-defined]
    merged["n"]["m"].append(5)  # type: ignore[index]
    assert (base, override) == before


def test_merge_replaces_a_tagged_value_by_another() -> None:
    """A tagged override replaces what was there, mapping or tagged."""
    new = Tagged("!VOCDataSet", {"a": 1})
    assert merge({"t": Tagged("!COCODataSet", {"b": 2})}, {"t": new}) == {"t": new}
    assert merge({"t": {"b": 2}}, {"t": new}) == {"t": new}


def test_merge_refuses_an_index_into_a_list() -> None:
    """`A.ops.0=x` would turn the list into a mapping; it says to give the whole list."""
    with pytest.raises(
        ConfigError, match=r"A\.ops is a list of 2, so A\.ops\.0 names nothing in it; give the whole list"
    ):
        merge({"A": {"ops": [1, 2]}}, parse_overrides(["A.ops.0=x"]))
