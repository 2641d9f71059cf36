"""The calls of a network's forward pass, as a graph."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, fx, nn
from torch.fx.node import Argument
from torch.fx.proxy import GraphAppendingTracer


def recorded_calls(network: nn.Module, is_leaf: Callable[[nn.Module], bool]) -> fx.Graph:
    """Return the calls of leaves and functions from the images to the scores, as a graph.

    The network cannot be used afterwards: its leaves only record that they are called, and
    compute nothing. `torch.fx.Tracer` would leave it intact, but while that traces, it records
    modules in all threads.

    Raises
    ------
    ValueError
        If the calls depend on values, or are made without gradient or with one of their own.
    """
    graph = fx.Graph()
    recorder = _Recorder(graph)
    for name, module in network.named_modules():
        if is_leaf(module) or (name and fx.Tracer().is_leaf_module(module, name)):
            module.forward = partial(recorder.call, name)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            scores = network(fx.Proxy(graph.placeholder("input"), recorder))
        graph.output(recorder.create_arg(scores))
    except Exception as error:  # the network's own code raises what it likes
        raise ValueError(
            f"expected a network whose forward pass can be traced by torch.fx: {error}"
        ) from error
    return graph


class _Recorder(GraphAppendingTracer):
    def call(self, name: str, *args: object, **kwargs: object) -> fx.Proxy:
        return self.create_proxy("call_module", name, args, kwargs)

    def create_proxy(
        self, kind: str, target: object, *given: object, **options: object
    ) -> fx.Proxy:
        # within a function of torch.autograd there is none either
        if not torch.is_grad_enabled():
            raise ValueError(f"{target} is called without gradient or with one of its own")
        return super().create_proxy(kind, target, *given, **options)  # type: ignore[arg-type]

    def create_arg(self, a: object) -> Argument:
        return a if isinstance(a, Tensor) else super().create_arg(a)
