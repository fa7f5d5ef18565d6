"""Fetches files: resumed, checked, from one of several addresses, and never half-made under their final name.

Plain urllib: of the libraries, pooch checks digests but begins anew after every break, kagglehub resumes but speaks to
one site, and huggingface_hub does since its version 2 neither.
"""

import contextlib
import errno
import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tqdm import tqdm

TIMEOUT = 30.0  # seconds without an answer
SLOWEST = 1000  # bytes a second, over TIMEOUT seconds; what is slower counts as broken off
TRIES = 3  # at each address
PAUSE = 1.0  # seconds before the second try; doubled before each further one
PASSING = (408, 416, 425, 429, 500, 502, 503, 504)  # answers that may be better a moment later
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


class _Broken(Exception):
    """A try that failed, where another may not."""


class _Refused(Exception):
    """An address that gives nothing of use, however often it is asked."""


def download(addresses, file, *, checksum=None, name=None, progress=None, token=None):
    """Downloads a file from the first of several addresses that gives it whole.

    What has come is kept beside it, as `FILE.part`, when a download breaks off: the next try, now or in another week,
    asks for the rest alone. It begins anew where the server cannot do that, or has another file since.

    Args:
        addresses: list of http or https addresses of the same file, the best first.
        file: path to write; where it exists nothing is fetched.
        checksum: `"sha256:…"`, or `"git:…"` (git's SHA-1 of a file's content), in hexadecimal.
        name: what it is, for messages and the progress bar. Defaults to the file's name.
        progress: function that is called with the bytes that have come so far and the total (`None` where unknown).
            Defaults to a progress bar.
        token: what the addresses' server knows you by; it is not passed on to where that server sends one. Defaults to
            `None`.

    Returns:
        The file, a `pathlib.Path`.

    Raises:
        ValueError: no address gave it, each with the reason, or the disk has no room for it.

    Example:
        >>> download(["https://example.org/faces.zip"], "faces.zip", checksum="sha256:9f86d0…")
        PosixPath('faces.zip')
    """
    file = Path(file)
    name = name or file.name
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    failures, refused = {}, set()
    with shown(name, progress, unit="B") as show:
        for attempt in range(TRIES):
            if attempt and len(refused) < len(addresses):
                time.sleep(PAUSE * 2 ** (attempt - 1))
            for address in (address for address in addresses if address not in refused):
                try:
                    if not (checksum and part.exists() and is_right(part, checksum)):
                        _fetch(address, part, checksum, show, token)
                    os.replace(part, file)
                    _about(part).unlink(missing_ok=True)
                    return file
                except _Refused as error:
                    refused.add(address)
                    failures[address] = error
                except (_Broken, OSError, http.client.HTTPException) as error:
                    if isinstance(error, OSError) and error.errno in OF_THE_DISK:
                        raise
                    failures[address] = error
    reasons = "; ".join(f"{address}: {in_words(error)}" for address, error in failures.items())
    kept = f"; {came:,} bytes came and are kept, the next try goes on there" if (came := _came(part)) else ""
    raise ValueError(f"expected {name} from {_hosts(addresses)}; received nothing whole ({reasons}){kept}; try later")


def _fetch(address, part, checksum, show, token):
    """One try: what is missing of the part is asked for, and the whole is checked."""
    about = _read_about(part)
    begin = _came(part)
    same = about.get("address") == address and about.get("validator")
    headers = {"User-Agent": "gan_helpers", "Accept-Encoding": "identity"}
    if begin and (same or checksum):  # with neither, nothing would tell that two halves are of two files
        headers["Range"] = f"bytes={begin}-"
        if same:
            headers["If-Range"] = about["validator"]
    request = urllib.request.Request(address, headers=headers)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            resumed = answer.status == 206
            if resumed and not _fits(answer, begin, about if same else {}):
                _forget(part)
                raise _Broken("another part than the one asked for")
            _receive(answer, part, address, begin if resumed else 0, show)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # more is here than there: not the beginning of that file
                _forget(part)
            raise (_Broken if error.code in PASSING else _Refused)(in_words(error)) from None
    if checksum and not is_right(part, checksum):
        found = _digest(part, checksum)
        _forget(part)
        raise (_Broken if resumed else _Refused)(f"a file with another checksum, {found}, not {checksum}")


