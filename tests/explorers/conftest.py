"""What the tests of the chapters' explorers share."""

import pytest
import torch


@pytest.fixture
def without_grid(monkeypatch):
    """A function from an explorer's maker to its controls and its answers to lists of states.

    No grid is computed: the book's build computes the whole ones.
    """

    def made_by(make, *networks):
        made = []
        monkeypatch.setattr(
            f"{make.__module__}.Explorer",
            lambda _, controls, answers, *page, **door: made.append((controls, answers)),
        )
        make(*networks)
        ((controls, answers),) = made
        return controls, answers

    return made_by


@pytest.fixture
def answer_of(without_grid):
    """A function from an explorer's maker to one from a state's changes to its answer."""

    def made_by(make, *networks):
        controls, answers = without_grid(make, *networks)
        first = {control.name: control.values[control.first] for control in controls}
        return lambda **changed: answers([first | changed])[0]

    return made_by


@pytest.fixture
def own_photo():
    return torch.rand(3, 60, 90, generator=torch.Generator().manual_seed(0))
