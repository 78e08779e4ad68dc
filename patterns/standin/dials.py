"""Everything the stand-in can be told to do wrong, or slowly, in one frozen object.

A hosted model misbehaves when it likes. The stand-in misbehaves when you ask, as often as you ask, and the same way
each time. Dials belong to an API key, so learners who share one server do not disturb one another.
"""

from __future__ import annotations  # keeps the annotations as text, which `from_json` reads

import random
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self, get_args

Quirk = Literal["ping", "no_usage", "no_done", "empty_choices"]


@dataclass(frozen=True, slots=True)
class Dials:
    """Rates are probabilities from 0 to 1, times are seconds. The default is a healthy provider.

    Network faults (`rate_limited`, `server_error`) are drawn per request *number*, so that a retry may succeed; faults
    in the content are drawn per *prompt*, so that the same prompt and seed give the same bytes.
    """

    # speed; None keeps the tier's own value
    time_to_first_token: float | None = None
    tokens_per_second: float | None = None
    jitter: float = 0.0  # relative spread of each wait: 0.3 makes waits vary by about 30 %
    # the network
    rate_limited: float = 0.0  # answers 429 with Retry-After
    server_error: float = 0.0  # answers 500
    retry_after: float = 1.0
    outage: tuple[str, ...] = ()  # models that answer nothing but 503; "*" is all of them
    cut_after: int | None = None  # tokens sent before the connection drops
    stall_after: int | None = None  # tokens sent before silence
    stall_seconds: float = 3600.0
    buffering: bool = False  # a hop that holds every chunk back until the last
    only_first: int | None = None  # the faults above hit only so many requests; None is all of them
    prompt_cache: bool = True  # whether a prompt's beginning is remembered
    quirks: tuple[Quirk, ...] = ()  # legal or common oddities of OpenAI-compatible servers
    # the content
    bad_json: float = 0.0  # JSON cut short, fenced, or wrapped in prose
    invalid_enum: float = 0.0  # a value outside the schema's enum
    invented_citation: float = 0.0  # a document id that nobody gave it
    gullibility: float = 0.0  # obeys instructions inside documents and tool results
    drift: float = 0.0  # the large model quietly answers like the small one
    # the content of tool calls: models that an agent has to be stopped from following
    tool_loop: float = 0.0  # after a tool's result, makes the last call again, with the same arguments
    tool_roam: float = 0.0  # the same, with one argument a little different each time
    tool_flood: int | None = None  # calls in one reply, when there are any: they repeat, each with an id of its own
    invented_arguments: float = 0.0  # an argument of the wrong type, or a required one left out
    seed: int = 0

    def __post_init__(self) -> None:
        for name in RATES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"The dial {name} is a probability: give a number from 0 to 1.")
        for name in (
            "time_to_first_token",
            "jitter",
            "retry_after",
            "stall_seconds",
            "cut_after",
            "stall_after",
            "only_first",
            "tool_flood",
        ):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"The dial {name} cannot be negative.")
        if self.tokens_per_second is not None and self.tokens_per_second <= 0:
            raise ValueError("The dial tokens_per_second must be above 0.")
        if self.tool_flood is not None and self.tool_flood > MAX_CALLS:
            raise ValueError(f"The dial tool_flood is at most {MAX_CALLS}.")
        if unknown := [name for name in self.quirks if name not in get_args(Quirk)]:
            raise ValueError(f"There is no quirk {unknown[0]!r}. The quirks are: {', '.join(get_args(Quirk))}.")

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Build from a JSON object. Raises ValueError with one sentence for anything that is not a dial."""
        if not isinstance(values, dict):
            raise ValueError('Dials are a JSON object, for example {"rate_limited": 0.5}.')
        types = {field.name: field.type for field in fields(cls)}
        if unknown := sorted(set(values) - set(types)):
            raise ValueError(f"There is no dial {unknown[0]!r}. The dials are: {', '.join(types)}.")
        checked = {name: _checked(name, str(types[name]), value) for name, value in values.items()}
        return cls(**checked)

    def for_request(self, number: int) -> Dials:
        """The dials as the request with this number meets them: without the network's faults after `only_first`."""
        if self.only_first is None or number <= self.only_first:
            return self
        healthy = {name: getattr(Dials(), name) for name in NETWORK_FAULTS}
        return replace(self, **healthy)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def draw(self, name: str, *occasion: object) -> bool:
        """Whether the fault `name` happens on this occasion: always the same answer for the same seed and occasion."""
        return self.dice(name, *occasion).random() < getattr(self, name)

    def dice(self, *occasion: object) -> random.Random:
        return random.Random("|".join(map(str, (self.seed, *occasion))))


MAX_VALUE = 1_000_000_000
MAX_CALLS = 1_000  # in one reply
NETWORK_FAULTS = ("rate_limited", "server_error", "outage", "cut_after", "stall_after", "buffering")
RATES = (
    "rate_limited",
    "server_error",
    "bad_json",
    "invalid_enum",
    "invented_citation",
    "gullibility",
    "drift",
    "tool_loop",
    "tool_roam",
    "invented_arguments",
)


def _checked(name: str, kind: str, value: Any) -> Any:
    if kind.startswith("tuple"):
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise ValueError(f"The dial {name} is a list of strings.")
    if kind == "bool":
        if isinstance(value, bool):
            return value
        raise ValueError(f"The dial {name} is true or false.")
    if value is None and "None" in kind:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"The dial {name} is a number.")
    if not abs(value) <= MAX_VALUE:  # also when it is not a number
        raise ValueError(f"The dial {name} is a number up to {MAX_VALUE:,}.")
    if "int" in kind and value != int(value):
        raise ValueError(f"The dial {name} is a whole number.")
    return int(value) if "int" in kind else float(value)