def _came(part):
    """Bytes that earlier tries have left: the next one asks for what comes after them."""
    return part.stat().st_size if part.exists() else 0


def _fits(answer, begin, about):
    """Whether an answer of 206 holds what was asked for, of the file that the part is of."""
    starts = answer.headers.get("Content-Range", "").startswith(f"bytes {begin}-")
    return starts and _validator(answer) in (about.get("validator"), None) if about else starts


def _receive(answer, part, address, begin, show):
    """Writes an answer to the part, from `begin` on."""
    length = answer.headers.get("Content-Length")
    total = begin + int(length) if length and length.isdigit() else None
    if total and (room := shutil.disk_usage(part.parent).free) < total - begin:
        raise ValueError(
            f"expected room for {total - begin:,} bytes more in '{part.parent}'; received {room:,}; make room, or "
            "choose another disk with --cache or GAN_FACES_CACHE"
        )
    first = answer.read1(1 << 16)
    kind = answer.headers.get_content_type()
    if kind == "text/html" or first.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise _Refused("a web page instead of the file")  # a log-in, a notice; what came before stays
    if not begin:
        _forget(part)
        _about(part).write_text(json.dumps({"address": address, "validator": _validator(answer)}))
    with open(part, "ab" if begin else "wb") as opened:
        since, seen = time.monotonic(), begin
        block = first
        while block:
            opened.write(block)
            show(opened.tell(), total)
            if (seconds := time.monotonic() - since) > TIMEOUT:
                if opened.tell() - seen < SLOWEST * seconds:
                    raise _Broken(f"less than {SLOWEST:,} bytes a second")
                since, seen = time.monotonic(), opened.tell()
            block = answer.read1(1 << 16)
        opened.flush()
        os.fsync(opened.fileno())
        if total is not None and opened.tell() != total:
            raise _Broken(f"it broke off after {opened.tell():,} of {total:,} bytes")


def _validator(answer):
    """What tells this version of a file from others; weak tags do not."""
    tag = answer.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")


def _about(part):
    return part.with_name(part.name + ".json")


def _read_about(part):
    try:
        about = json.loads(_about(part).read_text())
        return about if isinstance(about, dict) else {}
    except (OSError, ValueError):
        return {}


def _forget(part):
    part.unlink(missing_ok=True)
    _about(part).unlink(missing_ok=True)


def keep_if_right(file, checksum):
    """Deletes a file that is not what it should be, so that of many files `download` fetches those alone anew.

    Args:
        file: path of the file; there need be none.
        checksum: as for `download`.
    """
    if file.exists() and not is_right(file, checksum):
        file.unlink()


def is_right(file, checksum):
    """Whether a file has a checksum, given as to `download`."""
    return _digest(file, checksum) == checksum


def _digest(file, like):
    kind = like.partition(":")[0]
    digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size) if kind == "git" else hashlib.new(kind)
    with open(file, "rb") as opened:
        while block := opened.read(1 << 20):
            digest.update(block)
    return f"{kind}:{digest.hexdigest()}"


def in_words(error):
    """Why nothing came, on one line."""
    if isinstance(error, urllib.error.HTTPError):
        return " ".join(f"{error.code} {error.reason}".split())  # that of a redirect loop has several lines
    reason = getattr(error, "reason", None) or error  # URLError's is another error
    if isinstance(reason, TimeoutError):
        return f"no answer within {TIMEOUT:g} seconds"
    text = getattr(reason, "strerror", None) or str(reason)
    return " ".join(text.split())[:200] or type(reason).__name__


def _hosts(addresses):
    return " or ".join(dict.fromkeys(urllib.parse.urlsplit(address).netloc for address in addresses))


@contextlib.contextmanager
def shown(name, progress, unit):
    """A function of what is done and the total: the one given, or one that draws a progress bar."""
    if progress:
        yield progress
        return
    with tqdm(desc=name, unit=unit, unit_scale=unit == "B", leave=False) as bar:

        def show(done, total):
            if bar.total is None and bar.n == 0:
                bar.initial = bar.n = bar.last_print_n = done  # what an earlier try fetched is no speed of this one
            bar.total = total
            bar.update(done - bar.n)

        yield show
