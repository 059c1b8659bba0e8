"""Successive halving: how many networks each rung has, how long all rungs take, and which networks go on."""

import pytest

from edgecnn.convert.sweep.halving import going_on, planned_seconds, rung_sizes


@pytest.mark.parametrize(
    ("networks", "sizes"),
    [(1, (1,)), (3, (3,)), (4, (4, 3)), (5, (5, 3)), (7, (7, 4, 3)), (12, (12, 6, 3)), (16, (16, 8, 4, 3))],
)
def test_each_rung_has_half_of_the_networks_until_three_are_left(networks: int, sizes: tuple[int, ...]) -> None:
    assert rung_sizes(networks) == sizes


def test_the_time_of_all_rungs_is_that_of_the_slowest_networks() -> None:
    assert planned_seconds([2.0, 1.0]) == 3
    # All seven for one epoch, the four slowest for two, the three slowest for four.
    assert planned_seconds([1, 2, 3, 4, 5, 6, 7]) == 28 + 2 * 22 + 4 * 18


def test_a_network_that_is_less_accurate_and_larger_does_not_go_on() -> None:
    wrong, macs, parameters = [50, 60, 30, 200], [100, 200, 300, 50], [10, 20, 30, 5]
    assert going_on(wrong, macs, parameters, 3) == (0, 2, 3)


def test_accuracy_alone_does_not_decide_so_that_the_small_ones_stay() -> None:
    """Of a front of six, the most accurate goes on, then what is far from it: the smallest, then one between them."""
    wrong, macs = [10, 12, 20, 40, 90, 400], [6000, 5500, 2000, 800, 300, 100]
    assert going_on(wrong, macs, macs, 3) == (0, 3, 5)
    assert going_on(wrong, macs, macs, 1) == (0,)


def test_a_dominated_network_goes_on_only_if_there_is_room() -> None:
    wrong, macs = [10, 11, 12, 5], [10, 11, 12, 100]
    assert going_on(wrong, macs, macs, 3) == (0, 1, 3)
    assert going_on(wrong, macs, macs, 4) == (0, 1, 2, 3)


def test_equal_networks_are_chosen_in_their_order() -> None:
    assert going_on([3, 3, 3], [1, 1, 1], [1, 1, 1], 2) == (0, 1)
    assert going_on([0, 0], [0, 0], [0, 0], 1) == (0,)
