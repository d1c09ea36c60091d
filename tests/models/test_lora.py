from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.models.lora import AdaptedProduct


def parts(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """x (2, 5, 6), W (7, 6), bias (7,), A (3, 6), B (7, 3)."""
    torch.manual_seed(0)
    x, a, b = (torch.randn(*shape, dtype=dtype, requires_grad=True) for shape in ((2, 5, 6), (3, 6), (7, 3)))
    return x, torch.randn(7, 6, dtype=dtype), torch.randn(7, dtype=dtype), a, b


def test_a_product_with_its_adapter_is_what_the_formula_says() -> None:
    x, weight, bias, a, b = parts(torch.float64)
    expected = F.linear(x, weight, bias) + 0.5 * F.linear(F.linear(x, a), b)
    torch.testing.assert_close(AdaptedProduct.apply(x, weight, bias, a, b, 0.5), expected)


@pytest.mark.parametrize("has_bias", [True, False])
def test_its_slopes_are_those_of_small_differences(has_bias: bool) -> None:
    x, weight, bias, a, b = parts(torch.float64)
    given = (x, weight, bias if has_bias else None, a, b, 0.5)
    assert torch.autograd.gradcheck(AdaptedProduct.apply, given)


def test_what_is_trained_keeps_its_own_format() -> None:
    x, weight, bias, _, _ = (part.detach().bfloat16() for part in parts(torch.float32))
    *_, a, b = parts(torch.float32)
    out = AdaptedProduct.apply(x, weight, bias, a, b, 0.5)
    out.sum().backward()
    assert out.dtype == torch.bfloat16
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.dtype == b.grad.dtype == torch.float32


def test_no_position_at_all_is_no_error() -> None:
    """An expert of a mixture may be chosen by no token."""
    _, weight, bias, a, b = parts(torch.float32)
    out = AdaptedProduct.apply(torch.zeros(0, 6, requires_grad=True), weight, bias, a, b, 0.5)
    out.sum().backward()
    assert out.shape == (0, 7)
    assert a.grad is not None
    assert not a.grad.any()
