"""One folder of a repository, from git or file by file, when all goes well and when it does not."""

import hashlib
import json
import os
import shutil
import subprocess

import pytest
from loopback import Loopback

from gan_helpers.data import downloads, repositories
from gan_helpers.data.repositories import clone_folder, download_listed

FOLDER = "congress/225x275"
PORTRAITS = {f"{letter}00{n}.jpg": f"portrait {letter}{n}".encode() * 50 for letter in "ABZ" for n in range(3)}
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 5.0)
    monkeypatch.setattr(downloads, "PAUSE", 0.01)


@pytest.fixture
def server():
    """GitHub's interface and files, as they are laid out there."""
    with Loopback() as server:
        serve_portraits(server)
        yield server


def serve_portraits(server, portraits=PORTRAITS):
    def row(name, kind, sha):
        return {"path": name, "mode": "100644", "type": kind, "sha": sha, "url": "https://api.github.com/…"}

    blobs = {
        name: hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() for name, content in portraits.items()
    }
    trees = {
        "gh-pages": [row("README.md", "blob", "0" * 40), row("congress", "tree", "c1")],
        "c1": [row("225x275", "tree", "d2"), row("450x550", "tree", "e3")],
        "d2": [row(name, "blob", sha) for name, sha in blobs.items()] + [row("thumbs", "tree", "f4")],
    }
    server.files |= {
        f"/trees/{sha}": json.dumps({"sha": sha, "tree": rows, "truncated": False}).encode()
        for sha, rows in trees.items()
    }
    server.files |= {f"/raw/{FOLDER}/{name}": content for name, content in portraits.items()}


def git(*words, cwd):
    user = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=gh-pages"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["git", *user, *words], cwd=cwd, env=environment, check=True, capture_output=True, text=True
    ).stdout


def make_repository(folder, portraits=PORTRAITS):
    """A bare repository, laid out as the portraits' one; its `file://` address."""
    tree = folder / "tree"
    for name, content in {f"{FOLDER}/{name}": content for name, content in portraits.items()}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    (tree / FOLDER / "thumbs").mkdir()
    (tree / FOLDER / "thumbs/A000.jpg").write_bytes(b"small")
    (tree / "congress/original").mkdir()
    (tree / "congress/original/large.jpg").write_bytes(os.urandom(500_000))
    (tree / "README.md").write_text("Images of Congress")
    git("init", "--quiet", cwd=tree)
    git("add", ".", cwd=tree)
    git("commit", "--quiet", "-m", "all", cwd=tree)
    git("clone", "--quiet", "--bare", str(tree), str(folder / "images.git"), cwd=folder)
    for setting in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git("config", setting, "true", cwd=folder / "images.git")
    return f"file://{folder}/images.git"


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@needs_git
def test_clone_holds_the_folder_and_nothing_else(tmp_path):
    repository, shown = make_repository(tmp_path), []
    folder = clone_folder(repository, "gh-pages", FOLDER, tmp_path / "clone", progress=lambda *n: shown.append(n))
    assert folder == tmp_path / "clone" / FOLDER and _contents(folder) == PORTRAITS
    assert not (tmp_path / "clone/README.md").exists() and not (tmp_path / "clone/congress/original").exists()
    size = sum(path.stat().st_size for path in (tmp_path / "clone").rglob("*") if path.is_file())
    assert size < 200_000  # the large one, of half a megabyte, did not come
    assert shown == [(3, 9), (6, 9), (9, 9)]


@needs_git
def test_a_link_in_a_repository_is_not_followed(tmp_path):
    tree = tmp_path / "tree" / FOLDER
    tree.mkdir(parents=True)
    (tree / "C000.jpg").symlink_to("/etc/passwd")
    folder = clone_folder(make_repository(tmp_path), "gh-pages", FOLDER, tmp_path / "clone")
    assert (folder / "C000.jpg").read_text() == "/etc/passwd" and not (folder / "C000.jpg").is_symlink()


@needs_git
def test_clone_that_breaks_off_goes_on(tmp_path):
    repository = make_repository(tmp_path)
    blob = git("rev-parse", f"gh-pages:{FOLDER}/B001.jpg", cwd=tmp_path / "images.git").strip()
    lost = tmp_path / "images.git/objects" / blob[:2] / blob[2:]
    kept = lost.read_bytes()
    lost.chmod(0o644)
    lost.unlink()
    with pytest.raises(ValueError, match="git read-tree: "):
        clone_folder(repository, "gh-pages", FOLDER, tmp_path / "clone")
    first = tmp_path / "clone" / FOLDER / "A000.jpg"
    before = first.stat().st_mtime_ns, first.stat().st_ino
    lost.write_bytes(kept)
    (tmp_path / "clone/.git/index.lock").touch()  # as a killed git leaves it
    shown = []
    folder = clone_folder(repository, "gh-pages", FOLDER, tmp_path / "clone", progress=lambda *n: shown.append(n))
    assert _contents(folder) == PORTRAITS
    assert (first.stat().st_mtime_ns, first.stat().st_ino) == before  # not fetched again


@needs_git
def test_clone_begins_anew_on_what_is_no_clone(tmp_path):
    repository = make_repository(tmp_path)
    (tmp_path / "clone/.git").mkdir(parents=True)
    (tmp_path / "clone/.git/HEAD").write_text("half")
    assert _contents(clone_folder(repository, "gh-pages", FOLDER, tmp_path / "clone")) == PORTRAITS


