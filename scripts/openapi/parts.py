"""Parts of scripts/check-openapi.sh that read JSON.

  said FILE KEY...          a field of a file
  split FILE FOLDER         the description as one file per service
  known FOLDER              known.json for hooks.py, out of what `oss submit` said
  tally FILE TALLY OWNER    what came back, per operation; fails if one that can go well never did
"""

import json
import re
import sys

# Endless by design: crates/collector/tests/it/streams.rs and crates/validator/tests/it/locks.rs read them.
STREAMS = r"^/v1/(stream|(sync-requests/\{rid\}|locks)/events)$"
# As deploy/haproxy.cfg has it; the description does not name owners.
OWNERS = [
    (
        "validator",
        r"^/v1/(assets|holdings|shards|decisions|locks|pipeline|rollbacks|checkpoints)|^/v1/targets/[^/]+/rewind$|/explain$",
    ),
    ("broadcaster", r"^/v1/(targets|deliveries|dlq)"),
    ("collector", r""),
]
METHODS = ("get", "put", "post", "delete", "patch")
ASSET = "bond:US91282CLW90"


def read(name):
    with open(name, encoding="utf-8") as file:
        return json.load(file)


def write(name, value):
    with open(name, "w", encoding="utf-8") as file:
        json.dump(value, file)


def said(name, *keys):
    value = read(name)
    for key in keys:
        value = value[key]
    print(value)


def split(name, folder):
    document = read(name)
    parts = {owner: {} for owner, _ in OWNERS}
    for path, item in document["paths"].items():
        if not re.search(STREAMS, path):
            owner = next(owner for owner, pattern in OWNERS if re.search(pattern, path))
            parts[owner][path] = item
    for owner, paths in parts.items():
        if not paths:
            sys.exit(f"the description has no route of the {owner}")
        write(f"{folder}/{owner}.json", {**document, "paths": paths})


def known(folder):
    rids = [read(f"{folder}/{name}.said")["id"] for name in ("register", "mint", "none")]
    mint = {"asset": {"id": ASSET}, "state_changes": [{"kind": "MINT", "to": "acct:alice", "amount": "5"}]}
    undone = read(f"{folder}/undo.said")["id"]
    bodies = [{}, {"expected_version": 1}, {"external_apis": ["ust-par-yield"]}, {"proof": "groth16"}, {"target_chains": []}]
    write(
        f"{folder}/known.json",
        {
            "asset": [ASSET, "bond:none"],
            "account": ["acct:alice", "acct:nobody"],
            "rid": rids,
            "shard": ["financial", "general"],
            "hash": [read(f"{folder}/checkpoint.said")["hash"], "0x" + "00" * 32],
            "from_byte": [0, 9],
            "chain": ["base", "nowhere"],
            "target": ["base", "nowhere"],
            "id": ["arbitrum", "nowhere"],
            "seq": [2, 1, 999999],
            "min_seq": [1, 0],
            "from_seq": [1, 3],
            "limit": [1, 100],
            "until": ["completed"],
            "Prefer": ["wait=1"],
            "open": {
                "asset": {"id": ASSET},
                "state_changes": [
                    {
                        "kind": "MINT",
                        "to": "eip155:1:0x" + "11" * 20,
                        "amount": "5",
                        "backed_by": {"source": "ust-token", "event": "0x" + "00" * 31 + "01/0"},
                    }
                ],
                "event_sources": ["ust-token"],
            },
            "body": [{**mint, **more} for more in bodies],
            "rollback": [{"rid": rid, "dry_run": True} for rid in [undone, *rids]],
        },
    )


def tally(name, counted, owner):
    document, counts = read(name), read(counted)
    operations = {
        f"{method.upper()} {path}": item[method]
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }
    calls = sum(sum(of.values()) for of in counts.values())
    print(f"== {owner}: {len(operations)} operations, {calls} calls")
    never = 0
    for operation, described in sorted(operations.items()):
        came = counts.get(operation, {})
        can = any(status.startswith("2") for status in described["responses"])
        is_never = can and not any(status.startswith("2") for status in came)
        never += is_never
        statuses = " ".join(f"{status}:{count}" for status, count in sorted(came.items()))
        print(f"{operation:<48} {statuses}{'  NEVER WENT WELL' if is_never else ''}")
    sys.exit(never > 0)


if __name__ == "__main__":
    {"said": said, "split": split, "known": known, "tally": tally}[sys.argv[1]](*sys.argv[2:])
