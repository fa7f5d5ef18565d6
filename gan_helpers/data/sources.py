"""Where faces come from."""

from pathlib import Path

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def find_faces(folder):
    """The picture files below a folder, in a fixed order.

    Nested folders are walked, as `keras.utils.image_dataset_from_directory` does; hidden files and folders
    (a name that begins with a dot) and macOS' `__MACOSX` are left out. Which files are pictures is judged by their
    ending alone (jpg, jpeg, png, webp, bmp, gif, in any case); whether they can be read shows when they are.

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
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file() and not _hidden(path.relative_to(folder)) and "__MACOSX" not in path.parts
    ]
    pictures = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
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


def _hidden(relative_path):
    return any(part.startswith(".") for part in relative_path.parts)
