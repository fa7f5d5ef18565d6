"""Fetches one folder of a git repository, without the rest of it: a partial clone, or file by file."""

import http.client
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gan_helpers.data import downloads

AT_ONCE = 8  # files
# What a hook of another repository sets, for that repository.
OF_A_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")


def clone_folder(repository, branch, folder, aside, *, name=None, progress=None):
    """The files of one folder of a git repository, without the rest of it and without its history.

    A partial clone (git 2.25 or newer) holds the names of all files and the content of none. The folder's files are
    fetched in batches, those whose names begin alike together; what has come stays when the connection breaks, and the
    next call fetches the rest. Git checks every file by its digest.

    Args:
        repository: address of the repository.
        branch: name of the branch.
        folder: path of the folder within it; its own folders are left out.
        aside: path of a folder to clone into, kept between calls that break off.
        name: what it is, for the progress bar. Defaults to the folder.
        progress: function that is called with the files that are there and the total. Defaults to a progress bar.

    Returns:
        Path of the folder with the files, below `aside`.

    Raises:
        ValueError: git is missing or says no; the message holds its last words.
    """
    aside = Path(aside).absolute()
    for lock in (aside / ".git").rglob("*.lock"):  # what a killed git left
        lock.unlink()
    here = {"GIT_DIR": str(aside / ".git"), "GIT_WORK_TREE": str(aside)}
    try:
        _git("rev-parse", "--verify", "--quiet", "HEAD^{tree}", cwd=aside, **here)
    except (ValueError, OSError):
        shutil.rmtree(aside, ignore_errors=True)
        aside.parent.mkdir(parents=True, exist_ok=True)
        only = ["--depth", "1", "--branch", branch, "--single-branch", "--no-tags", "--filter=blob:none"]
        _git("clone", "--quiet", "--no-checkout", *only, repository, str(aside), cwd=aside.parent)
    listed = _git("ls-tree", "-z", "HEAD", f"{folder}/", cwd=aside, **here).split("\0")
    names = [Path(line.partition("\t")[2]).name for line in listed if " blob " in line.partition("\t")[0]]
    if not names:
        raise ValueError(f"expected the folder {folder} in {repository}; received none, or an empty one")
    _git("config", "core.sparseCheckout", "true", cwd=aside, **here)
    patterns = []
    with downloads.shown(name or folder, progress, unit=" files") as show:
        for letter in sorted({name[0] for name in names if name[0].isalnum()}):
            patterns.append(f"/{folder}/{letter}*\n")
            (aside / ".git/info").mkdir(exist_ok=True)
            (aside / ".git/info/sparse-checkout").write_text("".join(patterns))
            _git("read-tree", "-m", "-u", "HEAD", cwd=aside, **here)
            show(sum(name[0] <= letter for name in names), len(names))
    return aside / folder


def _git(*words, cwd, **variables):
    """What git says on stdout; without questions to anybody, and without links that a repository may hold."""
    settings = ["core.symlinks=false", "core.autocrlf=false", "advice.detachedHead=false"]
    settings += [f"http.lowSpeedLimit={downloads.SLOWEST}", f"http.lowSpeedTime={max(1, round(downloads.TIMEOUT))}"]
    inherited = {name: value for name, value in os.environ.items() if name not in OF_A_REPOSITORY}
    environment = inherited | {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "LC_ALL": "C"} | variables
    command = ["git", *(word for setting in settings for word in ("-c", setting)), *words]
    try:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, errors="replace")
    except FileNotFoundError as error:
        raise ValueError("git is not installed" if error.filename == "git" else str(error)) from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ValueError(f"git {words[0]}: {' '.join(said[-2:])[:300]}")
    return done.stdout


def download_listed(trees, branch, folder, mirrors, into, *, name=None, progress=None):
    """The files of one folder of a GitHub repository, one by one: for where there is no git.

    Args:
        trees: address of the repository's trees in GitHub's interface, `https://api.github.com/repos/…/git/trees`.
        branch: name of the branch.
        folder: path of the folder within it; its own folders are left out.
        mirrors: list of addresses to each of which the folder and a file's name are added.
        into: path of a folder for the files, kept between calls that break off.
        name: what it is, for the progress bar. Defaults to the folder.
        progress: function that is called with the files that are there and the total. Defaults to a progress bar.

    Returns:
        The folder, a `pathlib.Path`.

    Raises:
        ValueError: the listing or a file cannot be fetched.
    """
    into = Path(into)
    tree = branch
    for step in folder.split("/"):
        tree = next((row["sha"] for row in _listing(trees, tree) if (row["path"], row["type"]) == (step, "tree")), None)
        if tree is None:
            raise ValueError(f"expected the folder {folder} at {trees}; received none")
    rows = [row for row in _listing(trees, tree) if row["type"] == "blob"]
    into.mkdir(parents=True, exist_ok=True)
    for stray in into.iterdir():  # of an older listing
        if stray.name.removesuffix(".part.json").removesuffix(".part") not in {row["path"] for row in rows}:
            stray.unlink()

    def fetch(row):
        addresses = [f"{mirror}/{folder}/{urllib.parse.quote(row['path'])}" for mirror in mirrors]
        file, checksum = into / row["path"], f"git:{row['sha']}"
        downloads.keep_if_right(file, checksum)
        downloads.download(addresses, file, checksum=checksum, progress=lambda done, total: None)

    with downloads.shown(name or folder, progress, unit=" files") as show, ThreadPoolExecutor(AT_ONCE) as pool:
        for done, _ in enumerate(pool.map(fetch, rows), 1):  # the first that fails calls off those not yet begun
            show(done, len(rows))
    return into


def _listing(trees, tree):
    """Rows of a tree in GitHub's interface: dicts with `path`, `type` and `sha`."""
    address = f"{trees}/{tree}"
    for attempt in range(downloads.TRIES):
        try:
            with urllib.request.urlopen(address, timeout=downloads.TIMEOUT) as answer:
                listing = json.loads(answer.read())
            if listing.get("truncated"):
                raise ValueError("a part of the listing only")
            for row in listing["tree"]:
                if row["path"] in (".", "..", "") or set(row["path"]) & set("/\\") or not row["sha"].isalnum():
                    raise ValueError(f"the name {row['path']!r}, which would land outside of its folder")
            return listing["tree"]
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
            failure = error
            if isinstance(error, urllib.error.HTTPError) and error.code not in downloads.PASSING:
                break
            time.sleep(downloads.PAUSE * 2**attempt if attempt < downloads.TRIES - 1 else 0)
    raise ValueError(f"expected a listing from {address}; received {downloads.in_words(failure)}; try later") from None
