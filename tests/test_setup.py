"""Set-up: the lock, pyproject.toml and environment.yml in step; the arrows between modules; import without cost."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {name: (ROOT / name).read_text() for name in ("requirements.lock", "requirements-test.lock")}
FIXED = {"jupyterlab", "ipywidgets", "chromadb", "openai", "matplotlib"}


def name_of(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return match[0].lower().replace("_", "-")


def pins(lock: str) -> dict[str, set[str]]:
    """Versions by name; several where the right one depends on the Python."""
    found: dict[str, set[str]] = {}
    for name, pinned in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", lock, re.MULTILINE):
        found.setdefault(name_of(name), set()).add(pinned)
    return found


def test_every_dependency_is_pinned() -> None:
    wanted = {name_of(line) for line in PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["setup"]}
    assert wanted >= FIXED
    assert wanted <= set(pins(LOCKS["requirements.lock"]))
    tools = {name_of(line) for line in PROJECT["dependency-groups"]["test"]}
    assert "nbval" in tools and tools <= set(pins(LOCKS["requirements-test.lock"]))


def test_both_locks_agree() -> None:
    base, full = (pins(lock) for lock in LOCKS.values())
    assert all(full[name] == versions for name, versions in base.items())


def test_what_is_installed_is_what_is_pinned() -> None:
    for requirement in PROJECT["project"]["dependencies"]:
        name = name_of(requirement)
        assert version(name) in pins(LOCKS["requirements.lock"])[name], name


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_a_hash_and_no_line_names_a_host(name: str) -> None:
    entries = re.split(r"\n(?=\S)", LOCKS[name].strip())
    assert len(entries) > 100
    for entry in entries:
        assert "--hash=sha256:" in entry, entry[:80]
        assert not re.search(r"://|--index|--find-links|--extra", entry), entry[:80]


def test_environment_yml_installs_the_lock_for_the_same_pythons() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["project"]["name"]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert "--requirement requirements.lock" in pip and "--require-hashes" in pip
    assert f"python {PROJECT['project']['requires-python']}" in environment["dependencies"]


def test_no_tracked_file_names_a_registry_or_this_machine() -> None:
    hosts = re.compile(r"pypi\.org|pythonhosted|registry\.npmjs|deb\.debian|conda\.anaconda")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    files = [ROOT / line for line in tracked.stdout.splitlines()]
    for path in files:
        if path != Path(__file__) and path.is_file():
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not hosts.search(text), path
            assert str(ROOT) not in text, path


# the arrows of the house: notebooks -> course -> patterns -> events, models, ledger; the stand-in knows nobody

PACKAGE = ROOT / "patterns"


def imported_by(path: Path) -> set[str]:
    """The modules of this project that a file imports, as dotted names from the package on."""
    here = path.relative_to(ROOT).with_suffix("").parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: len(here) - node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "patterns"}


def under(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("path", sorted((PACKAGE / "standin").glob("*.py")), ids=lambda path: path.stem)
def test_the_stand_in_imports_nothing_of_the_others(path: Path) -> None:
    assert all(under(name, "patterns.standin") or name == "patterns" for name in imported_by(path))


@pytest.mark.parametrize(
    "path",
    sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in ("course", "standin")),
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_patterns_import_neither_the_course_nor_the_stand_in(path: Path) -> None:
    assert not [name for name in imported_by(path) if under(name, "patterns.standin") or under(name, "patterns.course")]


@pytest.mark.parametrize("path", sorted((PACKAGE / "course").glob("*.py")), ids=lambda path: path.stem)
def test_the_course_meets_the_stand_in_over_http_only(path: Path) -> None:
    assert not [name for name in imported_by(path) if under(name, "patterns.standin")]


def test_the_base_knows_no_pattern() -> None:
    base = {"errors", "events", "models", "ledger", "metrics", "provider_errors", "replies", "state", "store", "calls"}
    base |= {"backend", "booking", "budgets", "token_counts"}
    base |= {"call_spans", "genai_names", "tracing", "span_export", "kept_traces"}  # what a call says of itself
    base |= {"pii", "checked_numbers", "person_names", "plain_text", "telephones"}  # and what nobody is told
    allowed = {f"patterns.{other}" for other in base} | {"patterns"}
    for name in base:
        files = sorted((PACKAGE / name).glob("*.py")) or [PACKAGE / f"{name}.py"]
        for path in files:
            reached = {".".join(module.split(".")[:2]) for module in imported_by(path)}
            assert reached <= allowed, (path, reached - allowed)


# importing costs nothing and opens nothing

PROBE = """
import sys
def hook(event, args):
    if event in ("socket.connect", "socket.bind", "sqlite3.connect", "subprocess.Popen"):
        raise SystemExit(f"import did {event} {args}")
sys.addaudithook(hook)
import MODULE
heavy = {"chromadb", "matplotlib", "onnxruntime", "openai", "numpy", "starlette", "uvicorn"} & set(sys.modules)
sys.exit(f"import loaded {heavy}" if heavy else 0)
"""


@pytest.mark.parametrize("module", ["patterns", "patterns.complete_assistant", "patterns.evals", "patterns.standin"])
def test_importing_opens_nothing_and_loads_nothing_heavy(module: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI", "PATTERNS"))}
    command = [sys.executable, "-c", PROBE.replace("MODULE", module)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert ran.returncode == 0, ran.stderr


def test_every_public_name_can_be_reached() -> None:
    import patterns

    for name in patterns.__all__:
        assert getattr(patterns, name) is not None
    with pytest.raises(AttributeError):
        _ = patterns.no_such_name  # pyright: ignore[reportAttributeAccessIssue]


# make


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--file", str(ROOT / "Makefile"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_make_refuses_an_old_python_and_names_the_fix(tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit 0\nexit 1\n')
    old.chmod(0o755)
    ran = make(tmp_path, "setup", f"PYTHON={old}")
    assert ran.returncode != 0 and "Python 3.11, 3.12 or 3.13 is needed" in ran.stdout and "3.9.1" in ran.stdout
    missing = make(tmp_path, "setup", "PYTHON=no-such-python")
    assert missing.returncode != 0 and "make lab PYTHON=" in missing.stdout
    assert not (tmp_path / ".venv").exists()


def test_make_test_runs_the_checks_and_every_notebook() -> None:
    plan = make(ROOT, "--dry-run", "test").stdout
    assert "ruff check" in plan and "basedpyright" in plan and "-m pytest" in plan
    assert set(PROJECT["tool"]["pytest"]["ini_options"]["testpaths"]) == {"tests", "notebooks"}
    assert "--nbval " in PROJECT["tool"]["pytest"]["ini_options"]["addopts"]
    assert "make test" in (ROOT / ".ci" / "run").read_text() and "make test" in (ROOT / "README.md").read_text()
