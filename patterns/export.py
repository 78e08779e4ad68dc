"""Export: your own assistant as a folder that runs by itself, wherever the package of the course is installed.

    report = export.write(mine, "service/", cases)

    assistant.py      its name, its documents, its tools          tools.py     the functions from the notebook
    app.py            the service: HTTP and a chat page           documents/   copies of what was read
    ask.py            one question on the command line            evals.yaml   your cases
    smoke.py          starts it, asks one question, checks        README.md    three commands
    requirements.txt  names and versions, from this environment   .env.example settings, and no secret

The tools are imported once from the written file before anything is kept: what the service will offer to the model has
to be what this assistant offers. Exporting into the same folder again replaces these files and nothing else.
"""

import importlib.metadata
import json
import re
import runpy
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import eval_cases, tool_source
from .errors import CallerError
from .eval_cases import Case
from .your_own_assistant import Own

PACKAGE = "llm-production-patterns"
MARK = "export.json"  # says that a folder was written by an export


@dataclass(frozen=True, slots=True)
class Exported:
    """Where it is, and the names of what was written, documents apart."""

    folder: Path
    files: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.folder.name}/: {', '.join(self.files)}, documents/"


def write(mine: Own, folder: str | Path, cases: Sequence[Case] = ()) -> Exported:
    """Write the folder. Raises CallerError for one that holds other things, and for a tool that cannot be written."""
    target = Path(folder).expanduser().absolute()
    _refuse_foreign(target, mine.folder)
    source, packages = tool_source.module(mine.tools)
    texts = {
        "assistant.py": _ASSISTANT.format(
            title=_comment(mine.name), name=mine.name, language=mine.language, contact=_contact(mine)
        ),
        "app.py": _APP.format(title=_comment(mine.name)),
        "ask.py": _ASK.format(title=_comment(mine.name)),
        "smoke.py": _SMOKE.format(question=_first(cases)),
        "tools.py": source,
        "requirements.txt": requirements([PACKAGE, *packages]),
        "README.md": _README.format(title=_comment(mine.name), version=importlib.metadata.version(PACKAGE)),
        ".env.example": _ENVIRONMENT,
    }
    if cases:
        texts["evals.yaml"] = "".join(f"- {eval_cases.as_yaml(case)}\n" for case in cases)
    texts[MARK] = json.dumps({"name": mine.name, "files": sorted(texts)}, indent=1) + "\n"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as made:
            new = Path(made)
            for name, text in texts.items():
                (new / name).write_text(text, encoding="utf-8")
            for name in mine.library.files:
                (new / "documents" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(mine.folder / name, new / "documents" / name)
            _check_tools(new / "tools.py", mine)
            target.mkdir(exist_ok=True)
            shutil.rmtree(target / "documents", ignore_errors=True)
            for one in new.iterdir():
                one.replace(target / one.name)
    except OSError as error:
        said = f"The folder {target} cannot be written: {error.strerror or error}."
        raise CallerError(said, "Choose another folder, or free some space.", "store_unwritable") from error
    return Exported(target, tuple(sorted(texts)))


def requirements(packages: Sequence[str]) -> str:
    """These packages and all that they need, one `name==version` a line, as they are installed here.

    The package of the course itself is on no index, so it is a comment: README.md says how it is installed.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    open_ends = [Requirement(name) for name in packages]
    seen: set[tuple[str, frozenset[str]]] = set()
    while open_ends:
        wanted = open_ends.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        try:
            installed = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra of something that is not in use here
        found[name] = installed.version
        for line in installed.requires or ():
            needs = Requirement(line)
            extras = wanted.extras or {""}
            if needs.marker is None or any(needs.marker.evaluate({"extra": extra}) for extra in extras):
                open_ends.append(needs)
    own = found.pop(PACKAGE)
    pinned = "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))
    return f"# {PACKAGE}=={own}: install it from its folder, see README.md\n{pinned}"


def _refuse_foreign(target: Path, documents: Path) -> None:
    if target.resolve().is_relative_to(documents.resolve()) or documents.resolve().is_relative_to(target.resolve()):
        said = f"The folders {target} and {documents} lie in each other: the service would read itself as a document."
        raise CallerError(said, "Export beside your documents.", "bad_request")
    if target.exists() and not target.is_dir():
        raise CallerError(f"{target} is no folder.", "Choose another name.", "bad_request")
    if target.is_dir() and any(target.iterdir()) and not (target / MARK).is_file():
        said = f"The folder {target} holds other things."
        raise CallerError(said, "Export into a new folder, or into one of an earlier export.", "bad_request")


def _check_tools(path: Path, mine: Own) -> None:
    """Run the written module, and compare what it offers with what this assistant offers. Raises CallerError."""
    from .tools import Tool, tool

    try:
        given = runpy.run_path(str(path))["TOOLS"]
        written = [(one if isinstance(one, Tool) else tool(one)) for one in given]
    except Exception as error:  # whatever the module does when it is run
        said = f"The written tools.py does not run by itself: {type(error).__name__}: {error}."
        raise CallerError(said, "Put what is missing into the tool's own cell or function.", "unfit_tool") from error
    for one, other in zip(mine.tools, written, strict=True):
        if (one.wire, one.effect, one.timeout) != (other.wire, other.effect, other.timeout):
            said = f"The tool {one.name!r} would be another one in the written tools.py."
            raise CallerError(said, "Give it its name, docstring and types in its own cell.", "unfit_tool")


def _first(cases: Sequence[Case]) -> str:
    """A question that the documents answer, for the smoke test."""
    known = [case.question for case in cases if not case.unknown and not case.calls]
    return known[0] if known else "What is this about?"


def _contact(mine: Own) -> str:
    reach = mine.contact
    return "None" if reach is None else f"Contact({reach.email!r}, {reach.phone!r}, {reach.hours!r})"


def _comment(text: str) -> str:
    """The name for a docstring or a heading: one line, and nothing that could end either."""
    return re.sub(r"[^\w ,.&()'-]", "", " ".join(text.split())) or "Assistant"


_ASSISTANT = '''\
"""{title}: the assistant that app.py, ask.py and smoke.py use."""

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.environ.setdefault("PATTERNS_STATE", str(HERE / ".state"))  # the index, the ledger, the signing key

from patterns import your_own_assistant as own  # noqa: E402
from patterns.faq_search import Contact  # noqa: E402, F401

from tools import TOOLS  # noqa: E402


async def build() -> own.Own:
    return await own.assistant(
        HERE / "documents", name={name!r}, tools=TOOLS, language={language!r}, contact={contact}
    )
'''
_APP = '''\
"""{title} as a service: python app.py [--host ...] [--port ...]"""

from assistant import build
from patterns import own_service

if __name__ == "__main__":
    own_service.serve(build)
'''
_ASK = '''\
"""{title}: python ask.py "your question" """

import sys

from assistant import build
from patterns import own_service

if __name__ == "__main__":
    answer = own_service.ask(build, " ".join(sys.argv[1:]))
    print(answer.text)
    print("from:", ", ".join(answer.cited_chunk_ids) or "no document")
'''
_SMOKE = '''\
"""Does the service answer? python smoke.py ["another question"]"""

import sys

from assistant import build
from patterns import own_service

QUESTION = {question!r}

if __name__ == "__main__":
    told = own_service.smoke(build, " ".join(sys.argv[1:]) or QUESTION)
    print(told["text"])
    print("from:", ", ".join(one["id"] for one in told["sources"]))
'''
_README = """\
# {title}

An assistant that answers from `documents/`. It was written by an export of notebook 15 and needs the package
`llm-production-patterns` {version}. In its folder: `pip install .`, then here:

```bash
pip install -r requirements.txt      # 1. the versions that it was tried with
python smoke.py                      # 2. one question over HTTP; it ends with 0 when the answer names its source
python app.py                        # 3. the service, on http://127.0.0.1:8080, with a link that signs you in
```

Settings are in `.env.example`. Without any it uses the offline stand-in, which is for trying things out only. With
`PATTERNS_SIGNING_KEY` set, there is no link: whoever signs people in makes the tokens (`patterns/service/identity.py`).

- Change `documents/` and start it again: only what has changed is embedded.
- `tools.py` is what the tools were in the notebook. What they keep in memory is gone when the service stops.
- `evals.yaml` are the cases. Run them after every change of documents, tools or model.
"""
_ENVIRONMENT = """\
# Set these in the environment of the service; this file is not read by itself. Never put a real key into a file that
# others can read.
PATTERNS_PROVIDER=standin
OPENAI_API_KEY=
PATTERNS_SIGNING_KEY=
PATTERNS_STATE=
"""
