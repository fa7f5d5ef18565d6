import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import types
import zipfile
from pathlib import Path

import filelock
import pytest
from loopback import Loopback
from PIL import Image
from test_repositories import FOLDER, make_repository, needs_git, serve_portraits

from gan_helpers import data_report, draw_faces, fetch_faces, find_faces, prepare_images, read_labels
from gan_helpers.data import catalogue, downloads, sources
from gan_helpers.data.catalogue import SOURCES
from gan_helpers.data.label_tables import find_labels

ROOT = Path(__file__).resolve().parent.parent


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_nested_pictures_in_a_fixed_order(tmp_path):
    _touch(tmp_path, "b.JPG", "a/z.png", "a/y/x.webp", "c.bmp", "d.jpeg", "e.gif")
    found = [path.relative_to(tmp_path).as_posix() for path in find_faces(tmp_path)]
    assert found == ["a/y/x.webp", "a/z.png", "b.JPG", "c.bmp", "d.jpeg", "e.gif"]


def test_hidden_and_foreign_files_are_left_out(tmp_path):
    _touch(tmp_path, "face.png", ".hidden.png", ".thumbnails/face.png", "__MACOSX/face.png", "notes.txt", "x.npy")
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in find_faces(tmp_path)] == ["face.png"]


def test_accepts_a_hidden_parent(tmp_path):
    _touch(tmp_path, ".data/faces/face.png")
    assert len(find_faces(tmp_path / ".data")) == 1


def test_no_such_folder(tmp_path):
    with pytest.raises(ValueError, match="expected a folder of pictures.*received nothing.*'drawn'"):
        find_faces(tmp_path / "missing")


def test_a_file_is_no_folder(tmp_path):
    _touch(tmp_path, "face.png")
    with pytest.raises(ValueError, match="received a file"):
        find_faces(tmp_path / "face.png")


def test_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="received no file at all"):
        find_faces(tmp_path)


def test_folder_of_texts_names_what_it_holds(tmp_path):
    _touch(tmp_path, "a.txt", "b.txt", "README")
    with pytest.raises(ValueError, match=r"received 3 other files \(.txt, no ending\)"):
        find_faces(tmp_path)


def test_other_endings_of_pictures(tmp_path):
    _touch(tmp_path, "a.HEIC", "b.heif", "c.TIF", "d.tiff", "e.avif", "f.jfif")
    assert [path.name for path in find_faces(tmp_path)] == ["a.HEIC", "b.heif", "c.TIF", "d.tiff", "e.avif", "f.jfif"]


@pytest.mark.skipif(os.name != "posix", reason="links need a right of their own elsewhere")
def test_links_are_listed_and_not_walked(tmp_path):
    _touch(tmp_path, "faces/face.png", "elsewhere/other.png")
    (tmp_path / "faces/again").symlink_to(".")
    (tmp_path / "faces/other").symlink_to("../elsewhere")
    (tmp_path / "faces/broken.jpg").symlink_to("nothing")
    (tmp_path / "faces/notes.txt").symlink_to("nothing")
    (tmp_path / "faces/.hidden").symlink_to("../elsewhere")
    assert [path.name for path in find_faces(tmp_path / "faces")] == ["again", "broken.jpg", "face.png", "other"]


def test_a_parent_that_would_be_left_out(tmp_path):
    _touch(tmp_path, "__MACOSX/face.png")
    assert len(find_faces(tmp_path / "__MACOSX")) == 1


# Named sources ----------------------------------------------------------------------------------------------------


def _photographs(names, size):
    """Contents of JPEG files by name: drawn faces in the size of a source's pictures."""
    made = {}
    for name, image in zip(names, draw_faces(len(names), 32, seed=4)[0], strict=True):
        file = io.BytesIO()
        Image.fromarray(image).resize(size).save(file, "JPEG")
        made[name] = file.getvalue()
    return made


@pytest.fixture(scope="module")
def portraits():
    return _photographs([f"{letter}00001{n}.jpg" for letter in "AB" for n in range(3)], (225, 275))


