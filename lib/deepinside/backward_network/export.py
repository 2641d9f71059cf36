"""Both passes as one ONNX graph, which runs where torch is not."""

import warnings
from os import PathLike
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deepinside.arguments import shown
from deepinside.class_score import check_images

if TYPE_CHECKING:
    from deepinside.backward_network import BackwardNetwork


def export_onnx(network: "BackwardNetwork", path: str | PathLike, *, images: Tensor) -> None:
    """Write both passes as one ONNX graph: "image" and "class" in, "scores" and "gradient" out.

    The rules are those that the layers have at the time. The batch may be of any size.
    Kernels are stored once, for both directions.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W): its C, H and W are those that the graph takes.

    Raises
    ------
    ValueError
        As `BackwardNetwork.forward`.
    ImportError
        If the packages for it are not installed.
    """
    if not hasattr(network, "scores_and_kept") or not isinstance(path, str | PathLike):
        raise ValueError(
            f"expected a BackwardNetwork and a path, got {shown(network)} and {shown(path)}"
        )
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "exporting needs the packages onnx and onnxscript: pip install 'deepinside[onnx]'"
        ) from error
    # what the graph cannot check
    check_images(network.network, images)
    network.scores_and_kept(images[:1])
    batch = torch.export.Dim("batch", min=1)
    # two images: with one, the exporter would take the batch for a constant
    example = (
        images[:1].detach().repeat(2, 1, 1, 1),
        torch.zeros(2, dtype=torch.int64, device=images.device),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about names of dimensions
        torch.onnx.export(
            network,
            example,
            path,
            dynamo=True,
            opset_version=18,
            input_names=["image", "class"],
            output_names=["scores", "gradient"],
            dynamic_shapes=({0: batch}, {0: batch}),
            external_data=False,
            verbose=False,
        )
