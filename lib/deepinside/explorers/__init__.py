"""The explorers of the chapters, and what they are made of.

Each function here returns the widget that one chapter shows, with the answers to its grid
computed. What it shows is computed by the same helpers as the rest of the chapter. Another
explorer is a list of `Control` and a function from their values to an `Answer`.
"""

from deepinside.explorers.class_model import class_model_explorer
from deepinside.explorers.deconvnet import deconvnet_explorer
from deepinside.explorers.localization import localization_explorer
from deepinside.explorers.packing import Answer, Curve, Panel
from deepinside.explorers.saliency import saliency_explorer
from deepinside.explorers.widget import Control, Explorer

__all__ = [
    "Answer",
    "Control",
    "Curve",
    "Explorer",
    "Panel",
    "class_model_explorer",
    "deconvnet_explorer",
    "localization_explorer",
    "saliency_explorer",
]