@needs_git
def test_clone_within_another_repository_leaves_it_alone(tmp_path, monkeypatch):
    repository = make_repository(tmp_path)
    outer = tmp_path / "tree"
    monkeypatch.setenv("GIT_DIR", str(outer / ".git"))  # as in a hook
    monkeypatch.setenv("GIT_INDEX_FILE", str(outer / ".git/index"))
    assert _contents(clone_folder(repository, "gh-pages", FOLDER, outer / "cache/clone")) == PORTRAITS
    assert git("status", "--porcelain", cwd=outer) == "?? cache/\n"
    assert "sparse" not in (outer / ".git/config").read_text()


@needs_git
@pytest.mark.parametrize(
    ("branch", "folder", "message"),
    [
        ("main", FOLDER, "git clone: .*Remote branch main not found"),
        ("gh-pages", "congress/1x1", "expected the folder congress/1x1 in .*received none, or an empty one"),
    ],
)
def test_clone_of_what_is_not_there(branch, folder, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        clone_folder(make_repository(tmp_path), branch, folder, tmp_path / "clone")


@needs_git
@pytest.mark.parametrize("manner", ["401", "403", "404", "500", "html", "loop", "stall", "cut"])
def test_clone_from_a_server_that_misbehaves(manner, server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 1.0)
    server.script["*"] = manner
    server.files["/images.git/info/refs?service=git-upload-pack"] = b"001e# service=git-upload-pack\n" * 40
    with pytest.raises(ValueError, match="git clone: "):
        clone_folder(f"{server.address}/images.git", "gh-pages", FOLDER, tmp_path / "clone")
    assert not (tmp_path / "clone").exists()


def test_clone_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="git is not installed"):
        clone_folder("file:///nowhere", "gh-pages", FOLDER, tmp_path / "clone")


def _listed(server, into, **arguments):
    mirrors = [f"{server.address}/raw", f"{server.address}/pages"]
    return download_listed(f"{server.address}/trees", "gh-pages", FOLDER, mirrors, into, **arguments)


def test_files_one_by_one(server, tmp_path):
    shown = []
    assert _contents(_listed(server, tmp_path / "files", progress=lambda *n: shown.append(n))) == PORTRAITS
    assert shown[-1] == (9, 9) and len(shown) == 9
    assert len(server.asked) == 3 + len(PORTRAITS)


@pytest.mark.parametrize("manner", ["404", "wrong", "html", "short"])
def test_a_file_from_the_second_mirror(manner, server, tmp_path):
    server.script[f"/raw/{FOLDER}/A000.jpg"] = manner
    server.files[f"/pages/{FOLDER}/A000.jpg"] = PORTRAITS["A000.jpg"]
    assert _contents(_listed(server, tmp_path / "files")) == PORTRAITS


@pytest.mark.parametrize("manner", ["404", "500", "cut", "wrong"])
def test_a_file_that_does_not_come_stops_it_and_the_others_stay(manner, server, tmp_path):
    server.script[f"/raw/{FOLDER}/Z002.jpg"] = manner
    with pytest.raises(ValueError, match="expected Z002.jpg from 127.0.0.1"):
        _listed(server, tmp_path / "files")
    server.script.clear()
    server.sent.clear()
    assert _contents(_listed(server, tmp_path / "files")) == PORTRAITS
    assert [path for path in server.sent if path.startswith("/raw")] == [f"/raw/{FOLDER}/Z002.jpg"]


def test_the_first_file_that_does_not_come_ends_it(server, tmp_path, monkeypatch):
    monkeypatch.setattr(repositories, "AT_ONCE", 1)
    serve_portraits(server, {f"A{n:03d}.jpg": b"portrait" for n in range(200)})
    server.script[f"/raw/{FOLDER}/A000.jpg"] = "404"
    with pytest.raises(ValueError, match="expected A000.jpg"):
        _listed(server, tmp_path / "files")
    assert len(server.asked) < 150


def test_a_file_that_changed_since_is_fetched_anew_and_one_that_went_goes(server, tmp_path):
    _listed(server, tmp_path / "files")
    later = {name: content for name, content in PORTRAITS.items() if name != "A000.jpg"} | {"B001.jpg": b"another"}
    serve_portraits(server, later)
    assert _contents(_listed(server, tmp_path / "files")) == later


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("403", "403 Forbidden"),
        ("html", "Expecting value"),
        ("html as data", "Expecting value"),
        ("loop", "302 "),
        ("cut", ""),
    ],
)
def test_no_listing(manner, reason, server, tmp_path):
    server.script["/trees/gh-pages"] = manner
    with pytest.raises(
        ValueError, match=f"expected a listing from http://127.0.0.1.*/trees/gh-pages; received {reason}.*; try later"
    ):
        _listed(server, tmp_path / "files")
    assert not (tmp_path / "files").exists()


def test_a_listing_that_comes_late(server, tmp_path):
    server.script["/trees/d2"] = ["500", "cut"]
    assert _contents(_listed(server, tmp_path / "files")) == PORTRAITS


@pytest.mark.parametrize("name", ["../evil.jpg", "a/b.jpg", "..", "..\\evil.jpg"])
def test_a_listing_with_a_name_that_leads_outside(name, server, tmp_path):
    rows = [{"path": name, "type": "blob", "sha": "0" * 40}]
    server.files["/trees/d2"] = json.dumps({"tree": rows}).encode()
    with pytest.raises(ValueError, match="received the name"):
        _listed(server, tmp_path / "files")
    assert not (tmp_path / "evil.jpg").exists()


def test_a_listing_that_is_not_all(server, tmp_path):
    server.files["/trees/d2"] = json.dumps({"tree": [], "truncated": True}).encode()
    with pytest.raises(ValueError, match="received a part of the listing only"):
        _listed(server, tmp_path / "files")


def test_a_folder_that_is_not_there(server, tmp_path):
    with pytest.raises(ValueError, match="expected the folder congress/1x1 at .*received none"):
        download_listed(f"{server.address}/trees", "gh-pages", "congress/1x1", [server.address], tmp_path / "files")
