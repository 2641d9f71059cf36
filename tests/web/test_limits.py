"""The controls of *Limits* in the page, beside those of `deepinside.limits`."""

import numpy as np
import pytest
import torch

from deepinside.images import load_photo, squash_photo
from deepinside.limits import edge_maps, rank_correlation


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_is_that_of_the_library_with_and_without_ties(in_node, decimals):
    generator = np.random.default_rng(decimals)
    pair = generator.standard_normal((2, 500)).astype(np.float32)
    pair[1] += pair[0]
    pair = pair.round(decimals)
    found = in_node("return limits.rankCorrelation(a, b);", a=pair[0], b=pair[1])
    expected = rank_correlation(*torch.from_numpy(pair)[:, None])
    assert found == pytest.approx(expected.item(), abs=1e-9)


def test_is_none_where_a_map_has_no_order(in_node):
    flat, ramp = np.ones(5, np.float32), np.arange(5, dtype=np.float32)
    body = "return [limits.rankCorrelation(flat, ramp)];"
    assert in_node(body, flat=flat, ramp=ramp) == [None]


@pytest.mark.parametrize("size", [(227, 227), (5, 9), (1, 1)])
def test_edges_are_those_of_the_library(in_node, size):
    image = squash_photo(load_photo("cat"), size)
    found = in_node("return limits.edgeMap(image, shape);", image=image.numpy(), shape=[3, *size])
    np.testing.assert_allclose(found, edge_maps(image[None])[0].flatten(), atol=1e-6)
