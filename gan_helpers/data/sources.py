"""Where faces come from: a folder, an archive, or a collection that is fetched by its name."""

import functools
import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

from tqdm import tqdm

from gan_helpers.data.archives import finish_folder, unpack
from gan_helpers.data.catalogue import PICTURE_SUFFIXES, SOURCES, picture_folder
from gan_helpers.data.hub import hub_source, unpack_copy
from gan_helpers.data.locks import alone


def fetch_faces(data, *, agree=False, cache=None):
    """The folder of pictures that a name, an archive or a path stands for; downloaded or unpacked on the first use.

    What is fetched stays in `sources/` of the cache, what is unpacked in `archives/`. Neither is ever half there: a
    folder gets its name when all in it has come and has been checked. A download that breaks off goes on at the next
    call. Of two processes that want the same one waits for the other.

    Args:
        data: name of a source (a key of `SOURCES`); `"NAME:PATH"` for a copy of that source that you have, a folder or
            an archive; `"hf:OWNER/NAME"` for a dataset of Hugging Face, with `":SPLIT"` and `":COLUMN"` after it where
            there are several, or `"hf:./PATH"` for a copy of one; or the path of a folder or of a zip or tar archive. A
            folder that has a source's name is meant by `"./NAME"`, or by a `pathlib.Path`.
        agree: whether you accept the licence of a source that binds you to it (CelebA: non-commercial research only).
            Without it nothing of such a source is downloaded. Defaults to `False`.
        cache: folder of all caches. Defaults to `$GAN_FACES_CACHE`, else `~/.cache/gan_helpers`.

    Returns:
        Path of a folder, for `find_faces`.

    Raises:
        ValueError: nothing is there, the licence has not been agreed to, a download failed, or an archive is damaged.

    Example:
        >>> find_faces(fetch_faces("congress"))[0].name
        'A000014.jpg'
    """
    root = Path(cache or cache_folder())
    if isinstance(data, str) and data.startswith("hf:"):
        return _fetch_from_hub(data, agree, root)
    source, copy = _named(data)
    if source and not copy:
        where = root / "sources"
        with alone(where / f".{source}.lock", f"fetching {SOURCES[source].title}"):
            return _fetch_once(
                f"{source}:PATH", where / source, lambda: SOURCES[source], agree, where / f".fetching-{source}"
            )
    path = Path(copy or data)
    if source:
        _say(f"{SOURCES[source].title}; licence: {SOURCES[source].licence}")
    if path.is_file():
        path = _unpacked(path, root / "archives")
    elif not path.exists():
        raise ValueError(
            f"expected a folder of pictures at '{path}'; received nothing; check the path, or give a zip or tar "
            f"archive, or one of the names {', '.join(SOURCES)}, or hf:OWNER/NAME, or 'drawn' for faces that need no "
            "download"
        )
    return picture_folder(path) if source else path


def source_of(data):
    """The `Source` that a name, or `"NAME:PATH"`, stands for; `None` for a path."""
    return SOURCES.get(_named(data)[0])


def describe_sources():
    """What can be fetched, for reading: a few lines each."""
    lines = ["drawn (default): faces that are drawn here; no download, no people, no licence"]
    for name, source in SOURCES.items():
        agree = "; downloaded only with --agree" if source.must_agree else ""
        lines += [
            f"{name}: {source.title}; {source.pictures}",
            f"    who:     {source.people}",
            f"    licence: {source.licence}{agree}",
            f"    size:    {source.cost}",
        ]
    lines += ["FOLDER or ARCHIVE: pictures of your own, in a folder, a zip or a tar (.gz, .bz2, .xz) archive"]
    lines += ["NAME:PATH: a copy of one of the named that you have, as a folder or an archive"]
    lines += [
        "hf:OWNER/NAME: a dataset of Hugging Face (pip install 'gan_helpers[huggingface]'); its card says its licence",
        "    hf:OWNER/NAME:SPLIT or hf:OWNER/NAME:SPLIT:COLUMN: one part, one column; hf:./FOLDER: a copy you have",
    ]
    return "\n".join(lines)


