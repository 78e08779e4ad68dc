"""Days in a text: written out (`5 November`, `3.4.2026`), by weekday (`next Tuesday`, `am Donnerstag`), or by how far
away they are (`in two weeks`, `übermorgen`, `vor drei Tagen`).

`3/4/2026` is read as month/day (as day/month where there is no such month), `3.4.2026` as day.month. What has no year,
or only a weekday, is placed by what today is: a weekday is the first one after today (`last` the one before, `next
week` the one in the week after this), a day of a month the one nearest to today, a lone `the 5th` the coming one.
Without today, only full dates are read.
"""

import datetime as dt
import re
from collections.abc import Iterator

_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "mär": 3, "apr": 4, "may": 5, "mai": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9,
    "oct": 10, "okt": 10, "nov": 11, "dec": 12, "dez": 12,
}  # fmt: skip
_MONTH = (
    r"(?:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|märz|apr(?:il)?|may|mai|june?|juni|july?|juli|"
    r"aug(?:ust)?|sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?)\.?"
)
_DAYS = {
    "monday": 0, "tuesday": 1, "wednesday": 2, "thursday": 3, "friday": 4, "saturday": 5, "sunday": 6,
    "montag": 0, "dienstag": 1, "mittwoch": 2, "donnerstag": 3, "freitag": 4, "samstag": 5, "sonnabend": 5,
    "sonntag": 6,
}  # fmt: skip
_COUNTS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "twelve": 12, "fourteen": 14, "a couple of": 2, "a few": 3, "ein": 1, "eine": 1, "einem": 1, "einer": 1,
    "einen": 1, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6, "sieben": 7, "acht": 8, "neun": 9, "zehn": 10,
    "zwölf": 12, "vierzehn": 14, "ein paar": 3,
}  # fmt: skip
_NAMED = {
    "today": 0, "tonight": 0, "heute": 0, "tomorrow": 1, "morgen": 1, "day after tomorrow": 2, "übermorgen": 2,
    "yesterday": -1, "gestern": -1, "day before yesterday": -2, "vorgestern": -2, "in a fortnight": 14,
    "next week": 7, "nächste woche": 7, "nächster woche": 7, "kommende woche": 7, "last week": -7, "letzte woche": -7,
}  # fmt: skip
_DATE = re.compile(
    rf"\b(?P<y>\d{{4}})-(?P<m>\d\d)-(?P<d>\d\d)(?:[T ](?P<t>\d\d:\d\d(?::\d\d)?))?|"
    rf"\b(?P<d2>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?P<m2>{_MONTH})(?:,?\s+(?P<y2>\d{{4}}))?\b|"
    rf"\b(?P<m3>{_MONTH})\s+(?:the\s+)?(?P<d3>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s+(?P<y3>\d{{4}}))?|"
    r"\b(?P<d4>\d{1,2})\.(?P<m4>\d{1,2})\.(?:(?P<y4>\d{4})\b|(?!\d))|"
    r"\b(?P<m5>\d{1,2})/(?P<d5>\d{1,2})/(?P<y5>\d{4})\b",
    re.IGNORECASE,
)
_WEEKDAY = "|".join(_DAYS)
_COUNT = r"\d{1,3}|" + "|".join(sorted(map(re.escape, _COUNTS), key=len, reverse=True))
_UNIT = r"days?|tag(?:en?)?|weeks?|wochen?|fortnights?|months?|monat(?:en?)?|years?|jahr(?:en?)?"
_AWAY = re.compile(
    rf"\b(?:(?P<week>next week|nächste[rn]? woche|kommende[rn]? woche)(?: on| am)? (?P<day1>{_WEEKDAY})|"
    rf"(?:(?P<last>last|past|letzte[nrm]?|vergangene[nrm]?) )?"
    rf"(?:(?:next|this|coming|nächste[nrm]?|kommende[nrm]?|diese[nrm]?) )?"
    rf"(?P<day2>{_WEEKDAY})(?P<after> next week| nächste[rn]? woche| in (?:a|one|einer) (?:week|woche))?|"
    rf"(?P<ago1>vor|in|within|innerhalb von) (?P<n1>{_COUNT}) (?P<unit1>{_UNIT})(?: time)?|"
    rf"(?P<n2>{_COUNT}) (?P<unit2>{_UNIT}) (?P<ago2>ago|from (?:now|today)|later|hence)|"
    rf"(?P<month>next month|nächste[nrm]? monat|kommende[nrm]? monat)|"
    rf"(?P<weekend>weekend|wochenende)|"
    rf"(?:(?:by|on|until|before|from) the|zum|am) (?P<of>\d{{1,2}})(?:st|nd|rd|th|(?=\.))(?!\.\d|\.?\s+{_MONTH})|"
    rf"(?<!guten )(?<!am )(?<!jeden )"
    rf"(?P<named>{'|'.join(sorted(_NAMED, key=len, reverse=True))})(?! in (?:{_COUNT}) (?:{_UNIT})))\b",
    re.IGNORECASE,
)


