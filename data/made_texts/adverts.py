"""Adverts of flats, houses and rooms to rent."""

from random import Random

from data.made_texts import Row
from data.made_texts.noise import NUMBERS, day, typed, written_day

_CITIES = (
    "Leeds",
    "Ghent",
    "Porto",
    "Graz",
    "Turku",
    "Cork",
    "Lyon",
    "Brno",
    "Malmö",
    "Bath",
    "Utrecht",
    "Bergen",
    "Split",
    "Gdańsk",
    "Siena",
    "Aarhus",
    "Tartu",
    "Girona",
    "Basel",
    "Dundee",
)
_KINDS = {
    "flat": ("flat", "apartment", "studio flat", "two-storey flat", "top-floor flat", "flat in an old building"),
    "house": ("house", "terraced house", "cottage", "bungalow", "detached house", "farmhouse"),
    "room": ("room in a shared flat", "small room", "room with a family", "attic room", "room in a student house"),
}
_FEATURES = {
    "balcony": (
        "There is a balcony to the south.",
        "You can have breakfast on the balcony.",
        "With a balcony.",
        "The balcony looks onto the yard.",
    ),
    "garden": (
        "The garden is yours to use.",
        "Behind it lies a small garden.",
        "With a garden and an apple tree.",
        "The lawn and the flower beds are part of it.",
    ),
    "parking": (
        "A parking space is included.",
        "Your car stands in the garage.",
        "Parking right at the door.",
        "There is a place for your car in the yard.",
    ),
    "lift": (
        "The building has a lift.",
        "A lift goes to every floor.",
        "No stairs to climb, there is a lift.",
        "You go up by elevator.",
    ),
    "furnished": (
        "It comes furnished.",
        "The furniture stays.",
        "Bed, table and wardrobe are there.",
        "You need to bring no furniture.",
    ),
    "pets allowed": (
        "Cats and dogs are welcome.",
        "Pets are no problem.",
        "Your dog may move in too.",
        "We like animals, so bring yours.",
    ),
}
_BESIDE = (
    "The deposit is {}00 euros.",
    "It is on floor {} of 7.",
    "Viewing on Saturday at {} o'clock.",
    "Bus {} stops outside.",
    "Call 0555 {}41 {}20.",
    "Only {} minutes to the station.",
    "The last tenant stayed for {} years.",
    "Heating is about {}0 euros on top.",
    "No pets, please.",
    "There is no lift.",
    "Smokers are asked to go outside.",
    "Please write a few words about yourself.",
    "Without a garden, but the park is near.",
    "No agents.",
)
_ROOMS: dict[str, tuple[float, ...]] = {
    "flat": (1, 2, 3, 4, 1.5, 2.5, 3.5),
    "house": (3, 4, 5, 6, 3.5, 4.5),
    "room": (),
}
_ENDS = ("", "", "Interested? Write to us.", "First come, first served.", "Ask for Mrs Holm.", "Photos on request.")


def advert(random: Random) -> Row:
    """Return an advert with its fields."""
    kind = random.choice(tuple(_KINDS))
    city = random.choice(_CITIES)
    rent = _rent(random, kind)
    rooms = None if kind == "room" or random.random() < 0.15 else random.choice(_ROOMS[kind])
    size = None if random.random() < 0.3 else random.randint(11, 30) if kind == "room" else random.randint(28, 160)
    free = None if random.random() < 0.35 else day(random)
    features = random.sample(tuple(_FEATURES), random.choice((0, 1, 1, 2, 2, 3)))
    word = random.choice(_KINDS[kind])
    article = "an" if word[0] in "ao" else "a"
    opening = random.choice(
        (
            f"For rent in {city}: {article} {word}.",
            f"{city}, {word} to let.",
            f"We are letting {article} {word} in {city}.",
            f"{word.capitalize()} in {city} looking for somebody new.",
            f"Do you want to live in {city}? We have {article} {word}.",
            f"To let: {word}, {city}.",
            f"Our {word} in {city} becomes free.",
        )
    )
    parts = [_said_rent(random, rent)]
    if rooms is not None:
        parts.append(_said_rooms(random, rooms))
    if size is not None:
        parts.append(
            random.choice(
                (f"{size} m2.", f"It has {size} square metres.", f"{size} sqm of space.", f"About {size} m² in all.")
            )
        )
    if free is not None:
        when = written_day(random, free)
        parts.append(
            random.choice(
                (f"Free from {when}.", f"You can move in on {when}.", f"Available {when}.", f"From {when} on.")
            )
        )
    parts += [random.choice(_FEATURES[feature]) for feature in features]
    against = {"No pets, please.": "pets allowed", "There is no lift.": "lift"}
    against["Without a garden, but the park is near."] = "garden"
    beside = [line for line in _BESIDE if against.get(line) not in features]
    for line in random.sample(beside, random.randint(0, 3)):
        parts.append(line.replace("{}", str(random.randint(2, 9)), 1).replace("{}", str(random.randint(2, 9))))
    random.shuffle(parts)
    text = " ".join(part for part in (opening, *parts, random.choice(_ENDS)) if part)
    output = {
        "kind": kind,
        "city": city,
        "rent": rent,
        "rooms": rooms,
        "size": size,
        "free_from": None if free is None else free.isoformat(),
        "features": sorted(features),
    }
    return Row(typed(random, text, (city,)), output)


def _rent(random: Random, kind: str) -> float:
    low, high = {"room": (260, 640), "flat": (480, 1700), "house": (900, 2900)}[kind]
    rent = random.randint(low // 10, high // 10) * 10
    return rent + 9.5 if random.random() < 0.1 else rent


def _said_rent(random: Random, rent: float) -> str:
    plain = f"{rent:.2f}" if rent % 1 else f"{rent:.0f}"
    marked = f"{rent:,.2f}" if rent % 1 else f"{rent:,.0f}"
    number = random.choice((plain, marked))
    return random.choice(
        (
            f"The rent is {number} euros a month.",
            f"{number} EUR per month.",
            f"€{number} monthly.",
            f"Rent: {number} €.",
            f"We ask {number} euros a month for it.",
            f"It costs {number} euros each month, bills included.",
            f"{number} euros, to be paid on the first of each month.",
        )
    )


def _said_rooms(random: Random, rooms: float) -> str:
    number = f"{rooms:g}" if rooms % 1 or random.random() < 0.5 else NUMBERS[int(rooms)]
    more = "room" if rooms == 1 else "rooms"
    return random.choice(
        (
            f"It has {number} {more}.",
            f"{number.capitalize()} {more}, kitchen, bath.",
            f"There are {number} {more} to live in." if rooms != 1 else "There is 1 room to live in.",
            f"{number.capitalize()} {more} in all.",
        )
    )