@pytest.fixture(scope="module")
def lfw():
    """The archive as LFW's authors made it: a folder for each person, and lists of pairs beside them."""
    people = [f"lfw_funneled/Person_{n // 2}/Person_{n // 2}_000{n % 2 + 1}.jpg" for n in range(6)]
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in (_photographs(people, (250, 250)) | {"lfw_funneled/pairs_01.txt": b"10"}).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def server(portraits, lfw, monkeypatch):
    """What the sources are fetched from, on this machine; git gets an answer of 404."""
    monkeypatch.setattr(downloads, "TIMEOUT", 5.0)
    monkeypatch.setattr(downloads, "PAUSE", 0.01)
    with Loopback() as server:
        serve_portraits(server, portraits)
        server.files["/lfw"] = lfw
        server.tags["/lfw"] = '"lfw"'
        monkeypatch.setattr(catalogue, "CONGRESS_REPOSITORY", f"{server.address}/images.git")
        monkeypatch.setattr(catalogue, "CONGRESS_TREES", f"{server.address}/trees")
        monkeypatch.setattr(catalogue, "CONGRESS_MIRRORS", (f"{server.address}/raw",))
        monkeypatch.setattr(catalogue, "LFW_ADDRESSES", (f"{server.address}/lfw",))
        monkeypatch.setattr(catalogue, "LFW_CHECKSUM", "sha256:" + hashlib.sha256(lfw).hexdigest())
        yield server