def stated_today(text: str) -> dt.date | None:
    """The date that a text gives for today, or None."""
    said = re.search(
        r"\b(?:today|heute|current date|now|datum)\b(?:'s date)?\W{0,4}(?:is|ist|date is)?\W{0,3}"
        r"(?:[^\W\d]+day,?\s|[^\W\d]+(?:tag|woch|abend),?\s(?:der |den )?)?(\d{4})-(\d\d)-(\d\d)",
        text,
        re.IGNORECASE,
    )
    return _day(int(said[1]), int(said[2]), int(said[3])) if said else None


def days(text: str, today: dt.date | None) -> Iterator[tuple[str, str, int]]:
    """Every day that a text names: its words, ISO 8601 (with the time when it stands beside it), where it starts."""
    taken: list[tuple[int, int]] = []
    for one in _DATE.finditer(text):
        part = one.groupdict()
        year, month, number = (
            next((part[f"{key}{at}"] for at in ("", 2, 3, 4, 5) if part.get(f"{key}{at}")), "") for key in "ymd"
        )
        month = int(month) if month.isdigit() else _MONTHS.get(month.lower()[:3], 0)
        if part["m5"] and month > 12:  # 13/4/2026 can only be the other order
            month, number = int(number), str(month)
        if day := _day(int(year), month, int(number)) if year else _nearest(month, int(number), today):
            taken.append(one.span())
            yield one[0], day.isoformat() + (f"T{part['t']}" if part["t"] else ""), one.start()
    for one in _AWAY.finditer(text) if today else ():
        inside = any(low <= one.start() < high for low, high in taken)
        if not inside and today and (day := _away(one, today)):
            yield one[0], day.isoformat(), one.start()


def _away(said: re.Match[str], today: dt.date) -> dt.date | None:
    """The day that a match of `_AWAY` means."""
    part = {name: text.lower() for name, text in said.groupdict().items() if text}
    if "named" in part:
        return today + dt.timedelta(_NAMED[part["named"]])
    if "weekend" in part:
        return today + dt.timedelta((5 - today.weekday()) % 7)
    if "month" in part:
        return _months(today, 1)
    if "of" in part:
        this = _day(today.year, today.month, int(part["of"]))
        first = _months(today.replace(day=1), 1)
        return this if this and this > today else _day(first.year, first.month, int(part["of"]))
    if "day1" in part or "day2" in part:
        number = _DAYS[part.get("day1") or part["day2"]]
        if "week" in part or "next" in (after := part.get("after", "")) or "nächste" in after:
            return today + dt.timedelta(7 - today.weekday() + number)
        if "last" in part:
            return today - dt.timedelta((today.weekday() - number - 1) % 7 + 1)
        return today + dt.timedelta((number - today.weekday() - 1) % 7 + 1 + 7 * bool(after))
    count, unit = part.get("n1") or part["n2"], part.get("unit1") or part["unit2"]
    back = part.get("ago1") == "vor" or part.get("ago2") == "ago"
    number = (int(count) if count.isdigit() else _COUNTS[count]) * (-1 if back else 1)
    if unit.startswith(("month", "monat", "year", "jahr")):
        return _months(today, number * (1 if unit.startswith("mon") else 12))
    return today + dt.timedelta(number * (14 if unit.startswith("fort") else 7 if unit.startswith("w") else 1))


def _months(day: dt.date, number: int) -> dt.date:
    """The same day so many months on, or the last one of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 + number, 12)
    return next(found for back in range(4) if (found := _day(year, month + 1, day.day - back)))


def _nearest(month: int, number: int, today: dt.date | None) -> dt.date | None:
    """The day of a month in the year that brings it nearest to today."""
    if today is None:
        return None
    years = [_day(today.year + more, month, number) for more in (0, 1, -1)]
    return min((day for day in years if day), key=lambda day: abs((day - today).days), default=None)


def _day(year: int, month: int, number: int) -> dt.date | None:
    try:
        return dt.date(year, month, number)
    except ValueError:
        return None
