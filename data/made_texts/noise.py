"""How facts are written: dates and numbers in several forms, and what people's typing does to a text."""

from datetime import date
from random import Random

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven")


def day(random: Random, first: int = 2026, last: int = 2027) -> date:
    """Return a day of one of the years."""
    return date(random.randint(first, last), random.randint(1, 12), random.randint(1, 28))


def written_day(random: Random, day_: date) -> str:
    """Return a day as people write it, with its year."""
    month = _MONTHS[day_.month - 1]
    number = day_.day
    ending = "th" if 10 < number < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return random.choice(
        (
            f"{number} {month} {day_.year}",
            f"{month} {number}, {day_.year}",
            f"{number:02}.{day_.month:02}.{day_.year}",
            day_.isoformat(),
            f"the {number}{ending} of {month} {day_.year}",
            f"{number} {month[:3]} {day_.year}",
            f"{month} {number}{ending} {day_.year}",
            f"{number}{ending} {month} {day_.year}",
        )
    )


def typed(random: Random, text: str, kept: tuple[str, ...]) -> str:
    """Return a text as somebody may have typed it, in about half of the cases as it was.

    :param kept: parts that stay as they are, since they must occur in the text
    """
    sort = random.random()
    if sort < 0.5:
        return text
    if sort < 0.65:
        return _in_lower_case(text, kept)
    if sort < 0.75:
        return text.replace(". ", " ").replace(", ", " ").rstrip(".")
    for _ in range(random.randint(1, 3)):
        text = _with_slip(random, text, kept)
    return text


def _in_lower_case(text: str, kept: tuple[str, ...]) -> str:
    """Return a text with everything in lower case but the parts that are kept."""
    lower = text.lower()
    for part in kept:
        at = text.find(part)
        if at >= 0:
            lower = lower[:at] + part + lower[at + len(part) :]
    return lower


def _with_slip(random: Random, text: str, kept: tuple[str, ...]) -> str:
    """Return a text in which two letters of a longer word are swapped, or one is missing."""
    words = text.split(" ")
    places = [
        at
        for at, word in enumerate(words)
        if len(word) > 5 and word.isalpha() and not any(word in part for part in kept)
    ]
    if not places:
        return text
    at = random.choice(places)
    word, place = words[at], random.randint(1, len(words[at]) - 3)
    if random.random() < 0.5:
        words[at] = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    else:
        words[at] = word[:place] + word[place + 1 :]
    return " ".join(words)
