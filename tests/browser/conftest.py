"""The real JupyterLab in headless Chromium, with the kernels on a stand-in whose log the tests can read."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from patterns.standin.delivery import Entry
from patterns.standin.server import Server, serve_in_thread

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab on a copy of the notebooks, in `folder`."""

    url: str
    folder: Path
    provider: Server

    def address(self, notebook: str) -> str:
        """A notebook in a workspace of its own, so that no other test's tabs come back with it."""
        return f"{self.url}/lab/workspaces/{Path(notebook).stem}/tree/{notebook}?token=test"

    def log(self) -> list[Entry]:
        """What the provider saw of all kernels, oldest first."""
        entries = [entry for scope in self.provider.standin.scopes.values() for entry in scope.log]
        return sorted(entries, key=lambda entry: entry.started)


@pytest.fixture(scope="session")
def chromium() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("There is no Chromium. On Debian and Ubuntu: apt install chromium")
    if found is None:
        pytest.skip("needs Chromium (on Debian and Ubuntu: apt install chromium)")
    return found


@pytest.fixture(scope="module")  # while it is open, Playwright's loop keeps other modules from running theirs
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1400, "height": 1000})
    yield opened
    opened.evaluate("window.jupyterapp?.serviceManager.sessions.shutdownAll()")
    opened.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    provider = serve_in_thread()
    own = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    own |= {name: str(folder / name.lower()) for name in ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")}
    own |= {"PATTERNS_STATE": str(folder / "state"), "PATTERNS_STANDIN_URL": provider.base_url}
    options = ["--no-browser", "--allow-root", "--ServerApp.port_retries=0", "--IdentityProvider.token=test"]
    options += ["--expose-app-in-browser"]  # so that a test can run all cells without hunting through menus
    command = [sys.executable, "-m", "jupyterlab", *options, f"--port={port}", f"--ServerApp.root_dir={folder}"]
    with (folder / "lab.log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(port, process, folder / "lab.log")
        yield Lab(f"http://127.0.0.1:{port}", folder, provider)
    finally:
        process.terminate()
        process.wait(timeout=30)
        provider.stop()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
