"""Screenshots of errors in Acme's apps, light and dark, with the codes of world.yaml."""

from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw

from .paper import BOLD, SANS, font

WIDTH, HEIGHT = 640, 1_136
SEVERITIES = ("low", "medium", "high", "critical")
# code, screen, what the app says, severity as the screen words it
SHOWN = (
    ("E-101", "Add device", "No Wi-Fi network was found. Use a 2.4 GHz network.", "low"),
    ("E-117", "Devices", "The hub lost its connection to the cloud.", "high"),
    ("E-207", "Thermostat", "The reading is outside the temperature range.", "medium"),
    ("E-310", "Recordings", "Storage is full. New clips are not saved.", "medium"),
    ("E-500", "Firmware update", "The update failed and was rolled back.", "critical"),
    ("K-01", "Brew", "The water tank is empty or not seated.", "low"),
    ("K-09", "Brew", "The brew group is blocked.", "high"),
    ("K-30", "Air fryer", "The basket is not closed.", "low"),
    ("K-33", "Air fryer", "The heater failed and needs a repair.", "critical"),
    ("F-03", "Dashboard", "The display has no contact to the motor.", "critical"),
    ("F-14", "Charging", "The battery is too cold to charge.", "medium"),
    ("F-51", "Theft tracker", "No GPS or network signal.", "high"),
)


@dataclass(frozen=True, slots=True)
class Screen:
    """One screenshot; `dark` is its theme."""

    id: str
    app: str
    code: str
    screen: str
    message: str
    severity: str
    dark: bool

    def truth(self) -> dict[str, Any]:
        return {
            "app": self.app,
            "screen": self.screen,
            "error_code": self.code,
            "message": self.message,
            "severity": self.severity,
        }


def screens(tenants: dict[str, dict[str, Any]]) -> list[Screen]:
    found = []
    for number, (code, screen, message, severity) in enumerate(SHOWN, 1):
        app = next(facts["name"] for facts in tenants.values() if code in facts["errors"])
        found.append(Screen(f"screen-{number:02d}", app, code, screen, message, severity, number % 2 == 0))
    return found


def draw(one: Screen) -> Image.Image:
    paper, ink, soft, box = (24, 235, 150, 48) if one.dark else (250, 25, 110, 225)
    image = Image.new("L", (WIDTH, HEIGHT), paper)
    pen = ImageDraw.Draw(image)
    pen.text((24, 14), "09:41", fill=ink, font=font(BOLD, 20))
    pen.text((WIDTH - 24, 14), "82%", fill=ink, font=font(SANS, 20), anchor="ra")
    pen.text((WIDTH / 2, 70), f"{one.app} app", fill=ink, font=font(BOLD, 30), anchor="ma")
    pen.text((WIDTH / 2, 122), f"Screen: {one.screen}", fill=soft, font=font(SANS, 22), anchor="ma")
    pen.rounded_rectangle((36, 300, WIDTH - 36, 720), 24, fill=box)
    pen.text((72, 340), f"Error {one.code}", fill=ink, font=font(BOLD, 38))
    y = 420
    for row in _wrapped(one.message, 36):
        pen.text((72, y), row, fill=ink, font=font(SANS, 26))
        y += 40
    pen.text((72, 600), f"Severity: {one.severity}", fill=soft, font=font(SANS, 24))
    pen.text((72, 650), "Time: 2026-11-02 09:41", fill=soft, font=font(SANS, 24))
    for place, label in enumerate(("Try again", "Contact support")):
        top = 800 + 110 * place
        pen.rounded_rectangle((36, top, WIDTH - 36, top + 84), 20, outline=soft, width=3)
        pen.text((WIDTH / 2, top + 26), label, fill=ink, font=font(SANS, 28), anchor="ma")
    return image


def _wrapped(text: str, room: int) -> list[str]:
    rows = [""]
    for word in text.split():
        if len(rows[-1]) + len(word) > room:
            rows.append("")
        rows[-1] = f"{rows[-1]} {word}".strip()
    return rows
