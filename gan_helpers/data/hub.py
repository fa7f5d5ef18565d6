"""Datasets of the Hugging Face Hub by name: what one holds, under which licence, and its pictures as files.

The package huggingface_hub knows the Hub: its listings, cards and log-in. Files come through `downloads`, for that
package forgets a download that breaks off (version 2) and does not look at checksums.
"""

import functools
import importlib
import os
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gan_helpers.data import downloads
from gan_helpers.data.archives import unpack
from gan_helpers.data.catalogue import Source
from gan_helpers.data.hub_parts import choose_part, converted_parts, parts_of
from gan_helpers.data.parquet import unpack_tables

AT_ONCE = 4  # files
CONVERTED = "refs/convert/parquet"  # the branch in which the Hub itself keeps what it could read, as parquet files
FINAL = ("RepositoryNotFoundError", "GatedRepoError", "DisabledRepoError", "HFValidationError", "RevisionNotFoundError")
# Licences that bind whoever downloads: -nc- is non-commercial, and `other` stands on the dataset's page alone.
BINDING = r"(^|[^a-z])(nc|other|research)([^a-z]|$)"


def hub_source(dataset, part=None, column=None):
    """The `Source` that a dataset of the Hub is; asks the Hub what it holds and what its card says.

    Args:
        dataset: its name, `"OWNER/NAME"`.
        part: the split to take, such as `"train"`, or `"SUBSET/SPLIT"` where it has several subsets. Defaults to the
            only one, or to `train`.
        column: the column of the pictures. Defaults to the only one, or to `image`.

    Returns:
        A `Source`.

    Raises:
        ValueError: huggingface_hub or pyarrow is not installed, there is no such dataset, nobody has logged in for a
            gated one, it holds no pictures, or not one part alone can be meant; the message lists the parts.
    """
    api = _api()
    info = _info(api, dataset)
    page = f"{api.endpoint}/datasets/{dataset}"
    if info.gated and not _token():
        raise ValueError(
            f"expected a log-in for {dataset}, whose owners ask who you are; received none; accept their terms at "
            f"{page}, then run 'hf auth login'"
        )
    card, listing, revision = info.card_data.to_dict() if info.card_data else {}, info.siblings, info.sha
    kind, parts = parts_of({one.rfilename: one.size or 0 for one in listing}, card)
    if not parts and (converted := _info(api, dataset, CONVERTED)):
        kind, listing, revision = "parquet", converted.siblings, CONVERTED
        parts = converted_parts([one.rfilename for one in listing])
    if not parts:
        raise ValueError(
            f"expected pictures in {dataset}, as parquet files, archives or files; received none; look at {page}"
        )
    label, names = choose_part(parts, part, dataset)
    chosen = [one for one in listing if one.rfilename in set(names)]
    licence = _licence(card)
    return Source(
        title=f"{dataset} from Hugging Face",
        people=f"{_statement(card, info)}; who is in it, if anybody says so, stands at {page}",
        licence=licence,
        pictures=f"{len(chosen)} {kind} file{'s' * (len(chosen) > 1)} of {label}",
        megabytes=max(1, round(_bytes(chosen) / 1e6)),
        fetch=functools.partial(_fetch, api, dataset, revision, kind, chosen, column),
        must_agree=bool(re.search(BINDING, licence)),
    )


def unpack_copy(folder, into, part=None, column=None):
    """The pictures of a dataset's files that lie in a folder of yours; `None` where they are files already.

    Args:
        folder: path of the folder, with the files of the dataset's repository.
        into: path of a folder to write into.
        part: see `hub_source`.
        column: see `hub_source`.

    Returns:
        `into` as a `pathlib.Path`, or `None`.

    Raises:
        ValueError: see `hub_source`.
    """
    files = [path for path in Path(folder).rglob("*") if path.is_file() and ".cache" not in path.parts]
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    card = _card(Path(folder) / "README.md")
    kind, parts = parts_of(sizes, card)
    if kind != "parquet":
        return None
    _, names = choose_part(parts, part, str(folder))
    _needed("pyarrow")
    return unpack_tables([Path(folder) / name for name in names], into, column)


