"""Two hundred messages without answers for the demo task message-tone, and what is right about them.

`data/tasks/message-tone.inputs.csv` is made by `python -m data.walkthrough`. The tones are for tests and measurements
alone: in the file there are none.
"""

import random

# What a message is about, in the words of someone who is pleased with it and of someone who is not.
_FRIENDLY = (
    ("The lamp you repaired", "shines as it did when my mother bought it"),
    ("Your note about the garden", "made me smile all morning"),
    ("The soup you left at the door", "was just what I needed"),
    ("The little coat you knitted", "fits the baby perfectly"),
    ("That book you lent me", "kept me awake until two, in the best way"),
    ("The map you drew for us", "brought us straight to the lake"),
    ("Your old bicycle", "is the best thing that happened to my way to work"),
    ("The music at the party", "had everybody dancing, even my uncle"),
    ("The spare key you hid", "saved our evening"),
    ("The photo from the pier", "hangs over my desk now"),
    ("The tomatoes from your greenhouse", "taste like the ones from my childhood"),
    ("Your speech on Friday", "found exactly the right words"),
    ("The bench you built", "is where we have our tea every day"),
    ("The puppy", "sleeps next to your slippers whenever you are away"),
    ("The lift you gave me", "got me to the station with a minute to spare"),
    ("The jam from your plums", "was gone by breakfast"),
    ("Your advice about the roof", "worked at once"),
    ("The card from the whole team", "is still standing on the shelf"),
    ("The window you cleaned for Granny", "lets the sun in again, she says"),
    ("Your course on Tuesdays", "is what I look forward to most"),
)
_ANGRY = (
    ("The washing machine you delivered", "has a dent and leaks all over my floor"),
    ("Your dog", "has dug up my beds for the fourth time"),
    ("The invoice you sent", "charges me for work that nobody did"),
    ("The drilling at six in the morning", "has to end today"),
    ("The seat I paid for", "was given to somebody else without a word"),
    ("Your driver", "threw my package over the fence and broke it"),
    ("The refund you promised in March", "is still not on my account"),
    ("The car in front of my gate", "is yours again, and I have had enough"),
    ("The hotline", "let me wait an hour and then hung up"),
    ("The room you let us", "stank of smoke and had no heating"),
    ("The rubbish from your party", "is still lying in our stairwell"),
    ("The photos you took at our wedding", "are blurred, every single one"),
    ("The contract I cancelled", "was renewed behind my back"),
    ("Your so-called repair", "made the noise twice as loud"),
    ("The form you want from me", "has been sent to you three times already"),
    ("The curtains you sold me", "shrank to half their length in one wash"),
    ("The bus that should have come", "drove past us with empty seats"),
    ("Your builder", "painted over the mould and called it done"),
    ("The password you locked", "keeps me from my own money for a week now"),
    ("The table by the toilets", "was an insult after we had booked by the window"),
)
_FRIENDLY_ENDS = ("Thank you!", "Come by for cake soon.", "You are a treasure.", "", "Hugs from all of us.")
_ANGRY_ENDS = ("This is the last time I ask.", "I want an answer today.", "Shame on you.", "", "Never again.")


def messages() -> list[tuple[str, str]]:
    """Return two hundred messages with their tones, in a fixed order in which the tones are mixed."""
    made = [
        (f"{subject} {rest}. {end}".strip(), tone)
        for tone, parts, ends in (("friendly", _FRIENDLY, _FRIENDLY_ENDS), ("angry", _ANGRY, _ANGRY_ENDS))
        for subject, rest in parts
        for end in ends
    ]
    random.Random(7).shuffle(made)
    return made
