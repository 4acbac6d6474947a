"""E-mails of customers to a shop."""

from datetime import timedelta
from random import Random

from data.made_texts import Row
from data.made_texts.noise import NUMBERS, day, typed, written_day

_PRODUCTS = (
    "coffee grinder",
    "garden chair",
    "desk lamp",
    "rain jacket",
    "bread knife",
    "tent",
    "bicycle bell",
    "tea kettle",
    "wool blanket",
    "suitcase",
    "alarm clock",
    "sewing machine",
    "bookshelf",
    "frying pan",
    "violin case",
    "head torch",
)
_NAMES = (
    "Mara Olsen",
    "Tom Achterberg",
    "Ines Duarte",
    "Piotr Zielinski",
    "Aoife Byrne",
    "Jonas Keller",
    "Lena Marković",
    "Sam Whitfield",
    "Noor Haddad",
    "Elif Kaya",
    "Hugo Blanc",
    "Ruth Ferguson",
    "Oskar Lind",
    "Chiara Conti",
)
_PROBLEMS = {
    "damaged": (
        "The {p} came with a crack.",
        "When I opened the box, the {p} was broken.",
        "My {p} is scratched all over.",
        "The {p} arrived in two pieces.",
    ),
    "missing part": (
        "The screws for the {p} were not in the box.",
        "A part of the {p} is missing.",
        "The {p} came without its lid.",
        "I cannot use the {p}, since the manual and one piece were left out.",
    ),
    "wrong item": (
        "I ordered a {p} and got something else.",
        "This is not the {p} that I chose, the colour is another one.",
        "You sent me the wrong {p}.",
        "In the parcel was the large model of the {p} and not the small one.",
    ),
    "late": (
        "I am still waiting for my {p}.",
        "The {p} should have been here last week.",
        "Where is my {p}?",
        "The {p} has not come yet.",
    ),
    "not working": (
        "The {p} does not work any more.",
        "After two days the {p} stopped.",
        "My {p} does nothing at all.",
        "I tried everything, but the {p} will not do its job.",
    ),
}
_WISHES = {
    "refund": (
        "I would like my money back.",
        "Please pay back what I paid.",
        "A refund would be best.",
        "Kindly return the money to my card.",
    ),
    "replacement": (
        "Please send me a new one.",
        "Could I get another one?",
        "I would like it to be replaced.",
        "Send me one that is all right, please.",
    ),
    "repair": (
        "Can you mend it?",
        "I would rather have it repaired.",
        "Please tell me where I can have it fixed.",
        "Could somebody put it right?",
    ),
    "information": (
        "Please tell me what to do.",
        "Can you say what happens now?",
        "Let me know how this goes on.",
        "I would just like to know more.",
    ),
}
_BESIDE = (
    "I have been a customer for {} years.",
    "My neighbour has the same one and is happy.",
    "You can call me after {} o'clock.",
    "It was a present for my sister.",
    "The box itself looked fine.",
    "My last order, of {} towels, was perfect.",
    "I do not need the {} vouchers that you sent.",
    "I have kept the parcel.",
    "The driver was friendly, by the way.",
    "This is my {}nd e-mail about it.",
    "I am not angry, only surprised.",
)


def mail(random: Random) -> Row:
    """Return an e-mail with its fields."""
    product = random.choice(_PRODUCTS)
    problem = random.choice(tuple(_PROBLEMS))
    wish = random.choice([one for one in _WISHES if one != "repair" or problem in ("damaged", "not working")])
    order = None if random.random() < 0.15 else _order(random)
    bought = None if random.random() < 0.35 else day(random, 2025, 2026)
    quantity = 1 if random.random() < 0.7 else random.randint(2, 6)
    name = None if random.random() < 0.2 else random.choice(_NAMES)
    said = random.choice(_PROBLEMS[problem]).format(p=product)
    facts = [random.choice(_WISHES[wish])]
    if order is not None:
        facts.append(
            random.choice(
                (f"Order {order}.", f"My order number is {order}.", f"It is about order no. {order}.", f"({order})")
            )
        )
    if bought is not None:
        when = written_day(random, bought)
        facts.append(random.choice((f"I bought it on {when}.", f"Bought {when}.", f"I placed the order on {when}.")))
        if random.random() < 0.3:  # a second date, which is not the one that is asked for
            facts.append(
                f"I first wrote to you on {written_day(random, bought + timedelta(days=random.randint(5, 40)))}."
            )
    if quantity > 1:
        number = random.choice((str(quantity), NUMBERS[quantity]))
        facts.append(
            random.choice(
                (f"I ordered {number} of them.", f"There were {number} in my order.", f"{number.capitalize()} pieces.")
            )
        )
    for line in random.sample(_BESIDE, random.randint(0, 2)):
        facts.append(line.replace("{}", "2" if "{}nd" in line else str(random.randint(2, 9))))
    random.shuffle(facts)
    facts.insert(random.randint(0, min(1, len(facts))), said)
    greeting = random.choice(("", "Hello,", "Dear team,", "Hi there,", "Good morning,", "To whom it may concern,"))
    end = ""
    if name is not None:
        end = random.choice(
            (f"Best wishes, {name}", f"Yours, {name}", f"{name}", f"Thanks, {name}", f"Kind regards {name}")
        )
        if random.random() < 0.2:
            greeting, end = f"Hello, this is {name}.", ""
    text = " ".join(part for part in (greeting, *facts, end) if part)
    output = {
        "order": order,
        "product": product,
        "quantity": quantity,
        "problem": problem,
        "wish": wish,
        "bought_on": None if bought is None else bought.isoformat(),
        "name": name,
    }
    return Row(typed(random, text, tuple(part for part in (order, product, name) if part)), output)


def _order(random: Random) -> str:
    return random.choice(
        (
            f"{random.randint(10_000, 99_999)}",
            f"A-{random.randint(1000, 9999)}",
            f"#{random.randint(100_000, 999_999)}",
            f"{random.choice('KLMN')}{random.randint(100, 999)}/{random.randint(10, 99)}",
        )
    )
