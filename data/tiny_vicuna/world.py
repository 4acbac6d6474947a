"""A small made-up world: people, things, places, opinions and times, and the sentences that can be said of them.

Knows nothing of tasks, prompts or models. Every draw comes from the `random.Random` that is passed in.
"""

import hashlib
from dataclasses import dataclass, field
from random import Random

TOPICS: dict[str, tuple[str, ...]] = {
    "food": ("bread", "soup", "cake", "cheese", "rice", "pie", "apple", "honey", "pepper", "butter", "stew", "jam"),
    "animal": ("horse", "goat", "fox", "owl", "sheep", "dog", "cat", "hen", "pig", "duck", "crow", "hare"),
    "music": (
        "drum",
        "flute",
        "harp",
        "violin",
        "horn",
        "bell",
        "guitar",
        "song",
        "piano",
        "whistle",
        "fiddle",
        "choir",
    ),
    "clothes": ("coat", "scarf", "boots", "shirt", "glove", "belt", "dress", "sock", "cap", "robe", "sandals", "apron"),
    "tools": ("hammer", "saw", "nail", "axe", "rope", "shovel", "drill", "wrench", "chisel", "bucket", "rake", "spade"),
    "plants": ("rose", "tulip", "fern", "oak", "moss", "ivy", "daisy", "willow", "lily", "clover", "pine", "thistle"),
    "boats": ("raft", "canoe", "ferry", "sail", "anchor", "oar", "mast", "rudder", "barge", "kayak", "dinghy", "yacht"),
    "furniture": (
        "chair",
        "table",
        "bed",
        "shelf",
        "desk",
        "lamp",
        "stool",
        "bench",
        "mirror",
        "sofa",
        "cradle",
        "carpet",
    ),
    "toys": ("doll", "kite", "puzzle", "marble", "puppet", "balloon", "swing", "top", "dice", "hoop", "yoyo", "rattle"),
    "jewels": (
        "ring",
        "crown",
        "necklace",
        "pearl",
        "ruby",
        "brooch",
        "bracelet",
        "diamond",
        "locket",
        "emerald",
        "pin",
        "amber",
    ),
}
TOPIC_OF: dict[str, str] = {thing: topic for topic, things in TOPICS.items() for thing in things}

GOOD = (
    "lovely",
    "wonderful",
    "splendid",
    "delightful",
    "superb",
    "charming",
    "perfect",
    "pleasant",
    "excellent",
    "fine",
)
BAD = ("awful", "dreadful", "horrible", "terrible", "ugly", "nasty", "useless", "boring", "poor", "dull")
NEUTRAL = ("old", "small", "red", "heavy", "green", "long", "wooden", "blue", "round", "new", "white", "tiny")

GAIN = ("found", "bought", "received", "won", "collected", "earned")
LOSS = ("lost", "dropped", "broke", "forgot", "sold", "wasted")
PLAIN = ("saw", "carried", "painted", "washed", "moved", "drew")

SPOTS = ("river", "bridge", "market", "tower", "harbor", "mill", "school", "forest", "well", "gate", "garden", "hill")
SPOT_WORDS = ("near", "behind", "beside", "by")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MOMENTS = (
    "in the morning",
    "at dawn",
    "after breakfast",
    "at noon",
    "in the evening",
    "at night",
    "after supper",
    "at dusk",
)
EARLY = ("in the morning", "at dawn", "after breakfast")
LATE = ("in the evening", "at night", "after supper", "at dusk")
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")

# How a sentence may open or end in the manner of talk, and how often an assistant then answers with talk of its own.
OPENERS: dict[str, float] = {
    "Hey, ": 0.85,
    "Listen, ": 0.8,
    "Oh, ": 0.7,
    "You know, ": 0.65,
    "By the way, ": 0.6,
    "Well, ": 0.5,
}
ENDINGS: dict[str, float] = {", you see.": 0.75, ", I think.": 0.65, ", they say.": 0.5}
PLAIN_TALK = 0.04

_ONSETS = ("b", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "st", "kr")
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("", "", "n", "l", "r", "s", "k", "m")


def held_out(name: str) -> bool:
    """Whether a name is kept for the tests' tasks (one in eight, by hash), so that they are about people never met."""
    return hashlib.sha256(name.encode()).digest()[0] < 32


def make_name(rng: Random, unseen: bool) -> str:
    """Draw a name of two or three syllables; `unseen` chooses the ones that training never shows."""
    while True:
        syllables = rng.choice((2, 2, 2, 3))
        name = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables)) + rng.choice(_CODAS)
        if held_out(name) == unseen:
            return name.capitalize()


@dataclass(frozen=True)
class Sentence:
    """One thing said.

    :param slots: its parts by name (`person`, `thing`, `place`, ...), as they stand in the text
    :param talk: how likely an assistant is to answer it with talk
    """

    text: str
    slots: dict[str, str] = field(default_factory=dict)
    talk: float = PLAIN_TALK


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


