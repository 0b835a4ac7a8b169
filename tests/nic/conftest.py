# SPDX-License-Identifier: BSD-3-Clause
"""One guest with three NICs for all tests; what a test changed in it is put right after the test."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from nic import NicGuest  # noqa: E402


@pytest.fixture(scope="session")
def guest():
    with NicGuest("nic", count=3) as made:
        yield made


@pytest.fixture
def start(guest):
    """start(lcores): a switch in the guest, stopped, with its exit status checked, after the test."""
    made = []

    def switch(lcores="0@0,1@0"):
        made.append(guest.switch(lcores=lcores))
        return made[-1]

    yield switch
    try:
        for each in made:
            print(each.log())  # pytest shows it when the test has failed
            if each.job.rc is None:
                each.stop()
    finally:
        for each in made:
            each.close()
        guest.restore()
