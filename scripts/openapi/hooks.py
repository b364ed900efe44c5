"""What schemathesis cannot know by itself; loaded by scripts/check-openapi.sh.

Two of three calls name things that exist (OSS_OPENAPI_KNOWN: a JSON file of parameter name to values, `body`, `rollback` and
`open`), so that more is answered than "not valid"; the third stays as it was generated. What came back is counted into
OSS_OPENAPI_TALLY: operation to status to count.
"""

import atexit
import collections
import itertools
import json
import os
import urllib.request

import schemathesis

with open(os.environ["OSS_OPENAPI_KNOWN"], encoding="utf-8") as file:
    KNOWN = json.load(file)
CALLS = itertools.count()
TALLY = collections.defaultdict(collections.Counter)


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context, value):
    """One JSON text a line; a body that is no list is one line."""
    if isinstance(value, bytes):
        return value
    lines = value if isinstance(value, list) else [value]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@schemathesis.hook
def before_call(_context, case, _kwargs):
    call = next(CALLS)
    if call % 3 == 0:
        return
    for values in (case.path_parameters, case.query, case.headers):
        for name in list(values or {}):
            if name in KNOWN:
                values[name] = KNOWN[name][call // 3 % len(KNOWN[name])]
            elif name == "Idempotency-Key":
                values[name] = f"check-{call}"
    if case.operation.method.lower() == "delete":
        case.path_parameters["rid"] = open_request(call)
        case.headers.pop("If-Match", None)
    if isinstance(case.body, (dict, list)) and call % 3 == 1:
        bodies = KNOWN["rollback" if case.operation.path == "/v1/rollbacks" else "body"]
        case.body = bodies[call // 3 % len(bodies)]


def open_request(call):
    """The id of a request that waits for an event which never comes, so that there is something to cancel."""
    request = urllib.request.Request(
        os.environ["OSS_OPENAPI_URL"] + "/v1/sync-requests",
        data=json.dumps(KNOWN["open"]).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["OSS_OPENAPI_TOKEN"],
            "Content-Type": "application/json",
            "Idempotency-Key": f"open-{call}",
        },
    )
    with urllib.request.urlopen(request, timeout=40) as answer:
        return json.load(answer)["id"]


@schemathesis.hook
def after_call(_context, case, response):
    TALLY[f"{case.operation.method.upper()} {case.operation.path}"][str(response.status_code)] += 1


@atexit.register
def write():
    with open(os.environ["OSS_OPENAPI_TALLY"], "w", encoding="utf-8") as file:
        json.dump(TALLY, file)
