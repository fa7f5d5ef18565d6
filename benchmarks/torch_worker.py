"""PyTorch's DCGAN for `benchmarks.speed`, in a process of its own: makes steps when told to, and times them.

    python benchmarks/torch_worker.py '{"image_size": 64, "base_filters": 64, "batch_size": 64, "threads": 2,
                                        "dtype": "float32", "channels_last": true, "compile": false}'

Needs torch and nothing of this repository, so that it runs in an environment of its own. Its first line on stdout tells
the peak memory after five steps; then each line `{"run": N}` on stdin is answered with `{"seconds": S}`.
"""

import json
import os
import resource
import sys
import time

import torch
from torch import nn


def generator(latent_dim, image_size, base_filters):
    """The layers of `gan_helpers.generator_model`; its dense layer is this one's first transposed convolution."""
    filters = base_filters * image_size // 8
    layers = [nn.ConvTranspose2d(latent_dim, filters, 4, 1, 0, bias=False), nn.BatchNorm2d(filters), nn.ReLU(True)]
    while filters > base_filters:
        filters //= 2
        layers += [nn.ConvTranspose2d(2 * filters, filters, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(filters), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(filters, 3, 4, 2, 1), nn.Tanh())


def discriminator(image_size, base_filters):
    """The layers of `gan_helpers.discriminator_model`; its dense layer is this one's last convolution."""
    filters = base_filters
    layers = [nn.Conv2d(3, filters, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    while filters < base_filters * image_size // 8:
        filters *= 2
        layers += [nn.Conv2d(filters // 2, filters, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(filters), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(filters, 1, 4, 1, 0), nn.Flatten())


def training(settings):
    """A function that makes one step and returns the generator's loss."""
    size, batch = settings["image_size"], settings["batch_size"]
    layout = torch.channels_last if settings["channels_last"] else torch.contiguous_format
    networks = generator(100, size, settings["base_filters"]), discriminator(size, settings["base_filters"])
    networks = [network.to(memory_format=layout) for network in networks]
    g_optimizer, d_optimizer = (torch.optim.Adam(n.parameters(), lr=2e-4, betas=(0.5, 0.999)) for n in networks)
    g, d = [torch.compile(network) for network in networks] if settings["compile"] else networks
    loss = nn.BCEWithLogitsLoss()
    real_images = (2 * torch.rand(batch, 3, size, size) - 1).to(memory_format=layout)
    ones, zeros = torch.ones(batch, 1), torch.zeros(batch, 1)
    half = settings["dtype"] == "bfloat16"

    def losses(images, targets):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            return loss(d(images), targets)

    def step():
        d_optimizer.zero_grad()
        losses(real_images, ones).backward()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            fake_images = g(torch.randn(batch, 100, 1, 1))
        losses(fake_images.detach(), zeros).backward()
        d_optimizer.step()
        g_optimizer.zero_grad()
        g_loss = losses(fake_images, ones)
        g_loss.backward()
        g_optimizer.step()
        return g_loss

    return step


def main():
    settings = json.loads(sys.argv[1])
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(settings["threads"])
    step = training(settings)
    for _ in range(5):
        step().item()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"memory_mib": memory, "version": torch.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in range(json.loads(line)["run"]):
            result = step()
        result.item()
        print(json.dumps({"seconds": time.perf_counter() - began}), file=answers, flush=True)


if __name__ == "__main__":
    main()
