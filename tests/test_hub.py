"""Datasets of the Hugging Face Hub, from a server with its layout, when all goes well and when it does not.

huggingface_hub itself speaks with the server. What it cannot show here is the Hub's own storage (Xet): files come
through the redirects that the Hub gives to everybody else.
"""

import io
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from hub_server import CARD, SHA, listings, pictures, serve_dataset, table
from loopback import Loopback
from PIL import Image

from gan_helpers import draw_faces, fetch_faces, find_faces, prepare_images
from gan_helpers.data import downloads
from gan_helpers.data.label_tables import find_labels, labels_of

huggingface_hub = pytest.importorskip("huggingface_hub")
pytest.importorskip("pyarrow")
ROOT = Path(__file__).resolve().parent.parent
FILE = "data/train-00001-of-00002.parquet"
STORED = f"/storage/{FILE}"


def _jpegs(count):
    contents = []
    for image in draw_faces(count, 32, seed=4)[0]:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG")
        contents.append(file.getvalue())
    return contents


FACES = _jpegs(6)


def _files():
    rows = {"image": pictures(FACES[:3]), "mask": pictures(FACES[3:6]), "smiling": [True, False, True]}
    later = {"image": pictures(FACES[3:]), "mask": pictures(FACES[:3]), "smiling": [False, False, True]}
    return {"README.md": b"# Faces", "data/train-00000-of-00002.parquet": table(rows), FILE: table(later)} | {
        "data/test-00000-of-00001.parquet": table(rows)
    }


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 5.0)
    monkeypatch.setattr(downloads, "PAUSE", 0.01)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with Loopback() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        serve_dataset(server, "anna/faces", _files())
        yield server


def _contents(folder):
    return [path.read_bytes() for path in find_faces(folder)]


def _visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_dataset_by_name(server, tmp_path, capsys):
    folder = fetch_faces("hf:anna/faces", cache=tmp_path)
    assert _contents(folder) == FACES and folder == tmp_path / "sources/hf--anna--faces"
    said = capsys.readouterr().err
    assert "anna/faces from Hugging Face: 2 parquet files of train; Drawn faces;" in said
    assert "licence: cc-by-4.0, by its card" in said and "about 1 MB" in said
    asked = len(server.asked)
    assert fetch_faces("hf:anna/faces", cache=tmp_path) == folder and len(server.asked) == asked
    assert [path.name for path in folder.parent.iterdir() if "lock" not in path.name] == ["hf--anna--faces"]


def test_its_labels_are_found(server, tmp_path):
    prepared = prepare_images("hf:anna/faces", 32, cache=tmp_path)
    table_of = find_labels(fetch_faces("hf:anna/faces", cache=tmp_path))
    assert labels_of(prepared, ["smiling"], table_of).values[:, 0].tolist() == [1, -1, 1, -1, -1, 1]
    assert prepared.crop is None and prepared.source == "hf--anna--faces"


def test_a_part_and_a_column(server, tmp_path):
    assert _contents(fetch_faces("hf:anna/faces:test", cache=tmp_path)) == FACES[:3]
    assert _contents(fetch_faces("hf:anna/faces:train:mask", cache=tmp_path)) == FACES[3:] + FACES[:3]
    assert _visible(tmp_path / "sources") == ["hf--anna--faces--test", "hf--anna--faces--train--mask"]


