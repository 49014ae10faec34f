"""Records what the reference's Kafka driver would hand to its producer.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install 'oslo.messaging[kafka]==18.3.1'
    /tmp/golden/bin/python golden.py > golden.jsonl

No broker is needed: the reference's own notifier, messaging drivers and Kafka driver run up to the
call of `produce`, whose producer is a stub. Identifiers and times are fixed, so that the same
versions write the same file.

One line for each notification:

    name          what the case is about
    driver        messaging or messagingv2; both write the same on Kafka
    record        the record's value as text, exactly as produced
    notification  what a reader should find: the six fields and `context`; `payload` and `context`
                  as the JSON text in which they stand in the record; null where the sender had none
    payload_utf8  the payload's text with its characters unescaped, where that can be written
"""

import datetime
import decimal
import json
import math
import sys
from unittest import mock
import uuid

from oslo_config import cfg
from oslo_context import context as oslo_context
import oslo_messaging
from oslo_messaging.notify import notifier as notify_module
from oslo_serialization import jsonutils
from oslo_utils import timeutils

IDS = (uuid.UUID(int=0x9E3779B97F4A7C15F39CC0605CEDC834 * n % 2**128, version=4)
       for n in range(1, 10_000))
WHOLE_SECOND = datetime.datetime(2026, 11, 22, 7, 0, 0)
NOW = datetime.datetime(2026, 11, 22, 7, 0, 0, 123456)


class StubProducer:
    """Keeps what the driver produces."""

    def __init__(self):
        self.produced = []

    def produce(self, topic, value):
        self.produced.append((topic, value))

    def poll(self, timeout):
        return 0

    def flush(self, timeout=None):
        return 0


class Context:
    """The least that travels: an object that can redact itself."""

    def __init__(self, **values):
        self.values = values

    def redacted_copy(self):
        return self

    def to_dict(self):
        return dict(self.values)


class Case:
    def __init__(self, name, payload=None, priority='info', context=None, publisher='compute.host1',
                 event='compute.instance.create.end', driver='messagingv2', now=NOW):
        self.name, self.payload, self.priority, self.context = name, payload, priority, context
        self.publisher, self.event, self.driver, self.now = publisher, event, driver, now


def nested(depth, wrap, inmost):
    for _ in range(depth):
        inmost = wrap(inmost)
    return inmost


def request_context():
    return oslo_context.RequestContext(
        user_id='6f70656e737461636b20342065766572', project_id='demo', roles=['member', 'reader'],
        auth_token='secret', user_domain_id='default', project_domain_id='default',
        request_id='req-5b6c791d-5709-4f36-8fbe-c3e02869e35d')


