"""Tests that share programs run on one worker, which pytest-xdist tells by the ends of their names.

With a pytest that it does not know it marks nothing, and says nothing.
"""

import os

import pytest


@pytest.mark.xdist_group("together")
def test_a_group_is_marked_for_one_worker(request: pytest.FixtureRequest) -> None:
    spread = "PYTEST_XDIST_WORKER" in os.environ and request.config.getoption("loadgroup")
    assert request.node.nodeid.endswith("@together" if spread else "_worker")