class World:
    """Draws sentences.

    :param rng: where all chance comes from
    :param unseen: whether names are those that training never shows
    :param talk_share: share of sentences in the manner of talk
    """

    def __init__(self, rng: Random, unseen: bool = False, talk_share: float = 0.5):
        self.rng = rng
        self.unseen = unseen
        self.talk_share = talk_share

    def name(self) -> str:
        """A person's or a town's name."""
        return make_name(self.rng, self.unseen)

    def thing(self, topics: tuple[str, ...] = tuple(TOPICS)) -> str:
        """A thing of one of the topics."""
        return self.rng.choice(TOPICS[self.rng.choice(topics)])

    def place(self) -> str:
        """A place with its preposition."""
        if self.rng.random() < 0.3:
            return f"in {self.name()}"
        return f"{self.rng.choice(SPOT_WORDS)} the {self.rng.choice(SPOTS)}"

    def time(self) -> str:
        """A time with its preposition."""
        return f"on {self.rng.choice(DAYS)}" if self.rng.random() < 0.5 else self.rng.choice(MOMENTS)

    def say(self, text: str, slots: dict[str, str]) -> Sentence:
        """Finish a sentence given without its full stop, in the manner of talk or plainly."""
        if self.rng.random() >= self.talk_share:
            return Sentence(_capital(text) + ".", slots)
        if self.rng.random() < 0.7:
            opener = self.rng.choice(list(OPENERS))
            return Sentence(f"{opener}{text}.", slots, OPENERS[opener])
        ending = self.rng.choice(list(ENDINGS))
        return Sentence(_capital(text) + ending, slots, ENDINGS[ending])

    def event(
        self,
        verbs: tuple[str, ...] = GAIN + LOSS + PLAIN,
        topics: tuple[str, ...] = tuple(TOPICS),
        time: bool | None = None,
        place: bool | None = None,
        times: tuple[str, ...] | None = None,
    ) -> Sentence:
        """Somebody did something with a thing; time and place as asked for, else by chance."""
        rng = self.rng
        slots = {"person": self.name(), "verb": rng.choice(verbs), "thing": self.thing(topics)}
        adjective = f"{rng.choice(NEUTRAL)} " if rng.random() < 0.3 else ""
        core = f"{slots['person']} {slots['verb']} the {adjective}{slots['thing']}"
        if place if place is not None else rng.random() < 0.5:
            slots["place"] = self.place()
            core += f" {slots['place']}"
        if time if time is not None else rng.random() < 0.5:
            slots["time"] = rng.choice(times) if times else self.time()
            core = f"{slots['time']} {core}" if rng.random() < 0.4 else f"{core} {slots['time']}"
        return self.say(core, slots)

    def gift(self) -> Sentence:
        """Somebody gave somebody a thing."""
        rng = self.rng
        slots = {
            "person": self.name(),
            "other": self.name(),
            "thing": self.thing(),
            "verb": rng.choice(("gave", "sent", "lent", "showed")),
        }
        thing = f"{rng.choice(NEUTRAL)} {slots['thing']}" if rng.random() < 0.3 else slots["thing"]
        if rng.random() < 0.5:
            core = f"{slots['person']} {slots['verb']} {slots['other']} {_article(thing)} {thing}"
        else:
            core = f"{slots['person']} {slots['verb']} {_article(thing)} {thing} to {slots['other']}"
        if rng.random() < 0.5:
            slots["time"] = self.time()
            core = f"{slots['time']} {core}" if rng.random() < 0.4 else f"{core} {slots['time']}"
        return self.say(core, slots)

    def travel(self) -> Sentence:
        """Somebody went from one town to another."""
        rng = self.rng
        slots = {
            "person": self.name(),
            "start": self.name(),
            "end": self.name(),
            "verb": rng.choice(("walked", "rode", "sailed", "went", "ran")),
        }
        if rng.random() < 0.6:
            core = f"{slots['person']} {slots['verb']} from {slots['start']} to {slots['end']}"
        else:
            core = f"{slots['person']} {slots['verb']} to {slots['end']} from {slots['start']}"
        if rng.random() < 0.4:
            slots["time"] = self.time()
            core = f"{slots['time']} {core}" if rng.random() < 0.4 else f"{core} {slots['time']}"
        return self.say(core, slots)

    def trade(self) -> Sentence:
        """Somebody bought a thing from somebody for some coins."""
        rng = self.rng
        slots = {"person": self.name(), "other": self.name(), "thing": self.thing(), "number": rng.choice(NUMBERS)}
        if rng.random() < 0.5:
            core = f"{slots['person']} bought the {slots['thing']} from {slots['other']} for {slots['number']} coins"
        else:
            core = f"for {slots['number']} coins {slots['person']} bought the {slots['thing']} from {slots['other']}"
        return self.say(core, slots)

    def meeting(self) -> Sentence:
        """Two people met somewhere."""
        rng = self.rng
        slots = {"person": self.name(), "other": self.name(), "place": self.place()}
        if rng.random() < 0.5:
            core = f"{slots['person']} met {slots['other']} {slots['place']}"
        else:
            core = f"{slots['place']} {slots['person']} met {slots['other']}"
        if rng.random() < 0.4:
            slots["time"] = self.time()
            core += f" {slots['time']}"
        return self.say(core, slots)

    def opinion(self, good: bool) -> Sentence:
        """Somebody thinks well or badly of a thing: plainly, by denying the opposite, or after a change of mind."""
        rng = self.rng
        right, wrong = (GOOD, BAD) if good else (BAD, GOOD)
        slots = {"person": self.name(), "thing": self.thing(), "adjective": rng.choice(right)}
        hardness = rng.random()
        if hardness < 0.6:
            verdict = slots["adjective"]
        elif hardness < 0.8:
            verdict = f"not {rng.choice(wrong)} but {slots['adjective']}"
        else:
            verdict = f"{rng.choice(wrong)} at first but {slots['adjective']} in the end"
        form = rng.random()
        if form < 0.4:
            core = f"{slots['person']} found the {slots['thing']} {verdict}"
        elif form < 0.7:
            core = f"the {slots['thing']} of {slots['person']} was {verdict}"
        else:
            core = f"{slots['person']} said the {slots['thing']} {self.place()} was {verdict}"
        return self.say(core, slots)
