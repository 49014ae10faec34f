"""From keystone to ceilometer: what the one emits the other stores, once.

keystone's log, by the notification driver ``log``, says what was emitted. The broker is fresh in each test and has
no topics.
"""

import pytest
from deployment import Case

#: What bootstrap and one round of calls emit at the least.
BOOTSTRAP = 10
ROUND = 15


@pytest.mark.parametrize("commit", ["before_dispatch", "after_dispatch"])
@pytest.mark.parametrize("vhost", ["", "nova_cell1"], ids=["no_vhost", "vhost"])
def test_everything_that_keystone_emits_is_stored_once(deploy, vhost, commit):
    with deploy(Case(vhost=vhost, kafka_options={"commit": commit})) as services:
        services.start_ceilometer()
        services.keystone.bootstrap()
        services.keystone.call_api(rounds=4)
        services.account().check(at_least=BOOTSTRAP + 4 * ROUND)


def test_basic_notifications_are_stored_too(deploy):
    with deploy(Case(notification_format="basic")) as services:
        services.start_ceilometer()
        services.keystone.bootstrap()
        services.keystone.call_api(rounds=1)
        services.account().check(at_least=BOOTSTRAP)


@pytest.mark.parametrize("commit", ["before_dispatch", "after_dispatch"])
def test_what_is_emitted_while_ceilometer_is_down_is_stored_when_it_is_back(deploy, commit):
    with deploy(Case(kafka_options={"commit": commit})) as services:
        services.start_ceilometer()
        services.keystone.bootstrap()
        services.ceilometer.stop()
        services.keystone.call_api(rounds=1)
        services.ceilometer.start()
        services.keystone.call_api(rounds=2)
        services.account().check(at_least=BOOTSTRAP + 3 * ROUND)


def test_a_group_that_starts_at_the_earliest_stores_what_was_emitted_before_it(deploy):
    with deploy(Case(kafka_options={"auto_offset_reset": "earliest"})) as services:
        services.keystone.bootstrap()
        services.ceilometer.start()
        services.keystone.call_api(rounds=1)
        services.account().check(at_least=BOOTSTRAP + ROUND)


@pytest.mark.parametrize("emitter, consumer", [("kafka", "rkafka"), ("rkafka", "kafka")])
def test_the_python_library_at_one_end(deploy, emitter, consumer):
    """``kafka`` is the driver of oslo.messaging itself. Of what it loses when its process ends nothing is asked."""
    with deploy(Case(emitter=emitter, consumer=consumer)) as services:
        services.start_ceilometer()
        services.keystone.bootstrap()
        services.keystone.call_api(rounds=1)
        services.account().check(at_least=BOOTSTRAP + ROUND, from_bus=emitter == "kafka")


def test_switching_there_and_back_keeps_the_place_of_the_group(deploy):
    with deploy(Case(emitter="kafka", consumer="kafka")) as services:
        services.start_ceilometer()
        services.keystone.bootstrap()
        services.await_stored()
        services.ceilometer.stop()
        services.keystone.call_api(rounds=1)
        services.switch(emitter="rkafka", consumer="rkafka")
        services.ceilometer.start()
        services.keystone.call_api(rounds=1)
        services.await_stored()
        services.ceilometer.stop()
        services.switch(emitter="kafka", consumer="kafka")
        services.start_ceilometer()
        services.keystone.call_api(rounds=1)
        services.account().check(at_least=BOOTSTRAP + 3 * ROUND, from_bus=True)
