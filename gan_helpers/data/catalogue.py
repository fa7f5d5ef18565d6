"""The collections of faces that can be fetched by name: who is in them, under what licence, and how each comes."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from gan_helpers.data.archives import unpack
from gan_helpers.data.downloads import download
from gan_helpers.data.repositories import clone_folder, download_listed

PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"),
    *(".heic", ".heif"),  # Pillow reads these only with help, but whoever has them must hear of it
)
ATTRIBUTE_TABLES = ("list_attr_celeba.txt", "list_attr_celeba.csv", "attributes.csv")
CONGRESS_REPOSITORY = "https://github.com/unitedstates/images.git"
CONGRESS_TREES = "https://api.github.com/repos/unitedstates/images/git/trees"
CONGRESS_BRANCH, CONGRESS_FOLDER = "gh-pages", "congress/225x275"
CONGRESS_MIRRORS = (
    "https://raw.githubusercontent.com/unitedstates/images/gh-pages",
    "https://unitedstates.github.io/images",
)
LFW_ADDRESSES = (  # figshare's copy, to which scikit-learn's checksum belongs, and the original
    "https://ndownloader.figshare.com/files/5976015",
    "http://vis-www.cs.umass.edu/lfw/lfw-funneled.tgz",
)
LFW_CHECKSUM = "sha256:b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a"
CELEBA_DATASET = "jessicali9530/celeba-dataset"
LINE = 10e6 / 8  # bytes a second for which a download's time is said


@dataclass(frozen=True)
class Source:
    """A collection of faces that can be fetched by its name.

    Attributes:
        title: its name in full.
        people: who is in it, in one line.
        licence: what may be done with it, in one line.
        pictures: how many, of which size.
        megabytes: what is downloaded, about.
        fetch: function that takes a folder to work in, which stays between calls that break off, and returns the
            folder of the pictures.
        crop: the square to cut from each, `(left, top, right, bottom)`; `None` for the central one.
        must_agree: whether the licence binds whoever downloads it.
    """

    title: str
    people: str
    licence: str
    pictures: str
    megabytes: int
    fetch: Callable
    crop: tuple | None = None
    must_agree: bool = False

    @property
    def cost(self):
        """Size and time of the download, in words."""
        minutes = max(1, round(self.megabytes * 1e6 / LINE / 60))
        return f"about {self.megabytes:,} MB, {minutes} minute{'s' * (minutes > 1)} at 10 Mbit/s"


def picture_folder(path):
    """CelebA's folder of aligned pictures within what was unpacked; for others the folder itself."""
    return path / "img_align_celeba" if (path / "img_align_celeba").is_dir() else path


def _fetch_congress(working):
    try:
        return clone_folder(CONGRESS_REPOSITORY, CONGRESS_BRANCH, CONGRESS_FOLDER, working / "clone", name="portraits")
    except ValueError as error:
        tqdm.write(f"{error}; fetching the portraits one by one instead", file=sys.stderr)
        failure = error
    try:
        return download_listed(
            CONGRESS_TREES, CONGRESS_BRANCH, CONGRESS_FOLDER, CONGRESS_MIRRORS, working / "files", name="portraits"
        )
    except ValueError as error:
        raise ValueError(f"{error} (and before that: {failure})") from error


def _fetch_lfw(working):
    archive = download(LFW_ADDRESSES, working / "lfw-funneled.tgz", checksum=LFW_CHECKSUM, name="LFW")
    return unpack(archive, working / "unpacked")


def _fetch_celeba(working):
    try:
        kagglehub = importlib.import_module("kagglehub")
    except ImportError:
        raise ValueError(
            "expected the package kagglehub, through which CelebA is downloaded; received none; run pip install "
            "kagglehub, or ask for the aligned images at https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
        ) from None
    for attempt in range(2):
        try:
            return picture_folder(Path(kagglehub.dataset_download(CELEBA_DATASET)))
        except Exception as error:  # whatever requests and kagglehub raise
            kind = type(error).__name__
            if kind == "DataCorruptionError" and attempt == 0:
                continue  # it went on after the end of something else, such as a web page, and has thrown both away
            raise ValueError(
                "expected CelebA from kaggle.com through kagglehub; received nothing "
                f"({kind}: {' '.join(str(error).split())[:300]}); try later, kagglehub goes on where it stopped"
            ) from error


SOURCES = {
    "congress": Source(
        title="US Congress portraits",
        people="members of the US Congress in official portraits",
        licence="public domain (works of the US Government, github.com/unitedstates/images)",
        pictures="about 1,250 pictures of 225x275 pixels",
        megabytes=65,
        fetch=_fetch_congress,
    ),
    "lfw": Source(
        title="Labeled Faces in the Wild, funneled",
        people="5,749 people in the news of 2002 to 2004, most of them men, without having been asked",
        licence="none stated; made for research, the photographs belong to news agencies",
        pictures="13,233 pictures of 250x250 pixels",
        megabytes=240,
        fetch=_fetch_lfw,
        crop=(50, 50, 200, 200),
    ),
    "celeba": Source(
        title="CelebA, aligned",
        people="10,177 celebrities, found on the web, without having been asked",
        licence="non-commercial research only, and not to be passed on (mmlab.ie.cuhk.edu.hk/projects/CelebA.html)",
        pictures="202,599 pictures of 178x218 pixels with 40 attributes",
        megabytes=1400,
        fetch=_fetch_celeba,
        crop=(18, 50, 158, 190),
        must_agree=True,
    ),
}
