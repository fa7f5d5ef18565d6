"""Pictures a second of our features, once they are warm; one turn of `measure.py --speed`."""

import sys
import time

import numpy as np

from gan_helpers import metrics

images = np.load(sys.argv[1])["speed"]
metrics.features(images[:32], resize="torch", batch_size=32)
began = time.perf_counter()
metrics.features(images, resize="torch", batch_size=32)
print(len(images) / (time.perf_counter() - began))
