"""The checks of the students' notebooks, one function a task, and the list of all tasks.

``checks.check_saliency_map(saliency_map)`` runs a student's function on small networks
whose results are known, and returns a `Result` that a notebook shows: passed, a hint of
what kind of wrong the answer is, or not done yet.
"""

from collections.abc import Callable
from typing import NamedTuple

from deepinside.classroom.answers import Result
from deepinside.classroom.checks.class_models import (
    check_ascend,
    check_ascent_step,
    check_log_probability_gradient,
    check_objective,
    check_optimum,
    check_step_size_limit,
)
from deepinside.classroom.checks.deconvnet import (
    check_carry_back,
    check_convolution_backward,
    check_filter_signal,
    check_relu_backward,
    check_rules_agree,
    check_unpool,
)
from deepinside.classroom.checks.limits import (
    check_deletion_curve,
    check_edge_map,
    check_mean_interval,
    check_predicted_change,
    check_randomize_top,
    check_rank_correlation,
)
from deepinside.classroom.checks.localization import (
    check_bounding_box,
    check_grabcut_mask,
    check_iou,
    check_largest_component,
    check_quantile_seeds,
)
from deepinside.classroom.checks.network import (
    check_class_probabilities,
    check_class_score,
    check_directional_derivative,
    check_network_input,
    check_ten_crop_scores,
    check_top_classes,
)
from deepinside.classroom.checks.saliency import (
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
    "check_bounding_box",
    "check_carry_back",
    "check_class_probabilities",
    "check_class_score",
    "check_convolution_backward",
    "check_deletion_curve",
    "check_directional_derivative",
    "check_edge_map",
    "check_filter_signal",
    "check_grabcut_mask",
    "check_image_gradient",
    "check_iou",
    "check_largest_component",
    "check_linear_map",
    "check_log_probability_gradient",
    "check_mean_interval",
    "check_network_input",
    "check_objective",
    "check_optimum",
    "check_predicted_change",
    "check_quantile_seeds",
    "check_randomize_top",
    "check_rank_correlation",
    "check_relu_backward",
    "check_rules_agree",
    "check_saliency_map",
    "check_saliency_maps",
    "check_smooth_grad",
    "check_step_size_limit",
    "check_ten_crop_map",
    "check_ten_crop_scores",
    "check_top_classes",
    "check_unpool",
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
    "localization": (
        Task("localization-seeds", "quantile_seeds", check_quantile_seeds, 2),
        Task("localization-component", "largest_component", check_largest_component, 2),
        Task("localization-box", "bounding_box", check_bounding_box, 1),
        Task("localization-iou", "iou", check_iou, 2),
        Task("localization-grabcut", "grabcut_mask", check_grabcut_mask, 3),
    ),
    "deconvnet": (
        Task("deconvnet-filter", "filter_signal", check_filter_signal, 1),
        Task("deconvnet-relu", "relu_backward", check_relu_backward, 2),
        Task("deconvnet-agreement", "rules_agree", check_rules_agree, 1),
        Task("deconvnet-convolution", "convolution_backward", check_convolution_backward, 2),
        Task("deconvnet-pooling", "unpool", check_unpool, 2),
        Task("deconvnet-network", "carry_back", check_carry_back, 3),
    ),
    "limits": (
        Task("limits-interval", "mean_interval", check_mean_interval, 2),
        Task("limits-rank-correlation", "rank_correlation", check_rank_correlation, 1),
        Task("limits-randomize", "randomize_top", check_randomize_top, 3),
        Task("limits-edges", "edge_map", check_edge_map, 1),
        Task("limits-deletion", "deletion_curve", check_deletion_curve, 3),
        Task("limits-predicted-change", "predicted_change", check_predicted_change, 2),
    ),
}
