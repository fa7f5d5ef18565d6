"""Which files of a dataset belong together, in the layouts that the Hub's datasets have."""

import pytest

from gan_helpers.data.hub_parts import choose_part, converted_parts, parts_of

DATA = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet"]
TWO = {("default", "train"): DATA[:2], ("default", "test"): DATA[2:]}


def _config(files, name="default"):
    return {"configs": [{"config_name": name, "data_files": files}]}


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (DATA, TWO),
        (["faces.parquet"], {("default", "train"): ["faces.parquet"]}),
        (["x/old-00000-of-00001.parquet"], {("default", "old"): ["x/old-00000-of-00001.parquet"]}),
        (["a_dev.zip", "b.zip"], {("default", "validation"): ["a_dev.zip"], ("default", "train"): ["b.zip"]}),
        (["contest.zip", "tested.zip"], {("default", "train"): ["contest.zip", "tested.zip"]}),
        (["Test/1.jpg", "train/2.png"], {("default", "test"): ["Test/1.jpg"], ("default", "train"): ["train/2.png"]}),
        (["val1.zip", "i.tar.gz"], {("default", "validation"): ["val1.zip"], ("default", "train"): ["i.tar.gz"]}),
        (["README.md", "labels.csv"], {}),
    ],
)  # fmt: skip
def test_parts_by_names(names, parts):
    assert parts_of(dict.fromkeys(names, 10), {})[1] == parts


@pytest.mark.parametrize(
    "files",
    [
        [{"split": "train", "path": "data/train-*"}, {"split": "test", "path": "data/test-*"}],
        [{"split": "train", "path": DATA[:2]}, {"split": "test", "path": DATA[2:]}],
        {"train": "data/train-*", "test": ["data/test-*"]},
    ],
)
def test_parts_by_the_card(files):
    assert parts_of(dict.fromkeys(DATA, 10), _config(files)) == ("parquet", TWO)


def test_one_pattern_of_a_card_is_train():
    assert parts_of(dict.fromkeys(DATA, 10), _config("data/*"))[1] == {("default", "train"): sorted(DATA)}
    card = {"configs": [{"config_name": "big", "data_dir": "data/"}]}
    assert parts_of(dict.fromkeys(DATA, 10), card)[1] == {("big", "train"): sorted(DATA)}


def test_a_card_that_speaks_of_other_files_counts_for_nothing():
    assert parts_of(dict.fromkeys(DATA, 10), _config("texts/*.json"))[1] == TWO


def test_the_kind_that_takes_most_room():
    sizes = {"example.jpg": 1000, "faces.zip": 10**6, "table.parquet": 500}
    assert parts_of(sizes, {}) == ("archive", {("default", "train"): ["faces.zip"]})


def test_what_the_hub_converted():
    names = [".gitattributes", "large/partial-train/0000.parquet", "large/test/0000.parquet", "large/test/0001.parquet"]
    assert converted_parts(names) == {("large", "train"): names[1:2], ("large", "test"): names[2:]}


@pytest.mark.parametrize(
    ("keys", "asked", "chosen"),
    [
        ([("default", "portraits")], None, "portraits"),
        ([("default", "train"), ("default", "test")], None, "train"),
        ([("default", "train"), ("default", "test")], "test", "test"),
        ([("default", "train"), ("large", "train")], None, "default/train"),
        ([("default", "train"), ("large", "train")], "large/train", "large/train"),
        ([("small", "train"), ("large", "test")], "test", "large/test"),
        ([("large", "test"), ("large", "train")], "large/test", "test"),
    ],
)
def test_the_part_that_is_meant(keys, asked, chosen):
    label, names = choose_part({key: ["/".join(key)] for key in keys}, asked, "anna/faces")
    assert label == chosen and names[0].endswith(chosen)


@pytest.mark.parametrize(
    ("keys", "asked", "message"),
    [
        ([("a", "x"), ("b", "y")], None, "expected one part of anna/faces; received a/x, b/y; .*'hf:anna/faces:a/x'"),
        ([("small", "train"), ("large", "train")], None, "received small/train, large/train"),
        ([("small", "train"), ("large", "train")], "train", "expected the part 'train'"),
        (
            [("default", "train"), ("default", "test")],
            "dev",
            "expected the part 'dev' of .*; received train, test; name",
        ),
    ],
)
def test_a_part_that_cannot_be_meant(keys, asked, message):
    with pytest.raises(ValueError, match=message):
        choose_part({key: ["a"] for key in keys}, asked, "anna/faces")
