"""Minimum Bayes risk: of several answers to one input, the one that is most like the others."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from selfguide_lite.metrics import rouge_l


def consensus_weights(texts: Sequence[str]) -> list[float]:
    """Return each sample's weight in the vote, such that the answer with the least expected loss wins.

    The loss of an answer is 1 - ROUGE-L against another sample, as every sample stands for what the model could have
    meant (Kumar and Byrne 2004; Eikema and Aziz 2022, arXiv 2108.04718). The winner's samples together weigh its mean
    ROUGE-L with the other samples, in 0..1, and the other samples share what is left to 1: so the mean likeness is the
    share in the view `vote`, which `min_vote_share` is held against. Where it is so small that another answer would
    outweigh it, the others weigh less.

    :param texts: the samples of one input, one at least, in the order in which they were drawn; of answers that are
        equally good the earliest wins
    """
    counts = Counter(texts)
    if len(counts) == 1:
        return [1 / len(texts)] * len(texts)
    likeness = {pair: rouge_l(pair[0], [pair[1]]) for pair in combinations(counts, 2)}

    def mean_likeness(text: str) -> float:
        others = sum(
            count * likeness[(text, other) if (text, other) in likeness else (other, text)]
            for other, count in counts.items()
            if other != text
        )
        return (others + counts[text] - 1) / (len(texts) - 1)

    means = {text: mean_likeness(text) for text in counts}
    # Sums of the same numbers in another order differ in the last digit; of those tied the earliest stands first.
    best = max(means, key=lambda text: round(means[text], 9))
    share = means[best]
    each = (1 - share) / (len(texts) - counts[best])
    # An answer that was drawn several times could outweigh a winner which is like few others: it never wins for that.
    capped = {text: each if each * count < share else share / (count + 1) for text, count in counts.items()}
    return [share / counts[best] if text == best else capped[text] for text in texts]
