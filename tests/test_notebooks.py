"""The form of the notebooks: sections, small cells, kept outputs, exercises with solutions. nbval runs them."""

import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECTIONS = [
    "In one line",
    "The shape",
    "Why it matters",
    "Worked example",
    "Watch out for",
    "Scorecard",
    "2026 stack",
    "Exercises",
    "Quick check",
    "Where we are",
]
WITHOUT_LAYER = {"14_checkpoint"}  # it asks about the others


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS][:2] == ["00_start_here", "01_streaming_ux"]
    for path in NOTEBOOKS[1:]:
        if path.stem in WITHOUT_LAYER:
            continue
        assert (ROOT / "patterns" / f"{path.stem[3:]}.py").is_file(), f"{path.stem} has no module"


@every
def test_sections_in_order(path: Path) -> None:
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert re.match(rf"# {path.stem[:2]} · ", text)
    assert "```mermaid" in text


@every
def test_cells_are_small_and_say_one_thing(path: Path) -> None:
    lengths = [
        len(cell.source.splitlines())
        for cell in code_cells(read(path))
        if "solution" not in cell.metadata.get("tags", [])
    ]
    assert statistics.median(lengths) <= 7 and max(lengths) <= 25


@every
def test_the_first_output_says_versions_and_provider(path: Path) -> None:
    first = code_cells(read(path))[0].outputs[0].text
    assert first.startswith("python 3.") and "provider: standin" in first


@every
def test_outputs_are_kept_and_errors_are_meant(path: Path) -> None:
    for cell in code_cells(read(path)):
        assert cell.execution_count is not None, f"{cell.id} was never run"
        failed = [output for output in cell.outputs if output.output_type == "error"]
        assert not failed or "raises-exception" in cell.metadata.get("tags", []), f"{cell.id} failed"
        for output in failed:
            assert "Next step: " in "".join(output.traceback), f"{cell.id} shows a stack trace"


@every
def test_figures_have_alt_text(path: Path) -> None:
    for cell in code_cells(read(path)):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                assert len(output.metadata["image/png"]["alt"]) > 40, cell.id


@every
def test_nothing_volatile_is_kept(path: Path) -> None:
    notebook = read(path)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "jupyter"}, cell.id
        assert re.fullmatch(r"[a-z0-9-]+", cell.id), f"{cell.id}: ids are words, so that diffs stay readable"
        for output in cell.get("outputs", []):
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
            assert output.get("name") != "stderr", f"{cell.id} prints a warning"


@every
def test_every_cell_is_compared_or_says_why_not(path: Path) -> None:
    for cell in code_cells(read(path)):
        exempt = re.search(r"#\s*NBVAL_\w+|^\s*%%?\w+", cell.source, re.MULTILINE)
        exempt = exempt or [tag for tag in cell.metadata.get("tags", []) if tag.startswith("nbval")]
        assert not exempt or "# not compared: " in cell.source, f"{cell.id} is exempt without a reason"


@every
def test_exercises_have_a_check_a_hint_and_a_folded_solution(path: Path) -> None:
    notebook = read(path)
    solutions = [cell for cell in code_cells(notebook) if "solution" in cell.metadata.get("tags", [])]
    assert solutions
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert text.count("<details><summary>Hint</summary>") >= len(solutions)
    for cell in solutions:
        assert cell.metadata.jupyter.source_hidden
        assert "exercises.check(" in cell.source
        assert any("✓" in output.get("text", "") for output in cell.outputs), f"{cell.id} does not solve its exercise"
    unsolved = sum("○ Not yet" in output.get("text", "") for cell in code_cells(notebook) for output in cell.outputs)
    assert unsolved == len(solutions)


@every
def test_links_between_notebooks_lead_somewhere(path: Path) -> None:
    for cell in read(path).cells:
        for target in re.findall(r"\]\(([\w./-]+\.ipynb)\)", cell.source if cell.cell_type == "markdown" else ""):
            assert (path.parent / target).is_file(), target


# the comparison itself


def nbval(path: Path) -> subprocess.CompletedProcess[str]:
    sanitize = str(ROOT / "tests" / "nbval_sanitize.cfg")
    options = [
        "--nbval",
        "--nbval-current-env",
        "--nbval-sanitize-with",
        sanitize,
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
    ]
    command = [sys.executable, "-m", "pytest", "-q", *options, "--rootdir", str(path.parent), str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=path.parent)


def kept(path: Path, source: str, output: str) -> Path:
    cell = nbformat.v4.new_code_cell(source, execution_count=1)
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=output)]
    notebook = nbformat.v4.new_notebook(
        cells=[cell], metadata={"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}}
    )
    nbformat.write(notebook, path)
    return path


def test_a_notebook_that_says_what_it_said_passes(tmp_path: Path) -> None:
    ran = nbval(kept(tmp_path / "same.ipynb", "print('took 0.31 s')", "took 2.75 s\n"))
    assert ran.returncode == 0 and "1 passed" in ran.stdout, ran.stdout


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("print('42')", "41\n"),
        ("print('took 0.31 s too long')", "took 0.31 s\n"),
        ("1/0", ""),
        ("pass", "once it printed\n"),
    ],
)
def test_a_broken_notebook_fails(tmp_path: Path, source: str, output: str) -> None:
    ran = nbval(kept(tmp_path / "broken.ipynb", source, output))
    assert ran.returncode == 1 and "1 failed" in ran.stdout, ran.stdout