def _visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@needs_git
def test_portraits_through_git(server, portraits, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(catalogue, "CONGRESS_REPOSITORY", make_repository(tmp_path, portraits))
    folder = fetch_faces("congress", cache=tmp_path / "cache")
    assert {path.name: path.read_bytes() for path in find_faces(folder)} == portraits
    assert folder == tmp_path / "cache/sources/congress"
    assert [path.name for path in folder.parent.iterdir() if "lock" not in path.name] == ["congress"]
    said = capsys.readouterr().err
    assert "public domain" in said and "about 65 MB" in said and "members of the US Congress" in said
    assert server.asked == []


def test_portraits_one_by_one_where_git_gets_nothing(server, portraits, tmp_path, capsys):
    folder = fetch_faces("congress", cache=tmp_path)
    assert {path.name: path.read_bytes() for path in find_faces(folder)} == portraits
    assert "fetching the portraits one by one instead" in capsys.readouterr().err


def test_lfw(server, tmp_path):
    folder = fetch_faces("lfw", cache=tmp_path)
    assert len(find_faces(folder)) == 6 and (folder / "lfw_funneled/Person_2/Person_2_0002.jpg").exists()
    assert [path.name for path in folder.parent.iterdir() if "lock" not in path.name] == ["lfw"]  # no archive stays


TROUBLES = ["403", "404", "500", "cut", "wrong", "stall", "loop", "short", "html", "html as data"]


@pytest.mark.parametrize("manner", TROUBLES)
@pytest.mark.parametrize(("name", "path"), [("congress", f"/raw/{FOLDER}/B000012.jpg"), ("lfw", "/lfw")])
def test_a_source_that_fails_leaves_nothing_and_goes_on_later(name, path, manner, server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TRIES", 1)
    monkeypatch.setattr(downloads, "TIMEOUT", 0.5 if manner == "stall" else 5.0)
    server.script[path] = manner
    with pytest.raises(ValueError, match=f"expected .* from 127.*as '{name}:PATH'; or use 'drawn', which needs no net"):
        fetch_faces(name, cache=tmp_path)
    assert _visible(tmp_path / "sources") == []
    before = server.sent[path] if manner in ("cut", "stall") else 0
    server.script.clear()
    server.sent.clear()
    assert len(find_faces(fetch_faces(name, cache=tmp_path))) == 6
    assert before + server.sent[path] == len(server.files[path])
    if name == "congress":  # the others had come
        assert [asked for asked in server.sent if asked.startswith("/raw")] == [path]


@pytest.mark.parametrize("name", ["congress", "lfw"])
def test_a_source_is_fetched_once(name, server, tmp_path):
    first = fetch_faces(name, cache=tmp_path)
    asked = len(server.asked)
    _touch(tmp_path / "sources", f".fetching-{name}/archive.tgz")  # killed at the very end
    assert fetch_faces(name, cache=tmp_path) == first and len(server.asked) == asked
    assert not (tmp_path / f"sources/.fetching-{name}").exists()


def test_a_source_prepared_and_cropped_as_it_asks(server, tmp_path):
    prepared = prepare_images("congress", 32, cache=tmp_path)
    assert prepared.images.shape == (6, 32, 32, 3) and prepared.source == "congress" and prepared.crop is None
    assert prepare_images("lfw", 32, cache=tmp_path).crop == (50, 50, 200, 200)
    assert prepare_images("lfw", 32, crop=(0, 0, 250, 250), cache=tmp_path).crop == (0, 0, 250, 250)


def test_trained_on_by_name(server, tmp_path):
    from gan_helpers import train

    done = train("lfw", tmp_path / "run", image_size=32, minutes=0.001, recipe="quick,batch_size=4,base_filters=4",
                 cache=tmp_path, health=False, report=lambda line: None)  # fmt: skip
    assert done.prepared.source == "lfw" and done.faces.exists()


def test_something_else_under_the_address_is_not_kept(server, tmp_path, monkeypatch):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("readme.txt"))
    server.files["/lfw"] = file.getvalue()
    monkeypatch.setattr(catalogue, "LFW_CHECKSUM", "sha256:" + hashlib.sha256(file.getvalue()).hexdigest())
    with pytest.raises(ValueError, match=r"received 1 other files \(.txt\)"):
        fetch_faces("lfw", cache=tmp_path)
    assert _visible(tmp_path / "sources") == []


def test_killed_at_any_moment(server, tmp_path):
    code = f"""
from gan_helpers import fetch_faces
from gan_helpers.data import catalogue
catalogue.LFW_ADDRESSES, catalogue.LFW_CHECKSUM = {catalogue.LFW_ADDRESSES!r}, {catalogue.LFW_CHECKSUM!r}
fetch_faces("lfw", cache={str(tmp_path)!r})
"""
    server.script["/lfw"] = "slow"
    for seconds in (0.3, 0.5, 0.7, 0.9, 1.1):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.kill()
        process.wait()
        folder = tmp_path / "sources/lfw"
        assert not folder.exists() or len(find_faces(folder)) == 6
    server.script.clear()
    assert len(find_faces(fetch_faces("lfw", cache=tmp_path))) == 6
    assert [path.name for path in folder.parent.iterdir() if "lock" not in path.name] == ["lfw"]
    assert server.sent["/lfw"] < 2 * len(server.files["/lfw"])


def test_two_at_once_fetch_once(server, tmp_path, capsys):
    lock = filelock.FileLock(tmp_path / "sources/.lfw.lock")
    (tmp_path / "sources").mkdir()
    lock.acquire()
    found = []
    second = threading.Thread(target=lambda: found.append(fetch_faces("lfw", cache=tmp_path)))
    second.start()
    time.sleep(0.3)
    assert not found and server.asked == []
    lock.release()
    second.join(20)
    assert found == [tmp_path / "sources/lfw"]
    assert "another process is fetching Labeled Faces in the Wild, funneled; waiting" in capsys.readouterr().err


# CelebA -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """Stands for kagglehub: makes its cache in Kaggle's layout, or raises; counts what it was asked for."""
    home = tmp_path / "kagglehub/celeba-dataset/versions/2"
    asked = []

    def dataset_download(handle):
        asked.append(handle)
        if hub.failure:
            raise hub.failure
        below = home / "img_align_celeba/img_align_celeba"
        below.mkdir(parents=True)
        for name, content in _photographs(["000001.jpg", "000002.jpg"], (178, 218)).items():
            (below / name).write_bytes(content)
        rows = ["image_id,Bald,Smiling", "000001.jpg,-1,1", "000002.jpg,1,-1"]
        (home / "list_attr_celeba.csv").write_text("\n".join(rows))
        return str(home)

    hub = types.SimpleNamespace(dataset_download=dataset_download, asked=asked, failure=None)
    monkeypatch.setitem(sys.modules, "kagglehub", hub)
    return hub


@pytest.mark.parametrize("use", [fetch_faces, lambda name, cache: prepare_images(name, 32, cache=cache)])
def test_celeba_is_not_downloaded_without_agreement(use, kaggle, tmp_path):
    with pytest.raises(ValueError, match="expected your agreement.*received none; .*non-commercial research only.*"
                       "without having been asked.*about 1,400 MB.*--agree.*agree=True"):  # fmt: skip
        use("celeba", cache=tmp_path)
    assert kaggle.asked == [] and _visible(tmp_path / "sources") == []


def test_celeba_through_kagglehub(kaggle, tmp_path):
    folder = fetch_faces("celeba", agree=True, cache=tmp_path)
    assert kaggle.asked == ["jessicali9530/celeba-dataset"]
    assert [path.name for path in find_faces(folder)] == ["000001.jpg", "000002.jpg"]
    labels = read_labels(find_labels(folder), ["000001.jpg", "000002.jpg"])
    assert labels.names == ("Bald", "Smiling") and labels.values.tolist() == [[-1, 1], [1, -1]]
    assert fetch_faces("celeba", cache=tmp_path) == folder and len(kaggle.asked) == 1  # it is here: nothing to agree to
    prepared = prepare_images("celeba", 32, cache=tmp_path)
    assert prepared.crop == (18, 50, 158, 190) and len(prepared.images) == 2
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="expected your agreement"):
        fetch_faces("celeba", cache=tmp_path)


