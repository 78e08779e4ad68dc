"""`SIZING.md`: what the assistant needs for ten thousand users a day and for a million, from measured unit costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patterns import models

PAGE = Path(__file__).with_name("SIZING.md")

# Assumptions. They are not measured; change them for your own users.
REQUESTS_A_USER = 3  # a day
PEAK = 5.0  # requests in the busiest second ÷ the mean of the day
FROM_CACHE = 0.2  # of the requests
STREAM_SECONDS = 8.0  # that an answer of a hosted model takes, from the question to its last word
BUSY = 0.6  # of a core that may be used at the peak, so that queues stay short
USERS = (10_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Size:
    """What so many daily users need. Rates are a second, at the peak; dollars a day."""

    users: int
    requests: float
    mean: float
    peak: float
    streams: float
    service_cores: float
    processes: int
    memory_gib: float
    sqlite_busy: float
    redis_busy: float | None
    chroma_cores: float
    tokens_a_minute: float
    dollars: Mapping[str, float | None]


def dollars_a_request(asked: Mapping[str, Any], provider: str) -> float | None:
    """List price of one live request at `provider`: its calls of both tiers and its embedding. None: not known."""
    tiers = models.tiers_of(provider)
    total = 0.0
    for name, used in asked["tiers"].items():
        price = tiers[name].cost(1_000_000, 0), tiers[name].cost(0, 1_000_000)
        if price[0] is None or price[1] is None:
            return None
        total += (used["input"] * price[0] + used["output"] * price[1]) / 1e6
    embed = tiers["embed"].cost(1_000_000, 0)
    return None if embed is None else total + asked["embed_tokens"] * embed / 1e6


def size(users: int, found: Mapping[str, Any]) -> Size:
    asked, shared, near = found["service"], found["stores"], found["vectors"]
    requests = users * REQUESTS_A_USER
    mean = requests / 86_400
    peak = mean * PEAK
    live = 1 - FROM_CACHE
    cpu_ms = live * asked["live_cpu_ms"] + FROM_CACHE * asked["cached_cpu_ms"]
    cores = peak * cpu_ms / 1000
    processes = max(2, -int(-cores / BUSY // 1))  # two, so that one may fail
    streams = peak * (live * STREAM_SECONDS)
    tokens = sum(used["input"] + used["output"] for used in asked["tiers"].values())
    redis = shared.get("redis_server_ms")
    one = {name: dollars_a_request(asked, name) for name in ("openai", "standin")}
    return Size(
        users,
        requests,
        mean,
        peak,
        streams,
        cores,
        processes,
        (processes * asked["process_mib"] + streams * found["streams"]["kib"] / 1024) / 1024,
        peak * shared["sqlite_ms"] / 1000,
        None if redis is None else peak * redis / 1000,
        peak * live * near["chroma_cpu_ms"] / 1000,
        peak * live * tokens * 60,
        {name: None if dollars is None else requests * live * dollars for name, dollars in one.items()},
    )


def page(found: Mapping[str, Any]) -> str:
    asked, shared, near = found["service"], found["stores"], found["vectors"]
    sizes = [size(users, found) for users in USERS]
    redis = shared.get("redis_server_ms")
    openai = models.tiers_of("openai")
    one = dollars_a_request(asked, "openai")
    tokens = {name: asked["tiers"][name] for name in ("small", "large")}

    def rate(ms: float) -> float:
        """Requests a second that one core does with BUSY of its time."""
        return 1000 * BUSY / ms

    def row(name: str, *cells: str) -> str:
        return f"| {' | '.join([name, *cells])} |"

    def dollars(amount: float | None) -> str:
        return "not known" if amount is None else f"${amount:,.2f}" if amount >= 0.01 else f"${amount:.6f}"

    lines = [
        "# Sizing",
        "",
        "Written by `python -m benchmarks.unit_costs --page` from `unit_costs.json`. Do not edit it by hand.",
        "",
        "How much the assistant needs for 10,000 daily users and for a million. The unit costs are measured. The",
        "assumptions are not: put your own in `benchmarks/sizing.py`. The sizes are arithmetic, and nobody has run a",
        "million users here.",
        "",
        "## Assumptions",
        "",
        f"- {REQUESTS_A_USER} requests a user and day; the busiest second has {PEAK:g} times the mean of the day.",
        f"- {FROM_CACHE:.0%} of the answers come from the cache.",
        f"- An answer of a hosted model takes {STREAM_SECONDS:g} s. Its speed is the provider's: measure your own.",
        f"- A core may be {BUSY:.0%} busy at the peak.",
        "",
        "## Unit costs",
        "",
        f"Measured with {', '.join(f'{name} {version}' for name, version in found['versions'].items())}.",
        f"{found['cores']} cores, load {found['load'][0]:.1f}: other work ran beside it, so latencies are "
        "upper bounds.",
        "",
        "| What | Measured | One core saturates at | Whose number |",
        "| --- | --- | --- | --- |",
    ]
    costs = [
        ("service process, live request", asked["live_cpu_ms"], "ours; tool calls and length follow the model"),
        ("service process, cached answer", asked["cached_cpu_ms"], "ours, whatever the provider"),
        ("SQLite, shared store, request", shared["sqlite_ms"], "ours, whatever the provider"),
        ("SQLite, ledger, call", shared["ledger_call_ms"], "ours, whatever the provider"),
        *([("Redis server, request", redis, "ours, whatever the provider")] if redis else []),
        (f"Chroma server, query in {near['chunks']:,} vectors", near["chroma_cpu_ms"], "ours, grows with the index"),
        (f"exact scan of {near['chunks']:,} vectors", near["scan_cpu_ms"], "ours, grows with the tenant"),
    ]
    lines += [row(name, f"{ms:.2f} ms of CPU", f"{1000 / ms:,.0f} a second", whose) for name, ms, whose in costs]
    lines += [
        "",
        f"- A service process holds {asked['process_mib']:.0f} MiB, and "
        f"{found['streams']['kib']:.0f} KiB for each open stream.",
        f"- Chroma: {near['chroma_p50_ms']:.1f} ms a query at the median, {near['chroma_p95_ms']:.1f} ms at the 95th "
        f"percentile; {near['chroma_insert_cpu_ms']:.2f} ms of CPU a vector stored, {near['chroma_mib']:.0f} MiB "
        f"with {near['chunks']:,} vectors of 384 dimensions.",
        *(
            [f"- A request sends Redis {shared['redis_commands']:.0f} commands, those inside scripts among them."]
            if redis
            else ["- Redis was not measured: there is no redis-server here."]
        ),
        "",
        "## Money",
        "",
        "Tokens a live request, as the stand-in counts them. What goes in is ours (prompt, documents, tools), and",
        "another tokenizer counts it a little differently. What comes out, and how often the large model is asked, is",
        "the model's: measure it with your own before you trust the sum.",
        "",
        "| Tier | Calls | Tokens in | Tokens out | OpenAI model | $ a million in, out |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, used in tokens.items():
        prices = f"{dollars(openai[name].cost(10**6, 0))}, {dollars(openai[name].cost(0, 10**6))}"
        cells = f"{used['calls']:.2f}", f"{used['input']:,.0f}", f"{used['output']:,.0f}", openai[name].model, prices
        lines.append(row(name, *cells))
    lines += [
        "",
        f"So a live request costs {dollars(one)} at list price (genai-prices {found['versions']['genai-prices']}), "
        "without the provider's discount for a repeated prompt. In words: "
        "tokens in × price in + tokens out × price out, for both tiers, and",
        f"{asked['embed_tokens']:.0f} tokens embedded.",
        "",
        "## Two sizes",
        "",
        row("At the peak", *(f"{one.users:,} users a day" for one in sizes)),
        "| --- | --- | --- |",
        row("requests a day = users × requests a user", *(f"{one.requests:,.0f}" for one in sizes)),
        row("mean a second = requests ÷ 86,400", *(f"{one.mean:.2f}" for one in sizes)),
        row(f"peak a second = mean × {PEAK:g}", *(f"{one.peak:.1f}" for one in sizes)),
        row("open streams = peak × live share × seconds", *(f"{one.streams:,.0f}" for one in sizes)),
        row("cores of service = peak × CPU a request", *(f"{one.service_cores:.2f}" for one in sizes)),
        row(f"processes = cores ÷ {BUSY:g}, at least 2", *(f"{one.processes}" for one in sizes)),
        row("memory of the services", *(f"{one.memory_gib:.1f} GiB" for one in sizes)),
        row("SQLite's one writer is busy", *(f"{one.sqlite_busy:.0%}" for one in sizes)),
        *([row("Redis's one core is busy", *(f"{one.redis_busy or 0:.0%}" for one in sizes))] if redis else []),
        row("cores of Chroma", *(f"{one.chroma_cores:.2f}" for one in sizes)),
        row("tokens a minute at the provider", *(f"{one.tokens_a_minute:,.0f}" for one in sizes)),
        row("dollars a day, OpenAI list price", *(dollars(one.dollars["openai"]) for one in sizes)),
        row("dollars a user and month", *(dollars((one.dollars["openai"] or 0) * 30 / one.users) for one in sizes)),
        "",
        "## Where each part saturates, and what to do then",
        "",
        f"- **A service process**: {rate(asked['live_cpu_ms']):.0f} live requests a second. Start more behind a",
        "  load balancer. On two machines or more, set PATTERNS_REDIS_URL: else each has limits of its own.",
        f"- **SQLite** has one writer at a time: {rate(shared['sqlite_ms']):,.0f} requests a second. One",
        "  machine seldom gets there; PATTERNS_REDIS_URL is for the second machine. The ledger stays a",
        "  file of each machine.",
        *(
            [
                f"- **Redis** runs scripts on one core: {rate(redis):,.0f} requests a second. After that, give",
                "  each group of services a Redis of its own; the budgets of one tenant must stay together.",
            ]
            if redis
            else []
        ),
        "- **Chroma**: a tenant of up to 100,000 chunks is scanned in the process and never asks it. Above that, a",
        f"  server gives {rate(near['chroma_cpu_ms']):,.0f} queries a second and core at this size; a larger index",
        "  is slower. Give it cores and memory, or one server for each group of tenants. Without it the scan answers,",
        "  up to a million chunks a tenant: 1.5 GB in each process.",
        "- **The provider** is the first to say no: compare the tokens a minute with the limit of your account. Then:",
        "  more from the cache, the small model first (notebook 08), another provider below (notebook 12).",
        "- **A person stays with one machine**: conversations, confirmations that wait, and running answers",
        "  are in files and memory of the machine that made them. The load balancer can choose by cookie or token.",
        "- **Bulk work** takes places from people. Run it at night, with a budget of its own (`feature:evals`,",
        "  `feature:triage`, `feature:ingest`), and on a Dask cluster where one machine is too slow.",
        "",
        "Latency: ours, in a live request, are the CPU above and, with Redis, some round trips on the network. The",
        "rest is the provider's time to the first token and its tokens a second. Nothing here can measure",
        "those for you.",
        "",
    ]
    return "\n".join(lines)


def write(found: Mapping[str, Any]) -> None:
    PAGE.write_text(page(found), encoding="utf-8")
