"""Made-up data of row 5: help texts in 20 tenants and 2 languages, their vectors, and questions with known targets.

All of it comes from one seed. Every tenant uses the same fault codes, product names and topics, so the nearest texts to
any question are to a large part somebody else's. A question is one of three kinds: it names a code (words find it; its
vector lies only near the topic), it paraphrases its target (the vector finds it; no rare word is shared), or both in
part (a product name and a paraphrase). Probes ask, word for word and with the very vector, for a text that their user
may not see.

No text is embedded: a text's vector is the centre of its topic plus noise, a question's vector its target's plus noise.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

SEED, VERSION = 5, 1  # raise VERSION when what is made changes: it names the folder in the cache
TENANTS, CHUNKS, DIMENSION = 20, 5_000, 384
KINDS = ("code", "name", "paraphrase", "probe")
NOISE = 4.0  # how long the noise is that a paraphrase adds to its target's vector: their cosine is about 0.24

LANGUAGES = {"en": 0.7, "de": 0.3}
ACLS = {
    ("public",): 0.55,
    ("plan:plus",): 0.12,
    ("plan:pro",): 0.09,
    ("team:support",): 0.10,
    ("team:finance",): 0.05,
    ("plan:pro", "team:support"): 0.09,
}
# Plan and teams of those who ask.
USERS = {
    ("basic", ()): 0.4,
    ("plus", ()): 0.25,
    ("pro", ()): 0.2,
    ("basic", ("support",)): 0.1,
    ("pro", ("support", "finance")): 0.05,
}

# Each word of a text with the one that a paraphrase uses for it.
WORDS = {
    "en": {
        "parts": "battery=accumulator|screen=display|pump=impeller|sensor=detector|cable=lead|valve=tap|motor=engine|"
        "filter=sieve|fan=blower|lid=cover|hinge=joint|remote=handset|charger=adapter|antenna=aerial|lamp=light",
        "faults": "overheats=gets too hot|leaks=drips|flickers=blinks|jams=gets stuck|whistles=makes a shrill noise|"
        "shuts down=switches itself off|loses pairing=drops its wireless link|drains quickly=is empty after an hour|"
        "freezes=no longer reacts|smells burnt=gives off a scorched odour",
        "remedies": "replace=swap|clean=wipe|tighten=fasten|reset=restore|update=bring up to date|dry=air|align=adjust",
        "filler": "the a and of to in with for after before when if this each under until warranty customer service "
        "order return invoice delivery week day year manual page button setting menu account address label box screw "
        "tool table kitchen garden house room water power light summer winter serial number version app phone support "
        "please check keep never always only twice gently first then carefully again",
        "text": "{part} of the {name} {fault}: code {code}. {remedy} the {other}, then press the button. {filler}",
        "code": "What does {code} mean?",
        "name": "My {name}: the {part} {fault}, what should I {remedy}?",
        "paraphrase": "The {part} {fault}. Do I have to {remedy} the {other}?",
    },
    "de": {
        "parts": "akku=stromspeicher|bildschirm=anzeige|pumpe=laufrad|sensor=fühler|kabel=leitung|ventil=hahn|"
        "motor=antrieb|filter=sieb|lüfter=gebläse|deckel=klappe|scharnier=gelenk|netzteil=ladegerät|lampe=leuchte",
        "faults": "überhitzt=wird zu heiß|leckt=tropft|flackert=blinkt|klemmt=hängt fest|pfeift=macht lauten lärm|"
        "schaltet ab=geht von selbst aus|verliert die kopplung=trennt den funk|friert ein=reagiert nicht mehr",
        "remedies": "ersetzen=tauschen|reinigen=putzen|festziehen=anschrauben|zurücksetzen=neu starten|trocknen=lüften",
        "filler": "der die das und von zu in mit für nach vor wenn falls dies jede unter bis garantie kunde service "
        "bestellung rückgabe rechnung lieferung woche tag jahr anleitung seite knopf einstellung menü konto adresse "
        "etikett karton schraube werkzeug tisch küche garten haus raum wasser strom licht sommer winter nummer "
        "version bitte prüfen nie immer nur zweimal sanft zuerst dann vorsichtig wieder",
        "text": "{part} am {name} {fault}: code {code}. {other} {remedy}, danach den knopf halten. {filler}",
        "code": "Was bedeutet {code}?",
        "name": "Mein {name}: {part} {fault}, was muss ich {remedy}?",
        "paraphrase": "{part} {fault}. Muss ich {other} {remedy}?",
    },
}  # fmt: skip
SYLLABLES = ("ba", "del", "fo", "gri", "ka", "lun", "mi", "nor", "pra", "qui", "ros", "ta", "ulm", "ve", "xan", "zo")


@dataclass(frozen=True, slots=True)
class Chunk:
    id: str
    tenant: str
    lang: str
    acl: tuple[str, ...]
    title: str
    text: str
    facts: dict[str, str]

    @property
    def topic(self) -> tuple[str, str, str]:
        """Texts on the same fault of the same part have vectors near each other, in every tenant."""
        return self.lang, self.facts["part"], self.facts["fault"]


@dataclass(frozen=True, slots=True)
class Question:
    """`target` is the position of the chunk that answers it. The user may see it, except where `kind` is "probe"."""

    kind: str
    text: str
    target: int
    tenant: str
    lang: str
    plan: str
    teams: tuple[str, ...]

    @property
    def scopes(self) -> frozenset[str]:
        """As `User.scopes`, which the peers' environments do not have."""
        plans = ("basic", "plus", "pro")
        held = plans[: plans.index(self.plan) + 1]
        return frozenset(["public", *(f"plan:{plan}" for plan in held), *(f"team:{team}" for team in self.teams)])

    def may_see(self, chunk: Chunk) -> bool:
        return chunk.tenant == self.tenant and not self.scopes.isdisjoint(chunk.acl)