def test_kagglehub_that_fails(kaggle, tmp_path):
    kaggle.failure = ConnectionError("no way to\nwww.kaggle.com")
    with pytest.raises(ValueError, match="nothing .ConnectionError: no way to www.kaggle.com.; try later.*'celeba:PATH'"
                       "; or use 'drawn'"):  # fmt: skip
        fetch_faces("celeba", agree=True, cache=tmp_path)
    assert _visible(tmp_path / "sources") == []
    kaggle.failure = None
    assert len(find_faces(fetch_faces("celeba", agree=True, cache=tmp_path))) == 2


def test_kagglehub_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(ValueError, match="expected the package kagglehub.*pip install kagglehub.*'drawn'"):
        fetch_faces("celeba", agree=True, cache=tmp_path)


@pytest.fixture
def real_kagglehub(server, tmp_path, monkeypatch):
    """kagglehub itself, where it is installed, with the loopback server for Kaggle's."""
    pytest.importorskip("kagglehub")
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, server.address)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    file = io.BytesIO()
    _pack(file, {f"img_align_celeba/img_align_celeba/{name}": content for name, content in
                 _photographs(["000001.jpg", "000002.jpg"], (178, 218)).items()})  # fmt: skip
    server.files["/celeba.zip"] = file.getvalue()
    digest = base64.b64encode(hashlib.md5(file.getvalue()).digest()).decode()
    server.headers["/celeba.zip"] = {"Accept-Ranges": "bytes", "x-goog-hash": f"md5={digest}"}
    interface = "/v1/datasets.DatasetApiService"
    server.files[f"{interface}/GetDataset"] = b'{"currentVersionNumber": 2}'
    server.script[f"{interface}/DownloadDataset"] = "moved /celeba.zip"
    return server


@pytest.mark.parametrize("manner", ["good", "403", "404", "500", "cut", "wrong", "loop", "short", "html"])
def test_celeba_through_the_real_kagglehub(manner, real_kagglehub, tmp_path):
    real_kagglehub.script["/celeba.zip"] = manner
    if manner != "good":
        with pytest.raises(ValueError, match="expected CelebA from kaggle.com through kagglehub; received nothing"):
            fetch_faces("celeba", agree=True, cache=tmp_path)
        assert _visible(tmp_path / "sources") == []
        del real_kagglehub.script["/celeba.zip"]
    asked = len(real_kagglehub.asked)
    folder = fetch_faces("celeba", agree=True, cache=tmp_path)
    assert [path.name for path in find_faces(folder)] == ["000001.jpg", "000002.jpg"]
    assert (manner == "cut") <= any("Range" in headers for _, headers in real_kagglehub.asked[asked:])  # it went on


