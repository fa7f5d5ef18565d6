"""Where faces come from."""

import os
from pathlib import Path

PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"),
    *(".heic", ".heif"),  # Pillow reads these only with help, but whoever has them must hear of it
)


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
