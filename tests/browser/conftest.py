"""A real JupyterLab with a notebook of panels, open in a real browser without a window."""

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ATTRIBUTES = ("eyeglasses", "smile", "hat")
CELLS = (
    "import gan_helpers",
    "gan_helpers.explore_latents('run')",
    "gan_helpers.explore_morph('run', 3, 4)",
    "gan_helpers.explore_attributes('run', 'smile', 'hat')",
    "gan_helpers.explore_run('run')",
)
# Asks nothing of other machines: no news, no look for a newer version.
QUIET = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}


@pytest.fixture(scope="session")
def chromium():
    """Path of a Chromium, `GAN_CHROMIUM` or one that is installed."""
    missing = [name for name in ("playwright", "jupyterlab", "ipywidgets") if find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: pip install -r tests/browser/requirements.txt ipywidgets")
    found = os.environ.get("GAN_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip(f"needs a Chromium: one of {', '.join(BROWSERS)} on the path, or its path in GAN_CHROMIUM")
    return found


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with `run`, a short conditional training at 64 pixels, and `panels.ipynb`."""
    import nbformat

    from gan_helpers import train

    folder = tmp_path_factory.mktemp("lab")
    train("drawn", folder / "run", image_size=64, count=96, recipe="quick", epochs=4, attributes=list(ATTRIBUTES))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    book.metadata["kernelspec"] = kernel
    nbformat.write(book, folder / "panels.ipynb")
    return folder


@pytest.fixture(scope="session")
def lab(chromium, folder, tmp_path_factory):
    """Address of a running JupyterLab, with settings of its own, that answers to this machine alone."""
    own = tmp_path_factory.mktemp("jupyter")
    (own / "config/labconfig").mkdir(parents=True)
    (own / "config/labconfig/page_config.json").write_text(json.dumps(QUIET))
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTERLAB_SETTINGS_DIR": "settings"}
    places |= {"JUPYTERLAB_WORKSPACES_DIR": "workspaces", "JUPYTER_RUNTIME_DIR": "runtime"}
    environment = os.environ | {name: str(own / place) for name, place in places.items()}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, token = f"http://127.0.0.1:{port}", secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    with open(own / "log", "w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait(server, f"{address}/api", own / "log")
            yield f"{address}/lab/tree/panels.ipynb?token={token}"
        finally:
            server.terminate()
            server.wait(30)


def _wait(server, address, log):
    for _ in range(300):
        with contextlib.suppress(urllib.error.URLError):
            return urllib.request.urlopen(address).close()
        assert server.poll() is None, log.read_text()
        time.sleep(0.2)
    raise TimeoutError(log.read_text())


@pytest.fixture(scope="session")
def page(chromium, lab):
    """The notebook in the browser, all its cells run; `page.said` is what the console said amiss."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.said = []
        page.on("console", lambda message: page.said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(lab)
        _run(page)
        yield page
        browser.close()


def _run(page):
    """Runs the cells one by one, as a person does: each once the one before is done."""
    page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").wait_for(timeout=60_000)
    for number in range(len(CELLS)):
        cell = page.locator(".jp-Notebook .jp-CodeCell").nth(number)
        prompt = cell.locator(".jp-InputPrompt")
        for _ in range(20):  # right after its start JupyterLab may not hear the keys yet
            cell.locator(".jp-InputArea-editor").click()
            page.keyboard.press("Control+Enter")
            time.sleep(0.5)
            if prompt.inner_text() != "[ ]:":
                break
        prompt.filter(has_text=re.compile(r"\[\d+\]")).wait_for(timeout=60_000)
        if number:
            cell.locator(".widget-image").wait_for(timeout=60_000)