def test_a_copy_of_celeba(kaggle, tmp_path, capsys):
    home = Path(kaggle.dataset_download("a copy"))
    folder = fetch_faces(f"celeba:{home}", cache=tmp_path)
    assert folder == home / "img_align_celeba" and "non-commercial" in capsys.readouterr().err
    assert prepare_images(f"celeba:{home}", 32, cache=tmp_path).crop == (18, 50, 158, 190)
    with zipfile.ZipFile(tmp_path / "img_align_celeba.zip", "w") as archive:
        for path in find_faces(folder):
            archive.write(path, f"img_align_celeba/{path.name}")
    folder = fetch_faces(f"celeba:{tmp_path / 'img_align_celeba.zip'}", cache=tmp_path)
    assert folder.name == "img_align_celeba" and len(find_faces(folder)) == 2
    assert kaggle.asked == ["a copy"]


def test_prepared_pictures_know_where_they_came_from(kaggle, tmp_path, monkeypatch):
    prepared = prepare_images("celeba", 32, cache=tmp_path, agree=True)
    assert prepared.origin == fetch_faces("celeba", cache=tmp_path)
    home = tmp_path / "kagglehub/celeba-dataset/versions/2"
    prepared = prepare_images(f"celeba:{home}", 32, cache=tmp_path)
    assert prepared.origin == home / "img_align_celeba" == prepared.part(1, None).origin
    assert [path.name for path in find_faces(prepared.origin)] == [Path(file).name for file in prepared.files]
    _pack(tmp_path / "mine.zip", _photographs(["a.jpg", "deeper/b.jpg"], (40, 40)))
    prepared = prepare_images(tmp_path / "mine.zip", 32, cache=tmp_path)
    assert prepared.origin == fetch_faces(tmp_path / "mine.zip", cache=tmp_path)
    monkeypatch.chdir(prepared.origin)
    here = prepare_images(".", 32, cache=tmp_path)
    assert here.origin == prepared.origin and here.fingerprint == prepared.fingerprint
    assert prepare_images("drawn", 32, count=8, cache=tmp_path).origin is None


def test_pictures_behind_a_link_come_from_the_link(tmp_path):
    """A table of labels lies beside the name that was given."""
    (tmp_path / "disk/img").mkdir(parents=True)
    (tmp_path / "disk/img/a.jpg").write_bytes(_photographs(["a.jpg"], (40, 40))["a.jpg"])
    (tmp_path / "img").symlink_to(tmp_path / "disk/img")
    (tmp_path / "labels.csv").write_text("file,Smiling\na.jpg,1\n")
    prepared = prepare_images(tmp_path / "img", 32, cache=tmp_path / "cache")
    assert find_labels(prepared.origin) == tmp_path / "labels.csv" and prepared.source == "img"


def test_a_report_fetches_once(kaggle, tmp_path, capsys):
    """Every fetching says the licence."""
    report = data_report(f"celeba:{kaggle.dataset_download('a copy')}", 32, cache=tmp_path)
    assert report.attributes == {"Bald": 0.5, "Smiling": 0.5} and report.shorter_sides.tolist() == [178, 178]
    assert capsys.readouterr().err.count("non-commercial research only") == 1


# Archives, paths and names ----------------------------------------------------------------------------------------


def _pack(file, contents):
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file


def test_an_archive_of_pictures(tmp_path):
    pictures = _photographs(["a.jpg", "deeper/b.jpg"], (40, 40))
    prepared = prepare_images(_pack(tmp_path / "my faces.zip", pictures), 32, cache=tmp_path / "cache")
    assert len(prepared.images) == 2 and prepared.source == "my_faces"
    folder = fetch_faces(str(tmp_path / "my faces.zip"), cache=tmp_path / "cache")
    assert folder == fetch_faces(tmp_path / "my faces.zip", cache=tmp_path / "cache")
    _pack(tmp_path / "my faces.zip", _photographs(["c.jpg"], (40, 40)))
    later = fetch_faces(tmp_path / "my faces.zip", cache=tmp_path / "cache")
    assert [path.name for path in find_faces(later)] == ["c.jpg"]  # an archive that changed is another one


