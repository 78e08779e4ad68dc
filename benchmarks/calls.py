"""Ten calls of data/audio, heard and summed up: word error rate and exact fields of the summary.

Prompts and settings were chosen on five calls; the other five are reported apart. The voices are synthetic, slow and
without noise, and the recogniser is small: this shows the plumbing. Real recordings are far worse on it.
"""

import asyncio
from collections import defaultdict
from typing import Any

import yaml

from patterns import acme, models
from patterns.call_summary import summarise
from patterns.course import control
from patterns.transcription import transcribe
from patterns.word_errors import word_errors, words

from . import measure
from .measure import Entry


async def measured() -> list[Entry]:
    if control.has_dials():
        control.turn(time_to_first_token=0, tokens_per_second=1e6)  # its speed is not the question here
    folder = acme.data_folder() / "audio"
    scripts: list[dict[str, Any]] = yaml.safe_load((folder / "truth.yaml").read_text(encoding="utf-8"))
    spoken: dict[str, list[int]] = defaultdict(lambda: [0, 0])  # errors and words; by call, voice and part
    fields: dict[str, list[int]] = defaultdict(lambda: [0, 0])  # right and all; by part and field
    for script in scripts:
        transcript = await transcribe(folder / f"{script['id']}.wav")
        for speaker, voice in script["voices"].items():
            said = " ".join(text for who, text in script["lines"] if who == speaker)
            heard = " ".join(one.text for one in transcript.segments if one.speaker == speaker)
            for key in ("all", script["id"], voice, script["part"]):
                spoken[key][0] += word_errors(said, heard)
                spoken[key][1] += len(words(said))
        got = (await summarise(transcript)).output
        for name, value in script["summary"].items():
            right = got is not None and getattr(got, name) == (None if value == "none" else value)
            for key in ("all", script["part"], name):
                fields[key][0] += right
                fields[key][1] += 1
    await models.close()
    rate = {key: errors / count for key, (errors, count) in spoken.items()}
    exact = {key: right / count for key, (right, count) in fields.items()}
    calls = [rate[script["id"]] for script in scripts]
    heard = (
        f"{spoken['all'][1]} words; voices slt {rate['slt']:.3f}, rms {rate['rms']:.3f}; worst {max(calls):.2f}, by "
        f"call {' '.join(f'{one:.2f}' for one in calls)}; five calls held out {rate['held_out']:.3f}"
    )
    parts = ", ".join(f"{name} {exact[name]:.1f}" for name in scripts[0]["summary"])
    summed = f"{fields['all'][1]} fields: {parts}; develop {exact['develop']:.2f}, held out {exact['held_out']:.2f}"
    versions = measure.versions("pocketsphinx", "openai")
    return [
        Entry("calls", "word error rate on ten made calls", rate["all"], "≤ 0.2", {}, versions, heard),
        Entry("calls", "call summary fields exactly right", exact["all"], "≥ 0.8", {}, versions, summed),
        Entry("calls", "the same, of the calls held out", exact["held_out"], "≥ 0.8", {}, versions, ""),
    ]


def calls() -> list[Entry]:
    with measure.standin():
        return asyncio.run(measured())


PARTS = (calls,)
