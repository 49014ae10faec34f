"""What the tests share: where they write, and a keystone's database, made once."""

import os

import pytest
from deployment import Deployment
from keystone_service import Keystone


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
