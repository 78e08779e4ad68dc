"""Speak the calls of `data/audio/truth.yaml` into `data/audio/*.wav`: `python data/make_calls.py [id ...]`.

Needs the program `flite` (Debian package: flite), whose voices `slt` and `rms` sound most like what the stand-in's
speech recogniser was trained on. The same flite gives the same bytes.

A call has two channels, as the recordings of telephone systems often have: the customer left, the agent right. So
nobody has to guess who speaks. 16 kHz with 8 bit: half the bytes of 16 bit, for a few more words misheard (measured in
`benchmarks/calls.py`).
"""

import argparse
import io
import subprocess
import sys
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
import yaml

AUDIO = Path(__file__).parent / "audio"
CHANNELS = {"customer": 0, "agent": 1}
RATE = 16_000
STRETCH = 1.15  # the recogniser errs more on the voices' normal speed
PAUSE = 0.1  # seconds of silence between two lines, and at both ends; flite adds 0.2 on each side of a line
PEAK = 0.9  # of full scale


def speak(text: str, voice: str) -> np.ndarray:
    """One line: samples between -1 and 1 at `RATE`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "line.wav"
        spoken = ["flite", "-voice", voice, "--setf", f"duration_stretch={STRETCH}", "-t", text, "-o", str(path)]
        subprocess.run(spoken, check=True, capture_output=True)
        with wave.open(str(path)) as file:
            if file.getframerate() != RATE:
                raise SystemExit(f"flite's voice {voice} speaks at {file.getframerate()} Hz; {RATE} is needed.")
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return samples / np.abs(samples).max() * PEAK


def perform(call: dict[str, Any]) -> np.ndarray:
    """A call: samples between -1 and 1, of shape (frames, 2)."""
    pause = np.zeros((round(PAUSE * RATE), 2))
    parts = [pause]
    for speaker, text in call["lines"]:
        samples = speak(text, call["voices"][speaker])
        both = np.zeros((len(samples), 2))
        both[:, CHANNELS[speaker]] = samples
        parts += [both, pause]
    return np.concatenate(parts)


def wav(samples: np.ndarray) -> bytes:
    """A WAV file with 8 bit."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(1)
        file.setframerate(RATE)
        file.writeframes(np.round(samples * 127 + 128).astype("u1").tobytes())
    return made.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("ids", nargs="*", help="only these calls")
    wanted = parser.parse_args().ids
    for call in yaml.safe_load((AUDIO / "truth.yaml").read_text(encoding="utf-8")):
        if not wanted or call["id"] in wanted:
            made = wav(perform(call))
            (AUDIO / f"{call['id']}.wav").write_bytes(made)
            print(f"{call['id']}.wav: {len(made) / 1e6:.2f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
