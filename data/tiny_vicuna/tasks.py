"""Made-up tasks over the made-up world: a family that training draws from, and the tests' tasks that it never shows.

A task here can make inputs with their right answers; `documents.py` renders them through the project's own prompts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

from data.tiny_vicuna import world as w
from data.tiny_vicuna.world import Sentence, World

Make = Callable[[World, str | None], tuple[Sentence, str]]


@dataclass(frozen=True)
class MadeTask:
    """A task that can make pairs.

    :param make: draws an input and its right answer; for classification the label can be asked for
    :param remarks: for classification, what a talkative assistant says instead of each label
    :param brief: makes inputs of a word or two instead of sentences: many fit into one chat, which teaches what the
        words mean, and copying, several times faster
    """

    name: str
    kind: Literal["classification", "generation"]
    instruction: str
    labels: tuple[str, ...]
    make: Make
    remarks: dict[str, str]
    brief: Make | None = None


GOOD_WORDS = ("good", "positive", "happy", "praise", "liked", "pleased", "warm", "sweet", "cheer")
BAD_WORDS = ("bad", "negative", "sad", "blame", "disliked", "upset", "cold", "sour", "grumble")
YES_WORDS = ("yes", "true", "right", "present", "given")
NO_WORDS = ("no", "false", "wrong", "absent", "missing")
GAIN_WORDS = ("gain", "plus", "profit", "more", "win")
LOSS_WORDS = ("loss", "minus", "damage", "less", "fail")
EARLY_WORDS = ("early", "morning", "sunrise", "first")
LATE_WORDS = ("late", "evening", "sunset", "last")
TOPIC_WORDS: dict[str, tuple[str, ...]] = {
    "food": ("food", "meal", "kitchen"),
    "animal": ("animal", "beast", "creature"),
    "music": ("music", "sound", "concert"),
    "clothes": ("clothes", "garment", "wardrobe"),
    "tools": ("tools", "workshop", "craft"),
    "plants": ("plants", "flower", "nature"),
    "boats": ("boats", "water", "sailor"),
    "furniture": ("furniture", "house", "room"),
    "toys": ("toys", "play", "child"),
    "jewels": ("jewels", "treasure", "gold"),
}
# Combinations that only the tests' tasks use.
HELD_OUT_LABELS: tuple[frozenset[str], ...] = (frozenset(("cheer", "grumble")), frozenset(("win", "damage")))

_PLEASE = ("", "", "Please ", "Could you please ", "I would like you to ", "Kindly ")
_CLASSIFY = (
    "say whether {what}: {labels}.",
    "decide {what}. Answer with {labels}.",
    "tell me {what}, {labels}.",
    "read the sentence and choose {labels} for {what}.",
    "label the sentence by {what} with {labels}.",
    "mark {what} as {labels}.",
    "give one word for {what}: {labels}.",
)
_WHAT: dict[str, tuple[str, ...]] = {
    "topic": ("what the thing is", "the kind of thing", "what it is about", "the subject", "the group of the thing"),
    "opinion": ("the feeling", "what the person thinks", "how the thing was", "the opinion", "the mood"),
    "time": ("if a time is told", "whether we know when", "if there is a time"),
    "people": ("if there are two people", "whether somebody else is there", "if more than one person is named"),
    "place": ("if a place is told", "whether we know where", "if there is a place"),
    "change": ("what happened to the thing", "the result for the person", "how it went"),
    "moment": ("the time of the day", "when it happened", "the part of the day"),
}


def _sentence_case(text: str) -> str:
    return text[0].upper() + text[1:]


def _labels_text(labels: tuple[str, ...]) -> str:
    return ", ".join(labels[:-1]) + " or " + labels[-1]


def _topic_task(rng: Random, topics: tuple[str, ...], labels: tuple[str, ...]) -> tuple[Make, dict[str, str]]:
    by_label = dict(zip(labels, topics, strict=True))

    def make(world: World, label: str | None) -> tuple[Sentence, str]:
        label = label or world.rng.choice(labels)
        return world.event(topics=(by_label[label],)), label

    return make, {label: f"That is one of the {topic} things." for label, topic in by_label.items()}


_BRIEF: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "opinion": (w.GOOD, w.BAD),
    "change": (w.GAIN, w.LOSS),
    "moment": (w.EARLY, w.LATE),
}


def _brief_classification(words: dict[str, tuple[str, ...]]) -> Make:
    def make(world: World, label: str | None) -> tuple[Sentence, str]:
        label = label or world.rng.choice(list(words))
        return Sentence(f"{world.name()}, {world.rng.choice(words[label])}", talk=0.0), label

    return make


def _two_way(
    yes: str, no: str, sentence: Callable[[World, bool], Sentence], remarks: tuple[str, str]
) -> tuple[Make, dict[str, str]]:
    def make(world: World, label: str | None) -> tuple[Sentence, str]:
        label = label or world.rng.choice((yes, no))
        return sentence(world, label == yes), label

    return make, {yes: remarks[0], no: remarks[1]}


def _opinion(world: World, good: bool) -> Sentence:
    return world.opinion(good)


def _time(world: World, given: bool) -> Sentence:
    return world.event(time=given)


def _place(world: World, given: bool) -> Sentence:
    return world.event(place=given)


def _people(world: World, two: bool) -> Sentence:
    return world.rng.choice((world.meeting, world.gift))() if two else world.event()


def _change(world: World, gain: bool) -> Sentence:
    return world.event(verbs=w.GAIN if gain else w.LOSS)


def _moment(world: World, early: bool) -> Sentence:
    return world.event(time=True, times=w.EARLY if early else w.LATE)


_REMARKS: dict[str, tuple[str, str]] = {
    "opinion": ("The person seems to enjoy it.", "The person does not enjoy it."),
    "time": ("We are told about the day.", "Nobody tells us about the day."),
    "place": ("We are told about the spot.", "Nobody tells us about the spot."),
    "people": ("They are not alone.", "The person is alone."),
    "change": ("The person has it now.", "The person has it no longer."),
    "moment": ("The day is young.", "The day is over."),
}
_SENTENCES: dict[str, Callable[[World, bool], Sentence]] = {
    "opinion": _opinion,
    "time": _time,
    "place": _place,
    "people": _people,
    "change": _change,
    "moment": _moment,
}
_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "opinion": (GOOD_WORDS, BAD_WORDS),
    "time": (YES_WORDS, NO_WORDS),
    "place": (YES_WORDS, NO_WORDS),
    "people": (YES_WORDS, NO_WORDS),
    "change": (GAIN_WORDS, LOSS_WORDS),
    "moment": (EARLY_WORDS, LATE_WORDS),
}


def classification_task(rng: Random) -> MadeTask:
    """Draw a classification task of the training family."""
    subject = rng.choice(("topic", "topic", "opinion", "opinion", "change", "time", "place", "people", "moment"))
    while True:
        if subject == "topic":
            topics = tuple(rng.sample(list(w.TOPICS), rng.choice((2, 3, 3, 4))))
            labels = tuple(rng.choice(TOPIC_WORDS[topic]) for topic in topics)
            make, remarks = _topic_task(rng, topics, labels)
            words = {label: w.TOPICS[topic] for label, topic in zip(labels, topics, strict=True)}
        else:
            yes, no = (rng.choice(words) for words in _WORDS[subject])
            labels = (yes, no)
            make, remarks = _two_way(yes, no, _SENTENCES[subject], _REMARKS[subject])
            words = dict(zip(labels, _BRIEF.get(subject, ()), strict=False))
        if frozenset(labels) not in HELD_OUT_LABELS:
            break
    shown = list(labels)
    rng.shuffle(shown)
    what = rng.choice(_WHAT[subject])
    form = rng.choice(_CLASSIFY).format(what=what, labels=_labels_text(tuple(shown)))
    instruction = _sentence_case(rng.choice(_PLEASE) + form)
    brief = _brief_classification(words) if words else None
    return MadeTask(subject, "classification", instruction, tuple(shown), make, remarks, brief)


def _names(world: World) -> Sentence:
    slots = {name: world.name() for name in ("person", "other", "start")}
    return Sentence(", ".join(slots.values()), slots, talk=0.0)


_FRAMES: dict[str, tuple[tuple[str, ...], Callable[[World], Sentence]]] = {
    "event": (("person", "verb", "thing"), lambda world: world.event()),
    "event-time": (("person", "verb", "thing", "time"), lambda world: world.event(time=True)),
    "event-place": (("person", "verb", "thing", "place"), lambda world: world.event(place=True)),
    "gift": (("person", "other", "thing", "verb"), lambda world: world.gift()),
    "travel": (("person", "start", "end", "verb"), lambda world: world.travel()),
    "trade": (("person", "other", "thing", "number"), lambda world: world.trade()),
    "meeting": (("person", "other", "place"), lambda world: world.meeting()),
    "opinion": (("person", "thing", "adjective"), lambda world: world.opinion(world.rng.random() < 0.5)),
}
_LINK_WORDS = [
    "is",
    "with",
    "has",
    "the",
    "of",
    "and",
    "then",
    "so",
    "for",
    "from",
    "to",
    "by",
    "at",
    "on",
    "this",
    "that",
    "here",
    "there",
    "now",
    "who",
    "what",
    "when",
    "where",
    "after",
    "before",
    "was",
    "were",
    "did",
    "do",
    "say",
    "says",
    "told",
    "note",
    "report",
    "news",
    "ask",
    "tell",
    "keep",
    "take",
    "give",
    "name",
    "word",
    "story",
    "record",
    "list",
    "item",
    "entry",
    "person",
    "thing",
    "place",
    "time",
    "owner",
    "friend",
    "guest",
    "buyer",
    "maker",
    "one",
    "someone",
    "it",
    "all",
    "done",
    "ready",
    "open",
    "next",
    "again",
    "also",
    "only",
    "still",
    "today",
    "soon",
    "true",
    "sure",
    "known",
    "seen",
]
_SHAPES = (
    "{A} - {B}",
    "{A}, {B}",
    "{A} / {B} / {C}",
    "{w}: {A}, {w}: {B}",
    "{w}: {A}; {w}: {B}; {w}: {C}",
    "{w} {A} {w} {B}.",
    "{w} {w} {A} {w} {B}.",
    "{w} {w} {A} {w} {w} {B}.",
    "{A} {w} {B}.",
    "{A} {w} {w} {B}.",
    "{A} {w} {w} {B} {w} {C}.",
    "{w} {A} {w} {B} {w} {C}.",
    "{w} {w} {w} {A} {w} the {B}.",
    "the {w} of {A} is {B}.",
    "{w} is {A} and {w} is {B}.",
    "[{A}] {B}",
    "{A} ({B})",
    "{w} ({A}) {w} ({B})",
    "{w} {A}",
    "{w} {w} {A}.",
    "{A} {w} {w}.",
    "{w} {w} {w} {w} {A} {w} {B}.",
    "{B}? {A} {w}.",
    "{w} - {A} - {w} - {B}",
)
_REWRITE = (
    "rewrite the sentence as {what}.",
    "turn the sentence into {what}.",
    "make {what} from the sentence.",
    "write {what} for the sentence.",
    "put the sentence in the form of {what}.",
    "give {what} of what is said.",
    "read the sentence and write {what}.",
)
_FORMS = (
    "a note",
    "a short note",
    "a record",
    "a list",
    "an entry",
    "a line",
    "a report",
    "news",
    "another form",
    "a story",
)
_ABOUT: dict[str, str] = {
    "person": "who did it",
    "other": "who else was there",
    "thing": "the thing",
    "verb": "what was done",
    "time": "when",
    "place": "where",
    "start": "the start",
    "end": "the end",
    "number": "the coins",
    "adjective": "how it was",
}


def fill(template: str, slots: dict[str, str]) -> str:
    """Put the slots into an output form and begin it with a capital."""
    return _sentence_case(template.format(**slots))


def _generation(template: str, draw: Callable[[World], Sentence]) -> Make:
    def make(world: World, label: str | None) -> tuple[Sentence, str]:
        sentence = draw(world)
        return sentence, fill(template, sentence.slots)

    return make


def generation_task(rng: Random) -> MadeTask:
    """Draw a generation task of the training family: a frame, and an output form of random words around its slots."""
    frame = rng.choice(list(_FRAMES))
    names, draw = _FRAMES[frame]
    while True:
        shape = rng.choice(_SHAPES)
        if "{C}" in shape and len(names) < 3:
            continue
        chosen = rng.sample(names, 3)
        template = shape
        for letter, slot in zip("ABC", chosen, strict=True):
            template = template.replace("{" + letter + "}", "{" + slot + "}")
        while "{w}" in template:
            template = template.replace("{w}", rng.choice(_LINK_WORDS), 1)
        if template.lower() not in HELD_OUT_FORMS:
            break
    what = rng.choice(_FORMS)
    used = [slot for slot in chosen if "{" + slot + "}" in template]
    if rng.random() < 0.5:
        what += " about " + " and ".join(_ABOUT[slot] for slot in used)
    instruction = rng.choice(_PLEASE) + rng.choice(_REWRITE).format(what=what)
    brief_template = template
    for slot, name in zip(chosen, ("person", "other", "start"), strict=True):
        brief_template = brief_template.replace("{" + slot + "}", "{" + name + "!}")
    brief = _generation(brief_template.replace("!}", "}"), _names)
    return MadeTask(frame, "generation", _sentence_case(instruction), (), _generation(template, draw), {}, brief)


_DEMO_FORMS: dict[str, tuple[str, Callable[[World], Sentence]]] = {
    "who-has-it": ("it is true that {person} {verb} the {thing} {place}.", lambda world: world.event(place=True)),
    "thank-you": ("{other} thanks {person} for the {thing}.", lambda world: world.gift()),
    "who-was-there": ("{place} there was {person}.", lambda world: world.event(place=True)),
}
HELD_OUT_FORMS = frozenset(form for form, _ in _DEMO_FORMS.values())


def demo_tasks() -> list[MadeTask]:
    """The tests' tasks: instructions, label combinations and output forms that training never shows."""

    def two_way(name: str, subject: str, yes: str, no: str, instruction: str) -> MadeTask:
        make, remarks = _two_way(yes, no, _SENTENCES[subject], _REMARKS[subject])
        return MadeTask(name, "classification", instruction, (yes, no), make, remarks)

    def form(name: str, instruction: str) -> MadeTask:
        template, draw = _DEMO_FORMS[name]
        return MadeTask(name, "generation", instruction, (), _generation(template, draw), {})

    return [
        two_way(
            "cheer-or-grumble", "opinion", "cheer", "grumble", "Judge what is said of the thing: cheer or grumble."
        ),
        two_way("win-or-damage", "change", "win", "damage", "Choose win or damage for what happened."),
        two_way(
            "more-or-less", "people", "more", "less", "Is somebody else in the sentence? Answer with more or less."
        ),
        form("who-has-it", "Confirm what the sentence says, where it happened as well."),
        form("thank-you", "Write the thanks that the other person would say."),
        form("who-was-there", "Say at which place there was who."),
    ]