def cases():
    for priority in ('audit', 'debug', 'info', 'warn', 'error', 'critical', 'sample'):
        for driver in ('messaging', 'messagingv2'):
            yield Case(f'{priority} by {driver}', {'n': 1}, priority, driver=driver)

    payloads = {
        'empty object': {},
        'empty list': [],
        'null': None,
        'true': True,
        'false': False,
        'string': 'text',
        'empty string': '',
        'number': 12,
        'negative float': -1.5,
        'list': [1, 'two', None, [], {}],
        'NaN alone': math.nan,
        'NaN in an object': {'load': math.nan},
        'Infinity': [math.inf],
        '-Infinity': {'low': [-math.inf, math.inf, math.nan]},
        'floats': [0.1, 1e16, 1e-7, 1.7976931348623157e308, 5e-324, -0.0, 1e22],
        'integer of 100 digits': {'big': int('1234567890' * 10)},
        'negative integer of 100 digits': -int('9876543210' * 10),
        'integer of 400 digits': [int('7' * 400)],
        'edges of 64 bits': [2**63 - 1, -2**63, 2**63, 2**64 - 1, 2**64, -2**63 - 1],
        'edges of 128 bits': [2**127 - 1, -2**127, 2**128 - 1, 2**128],
        'lone high surrogate': '\ud800',
        'lone low surrogate': {'a': 'x\udc00y'},
        'surrogates in the wrong order': ['\udc00\ud800', '\ud83d\ud83d\ude00'],
        'lone surrogate in a key': {'k\udfff': 1},
        'astral characters': {'smile': '\U0001f600', 'last': '\U0010ffff', 'g clef': 'a\U0001d11eb'},
        'Latin, Greek, Chinese': ['caf\u00e9', '\u03b1\u03b2\u03b3', '\u4f60\u597d'],
        'key that is not ASCII': {'schl\u00fcssel': {'\u4f60': '\U0001f600'}},
        'line separators': 'a\u2028b\u2029c\x85d',
        'byte order mark': '\ufeffstart',
        'noncharacters': '\uffff\ufffe\ufdd0',
        'control characters': ''.join(map(chr, range(32))),
        'DEL': 'a\x7fb\x7f',
        'NUL': 'a\x00b',
        'quotes and backslashes': 'say "\\"hi\\\\"" \\u0041 \\',
        'slashes': 'a/b\\/c',
        'line ends': 'one\r\ntwo\nthree\ttab',
        'JSON inside a string': json.dumps({'a': json.dumps({'b': '"\\\u00e9'})}),
        'envelope inside a payload': {'oslo.version': '2.0', 'oslo.message': '{}'},
        'keys of a notification': {'_context': 1, 'priority': 'x', 'payload': None, '_context_a': 2},
        'empty key': {'': {'': ''}},
        'keys that are no strings': {1: 'int', 2.5: 'float', True: 'bool', None: 'null'},
        'keys that become equal': {1: 'number', '1': 'string'},
        'list 500 deep': nested(500, lambda inner: [inner], 'inmost'),
        'object 500 deep': nested(500, lambda inner: {'a': inner}, math.nan),
        'lists and objects 900 deep': nested(450, lambda inner: [{'a': inner}], None),
        'wide object': {f'key{n}': n for n in range(300)},
        'long string': '\u00e9"\\' * 300,
        'datetime': {'at': datetime.datetime(2026, 2, 28, 23, 59, 59, 999999)},
        'date': datetime.date(2026, 2, 28),
        'UUID': [uuid.UUID(int=1)],
        'set': {'one'},
        'tuple': (1, (2,)),
        'decimal': decimal.Decimal('1.10'),
        'bytes': b'plain',
        'exception': ValueError('no "luck"'),
    }
    for name, payload in payloads.items():
        yield Case(f'payload: {name}', payload)
    yield Case('payload: NaN by messaging', {'load': math.nan}, driver='messaging')

    contexts = {
        'oslo.context': request_context(),
        'plain object, dropped by the reference': {'user_id': 'dropped'},
        'none': None,
        'one key': Context(user_id='u'),
        'no keys': Context(),
        'every type': Context(a=None, b=True, c=1, d=-2.5, e='text', f=[1, [2]], g={'h': {}}),
        'not ASCII': Context(**{'nom': 'Ren\u00e9e', '\u540d': '\U0001f600', 'lone': '\ud83d'}),
        'odd numbers': Context(nan=math.nan, low=-math.inf, big=10**99),
        'keys that look flattened': Context(_context='x', _context_user='y'),
        'quotes': Context(**{'a"b\\c': '"\\'}),
        '300 deep': Context(deep=nested(300, lambda inner: [inner], 1)),
    }
    for name, context in contexts.items():
        yield Case(f'context: {name}', {'n': 1}, context=context)

    for name, publisher in {
        'none': None, 'not ASCII': 'compute.\u00fcber-\U0001f600', 'empty': '',
        'quotes and controls': 'a"b\\c\n\x7f', 'spaces': ' nova-api : host ',
    }.items():
        yield Case(f'publisher: {name}', {}, publisher=publisher)
    yield Case('event type: not ASCII', {}, event='\u00e9v\u00e9nement.\U0001f600')
    yield Case('event type: quotes and controls', {}, event='a"b\\c\td\x00')
    yield Case('event type: null', {}, event=None)
    yield Case('time: whole second', {}, now=WHOLE_SECOND)
    yield Case('time: last microsecond', {}, now=datetime.datetime(1999, 12, 31, 23, 59, 59, 999999))
    yield Case('time: one microsecond', {}, now=datetime.datetime(2024, 2, 29, 0, 0, 0, 1))
    yield Case('all at once', {'a\u00e9': [math.nan, '\ud800', 10**99, {'\x7f': '"'}]}, 'error',
               request_context(), 'p\u00fc"', 'e\\\u2028', 'messaging', WHOLE_SECOND)


def notifiers():
    conf = cfg.ConfigOpts()
    conf([], project='golden')
    transport = oslo_messaging.get_notification_transport(conf, 'kafka://127.0.0.1:9092/')
    producer = StubProducer()
    transport._driver.pconn.producer = producer
    made = {name: oslo_messaging.Notifier(transport, driver=name, topics=['notifications'])
            for name in ('messaging', 'messagingv2')}
    return made, producer


def context_text(context):
    if context is None or type(context) is dict:
        return '{}'
    return jsonutils.dumps(context.redacted_copy().to_dict())


def main():
    last_id = None

    def next_id():
        nonlocal last_id
        last_id = next(IDS)
        return last_id

    notify_module.uuid.uuid4 = next_id
    made, producer = notifiers()
    for case in cases():
        notifier = made[case.driver].prepare(publisher_id=case.publisher)
        producer.produced.clear()
        with mock.patch.object(timeutils, 'utcnow', return_value=case.now):
            getattr(notifier, case.priority)(case.context, case.event, case.payload)
        [(topic, value)] = producer.produced
        assert topic == f'notifications.{case.priority}', topic
        line = {
            'name': case.name,
            'driver': case.driver,
            'record': value.decode('ascii'),
            'notification': {
                'message_id': str(last_id),
                'publisher_id': case.publisher,
                'event_type': case.event,
                'priority': case.priority.upper(),
                'payload': jsonutils.dumps(case.payload),
                'timestamp': str(case.now),
                'context': context_text(case.context),
            },
        }
        characters = jsonutils.dumps(case.payload, ensure_ascii=False)
        if not any(0xD800 <= ord(character) < 0xE000 for character in characters):
            line['payload_utf8'] = characters
        sys.stdout.write(json.dumps(line) + '\n')


if __name__ == '__main__':
    main()
