"""Notebook 01 as a learner meets it: run it, watch tokens arrive, press Stop, and see that the provider stopped."""

import time
from typing import Any

import nbformat
from playwright.sync_api import Locator, Page, expect

SECONDS = 1_000  # Playwright counts milliseconds


def open_notebook(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(".jp-Notebook", timeout=60 * SECONDS)


def run_all(page: Page) -> None:
    # Without a kernel, "run all" clears every output and runs nothing.
    kernel = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
    page.wait_for_function(
        f"{kernel}?.status === 'idle' && {kernel}?.connectionStatus === 'connected'", timeout=60 * SECONDS
    )
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")


def in_view(panel: Locator) -> Locator:
    expect(panel).to_be_attached(timeout=60 * SECONDS)
    panel.evaluate("element => element.scrollIntoView({block: 'center'})")
    return panel


def test_tokens_grow_and_stop_reaches_the_provider(lab: Any, page: Page) -> None:
    open_notebook(page, lab.address("notebooks/01_streaming_ux.ipynb"))
    run_all(page)
    whole, streamed = (in_view(page.locator(".stream-text").nth(at)) for at in (0, 1))
    button = page.get_by_role("button", name="Stop").first

    expect(streamed).to_contain_text("You can return", timeout=20 * SECONDS)
    lengths = []
    for _ in range(4):
        lengths.append(len(streamed.inner_text()))
        page.wait_for_timeout(250)
    assert lengths == sorted(lengths) and lengths[-1] > lengths[0] + 5, lengths
    assert whole.inner_text() == "waiting…"

    running = [entry for entry in lab.log() if entry.ended == "running"]
    assert len(running) == 2
    clicked = time.monotonic()
    button.click()
    while not any(entry.ended == "aborted" for entry in running):
        assert time.monotonic() - clicked < 5, "the provider did not notice"
        time.sleep(0.005)
    seconds = time.monotonic() - clicked
    aborted = next(entry for entry in running if entry.ended == "aborted")
    assert seconds < 2.0, f"{seconds:.3f} s from the click to the closed socket"  # 0.2 s is measured by `make bench`
    assert 0 < aborted.tokens_sent < aborted.tokens_planned
    expect(page.locator(".stream-times").nth(1)).to_contain_text("stopped")

    sent = aborted.tokens_sent
    expect(page.locator(".stream-times").nth(0)).to_contain_text("done", timeout=20 * SECONDS)
    assert aborted.tokens_sent == sent
    assert whole.inner_text().startswith("You can return")


HOSTILE = """
from patterns import Answer, Status, TextDelta, Turn
from patterns.course.widgets import StreamPanel

BAD = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>[x](javascript:window.broken=1)'

async def hostile(turn):
    yield Status("working", BAD)
    yield TextDelta(BAD)
    yield Answer(text=BAD)

panel = StreamPanel("Hostile text")
display(panel)
view = await panel.run(hostile, Turn("?"))
print("shown")
"""


def test_hostile_model_text_runs_nothing(lab: Any, page: Page) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(HOSTILE)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, lab.folder / "hostile.ipynb")
    open_notebook(page, lab.address("hostile.ipynb"))
    run_all(page)
    expect(page.get_by_text("shown", exact=True)).to_be_visible(timeout=60 * SECONDS)
    panel = in_view(page.locator(".stream-text"))
    assert "<script>" in panel.inner_text()
    assert panel.locator("img, script, a").count() == 0
    page.wait_for_timeout(300)
    assert page.evaluate("window.broken") is None


def test_the_first_notebook_greets_with_a_working_environment(lab: Any, page: Page) -> None:
    open_notebook(page, lab.address("notebooks/00_start_here.ipynb"))
    expect(page.locator(".jp-RenderedMermaid img").first).to_be_visible(timeout=20 * SECONDS)
    run_all(page)
    expect(page.get_by_text("All is well.").first).to_be_attached(timeout=60 * SECONDS)
