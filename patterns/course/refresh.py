"""Run notebooks top to bottom and keep their outputs in a form that compares and diffs well.

    python -m patterns.course.refresh notebooks/01_streaming_ux.ipynb [...]

A notebook is written only when all of its cells ran (a cell may fail where its tag `raises-exception` says so).
"""

import argparse
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

# A view of a widget that no longer exists shows as an error; its plain-text form reads well everywhere.
DEAD_WIDGET = "application/vnd.jupyter.widget-view+json"


def refresh(path: Path) -> None:
    """Execute and rewrite one notebook. Raises CellExecutionError, and then leaves the file as it was."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        store_widget_state=False,
        coalesce_streams=True,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(DEAD_WIDGET, None)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    partial = path.with_suffix(".partial")
    nbformat.write(notebook, partial)
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m patterns.course.refresh", description="Run notebooks and keep their outputs."
    )
    parser.add_argument("notebooks", nargs="+", type=Path)
    for path in parser.parse_args().notebooks:
        print(f"{path} ...", flush=True)
        try:
            refresh(path)
        except CellExecutionError as error:
            sys.exit(f"{path} was left as it was, because a cell failed:\n{error}")


if __name__ == "__main__":
    main()
