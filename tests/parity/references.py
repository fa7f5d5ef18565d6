"""Runs the reference implementations, in an environment of their own: pictures in, features and distances out.

    python references.py WEIGHTS.npz SCRIPT.pt PICTURES.npz RESULTS.npz
    python references.py WEIGHTS.npz --speed PICTURES.npz

Their own downloads of weights are replaced by ours, converted, with a last layer of zeros where we have none; only
clean-fid's comes straight from the TorchScript archive, which checks our reading of it too.
"""

import hashlib
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

# torchvision's build for GPUs does not import beside a torch for processors, for want of two operators unused here.
_operators = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _operators.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import cleanfid.fid  # noqa: E402
import cleanfid.inception_torchscript  # noqa: E402
import cleanfid.resize  # noqa: E402
import pytorch_fid.fid_score  # noqa: E402
import pytorch_fid.inception  # noqa: E402
import torch_fidelity.metric_fid  # noqa: E402
import torch_fidelity.metric_kid  # noqa: E402
import torch_fidelity.metric_prc  # noqa: E402
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # noqa: E402
from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3, _compute_fid  # noqa: E402
from torchmetrics.image.kid import KernelInceptionDistance, poly_mmd  # noqa: E402

BATCH = 32
STEM = {"conv": "1a_3x3", "conv_1": "2a_3x3", "conv_2": "2b_3x3", "conv_3": "3b_1x1", "conv_4": "4a_3x3"}
BLOCKS = dict(
    zip(
        ("mixed", *(f"mixed_{number}" for number in range(1, 11))),
        ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"),
        strict=True,
    )
)
# What each tower is called, by the first digit of the block's name there.
TOWERS = {
    "5": {"": "1x1", "tower/": "5x5_", "tower_1/": "3x3dbl_"},
    "6a": {"": "3x3", "tower/": "3x3dbl_"},
    "6": {"": "1x1", "tower/": "7x7_", "tower_1/": "7x7dbl_"},
    "7a": {"tower/": "3x3_", "tower_1/": "7x7x3_"},
    "7": {"": "1x1", "tower/": "3x3_", "tower_1/": "3x3dbl_"},
}


def their_name(ours):
    """`mixed_10/tower_1/mixed/conv_1` is `Mixed_7c.branch3x3dbl_3b` in torchvision and all that follow it."""
    if ours in STEM:
        return f"Conv2d_{STEM[ours]}"
    block, _, inner = ours.partition("/")
    theirs = BLOCKS[block]
    tower, number = inner.rsplit("conv", 1)
    place = int(number[1:] or 0) + 1
    if tower == "tower_2/":
        return f"Mixed_{theirs}.branch_pool"
    names = TOWERS.get(theirs) or TOWERS[theirs[0]]
    if tower == "":
        return f"Mixed_{theirs}.branch{names['']}"
    if tower.endswith("mixed/"):
        tower = tower.removesuffix("mixed/")
        return f"Mixed_{theirs}.branch{names[tower]}{2 if tower == 'tower/' else 3}{'ab'[place - 1]}"
    return f"Mixed_{theirs}.branch{names[tower]}{place}"


def state_dict(file):
    """Our weights as PyTorch's: batch normalisation with a gamma of 1, and a last layer of zeros."""
    state = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    with np.load(file) as stored:
        for key in stored.files:
            ours, part = key.rsplit("/", 1)
            array, name = torch.from_numpy(stored[key]), their_name(ours)
            if part == "kernel":
                state[f"{name}.conv.weight"] = array.permute(3, 2, 0, 1).contiguous()
                state[f"{name}.bn.weight"] = torch.ones(array.shape[3])
            else:
                state[f"{name}.bn.{ {'beta': 'bias', 'mean': 'running_mean', 'variance': 'running_var'}[part] }"] = (
                    array
                )
    return state


def pytorch_fid_network(state, blocks=(0, 1, 2, 3)):
    pytorch_fid.inception.load_state_dict_from_url = lambda *_, **__: state
    return pytorch_fid.inception.InceptionV3(blocks).eval()


def pytorch_fid_features(network, images):
    """As `pytorch_fid.fid_score.get_activations` does with the files' pixels, which torchvision's ToTensor scales."""
    pictures = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float().div(255)
    return [maps.mean(dim=(2, 3)).numpy() for maps in network(pictures)]


def torch_fidelity_features(network, images):
    return [layer.numpy() for layer in network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))]


def torchmetrics_features(network, images):
    return [network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()]


def clean_fid_network(script):
    network = cleanfid.inception_torchscript.InceptionV3W.__new__(cleanfid.inception_torchscript.InceptionV3W)
    torch.nn.Module.__init__(network)
    network.base, network.resize_inside = torch.jit.load(script).eval().net, False
    network.layers = network.base.layers
    return network


def clean_fid_features(network, images):
    resize = cleanfid.resize.build_resizer("clean")
    pictures = np.stack([resize(image) for image in images]).transpose(0, 3, 1, 2)
    return [network(torch.from_numpy(pictures.copy())).numpy()]