def _weighted(draw: random.Random, shares: dict[Any, float]) -> Any:
    return draw.choices(list(shares), list(shares.values()))[0]


def chunks(tenants: int = TENANTS, each: int = CHUNKS) -> list[Chunk]:
    """All chunks, tenant by tenant. In a tenant every code is there once; every tenant has the same codes."""
    draw = random.Random(SEED)
    names = [("".join(draw.sample(SYLLABLES, 3))).capitalize() for _ in range(500)]
    codes = [f"{draw.choice('ABKLTX')}{draw.choice('FGHRZ')}-{1000 + number}" for number in range(each)]
    return [_chunk(draw, f"tenant-{tenant:02}", code, names) for tenant in range(tenants) for code in codes]


def _chunk(draw: random.Random, tenant: str, code: str, names: list[str]) -> Chunk:
    lang, name = _weighted(draw, LANGUAGES), draw.choice(names)
    words = WORDS[lang]
    facts = {"code": code, "name": f"{name} {draw.randrange(2, 10)}00"}
    for fact, column in (("part", "parts"), ("other", "parts"), ("fault", "faults"), ("remedy", "remedies")):
        facts[fact] = draw.choice(words[column].split("|"))
    common = words["filler"].split()
    shares = [1 / (rank + 1) for rank in range(len(common))]
    filler = " ".join(draw.choices(common, shares, k=draw.randrange(20, 60)))
    plain = {fact: value.partition("=")[0] for fact, value in facts.items()}
    text = words["text"].format(**plain, filler=filler)
    chunk_id = f"{tenant}-{code}".lower()
    return Chunk(chunk_id, tenant, lang, _weighted(draw, ACLS), f"{plain['name']} {plain['part']}", text, facts)


def questions(of: list[Chunk], count: int) -> list[Question]:
    """`count` questions; the kinds take turns. Half of the probes are after a text of another tenant."""
    draw = random.Random(SEED + 1)
    tenants = sorted({chunk.tenant for chunk in of})
    found: list[Question] = []
    while len(found) < count:
        kind, target = KINDS[len(found) % len(KINDS)], draw.randrange(len(of))
        chunk, (plan, teams) = of[target], _weighted(draw, USERS)
        foreign = kind == "probe" and len(found) // len(KINDS) % 2 == 1
        tenant = draw.choice([name for name in tenants if name != chunk.tenant]) if foreign else chunk.tenant
        question = Question(kind, _asked(kind, chunk), target, tenant, chunk.lang, plan, teams)
        if question.may_see(chunk) == (kind != "probe"):
            found.append(question)
    return found


def _asked(kind: str, chunk: Chunk) -> str:
    said = {fact: value.partition("=")[2] or value for fact, value in chunk.facts.items()}
    kinds = ("code", "name") if kind == "probe" else (kind,)
    return " ".join(WORDS[chunk.lang][each].format(**said) for each in kinds)


def vectors(of: list[Chunk], asked: list[Question]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the chunks and of the questions, float32, each of length 1: (chunks, 384) and (questions, 384)."""
    draw = np.random.default_rng(SEED)

    def directions(count: int) -> np.ndarray:
        return _unit(draw.standard_normal((count, DIMENSION), dtype=np.float32))

    topics = {topic: place for place, topic in enumerate(sorted({chunk.topic for chunk in of}))}
    centre = directions(len(topics))[[topics[chunk.topic] for chunk in of]]
    made = _unit(centre + directions(len(of)))
    noise = directions(len(asked))
    rows = [
        centre[question.target] + noise[place]
        if question.kind == "code"
        else made[question.target] + (0 if question.kind == "probe" else NOISE) * noise[place]
        for place, question in enumerate(asked)
    ]
    return made, _unit(np.array(rows))


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def write(folder: Path, count: int) -> None:
    """Make everything with `count` questions, once: the peers, which may have another NumPy, read it."""
    ready = folder / ".ready"
    if ready.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    made = chunks()
    asked = questions(made, count)
    for name, rows in (("chunks", made), ("questions", asked)):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
    for name, array in zip(("chunks", "questions"), vectors(made, asked), strict=True):
        np.save(folder / f"{name}.npy", array)
    ready.touch()


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def read_chunks(folder: Path) -> list[Chunk]:
    return [Chunk(acl=tuple(row.pop("acl")), **row) for row in _rows(folder / "chunks.jsonl")]


def read_questions(folder: Path) -> list[Question]:
    return [Question(teams=tuple(row.pop("teams")), **row) for row in _rows(folder / "questions.jsonl")]


def read_vectors(folder: Path, name: str) -> np.ndarray:
    return np.load(folder / f"{name}.npy")