@pytest.mark.parametrize(
    "manner", ["403", "404", "500", "cut", "wrong", "stall", "loop", "short", "html", "html as data"]
)
def test_a_file_that_fails_leaves_nothing_and_goes_on_later(manner, server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TRIES", 1)
    monkeypatch.setattr(downloads, "TIMEOUT", 0.5 if manner == "stall" else 5.0)
    server.script[STORED] = manner
    with pytest.raises(
        ValueError, match="expected .* from 127.*as 'hf:./FOLDER'; or use 'drawn', which needs no network"
    ):
        fetch_faces("hf:anna/faces", cache=tmp_path)
    assert _visible(tmp_path / "sources") == []
    before = server.sent[STORED] if manner in ("cut", "stall") else 0
    del server.script[STORED]
    server.sent.clear()
    assert _contents(fetch_faces("hf:anna/faces", cache=tmp_path)) == FACES
    assert before + server.sent[STORED] == len(server.files[STORED])
    assert [path for path in server.sent if path.startswith("/storage")] == [STORED]  # the other had come


@pytest.mark.parametrize("manner", ["403", "500", "cut", "stall", "loop", "html", "html as data"])
def test_a_listing_that_fails(manner, server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TRIES", 1)
    monkeypatch.setattr(downloads, "TIMEOUT", 0.5 if manner == "stall" else 5.0)
    server.script |= dict.fromkeys(listings("anna/faces"), manner)
    with pytest.raises(ValueError, match="expected the dataset anna/faces at http://127.*received nothing.*'drawn'"):
        fetch_faces("hf:anna/faces", cache=tmp_path)
    assert _visible(tmp_path / "sources") == []
    server.script |= {at: ["500", "good"] for at in listings("anna/faces")}
    monkeypatch.setattr(downloads, "TRIES", 3)
    assert _contents(fetch_faces("hf:anna/faces", cache=tmp_path)) == FACES


def test_no_such_dataset(server, tmp_path):
    for at in listings("anna/nobody"):
        server.script[at], server.headers[at] = "401", {"X-Error-Code": "RepoNotFound"}  # as the Hub answers
    with pytest.raises(ValueError, match="received none of that name, or one that is private; check owner and name"):
        fetch_faces("hf:anna/nobody", cache=tmp_path)
    assert len([path for path, _ in server.asked if "nobody" in path]) == 1


def test_a_column_that_there_is_not_costs_no_second_download(server, tmp_path):
    with pytest.raises(ValueError, match=r"called 'photo'; received image \(pictures\), mask \(pictures\), smiling"):
        fetch_faces("hf:anna/faces:train:photo", cache=tmp_path)
    server.sent.clear()
    assert _contents(fetch_faces("hf:anna/faces:train:image", cache=tmp_path)) == FACES
    assert not [path for path in server.sent if path.startswith("/storage")]


def test_several_parts_are_listed(server, tmp_path):
    serve_dataset(server, "ben/faces", {"a-00000-of-00001.parquet": b"", "b-00000-of-00001.parquet": b""})
    with pytest.raises(ValueError, match="expected one part of ben/faces; received a, b; name .*'hf:ben/faces:a'"):
        fetch_faces("hf:ben/faces", cache=tmp_path)


def test_a_dataset_of_picture_files(server, tmp_path):
    names = ["train/anna/1.jpg", "train/ben/1.jpg", "test/2.jpg"]
    serve_dataset(server, "ben/files", dict(zip(names, FACES, strict=False)) | {"README.md": b""})
    folder = fetch_faces("hf:ben/files", cache=tmp_path)
    assert [path.relative_to(folder).as_posix() for path in find_faces(folder)] == names[:2]
    assert _contents(folder) == FACES[:2]


def test_a_dataset_of_archives(server, tmp_path):
    packed = []
    for face in FACES[:2]:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("1.jpg", face)
        packed.append(file.getvalue())
    serve_dataset(server, "ben/zips", {"a.zip": packed[0], "b.zip": packed[1]})
    assert _contents(fetch_faces("hf:ben/zips", cache=tmp_path)) == FACES[:2]


def test_what_the_hub_converted_where_there_is_nothing_else(server, tmp_path):
    serve_dataset(server, "ben/script", {"script.py": b"print()", "README.md": b""})
    rows = {"image": pictures(FACES[:2])}
    serve_dataset(server, "ben/script", {"all/train/0000.parquet": table(rows)}, branch="refs/convert/parquet")
    assert _contents(fetch_faces("hf:ben/script", cache=tmp_path)) == FACES[:2]


def test_nothing_of_use(server, tmp_path):
    serve_dataset(server, "ben/texts", {"texts.csv": b"a,b"})
    for at in listings("ben/texts", "refs/convert/parquet"):
        server.headers[at] = {"X-Error-Code": "RevisionNotFound"}
    with pytest.raises(
        ValueError, match="expected pictures in ben/texts.*received none; look at http.*/datasets/ben/texts"
    ):
        fetch_faces("hf:ben/texts", cache=tmp_path)


@pytest.mark.parametrize(
    ("card", "said", "binds"),
    [
        ({"license": "cc-by-nc-4.0"}, "cc-by-nc-4.0, by its card", True),
        ({"license": "other", "license_name": "celeba"}, "other .celeba., by its card", True),
        ({"license": ["mit", "cc0-1.0"]}, "mit, cc0-1.0, by its card", False),
        ({}, "none stated, by its card", False),
    ],
)
def test_a_licence_that_binds_is_agreed_to(card, said, binds, server, tmp_path, capsys):
    serve_dataset(server, "ben/bound", {"train.parquet": table({"image": pictures(FACES)})}, card=card)
    if binds:
        with pytest.raises(ValueError, match=f"expected your agreement before ben/bound.*{said}.*--agree.*'drawn'"):
            fetch_faces("hf:ben/bound", cache=tmp_path)
        assert not [path for path in server.sent if path.startswith("/storage")]
    assert _contents(fetch_faces("hf:ben/bound", agree=binds, cache=tmp_path)) == FACES
    assert card.get("license_name", said) in capsys.readouterr().err


def test_a_gated_dataset_needs_a_log_in_which_is_not_passed_on(server, tmp_path, monkeypatch):
    serve_dataset(server, "ben/gated", {"train.parquet": table({"image": pictures(FACES)})}, gated="auto")
    with pytest.raises(ValueError, match="expected a log-in for ben/gated.*accept their terms at .*'hf auth login'"):
        fetch_faces("hf:ben/gated", cache=tmp_path)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_secret")
    assert _contents(fetch_faces("hf:ben/gated", cache=tmp_path)) == FACES
    known = {path: headers.get("Authorization") for path, headers in server.asked}
    assert known[f"/datasets/ben/gated/resolve/{SHA}/train.parquet"] == "Bearer hf_secret"
    assert known["/storage/train.parquet"] is None


def test_a_name_that_leads_out_of_the_folder(server, tmp_path):
    serve_dataset(server, "ben/evil", {"train/../../../evil.jpg": FACES[0]})
    with pytest.raises(ValueError, match="expected names of files below a folder; received 'train/../../../evil.jpg'"):
        fetch_faces("hf:ben/evil", cache=tmp_path)
    assert not list(tmp_path.rglob("evil.jpg"))


@pytest.mark.parametrize("data", ["hf:", "hf:faces", "hf:a/b:c:d:e", "hf::train"])
def test_a_name_of_another_form(data, tmp_path):
    with pytest.raises(ValueError, match="as hf:OWNER/NAME, .*, or a copy of one as hf:./FOLDER; received 'hf:"):
        fetch_faces(data, cache=tmp_path)


@pytest.mark.parametrize("package", ["huggingface_hub", "pyarrow"])
def test_a_package_that_is_not_installed(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=f"expected the package {package} .*pip install 'gan_helpers.huggingface.'"):
        fetch_faces("hf:anna/faces", cache=tmp_path)


def _copy(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return f"hf:{folder}"


def test_a_copy_of_a_dataset(server, tmp_path):
    head = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: portraits\n    path: data/train-*\n---\n"
    data = _copy(tmp_path / "faces", _files() | {"README.md": head.encode()})
    folder = fetch_faces(data, cache=tmp_path / "cache")
    assert _contents(folder) == FACES and folder.name == "faces"
    assert fetch_faces(f"{data}:portraits", cache=tmp_path / "cache") != folder
    assert _contents(fetch_faces(f"{data}:portraits:mask", cache=tmp_path / "cache")) == FACES[3:] + FACES[:3]
    with pytest.raises(ValueError, match="expected the part 'test' of .*received portraits"):
        fetch_faces(f"{data}:test", cache=tmp_path / "cache")
    assert server.asked == []


def test_a_copy_of_picture_files_is_a_folder(tmp_path):
    data = _copy(tmp_path / "faces", {"train/1.jpg": FACES[0]})
    assert fetch_faces(data, cache=tmp_path / "cache") == tmp_path / "faces"
    with pytest.raises(ValueError, match="expected a folder with the files of a dataset at .*received nothing"):
        fetch_faces(f"hf:{tmp_path / 'missing'}", cache=tmp_path / "cache")


def test_killed_at_any_moment(server, tmp_path):
    code = f"from gan_helpers import fetch_faces; fetch_faces('hf:anna/faces', cache={str(tmp_path)!r})"
    server.script[STORED] = "slow"
    folder = tmp_path / "sources/hf--anna--faces"
    for seconds in (0.5, 0.8, 1.1, 1.4):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.kill()
        process.wait()
        assert not folder.exists() or _contents(folder) == FACES
    del server.script[STORED]
    assert _contents(fetch_faces("hf:anna/faces", cache=tmp_path)) == FACES
    assert server.sent[STORED] < 2 * len(server.files[STORED])


def test_from_the_command_line(server, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "gan_helpers", "prepare", "--data", "hf:anna/faces", "--image-size", "32"]
    done = subprocess.run([*words, "--cache", tmp_path], env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and done.stdout.startswith("6 faces of 32 pixels in"), done.stderr
    assert CARD["license"] in done.stderr
