"""Calls keystone's API through its WSGI application, in this process, and ends.

The configuration is what OS_KEYSTONE_CONFIG_FILES names, and it has been bootstrapped. Exits 1 at the first call
that is not answered as it should be.
"""

import argparse
import sys
import uuid

from keystone.server import wsgi
from werkzeug import test


class Api:
    """The administrator of the whole system."""

    def __init__(self, application, password):
        self._client = test.Client(application)
        self._headers = {}
        user = {"name": "admin", "domain": {"id": "default"}, "password": password}
        identity = {"methods": ["password"], "password": {"user": user}}
        answer = self.call("POST", "auth/tokens", {"auth": {"identity": identity, "scope": {"system": {"all": True}}}})
        self._headers = {"X-Auth-Token": answer.headers["X-Subject-Token"]}

    def call(self, method, path, body=None, status=None):
        answer = self._client.open(f"/v3/{path}", method=method, json=body, headers=self._headers)
        if answer.status_code != status if status else answer.status_code >= 300:
            sys.exit(f"{method} {path}: {answer.status}\n{answer.get_data(as_text=True)}")
        return answer

    def make(self, kind, **fields):
        """Makes one of ``kind``, such as ``project``, and returns its path."""
        return f"{kind}s/" + self.call("POST", f"{kind}s", {kind: fields}).json[kind]["id"]

    def change(self, path, **fields):
        self.call("PATCH", path, {path.split("/")[0][:-1]: fields})

    def delete(self, path):
        self.call("DELETE", path)


def one_round(api):
    """Something of each kind, from its beginning to its end."""
    name = f"e2e-{uuid.uuid4().hex}"
    project = api.make("project", name=name, domain_id="default")
    user = api.make("user", name=name, domain_id="default", password=name)
    group = api.make("group", name=name, domain_id="default")
    role = api.make("role", name=name)
    service = api.make("service", name=name, type="compute")
    region = api.make("region", description=name)
    endpoint = api.make("endpoint", service_id=service.split("/")[1], region_id=region.split("/")[1],
                        interface="public", url="http://127.0.0.1/")
    api.change(project, description="other words, \u00e4 and \u4e16 among them")
    api.change(user, email="nobody@example.org")
    api.call("PUT", f"{group}/{user}")
    api.call("PUT", f"{project}/{user}/{role}")
    wrong = {"user": {"id": user.split("/")[1], "password": "not this one"}}
    api.call("POST", "auth/tokens", {"auth": {"identity": {"methods": ["password"], "password": wrong}}}, 401)
    api.call("DELETE", f"{project}/{user}/{role}")
    api.call("DELETE", f"{group}/{user}")
    for path in (endpoint, region, service, role, group, user, project):
        api.delete(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--password", required=True, help="of the user admin")
    parser.add_argument("--rounds", type=int, required=True)
    args = parser.parse_args()
    # keystone reads its own configuration from sys.argv, too.
    sys.argv[1:] = []
    api = Api(wsgi.initialize_public_application(), args.password)
    for _ in range(args.rounds):
        one_round(api)


if __name__ == "__main__":
    main()
