"""Samples of instruments, and states on one scale."""

from __future__ import annotations

import numpy as np
import torch

from cs3g_model.distillation.nodes import sample_nodes, standardize_states, take_nodes

MASK = torch.tensor([[1, 0, 1, 1, 0, 1], [0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]], dtype=torch.bool)


def test_a_sample_holds_the_present_first_and_each_once() -> None:
    torch.manual_seed(0)
    seen = set()
    for _ in range(200):
        index = sample_nodes(MASK, 3)
        assert index.shape == (3, 3)
        assert all(len(set(row)) == 3 for row in index.tolist())
        assert take_nodes(MASK, index)[0].all()
        # The second window has one instrument: it comes first, absent ones fill up.
        assert index[1, 0] == 2
        assert take_nodes(MASK, index)[1].tolist() == [True, False, False]
        seen.update(index[2].tolist())
    assert seen == {0, 1, 2, 3, 4, 5}


def test_all_are_taken_where_the_limit_allows_and_nothing_is_drawn() -> None:
    before = torch.get_rng_state()
    index = sample_nodes(MASK, 6)
    assert index.tolist() == [[0, 1, 2, 3, 4, 5]] * 3
    assert torch.equal(before, torch.get_rng_state())
    h = torch.randn(3, 6, 2)
    assert torch.equal(take_nodes(h, index), h)


def test_taking_follows_the_index() -> None:
    h = torch.arange(36.0).view(3, 6, 2)
    index = torch.tensor([[5, 0], [2, 2], [1, 3]])
    expected = np.stack([h.numpy()[t, index[t].numpy()] for t in range(3)])
    np.testing.assert_array_equal(take_nodes(h, index), expected)


def test_standard_states_are_centered_and_of_unit_mean_square() -> None:
    h = torch.randn(3, 6, 4) * 7 + 3
    z = standardize_states(h, MASK)
    rows = h[0, MASK[0]].numpy()
    centered = rows - rows.mean(0)
    np.testing.assert_allclose(z[0, MASK[0]], centered / np.sqrt((centered**2).mean()), rtol=1e-4, atol=1e-6)
    assert not z[~MASK].any()
    # One instrument alone is its own center.
    assert not z[1].any()
    torch.testing.assert_close(standardize_states(5 * h + 2, MASK), z, rtol=1e-4, atol=1e-5)
