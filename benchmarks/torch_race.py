"""PyTorch's peer in the race of `benchmarks.quality`, in a process of its own, which trains until its time is used.

    ITS/bin/python benchmarks/torch_race.py JOB    # a job of `benchmarks.quality` as JSON

The networks and settings of PyTorch's tutorial "DCGAN Tutorial" (faces) in our own words: N(0, 0.02), BCE, Adam 2e-4
with beta_1 0.5, batches of 128, real and fake apart in the discriminator's update, no mirroring. On a processor it is
fastest with channels last, and in bfloat16 where the processor has products of it. Its loss takes logits, which is the
same function and needs no float32 sigmoid. Needs torch, NumPy and nothing of this repository.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

RATE, BETA_1, LATENTS = 2e-4, 0.5, 100


def main():
    job = json.loads(sys.argv[1])
    # Ends with the process that started it, as a kill would.
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
    if job["core"] is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {job["core"]})
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    race(job)


def generator(image_size=64, base_filters=64):
    """The tutorial's, for 64 pixels; for other sizes with as many doublings as they take."""
    filters = base_filters * image_size // 8
    layers = [nn.ConvTranspose2d(LATENTS, filters, 4, 1, 0, bias=False), nn.BatchNorm2d(filters), nn.ReLU(True)]
    while filters > base_filters:
        filters //= 2
        layers += [nn.ConvTranspose2d(2 * filters, filters, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(filters), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(filters, 3, 4, 2, 1, bias=False), nn.Tanh()).apply(initial)


def discriminator(image_size=64, base_filters=64):
    filters = base_filters
    layers = [nn.Conv2d(3, filters, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    while filters < base_filters * image_size // 8:
        filters *= 2
        layers += [nn.Conv2d(filters // 2, filters, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(filters), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(filters, 1, 4, 1, 0, bias=False), nn.Flatten()).apply(initial)


def initial(layer):
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


class Peer:
    """Both networks with their optimisers, a step, and a checkpoint of all of it."""

    def __init__(self, job, half):
        networks = [build(job["image_size"], job["base_filters"]) for build in (generator, discriminator)]
        self.g, self.d = (network.to(memory_format=torch.channels_last) for network in networks)
        self.g_optimizer, self.d_optimizer = (
            torch.optim.Adam(network.parameters(), lr=RATE, betas=(BETA_1, 0.999)) for network in networks
        )
        self.parts = {"g": self.g, "d": self.d, "g_optimizer": self.g_optimizer, "d_optimizer": self.d_optimizer}
        self.half, self.loss = half, nn.BCEWithLogitsLoss()
        self.ones, self.zeros = torch.ones(job["batch_size"], 1), torch.zeros(job["batch_size"], 1)

    def step(self, real_images):
        self.d_optimizer.zero_grad()
        real_loss = self._loss(real_images, self.ones)
        real_loss.backward()
        with self._precision():
            fake_images = self.g(torch.randn(len(real_images), LATENTS, 1, 1))
        fake_loss = self._loss(fake_images.detach(), self.zeros)
        fake_loss.backward()
        self.d_optimizer.step()
        self.g_optimizer.zero_grad()
        g_loss = self._loss(fake_images, self.ones)
        g_loss.backward()
        self.g_optimizer.step()
        return real_loss + fake_loss, g_loss

    def _loss(self, images, targets):
        with self._precision():
            logits = self.d(images)
        return self.loss(logits.float(), targets)

    def _precision(self):
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.half)

    def save(self, file, step, seconds):
        aside = file.with_name(file.name + ".writing")
        state = {name: part.state_dict() for name, part in self.parts.items()}
        with open(aside, "wb") as opened:
            torch.save(state | {"step": step, "seconds": seconds}, opened)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(aside, file)

    def restore(self, file):
        """`(step, seconds used)` to go on from."""
        if not file.exists():
            return 0, 0.0
        stored = torch.load(file)
        for name, part in self.parts.items():
            part.load_state_dict(stored[name])
        return stored["step"], stored["seconds"]

    def images(self, latents, batch_size=100):
        """uint8 pictures. As in the tutorial the generator stays in training mode: normalised by their own batch."""
        parts = []
        with torch.no_grad():
            for start in range(0, len(latents), batch_size):
                made = self.g(torch.from_numpy(latents[start : start + batch_size, :, None, None]))
                parts.append(made.permute(0, 2, 3, 1).numpy())
        return np.clip(np.rint((np.concatenate(parts) + 1) * 127.5), 0, 255).astype(np.uint8)


def race(job):
    """Goes on with the job's run until its minutes are used, and leaves pictures and a small JSON."""
    folder, seconds, half = Path(job["run"]), 60 * job["minutes"], has_bfloat16()
    torch.manual_seed(job["seed"])
    peer = Peer(job, half)
    step, used = peer.restore(folder / "checkpoint.pt")
    if step > 1 and used - used / step >= seconds:  # over by more than the step that ends a job
        sys.exit(
            f"expected a run that has used at most {job['minutes']:g} minutes; received one of {used / 60:.2f} in "
            f"'{folder}'; give another --folder for further budgets"
        )
    if used < seconds:
        step, used = train(job, peer, step, used)
    images = peer.images(np.load(job["latents"])[: job["count"]])
    result = {"steps": step, "seconds": round(used, 2), "batch_size": job["batch_size"]}
    result |= {"images_per_second": round((step - 1) * job["batch_size"] / used, 2)}
    result |= {"precision": "bfloat16 autocast" if half else "float32", "made_with": f"torch {torch.__version__}"}
    samples = Path(job["samples"])
    write_whole(samples, lambda file: np.lib.format.write_array(file, images))
    write_whole(samples.with_suffix(".json"), lambda file: file.write(json.dumps(result, indent=1).encode()))


def train(job, peer, step, used):
    """`(step, seconds used)` at the end: of the processor, from the end of the process's first step on."""
    folder, seconds = Path(job["run"]), 60 * job["minutes"]
    torch.manual_seed(job["seed"] + step)  # other latents than those before the stop
    began, saved = None, time.monotonic()
    with open(folder / "clock.csv", "a", buffering=1) as clock:
        for real_images in batches(job, step):
            losses = peer.step(real_images)
            step += 1
            now = time.process_time()
            began = now - used if began is None else began
            used = now - began
            clock.write(f"{step},{used:.3f}\n")
            if used >= seconds:
                break
            if time.monotonic() - saved >= job["checkpoint_seconds"]:
                print(f"step {step}, d_loss {losses[0].item():.3f}, g_loss {losses[1].item():.3f}", flush=True)
                peer.save(folder / "checkpoint.pt", step, used)
                saved = time.monotonic()
    peer.save(folder / "checkpoint.pt", step, used)
    return step, used


def batches(job, step):
    """Whole batches in [-1, 1] without end, from a step on, each epoch in an order of its own."""
    images = np.load(job["images"], mmap_mode="r")[slice(*job["part"])]
    steps = len(images) // job["batch_size"]
    while True:
        order = np.random.default_rng((job["seed"], step // steps)).permutation(len(images))
        for number in range(step % steps, steps):
            chosen = images[np.sort(order[number * job["batch_size"] :][: job["batch_size"]])]
            batch = torch.from_numpy(chosen).permute(0, 3, 1, 2)
            yield (batch.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
            step += 1


def has_bfloat16():
    """Whether this processor has products of bfloat16, which it would else emulate."""
    file = Path("/proc/cpuinfo")
    words = file.read_text().split() if file.exists() else []
    return "amx_bf16" in words or "avx512_bf16" in words


def write_whole(file, write):
    aside = file.with_name(file.name + ".writing")
    with open(aside, "wb") as opened:
        write(opened)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(aside, file)


if __name__ == "__main__":
    main()