def test_an_archive_without_pictures_is_named_and_not_kept(tmp_path):
    _pack(tmp_path / "texts.zip", {"a.txt": b"a", "b.csv": b"b"})
    with pytest.raises(ValueError, match=r"texts.zip' or below; received 2 other files \(.csv, .txt\)"):
        fetch_faces(tmp_path / "texts.zip", cache=tmp_path / "cache")
    assert _visible(tmp_path / "cache/archives") == []


def test_a_damaged_archive_is_named_and_not_kept(tmp_path):
    content = _pack(tmp_path / "faces.zip", _photographs(["a.jpg"], (40, 40))).read_bytes()
    (tmp_path / "faces.zip").write_bytes(content[:-30])
    with pytest.raises(ValueError, match="whole zip or tar archive in .*faces.zip'; received a damaged one"):
        prepare_images(tmp_path / "faces.zip", 32, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.jpg"))


def test_a_picture_is_no_archive(tmp_path):
    (tmp_path / "face.jpg").write_bytes(_photographs(["a.jpg"], (40, 40))["a.jpg"])
    with pytest.raises(ValueError, match="face.jpg'; received a file that is no zip or tar archive; give the folder"):
        fetch_faces(tmp_path / "face.jpg", cache=tmp_path / "cache")


def test_a_folder_with_the_name_of_a_source(server, tmp_path, monkeypatch):
    _touch(tmp_path, "congress/mine.png")
    monkeypatch.chdir(tmp_path)
    assert fetch_faces("./congress") == Path("congress") == fetch_faces(Path("congress"))
    assert server.asked == []
    assert len(find_faces(fetch_faces("congress", cache=tmp_path / "cache"))) == 6


@pytest.mark.parametrize("data", ["lwf", "lfw:", "lfw:missing", "C:\\faces"])
def test_a_name_that_there_is_not(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match="received nothing; check the path, or .* one of the names congress, lfw, celeba"
    ):
        fetch_faces(data, cache=tmp_path)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_source_says_what_it_is(source):
    listed = sources.describe_sources()
    for text in (source.title, source.people, source.licence, source.pictures, source.cost):
        assert len(text) > 8 and text in listed


def _command(*words, cwd):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "gan_helpers", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100)


def test_the_command_line_lists_the_sources(tmp_path):
    done = _command("sources", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout == sources.describe_sources() + "\n"
    helped = _command("train", "--help", cwd=tmp_path).stdout
    assert all(name in helped for name in SOURCES) and "--agree" in helped and "`sources`" in " ".join(helped.split())


def test_the_command_line_asks_for_agreement(tmp_path):
    done = _command("prepare", "--data", "celeba", "--cache", "cache", cwd=tmp_path)
    assert done.returncode == 1 and "non-commercial research only" in done.stderr and "--agree" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_line_prepares_an_archive(tmp_path):
    _pack(tmp_path / "faces.zip", _photographs(["a.jpg", "b.jpg"], (40, 40)))
    done = _command("prepare", "--data", "faces.zip", "--image-size", "32", "--cache", "cache", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("2 faces of 32 pixels in cache"), done.stderr


def test_the_sample_of_portraits(tmp_path):
    """The real portraits, where `GAN_PORTRAITS_DIR` names a folder of some of them."""
    folder = os.environ.get("GAN_PORTRAITS_DIR")
    if not folder:
        pytest.skip("GAN_PORTRAITS_DIR does not name a folder of portraits of the US Congress")
    prepared = prepare_images(f"congress:{folder}", 64, cache=tmp_path)
    assert len(prepared.images) == len(find_faces(folder)) and prepared.skipped == []
