"""Records what oslo.utils' mask_dict_password makes of notifications, for src/notify/mask.rs.

    $(interop/venv.sh) mask.py > mask.json

The result has the version, the words that a key must contain, and the cases as [given, masked],
both as the JSON text that Python writes. What is drawn at random has a fixed seed.
"""

import importlib.metadata
import json
import math
import random

from oslo_utils import strutils

TEXTS = [
    "", "plain", "no words here: x=y", "password", "password=", "password=abc", "password = abc",
    "password='abc'", 'password="abc"', "password='a b'", "password=\"it's\"", "password='say \"x\"'",
    "password=a b", "PassWord=ABC", "adminPass=abc", "admin_pass1=abc", "password12 = abc",
    "my_password=abc&user=me", "user=me password=abc\nnext=line", "--password abc", "--password=abc",
    "--auth_token  abc def", "mysql --password 'abc'", "password 'abc'", 'token "abc"',
    "<password>abc</password>", "<adminPass>a b</adminPass><user>u</user>", "<token></token>",
    "<password>abc</other>", "{'password': 'abc'}", '{"password": "abc"}', "{'password': u'abc'}",
    "{'password' : 'abc', 'user': 'me'}", "{'x_password': 'abc', 'token': 'def'}",
    "{'original_password': 'aaaaa'}", '{"nested": {"auth_token": "abc", "n": 1}}',
    "{'password': 'it\"s'}", "{\"password\": \"it's\"}", "{'password': 12}", "{'password': None}",
    "['--password', 'abc']", "['cmd', 'token', '--value', 'abc', 'rest']",
    "'adminPass', '--password', u'abc'", "password -p abc", "token --x abc def",
    "https://h/?token=abc&x=1", "X-Auth-Token: abc", "{'X-Auth-Token': 'abc'}",
    "secret_uuid=1 secret=2", "secretsecret=2", "sys_pswd=1 configdrive=2 CHAPPASSWORD=3",
    "encrypted_key=1 private_key=2 fernetkey=3 sslkey=4 passphrase=5", "tokens=5", "token5=5",
    "token_5=5", "rabbitcookie = 'a' passphrase = \"b\"", "password\u00a0=\u00a0abc",
    "password\x1c=\x1cabc\x1drest", "password=caf\u00e9 \U0001f600", "p\u00e4ssword=abc",
    "pa\u017f\u017fword=abc", "PASSWORD=\u0130 x", "to\u212aen=abc", "token=\ud800", "\udc00 token = 'a\ud83d'",
    "\U000f0000 \udc00 token=\ud800 \U000f0800", "{'password': 'a', 'b': 'c'} and 'password': 'x'\"y\"",
    "password=^abc", "password==abc", "password=\\'abc\\'", "password=***", "{'token': '***'}",
    "line\r\npassword=abc\r\n", "<Token>\nabc\n</Token>", "token=abc,secret=def;passphrase=ghi",
]

PAYLOADS = [
    None, True, 12, 1.5, "text", "password=abc", [], {}, ["password=abc", {"password": "x"}],
    {"password": "x"}, {"PASSWORD": "x"}, {"user_password_hash": "x"}, {"pass": "x"},
    {"password": 12}, {"password": None}, {"password": True}, {"password": ["a", {"b": "c"}]},
    {"password": {"a": "b", "token": "c"}}, {"token": {"id": "x", "nested": {"secret": 1}}},
    {"password": []}, {"password": {}}, {"password": ""}, {"a": [["token=1"], [{"token": [1]}]]},
    {"a": {"b": [{"c": {"auth_token": "x", "d": "secret=1"}}]}, "e": 1},
    {"password=abc": "x"}, {"k": "password=abc"}, {"tok\u212aen": 1}, {"to\u212aen": 1},
    {"\ud800token": "x", "k\udc00": "\ud800"}, {"pa\u017fsword": "x"},
    {"nan": math.nan, "inf": [math.inf, -math.inf], "big": 10**60, "token": math.nan},
    {"token": 10**60, "small": 1e-7, "neg": -0.0, "float": 1e22},
    {"caf\u00e9": "\U0001f600", "secret\u00e9": "\u00e9"},
    {"nova_object.data": {"auth_token": "x", "metadata": {}, "key_name": "k", "private_keys": 1}},
    {"instance": {"admin_password": None, "uuid": "1"}, "args": ["--token", "x"]},
    {"k\"ey": "a\"b\\c", "to\"ken": "x", "t\\oken": "token=\"q\\\"r\""},
]

PIECES = [
    "password", "token", "Secret", "adminPass", "auth_token", "passphrase", "user", "x", "A_z", "9", "0",
    "=", " = ", ":", " : ", ", ", "'", "'", '"', '"', "u'", "--", "-", "<", ">", "</", " ", "\n", "\t",
    "\\", "***", "^", "{", "}", "\u00e9", "\ud800", "\x1f",
]


def message(payload, event_type="compute.instance.create.end", publisher_id="compute.host1"):
    return {
        "message_id": "5c0f1d7e-0a3b-4b0e-8c9a-2f6f6f3f3b11", "publisher_id": publisher_id,
        "event_type": event_type, "priority": "INFO", "payload": payload,
        "timestamp": "2026-11-22 07:00:00.123456",
    }


def cases():
    for payload in PAYLOADS:
        yield message(payload)
    yield message(1, event_type="token=abc", publisher_id="password='x'")
    yield {"token": 1}
    for text in TEXTS:
        yield {"text": text}
    for word in strutils._SANITIZE_KEYS:
        yield {f"a{word.upper()}b": "x", "text": f"{word}=x '{word}': 'y'"}
    numbers = random.Random(5)
    for _ in range(600):
        text = "".join(numbers.choice(PIECES) for _ in range(numbers.randint(3, 14)))
        yield {"text": text}


def main():
    version = importlib.metadata.version("oslo.utils")
    print(f'{{"oslo.utils": "{version}",\n"words": {json.dumps(strutils._SANITIZE_KEYS)},\n"cases": [')
    pairs = [[json.dumps(case), json.dumps(strutils.mask_dict_password(case))] for case in cases()]
    print(",\n".join(json.dumps(pair) for pair in pairs))
    print("]}")


main()
