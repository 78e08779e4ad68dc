"""Invented people and what they write to support: messages with personal data, and with what only looks like it.

Everything is drawn from a seed. Telephone numbers are valid ones of the US, Germany, Austria and the United Kingdom in
the ways in which people write them; cards and IBANs have their checksums right; the look-alikes do not, or are what a
shop writes all day: orders, parcels, dates, prices, tickets, versions.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote

import phonenumbers

from patterns.checked_numbers import luhn
from patterns.pii import Kind

FIRST = ("Anna", "Jonas", "Mehmet", "Grace", "Priya", "Luca", "Ewa", "Noah", "Zoë", "Björn", "Chloe", "Omar")
LAST = ("Huber", "O'Neil", "Schäfer", "Novak", "Lindqvist", "Okonjo", "Tanaka", "Meyer-Lange", "Silva", "Kim")
COUNTRIES = ("US", "DE", "AT", "GB")


@dataclass(frozen=True, slots=True)
class Planted:
    """`text[start:end]` is personal data of that kind, written as `value`."""

    kind: Kind
    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Said:
    text: str
    planted: tuple[Planted, ...]


class People:
    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)

    # values

    def email(self) -> str:
        first, last = self.draw.choice(FIRST), self.draw.choice(LAST)
        plain = str.maketrans("äöüëÄÖÜ", "aoueAOU")
        first, last = first.translate(plain), last.translate(plain).replace("'", "")
        name = self.draw.choice(
            (f"{first}.{last}", f"{first[0]}{last}{self.draw.randint(1, 99)}", f"{first}+shop", last)
        )
        host = self.draw.choice(("example.com", "mail.example.org", "inbox.example.net", "my-house.example.com"))
        return self.draw.choice((name.lower(), name)) + "@" + host

    def phone(self) -> str:
        country = self.draw.choice(COUNTRIES)
        number = _numbers(country)[self.draw.randrange(400)]
        formats = phonenumbers.PhoneNumberFormat
        national = phonenumbers.format_number(number, formats.NATIONAL)
        abroad = phonenumbers.format_number(number, formats.INTERNATIONAL)
        plain = phonenumbers.format_number(number, formats.E164)
        ways = [national, abroad, plain, f"00{plain[1:]}", abroad.replace(" ", "-"), abroad.replace(" ", ".")]
        if country == "US":
            digits = plain[2:]
            ways += [
                f"{digits[:3]}.{digits[3:6]}.{digits[6:]}",
                f"{digits[:3]}-{digits[3:6]}-{digits[6:]}",
                f"1 {national}",
            ]
            ways += [f"{digits[:3]} {digits[3:6]} {digits[6:]}", digits]
        else:
            ways += [
                national.replace(" ", ""),
                national.replace(" ", "/", 1),
                f"{abroad.split()[0]} (0) {abroad.split(' ', 1)[1]}",
            ]
        return self.draw.choice(ways)

    def card(self) -> str:
        start, length = self.draw.choice(
            (("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16))
        )
        digits = start + "".join(self.draw.choice("0123456789") for _ in range(length - 1 - len(start)))
        digits += next(last for last in "0123456789" if luhn(digits + last))
        sizes = (4, 6, 5) if length == 15 else (4, 4, 4, 4)
        return self._grouped(digits, sizes, self.draw.choice(("", " ", "-")))

    def iban(self) -> str:
        country, bank, length = self.draw.choice(
            (
                ("DE", "", 22),
                ("AT", "", 20),
                ("GB", "NWBK", 22),
                ("FR", "", 27),
                ("NL", "INGB", 18),
                ("CH", "", 21),
                ("ES", "", 24),
            )
        )
        account = bank + "".join(self.draw.choice("0123456789") for _ in range(length - 4 - len(bank)))
        check = 98 - int("".join(str(int(sign, 36)) for sign in f"{account}{country}00")) % 97
        iban = f"{country}{check:02}{account}"
        grouped = " ".join(iban[place : place + 4] for place in range(0, length, 4))
        return self.draw.choice((iban, grouped, grouped.replace(" ", "-"), iban.lower()))

    def ssn(self) -> str:
        area = self.draw.choice([number for number in range(1, 899) if number != 666])
        digits = f"{area:03}{self.draw.randint(1, 99):02}{self.draw.randint(1, 9999):04}"
        return self._grouped(digits, (3, 2, 4), self.draw.choice(("-", "-", " ", "")))

    def lookalike(self) -> str:
        draw = self.draw

        def digits(count: int) -> str:
            return "".join(draw.choice("0123456789") for _ in range(count))

        wrong_card = next(one for one in iter(lambda: "4" + digits(15), "") if not luhn(one))
        return draw.choice(
            (
                f"order {draw.choice('HKN')}-{digits(6)}",
                f"the HX-{draw.choice('TCDS')}{digits(3)} shows E-{digits(3)}",
                f"parcel {draw.choice(('TP', 'LE', 'NV'))}{digits(10)}",
                f"tracking number {digits(12)}",
                f"on 2026-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}",
                f"am {draw.randint(1, 28):02}.{draw.randint(1, 12):02}.2026 um {draw.randint(0, 23):02}:30",
                f"${draw.randint(1, 9)},{digits(3)}.{digits(2)}",
                f"{draw.randint(1, 9)}.{digits(3)},{digits(2)} €",
                f"ticket {digits(8)}",
                f"invoice no. 2026-{digits(6)}",
                f"firmware {draw.randint(1, 9)}.{draw.randint(0, 20)}.{digits(4)}",
                f"hub at 192.168.{draw.randint(0, 255)}.{draw.randint(1, 254)}",
                f"order number {wrong_card}",
                f"SKU {digits(5)}-{digits(4)}",
                f"serial number SN{digits(12)}",
                f"reference {digits(9)}",
                f"between {draw.randint(1, 12)} and {draw.randint(13, 30)} days, 24/7",
                f"@acme_help, {draw.randint(1, 99)} % off",
            )
        )

    def _grouped(self, digits: str, sizes: tuple[int, ...], gap: str) -> str:
        parts, start = [], 0
        for size in sizes:
            parts.append(digits[start : start + size])
            start += size
        return gap.join(parts)

    # what is said

    def kinds(self) -> dict[Kind, Callable[[], str]]:
        return {"email": self.email, "phone": self.phone, "card": self.card, "iban": self.iban, "ssn": self.ssn}

    def said(self) -> Said:
        """A message with one or two pieces of personal data among look-alikes."""
        makers = self.draw.choices(list(self.kinds().items()), k=self.draw.randint(1, 2))
        drawn: list[tuple[Kind, str]] = [(kind, make()) for kind, make in makers]
        parts = [self.draw.choice(_FRAMES[kind]).replace("{}", f"\0{place}\0") for place, (kind, _) in enumerate(drawn)]
        parts += [f"It is about {self.lookalike()}." for _ in range(self.draw.randint(1, 3))]
        self.draw.shuffle(parts)
        text, planted = " ".join(parts), []
        for place, (kind, value) in sorted(enumerate(drawn), key=lambda one: text.index(f"\0{one[0]}\0")):
            mark = f"\0{place}\0"
            before, after = text.split(mark)
            written = quote(value) if before.endswith("email=") else value
            written = json.dumps(written)[1:-1] if before.endswith('": "') else written
            planted.append(Planted(kind, written, len(before), len(before) + len(written)))
            text = before + written + after
        return Said(text, tuple(planted))


_FRAMES: dict[Kind, tuple[str, ...]] = {
    "email": (
        "Please write to {}.",
        "Meine Adresse ist {}, danke.",
        '{"contact": "{}"}',
        "I came from https://shop.example/reset?email={}&lang=en today.",
        "<{}> is where I want the invoice.",
        "mailto:{}",
    ),
    "phone": (
        "Call me at {} after six.",
        "Meine Nummer: {}.",
        '{"phone": "{}"}',
        "You reach me under {}, thanks.",
        "Tel. {}",
        "I live in Graz ({}).",
    ),
    "card": ("My card {} was charged twice.", "Karte: {}.", '{"card": "{}"}', "I paid with {}, twice."),
    "iban": ("Refund it to {}, please.", "Mein Konto: {}.", '{"iban": "{}"}', "IBAN {}"),
    "ssn": ("My SSN is {}.", "social security number {}", '{"ssn": "{}"}'),
}


@cache
def _numbers(country: str) -> tuple[phonenumbers.PhoneNumber, ...]:
    """400 valid numbers of a country, near the plan's own examples."""
    draw, found = random.Random(country), []
    kinds = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    made = (phonenumbers.example_number_for_type(country, kind) for kind in kinds)
    examples = [example for example in made if example]
    while len(found) < 400:
        number = phonenumbers.PhoneNumber()
        number.merge_from(draw.choice(examples))
        digits = str(number.national_number)
        number.national_number = int(digits[:-5] + "".join(draw.choice("0123456789") for _ in range(5)))
        if phonenumbers.is_valid_number(number):
            found.append(number)
    return tuple(found)