def cache_folder():
    """Where what is prepared or fetched once is kept: `$GAN_FACES_CACHE`, else `~/.cache/gan_helpers`."""
    return Path(os.environ.get("GAN_FACES_CACHE") or Path.home() / ".cache" / "gan_helpers")


def find_faces(folder):
    """The picture files below a folder, in a fixed order.

    Nested folders are walked and links to folders are not, as `keras.utils.image_dataset_from_directory` does; hidden
    files and folders (a name that begins with a dot) and macOS' `__MACOSX` are left out. Which files are pictures is
    judged by their ending alone (jpg, png, webp, bmp, gif, tif, avif, heic and their other spellings, in any case);
    whether they can be read shows when they are. So that nothing is lost in silence, the list also holds what has such
    an ending but is a broken link or a pipe, and folders whose content is out of reach: links to folders, and those
    that may not be listed.

    Args:
        folder: path of a folder.

    Returns:
        A list of `pathlib.Path`, sorted by the path below the folder, so that the order does not depend on the disk.

    Raises:
        ValueError: there is no such folder, or it holds no picture.

    Example:
        >>> find_faces("img")[:2]
        [PosixPath('img/anna.jpg'), PosixPath('img/family/ben.png')]
    """
    folder = Path(folder)
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "nothing"
        raise ValueError(
            f"expected a folder of pictures at '{folder}'; received {kind}; "
            "check the path, or use 'drawn' for faces that need no download"
        )
    files, out_of_reach = _walk(folder)
    pictures = out_of_reach + [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    if not pictures:
        found = "no file at all"
        if files:
            endings = sorted({path.suffix.lower() or "no ending" for path in files})
            found = f"{len(files)} other files ({', '.join(endings[:6])})"
        raise ValueError(
            f"expected pictures ({', '.join(PICTURE_SUFFIXES)}) in '{folder}' or below; received {found}; "
            "put photographs there, or use 'drawn' for faces that need no download"
        )
    return sorted(pictures, key=lambda path: path.relative_to(folder).as_posix())


def _walk(folder):
    """Everything below a folder that is no folder itself, and the folders that cannot be walked."""
    files, out_of_reach = [], []

    def refused(error):
        out_of_reach.append(Path(error.filename))

    for parent, folders, names in os.walk(folder, onerror=refused):
        folders[:] = [name for name in folders if not _left_out(name)]
        out_of_reach += [path for path in (Path(parent, name) for name in folders) if path.is_symlink()]
        files += [Path(parent, name) for name in names if not _left_out(name)]
    return files, out_of_reach


def _left_out(name):
    return name.startswith(".") or name == "__MACOSX"


# Fetching ---------------------------------------------------------------------------------------------------------


def _named(data):
    """`(name, path)` of `"NAME"` or `"NAME:PATH"`; `(None, None)` where a path was given."""
    if not isinstance(data, str):
        return None, None
    name, colon, path = data.partition(":")
    if name not in SOURCES or (colon and not path):
        return None, None
    return name, path or None


def _fetch_from_hub(data, agree, root):
    """The folder of a dataset of the Hub, or of a copy of one; of several parts each has its own."""
    where, part, column = _hub_words(data)
    if where.startswith((".", "/", "~", "\\")) or ":" in where:
        return _copy_of_dataset(Path(where).expanduser(), part, column, root / "archives")
    words = [re.sub(r"[^\w.-]", "-", word) for word in ("hf", *where.split("/"), part or "") if word]
    files = "--".join(words)  # which serve several columns
    folder = root / "sources" / "--".join([*words, *([re.sub(r"[^\w.-]", "-", column)] if column else [])])
    with alone(folder.with_name(f".{files}.lock"), f"fetching {where}"):
        look_up = functools.partial(hub_source, where, part, column)
        return _fetch_once("hf:./FOLDER", folder, look_up, agree, folder.with_name(f".fetching-{files}"))


def _hub_words(data):
    """Dataset or path, part and column of `"hf:OWNER/NAME:PART:COLUMN"`; the latter two may be missing, so `None`."""
    found = re.fullmatch(r"hf:((?:[A-Za-z]:[\\/])?[^:]+)(?::([^:]+))?(?::([^:]+))?", data)
    if not found or not (re.search(r"[\\/]", found[1]) or found[1] == "."):
        raise ValueError(
            "expected a dataset of Hugging Face as hf:OWNER/NAME, hf:OWNER/NAME:SPLIT or hf:OWNER/NAME:SPLIT:COLUMN, "
            f"or a copy of one as hf:./FOLDER; received {data!r}; the name stands at the top of the dataset's page"
        )
    return found.groups()


def _copy_of_dataset(folder, part, column, root):
    if not folder.is_dir():
        raise ValueError(
            f"expected a folder with the files of a dataset at '{folder}'; received nothing; check the path, or give "
            "hf:OWNER/NAME to download it"
        )
    stats = sorted(
        (str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in _walk(folder)[0] if path.is_file()
    )
    key = _digest(part, column, stats)
    with alone(root / f".{key}.lock", f"unpacking {folder.name}"):
        made = root / key / (folder.resolve().name or "dataset")
        aside = made.with_name(f".unpacking-{made.name}")
        if not made.exists():
            shutil.rmtree(aside, ignore_errors=True)  # what a kill left
            if unpack_copy(folder, aside, part, column) is None:
                return folder
            finish_folder(aside, made)
    return made


def _fetch_once(copy, folder, look_up, agree, working):
    """What a source gives, under its final name when all of it has come; the caller holds its lock. `copy` is how a
    copy of it is given."""
    pointer = folder.with_name(f"{folder.name}.path")
    if folder.is_dir():
        shutil.rmtree(working, ignore_errors=True)  # what a kill left at the very end
        return folder
    if pointer.exists() and Path(pointer.read_text(encoding="utf-8")).is_dir():
        return Path(pointer.read_text(encoding="utf-8"))
    try:
        source = look_up()
        if source.must_agree and not agree:
            raise ValueError(
                f"expected your agreement before {source.title} is downloaded; received none; its licence: "
                f"{source.licence}; it shows {source.people}; {source.cost}; if you agree, add --agree on the command "
                "line, or agree=True in Python"
            )
        _say(f"{source.title}: {source.pictures}; {source.people}\nlicence: {source.licence}")
        _say(f"fetching {source.cost}")
        working.mkdir(parents=True, exist_ok=True)
        made = source.fetch(working)
    except ValueError as error:
        raise ValueError(
            f"{error}; or give a copy that you have, as '{copy}'; or use 'drawn', which needs no network"
        ) from error
    find_faces(made)  # says what is there instead, if it is something else
    if working in made.parents:
        finish_folder(made, folder)
    else:  # it stays where another program keeps it
        aside = pointer.with_suffix(".writing")
        aside.write_text(str(made.absolute()), encoding="utf-8")
        os.replace(aside, pointer)
        folder = made
    shutil.rmtree(working, ignore_errors=True)
    return folder


def _unpacked(archive, root):
    """The folder of an archive's files; another archive of the same name has another one."""
    stat = archive.stat()
    key = _digest(str(archive.resolve()), stat.st_size, stat.st_mtime_ns)
    name = re.sub(r"(\.tar)?\.\w+$", "", archive.name) or "archive"
    folder = root / key / name
    with alone(root / f".{key}.lock", f"unpacking {archive.name}"):
        if not folder.exists():
            unpack(archive, folder)
            try:
                find_faces(folder)
            except ValueError as error:
                shutil.rmtree(root / key)
                raise ValueError(str(error).replace(str(folder), str(archive))) from error
    return folder


def _digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _say(text):
    tqdm.write(text, file=sys.stderr)
