"""The whole thing in one command: photographs in `img/` in, pictures of new faces in `generate_face/` out.

Put photographs of faces into `img/`, then run `python main.py`; run it again to go on training.
"""

import sys

from gan_helpers.__main__ import main

SAMPLES = "generate_face/epochs{epoch}batch_{batch}.jpg"
sys.exit(main(["train", "--data", "img/", "--image-size", "32", "--sample-path", SAMPLES, *sys.argv[1:]]))
