"""The explorers on the book's pages, and what they are made of.

Each function here returns the widget of one page, with its grid of answers already computed by
the same functions that the chapter uses. To make another explorer, write a list of `Control` and
a function from their values to an `Answer`.
"""

from deepinside.explorers.class_model import class_model_explorer
from deepinside.explorers.deconvnet import deconvnet_explorer
from deepinside.explorers.later_methods import later_methods_explorer
from deepinside.explorers.limits import limits_explorer
from deepinside.explorers.localization import localization_explorer, threshold_explorer
from deepinside.explorers.packing import Answer, Curve, Panel
from deepinside.explorers.saliency import saliency_explorer
from deepinside.explorers.soft_max import soft_max_explorer
from deepinside.explorers.widget import Control, Explorer

__all__ = [
    "Answer",
    "Control",
    "Curve",
    "Explorer",
    "Panel",
    "class_model_explorer",
    "deconvnet_explorer",
    "later_methods_explorer",
    "limits_explorer",
    "localization_explorer",
    "saliency_explorer",
    "soft_max_explorer",
    "threshold_explorer",
]
