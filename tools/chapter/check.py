"""Checks of *A new chapter*: the share of a map above half of its largest value."""

import torch

from deepinside.classroom.answers import Answer, Compared, Comparisons, Example, task
from deepinside.classroom.small_networks import drawn_image


def _share_example() -> Example:
    values = torch.tensor([[0.0, 1], [3, 4]])
    shown = "the values 0, 1, 3 and 4. Half of the largest is 2, and two of the four lie above it."
    return Example((values,), shown, 0.5)


@task(
    "new-chapter-share",
    points=1,
    minutes=10,
    example=_share_example,
    praise="The share of the values above half of the largest.",
)
def check_new_chapter_share(answer: Answer) -> Comparisons:
    """Check ``new_chapter_share(values)``.

    It should return the share of a map's values (H, W) that lie above half of the largest.
    """
    for size, power, seed in (((4, 6), 1, 1), ((5, 3), 3, 2)):
        values = drawn_image(*size, seed=seed) ** power
        above = values > values.max() / 2
        mistakes = {
            "This is the share *below* half of the largest value.": (~above).double().mean(),
            "This is a number of values. Divide by how many there are.": above.sum().double(),
            "This is the share above the mean. The task wants that above half of the largest.": (
                (values > values.mean()).double().mean()
            ),
        }
        yield Compared("the share", answer(values), above.double().mean().item(), mistakes)