def _needed(package):
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ValueError(
            f"expected the package {package} for datasets of Hugging Face; received none; run pip install "
            "'gan_helpers[huggingface]', or pip install huggingface_hub pyarrow"
        ) from None


def _api():
    _needed("pyarrow")
    return _needed("huggingface_hub").HfApi(endpoint=os.environ.get("HF_ENDPOINT", "").rstrip("/") or None)


def _token():
    return _needed("huggingface_hub").get_token()


def _info(api, dataset, revision=None):
    """What the Hub says of a dataset; `None` where it has not that revision."""
    for attempt in range(downloads.TRIES):
        try:
            return api.dataset_info(dataset, revision=revision, files_metadata=True, timeout=downloads.TIMEOUT)
        except Exception as error:  # whatever huggingface_hub and what it is built on raise
            failure, kind = error, type(error).__name__
            if revision and kind in FINAL:
                return None
            if kind in FINAL:
                break
            time.sleep(downloads.PAUSE * 2**attempt if attempt < downloads.TRIES - 1 else 0)
    if kind == "RepositoryNotFoundError":
        raise ValueError(
            f"expected the dataset {dataset} at {api.endpoint}; received none of that name, or one that is private; "
            "check owner and name, or run 'hf auth login' for a private one"
        ) from failure
    reason = " ".join(str(failure).split())[:200]
    raise ValueError(
        f"expected the dataset {dataset} at {api.endpoint}; received nothing ({kind}: {reason}); try later"
    ) from failure


def _card(readme):
    """The head of a dataset's card in a file; an empty dict where there is none, or one that cannot be read."""
    try:
        return _needed("huggingface_hub").DatasetCard.load(readme, ignore_metadata_errors=True).data.to_dict()
    except (OSError, ValueError, TypeError):
        return {}


def _licence(card):
    licence = card.get("license") or "none stated"
    licence = ", ".join(licence) if isinstance(licence, list) else str(licence)
    if card.get("license_name"):
        licence += f" ({card['license_name']})"
    return f"{licence}, by its card"


def _statement(card, info):
    """One line of what the dataset is: its card's name for it, or the card's first line."""
    lines = [card.get("pretty_name") or "", *(getattr(info, "description", None) or "").splitlines()]
    return next((" ".join(line.split()) for line in lines if line.strip(" \t#")), "no description")[:160]


def _bytes(listing):
    return sum(one.size or 0 for one in listing)


def _fetch(api, dataset, revision, kind, chosen, column, working):
    below, made = working / "files", working / "made"
    files = _download_all(api, dataset, revision, chosen, below)
    shutil.rmtree(made, ignore_errors=True)  # of a try that was stopped
    if kind == "parquet":
        return unpack_tables(files, made, column)
    for file in files:
        aside = made / file.relative_to(below)
        if kind == "archive":
            unpack(file, aside)
        else:
            aside.parent.mkdir(parents=True, exist_ok=True)
            file.rename(aside)
    return made


def _download_all(api, dataset, revision, chosen, into):
    """Downloads files of the Hub's listing; those that are there and right stay. Returns their paths."""
    url = functools.partial(_needed("huggingface_hub").hf_hub_url, repo_type="dataset", endpoint=api.endpoint)
    lock, token, arrived, size = threading.Lock(), _token(), 0, _bytes(chosen)

    def fetch(one):
        checksum = f"sha256:{one.lfs.sha256}" if one.lfs else f"git:{one.blob_id}"
        file, before = into / _safe(one.rfilename), 0

        def came(done, _=None):
            nonlocal arrived, before
            with lock:
                arrived, before = arrived + done - before, done
                show(arrived, size)

        downloads.keep_if_right(file, checksum)
        address = url(dataset, one.rfilename, revision=revision)
        downloads.download([address], file, checksum=checksum, progress=came, token=token)
        came(file.stat().st_size)
        return file

    with downloads.shown(dataset, None, unit="B") as show, ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(fetch, chosen))  # the first that fails calls off those not yet begun


def _safe(name):
    if set(name.split("/")) & {"", ".", ".."} or "\\" in name:
        raise ValueError(f"expected names of files below a folder; received {name!r}; do not trust that dataset")
    return name
