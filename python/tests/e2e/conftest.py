"""What the tests share: where they write, a keystone's database, made once, and a limit."""

import faulthandler
import os
import pathlib
import sys

import pytest

# For the broker, which the other tests of the wheel have, too.
sys.path.append(str(pathlib.Path(__file__).parents[1]))

from deployment import Deployment  # noqa: E402
from keystone_service import Keystone  # noqa: E402

#: Longer than all waits of a test together, in seconds: a last resort.
_LIMIT = 900


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """A keystone that has its tables and keys, and has emitted nothing."""
    keystone = Keystone(tmp_path_factory.mktemp("database"), "fake://", "basic")
    keystone.make_database()
    assert not keystone.logged(), "nothing was made yet"
    return keystone


@pytest.fixture
def deploy(tmp_path, database):
    """Makes the deployment of a case. With OSLOMSG_E2E_DEBUG=1 ceilometer's log has the level DEBUG."""
    def make(case):
        return Deployment(tmp_path, case, database, debug=os.environ.get("OSLOMSG_E2E_DEBUG") == "1")
    return make


@pytest.fixture(autouse=True)
def _limit():
    faulthandler.dump_traceback_later(_LIMIT, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
