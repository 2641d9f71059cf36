"""The checks of the students' notebooks, one function a task, and the list of all tasks.

``checks.check_saliency_map(saliency_map)`` runs a student's function on small networks
whose results are known, and returns a `Result` that a notebook shows: passed, a hint of
what kind of wrong the answer is, or not done yet.
"""

from collections.abc import Callable
from typing import NamedTuple

from deepinside.answers import Result
from deepinside.check_class_models import (
    check_ascend,
    check_ascent_step,
    check_log_probability_gradient,
    check_objective,
    check_optimum,
    check_step_size_limit,
)
from deepinside.check_network import (
    check_class_probabilities,
    check_class_score,
    check_directional_derivative,
    check_network_input,
    check_ten_crop_scores,
    check_top_classes,
)
from deepinside.check_saliency import (
    check_image_gradient,
    check_linear_map,
    check_saliency_map,
    check_saliency_maps,
    check_smooth_grad,
    check_ten_crop_map,
)

__all__ = [
    "TASKS",
    "Result",
    "Task",
    "check_ascend",
    "check_ascent_step",
    "check_class_probabilities",
    "check_class_score",
    "check_directional_derivative",
    "check_image_gradient",
    "check_linear_map",
    "check_log_probability_gradient",
    "check_network_input",
    "check_objective",
    "check_optimum",
    "check_saliency_map",
    "check_saliency_maps",
    "check_smooth_grad",
    "check_step_size_limit",
    "check_ten_crop_map",
    "check_ten_crop_scores",
    "check_top_classes",
]


class Task(NamedTuple):
    """One task of a student's notebook.

    Attributes
    ----------
    name : str
        Its name in the notebook's metadata (nbgrader's grade_id) and in tables of marks.
    answer : str
        The name of the function that the notebook binds.
    check : callable
        From that function to a `Result`.
    points : int
        What a right answer is worth.
    """

    name: str
    answer: str
    check: Callable[[object], Result]
    points: int


# each notebook's tasks, in their order in it
TASKS: dict[str, tuple[Task, ...]] = {
    "network": (
        Task("network-input", "network_input", check_network_input, 2),
        Task("network-score", "class_score", check_class_score, 1),
        Task("network-probabilities", "class_probabilities", check_class_probabilities, 2),
        Task("network-top-classes", "top_classes", check_top_classes, 2),
        Task("network-derivative", "directional_derivative", check_directional_derivative, 1),
        Task("network-ten-crops", "ten_crop_scores", check_ten_crop_scores, 3),
    ),
    "class_models": (
        Task("class-models-objective", "objective", check_objective, 1),
        Task("class-models-optimum", "optimum", check_optimum, 1),
        Task("class-models-step", "ascent_step", check_ascent_step, 2),
        Task("class-models-ascent", "ascend", check_ascend, 2),
        Task("class-models-limit", "step_size_limit", check_step_size_limit, 1),
        Task(
            "class-models-log-probability",
            "log_probability_gradient",
            check_log_probability_gradient,
            3,
        ),
    ),
    "saliency": (
        Task("saliency-linear", "linear_map", check_linear_map, 1),
        Task("saliency-gradient", "image_gradient", check_image_gradient, 2),
        Task("saliency-map", "saliency_map", check_saliency_map, 1),
        Task("saliency-batch", "saliency_maps", check_saliency_maps, 2),
        Task("saliency-ten-crops", "ten_crop_map", check_ten_crop_map, 3),
        Task("saliency-smooth-grad", "smooth_grad", check_smooth_grad, 2),
    ),
    "localization": (),
    "deconvnet": (),
    "limits": (),
}