def in_batches(see, network, images):
    with torch.no_grad():
        parts = [see(network, images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return [np.concatenate(layer) for layer in zip(*parts, strict=True)]


def distances(real, fake):
    """Of features, by every reference that has the distance, in float64; KID on all of them, with no random subset."""
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    first, second = torch.from_numpy(real), torch.from_numpy(fake)
    means = [(one.mean(axis=0), np.cov(one, rowvar=False)) for one in (real, fake)]
    stats = [dict(zip(("mu", "sigma"), pair, strict=True)) for pair in means]
    fidelity = torch_fidelity.metric_fid.fid_statistics_to_metric(*stats, False)
    fidelity |= torch_fidelity.metric_kid.kid_features_to_metric(
        first, second, kid_subsets=1, kid_subset_size=len(real), verbose=False
    )
    fidelity |= torch_fidelity.metric_prc.prc_features_to_metric(second, first, verbose=False)
    return {
        "fid/torch-fidelity": fidelity["frechet_inception_distance"],
        "fid/pytorch-fid": pytorch_fid.fid_score.calculate_frechet_distance(*means[0], *means[1]),
        "fid/clean-fid": cleanfid.fid.frechet_distance(*means[0], *means[1]),
        "fid/torchmetrics": float(_compute_fid(*(torch.from_numpy(array) for pair in means for array in pair))),
        "kid/torch-fidelity": fidelity["kernel_inception_distance_mean"],
        "kid/clean-fid": cleanfid.fid.kernel_distance(real, fake, 1, len(real)),
        "kid/torchmetrics": float(poly_mmd(first, second)),
        "precision/torch-fidelity": fidelity["precision"],
        "recall/torch-fidelity": fidelity["recall"],
    }


def torchmetrics_examples(weights):
    """The documented examples, seed 42 first, and what makes their pictures and subsets again without PyTorch."""
    found = {}
    for name in ("fid", "kid"):
        torch.manual_seed(42)
        if name == "fid":
            metric = FrechetInceptionDistance(feature=64, feature_extractor_weights_path=weights)
        else:
            metric = KernelInceptionDistance(NoTrainInceptionV3("inception", ["2048"], weights), subset_size=50)
        found["torchmetrics/state"] = generator_state()
        for real, bounds in ((True, (0, 200)), (False, (100, 255))):
            images = torch.randint(*bounds, (100, 3, 299, 299), dtype=torch.uint8)
            for start in range(0, 100, 20):
                metric.update(images[start : start + 20], real=real)
            found[f"torchmetrics/pictures/{'real' if real else 'fake'}"] = digest(images.numpy())
        before = torch.get_rng_state()
        result = metric.compute() if name == "kid" else [metric.compute()]
        found[f"torchmetrics/{name}"] = np.array([float(number) for number in result])
    torch.set_rng_state(before)
    subsets = [torch.randperm(100)[:50].numpy() for _ in range(2 * metric.subsets)]
    return found | {"torchmetrics/subsets": np.array(subsets, np.uint8).reshape(-1, 2, 50)}


def generator_state():
    """Words and position of PyTorch's Mersenne twister, as NumPy counts it."""
    content = torch.get_rng_state().numpy().tobytes()
    left = int(np.frombuffer(content, np.int32)[2])
    return np.append(np.frombuffer(content, np.uint64)[3:627], 625 - left).astype(np.uint32)


def digest(array):
    return np.array(hashlib.sha256(np.ascontiguousarray(array)).hexdigest())


def compare(weights, script, pictures, results):
    state, found = state_dict(weights), {}
    with tempfile.TemporaryDirectory() as folder, np.load(pictures) as given:
        path = str(Path(folder, "weights.pth"))
        torch.save(state, path)
        layers = ["64", "192", "768", "2048"]
        references = {
            "pytorch-fid": (pytorch_fid_features, pytorch_fid_network(state), layers),
            "torch-fidelity": (torch_fidelity_features, FeatureExtractorInceptionV3("inception", layers, path), layers),
            "torchmetrics": (
                torchmetrics_features,
                NoTrainInceptionV3("inception", ["2048"], path, antialias=False),
                ["2048"],
            ),
            "clean-fid": (clean_fid_features, clean_fid_network(script), ["2048"]),
        }
        for reference, (see, network, names) in references.items():
            for key in given.files:
                features = zip(names, in_batches(see, network, given[key]), strict=True)
                found |= {f"{key}/{reference}/{layer}": array for layer, array in features}
        for sets in (key.removesuffix("/real") for key in given.files if key.endswith("/real")):
            for reference in references:
                real, fake = (found[f"{sets}/{side}/{reference}/2048"] for side in ("real", "fake"))
                found |= {f"{sets}/{reference}/{name}": value for name, value in distances(real, fake).items()}
        found |= torchmetrics_examples(path)
    np.savez(results, **found)


def speed(weights, pictures):
    """Pictures a second of pytorch-fid, once it is warm."""
    network = pytorch_fid_network(state_dict(weights), (3,))
    images = np.load(pictures)["speed"]
    in_batches(pytorch_fid_features, network, images[:BATCH])
    began = time.perf_counter()
    in_batches(pytorch_fid_features, network, images)
    print(len(images) / (time.perf_counter() - began))


if __name__ == "__main__":
    speed(sys.argv[1], sys.argv[3]) if sys.argv[2] == "--speed" else compare(*sys.argv[1:])
