import numpy as np
import pytest
import torch

from deepinside.arguments import checked_map, number, shown, whole_number

TEXTS = ("3", b"3", None, [3], (3,), {3}, 3j, torch.tensor([3]), np.array([3]), object())


@pytest.mark.parametrize(
    "value",
    [3, np.int8(3), np.uint64(3), torch.tensor(3), torch.tensor(3, dtype=torch.uint8), np.array(3)],
    ids=shown,
)
def test_a_whole_number_may_be_one_of_numpy_or_torch(value):
    got = whole_number(value, "steps", 1, 3)
    assert (got, type(got)) == (3, int)


@pytest.mark.parametrize(
    "value", [*TEXTS, True, np.True_, torch.tensor(True), 3.0, np.float32(3), torch.tensor(3.0)]
)
def test_what_is_no_whole_number_is_told(value):
    with pytest.raises(ValueError, match=r"expected steps from 1 to 9, got .*no whole number"):
        whole_number(value, "steps", 1, 9)


@pytest.mark.parametrize("value", [0, -1, 10, 10**30, np.int64(-5)])
def test_a_whole_number_out_of_range_is_told(value):
    with pytest.raises(ValueError, match=f"expected steps from 1 to 9, got .*{value}"):
        whole_number(value, "steps", 1, 9)


def test_without_an_upper_end_the_lower_is_told():
    with pytest.raises(ValueError, match="expected steps of at least 1, got 0"):
        whole_number(0, "steps", 1)
    assert whole_number(10**30, "steps", 1) == 10**30


@pytest.mark.parametrize("value", [1, 1.0, np.float16(1), np.int8(1), torch.tensor(1.0)], ids=shown)
def test_a_number_may_be_one_of_numpy_or_torch(value):
    got = number(value, "a noise", 0)
    assert (got, type(got)) == (1.0, float)


@pytest.mark.parametrize(
    "value",
    [*TEXTS, True, np.True_, float("nan"), float("inf"), np.float32("-inf"), -0.1, 2.1, 10**400],
)
def test_what_is_no_number_of_the_range_is_told(value):
    with pytest.raises(ValueError, match="expected a noise of at least 0 and at most 2, got "):
        number(value, "a noise", 0, 2)


def test_the_lower_end_itself_can_be_left_out():
    assert number(0, "a size", 0) == 0
    with pytest.raises(ValueError, match="expected a size above 0, got 0"):
        number(0, "a size", 0, above=True)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_map_of_half_precision_becomes_one_of_single_precision(kind):
    values = torch.tensor([[0, 0.25], [0.5, 1]], dtype=kind, requires_grad=True)
    got = checked_map(values, signed=False)
    assert got.dtype == (torch.float64 if kind == torch.float64 else torch.float32)
    assert got.tolist() == values.tolist()
    assert not got.requires_grad


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (None, "got None"),
        ([[1.0]], r"got \[\[1.0\]\]"),
        (np.ones((2, 2)), r"got an array of shape \(2, 2\), float64"),
        (torch.ones(2), r"got shape \(2,\)"),
        (torch.ones(0, 2), r"got shape \(0, 2\)"),
        (torch.ones(2, 2, dtype=torch.int64), "of torch.int64"),
        (torch.ones(2, 2, dtype=torch.bool), "of torch.bool"),
        (torch.ones(2, 2, dtype=torch.complex64), "of torch.complex64"),
        (torch.ones(2, 2, device="meta"), "on meta"),
        (torch.ones(2, 2).to_sparse(), r"sparse"),
        (torch.tensor([[1, torch.nan]]), "got 1 values that are NaN or infinite"),
        (torch.tensor([[-torch.inf, torch.inf]]), "got 2 values that are NaN or infinite"),
        (torch.tensor([[1, -0.5]]), "of at least 0, got values down to -0.5"),
    ],
)
def test_what_is_no_map_is_told(values, got):
    expected = r"expected a map as a tensor \(H, W\) of finite floats.*"
    with pytest.raises(ValueError, match=expected + got):
        checked_map(values, signed=False)


def test_a_long_value_is_cut():
    assert shown([0] * 1000) == "a list of 1000"
    assert len(shown("a" * 1000)) == 80
    assert shown(torch.ones(2)) == "a tensor of shape (2,), torch.float32 on cpu"
