"""Which files of a dataset of the Hugging Face Hub belong together: its subsets and splits."""

import fnmatch
import re

from gan_helpers.data.catalogue import PICTURE_SUFFIXES

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
SPLITS = {"train": "train|training", "validation": "validation|valid|val|dev", "test": "test|testing|eval"}


def parts_of(sizes, card):
    """Which files of a dataset belong together.

    As the package `datasets` finds them: by `configs` of the card; else by the words train, validation and test in the
    files' paths, or as `data/SPLIT-00000-of-00001.parquet` says; else all are `train`.

    Args:
        sizes: dict of bytes by file name.
        card: dict, the head of the dataset's card.

    Returns:
        `(kind, parts)`: of parquet files, archives and pictures the kind that takes most room, and a dict of lists of
        names by `(subset, split)`.
    """
    kinds = {"parquet": (".parquet",), "archive": ARCHIVE_SUFFIXES, "picture": PICTURE_SUFFIXES}
    found = {kind: sorted(one for one in sizes if one.lower().endswith(ends)) for kind, ends in kinds.items()}
    kind = max(found, key=lambda kind: sum(sizes[one] for one in found[kind]))
    parts = {}
    for config in card.get("configs") or ():
        for split, patterns in _patterns(config):
            fitting = [one for one in found[kind] if any(fnmatch.fnmatch(one, pattern) for pattern in patterns)]
            if fitting:
                parts[str(config.get("config_name", "default")), split] = fitting
    if not parts:
        for name in found[kind]:
            parts.setdefault(("default", _split(name)), []).append(name)
    return kind, parts


def converted_parts(names):
    """The parts, as of `parts_of`, of what the Hub has converted itself into parquet files.

    Their names are `SUBSET/SPLIT/0000.parquet`, or `SUBSET/partial-SPLIT/0000.parquet` where there was much.
    """
    parts = {}
    for name in sorted(names):
        if (where := name.split("/")) and len(where) == 3 and name.endswith(".parquet"):
            parts.setdefault((where[0], where[1].removeprefix("partial-")), []).append(name)
    return parts


def choose_part(parts, asked, dataset):
    """The name of a part and its files: the one that is asked for, else the only one, else `train`.

    Raises:
        ValueError: none fits, or several do; the message lists all.
    """
    subsets = {subset for subset, _ in parts}
    named = {split if len(subsets) == 1 else f"{subset}/{split}": (subset, split) for subset, split in parts}
    if asked:
        fitting = [name for name, key in named.items() if asked in (name, key[1], "/".join(key))]
    else:
        fitting = list(named)
        for fits in (lambda key: key[1] == "train", lambda key: key[0] == "default"):
            if len(fitting) > 1:
                fitting = [name for name in fitting if fits(named[name])] or fitting
    if len(fitting) == 1:
        return fitting[0], parts[named[fitting[0]]]
    received = ", ".join(named)
    raise ValueError(
        f"expected {f'the part {asked!r}' if asked else 'one part'} of {dataset}; received {received}; name one of "
        f"these, as in 'hf:{dataset}:{next(iter(named))}'"
    )


def _patterns(config):
    """`(split, patterns)` of a card's `data_files`, which come in several forms."""
    files = config.get("data_files") or (f"{config['data_dir'].rstrip('/')}/*" if config.get("data_dir") else ())
    if isinstance(files, dict):
        files = [{"split": split, "path": path} for split, path in files.items()]
    for entry in [files] if isinstance(files, str) else files:
        entry = {"split": "train", "path": entry} if isinstance(entry, str) else entry
        paths = entry.get("path", ())
        yield str(entry.get("split", "train")), [paths] if isinstance(paths, str) else paths


def _split(name):
    """The split that a file's path names."""
    if numbered := re.search(r"(?:^|/)(\w+)-\d{5}-of-\d{5}", name):
        return numbered[1]
    for split, words in SPLITS.items():
        if re.search(rf"(^|[^a-z0-9])({words})([^a-z]|$)", name.lower()):
            return split
    return "train"
