"""What several savings come to together: not their product, because they are not independent.

A cache answers what is asked often, and that is easy; so the questions that are left are harder, and fewer of them stay
with the small model: together the two save less than their product says. A prompt cache and a shorter history work on
different parts of one prompt: these savings add up, which is a little more than their product. `cost` counts a request
with all of it; `multiplied` does what a slide does.
"""

from dataclasses import dataclass, fields, replace

from .models import Tier


@dataclass(frozen=True, slots=True)
class Traffic:
    """A mean request that reaches the large model: tokens by part, and model calls. `easy`: the share of requests that
    a small model answers as well."""

    prefix: float = 1_300.0  # instructions and tools: the same every time
    documents: float = 900.0
    history: float = 600.0
    output: float = 90.0
    calls: float = 1.3
    easy: float = 0.9


@dataclass(frozen=True, slots=True)
class Levers:
    """How far each is pulled, 0 to 1; 0 is not at all.

    `cache`: share of the requests that are repeats of easy ones, and served from the response cache.
    `cascade`: share of the easy requests that reach a model, and stay with the small one.
    `trim`: part of the history that is left out.
    `prompt_cache`: share of the calls whose prefix the provider has read before.
    """

    cache: float = 0.0
    cascade: float = 0.0
    trim: float = 0.0
    prompt_cache: float = 0.0


NAMES = tuple(one.name for one in fields(Levers))


def cost(traffic: Traffic, levers: Levers, small: Tier, large: Tier) -> float:
    """Dollars a request, everything together. Raises ValueError where a price is not known."""
    cached = min(levers.cache, traffic.easy)
    easy_left = (traffic.easy - cached) / (1 - cached) if cached < 1 else 0.0
    kept = levers.cascade * easy_left
    each = (1 - kept) * traffic.calls * _call(traffic, levers, large)
    if levers.cascade:
        # Every request pays for the small call, also where it was wasted. It gets no tools, and so a shorter prompt.
        each += _call(traffic, replace(levers, prompt_cache=0.0), small, prefix=SMALL_PREFIX)
    return (1 - cached) * each


SMALL_PREFIX = 120.0  # tokens of the instructions alone


def _call(traffic: Traffic, levers: Levers, tier: Tier, prefix: float | None = None) -> float:
    prefix = traffic.prefix if prefix is None else prefix
    read = prefix + traffic.documents + traffic.history * (1 - levers.trim)
    dollars = tier.cost(1_000_000, 0), tier.cost(0, 1_000_000), tier.cost(1_000_000, 0, 1_000_000)
    if None in dollars:
        raise ValueError(f"The price of {tier.model} is not known.")
    fresh, written, cached = (each or 0.0 for each in dollars)
    return (read * fresh - levers.prompt_cache * prefix * (fresh - cached) + traffic.output * written) / 1e6


def alone(traffic: Traffic, levers: Levers, small: Tier, large: Tier) -> dict[str, float]:
    """What is left of the cost with each lever pulled by itself: 0.6 is a saving of 40%."""
    base = cost(traffic, Levers(), small, large)
    single = {name: replace(Levers(), **{name: getattr(levers, name)}) for name in NAMES}
    return {name: cost(traffic, one, small, large) / base for name, one in single.items()}


def multiplied(traffic: Traffic, levers: Levers, small: Tier, large: Tier) -> float:
    """What would be left if the single savings multiplied."""
    product = 1.0
    for left in alone(traffic, levers, small, large).values():
        product *= left
    return product


def together(traffic: Traffic, levers: Levers, small: Tier, large: Tier) -> float:
    """What is left with all levers pulled."""
    return cost(traffic, levers, small, large) / cost(traffic, Levers(), small, large)


def cascade_ratio(stays: float, price_ratio: float, wasted: bool = True) -> float:
    """Always-large ÷ cascade, for calls of one size: `stays` is the share that the small model keeps.

    With `wasted`, every request pays for the small call; without, only those do that stay (which nobody can have).
    """
    small = 1.0 if wasted else stays
    return 1 / (small / price_ratio + 1 - stays)
